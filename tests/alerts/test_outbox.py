import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from alerts import DeliveryError, outbox_store, rollback_store, store
from alerts.channels import Tools, open_channels
from alerts.config import ReceiverConfig, RollbackConfig
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, NoticeKind
from alerts.intake import receive
from alerts.message import Message, Notification, Thread, addressed
from alerts.outbox import MAX_ATTEMPTS, Delivery, Outbox, Outcome, after_failure
from alerts.outbox_store import CLAIM_LEASE_S, MAX_WAIT_S
from alerts.rollback import EVERY_ROLLBACK, Mode, RollbackRule
from alerts.rolling_back import lock, unlock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LIVE = {"deploys": RollbackRule(Mode.LIVE)}


def breached(
    key: str = "drift/bot", severity: Severity = Severity.PAGE, wants_rollback: bool = False
) -> Verdict:
    return Verdict(key, Label.BREACHED, Finding(severity, Source.LEDGER, "it moved"), wants_rollback)


def steady(key: str = "drift/bot") -> Verdict:
    return Verdict(key, Label.STEADY)


@dataclass
class ScriptedChannel:
    """A channel that fails as its script says and remembers what arrived."""

    script: deque[Exception | None] = field(default_factory=deque)
    arrived: list[tuple[str, Thread | None, bool]] = field(default_factory=list)

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        failure = self.script.popleft() if self.script else None
        if failure is not None:
            raise failure
        self.arrived.append((f"{message.key} {message.kind}", thread, is_repeat))
        return thread or Thread("C1", f"{len(self.arrived)}")

    def told(self) -> list[str]:
        return [what for what, _, _ in self.arrived]


class Scene:
    """A deployment with scripted receivers."""

    def __init__(self, database, clock) -> None:
        self.database, self.clock = database, clock
        self.on_call, self.audit, self.deploys = ScriptedChannel(), ScriptedChannel(), ScriptedChannel()
        self.deliveries: list[Delivery] = []
        channels = {"on-call": self.on_call, "audit": self.audit, "rollback/deploys": self.deploys}
        self.outbox = Outbox(database, channels, clock.now, random.Random(1), self.deliveries.append)

    def take(self, *verdicts: Verdict, notify=("on-call",)) -> None:
        rule = AlertRule(notify=notify, rollback="deploys")
        looks = [(verdict, rule) for verdict in verdicts]
        self.database.write(lambda session: receive(session, looks, self.clock.now(), LIVE))

    def rows(self) -> tuple[Notification, ...]:
        return self.database.read(outbox_store.notifications)

    def backlog(self) -> outbox_store.Backlog:
        since = self.clock.now() - timedelta(seconds=30)
        return self.database.read(lambda session: outbox_store.backlog(session, since))

    def outcomes(self) -> list[Outcome]:
        return [delivery.outcome for delivery in self.deliveries]


@pytest.fixture
def scene(database, clock) -> Scene:
    return Scene(database, clock)


async def test_messages_arrive_in_order_and_once_and_join_their_thread(scene):
    scene.take(breached(severity=Severity.TICKET))
    scene.take(breached())
    scene.take(steady())
    assert await scene.outbox.drain() is None
    assert await scene.outbox.drain() is None
    thread = Thread("C1", "1")
    assert scene.on_call.arrived == [
        ("drift/bot firing", None, False),
        ("drift/bot escalated", thread, False),
        ("drift/bot resolved", thread, False),
    ]
    assert all(row.sent_at == scene.clock.now() for row in scene.rows())


async def test_an_empty_outbox_has_nothing_due(scene):
    assert await scene.outbox.drain() is None


async def test_incidents_do_not_share_threads(scene):
    scene.take(breached("drift/a"), breached("drift/b"), steady("drift/b"))
    await scene.outbox.drain()
    assert scene.on_call.arrived[-1] == ("drift/b resolved", Thread("C1", "2"), False)


