"""A database that takes nothing: people hear of it without it, and that it is over."""

from collections import deque
from typing import Any

import pytest

from alerts import DeliveryError
from alerts.message import Message, Thread
from alerts.routing import Routing
from alerts.routing_config import RouteConfig, routing_of
from monitor.database import Database
from monitor.self_watch import Refusal, SelfWatch
from monitor.telemetry import Metrics
from monitor.watchman.events import Trouble
from monitor.watchman.last_resort import DIRECTLY_AFTER_S, END_TRIES_MAX, LastResort


class Pager:
    """Keeps what arrives; ``script`` says which of the next messages do not."""

    def __init__(self) -> None:
        self.arrived: list[tuple[Message, Thread | None, bool]] = []
        self.script: deque[Exception | None] = deque()

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        if self.script and (failure := self.script.popleft()):
            raise failure
        self.arrived.append((message, thread, is_repeat))
        return thread or Thread("C1", "1")

    def told(self) -> list[str]:
        return [message.kind.value for message, _, _ in self.arrived]


class World:
    def __init__(self, database: Database, clock: Any, routing: Routing | None = None) -> None:
        self.clock, self.pager, self.lead = clock, Pager(), Pager()
        self.self_watch = SelfWatch(database, clock, Metrics(clock), lambda now: None)
        channels = {"pager": self.pager, "lead": self.lead}
        self.it = LastResort(self.self_watch, clock, routing or Routing(), ("pager",), channels)

    def refuse(self) -> None:
        self.self_watch.refusal = Refusal("disk is full", self.clock.now(), self.clock.monotonic())

    async def pass_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.it.look()

    def recorded(self) -> str:
        event = self.self_watch.events.lately(self.clock.now()).get(Trouble.DATABASE)
        return event.sentence if event else ""


@pytest.fixture
def world(database, clock) -> World:
    return World(database, clock)


async def test_a_refusal_that_lasts_is_told_once_and_so_is_its_end(world: World) -> None:
    world.refuse()
    await world.pass_by(DIRECTLY_AFTER_S - 1)
    assert world.pager.told() == []
    for _ in range(3):
        await world.pass_by(30)
    assert world.pager.told() == ["firing"]
    assert "disk is full" in world.pager.arrived[0][0].summary
    world.self_watch.refusal = None
    for _ in range(3):
        await world.pass_by(30)
    assert world.pager.told() == ["firing", "resolved"]
    begin, end = (message for message, _, _ in world.pager.arrived)
    assert begin.group_id == end.group_id
    assert world.pager.arrived[1][1] == Thread("C1", "1")
    assert "refused for 2 min: disk is full" in world.recorded()
    assert "Told directly: pager" in world.recorded()
    assert world.lead.told() == []


async def test_a_short_refusal_is_recorded_and_told_to_nobody(world: World) -> None:
    world.refuse()
    await world.pass_by(30)
    world.self_watch.refusal = None
    await world.pass_by(5)
    assert world.pager.told() == []
    assert "refused for 35 s" in world.recorded()


async def test_a_database_that_somebody_held_for_a_moment_is_nothing(world: World) -> None:
    world.refuse()
    await world.pass_by(4)
    world.self_watch.refusal = None
    await world.pass_by(4)
    assert world.recorded() == ""


async def test_who_could_not_be_told_is_told_at_the_next_look(world: World) -> None:
    world.refuse()
    world.pager.script.extend([DeliveryError("no route to host"), ValueError("a defect")])
    for _ in range(3):
        await world.pass_by(DIRECTLY_AFTER_S)
    assert world.pager.told() == ["firing"]
    assert world.pager.arrived[0][2], "the earlier attempt may have arrived"
    assert "no route to host" in "\n".join(world.self_watch.problems.shown(world.clock.now()))


async def test_the_end_is_tried_again_and_given_up_in_the_end(world: World) -> None:
    world.refuse()
    await world.pass_by(DIRECTLY_AFTER_S)
    world.self_watch.refusal = None
    world.pager.script.extend([DeliveryError("no route to host")] * END_TRIES_MAX)
    for _ in range(END_TRIES_MAX + 5):
        await world.pass_by(30)
    assert world.pager.told() == ["firing"]
    world.refuse()
    await world.pass_by(DIRECTLY_AFTER_S)
    assert world.pager.told() == ["firing", "firing"], "the next refusal is told as ever"


async def test_a_tree_of_routes_says_who_is_told_directly(database, clock) -> None:
    tree = RouteConfig.model_validate(
        {"receivers": ["pager"], "routes": [{"match": ["watchman=database"], "receivers": ["lead"]}]}
    )
    world = World(database, clock, routing_of(tree, {}, 0.0))
    world.refuse()
    await world.pass_by(DIRECTLY_AFTER_S)
    assert (world.pager.told(), world.lead.told()) == ([], ["firing"])
