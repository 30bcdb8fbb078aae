"""The past once more, under a proposed configuration: the daemon's own parts, at the moments at which it decided."""

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlmodel import Session

import canaries.store as canary_store
from alerts import (
    AlertError,
    DeliveryError,
    actions,
    group_store,
    outbox_store,
    rollback_store,
    rolling_back,
    silence_store,
)
from alerts import store as alert_store
from alerts.actions import Acknowledged
from alerts.channels import Channel
from alerts.incident import NoticeKind
from alerts.message import ROLLBACK_PREFIX, Message, Notification, Thread
from alerts.outbox import Outbox
from alerts.rollback import Lock, RollbackReason
from alerts.silence import Silence
from canaries import BaselineError
from canaries.baseline_events import Actor, BaselineEvent, Event
from canaries.baseline_store import retire_baseline

from .. import store
from ..canary_flow.baseline_life import baseline_of, freeze_baseline, renew_baseline
from ..canary_flow.planning import Asked, expected_spend, plan, settle_asked
from ..config import Deployment, cadence_of
from ..deployment import watched_of
from ..moments import Moment, MomentKind
from ..schedule import slot_s
from ..spending.spend import SpendFacts
from ..taking_over import take_over
from ..telling.messenger import IDLE_OUTBOX_S, tell_groups
from ..telling.rollbacks import rules_of
from ..traffic.silence.ingest_counts import IngestCounts, from_plain
from ..traffic_flow.watching import TrafficWatch
from ..watched import House, Watched
from ..watchman.on_record import from_plain as verdict_from_plain
from ..watchman.watchman import take
from .past import MESSAGES_MAX, NOT_OURS, AnsweredQuestion, Deed, Happened, Past, downtimes
from .recorded_database import RecordedDatabase
from .recorded_windows import RecordedWindows
from .scratch import Scratch

TOLD_WITHIN_S = IDLE_OUTBOX_S + 5.0
"""How long after it was due a group was told at the latest while the daemon ran, as what people do wakes nobody."""

SLACK_S = 1.0
"""How late the messenger may be to a group that is due: what is decided meanwhile comes first, and may tell it."""

DIGESTED_WITHIN_S = 5.0
"""How soon after messages were decided a digest of them was made, where one was."""

LOOKED_BACK_S = 3600.0
"""A look is left out when the first minute on record is so much later: the calls of its time were forgotten."""

_NEVER = datetime.min.replace(tzinfo=UTC)

OnProgress = Callable[[int, int], None]
"""Told how many moments have passed, and of how many."""


