"""Too many messages at a time, and receivers that cannot be reached: nothing is lost, and somebody hears it."""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from alerts import DeliveryError, outbox_store
from alerts.digest import Allowance, allowance
from alerts.explain import explain
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, NoticeKind
from alerts.intake import receive
from alerts.message import Message, Thread, Why
from alerts.outbox import Outbox
from alerts.outbox_store import Load

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@dataclass
class Receiver:
    """A channel that keeps what arrives, and fails as it is told."""

    failures: deque[DeliveryError] = field(default_factory=deque)
    is_dead: bool = False
    arrived: list[Message] = field(default_factory=list)

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        if self.is_dead:
            raise DeliveryError("gone", permanent=True)
        if self.failures:
            raise self.failures.popleft()
        self.arrived.append(message)
        return thread or Thread("C", str(len(self.arrived)))


class Sea:
    """A deployment with receivers, of which ``pager`` takes ten messages a minute."""

    def __init__(self, database, clock) -> None:
        self.database, self.clock = database, clock
        self.receivers = {name: Receiver() for name in ("pager", "slack", "mail")}
        self.outbox = Outbox(
            database,
            self.receivers,
            clock.now,
            random.Random(1),
            limits={"pager": 10},
            fallbacks={"pager": ("slack", "mail"), "slack": ("pager", "mail")},
        )

    def storm(
        self, count: int, label: Label = Label.BREACHED, severity: Severity = Severity.PAGE, to="pager"
    ) -> None:
        rule = AlertRule(notify=(to,))
        looks = [(self.verdict(n, label, severity), rule) for n in range(count)]
        self.database.write(lambda session: receive(session, looks, self.clock.now()))

    def verdict(self, number: int, label: Label, severity: Severity) -> Verdict:
        is_bad = label is Label.BREACHED
        finding = (
            Finding(severity, Source.WATCH, f"watch {number} is off", {"n": str(number)}) if is_bad else None
        )
        return Verdict(f"watch/{number}", label, finding)

    def arrived(self, name: str) -> list[Message]:
        return self.receivers[name].arrived

    def states(self) -> dict[str, int]:
        rows = self.database.read(lambda session: outbox_store.notifications(session, limit=10_000))
        return {
            "waiting": sum(row.is_waiting for row in rows),
            "sent": sum(row.sent_at is not None for row in rows),
            "failed": sum(row.failed_at is not None for row in rows),
        }


@pytest.fixture
def sea(database, clock) -> Iterator[Sea]:
    return Sea(database, clock)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(waiting=10, sent=0), Allowance(messages=10)),
        (Load(waiting=11, sent=0), Allowance(is_storm=True)),
        (Load(waiting=5, sent=5), Allowance(messages=5)),
        (Load(waiting=6, sent=5), Allowance(is_storm=True)),
        (Load(waiting=1, sent=10, digest_sent_at=NOW - timedelta(seconds=61)), Allowance(is_storm=True)),
        (
            Load(waiting=1, sent=10, digest_sent_at=NOW - timedelta(seconds=20)),
            Allowance(until=NOW + timedelta(seconds=40)),
        ),
        (Load(waiting=1, sent=10, digest_sent_at=NOW + timedelta(seconds=20)), Allowance(is_storm=True)),
        (
            Load(waiting=50, sent=0, digest_id="d", digest_due_at=NOW),
            Allowance(digest_id="d", until=NOW),
        ),
    ],
    ids=[
        "just as many as may go out",
        "one more than that",
        "as many as are left",
        "one more than are left",
        "a digest long ago",
        "a digest a short time ago",
        "a digest from the future: the clock went back",
        "a digest on its way",
    ],
)
def test_what_may_go_to_a_receiver(load, expected):
    assert allowance(load, 10, NOW) == expected


async def test_a_storm_is_one_digest_that_counts_all_and_names_the_loudest(sea):
    sea.storm(5, severity=Severity.TICKET)
    sea.storm(300)
    await sea.outbox.drain()
    [digest] = sea.arrived("pager")
    assert (digest.kind, digest.severity, digest.why) == (NoticeKind.DIGEST, Severity.PAGE, Why.DIGEST)
    assert (digest.member_count, len(digest.members)) == (305, 20)
    assert {member.severity for member in digest.members} == {Severity.PAGE}
    assert digest.evidence == (("PAGE escalated", "5"), ("PAGE firing", "295"), ("TICKET firing", "5"))
    assert sea.states() == {"waiting": 0, "sent": 306, "failed": 0}


async def test_few_messages_are_no_storm(sea):
    sea.storm(10)
    await sea.outbox.drain()
    assert [message.kind for message in sea.arrived("pager")] == [NoticeKind.FIRING] * 10


