"""Minutes to hours to days: nothing is lost or doubled, whatever interrupts, and long spans are read from them."""

import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from folded import in_pieces
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from monitor.database import Database
from monitor.traffic import store
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.roll_ups import Keep, Part, Resolution, Rolled, parts
from monitor.traffic.windows.series import Series, minute_of
from monitor.traffic.windows.tallies import OTHER_VALUES, Tally
from monitor.traffic.windows.window import Window
from monitor.traffic.windows_at_rest import FINAL_AFTER_S, Folding, WindowsAtRest

from .conftest import NOON, CountingMetrics

MINUTE, HOUR, DAY = Resolution
SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")
DESK = Series("desk", "production", "1.0", "chat", "openai", "m", "m")
MIDNIGHT = DAY.start_of(NOON)


def window(minute: int, series: Series = SHOP, calls: int = 1, **tallies: int) -> Window:
    """Calls of a second each, some of them by users."""
    made = Window(minute, series, calls)
    made.latency_s.add(1.0, calls)
    for user, by in tallies.items():
        made.chosen.add("user.id", user, Tally(by, cost_nano=by))
    return made


@pytest.fixture
def rest(database: Database) -> WindowsAtRest:
    return WindowsAtRest(database, Keep())


async def fold(rest: WindowsAtRest, windows: Iterable[Window] = (), now: float = NOON) -> None:
    async with rest.lock:
        await rest.fold(in_pieces(windows), Folding(0, 0), now)


async def read(
    rest: WindowsAtRest, first: int = MIDNIGHT - 10 * DAY, end: int = MIDNIGHT + 10 * DAY
) -> list[Window]:
    return [one async for some in rest.pieces(first, end) for one in some]


def stored(database: Database, resolution: Resolution) -> list[Window]:
    def work(session: store.Session) -> list[Window]:
        ids = store.ids_by_series(session, resolution, 0, 10**10).values()
        return store.windows_of(session, resolution, [one for mine in ids for one in mine])

    return database.read(work)


async def test_an_hour_is_rolled_up_when_no_call_of_it_is_taken_any_more(rest, database) -> None:
    await fold(rest, [window(MIDNIGHT), window(MIDNIGHT + 600, calls=2), window(MIDNIGHT + 660, DESK)])
    await fold(rest, now=MIDNIGHT + HOUR + FINAL_AFTER_S - 1)
    assert await rest.roll_up() == 0
    await fold(rest, now=MIDNIGHT + HOUR + FINAL_AFTER_S)
    assert await rest.roll_up() == 3
    assert await rest.roll_up() == 0
    hours = {one.series: one for one in stored(database, HOUR)}
    assert {series: one.calls for series, one in hours.items()} == {SHOP: 3, DESK: 1}
    assert (hours[SHOP].minute, hours[SHOP].latency_s.n) == (MIDNIGHT, 3)


async def test_nothing_is_rolled_up_before_the_first_fold_after_a_start(rest, database) -> None:
    await fold(rest, [window(MIDNIGHT)], now=NOON + 10 * DAY)
    after = WindowsAtRest(database, Keep())
    assert await after.roll_up() == 0  # the journal may hold more of that hour
    await fold(after, now=NOON + 10 * DAY)
    assert await after.roll_up() > 0


async def test_a_day_is_rolled_up_when_all_its_hours_are(rest, database) -> None:
    await fold(rest, [window(MIDNIGHT + hour * HOUR) for hour in range(24)])
    await fold(rest, now=MIDNIGHT + 23 * HOUR + FINAL_AFTER_S)
    await rest.roll_up()
    assert (len(stored(database, HOUR)), stored(database, DAY)) == (23, [])
    await fold(rest, [window(MIDNIGHT + DAY)], now=MIDNIGHT + 25 * HOUR + FINAL_AFTER_S)
    await rest.roll_up()
    (day,) = stored(database, DAY)
    assert (day.minute, day.calls) == (MIDNIGHT, 24)


async def test_what_was_missed_while_nothing_ran_is_rolled_up_and_pauses_are_passed_over(
    rest, database
) -> None:
    await fold(rest, [window(MIDNIGHT - 300 * DAY), window(MIDNIGHT)], now=NOON + 10 * DAY)
    assert await rest.roll_up() == 4  # two minutes, two hours
    assert [one.minute for one in stored(database, DAY)] == [MIDNIGHT - 300 * DAY, MIDNIGHT]


