"""The loop that tells groups when they are due, in real time."""

import asyncio
import random
from datetime import timedelta

import pytest

from alerts import actions, store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.message import Message, Thread
from alerts.outbox import Outbox
from alerts.rollback import Mode, RollbackRule
from alerts.routing_config import RouteConfig, routing_of
from canaries.clock import SystemClock
from monitor.self_watch import SelfWatch
from monitor.telemetry import Metrics
from monitor.telling.messenger import Messenger
from monitor.watched import House


class Pager:
    """Keeps what arrives, and says so."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[Message] = asyncio.Queue()

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        self.arrived.put_nowait(message)
        return thread


@pytest.mark.parametrize("wait", ["0s", "300ms"])
async def test_a_group_is_told_when_its_wait_is_over_and_counts_as_one_page(database, wait):
    clock, pager = SystemClock(), Pager()
    metrics = Metrics(clock)
    tree = RouteConfig.model_validate({"receivers": ["pager"], "group_wait": wait, "group_interval": "0s"})
    house = House(b"", routing=routing_of(tree, {}, 0.0))
    self_watch = SelfWatch(database, clock, metrics, lambda now: None)
    messenger = Messenger(database, clock, metrics, self_watch, house)
    outbox = Outbox(database, {"pager": pager}, clock.now, random.Random(1))
    finding = Finding(Severity.PAGE, Source.WATCH, "slow", {"service": "chat"})
    began = clock.now()
    loop = asyncio.create_task(messenger.deliver(outbox))
    verdict = Verdict("watch/chat", Label.BREACHED, finding)
    transitions = await database.awrite(
        lambda session: receive(session, [(verdict, AlertRule())], began, routing=house.routing)
    )
    messenger.tell(transitions)
    async with asyncio.timeout(30):
        first = await pager.arrived.get()
    [incident] = await database.aread(store.open_incidents)
    await database.awrite(lambda session: actions.acknowledge(session, incident.id, "ada", clock.now()))
    messenger.wake()
    async with asyncio.timeout(30):
        second = await pager.arrived.get()
    messenger.close()
    await loop
    assert [first.kind.value, second.kind.value] == ["firing", "acknowledged"]
    assert first.created_at >= began + timedelta(seconds=0.3 if wait == "300ms" else 0.0)
    assert metrics.pages._value.get() == 1.0


async def test_a_rollback_that_nobody_answers_is_closed_in_time_and_told(database):
    clock, pager = SystemClock(), Pager()
    metrics = Metrics(clock)
    self_watch = SelfWatch(database, clock, metrics, lambda now: None)
    messenger = Messenger(database, clock, metrics, self_watch, House(b""))
    outbox = Outbox(database, {"pager": pager}, clock.now, random.Random(1))
    began, rules = clock.now(), {"deploy": RollbackRule(Mode.ASK, answer_within_s=0.3)}
    finding = Finding(Severity.PAGE, Source.WATCH, "slow", {"service": "chat"})
    verdict = Verdict("watch/chat", Label.BREACHED, finding, wants_rollback=True)
    rule = AlertRule(notify=("pager",), rollback="deploy")
    await database.awrite(lambda session: receive(session, [(verdict, rule)], began, rules))
    loop = asyncio.create_task(messenger.deliver(outbox))
    async with asyncio.timeout(30):
        arrived = [await pager.arrived.get() for _ in range(3)]
    messenger.close()
    await loop
    assert [one.kind.value for one in arrived] == ["firing", "rollback_question", "rollback_news"]
    assert "nobody answered in time" in arrived[-1].note
    assert arrived[-1].created_at >= began + timedelta(seconds=0.3)
