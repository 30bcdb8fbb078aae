"""The watch over the watch while the daemon runs: looks, tells by incidents, sends the scheduled tests of receivers.

It has a loop of its own: what it watches is the schedule, among others.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from sqlmodel import Session

import alerts.store as alert_store
from alerts import outbox_store, receiver_store
from alerts.finding import Label, Verdict
from alerts.incident import AlertRule, Transition
from alerts.intake import receive
from alerts.message import addressed, receiver_test
from canaries.clock import Clock

from ..config import Deployment
from ..database import Database
from ..moments import Moment, MomentKind, note
from ..self_watch import SelfWatch
from ..telemetry import Metrics
from ..watched import House
from .clocks import ServerClocks
from .judging import KEY, Facts, judge
from .last_resort import LastResort
from .looking import Diary, Seen, disk_of, look
from .on_record import to_plain
from .receivers import self_tests

LOOK_EVERY_S = 30.0
"""How often it looks."""

FOR_S = 60.0
"""How long something must be wrong before people hear of it: a look may fall into a restart."""

KEEP_FIRING_S = 120.0
"""How long it must be right again before that is over."""

log = structlog.get_logger()


@dataclass
class Watchman:
    """Looks at the watch itself. ``tell`` is given what became of incidents, once that is stored."""

    deployment: Deployment
    database: Database
    clock: Clock
    self_watch: SelfWatch
    metrics: Metrics
    house: House
    folder: Path
    clocks: ServerClocks
    diary: Diary
    last_resort: LastResort
    tell: Callable[[Iterable[Transition]], None]

    async def watch(self) -> None:
        """Look for as long as the daemon lives."""
        look = self.self_watch.attended("the watch over the watch", self.look)
        tell_directly = self.self_watch.attended("telling directly", self.last_resort.look)
        while True:
            await tell_directly()
            await look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once, and have people told of what is wrong."""
        now = self.clock.now()
        disk = await asyncio.to_thread(disk_of, self.folder)
        seen = Seen(disk, self.clocks.facts(), self.self_watch.events.lately(now))
        facts = await self.database.aread(
            lambda session: look(session, self.deployment, self.diary, seen, now)
        )
        self.metrics.show_watch(facts)
        transitions = await self.database.awrite(lambda session: self._take(session, facts, now))
        self.tell(transitions)

    def _take(self, session: Session, facts: Facts, now: datetime) -> tuple[Transition, ...]:
        self._test(session, now)
        verdicts = judge(facts, self.deployment.config.watchman, now)
        opened = {one.key for one in alert_store.open_below(session, KEY)}
        over = [
            Verdict(key, Label.STEADY, note="There is nothing to look at any more")
            for key in sorted(opened - {one.key for one in verdicts})
        ]
        news = [one for one in (*verdicts, *over) if one.label is Label.BREACHED or one.key in opened]
        return take(session, self.deployment, self.house, news, now)

    # Tests of receivers

    def _test(self, session: Session, now: datetime) -> None:
        """Send the tests that are due, the way of every message."""
        known = receiver_store.standings(session)
        for name, test in self_tests(self.deployment.config).items():
            standing = known.get(name)
            if standing is None or not test.is_due(standing.tested_at or standing.configured_at, now):
                continue
            message = receiver_test(name, now, is_scheduled=True)
            outbox_store.enqueue(session, [addressed(message, name, sequence=0)])
            receiver_store.note_test(session, name, now)
            log.info("a receiver is tested", receiver=name)


def take(
    session: Session, deployment: Deployment, house: House, verdicts: Sequence[Verdict], now: datetime
) -> tuple[Transition, ...]:
    """What became of what is wrong with the watch itself, or was until now; it is on record for backtests."""
    if not verdicts:
        return ()
    facts = {"verdicts": [to_plain(one) for one in verdicts]}
    note(session, Moment(MomentKind.WATCHMAN, now, facts=facts))
    looks = [(one, _rule(deployment, one)) for one in verdicts]
    return receive(session, looks, now, house.rollbacks, house.inhibitions, house.routing)


def _rule(deployment: Deployment, verdict: Verdict) -> AlertRule:
    """Who is told: not the receiver that it is about, if there is anybody else."""
    told = deployment.config.told_of_the_watch()
    about = verdict.finding.labels.get("receiver") if verdict.finding else None
    others = tuple(name for name in told if name != about)
    return AlertRule(for_s=FOR_S, keep_firing_s=KEEP_FIRING_S, notify=others or told)
