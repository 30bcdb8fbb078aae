from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.traffic.watches.confidence import (
    CONFIDENCE,
    binomial_at_most,
    lower_rank,
    share_bounds,
    upper_rank,
)

trials = st.integers(1, 300)
shares = st.floats(0.001, 0.999)
EXACT = 1e-11


def exactly_at_most(k: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@given(trials, shares, st.data())
def test_the_binomial_is_the_sum_of_its_terms(n: int, p: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(-1, n + 1))
    assert binomial_at_most(k, n, p) == pytest.approx(exactly_at_most(min(k, n), n, p), abs=1e-11)


@given(trials, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_rank_is_the_outermost_that_is_still_sure(n: int, q: float) -> None:
    # The r-th smallest value lies above the quantile when less than r of the values lie up to it.
    low, high = lower_rank(n, q), upper_rank(n, q)
    assert exactly_at_most(low - 1, n, q) <= 1 - CONFIDENCE + EXACT
    assert exactly_at_most(low, n, q) > 1 - CONFIDENCE - EXACT
    if high is None:
        assert exactly_at_most(n - 1, n, q) < CONFIDENCE + EXACT
    else:
        assert exactly_at_most(high - 2, n, q) < CONFIDENCE + EXACT
        assert exactly_at_most(high - 1, n, q) >= CONFIDENCE - EXACT


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 20, 0.0, 0.2057),
        (3, 20, 0.0227, 0.4207),
        (20, 20, 0.7943, 1.0),
        (20_000, 1_000_000, 0.01968, 0.02033),
    ],
)
def test_the_bounds_of_a_share_are_as_published(hits: int, n: int, low: float, high: float) -> None:
    assert share_bounds(hits, n) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


@given(trials, st.data())
def test_the_bounds_of_a_share_are_where_chance_ends(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(1, n - 1)) if n > 1 else 1
    low, high = share_bounds(hits, n)
    assert low <= hits / n <= high
    assert 1 - exactly_at_most(hits - 1, n, low) == pytest.approx(1 - CONFIDENCE, abs=1e-6)
    if hits < n:
        assert exactly_at_most(hits, n, high) == pytest.approx(1 - CONFIDENCE, abs=1e-6)


def test_a_million_calls_are_judged_in_bounded_work() -> None:
    assert lower_rank(1_000_000, 0.95) == 949_492
    assert upper_rank(1_000_000, 0.95) == 950_507