async def test_calls_that_come_after_all_count_in_the_minute_the_hour_and_the_day(rest, database) -> None:
    await fold(rest, [window(MIDNIGHT), window(MIDNIGHT + DAY)], now=NOON + 10 * DAY)
    await rest.roll_up()
    late = [
        window(MIDNIGHT),
        window(MIDNIGHT + 60, DESK),
        window(MIDNIGHT + 120),
        window(MIDNIGHT + 120, DESK),
    ]
    await fold(rest, late, now=NOON + 10 * DAY)
    for resolution in Resolution:
        assert sum(one.calls for one in stored(database, resolution)) == 6, resolution


async def test_calls_that_come_while_an_hour_is_rolled_up_are_in_it_once(rest, database) -> None:
    await fold(rest, [window(MIDNIGHT), window(MIDNIGHT + HOUR)], now=NOON + 10 * DAY)
    read_on = database.aread
    is_first = True

    async def reading(work):
        nonlocal is_first
        found = await read_on(work)
        if is_first and getattr(work, "func", None) is store.rolled_up:
            is_first = False
            await fold(rest, [window(MIDNIGHT)], now=NOON + 10 * DAY)
        return found

    database.aread = reading
    await rest.roll_up()
    assert not is_first
    assert Counter({one.minute: one.calls for one in stored(database, HOUR)}) == {
        MIDNIGHT: 2,
        MIDNIGHT + HOUR: 1,
    }
    assert sum(one.calls for one in stored(database, DAY)) == 3


class StoppedError(Exception):
    """The process ended here."""