async def test_a_failure_is_tried_again_later_and_not_before(scene):
    scene.take(breached())
    scene.on_call.script.append(DeliveryError("down"))
    due = await scene.outbox.drain()
    assert due is not None
    wait_s = (due - scene.clock.now()).total_seconds()
    assert 1 <= wait_s <= 2
    [row] = scene.rows()
    assert (row.is_waiting, row.attempts, row.last_error, row.next_attempt_at) == (True, 1, "down", due)
    scene.clock.advance(wait_s - 0.01)
    await scene.outbox.drain()
    assert scene.on_call.arrived == []
    scene.clock.advance(0.02)
    assert await scene.outbox.drain() is None
    assert scene.on_call.arrived == [("drift/bot firing", None, True)]


async def test_later_messages_of_an_incident_wait_for_the_earlier_ones(scene):
    scene.take(breached(), steady())
    scene.on_call.script.append(DeliveryError("down"))
    await scene.outbox.drain()
    await scene.outbox.drain()
    assert scene.on_call.arrived == []
    scene.clock.advance(2)
    await scene.outbox.drain()
    assert scene.on_call.told() == ["drift/bot firing", "drift/bot resolved"]


async def test_another_incident_does_not_wait_for_it(scene):
    scene.take(breached("drift/a"), breached("drift/b"))
    scene.on_call.script.append(DeliveryError("something about this one message"))
    assert await scene.outbox.drain() == scene.clock.now()
    await scene.outbox.drain()
    assert scene.on_call.told() == ["drift/b firing"]


async def test_a_permanent_failure_is_on_record_and_blocks_nothing(scene):
    scene.take(breached(), steady())
    scene.on_call.script.append(DeliveryError("channel_not_found", permanent=True))
    assert await scene.outbox.drain() is None
    assert scene.on_call.told() == ["drift/bot resolved"]
    assert scene.outcomes() == [Outcome.FAILED, Outcome.SENT]
    failed = scene.rows()[0]
    assert (failed.failed_at, failed.last_error) == (scene.clock.now(), "channel_not_found")
    assert scene.backlog() == outbox_store.Backlog(0, 1, None)
    scene.clock.advance(60)
    assert scene.backlog().failed == 0  # long ago


async def test_a_failed_message_goes_out_after_it_was_queued_again(scene):
    scene.take(breached())
    scene.on_call.script.append(DeliveryError("channel_not_found", permanent=True))
    await scene.outbox.drain()
    [failed] = scene.rows()
    assert scene.database.write(lambda session: outbox_store.requeue(session, failed.id))
    assert not scene.database.write(lambda session: outbox_store.requeue(session, failed.id))
    await scene.outbox.drain()
    assert scene.on_call.arrived == [("drift/bot firing", None, True)]


async def test_a_receiver_that_asks_for_a_pause_gets_it_for_all_its_messages(scene):
    scene.take(breached("drift/a"), breached("drift/b"), notify=("on-call", "audit"))
    scene.on_call.script.append(DeliveryError("429", retry_after_s=45))
    due = await scene.outbox.drain()
    assert due == scene.clock.now() + timedelta(seconds=45)
    assert (scene.on_call.arrived, len(scene.audit.arrived)) == ([], 2)
    scene.clock.advance(45)
    await scene.outbox.drain()
    assert scene.on_call.told() == ["drift/a firing", "drift/b firing"]


async def test_a_receiver_that_hangs_holds_up_only_itself(scene):
    others_are_served, release = asyncio.Event(), asyncio.Event()

    class HangingChannel:
        async def deliver(self, message, thread, *, is_repeat):
            await release.wait()

    def heard(delivery: Delivery) -> None:
        if len(scene.audit.arrived) == 2:
            others_are_served.set()

    channels = {"on-call": HangingChannel(), "audit": scene.audit}
    outbox = replace(scene.outbox, channels=channels, on_delivery=heard)
    scene.take(breached("drift/a"), breached("drift/b"), notify=("on-call", "audit"))
    draining = asyncio.create_task(outbox.drain())
    await others_are_served.wait()
    assert not draining.done()
    release.set()
    await draining
    assert scene.backlog().waiting == 0


