"""A week of storms against an oracle that knows nothing of groups: only what was wrong when, and what was to be quiet.

Findings come and go, people silence and acknowledge, nights are muted, receivers fail and the process dies between
sending and marking. Whatever happens: no message is lost, none comes twice without a crash, those of a group arrive in
their order, everything that stayed wrong in plain sight was told, and of everything else it is on record why not.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from alerts import DeliveryError, actions, group_store, outbox_store, store
from alerts.dispatch import flush_due
from alerts.explain import explain
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, State
from alerts.inhibition import InhibitRule, matching
from alerts.intake import receive
from alerts.matcher import parse_matcher
from alerts.message import Message, Thread, Why
from alerts.outbox import Outbox
from alerts.routing_config import MuteTimeConfig, RouteConfig, routing_of

STEP_S = 60.0
GROUP_WAIT_S, GROUP_INTERVAL_S = 60.0, 300.0
TOLD_WITHIN_S = GROUP_WAIT_S + GROUP_INTERVAL_S + 35 * 60.0
"""How long what is wrong in plain sight may stay untold: the waits of its group, and receivers that fail."""

SERVICES = ("chat", "shop", "mail")
KEYS = [f"watch/{service}/{n}" for service in SERVICES for n in range(4)]
RULES = (InhibitRule(matching(n="0"), matching(n="1"), equal=("service",)),)
TREE = {
    "receivers": ["slack"],
    "group_by": ["service"],
    "group_wait": f"{GROUP_WAIT_S:g}s",
    "group_interval": f"{GROUP_INTERVAL_S:g}s",
    "repeat_interval": "4h",
    "routes": [
        {"match": ["service=mail"], "mute_times": ["nights"]},
        {
            "match": ["severity=page"],
            "receivers": ["pager"],
            "escalate": [{"after": "20m", "notify": "lead"}],
        },
    ],
}
NIGHTS = MuteTimeConfig(times=["22:00-06:00"])
HELD = {Why.SILENCED.value, Why.MUTED.value, Why.INHIBITED.value, Why.TOO_SHORT.value}
RULE = AlertRule(keep_firing_s=120.0)


class CrashedError(BaseException):
    """The process died: nothing after this happened."""


@dataclass
class Flaky:
    """A receiver that fails, and dies with the process after a message has arrived, now and then."""

    rng: random.Random
    arrived: list[tuple[datetime, Message]] = field(default_factory=list)
    crashes: int = 0
    now: datetime = datetime(2026, 3, 2, tzinfo=UTC)
    is_calm: bool = False

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        chance = 1.0 if self.is_calm else self.rng.random()
        if chance < 0.10:
            raise DeliveryError("not now")
        self.arrived.append((self.now, message))
        if chance < 0.13:
            self.crashes += 1
            raise CrashedError
        return thread or Thread("C", message.id)


class Week:
    """The deployment, the weather, and what the oracle writes down of both."""

    def __init__(self, database, clock, seed: int) -> None:
        self.database, self.clock, self.rng = database, clock, random.Random(seed)
        self.routing = routing_of(RouteConfig.model_validate(TREE), {"nights": NIGHTS}, 600.0)
        self.receivers = {name: Flaky(random.Random(f"{seed}{name}")) for name in ("slack", "pager", "lead")}
        self.wrong: dict[str, Severity] = {}
        self.silenced: list[tuple[str, datetime, datetime]] = []
        self.in_sight: dict[str, float] = {}
        """How long each firing incident has been wrong with nothing to keep people from hearing of it."""
        self.overdue: list[str] = []

    async def live(self, steps: int) -> None:
        for step in range(steps):
            if step % 5 == 0:
                self.weather()
            await self.minute()
        self.wrong.clear()
        for receiver in self.receivers.values():
            receiver.is_calm = True
        # Long enough for every silence, every night and every wait to be over.
        for _ in range(160):
            await self.minute(advance_s=600.0)

    def weather(self) -> None:
        """Things break and mend, one by one and in storms; people do what people do."""
        now = self.clock.now()
        is_storm = self.rng.random() < 0.03
        for key in KEYS:
            chance = self.rng.random()
            if key in self.wrong and chance < 0.12:
                del self.wrong[key]
            elif key not in self.wrong and chance < (0.6 if is_storm else 0.01):
                self.wrong[key] = Severity.PAGE if self.rng.random() < 0.4 else Severity.TICKET
        if self.rng.random() < 0.03:
            service, length = self.rng.choice(SERVICES), timedelta(seconds=self.rng.choice([1800, 7200]))
            matcher = parse_matcher(f"service={service}")
            self.database.write(lambda s: actions.silence(s, [matcher], "ada", "", now, now + length, now))
            self.silenced.append((service, now, now + length))
        if self.rng.random() < 0.05:
            opened = [one for one in self.database.read(store.open_incidents) if one.state is State.FIRING]
            if opened:
                chosen = self.rng.choice(opened).id
                self.database.write(lambda s: actions.acknowledge(s, chosen, "ada", now))

    async def minute(self, advance_s: float = STEP_S) -> None:
        looks = [(self.verdict(key), RULE) for key in KEYS]
        self.database.write(lambda s: receive(s, looks, self.clock.now(), None, RULES, self.routing))
        await self.tell()
        self.write_down(advance_s)
        self.clock.advance(advance_s)

    def verdict(self, key: str) -> Verdict:
        if key not in self.wrong:
            return Verdict(key, Label.STEADY)
        _, service, number = key.split("/")
        labels = {"service": service, "n": number}
        return Verdict(key, Label.BREACHED, Finding(self.wrong[key], Source.WATCH, f"{key} is off", labels))

    async def tell(self) -> None:
        """What the messenger does; a crash is followed by a start."""
        now = self.clock.now()
        while True:
            _, due = self.database.write(lambda s: flush_due(s, self.routing, RULES, now))
            if due is None or due > now:
                break
        for receiver in self.receivers.values():
            receiver.now = now
        while True:
            # Another sender each time, as after a start.
            outbox = Outbox(self.database, self.receivers, self.clock.now, self.rng)
            try:
                await outbox.drain()
            except CrashedError:
                self.database.write(outbox_store.release_claims)
                continue
            return

    # The oracle

    def write_down(self, seconds: float) -> None:
        now = self.clock.now()
        told = {line.incident_id for name in self.receivers for line in self.lines(name)}
        for incident in self.database.read(store.open_incidents):
            if incident.key not in self.wrong or incident.id in told or self.is_quiet(incident, now):
                self.in_sight.pop(incident.id, None)
                continue
            self.in_sight[incident.id] = self.in_sight.get(incident.id, 0.0) + seconds
            if self.in_sight[incident.id] > TOLD_WITHIN_S:
                self.overdue.append(incident.id)

    def lines(self, name: str):
        return [line for _, message in self.receivers[name].arrived for line in message.members]

    def is_quiet(self, incident, now: datetime) -> bool:
        """Whether nobody is to hear of it now, by the oracle's own reckoning."""
        service, number = incident.labels["service"], incident.labels["n"]
        is_silenced = any(one == service and start <= now < end for one, start, end in self.silenced)
        is_night = service == "mail" and (now.hour >= 22 or now.hour < 6)
        is_explained = number == "1" and f"watch/{service}/0" in self.wrong
        # What explains another goes on doing so while it is kept firing.
        others = (one.key for one in self.database.read(store.open_incidents))
        return is_silenced or is_night or is_explained or (number == "1" and f"watch/{service}/0" in others)


