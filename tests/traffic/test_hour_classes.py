"""Hours that are alike: found where there is a rhythm, and left alone where there is none."""

import numpy as np
import pytest

from monitor.traffic.tails.hour_classes import HourClasses, learn

HOUR_S = 3600


def scores(rng: np.random.Generator, hours: int, swing: float) -> np.ndarray:
    return swing * np.sin(2 * np.pi * np.arange(hours) / 24) + rng.normal(size=hours)


def starts(hours: int, slot_s: int = HOUR_S) -> list[int]:
    return [slot_s * hour for hour in range(hours)]


def test_a_daily_rhythm_is_cut_into_classes_with_the_slow_hours_last() -> None:
    found = learn(starts(168), scores(np.random.default_rng(1), 168, 3.0), HOUR_S, calibration=84)
    assert found.classes == 3
    assert {found.label(hour * HOUR_S) for hour in (4, 5, 6, 7, 8)} == {"hours-2"}
    assert {found.label(hour * HOUR_S) for hour in (16, 17, 18, 19, 20)} == {"hours-0"}
    assert found.usual_at(6 * HOUR_S) == pytest.approx(2.6, abs=0.7)


def test_the_same_hour_of_another_day_is_of_the_same_class() -> None:
    found = learn(starts(168), scores(np.random.default_rng(1), 168, 3.0), HOUR_S, calibration=84)
    assert all(found.label(h * HOUR_S) == found.label((h + 24 * 100) * HOUR_S) for h in range(24))


def test_without_a_rhythm_there_is_one_class_in_nineteen_of_twenty_cases() -> None:
    rng = np.random.default_rng(2)
    found = [learn(starts(84), scores(rng, 84, 0.0), HOUR_S, 84, seed).classes for seed in range(100)]
    assert sum(classes > 1 for classes in found) <= 12


@pytest.mark.parametrize(
    ("calibration", "classes"),
    [(47, 1), (48, 2), (84, 3), (336, 6)],
    ids=["few", "two", "a week", "four weeks"],
)
def test_every_class_gets_enough_calibration_periods(calibration: int, classes: int) -> None:
    found = learn(starts(168), scores(np.random.default_rng(3), 168, 3.0), HOUR_S, calibration)
    assert found.classes == classes


def test_a_day_that_was_not_seen_whole_has_one_class() -> None:
    working = [day * 24 + hour for day in range(10) for hour in range(8, 18)]
    at = [HOUR_S * hour for hour in working]
    values = [float(hour % 24) for hour in working]
    assert learn(at, values, HOUR_S, calibration=84) == HourClasses()


def test_equal_scores_have_one_class() -> None:
    assert learn(starts(84), [1.0] * 84, HOUR_S, calibration=84) == HourClasses()


def test_periods_of_four_hours_have_their_classes_too() -> None:
    values = 3.0 * np.sin(2 * np.pi * np.arange(84) / 6) + np.random.default_rng(4).normal(size=84)
    found = learn(starts(84, 4 * HOUR_S), values, 4 * HOUR_S, calibration=84)
    assert len(found.of_slot) == 6
    assert found.classes == 3


def test_one_class_has_no_label() -> None:
    assert HourClasses().label(12345.0) == ""
    assert HourClasses().usual_at(12345.0) == 0.0