async def test_after_a_digest_the_next_one_waits_a_minute_and_has_what_came_meanwhile(sea):
    sea.storm(300)
    await sea.outbox.drain()
    sea.clock.advance(10)
    sea.storm(300, Label.STEADY)
    due = await sea.outbox.drain()
    assert len(sea.arrived("pager")) == 1
    assert due == sea.clock.now() + timedelta(seconds=50)
    sea.clock.advance(51)
    await sea.outbox.drain()
    assert sea.arrived("pager")[1].evidence == (("PAGE resolved", "300"),)
    assert sea.arrived("pager")[1].severity is Severity.INFO


async def test_nothing_overtakes_a_digest_that_is_tried_again(sea):
    sea.receivers["pager"].failures.append(DeliveryError("not now"))
    sea.storm(300)
    due = await sea.outbox.drain()
    sea.storm(3, Label.STEADY)
    assert await sea.outbox.drain() == due
    assert sea.arrived("pager") == []
    sea.clock.advance(60)
    await sea.outbox.drain()
    await sea.outbox.drain()
    assert [message.kind for message in sea.arrived("pager")] == [NoticeKind.DIGEST] + [
        NoticeKind.RESOLVED
    ] * 3


async def test_a_digest_has_what_waits_for_another_attempt_too(sea):
    sea.receivers["pager"].failures.append(DeliveryError("not now"))
    sea.storm(3)
    await sea.outbox.drain()
    sea.storm(300)
    await sea.outbox.drain()
    [digest] = sea.arrived("pager")
    assert digest.member_count == 300
    assert sea.states()["waiting"] == 0


async def test_a_digest_that_cannot_be_told_goes_to_somebody_else(sea):
    sea.receivers["pager"].is_dead = True
    sea.storm(300)
    await sea.outbox.drain()
    await sea.outbox.drain()
    [digest] = sea.arrived("slack")
    assert (digest.kind, digest.why, digest.tried) == (NoticeKind.DIGEST, Why.FALLBACK, ("pager",))
    assert digest.member_count == 300
    assert sea.states()["failed"] == 301


async def test_what_a_receiver_cannot_be_told_goes_to_the_next(sea):
    sea.receivers["pager"].is_dead = True
    sea.storm(1)
    await sea.outbox.drain()
    await sea.outbox.drain()
    [message] = sea.arrived("slack")
    assert (message.kind, message.why, message.tried) == (NoticeKind.FIRING, Why.FALLBACK, ("pager",))
    assert message.note == "pager was to have this and could not be reached."


async def test_whoever_was_told_instead_hears_of_the_end_too(sea):
    sea.receivers["pager"].is_dead = True
    sea.storm(1)
    await sea.outbox.drain()
    sea.storm(1, Label.STEADY)
    for _ in range(2):
        await sea.outbox.drain()
    assert [message.kind for message in sea.arrived("slack")] == [NoticeKind.FIRING, NoticeKind.RESOLVED]


async def test_it_goes_on_from_one_to_the_next_until_somebody_is_reached(sea):
    sea.receivers["pager"].is_dead = sea.receivers["slack"].is_dead = True
    sea.storm(1)
    for _ in range(3):
        await sea.outbox.drain()
    [message] = sea.arrived("mail")
    assert message.tried == ("pager", "slack")


async def test_when_nobody_is_left_that_is_on_record(sea):
    for receiver in sea.receivers.values():
        receiver.is_dead = True
    sea.storm(1)
    for _ in range(4):
        await sea.outbox.drain()
    assert sea.states() == {"waiting": 0, "sent": 0, "failed": 3}
    explanation = sea.database.read(lambda session: explain(session, "watch/0"))
    assert any("there is nobody else who does not know" in line.why for line in explanation.lines)


async def test_what_fails_for_minutes_goes_to_somebody_else_and_is_tried_on(sea):
    sea.receivers["pager"].failures.extend([DeliveryError("down")] * 30)
    sea.storm(1)
    for _ in range(12):
        await sea.outbox.drain()
        sea.clock.advance(60)
    assert (len(sea.arrived("slack")), sea.arrived("mail"), sea.arrived("pager")) == (1, [], [])
    sea.receivers["pager"].failures.clear()
    sea.clock.advance(3600)
    await sea.outbox.drain()
    assert len(sea.arrived("pager")) == 1


async def test_a_message_that_woke_nobody_has_no_second_receiver(sea):
    sea.storm(1)
    await sea.outbox.drain()
    sea.receivers["pager"].is_dead = True
    sea.storm(1, Label.STEADY)
    for _ in range(2):
        await sea.outbox.drain()
    assert sea.arrived("slack") == []
