"""Changes are called real by blocks of time: against known answers, and against nights on which nothing moved."""

import numpy as np
import pytest

from monitor.audit.changes import (
    Blocks,
    adjusted,
    by_counts,
    by_days,
    by_groups,
    by_pairs,
    by_two_days,
    t_limit,
    t_tails,
)


def blocks(sums: list[float], counts: list[float] | None = None) -> Blocks:
    return Blocks(np.array(sums, dtype=float), np.array(counts or [1.0] * len(sums), dtype=float))


@pytest.mark.parametrize(
    ("freedom", "limit"), [(1.0, 12.706), (6.0, 2.447), (23.0, 2.069), (1e6, 1.960)], ids=str
)
def test_limits_of_students_t_are_those_of_the_tables(freedom: float, limit: float) -> None:
    assert t_limit(freedom) == pytest.approx(limit, abs=0.001)
    assert t_tails(limit, freedom) == pytest.approx(0.05, abs=1e-4)


def test_p_values_are_adjusted_for_all_that_are_looked_at() -> None:
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.9, 0.8]) == [1.0, 1.0]
    assert adjusted([]) == []


def test_what_both_days_share_by_the_hour_is_no_noise() -> None:
    shape = [10.0, 50.0, 90.0, 40.0, 20.0, 70.0]
    now, before = (
        blocks([one + 5 for one in shape]),
        blocks([one + d for one, d in zip(shape, [0, 1, -1] * 2, strict=True)]),
    )
    paired, apart = by_pairs(now, before), by_groups(now, before)
    assert paired is not None
    assert apart is not None
    assert paired.p_value < 0.001
    assert apart.p_value > 0.5


def test_too_few_blocks_say_nothing() -> None:
    assert by_pairs(blocks([1, 2, 3]), blocks([1, 2, 3])) is None
    assert by_groups(blocks([1, 2, 3, 4]), blocks([1, 2, 3])) is None
    assert by_days(3.0, blocks([1, 2, 3, 4, 5, 6]), 1.0) is None
    assert by_two_days(3.0, 2.0, blocks([1, 2, 3, 4, 5, 6]), 1.0) is None


def test_a_day_like_those_before_is_no_news_and_one_far_from_them_is() -> None:
    days = blocks([100, 104, 98, 101, 97, 103, 99, 102])
    usual, other = by_days(104.0, days, 1.0), by_days(140.0, days, 1.0)
    assert usual is not None
    assert other is not None
    assert usual.p_value > 0.1
    assert other.p_value < 0.001


def test_two_days_at_a_tenth_of_the_usual_level_vary_a_tenth_as_much() -> None:
    days = blocks([100, 104, 98, 101, 97, 103, 99, 102])
    usual, tenth = by_two_days(104.0, 100.0, days, 1.0), by_two_days(10.4, 10.0, days, 1.0)
    assert usual is not None
    assert tenth is not None
    assert usual.p_value == pytest.approx(tenth.p_value, rel=1e-6)


@pytest.mark.parametrize(
    ("now", "before", "is_sure"),
    [
        ((3, 1_000), (0, 1_000), False),
        ((12, 1_000), (0, 1_000), True),
        ((5, 1_000), (28, 28_000), True),
        ((990, 1_000), (1_000, 1_000), True),
        ((0, 0), (1, 10), None),
    ],
    ids=["three against none", "twelve against none", "rare on a long side", "rare misses", "nothing"],
)
def test_rare_events_are_compared_exactly(
    now: tuple[int, int], before: tuple[int, int], is_sure: bool | None
) -> None:
    moved = by_counts(blocks([now[0]], [now[1]]), blocks([before[0]], [before[1]]))
    assert (None if moved is None else moved.p_value < 0.05) is is_sure


def test_what_never_varies_has_moved_when_it_is_another() -> None:
    same = by_pairs(blocks([5.0] * 8), blocks([5.0] * 8))
    other = by_pairs(blocks([6.0] * 8), blocks([5.0] * 8))
    assert same is not None
    assert other is not None
    assert (same.p_value, other.p_value) == (1.0, 0.0)


def test_the_sides_can_be_swapped() -> None:
    rng = np.random.default_rng(1)
    one, other = blocks(list(rng.normal(10, 1, 24))), blocks(list(rng.normal(11, 1, 24)))
    there, back = by_groups(one, other), by_groups(other, one)
    assert there is not None
    assert back is not None
    assert there.p_value == pytest.approx(back.p_value)
    assert there.difference == pytest.approx(-back.difference)


def test_nights_on_which_nothing_moved_say_so_although_hours_share_their_shocks() -> None:
    """Failed calls of 24 hours, each with its own risk: single calls would be surer than they may be."""
    rng = np.random.default_rng(7)
    by_hours = by_calls = 0
    nights = 400
    for _ in range(nights):
        shares = np.clip(rng.normal(0.05, 0.03, (2, 24)), 0.001, 1)
        sides = [blocks(list(rng.binomial(400, one)), [400.0] * 24) for one in shares]
        hours, calls = by_pairs(*sides), by_counts(*sides)
        assert hours is not None
        by_calls += calls is not None and calls.p_value <= 0.05
        by_hours += hours.or_less_sure(calls).p_value <= 0.05
    assert by_hours / nights <= 0.075  # 0.05, within what 400 nights may differ by
    assert by_calls / nights > 0.25