async def test_a_channel_that_never_ends_is_left(scene):
    class EndlessChannel:
        async def deliver(self, message, thread, *, is_repeat):
            await asyncio.Event().wait()

    scene.take(breached())
    outbox = replace(scene.outbox, channels={"on-call": EndlessChannel()}, delivery_timeout_s=0.01)
    await outbox.drain()
    assert [(d.outcome, d.error) for d in scene.deliveries] == [(Outcome.RETRY, "no end after 0.01 s")]


async def test_a_thread_that_was_opened_anew_is_the_one_that_later_messages_join(scene):
    threads = iter([Thread("C1", "removed"), Thread("C1", "new"), Thread("C1", "new")])
    joined = []

    class ForgetfulChannel:
        async def deliver(self, message, thread, *, is_repeat):
            joined.append(thread and thread.message)
            return next(threads)

    scene.take(breached(severity=Severity.TICKET))
    scene.take(breached())
    scene.take(steady())
    await replace(scene.outbox, channels={"on-call": ForgetfulChannel()}).drain()
    assert joined == [None, "removed", "new"]


async def test_a_defect_in_a_channel_is_a_failure_that_shows_nothing_of_its_text(scene):
    scene.take(breached(), notify=("on-call", "audit"))
    scene.on_call.script.append(KeyError("xoxb-secret"))
    await scene.outbox.drain()
    errors = [delivery.error for delivery in scene.deliveries if delivery.error]
    assert errors == ["unexpected KeyError in the channel"]
    assert scene.audit.told() == ["drift/bot firing"]


async def test_a_receiver_that_is_no_longer_configured_is_a_failure_on_record(scene):
    scene.take(breached(), notify=("gone",))
    await scene.outbox.drain()
    assert scene.rows()[0].last_error == "no receiver 'gone' in the configuration"


async def test_two_senders_do_not_send_the_same_message(scene):
    scene.take(breached())
    claim = scene.database.write(lambda s: outbox_store.claim_next(s, "on-call", scene.clock.now()))
    assert claim is not None
    due = await scene.outbox.drain()
    assert scene.on_call.arrived == []
    assert due == scene.clock.now() + timedelta(seconds=CLAIM_LEASE_S)


@pytest.mark.parametrize(
    ("restarts", "later_s"),
    [(False, CLAIM_LEASE_S), (True, 0), (False, -3600)],
    ids=["the claim runs out", "the daemon starts again", "the clock went back"],
)
async def test_a_message_whose_sender_died_is_sent_as_a_repeat(scene, restarts, later_s):
    scene.take(breached())
    scene.database.write(lambda s: outbox_store.claim_next(s, "on-call", scene.clock.now()))
    if restarts:
        assert scene.database.write(outbox_store.release_claims) == 1
    scene.clock.advance(later_s)
    assert scene.database.read(lambda s: outbox_store.next_due_at(s, scene.clock.now())) == scene.clock.now()
    await scene.outbox.drain()
    assert scene.on_call.arrived == [("drift/bot firing", None, True)]


async def test_a_crash_between_sending_and_marking_loses_nothing(scene):
    """The disk is full at the mark: the message repeats, with the same id."""
    scene.take(breached())
    failures = deque([False, True])

    class FullDisk:
        aread = scene.database.aread

        async def awrite(self, work):
            if failures and failures.popleft():
                raise OSError("No space left on device")
            return await scene.database.awrite(work)

    dying = replace(scene.outbox, database=FullDisk())
    with pytest.raises(OSError, match="No space"):
        await dying.drain()
    assert len(scene.on_call.arrived) == 1
    scene.database.write(outbox_store.release_claims)
    await scene.outbox.drain()
    assert scene.on_call.arrived[1:] == [("drift/bot firing", None, True)]


@pytest.mark.parametrize("jump_s", [-3600, -400 * 86400], ids=["an hour", "a year"])
async def test_a_clock_that_goes_back_does_not_hold_messages(scene, jump_s):
    scene.take(breached("drift/new"), breached("drift/retried"))
    scene.on_call.script.extend([None, DeliveryError("down", retry_after_s=MAX_WAIT_S)])
    await scene.outbox.drain()
    scene.clock.advance(jump_s - 1)
    scene.take(breached("drift/later"))
    await scene.outbox.drain()
    assert scene.on_call.told() == ["drift/new firing", "drift/retried firing", "drift/later firing"]


