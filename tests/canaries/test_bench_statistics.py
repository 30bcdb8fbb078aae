"""Intervals and tests of the bench, against known answers and by counting."""

import math
from statistics import fmean

import numpy as np
import pytest

from canaries.bench.statistics import (
    Groups,
    Interval,
    Permutations,
    agreement_statistic,
    by_difference,
    by_ratio,
    difference_of,
    holm,
    mean_of,
    mean_statistic,
    quantile_n_min,
    quantile_of,
    quantile_ranks,
    quantile_statistic,
    ratio_of,
    share_of,
)


def binomial_at_most(k: int, n: int, p: float) -> float:
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(("n", "q"), [(20, 0.5), (100, 0.5), (100, 0.95), (400, 0.99), (1000, 0.95)])
def test_the_ranks_hold_the_quantile_in_19_of_20_cases_and_hardly_more(n: int, q: float) -> None:
    low, high = quantile_ranks(n, q)
    assert low is not None
    assert high is not None
    # The quantile lies below the value of rank r when fewer than r values do.
    assert binomial_at_most(low - 1, n, q) <= 0.025 < binomial_at_most(low, n, q)
    assert 1 - binomial_at_most(high - 1, n, q) <= 0.025 < 1 - binomial_at_most(high - 2, n, q)


def test_the_median_of_ten_has_the_interval_of_the_books() -> None:
    assert quantile_ranks(10, 0.5) == (2, 9)


@pytest.mark.parametrize(("q", "n"), [(0.5, 6), (0.95, 72), (0.99, 368)])
def test_a_tail_has_two_ends_from_so_many_values_on(q: float, n: int) -> None:
    assert quantile_n_min(q) == n
    assert None not in quantile_ranks(n, q)
    assert None in quantile_ranks(n - 1, q)


def test_what_timed_out_is_the_slowest_of_all() -> None:
    found = quantile_of([0.1] * 90 + [math.inf] * 10, 0.95)
    assert found.value == math.inf
    assert quantile_of([0.1] * 90 + [math.inf] * 10, 0.5).value == 0.1


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = share_of(5, 20)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.1119, 0.4687), abs=1e-4)
    assert share_of(0, 10).low == 0
    assert share_of(10, 10).high == 1


def test_the_difference_of_two_shares_has_newcombes_interval() -> None:
    # Newcombe 1998, table II, case (a): 56/70 against 48/80.
    found = difference_of(share_of(56, 70), share_of(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_a_difference_of_what_has_no_interval_has_none() -> None:
    assert difference_of(Interval(0.5), share_of(1, 2)) == Interval(0.0)


def test_the_mean_of_one_value_has_no_interval() -> None:
    assert mean_of([3.0], np.random.default_rng(1)) == Interval(3.0)


def test_agreement_counts_pairs_of_equal_answers_whatever_their_number() -> None:
    assert agreement_statistic([np.array([[1.0, 1.0, 1.0, 2.0]])])[0] == pytest.approx(0.5)
    two_prompts = [np.array([[1.0, 1.0]]), np.array([[1.0, 2.0]]), np.array([[7.0]])]
    assert agreement_statistic(two_prompts)[0] == pytest.approx(0.5)


def test_few_values_are_dealt_as_all_their_orders_say() -> None:
    groups = Groups.of([("a", 1.0), ("a", 2.0), ("a", 3.0)], [("a", 4.0), ("a", 5.0), ("a", 6.0)])
    found = Permutations(groups, 4000, np.random.default_rng(1)).p_value(
        groups, by_difference(mean_statistic)
    )
    assert found == pytest.approx(2 / math.comb(6, 3), abs=0.02)


def test_values_of_other_prompts_are_not_exchanged() -> None:
    """A slow prompt that one side was asked more often makes no difference."""
    first = [("slow", 10.0 + i / 100) for i in range(20)] + [("fast", 1.0 + i / 100) for i in range(5)]
    second = [("slow", 10.0 + i / 100) for i in range(5)] + [("fast", 1.0 + i / 100) for i in range(20)]
    groups = Groups.of(first, second)
    found = Permutations(groups, 999, np.random.default_rng(1)).p_value(groups, by_difference(mean_statistic))
    assert found > 0.05


def test_alike_sides_are_told_apart_once_in_twenty() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(300):
        sides = [
            [(f"p{i % 4}", float(v) * (1 + i % 4)) for i, v in enumerate(rng.lognormal(size=40))]
            for _ in "ab"
        ]
        groups = Groups.of(*sides)
        found.append(Permutations(groups, 199, rng).p_value(groups, by_ratio(quantile_statistic(0.5))))
    assert fmean(p <= 0.05 for p in found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_the_interval_of_a_ratio_holds_the_true_factor_in_19_of_20_cases() -> None:
    rng = np.random.default_rng(6)
    held, widths = [], []
    for _ in range(60):
        first = [(f"p{i % 4}", 1.3 * float(v) * (1 + i % 4)) for i, v in enumerate(rng.lognormal(0, 0.3, 60))]
        second = [(f"p{i % 4}", float(v) * (1 + i % 4)) for i, v in enumerate(rng.lognormal(0, 0.3, 60))]
        found = ratio_of(Groups.of(first, second), quantile_statistic(0.5), rng)
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        held.append(found.low <= 1.3 <= found.high)
        widths.append(found.high / found.low)
    assert fmean(held) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 60)
    assert fmean(widths) < 2


def test_the_interval_and_the_test_say_the_same() -> None:
    """No factor at all, 1, lies outside of the interval just when the test rejects it."""
    rng = np.random.default_rng(7)
    for shift in (1.0, 1.1, 1.2, 1.6):
        first = [("a", shift * float(v)) for v in rng.lognormal(0, 0.3, 40)]
        second = [("a", float(v)) for v in rng.lognormal(0, 0.3, 40)]
        groups = Groups.of(first, second)
        interval = ratio_of(groups, mean_statistic, rng)
        p_value = Permutations(groups, 1999, rng).p_value(groups, by_ratio(mean_statistic))
        if abs(p_value - 0.05) > 0.03:  # nearer to it, two draws of permutations may disagree
            assert interval.low is not None
            assert interval.high is not None
            assert (interval.low <= 1 <= interval.high) is (p_value > 0.05)


def test_sides_that_time_out_alike_are_not_apart() -> None:
    groups = Groups.of([("a", math.inf)] * 3, [("a", math.inf)] * 3)
    assert Permutations(groups, 99, np.random.default_rng(1)).p_value(groups, by_ratio(mean_statistic)) == 1


def test_holm_multiplies_by_what_is_left() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []
