"""The watch over the watch on a real database: findings become incidents, people hear of them, tests are sent."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import canaries.store as canary_store
from alerts import outbox_store, receiver_store, store
from alerts.finding import Severity
from alerts.incident import Incident, State
from alerts.message import addressed, receiver_test
from monitor.config import Config, ConfigError, Deployment, load
from monitor.database import Database
from monitor.deployment import house_of
from monitor.self_watch import SelfWatch
from monitor.taking_over import take_over
from monitor.telemetry import Metrics
from monitor.watchman.clocks import ServerClocks
from monitor.watchman.events import Trouble
from monitor.watchman.last_resort import LastResort
from monitor.watchman.looking import Diary
from monitor.watchman.receivers import fingerprints
from monitor.watchman.watchman import KEEP_FIRING_S, LOOK_EVERY_S, Watchman

HOOK = {"webhook": {"url": "https://example.com/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
RECEIVERS = {"receivers": {"pager": HOOK, "lead": HOOK}}
FULL, EMPTY = {"disk": {"ticket_below": "99999TB", "page_below": "0%"}}, {"disk": {"ticket_below": "0%"}}
BOT = {"model": "m", "suite": "suite.yaml", "every": "15m"}


class World:
    """A daemon's watchman, and the time in it."""

    def __init__(self, database: Database, clock: Any, config: dict[str, Any]) -> None:
        self.database, self.clock, self.started_at = database, clock, clock.now()
        self.told: list[str] = []
        self.metrics = Metrics(clock)
        self.self_watch = SelfWatch(database, clock, self.metrics, lambda now: None)
        self.configure(config)

    def configure(self, config: dict[str, Any]) -> None:
        """Start with this configuration."""
        deployment = Deployment(Config.model_validate({"watchman": EMPTY} | RECEIVERS | config), {})
        house, now, told = (
            house_of(deployment, b"secret"),
            self.clock.now(),
            deployment.config.told_of_the_watch(),
        )
        self.diary = Diary(now)
        self.it = Watchman(
            deployment,
            self.database,
            self.clock,
            self.self_watch,
            self.metrics,
            house,
            Path("/"),
            ServerClocks(self.clock),
            self.diary,
            LastResort(self.self_watch, self.clock, house.routing, told, {}),
            lambda transitions: self.told.extend(
                one.reason.value for one in transitions if one.notifications
            ),
        )
        set_up = fingerprints(deployment.config, b"secret")
        self.database.write(lambda session: receiver_store.set_up(session, set_up, now))

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, with a look twice a minute."""
        for _ in range(round(seconds / LOOK_EVERY_S)):
            self.clock.advance(LOOK_EVERY_S)
            await self.it.look()

    def incidents(self, state: State | None = None) -> dict[str, Incident]:
        found = self.database.read(store.incidents)
        return {one.key: one for one in found if state is None or one.state is state}

    def messages(self, key: str) -> list[tuple[str, str]]:
        rows = self.database.read(outbox_store.notifications)
        return [(row.receiver, row.message.kind.value) for row in rows if row.message.key == key]


async def test_a_disk_that_fills_is_told_once_it_lasts_and_told_when_it_is_over(database, clock) -> None:
    world = World(database, clock, {"watchman": FULL})
    await world.pass_by(30)
    assert world.incidents(State.PENDING).keys() == {"watchman/disk"}
    assert world.messages("watchman/disk") == []
    await world.pass_by(90)
    assert world.incidents()["watchman/disk"].state is State.FIRING
    assert world.messages("watchman/disk") == [("pager", "firing"), ("lead", "firing")]
    world.configure({"watchman": EMPTY})
    await world.pass_by(KEEP_FIRING_S + 60)
    assert world.incidents()["watchman/disk"].state is State.RESOLVED
    assert world.messages("watchman/disk")[2:] == [("pager", "resolved"), ("lead", "resolved")]


async def test_what_passes_before_anybody_must_hear_of_it_is_told_to_nobody(database, clock) -> None:
    world = World(database, clock, {"watchman": FULL})
    await world.pass_by(30)
    world.configure({"watchman": EMPTY})
    await world.pass_by(300)
    assert world.messages("watchman/disk") == []


async def test_a_gap_is_told_and_is_over_by_itself(database, clock) -> None:
    world = World(database, clock, {})
    world.self_watch.happened(Trouble.ABSENCE, "No daemon ran from 2026-03-02 03:00 UTC on, for 9 h.")
    await world.pass_by(90)
    found = world.incidents()["watchman/absence"]
    assert (found.state, found.severity) == (State.FIRING, Severity.TICKET)
    assert "for 9 h" in found.finding.summary
    await world.pass_by(1200)
    assert world.incidents()["watchman/absence"].state is State.RESOLVED


async def test_a_message_that_does_not_get_out_is_told_to_the_others_and_then_pages(database, clock) -> None:
    world = World(database, clock, {})
    row = addressed(receiver_test("pager", clock.now()), "pager", 0)
    database.write(lambda session: outbox_store.enqueue(session, [row]))
    await world.pass_by(600)
    assert world.messages("watchman/outbox/pager") == []
    await world.pass_by(90)
    assert world.messages("watchman/outbox/pager") == [("lead", "firing")]
    await world.pass_by(1200)
    # To the lead nothing gets out either: the pager hears of that.
    assert world.messages("watchman/outbox/pager") == [("lead", "firing"), ("lead", "escalated")]
    assert world.incidents()["watchman/outbox/pager"].severity is Severity.PAGE


async def test_a_run_that_is_due_and_does_not_begin_is_told_until_it_does(database, clock) -> None:
    world = World(database, clock, {"targets": {"bot": BOT}})
    database.write(lambda session: canary_store.start_run(session, "run-1", "bot", "suite", clock.now()))
    await world.pass_by(900 + 300)
    key = "watchman/run/target/bot"
    assert key not in world.incidents(State.FIRING)
    await world.pass_by(240)
    assert world.incidents(State.FIRING).keys() == {key}
    assert ("the last run", "has not ended") in world.incidents()[key].finding.evidence
    database.write(lambda session: canary_store.start_run(session, "run-2", "bot", "suite", clock.now()))
    await world.pass_by(180)
    assert world.incidents()[key].state is State.RESOLVED


async def test_a_run_that_was_left_out_on_purpose_is_not_missing(database, clock) -> None:
    world = World(database, clock, {"targets": {"bot": BOT}})
    skipped: dict[str, datetime] = {}
    world.it.diary = Diary(clock.now(), skipped)
    for _ in range(8):
        skipped["bot"] = clock.now()
        await world.pass_by(900)
    assert world.incidents() == {}


async def test_what_was_due_while_no_daemon_ran_counts_from_the_start(database, clock) -> None:
    long_ago = clock.now() - timedelta(days=9)
    database.write(lambda session: canary_store.start_run(session, "run-1", "bot", "suite", long_ago))
    world = World(database, clock, {"targets": {"bot": BOT}})
    await world.pass_by(300)
    assert world.incidents() == {}
    await world.pass_by(300)
    assert world.incidents(State.FIRING).keys() == {"watchman/run/target/bot"}


async def test_a_look_at_the_watches_that_stops_is_told(database, clock) -> None:
    watch = {"name": "p95", "measure": "latency_p95", "above": "8s", "for": "5m"}
    world = World(database, clock, {"watches": [watch]})
    for _ in range(20):
        world.diary.looked_at = clock.now()
        await world.pass_by(60)
    assert world.incidents() == {}
    await world.pass_by(600)
    assert world.incidents(State.FIRING).keys() == {"watchman/run/watches"}


async def test_what_is_not_in_the_configuration_any_more_is_over(database, clock) -> None:
    world = World(database, clock, {"targets": {"bot": BOT}})
    await world.pass_by(900)
    assert world.incidents(State.FIRING)
    world.configure({})
    take = lambda session: take_over(  # noqa: E731 - as the daemon does it
        session, world.it.deployment, str, lambda trouble, said: None, clock.now()
    )
    database.write(take)
    assert world.incidents(State.FIRING), "a start leaves it to the looks"
    await world.pass_by(KEEP_FIRING_S + 60)
    assert not world.incidents(State.FIRING)


async def test_a_receiver_that_was_never_reached_is_told_to_the_others(database, clock) -> None:
    world = World(database, clock, {"watchman": EMPTY | {"unconfirmed_after": "1h", "notify": ["lead"]}})
    database.write(
        lambda session: receiver_store.note_arrival(
            session, "lead", fingerprints(world.it.deployment.config, b"secret")["lead"], clock.now()
        )
    )
    await world.pass_by(3570)
    assert world.incidents() == {}
    await world.pass_by(120)
    assert world.incidents(State.FIRING).keys() == {"watchman/receiver/pager"}
    assert world.messages("watchman/receiver/pager") == [("lead", "firing")]


async def test_the_only_receiver_hears_of_itself(database, clock) -> None:
    world = World(
        database, clock, {"receivers": {"pager": HOOK}, "watchman": EMPTY | {"unconfirmed_after": "1h"}}
    )
    await world.pass_by(3700)
    assert world.messages("watchman/receiver/pager") == [("pager", "firing")]


async def test_a_scheduled_test_goes_out_once_at_its_time(database, clock) -> None:
    test = {"on": "monday", "at": "12:30"}  # it is Monday noon
    world = World(database, clock, {"receivers": {"pager": HOOK | {"self_test": test}, "lead": HOOK}})
    await world.pass_by(1740)
    assert database.read(outbox_store.notifications) == ()
    await world.pass_by(300)
    [row] = database.read(outbox_store.notifications)
    assert (row.receiver, row.message.kind.value) == ("pager", "test")
    assert "scheduled test of the receiver 'pager'" in row.message.summary
    clock.advance(7 * 86_400)
    await world.it.look()
    tests = [one for one in database.read(outbox_store.notifications) if one.message.kind.value == "test"]
    assert len(tests) == 2


def test_whoever_may_be_paged_is_told_of_the_watch() -> None:
    rules = {"targets": {"bot": BOT | {"notify": ["pager"]}}}
    assert Config.model_validate(RECEIVERS | rules).told_of_the_watch() == ("pager",)
    assert Config.model_validate(RECEIVERS).told_of_the_watch() == ("pager", "lead")
    own = {"watchman": {"notify": ["lead"]}}
    assert Config.model_validate(RECEIVERS | rules | own).told_of_the_watch() == ("lead",)


def test_a_receiver_that_there_is_not_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "anchorwatch.yaml").write_text("watchman: {notify: [nobody]}\n")
    with pytest.raises(ConfigError, match=r'watchman.notify\[0\].*no receiver is called "nobody"'):
        load(tmp_path / "anchorwatch.yaml", {})