class _Time:
    """The time of the backtest, and that of its sender, by which messages arrived when they did live."""

    def __init__(self, log: Iterable[Notification]) -> None:
        """Begin before everything."""
        self.at = _NEVER
        self._arriving: datetime | None = None
        self._digests = sorted(one.message.created_at for one in log if one.message.kind is NoticeKind.DIGEST)

    def pass_to(self, at: datetime) -> None:
        """Let the time be then; it never goes back."""
        self.at = max(self.at, at)

    def sending(self) -> datetime:
        """When it is for the sender: when what is on its way has arrived, or when a digest was made soon after now."""
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            return arriving
        place = bisect_left(self._digests, self.at)
        soon = self._digests[place] if place < len(self._digests) else None
        is_soon = soon is not None and (soon - self.at).total_seconds() <= DIGESTED_WITHIN_S
        return soon if soon is not None and is_soon else self.at

    def arrive(self, at: datetime) -> None:
        """Have the message that is on its way arrive then."""
        self._arriving = max(self.at, at)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A receiver that is reached, but for messages that were not when they were sent."""

    sent: Mapping[str, Notification]
    failures: Counter[str]
    places: Mapping[str, int]
    time: _Time

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """Where the message lies: nowhere."""
        live = self.sent.get(message.id)
        # Receivers are served side by side: meanwhile the others go on, and what ended before this one ends first.
        for _ in range(self.places.get(message.id, 0)):
            await asyncio.sleep(0)
        ended = live and (live.sent_at or live.failed_at)
        if ended and message.kind is NoticeKind.ROLLBACK:
            self.time.arrive(ended)  # people hear of it then
        if self.failures[message.id] > 0:
            error = live.last_error if live else None
            # What was given up for good fails each time that it is tried.
            self.failures[message.id] -= not (live and live.failed_at)
            raise DeliveryError(error or "it did not arrive in time", permanent=True)
        return thread


@dataclass(frozen=True, slots=True)
class Replayed:
    """The messages, in the order in which they were decided, and what had to be left out."""

    messages: tuple[Notification, ...]
    runs: int = 0
    looks: int = 0
    runs_missing: int = 0
    looks_missing: int = 0
    problems: tuple[str, ...] = ()


class Replay:
    """One deployment in the past."""

    def __init__(
        self, deployment: Deployment, past: Past, recorded: RecordedDatabase, scratch: Scratch
    ) -> None:
        """Have ``deployment`` go through ``past``; ``scratch`` becomes its database."""
        self._deployment, self._past = deployment, past
        self._recorded, self._scratch = recorded, scratch
        self._windows = RecordedWindows(recorded)
        self._time = _Time(past.sent.values())
        self._has_started = False
        self._mail_due: datetime | None = None
        self._ordered_at = _NEVER
        self._watched: dict[str, Watched] = {}
        self._deeds = frozenset(one.at for one in past.happened if isinstance(one.what, Deed))
        self._answered = {
            (one.about.past.name, one.about.past.incident_id)
            for one in past.happened
            if isinstance(one.about, AnsweredQuestion)
        }
        self._runs = self._looks = self._runs_missing = self._looks_missing = 0
        self._problems: dict[str, None] = {}
        config = deployment.config
        names = (*config.receivers, *(ROLLBACK_PREFIX + name for name in config.rollbacks))
        channel: Channel = _Recorded(past.sent, Counter(past.failures), past.places, self._time)
        self._outbox = Outbox(
            scratch,
            dict.fromkeys(names, channel),
            self._time.sending,
            random.Random(0),  # noqa: S311 - nothing here is tried twice
            limits={name: one.max_per_minute for name, one in config.receivers.items()},
            fallbacks=config.fallbacks(),
            lock_on=self._lock_on,
        )
        scratch.write(lambda session: store.save_secret(session, past.secret))

    async def run(self, on_progress: OnProgress) -> Replayed:
        """Go through all of it."""
        happened = self._past.happened
        for number, (one, is_down) in enumerate(zip(happened, downtimes(happened), strict=True)):
            await self._tell_until(one.at, is_down=is_down)
            self._time.pass_to(one.at)
            await self._happen(one)
            on_progress(number + 1, len(happened))
        if happened:
            await self._tell_until(happened[-1].at, is_down=False)
        log = self._scratch.read(lambda s: outbox_store.notifications(s, limit=MESSAGES_MAX))
        return Replayed(
            tuple(one for one in log if one.message.kind not in NOT_OURS),
            self._runs,
            self._looks,
            self._runs_missing,
            self._looks_missing,
            tuple(self._problems),
        )

    async def _happen(self, one: Happened) -> None:
        if isinstance(one.what, Moment):
            await self._decide(one.what)
            await self._deliver()
        else:
            self._scratch.write(lambda session: self._do(session, one))
            if one.what is Deed.ORDERED:
                if self._ordered_at <= one.at:
                    self._ordered_at = _NEVER
                await self._deliver()

    # What the daemon decides

    async def _decide(self, moment: Moment) -> None:
        if moment.kind is MomentKind.START:
            self._start(moment.at)
        elif moment.kind is MomentKind.LOOK:
            await self._look(moment)
        elif moment.kind is MomentKind.TOLD:
            self._tell()
        elif moment.kind is MomentKind.WATCHMAN:
            verdicts = [verdict_from_plain(one) for one in moment.facts["verdicts"]]
            self._scratch.write(
                lambda session: take(session, self._deployment, self._house, verdicts, moment.at)
            )
        elif moment.kind is MomentKind.PLAN:
            self._plan(moment)
        else:
            self._run(moment)

    def _start(self, now: datetime) -> None:
        deployment, self._has_started = self._deployment, True
        self._house: House = self._scratch.write(
            lambda session: take_over(
                session, deployment, lambda problem: None, lambda trouble, said: None, now
            )
        )
        self._counts = IngestCounts()
        self._watching = TrafficWatch(
            deployment, self._scratch, self._windows, self._counts, self._house, self._defect
        )
        self._watched = {
            name: watched_of(deployment, name, slot_s(cadence_of(target), now))
            for name, target in deployment.config.targets.items()
        }
        self._first_facts: dict[str, SpendFacts] = self._scratch.read(
            lambda session: expected_spend(session, deployment, now)
        )

    async def _look(self, moment: Moment) -> None:
        self._counts.gain(from_plain(moment.facts))
        first = self._windows.first
        if first is not None and moment.at.timestamp() + LOOKED_BACK_S < first:
            self._looks_missing += 1
            return
        self._looks += 1
        await self._watching.look(moment.at)
        await self._watching.look_at_tails(moment.at)

    def _plan(self, moment: Moment) -> None:
        name, run_id = str(moment.facts.get("target", "")), moment.subject
        watched = self._watched.get(name)
        if watched is None:
            return
        first = self._first_facts[name]
        self._scratch.write(
            lambda session: plan(session, self._deployment, watched, self._house, first, run_id, moment.at)
        )

    def _run(self, moment: Moment) -> None:
        summary = self._past.runs.get(moment.subject)
        if summary is None:
            self._runs_missing += 1
            return
        watched = self._watched.get(summary.target)
        if watched is None:
            return
        asked = self._recorded.read(lambda session: self._asked(session, summary.id, watched))
        asked = replace(
            asked, run=replace(asked.run, suite=watched.suite_name, finished_at=summary.finished_at)
        )
        self._runs += 1
        self._scratch.write(lambda session: settle_asked(session, watched, self._house, asked, moment.at))

    def _asked(self, session: Session, run_id: str, watched: Watched) -> Asked:
        (run,) = canary_store.load_runs(session, [run_id])
        (features,) = canary_store.load_features(session, [run_id])
        cost_usd = canary_store.costs(session, [run_id]).get(run_id)
        # In the order in which they were scored, as sums of numbers depend on it in their last digits.
        canaries = watched.suite.canaries if watched.suite else ()
        place = {canary.id: number for number, canary in enumerate(canaries)}
        order = sorted(
            range(len(run.completions)),
            key=lambda n: (place.get(run.completions[n].canary, len(place)), run.completions[n].sample),
        )
        return Asked(
            replace(run, completions=tuple(run.completions[n] for n in order)),
            replace(features, answers=tuple(features.answers[n] for n in order)),
            cost_usd,
        )

    def _defect(self, what: str) -> None:
        self._problems[f"{what} could not be looked at"] = None

    # What people did

    def _do(self, session: Session, one: Happened) -> None:
        about = one.about
        if isinstance(about, Silence):
            if one.what is Deed.SILENCED:
                silence_store.save_silence(session, about)
            group_store.look_again(session, one.at)
        elif isinstance(about, Acknowledged):
            self._acknowledge(session, about)
        elif isinstance(about, AnsweredQuestion):
            self._answer(session, about, one.at)
        elif isinstance(about, Lock):
            self._lock(session, about, one)
        elif isinstance(about, Event):
            self._see_to_baseline(session, about)

    def _acknowledge(self, session: Session, one: Acknowledged) -> None:
        """Acknowledge the same incident; under another configuration, that which is open about the same."""
        known = alert_store.incident(session, one.incident_id) or alert_store.latest_of(session, one.key)
        if known is not None and known.is_open:
            do = actions.unacknowledge if one.is_back else actions.acknowledge
            do(session, known.id, one.by, one.at)

    def _answer(self, session: Session, one: AnsweredQuestion, at: datetime) -> None:
        """Answer the question of the same incident; under another configuration, that of what is about the same."""
        past = one.past
        if not past.answered_by:
            rolling_back.close_questions(session, at)
            return
        same = alert_store.incident(session, past.incident_id)
        asked = past.incident_id if same else one.key
        try:
            if past.reason is RollbackReason.REJECTED:
                rolling_back.reject(session, asked, past.answered_by, at, past.name)
            else:
                rules = rules_of(self._deployment.config.rollbacks)
                rolling_back.approve(session, asked, past.answered_by, rules, at, past.name)
                ended = past.delivered_at or past.failed_at
                if ended and (ended - at).total_seconds() <= TOLD_WITHIN_S:
                    self._ordered_at = ended
        except AlertError:  # here nobody was asked, or what they said cannot be done
            rolling_back.close_questions(session, at)

    def _lock_on(self, session: Session, order: Notification) -> Lock | None:
        """What holds an order that live did not write; of the others it is on record whether they were held."""
        name = order.message.rollback or ""
        return None if order.id in self._past.sent else rollback_store.lock_on(session, name)

    @staticmethod
    def _lock(session: Session, lock: Lock, one: Happened) -> None:
        held = next((known for known in rollback_store.locks(session) if known.name == lock.name), None)
        is_new = one.what is Deed.LOCKED
        # By a clock that was set back the next lock begins before this one ends, and only one holds at a time.
        if held is not None and (is_new or held.at == lock.at):
            rollback_store.end_lock(session, lock.name, lock.ended_by, one.at)
        if is_new:
            rollback_store.save_lock(session, lock)

    def _see_to_baseline(self, session: Session, event: Event) -> None:
        watched = self._watched.get(event.target)
        current = baseline_of(session, event.target, watched.suite_name) if watched else None
        if current is None:
            return
        try:
            if event.event is BaselineEvent.RETIRED:
                retire_baseline(session, current.id, event.at, Actor.OPERATOR, event.why)
            elif event.event is BaselineEvent.RENEWED:
                renew_baseline(session, current, event.at, event.why)
            else:
                freeze_baseline(session, self._house, current.id, event.at, Actor.OPERATOR, event.why)
        except BaselineError as error:
            self._problems[
                f"{event.target}: what an operator did to its baseline could not be done: {error}"
            ] = None

    # Who is told

    def _tell(self) -> None:
        now = self._time.at
        while True:
            _, due = self._scratch.write(lambda session: tell_groups(session, self._house, now))
            if due is None or due > now:
                return

    async def _tell_until(self, at: datetime, *, is_down: bool) -> None:
        """Tell the groups that are due before then, each when it is, unless it is on record when it was told."""
        # Nobody ran to tell them before a start.
        while self._has_started and not is_down:
            told_at = self._groups_due()
            closing = self._questions_due()
            due = min((one for one in (told_at, self._mail_due, closing) if one is not None), default=None)
            if due is None or due + timedelta(seconds=SLACK_S) > at:
                return
            self._time.pass_to(due)
            if due == closing:
                self._scratch.write(partial(rolling_back.close_questions, now=self._time.at))
            if due == told_at:
                self._tell()
            await self._deliver()

    def _questions_due(self) -> datetime | None:
        """When the next question is closed that is open here, unless it is on record what became of it."""
        waiting = self._scratch.read(rollback_store.open_questions)
        if not waiting or all((one.name, one.incident_id) in self._answered for one in waiting):
            return None
        return self._scratch.read(lambda session: rolling_back.next_closing(session, self._time.at))

    def _groups_due(self) -> datetime | None:
        """When the next groups are to be told that it is not on record of when they were told."""
        due = self._scratch.read(lambda session: group_store.next_due_at(session, self._time.at))
        if due is None or self._is_told_later(due):
            return None
        # What people do over the command line is found when the messenger looks by itself.
        return due + timedelta(seconds=IDLE_OUTBOX_S) if due in self._deeds else due

    def _is_told_later(self, due: datetime) -> bool:
        """Whether it is on record that one of the groups which are due was told a little later than it might."""
        groups = self._scratch.read(lambda session: group_store.groups_due(session, due))
        last = due + timedelta(seconds=TOLD_WITHIN_S)
        return any(due <= at <= last for one in groups for at in self._past.told_at.get(one.id, ()))

    async def _deliver(self) -> None:
        """Send what waits; not before an order that somebody approved was taken live, which may be after a look."""
        self._mail_due = None
        if self._time.at <= self._ordered_at:
            return
        if self._scratch.read(outbox_store.is_any_waiting):
            self._mail_due = await self._outbox.drain()
