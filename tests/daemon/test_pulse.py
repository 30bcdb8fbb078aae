"""Holes in the watch: the daemon stood still, the machine slept, the clock was set."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.pulse import Moment, Pause, absence

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CASES = {
    "as planned": (5.0, 5.0, []),
    "a little late": (14.9, 14.9, []),
    "the clock is being slewed": (5.0, 14.9, []),
    "stopped or starved": (5.0 + 124, 5.0 + 124, ["The daemon stood still for 2 min"]),
    "the machine slept": (5.0, 7205.0, ["The machine slept, or its clock was set ahead, by 2 h"]),
    "the clock was set back": (5.0, -3595.0, ["The clock was set back by 1 h; the schedule follows it."]),
    "both at once": (65.0, 3665.0, ["The daemon stood still for 1 min", "clock was set ahead, by 1 h"]),
}


@pytest.mark.parametrize(("seconds", "time_of_day_s", "said"), CASES.values(), ids=CASES)
def test_what_is_said_of_a_pause(seconds: float, time_of_day_s: float, said: list[str]) -> None:
    pause = Pause(
        5.0,
        before=Moment(NOON, 100.0),
        after=Moment(NOON + timedelta(seconds=time_of_day_s), 100.0 + seconds),
    )
    problems = list(pause.problems())
    assert len(problems) == len(said)
    assert all(part in problem for part, problem in zip(said, problems, strict=True))
    assert pause.was_clock_set == any("clock" in part for part in said)


AWAY = {
    "never ran": (None, None),
    "a restart": (NOON - timedelta(minutes=4), None),
    "a night": (NOON - timedelta(hours=9), "No daemon ran from 2026-03-02 03:00 UTC on, for 9 h."),
    "a clock that was ahead": (NOON + timedelta(days=1), None),
}


@pytest.mark.parametrize(("alive_at", "said"), AWAY.values(), ids=AWAY)
def test_the_next_start_says_that_no_daemon_ran(alive_at: datetime | None, said: str | None) -> None:
    assert absence(alive_at, NOON) == said
