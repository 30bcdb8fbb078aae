"""What a recorded database tells of the past: what was decided when, what people did, and what was sent."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial

from sqlmodel import Session

import canaries.store as canary_store
from alerts import actions, outbox_store, rollback_store, silence_store
from alerts import store as alert_store
from alerts.actions import Acknowledged
from alerts.incident import NoticeKind
from alerts.message import Notification, Why
from alerts.outbox import stood_in_at
from alerts.rollback import Lock, PastRollback
from alerts.silence import Silence
from canaries import baseline_events
from canaries.baseline_events import Actor, BaselineEvent, Event
from canaries.store import RunSummary

from .. import moments, store
from ..moments import Moment, MomentKind
from ..traffic import store as traffic_store
from ..traffic.roll_ups import Resolution
from ..traffic.windows.series import MINUTE_S
from .recorded_database import RecordedDatabase

MESSAGES_MAX = 1_000_000
"""How many messages of the live log are read at most, the latest ones."""

SHORTLY_S = 3600.0
"""How long after another message one may end whose place is counted from it."""

PLACES_FEW, APART_S, PLACES_MAX = 50, 60.0, 1_000
"""After so many places a pause of so long is enough to count anew, and beyond ``PLACES_MAX`` all have the last one.

Each place is waited for: where a receiver fails for weeks, that would take longer than all else does.
"""

NOT_OURS = (NoticeKind.TEST, NoticeKind.REPORT)
"""Messages that no watch and no run asks for."""


class Deed(StrEnum):
    """What is done at a moment of a backtest beside what the daemon decided."""

    SILENCED = "silenced"
    SILENCE_ENDED = "somebody has ended a silence"
    ACKNOWLEDGED = "acknowledged"
    BASELINE = "baseline"
    ANSWERED = "a question whether to roll back is answered, or closed"
    LOCKED = "a rollback, or each of them, is locked"
    UNLOCKED = "it is unlocked"
    ORDERED = "an order to roll back that a person approved has arrived, or is given up"


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """What became of a question whether to roll back, and the key of the incident that asked."""

    past: PastRollback
    key: str


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that happened, at its time."""

    at: datetime
    what: Moment | Deed
    about: Silence | Acknowledged | Event | AnsweredQuestion | Lock | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What happened, in its order. ``told_at`` has the moments at which each group was told, by its id.

    ``sent`` are the messages of the live log by their ids, and ``failures`` how often those failed that did.
    ``places`` says of those, and of orders to roll back, how many of them had ended shortly before.
    ``made_up_until`` is until when moments were not on record, and are made up here; ``None``: all were.
    """

    secret: bytes
    happened: Sequence[Happened]
    told_at: Mapping[str, Sequence[datetime]]
    sent: Mapping[str, Notification]
    failures: Mapping[str, int]
    places: Mapping[str, int]
    runs: Mapping[str, RunSummary] = field(default_factory=dict)
    made_up_until: datetime | None = None


def past_of(database: RecordedDatabase, until: datetime | None, watch_every_s: float) -> Past:
    """What is on record until then. Where looks and runs were recorded before their moments were, those are made up."""
    noted = [
        one for one in database.read(lambda s: list(moments.moments(s))) if until is None or one.at < until
    ]
    runs = {one.id: one for one in database.read(canary_store.completed_runs)}
    first_minute = database.read(partial(traffic_store.first_from, resolution=Resolution.MINUTE, start=0))
    last_minute = database.read(traffic_store.last_minute)
    end = noted[0].at if noted else until or _end_of(runs, last_minute)
    is_whole = bool(noted and noted[0].facts.get(moments.FIRST))
    made_up = _made_up(noted, runs, first_minute, end, watch_every_s) if end and not is_whole else []
    if noted and not made_up and noted[0].kind is not MomentKind.START:
        made_up = [Moment(MomentKind.START, noted[0].at)]  # that one is forgotten
    log = database.read(lambda s: outbox_store.notifications(s, limit=MESSAGES_MAX))
    sent = {one.id: one for one in log if one.message.kind not in NOT_OURS}
    failures = _failures(log)
    deeds = [one for one in database.read(lambda s: list(_people(s))) if until is None or one.at < until]
    told: dict[str, list[datetime]] = {}
    for one in noted:
        if one.kind is MomentKind.TOLD:
            for group in one.subject.split():
                told.setdefault(group, []).append(one.at)
    return Past(
        secret=database.read(store.known_secret) or bytes(32),
        happened=_in_order([*made_up, *noted], deeds),
        told_at=told,
        sent=sent,
        failures=failures,
        places=places_of(log, failures, database.read(stood_in_at)),
        runs=runs,
        made_up_until=end if len(made_up) > 1 else None,
    )


def _people(session: Session) -> Iterator[Happened]:
    """What people did, as far as it is on record."""
    for silence in silence_store.all_made(session):
        yield Happened(silence.created_at, Deed.SILENCED, silence)
        if silence.ended_by:  # who is held by one that ends by itself is looked at then in any case
            yield Happened(silence.ends_at, Deed.SILENCE_ENDED, silence)
    for one in actions.acknowledgements(session):
        yield Happened(one.at, Deed.ACKNOWLEDGED, one)
    for past in rollback_store.no_longer_open(session):
        incident = alert_store.incident(session, past.incident_id)
        if past.answered_at is not None and incident is not None:
            yield Happened(past.answered_at, Deed.ANSWERED, AnsweredQuestion(past, incident.key))
        if past.answered_by and (ended := past.delivered_at or past.failed_at):
            yield Happened(ended, Deed.ORDERED)
    for lock in rollback_store.every_lock(session):
        yield Happened(lock.at, Deed.LOCKED, lock)
        if lock.ended_at is not None:
            yield Happened(lock.ended_at, Deed.UNLOCKED, lock)
    theirs = (BaselineEvent.FROZEN, BaselineEvent.RETIRED, BaselineEvent.RENEWED)
    for event in baseline_events.events(session):
        if event.actor is Actor.OPERATOR and event.event in theirs:
            yield Happened(event.at, Deed.BASELINE, event)


def _failures(log: Sequence[Notification]) -> Counter[str]:
    """How often each message did not arrive, or so late that somebody else was told, as far as that is on record."""
    instead = Counter(
        (one.message.group_id, one.message.created_at, one.message.tried[-1])
        for one in log
        if one.message.why is Why.FALLBACK and one.message.tried
    )
    failures: Counter[str] = Counter()
    for one in log:
        times = instead[one.message.group_id, one.message.created_at, one.receiver]
        if times := max(times, one.given_up + (one.failed_at is not None)):
            failures[one.id] = times
    return failures


def places_of(
    log: Sequence[Notification], failures: Collection[str], stood_in: Mapping[tuple[str, str, str], datetime]
) -> dict[str, int]:
    """By id, how many messages that failed or were orders had ended shortly before.

    Their order matters: whoever fails first has the choice who stands in, and an order that has arrived is told.
    """
    instead = {
        (one.message.group_id, one.message.created_at, one.message.tried[-1]): one.receiver
        for one in log
        if one.message.why is Why.FALLBACK and one.message.tried
    }
    ends: dict[str, datetime] = {}
    for one in log:
        if one.id not in failures and one.message.kind is not NoticeKind.ROLLBACK:
            continue
        group = one.message.group_id or ""
        told = instead.get((one.message.group_id, one.message.created_at, one.receiver), "")
        # A message that is due again has another end than that of which somebody else was told.
        if ended := stood_in.get((group, one.receiver, told)) or one.failed_at or one.sent_at:
            ends[one.id] = ended
    places: dict[str, int] = {}
    place, before = 0, datetime.min.replace(tzinfo=UTC)
    for name, ended in sorted(ends.items(), key=lambda item: item[1]):
        place = _place_after(place, (ended - before).total_seconds())
        places[name], before = place, ended
    return places


def _place_after(place: int, pause_s: float) -> int:
    is_apart = pause_s > (SHORTLY_S if place < PLACES_FEW else APART_S)
    return 0 if is_apart else min(place + 1, PLACES_MAX)


def _made_up(
    noted: Sequence[Moment],
    runs: Mapping[str, RunSummary],
    first_minute: int | None,
    end: datetime,
    watch_every_s: float,
) -> list[Moment]:
    """The moments before the first that is on record, as a daemon would have had them."""
    known = {one.subject for one in noted if one.kind is MomentKind.RUN}
    found = [
        Moment(MomentKind.RUN, ended, one.id, {"target": one.target})
        for one in runs.values()
        if one.id not in known and (ended := one.finished_at or one.started_at) <= end
    ]
    if first_minute is not None:
        at, step = datetime.fromtimestamp(first_minute, UTC), timedelta(seconds=watch_every_s)
        while at + step < end:
            found.append(Moment(MomentKind.LOOK, at))
            at += step
    found.sort(key=lambda one: one.at)
    return [Moment(MomentKind.START, found[0].at), *found] if found else []


def _end_of(runs: Mapping[str, RunSummary], last_minute: int | None) -> datetime | None:
    ends = [one.finished_at or one.started_at for one in runs.values()]
    if last_minute is not None:
        ends.append(datetime.fromtimestamp(last_minute + MINUTE_S, UTC))
    return max(ends, default=None)


def _in_order(noted: Sequence[Moment], deeds: Sequence[Happened]) -> list[Happened]:
    """All that happened. Moments stay in the order in which they were written, whatever the clock said."""
    latest, ordered = datetime.min.replace(tzinfo=UTC), []
    for one in noted:
        latest = max(latest, one.at)
        ordered.append((latest, 1, Happened(one.at, one)))
    # Whoever does something is told of it at the same moment at the earliest; an order ends after what was decided.
    ordered += [(one.at, 2 if one.what is Deed.ORDERED else 0, one) for one in deeds]
    ordered.sort(key=lambda entry: entry[:2])
    return [one for _, _, one in ordered]


def downtimes(happened: Sequence[Happened]) -> list[bool]:
    """For each thing that happened, whether nobody ran before it: the next that a daemon did was to start."""
    found, is_down = [], False
    for one in reversed(happened):
        if isinstance(one.what, Moment):
            is_down = one.what.kind is MomentKind.START
        found.append(is_down)
    return found[::-1]
