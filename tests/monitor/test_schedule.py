"""Crontab lines as people know them, the time between starts, and what is reported of a start that did not come."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from monitor.schedule import Cron, Every, Schedule, cron_problem, slot_s, starts, starts_per_day

SUNDAY = datetime(2026, 3, 1, tzinfo=UTC)
DEADLINE_S = 20.0
"""Long enough for a busy machine; the tests end as soon as what they wait for has happened."""


# --- crontab lines

GOOD = {
    "every quarter of an hour": "*/15 * * * *",
    "office hours": "0 9-17 * * mon-fri",
    "leap days": "0 0 29 2 *",
    "names": "30 6 * jan,jul SUN",
}
BAD = {
    "a letter": ("x * * * *", 'Unrecognized expression "x" for field "minute"'),
    "too large": ("60 * * * *", "higher than the maximum value (59)"),
    "no step": ("*/0 * * * *", "higher than 0"),
    "four fields": ("* * * *", "it must have 5 fields"),
    "a word": ("@daily", "it must have 5 fields"),
    "the eighth day": ("0 0 * * 8", '"8" is no day of the week: write 0 to 7, or mon to sun'),
    "the twelfth day": ("0 0 * * 12", '"12" is no day of the week'),
    "half a list": ("0 0 * * 1,", '"" is no day of the week'),
    "a day that never comes": ("0 0 31 2 *", "no such day"),
    "two kinds of days": ("0 0 13 * fri", "a day of the month or a day of the week"),
}


@pytest.mark.parametrize("line", GOOD.values(), ids=GOOD)
def test_a_good_crontab_line_has_no_problem(line: str) -> None:
    assert cron_problem(line) is None


@pytest.mark.parametrize(("line", "problem"), BAD.values(), ids=BAD)
def test_a_bad_crontab_line_has_one_that_says_what_is_wrong(line: str, problem: str) -> None:
    assert problem in (cron_problem(line) or "")


WEEKDAYS = {
    "0": "Sun",
    "7": "Sun",
    "1": "Mon",
    "6": "Sat",
    "1-5": "Mon Tue Wed Thu Fri",
    "mon-fri": "Mon Tue Wed Thu Fri",
    "5-7": "Sun Fri Sat",
    "fri-mon": "Sun Mon Fri Sat",
    "3-3": "Wed",
    "*/2": "Sun Tue Thu Sat",
    "2/2": "Tue Thu Sat",
    "1-5/2": "Mon Wed Fri",
    "0,3,wed": "Sun Wed",
    "0-7": "Sun Mon Tue Wed Thu Fri Sat",
}


@pytest.mark.parametrize(("field", "days"), WEEKDAYS.items(), ids=WEEKDAYS)
def test_days_of_the_week_are_counted_as_in_a_crontab(field: str, days: str) -> None:
    line = Cron(f"0 0 * * {field}")
    just_before = SUNDAY - timedelta(seconds=1)
    week = [start for start in starts(line, just_before, 7) if start < SUNDAY + timedelta(days=7)]
    assert " ".join(f"{start:%a}" for start in week) == days


def test_starts_are_in_utc_and_later_than_asked() -> None:
    noon = SUNDAY.replace(hour=12)
    assert starts(Cron("0 12 * * *"), noon, 2) == [noon + timedelta(days=1), noon + timedelta(days=2)]


SLOTS = {
    "an interval": (Every(900.0), 900.0),
    "quarters of an hour": (Cron("*/15 * * * *"), 900.0),
    "hours of a working day": (Cron("0 9-17 * * 1-5"), 3600.0),
    "a day": (Cron("30 4 * * *"), 86_400.0),
}


@pytest.mark.parametrize(("cadence", "seconds"), SLOTS.values(), ids=SLOTS)
def test_the_slot_is_the_usual_time_between_starts(cadence: Every | Cron, seconds: float) -> None:
    assert slot_s(cadence, SUNDAY) == seconds


# --- what runs, and what is reported


class Reports:
    """Keeps what the schedule reports, and lets a test wait for it."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.came = asyncio.Event()

    def __call__(self, job: str, why: str) -> None:
        self.made.append((job, why))
        self.came.set()