async def test_a_test_message_goes_through_the_outbox_and_nothing_else_does(scene):
    scene.take(breached())
    row = await scene.outbox.send_test("on-call")
    assert row.sent_at == scene.clock.now()
    assert scene.on_call.told() == [" test"]


@pytest.mark.parametrize(
    ("receiver", "failure", "says"),
    [
        ("on-call", DeliveryError("invalid_auth", permanent=True), "invalid_auth"),
        ("on-call", DeliveryError("down"), "down"),
        ("nobody", None, "no receiver 'nobody' in the configuration"),
    ],
    ids=["refused", "down", "no such receiver"],
)
async def test_a_test_message_that_does_not_arrive_says_why(scene, receiver, failure, says):
    scene.on_call.script.append(failure)
    row = await scene.outbox.send_test(receiver)
    assert (row.sent_at, row.last_error) == (None, says)


async def test_a_delivered_rollback_is_told_to_those_who_know_of_the_incident(scene):
    scene.take(breached(wants_rollback=True), notify=("on-call", "audit"))
    await scene.outbox.drain()
    await scene.outbox.drain()
    assert scene.deploys.told() == ["drift/bot rollback"]
    assert scene.on_call.told() == scene.audit.told() == ["drift/bot firing", "drift/bot rollback_news"]
    order = next(row for row in scene.rows() if row.message.kind is NoticeKind.ROLLBACK)
    assert f"was delivered to the deploy system (webhook-id {order.id})" in scene.rows()[-1].message.note
    [past] = scene.database.read(rollback_store.history)
    assert past.delivered_at == scene.clock.now()


async def test_a_rollback_that_cannot_be_delivered_is_told_too(scene):
    scene.take(breached(wants_rollback=True))
    scene.deploys.script.append(DeliveryError("the webhook answered 410", permanent=True))
    await scene.outbox.drain()
    await scene.outbox.drain()
    assert "could not be delivered: the webhook answered 410" in scene.rows()[-1].message.note
    assert scene.on_call.told()[-1] == "drift/bot rollback_news"
    [past] = scene.database.read(rollback_store.history)
    assert (past.delivered_at, past.failed_at) == (None, scene.clock.now())


@pytest.mark.parametrize("locked", ["deploys", EVERY_ROLLBACK])
async def test_an_order_that_waits_is_held_by_a_lock_and_not_sent_later(scene, locked):
    scene.take(breached(wants_rollback=True))
    scene.database.write(lambda session: lock(session, locked, "eve", "freeze", scene.clock.now()))
    await scene.outbox.drain()
    scene.database.write(lambda session: unlock(session, locked, "eve", scene.clock.now()))
    await scene.outbox.drain()
    assert scene.deploys.arrived == []
    assert "could not be delivered: it is locked by eve since" in scene.rows()[-1].message.note


@pytest.mark.parametrize(("late_s", "arrives"), [(1800, True), (1801, False)])
async def test_an_old_rollback_is_not_sent(scene, late_s, arrives):
    scene.take(breached(wants_rollback=True))
    scene.clock.advance(late_s)
    await scene.outbox.drain()
    assert bool(scene.deploys.arrived) is arrives
    assert scene.on_call.told()[0] == "drift/bot firing"


NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def row_of(kind: NoticeKind = NoticeKind.FIRING, attempts: int = 1, age_s: float = 0) -> Notification:
    message = Message("", kind, "it moved", NOW - timedelta(seconds=age_s), incident_id="i")
    return replace(addressed(message, "on-call", 1), attempts=attempts)


@pytest.mark.parametrize(
    ("attempts", "low_s", "high_s"),
    [(1, 1, 2), (2, 2, 4), (5, 16, 32), (9, 256, 512), (10, 450, 900), (150, 450, 900)],
)
def test_waits_double_up_to_a_quarter_of_an_hour_and_are_spread_out(attempts, low_s, high_s):
    rng, waits_s = random.Random(7), set()
    for _ in range(50):
        delivery = after_failure(row_of(attempts=attempts), DeliveryError("down"), NOW, rng)
        assert delivery.next_attempt_at is not None
        waits_s.add((delivery.next_attempt_at - NOW).total_seconds())
    assert low_s <= min(waits_s) < max(waits_s) <= high_s


