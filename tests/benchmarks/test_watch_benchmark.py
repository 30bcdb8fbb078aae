"""A watch near its threshold: what ``benchmarks.watch_noise`` measures, for a day."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.watch_noise import minutes_to_page, pages_a_day, rule_of


@pytest.mark.parametrize(("level", "at_most"), [(0.9, 1), (1.1, 3)], ids=["below the threshold", "above it"])
def test_a_watch_near_its_threshold_does_not_page_all_day(level: float, at_most: int) -> None:
    assert pages_a_day(rule_of(), level, days=1, calls=20, seed=1) <= at_most


def test_without_a_wait_the_same_traffic_pages_all_day() -> None:
    assert pages_a_day(rule_of("0s"), 1.1, days=1, calls=20, seed=1) > 10


def test_a_jump_to_twice_the_threshold_pages_within_minutes() -> None:
    assert max(minutes_to_page(rule_of(), 1.0, calls=20, seed=seed) for seed in range(10)) <= 4
