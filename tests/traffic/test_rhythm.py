"""Pauses of services with some usual rhythms: which of them mean something, and which services are not judged."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pytest

from monitor.traffic.silence.rhythm import ACTIVE_MIN, DAYS_MIN, LIMIT_MIN, Flags, learn, recent_share

MONDAY = 1_772_409_600
DAY = 1_440

Rate = Callable[[int], float]


def calls(rate: Rate, days: float, seed: int = 1) -> Flags:
    """Minutes with and without calls that come by chance; ``rate`` gives how many come in a minute of the stream."""
    minutes = int(days * DAY)
    rates = np.array([rate(minute) for minute in range(minutes)])
    return np.random.default_rng(seed).random(minutes) < -np.expm1(-rates)


def steady(a_minute: float) -> Rate:
    return lambda _: a_minute


def office(minute: int) -> float:
    return 3.0 if 8 * 60 <= minute % DAY < 18 * 60 and minute // DAY % 7 < 5 else 0.0


def after(days: float) -> int:
    return MONDAY + round(days * 86_400)


def test_a_busy_service_is_due_in_every_minute() -> None:
    rhythm = learn(calls(steady(20), 28), MONDAY)
    assert rhythm.is_judged
    assert rhythm.due(MONDAY, MONDAY + 600) == pytest.approx(10, abs=0.01)
    assert rhythm.limit == LIMIT_MIN


@pytest.mark.parametrize("a_minute", [3, 1, 0.3, 0.1])
def test_the_limit_is_near_the_pause_that_chance_brings_once_a_quarter(a_minute: float) -> None:
    rhythm = learn(calls(steady(a_minute), 28), MONDAY)
    share = 1 - np.exp(-a_minute)
    once = np.log(91 * DAY * share) / -np.log(1 - share) * share
    assert max(LIMIT_MIN, 0.8 * once) <= rhythm.limit < max(LIMIT_MIN, 1.8 * once) + 1


def test_nights_and_weekends_are_no_pause_and_the_hours_beside_work_neither() -> None:
    rhythm = learn(calls(office, 28), MONDAY)
    friday_evening, monday_nine = after(4 + 17.5 / 24), after(7 + 9 / 24)
    assert rhythm.is_judged
    assert rhythm.due(friday_evening, monday_nine) == pytest.approx(0, abs=0.1)
    assert rhythm.due(monday_nine, monday_nine + 1_800) > rhythm.limit


CHRISTMAS = date.fromordinal(date(1970, 1, 1).toordinal() + MONDAY // 86_400 + 30)
"""A Wednesday, two days after the four weeks."""


@pytest.mark.parametrize(
    ("holidays", "is_due"), [((), True), ((CHRISTMAS,), False)], ids=["a Wednesday", "a holiday"]
)
def test_on_a_holiday_no_more_is_due_than_on_the_quietest_day(holidays, is_due: bool) -> None:
    rhythm = learn(calls(office, 28), MONDAY, frozenset(holidays))
    assert (rhythm.due(after(30), after(31)) > rhythm.limit) is is_due
    assert rhythm.due(after(31), after(32)) > rhythm.limit


def test_who_calls_every_day_is_due_on_holidays_too() -> None:
    rhythm = learn(calls(steady(20), 28), MONDAY, frozenset((CHRISTMAS,)))
    assert rhythm.due(after(30), after(31)) == pytest.approx(DAY, rel=0.01)


def test_a_holiday_in_the_past_makes_the_rhythm_no_slower() -> None:
    active = calls(office, 28)
    usual = learn(active, MONDAY)
    active[16 * DAY : 17 * DAY] = False
    past = frozenset((CHRISTMAS - timedelta(days=14),))
    assert learn(active, MONDAY, past).due(after(30), after(31)) == pytest.approx(
        usual.due(after(30), after(31)), rel=0.01
    )
    assert learn(active, MONDAY, past).limit == pytest.approx(usual.limit, rel=0.1)
    assert learn(active, MONDAY).due(after(30), after(31)) < 0.8 * usual.due(after(30), after(31))


def test_lulls_make_the_limit_longer() -> None:
    lulls = np.repeat(np.random.default_rng(2).lognormal(0, 1.5, 28 * 24 * 2), 30)
    bursty = learn(calls(lambda minute: lulls[minute], 28), MONDAY)
    assert bursty.limit > 2 * learn(calls(steady(1), 28), MONDAY).limit


def test_one_long_silence_of_the_past_does_not_make_deaf() -> None:
    active = calls(steady(1), 28)
    usual = learn(active, MONDAY).limit
    active[10 * DAY : 10 * DAY + 600] = False
    assert learn(active, MONDAY).limit < 1.5 * usual


def test_what_came_after_the_last_call_is_not_looked_at() -> None:
    active = calls(steady(1), 28)
    silent = np.concatenate((active, np.zeros(DAY, dtype=np.bool_)))
    assert learn(silent, MONDAY).limit == learn(active, MONDAY).limit


@pytest.mark.parametrize(
    ("active", "problem"),
    [
        (np.zeros(DAY, dtype=np.bool_), "known for 0 days"),
        (calls(steady(5), DAYS_MIN - 0.5), "known for 13 days"),
        (calls(steady(ACTIVE_MIN / 2 / (28 * DAY)), 28), "too rare"),
        (
            calls(lambda minute: 5.0 if minute // 60 in (3, 61, 170, 333, 402, 555) else 0.0, 28),
            "too irregular",
        ),
    ],
    ids=["never", "new", "rare", "irregular"],
)
def test_who_has_no_rhythm_is_not_judged_and_it_is_said_why(active: Flags, problem: str) -> None:
    rhythm = learn(active, MONDAY)
    assert not rhythm.is_judged
    assert problem in rhythm.problem


def test_a_service_that_has_come_to_call_less_is_due_less() -> None:
    before, lately = calls(steady(2), 27), calls(steady(0.2), 1, seed=2)
    rhythm = learn(before, MONDAY)
    active = np.concatenate((before, lately))
    last = MONDAY + int(np.flatnonzero(active)[-1]) * 60
    assert recent_share(rhythm, active, MONDAY, last) == pytest.approx(0.2, abs=0.1)
    assert recent_share(rhythm, before, MONDAY, after(27) - 60) > 0.9