@pytest.mark.parametrize(
    ("seed", "days"),
    [
        pytest.param(1, 0.25, id="six hours"),
        *[
            pytest.param(seed, 7, id=f"week {seed}", marks=[pytest.mark.slow, pytest.mark.timeout(3600)])
            for seed in (2, 3)
        ],
    ],
)
async def test_storms_against_the_oracle(database, clock, seed, days):
    week = Week(database, clock, seed)
    await week.live(round(days * 86_400 / STEP_S))
    rows = database.read(lambda session: outbox_store.notifications(session, limit=100_000))
    arrived = {name: [message for _, message in one.arrived] for name, one in week.receivers.items()}
    crashes = sum(one.crashes for one in week.receivers.values())
    assert len(rows) > 10 * days
    assert crashes > 0

    # Nothing lost, and nothing twice without a crash.
    assert all(row.sent_at is not None for row in rows)
    copies = Counter(message.id for messages in arrived.values() for message in messages)
    assert set(copies) == {row.id for row in rows}
    assert copies.total() - len(copies) == crashes

    # The messages of a group reach each receiver in the order in which they were decided.
    for name, messages in arrived.items():
        for group in {message.group_id for message in messages}:
            mine = list(dict.fromkeys(m.id for m in messages if m.group_id == group))
            assert mine == [row.id for row in rows if row.receiver == name and row.message.group_id == group]

    # What stayed wrong in plain sight was told; of what was not told it is on record why not.
    assert week.overdue == []
    told = {line.incident_id for name in arrived for line in week.lines(name)}
    for incident in database.read(lambda session: store.incidents(session, 100_000)):
        if incident.id not in told and incident.state is State.RESOLVED:
            explanation = database.read(lambda session, i=incident.id: explain(session, i))
            assert {line.what for line in explanation.lines} & HELD, incident

    # In the end all is over, and everybody who heard of something heard of its end.
    assert database.read(store.open_incidents) == ()
    assert database.read(group_store.open_groups) == ()
    for name in arrived:
        last = {line.incident_id: line.state for line in week.lines(name)}
        assert set(last.values()) <= {State.RESOLVED}