async def test_a_job_runs_at_its_first_time_and_again() -> None:
    again, count = asyncio.Event(), 0

    async def work() -> None:
        nonlocal count
        count += 1
        if count == 2:
            again.set()

    reports = Reports()
    schedule = Schedule(reports)
    schedule.add("job", Every(0.02), work, datetime.now(UTC))
    schedule.start()
    await asyncio.wait_for(again.wait(), DEADLINE_S)
    schedule.stop()
    assert not [why for _, why in reports.made if why == "failed"]


async def test_a_start_while_the_job_still_runs_is_reported_and_not_made() -> None:
    reports, running = Reports(), 0

    async def work() -> None:
        nonlocal running
        running += 1
        await reports.came.wait()

    schedule = Schedule(reports)
    schedule.add("slow", Every(0.02), work, datetime.now(UTC))
    schedule.start()
    await asyncio.wait_for(reports.came.wait(), DEADLINE_S)
    schedule.stop()
    assert reports.made[0] == ("slow", "still running")
    assert running == 1


async def test_a_start_that_is_too_late_is_reported_and_not_made() -> None:
    async def work() -> None:
        pytest.fail("ran although the next start was nearer")

    reports = Reports()
    schedule = Schedule(reports)
    schedule.add("late", Every(86_400.0), work, datetime.now(UTC) - timedelta(hours=13))
    schedule.start()
    await asyncio.wait_for(reports.came.wait(), DEADLINE_S)
    schedule.stop()
    assert reports.made == [("late", "late")]


LATE = {"daily, by an hour": (Every(86_400.0), 3600.0), "by less than a minute": (Every(1.5), 55.0)}


@pytest.mark.parametrize(("cadence", "late_s"), LATE.values(), ids=LATE)
async def test_a_start_that_is_not_too_late_is_made(cadence: Every, late_s: float) -> None:
    came = asyncio.Event()

    async def work() -> None:
        came.set()

    reports = Reports()
    schedule = Schedule(reports)
    schedule.add("late", cadence, work, datetime.now(UTC) - timedelta(seconds=late_s))
    schedule.start()
    await asyncio.wait_for(came.wait(), DEADLINE_S)
    schedule.stop()
    assert not [why for _, why in reports.made if why == "late"]


async def test_a_job_that_fails_is_reported_and_comes_again() -> None:
    reports, again, count = Reports(), asyncio.Event(), 0

    async def work() -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise ValueError("broken")
        again.set()

    schedule = Schedule(reports)
    schedule.add("job", Every(0.02), work, datetime.now(UTC))
    schedule.start()
    await asyncio.wait_for(again.wait(), DEADLINE_S)
    schedule.stop()
    assert reports.made[0] == ("job", "failed")


async def test_starts_that_were_missed_together_become_one() -> None:
    ran, count = asyncio.Event(), 0

    async def work() -> None:
        nonlocal count
        count += 1
        ran.set()

    schedule = Schedule(Reports())
    schedule.add("job", Every(10.0), work, datetime.now(UTC) - timedelta(seconds=35))
    schedule.start()
    await asyncio.wait_for(ran.wait(), DEADLINE_S)
    schedule.stop()
    assert count == 1


async def test_a_paused_schedule_starts_nothing_and_lets_what_runs_go_on() -> None:
    started, go_on, finished, count = asyncio.Event(), asyncio.Event(), asyncio.Event(), 0

    async def work() -> None:
        nonlocal count
        count += 1
        started.set()
        await go_on.wait()
        finished.set()

    schedule = Schedule(Reports())
    schedule.add("job", Every(0.02), work, datetime.now(UTC))
    schedule.start()
    await asyncio.wait_for(started.wait(), DEADLINE_S)
    schedule.pause()
    go_on.set()
    await asyncio.wait_for(finished.wait(), DEADLINE_S)
    assert count == 1
    schedule.stop()


