"""Arrays answer as histograms do, and many stored histograms add up to what merging them one by one comes to."""

from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.traffic.windows.counted import PILED_MAX, Pile, StoredHistogram, counted_in
from monitor.traffic.windows.distribution import EMPTY, Distribution, Row, distribution_of, together
from monitor.traffic.windows.histogram import GAMMA, Histogram, merged
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window, window_to_bytes

samples = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e6)), max_size=30)
edges = st.one_of(st.just(0.0), st.integers(-900, 700).map(lambda index: GAMMA**index))


def histogram_of(values: Sequence[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def stored(histogram: Histogram) -> StoredHistogram:
    body = orjson.dumps({"latency_s": histogram.to_json()})
    found = counted_in(body).latency_s
    assert found is not None
    return found


def assert_same(found: Distribution, histogram: Histogram) -> None:
    assert found.n == histogram.n
    for share in (1e-9, 0.1, 0.5, 0.95, 1.0):
        assert found.quantile(share) == histogram.quantile(share)
    for edge in (0.0, 1e-6, 0.5, 1.0, 30.0, 1e9):
        assert found.above(edge) == histogram.above(edge)


@given(samples)
def test_a_distribution_answers_as_the_histogram_of_its_values(values: list[float]) -> None:
    assert_same(distribution_of(np.array(values, dtype=np.float64)), histogram_of(values))


@given(st.lists(samples, max_size=4), edges)
def test_a_row_answers_for_each_of_its_parts_and_for_all(parts: list[list[float]], edge: float) -> None:
    row = Row([distribution_of(np.array(part, dtype=np.float64)) for part in parts])
    histograms = [histogram_of(part) for part in parts]
    assert row.n.tolist() == [one.n for one in histograms]
    assert row.above(edge).tolist() == [one.above(edge) for one in histograms]
    assert_same(row.together, merged(histograms))


def test_what_holds_nothing_has_no_quantile() -> None:
    assert EMPTY.quantile(0.5) is None
    assert together([EMPTY, EMPTY]).n == 0
    assert EMPTY.above(1.0) == 0


def test_counts_of_any_size_add_up() -> None:
    many = distribution_of(np.full(300, 2.0))
    assert together([many] * 500).n == 150_000


@given(st.lists(st.tuples(st.integers(0, 3), samples), max_size=8))
def test_a_pile_comes_to_what_merging_does(parts: list[tuple[int, list[float]]]) -> None:
    """By the whole that each place is part of, in two ways at once; the last place is part of none."""
    wholes = ([0, 1, 0, -1], [2, 2, 0, -1])
    pile = Pile(*wholes)
    for place, values in parts:
        pile.add(place, stored(histogram_of(values)))
    for way, whole_of in enumerate(wholes):
        found = pile.distributions(way)
        assert set(found) == {whole_of[place] for place, _ in parts if place < 3}
        for whole, one in found.items():
            mine = [histogram_of(values) for place, values in parts if whole_of[place] == whole]
            assert_same(one, merged(mine))


def test_a_pile_that_grew_too_high_is_added_up_in_between() -> None:
    one, pile = histogram_of([1.02**n for n in range(40)]), Pile([0])
    for _ in range(PILED_MAX + 10):
        pile.add(0, stored(one))
    assert_same(pile.distributions(0)[0], merged([one] * (PILED_MAX + 10)))


def test_places_may_come_after_the_first_were_added_up() -> None:
    wholes = [0]
    pile = Pile(wholes)
    pile.add(0, stored(histogram_of([1.0])))
    pile.distributions(0)
    wholes.append(5)
    pile.add(1, stored(histogram_of([1e-6, 1e6])))
    pile.add(0, stored(histogram_of([2.0])))
    found = pile.distributions(0)
    assert_same(found[0], histogram_of([1.0, 2.0]))
    assert_same(found[5], histogram_of([1e-6, 1e6]))


def test_places_of_no_whole_are_left_out() -> None:
    pile = Pile([-1, -1])
    pile.add(1, stored(histogram_of([1.0, 2.0])))
    assert pile.distributions(0) == {}


def test_a_pile_takes_back_what_another_window_counted() -> None:
    back, pile = histogram_of([1.0, 2.0]), Pile([0])
    back.add(3.0, -1)
    pile.add(0, stored(back))
    pile.add(0, stored(histogram_of([3.0])))
    assert_same(pile.distributions(0)[0], histogram_of([1.0, 2.0]))


def test_what_earlier_versions_wrote_is_read() -> None:
    by_names = {"zeros": 1, "total_nano": "3000000000", "buckets": [[55, 1], [35, 2]]}
    found = counted_in(orjson.dumps({"calls": 4, "latency_s": by_names, "cost_usd": by_names}))
    assert (found.calls, found.cost_usd.n, found.cost_usd.total_nano) == (4, 4, "3000000000")  # type: ignore[union-attr]
    pile = Pile([0])
    pile.add(0, found.latency_s)  # type: ignore[arg-type]
    assert_same(pile.distributions(0)[0], Histogram.from_json(by_names))


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 1.5, 1.5, 20.0]], ids=["none", "zero", "some"])
def test_a_stored_window_is_read_as_it_was_counted(values: list[float]) -> None:
    window = Window(60, Series(*"abcdefg"), calls=9, errors={"timeout": 2}, checked=5, unsound=1)
    window.cost_bases = {"unpriced": 3, "ambiguous": 1, "exact": 4}
    window.finish_reasons, window.failed_checks = {"stop": 4, "length": 3}, {"json": 1}
    for value in values:
        window.cost_usd.add(value)
    found = counted_in(window_to_bytes(window))
    assert (found.calls, found.errors, found.checked, found.unsound) == (9, {"timeout": 2}, 5, 1)
    assert (found.cost_bases.unpriced, found.cost_bases.ambiguous) == (3, 1)
    assert (found.finish_reasons, found.failed_checks) == (window.finish_reasons, window.failed_checks)
    assert (found.cost_usd.n if found.cost_usd else 0) == len(values)