@pytest.mark.parametrize(
    ("row", "error", "outcome"),
    [
        (row_of(), DeliveryError("x"), Outcome.RETRY),
        (row_of(), DeliveryError("x", permanent=True), Outcome.FAILED),
        (row_of(attempts=MAX_ATTEMPTS - 1), DeliveryError("x"), Outcome.RETRY),
        (row_of(attempts=MAX_ATTEMPTS), DeliveryError("x"), Outcome.FAILED),
        (row_of(age_s=80_000), DeliveryError("x"), Outcome.RETRY),
        (row_of(age_s=86_400), DeliveryError("x"), Outcome.FAILED),
        (row_of(age_s=-9e9), DeliveryError("x"), Outcome.RETRY),
        (row_of(NoticeKind.ROLLBACK, age_s=1700), DeliveryError("x"), Outcome.RETRY),
        (row_of(NoticeKind.ROLLBACK, age_s=1800), DeliveryError("x"), Outcome.FAILED),
        (row_of(NoticeKind.ROLLBACK), DeliveryError("x", retry_after_s=1801), Outcome.FAILED),
        (row_of(NoticeKind.TEST, age_s=60), DeliveryError("x"), Outcome.FAILED),
    ],
    ids=[
        "first failure",
        "permanent",
        "last attempt but one",
        "last attempt",
        "almost a day old",
        "a day old",
        "written by a clock that ran ahead",
        "a rollback of 28 minutes",
        "a rollback of half an hour",
        "a rollback told to wait too long",
        "an old test",
    ],
)
def test_when_a_message_is_given_up(row, error, outcome):
    assert after_failure(row, error, NOW, random.Random(1)).outcome is outcome


def test_the_longest_pause_a_receiver_can_ask_for_is_an_hour():
    delivery = after_failure(row_of(), DeliveryError("x", retry_after_s=1e9), NOW, random.Random(1))
    assert delivery.next_attempt_at == NOW + timedelta(seconds=MAX_WAIT_S)


async def test_the_whole_way_to_slack_and_the_deploy_system(database, clock, slack, endpoint):
    """An incident from its page to its end, over HTTP, with a lost answer and a busy deploy system on the way."""
    receivers = {
        "on-call": ReceiverConfig(
            slack={"token": "xoxb-secret", "channel": "C0ONCALL", "base_url": slack.url}
        )
    }
    rollbacks = {"deploys": RollbackConfig(url=endpoint.url, secret=SECRET, mode="live")}
    async with httpx.AsyncClient() as client:
        channels = open_channels(receivers, rollbacks, Tools(client, clock.now))
        outbox = Outbox(database, channels, clock.now, random.Random(1))
        rule = AlertRule(notify=("on-call",), rollback="deploys")
        rules = {name: config.rule() for name, config in rollbacks.items()}

        async def take(verdict: Verdict) -> None:
            await database.awrite(lambda s: receive(s, [(verdict, rule)], clock.now(), rules))
            await outbox.drain()

        slack.keeps_before_failing = True
        slack.script.append(("chat.postMessage", SimpleNamespace(status=504, body="<html>", headers={})))
        endpoint.script.append(SimpleNamespace(status=503, headers={}))
        await take(breached(wants_rollback=True))
        for _ in range(3):
            clock.advance(10)
            await take(breached(wants_rollback=True))
        await take(steady())

    root, news, resolved = slack.messages
    assert [m["text"].split(":")[0] for m in slack.messages] == ["PAGE FIRING", "ROLLBACK", "PAGE RESOLVED"]
    assert news["thread_ts"] == resolved["thread_ts"] == root["ts"]
    assert slack.methods().count("chat.update") == 1
    ids = [headers["webhook-id"] for headers, _ in endpoint.requests]
    assert len(ids) == 2
    assert len(set(ids)) == 1