async def test_the_next_start_is_known() -> None:
    async def work() -> None: ...

    schedule = Schedule(Reports())
    first = datetime.now(UTC) + timedelta(hours=1)
    schedule.add("job", Every(3600.0), work, first)
    schedule.add("weekly", Cron("0 0 * * 0"), work)
    schedule.start()
    weekly = schedule.next_start("weekly")
    assert schedule.next_start("job") == first
    assert weekly is not None
    assert f"{weekly:%a %H:%M}" == "Sun 00:00"
    assert schedule.next_start("other") is None
    schedule.stop()


async def test_a_schedule_that_never_started_can_be_stopped() -> None:
    schedule = Schedule(Reports())
    schedule.pause()
    schedule.stop()


STARTS = {
    "an interval": (Every(900.0), 96.0),
    "each second day": (Every(172_800.0), 0.5),
    "quarters of an hour": (Cron("*/15 * * * *"), 96),
    "office hours": (Cron("0 9-17 * * 1-5"), 9),
    "a day of the week": (Cron("*/30 8 * * sun"), 2),
    "once a year": (Cron("0 0 1 1 *"), 1),
}


@pytest.mark.parametrize(("cadence", "count"), STARTS.values(), ids=STARTS)
def test_starts_are_counted_on_the_busiest_day_of_the_week(cadence: Every | Cron, count: float) -> None:
    assert starts_per_day(cadence, SUNDAY.replace(hour=13)) == count


class TestOneStartMore:
    async def test_comes_beside_the_cadence_which_stays_as_it_is(self) -> None:
        came = asyncio.Event()

        async def work() -> None:
            came.set()

        schedule, regular = Schedule(Reports()), datetime.now(UTC) + timedelta(hours=1)
        schedule.add("job", Every(3600.0), work, regular)
        schedule.start()
        soon = datetime.now(UTC) + timedelta(milliseconds=100)
        schedule.once_more("job", soon)
        assert schedule.next_start("job") == soon
        assert schedule.next_regular_start("job") == regular
        await asyncio.wait_for(came.wait(), DEADLINE_S)
        assert schedule.next_start("job") == regular
        schedule.stop()

    async def test_is_replaced_by_a_later_word_and_can_be_taken_back(self) -> None:
        async def work() -> None: ...

        schedule, now = Schedule(Reports()), datetime.now(UTC)
        schedule.add("job", Every(3600.0), work, now + timedelta(hours=1))
        schedule.start()
        for minutes in (10, 20):
            schedule.once_more("job", now + timedelta(minutes=minutes))
        assert schedule.next_start("job") == now + timedelta(minutes=20)
        for _ in range(2):
            schedule.once_more("job", None)
        assert schedule.next_start("job") == now + timedelta(hours=1)
        schedule.stop()

    async def test_is_reported_and_not_made_while_the_job_runs(self) -> None:
        reports, started, running = Reports(), asyncio.Event(), 0

        async def work() -> None:
            nonlocal running
            running += 1
            started.set()
            await reports.came.wait()

        schedule = Schedule(reports)
        schedule.add("job", Every(3600.0), work, datetime.now(UTC))
        schedule.start()
        await asyncio.wait_for(started.wait(), DEADLINE_S)
        schedule.once_more("job", datetime.now(UTC))
        await asyncio.wait_for(reports.came.wait(), DEADLINE_S)
        schedule.stop()
        assert reports.made == [("job", "still running")]
        assert running == 1

    async def test_is_forgotten_when_the_clock_is_set(self) -> None:
        async def work() -> None: ...

        schedule, now = Schedule(Reports()), datetime.now(UTC)
        schedule.add("job", Every(3600.0), work, now + timedelta(hours=1))
        schedule.start()
        schedule.once_more("job", now + timedelta(minutes=10))
        schedule.follow_clock(now - timedelta(days=1))
        assert schedule.next_start("job") == now + timedelta(hours=1) - timedelta(days=1)
        schedule.stop()
