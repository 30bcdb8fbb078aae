"""Shift watches over latency: what ``benchmarks.tails`` measures, for one application and a few days."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.tails import LOADS, SETTLED, pages

WATCHES = ("history", "control")
RULES = ("quantile > 1.2 x the baseline's", "binomial test, p < .05")


@pytest.mark.parametrize("load", LOADS)
def test_rules_that_people_use_page_within_days_where_nothing_changes(load: str) -> None:
    found = pages("p99", LOADS[load], hours=168, seed=1)
    assert all(found[name] == [] for name in WATCHES)
    assert all(len(found[name]) > 3 for name in RULES)


def test_a_twentieth_of_calls_three_times_slower_is_found_within_a_day() -> None:
    found = pages("p99", LOADS["independent"], SETTLED + 24, seed=3, slow_share=0.05)
    assert all(any(hour >= SETTLED for hour in found[name]) for name in WATCHES)


def test_a_seed_gives_the_same_pages_again() -> None:
    assert pages("p95", LOADS["AR(1) = .8"], 48, seed=4) == pages("p95", LOADS["AR(1) = .8"], 48, seed=4)