KILLED_SENDER = """
import asyncio, os, random, signal, sys
from datetime import datetime
from pathlib import Path
from alerts.outbox import Outbox
from monitor.database import Database

log, moment = Path(sys.argv[2]), sys.argv[3]

class Channel:
    async def deliver(self, message, thread, *, is_repeat):
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with log.open("a") as file:
            file.write(message.id + "\\n")
        if moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)

database = Database(Path(sys.argv[1]))
now = lambda: datetime.fromisoformat(sys.argv[4])
asyncio.run(Outbox(database, {"on-call": Channel()}, now, random.Random(1)).drain())
"""


@pytest.mark.parametrize(("moment", "copies"), [("before", 1), ("after", 2)])
async def test_a_sender_killed_between_claim_and_mark_loses_nothing(
    database, clock, tmp_path, moment, copies
):
    log = tmp_path / "arrived"
    scene = Scene(database, clock)
    scene.take(breached())
    command = [sys.executable, "-c", KILLED_SENDER, str(database.path), str(log)]
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def send(at: str) -> int:
        environment = dict(os.environ) | paths
        return subprocess.run(
            [*command, at, clock.now().isoformat()], env=environment, check=False
        ).returncode

    assert await asyncio.to_thread(send, moment) == -signal.SIGKILL
    clock.advance(CLAIM_LEASE_S)
    assert await asyncio.to_thread(send, "never") == 0
    arrived = log.read_text().split()
    assert len(arrived) == copies
    assert len(set(arrived)) == 1
    [row] = scene.rows()
    assert (row.sent_at, row.attempts) == (clock.now(), 2)


def requeue_pages(scene: Scene) -> int:
    return scene.database.write(outbox_store.requeue_pages)


async def test_an_alarm_that_was_refused_for_good_is_sent_at_the_next_start_while_its_incident_is_open(scene):
    scene.on_call.script.append(DeliveryError("invalid_auth", permanent=True))
    scene.take(breached())
    await scene.outbox.drain()
    assert (scene.on_call.told(), scene.backlog().failed) == ([], 1)
    assert requeue_pages(scene) == 1
    await scene.outbox.drain()
    assert scene.on_call.told() == ["drift/bot firing"]
    assert requeue_pages(scene) == 0


async def test_an_alarm_whose_incident_is_over_stays_given_up(scene):
    scene.on_call.script.extend([DeliveryError("invalid_auth", permanent=True)] * 2)
    scene.take(breached())
    scene.take(steady())
    await scene.outbox.drain()
    assert requeue_pages(scene) == 0


async def test_only_alarms_are_sent_again(scene):
    scene.deploys.script.append(DeliveryError("gone", permanent=True))
    scene.take(breached(wants_rollback=True))
    await scene.outbox.drain()
    assert scene.backlog().failed == 1
    assert requeue_pages(scene) == 0


def forget(scene: Scene, days: float, limit: int = 100) -> int:
    before = scene.clock.now() - timedelta(days=days)
    return scene.database.write(lambda session: outbox_store.forget(session, before, limit))


async def test_messages_of_incidents_long_over_are_forgotten_and_the_incidents_stay(scene):
    scene.take(breached("drift/over"), breached("drift/open"))
    scene.take(steady("drift/over"))
    await scene.outbox.drain()
    await scene.outbox.send_test("audit")
    scene.clock.advance(timedelta(days=10).total_seconds())
    assert forget(scene, days=11) == 0
    assert forget(scene, days=9, limit=2) == 2
    assert forget(scene, days=9) == 1
    assert [row.message.key for row in scene.rows()] == ["drift/open"]
    assert len(scene.database.read(store.incidents)) == 2


async def test_what_still_waits_is_never_forgotten(scene):
    scene.on_call.script.append(DeliveryError("busy"))
    scene.take(breached())
    scene.take(steady())
    await scene.outbox.drain()
    scene.clock.advance(timedelta(days=10).total_seconds())
    assert forget(scene, days=9) == 0
    assert len(scene.rows()) == 2