async def test_whoever_is_stopped_at_any_statement_goes_on_as_if_nothing_had_been(tmp_path) -> None:
    minutes = [MIDNIGHT, MIDNIGHT + 60, MIDNIGHT + HOUR, MIDNIGHT + DAY]
    empty = Database(tmp_path / "empty.sqlite")
    empty.migrate()
    empty.close()
    stopped_at, is_done = 0, False
    while not is_done:
        database = Database(Path(shutil.copy(empty.path, tmp_path / f"{stopped_at}.sqlite")))
        rest = WindowsAtRest(database, Keep())
        await fold(
            rest, [window(minute, one) for minute in minutes for one in (SHOP, DESK)], now=NOON + 10 * DAY
        )
        left = stopped_at

        def stop(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise StoppedError

        event.listen(database.engine, "before_cursor_execute", stop)
        try:
            await rest.roll_up()
            is_done = True
        except StoppedError:
            pass
        event.remove(database.engine, "before_cursor_execute", stop)
        after = WindowsAtRest(database, Keep())
        await fold(after, now=NOON + 10 * DAY)
        await after.roll_up()
        for resolution in Resolution:
            assert sum(one.calls for one in stored(database, resolution)) == 8, (resolution, stopped_at)
        database.close()
        stopped_at += 1
    assert stopped_at > 20


async def test_windows_are_deleted_by_age_and_only_when_they_are_rolled_up(rest, database) -> None:
    await fold(rest, [window(MIDNIGHT), window(MIDNIGHT + DAY)], now=NOON)
    await rest.forget(NOON + 34 * DAY)
    assert len(stored(database, MINUTE)) == 2
    await rest.forget(NOON + 100 * DAY)
    assert len(stored(database, MINUTE)) == 2  # not rolled up yet
    await fold(rest, now=NOON + 100 * DAY)
    await rest.roll_up()
    await rest.forget(NOON + 35 * DAY)
    assert [one.minute for one in stored(database, MINUTE)] == [MIDNIGHT + DAY]
    assert len(stored(database, HOUR)) == 2
    await rest.forget(NOON + 400 * DAY)
    assert [len(stored(database, one)) for one in Resolution] == [0, 1, 2]
    await rest.forget(NOON + 5 * 365 * DAY + DAY)
    assert [len(stored(database, one)) for one in Resolution] == [0, 0, 1]


async def test_many_old_windows_are_deleted_with_many_transactions(database, monkeypatch) -> None:
    monkeypatch.setattr(store, "FORGOTTEN_AT_A_TIME", 3)
    rest = WindowsAtRest(database, Keep())
    await fold(rest, [window(MIDNIGHT + 60 * n) for n in range(10)], now=NOON + 100 * DAY)
    await rest.roll_up()
    await rest.forget(NOON + 100 * DAY)
    assert (stored(database, MINUTE), sum(one.calls for one in stored(database, HOUR))) == ([], 10)


async def test_values_that_are_too_many_for_an_hour_are_counted_together(rest, database, monkeypatch) -> None:
    monkeypatch.setattr(store, "ROLLED_VALUES_MAX", 3)
    await fold(
        rest, [window(MIDNIGHT, ann=5, bob=1), window(MIDNIGHT + 60, cleo=3, dan=2)], now=NOON + 10 * DAY
    )
    await rest.roll_up()
    (hour,) = stored(database, HOUR)
    by_user = {value: tally.calls for value, tally in hour.chosen.of("user.id").items()}
    assert by_user == {"ann": 5, "cleo": 3, "dan": 2, OTHER_VALUES: 1}


async def test_an_hour_tells_more_values_apart_than_a_minute(rest, database) -> None:
    users = [f"user{n}" for n in range(450)]
    minutes = [dict.fromkeys(users[first : first + 150], 1) for first in (0, 150, 300)]
    await fold(rest, [window(MIDNIGHT + 60 * n, **one) for n, one in enumerate(minutes)], now=NOON + 10 * DAY)
    await rest.roll_up()
    for resolution in (HOUR, DAY):
        assert set(stored(database, resolution)[0].chosen.of("user.id")) == set(users)
    await fold(rest, [window(MIDNIGHT + 300, late=1)], now=NOON + 10 * DAY)
    assert "late" in stored(database, DAY)[0].chosen.of("user.id")


async def test_dollars_that_are_not_sure_stay_those_of_their_minutes(rest, database) -> None:
    minutes = [window(MIDNIGHT + 60 * n) for n in range(4)]
    for one in minutes:
        one.cost_usd.add(1.0)
        one.cost_bases["exact"] = 1
    minutes[1].cost_bases["ambiguous"] = 1
    await fold(rest, minutes[:3], now=NOON + 10 * DAY)
    await rest.roll_up()
    await fold(rest, minutes[3:], now=NOON + 10 * DAY)
    for resolution in (HOUR, DAY):
        (whole,) = stored(database, resolution)
        assert (whole.cost_usd.total, whole.ambiguous_usd) == (4.0, 1.0), resolution


async def test_a_long_span_is_read_from_days_hours_and_minutes(rest) -> None:
    every = [window(MIDNIGHT - 3 * DAY + n * 600) for n in range(3 * 144 + 60)]
    await fold(rest, every, now=NOON)
    await rest.roll_up()  # up to yesterday eleven o'clock
    found = await read(rest, MIDNIGHT - 3 * DAY + 1_800, MIDNIGHT + 7 * HOUR)
    assert sum(one.calls for one in found) == 3 * 144 + 7 * 6 - 3
    lengths = Counter(one.calls for one in found)
    assert lengths == {144: 1, 6: 23 + 11, 1: 3 + 13 * 6 + 7 * 6}


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 90), st.integers(0, 4))
def test_the_parts_of_a_span_follow_one_another_and_use_what_is_there(
    first: int, minutes: int, hours: int, days: int
) -> None:
    rolled = Rolled(hours * HOUR, min(days, hours // 24) * DAY)
    first, end = first * MINUTE, (first + minutes) * MINUTE
    found = parts(first, end, rolled)
    edges = [first, *(edge for part in found for edge in (part.first, part.end)), end]
    assert edges[::2] == edges[1::2]
    assert all(part.first < part.end for part in found)
    for part in found:
        assert part.first % part.resolution == 0 == part.end % part.resolution
        assert part.resolution is MINUTE or part.end <= rolled.through(part.resolution)


def test_a_span_that_nothing_is_rolled_up_of_is_read_by_minutes() -> None:
    assert parts(0, 3 * DAY, Rolled()) == [Part(MINUTE, 0, 3 * DAY)]


async def test_the_intake_rolls_up_and_reads_long_spans(database, clock, make_payload) -> None:
    taking = Intake(database, clock, CountingMetrics(), keep=Keep(minutes_s=29 * DAY))
    for ago_s in (0, 120, 3_600):
        await taking.accept(make_payload(ended_at=NOON - ago_s), Encoding.PROTOBUF)
    await taking.fold()
    clock.advance(timedelta(days=30).total_seconds())
    await taking.fold()
    assert await taking.roll_up() == 5  # three minutes and two hours
    assert await taking.windows(0, minute_of(NOON)) == []
    found = [one async for some in taking.long_windows(MIDNIGHT, MIDNIGHT + DAY) for one in some]
    assert [one.calls for one in found] == [3]
