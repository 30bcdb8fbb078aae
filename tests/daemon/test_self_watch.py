"""The daemon's view of itself: whether it can write, which parts failed, and clocks that jump."""

import io
import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import structlog
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from monitor import store
from monitor.database import Database
from monitor.pulse import Moment, Pause
from monitor.schedule import Cron, Every, Schedule
from monitor.self_watch import PULSE_EVERY_S, PULSE_LOST_S, SelfWatch
from monitor.telemetry import Metrics, set_up_logging
from monitor.traffic import StoreError


class Watch:
    """A self-watch, and what it told others."""

    def __init__(self, database: Database, clock) -> None:
        self.clock, self.database, self.metrics = clock, database, Metrics(clock)
        self.clock_set: list[datetime] = []
        self.it = SelfWatch(database, clock, self.metrics, self.clock_set.append)

    def shown(self) -> str:
        return "\n".join(self.it.problems.shown(self.clock.now()))

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def watch(database, clock) -> Watch:
    return Watch(database, clock)


@pytest.fixture
def locked(database: Database) -> Iterator[sqlite3.Connection]:
    """Another process holds the write lock, and the database does not wait for it for long."""

    @event.listens_for(database.engine, "connect")
    def impatient(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA busy_timeout=1")

    database.engine.dispose()
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


async def test_a_database_that_can_be_written_is_ready(watch: Watch) -> None:
    await watch.it.beat()
    assert watch.it.readiness().is_ready
    assert watch.sample("anchorwatch_database_writable") == 1
    assert watch.database.read(store.alive_at) == watch.clock.now()


async def test_a_database_that_cannot_be_written_is_said_once_and_forgiven(watch: Watch, locked) -> None:
    for _ in range(3):
        await watch.it.beat()
    assert watch.it.readiness().reasons == ("the database cannot be written: database is locked",)
    assert watch.sample("anchorwatch_database_writable") == 0
    assert watch.shown().count("The database cannot be written: database is locked.") == 1
    assert "(3 times since" in watch.shown()
    locked.execute("ROLLBACK")
    await watch.it.beat()
    assert watch.it.readiness().is_ready
    assert watch.sample("anchorwatch_database_writable") == 1


async def test_a_database_that_does_not_answer_is_not_ready(watch: Watch) -> None:
    watch.clock.advance(PULSE_LOST_S)
    assert watch.it.readiness().is_ready
    watch.clock.advance(1)
    assert watch.it.readiness().reasons == ("the database has taken nothing for 31 s",)


def test_a_daemon_that_stops_is_not_ready(watch: Watch) -> None:
    watch.it.is_stopping = True
    assert watch.it.readiness().reasons == ("the daemon is stopping",)


def test_a_missed_start_is_counted_and_shown_once(watch: Watch) -> None:
    for _ in range(50):
        watch.it.missed("canaries/bot", "still running")
    assert watch.sample("anchorwatch_schedule_misfires_total", part="canaries/bot") == 50
    assert watch.shown().count("canaries/bot did not start when it was due: still running.") == 1
    assert "(50 times since" in watch.shown()


def test_a_job_that_our_own_stop_cancelled_is_no_missed_start(watch: Watch) -> None:
    watch.it.missed("canaries/bot", "failed")
    assert watch.shown() == ""


REFUSALS = {
    "database": OperationalError("INSERT secret", {"prompt": "secret"}, Exception("database is locked")),
    "traffic": StoreError("windows could not be stored: database is locked"),
}


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
async def test_a_part_that_the_database_refuses_has_its_next_turn(watch: Watch, error: Exception) -> None:
    async def work() -> None:
        raise error

    await watch.it.attended("windows", work)()
    assert "windows: the database refuses" in watch.shown()
    assert "database is locked" in watch.shown()
    assert "secret" not in watch.shown()
    assert watch.sample("anchorwatch_failures_total", part="windows") is None


async def test_a_part_with_a_defect_is_counted_and_logged_and_goes_on(watch: Watch, caplog) -> None:
    async def work() -> None:
        raise ValueError("a defect")

    for _ in range(5):
        await watch.it.attended("gauges", work)()
    assert watch.sample("anchorwatch_failures_total", part="gauges") == 5
    assert "gauges failed by a defect" in watch.shown()


def paused(watch: Watch, clock_moves_s: float) -> Pause:
    before = Moment.now(watch.clock)
    watch.clock.advance(PULSE_EVERY_S)
    after = Moment.now(watch.clock)
    return Pause(
        PULSE_EVERY_S, before, Moment(after.at + timedelta(seconds=clock_moves_s), after.monotonic_s)
    )


@pytest.mark.parametrize("moves_s", [-7200.0, 7200.0], ids=["back", "ahead"])
def test_whoever_plans_by_the_clock_hears_that_it_was_set(watch: Watch, moves_s: float) -> None:
    watch.it.heed(paused(watch, 0.0))
    assert watch.clock_set == []
    watch.it.heed(paused(watch, moves_s))
    assert watch.clock_set == [watch.clock.now() + timedelta(seconds=moves_s)]


CADENCES = {
    "interval": (Every(900.0), timedelta(seconds=900)),
    "crontab": (Cron("0 * * * *"), timedelta(hours=1)),
}


@pytest.mark.parametrize(("cadence", "longest"), CADENCES.values(), ids=CADENCES)
async def test_a_clock_that_was_set_back_makes_no_hole_in_the_schedule(cadence, longest) -> None:
    async def work() -> None:
        """Nothing."""

    schedule = Schedule(lambda job, why: None)
    schedule.add("canaries/bot", cadence, work)
    schedule.start()
    schedule.pause()  # the clock of this machine is not set back
    try:
        planned = schedule.next_start("canaries/bot")
        assert planned is not None
        now = planned - timedelta(days=3, seconds=100)
        schedule.follow_clock(now)
        following = schedule.next_start("canaries/bot")
        assert following is not None
        assert now < following <= now + longest
        schedule.follow_clock(now - timedelta(minutes=1))
        schedule.follow_clock(now)  # a start that is near is left as it is
        assert schedule.next_start("canaries/bot") <= following
    finally:
        schedule.stop()


class FullDisk(io.StringIO):
    """A stream whose file lies on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = True
    structlog.reset_defaults()


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch, restored_logging) -> None:
    monkeypatch.setattr(sys, "stderr", FullDisk())
    set_up_logging()
    structlog.get_logger("monitor.daemon").warning("problem", what="nobody reads this")


def test_every_line_of_the_log_is_json_whoever_speaks(monkeypatch, restored_logging) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    set_up_logging()
    structlog.get_logger("monitor.daemon").info("stopped", part="all")
    logging.getLogger("some.library").error("No %s", "connection")
    logging.getLogger("apscheduler.scheduler").warning("skipped: maximum number of running instances")
    lines = [json.loads(line) for line in stderr.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["stopped", "No connection"]
    assert all(line["timestamp"].endswith("Z") and line["level"] for line in lines)
