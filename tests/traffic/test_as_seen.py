"""What looks saw of minutes is on record, so that a backtest sees the same."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from monitor.backtesting.recorded_database import RecordedDatabase
from monitor.backtesting.recorded_windows import RecordedWindows
from monitor.database import Database
from monitor.moments import Moment, MomentKind, note
from monitor.traffic import store
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.roll_ups import Keep
from monitor.traffic.windows.series import minute_of

from .conftest import CountingMetrics, MakePayload


class Looks:
    """An intake that is looked at, and what each look saw: the calls of the last ten minutes by minute and service."""

    def __init__(self, database: Database, clock: Any, make_payload: MakePayload, keep: Keep) -> None:
        self.database, self.clock, self.make_payload, self.keep = database, clock, make_payload, keep
        self.seen: list[tuple[Any, Any]] = []
        self.start()

    def start(self) -> None:
        self.intake = Intake(self.database, self.clock, CountingMetrics(), keep=self.keep)

    async def call(self, ago_s: float = 0.0, service: str = "shop", spans: int = 1) -> None:
        ended = self.clock.now().timestamp() - ago_s
        body = self.make_payload(spans=spans, ended_at=ended, service=service)
        await self.intake.accept(body, Encoding.PROTOBUF)

    async def look(self) -> dict[tuple[int, str], int]:
        now = self.clock.now()
        async with self.intake.at_looks.looking(now):
            found = await seen_by(self.intake.at_looks, now)
        self.database.write(lambda session: note(session, Moment(MomentKind.LOOK, now)))
        self.seen.append((now, found))
        return found[0]

    async def seen_again(self) -> list[tuple[Any, Any]]:
        """What the same looks see of the recorded database."""
        await self.intake.fold()
        recorded = RecordedDatabase(self.database.path)
        windows, found = RecordedWindows(recorded), []
        for now, _ in self.seen:
            async with windows.looking(now):
                found.append((now, await seen_by(windows, now)))
        recorded.close()
        return found


async def seen_by(windows: Any, now: Any) -> tuple[dict[tuple[int, str], int], set[tuple[int, str]]]:
    last = minute_of(now.timestamp())
    found = await windows.windows(last - 600, last)
    calls = {(one.minute, one.series.service): one.calls for one in found}
    return calls, await windows.active_minutes(last - 600, last)


@pytest.fixture
def looks(database: Database, clock: Any, make_payload: MakePayload) -> Looks:
    return Looks(database, clock, make_payload, Keep())


async def test_a_look_is_seen_again_without_what_came_later(looks: Looks) -> None:
    looks.clock.advance(20)
    await looks.call()
    assert sum((await looks.look()).values()) == 1
    looks.clock.advance(20)  # the same minute goes on
    await looks.call()
    await looks.call(service="search")
    await looks.intake.fold()
    looks.clock.advance(5)
    await looks.call()
    assert sum((await looks.look()).values()) == 4
    looks.clock.advance(200)
    await looks.call(ago_s=205)  # late, for a minute that is over
    await looks.look()
    assert await looks.seen_again() == looks.seen
    assert [sum(calls.values()) for _, (calls, _) in looks.seen] == [1, 4, 5]


async def test_a_restart_does_not_forget_what_was_seen(looks: Looks) -> None:
    await looks.call()
    await looks.look()
    looks.start()
    await looks.intake.recover()
    looks.clock.advance(10)
    await looks.call(spans=2)
    await looks.intake.fold()
    looks.clock.advance(60)
    await looks.look()
    assert [sum(calls.values()) for _, (calls, _) in await looks.seen_again()] == [1, 3]


async def test_what_no_look_saw_is_not_kept(looks: Looks) -> None:
    for _ in range(4):
        await looks.call()
        await looks.intake.fold()
    assert rows(looks.database) == 0
    await looks.look()
    for _ in range(4):
        await looks.call()
        await looks.intake.fold()
    assert rows(looks.database) == 1  # as the look saw it, and none of what was between


async def test_it_is_forgotten_with_its_minutes_or_sooner(
    database: Database, clock: Any, make_payload: MakePayload
) -> None:
    looks = Looks(database, clock, make_payload, Keep(as_seen_s=3 * 86_400.0))
    await looks.call()
    await looks.look()
    await looks.call()
    await looks.intake.fold()
    clock.advance(timedelta(days=3, minutes=-2).total_seconds())
    await looks.intake.roll_up()
    assert rows(database) == 1
    clock.advance(240)
    await looks.intake.roll_up()
    assert rows(database) == 0
    assert Keep(minutes_s=86_400.0).seen_s == 86_400.0


async def test_it_need_not_be_kept_at_all(database: Database, clock: Any, make_payload: MakePayload) -> None:
    looks = Looks(database, clock, make_payload, Keep(as_seen_s=0.0))
    for _ in range(3):
        await looks.call()
        await looks.look()
    assert rows(database) == 0
    assert [sum(calls.values()) for _, (calls, _) in await looks.seen_again()] == [3, 3, 3]


def rows(database: Database) -> int:
    found = database.read(lambda session: store.minutes_as_seen(session, 0, 2**40))
    return sum(len(one.seen) for one in found)


async def test_calls_wait_for_no_look(looks: Looks) -> None:
    """A look holds up folds, not requests."""
    async with asyncio.timeout(10), looks.intake.at_looks.looking(looks.clock.now()):
        await looks.call()
    assert sum((await looks.look()).values()) == 1
