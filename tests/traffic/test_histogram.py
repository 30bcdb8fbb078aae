import math
from collections import Counter
from statistics import stdev

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.traffic.windows.histogram import (
    GAMMA,
    LARGEST,
    RELATIVE_ERROR,
    SMALLEST,
    Histogram,
    buckets_of,
    merged,
)

values = st.floats(min_value=0, max_value=1e9, allow_nan=False)
samples = st.lists(values, min_size=1, max_size=200)


def histogram_of(sample: list[float]) -> Histogram:
    histogram = Histogram()
    for value in sample:
        histogram.add(value)
    return histogram


@given(samples, st.floats(min_value=0, max_value=1))
def test_a_quantile_is_the_samples_own_within_the_bound(sample: list[float], q: float) -> None:
    true = sorted(sample)[max(1, math.ceil(q * len(sample))) - 1]
    found = histogram_of(sample).quantile(q)
    assert found is not None
    assert found.n == len(sample)
    assert found.low <= true * (1 + 1e-12)
    assert true <= found.high * (1 + 1e-12)
    assert abs(found.value - true) <= max(true * RELATIVE_ERROR * (1 + 1e-9), SMALLEST)


@given(st.lists(samples, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_gives_the_same_in_any_order_and_grouping(parts: list[list[float]], random) -> None:
    whole = histogram_of([value for part in parts for value in part])
    shuffled = parts[:]
    random.shuffle(shuffled)
    assert merged(map(histogram_of, shuffled)) == whole
    nested = merged([merged(map(histogram_of, shuffled[:2])), merged(map(histogram_of, shuffled[2:]))])
    assert nested == whole


@given(samples)
def test_a_histogram_survives_its_json(sample: list[float]) -> None:
    histogram = histogram_of(sample)
    assert Histogram.from_json(orjson.loads(orjson.dumps(histogram.to_json()))) == histogram


@given(samples)
def test_the_mean_is_exact_to_a_billionth(sample: list[float]) -> None:
    mean = histogram_of(sample).mean
    assert mean is not None
    assert mean == pytest.approx(math.fsum(sample) / len(sample), abs=1.1e-9, rel=1e-12)


@pytest.mark.parametrize("power", [-1040, -1, 0, 1, 2, 1000])
def test_a_value_on_an_edge_belongs_to_the_lower_bucket(power: int) -> None:
    edge = GAMMA**power
    at, above = (
        histogram_of([edge]).quantile(0.5),
        histogram_of([math.nextafter(edge, math.inf)]).quantile(0.5),
    )
    assert at is not None
    assert above is not None
    assert at.high == edge
    assert above.low == edge


def test_nothing_has_no_quantile_and_no_mean() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().mean is None
    assert Histogram().n == 0


def test_zeros_count_and_come_first() -> None:
    found = histogram_of([0.0, 0.0, 0.0, 5.0])
    assert found.n == 4
    assert found.quantile(0.75).value == 0.0
    assert found.quantile(0.76).value == pytest.approx(5.0, rel=0.01)


def test_what_is_too_large_counts_as_the_largest() -> None:
    assert histogram_of([1e300]) == histogram_of([LARGEST])


@pytest.mark.parametrize("value", [-1.0, math.nan, -math.inf])
def test_what_no_value_is_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="0 and more"):
        Histogram().add(value)


@given(samples)
def test_values_are_found_by_their_rank(sample: list[float]) -> None:
    histogram = histogram_of(sample)
    for rank, true in enumerate(sorted(sample), start=1):
        found = histogram.at_rank(rank)
        assert found.low <= true * (1 + 1e-12)
        assert true <= found.high * (1 + 1e-12)


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_that_no_value_has_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="2 values have no rank"):
        histogram_of([1.0, 2.0]).at_rank(rank)


@given(st.lists(st.floats(min_value=1e-6, max_value=1e6), min_size=2, max_size=100))
def test_the_deviation_is_that_of_the_sample_within_a_bucket(sample: list[float]) -> None:
    spread = histogram_of(sample).spread
    assert spread is not None
    assert spread.deviation == pytest.approx(stdev(sample), abs=0.015 * max(sample))


def test_many_values_are_counted_as_each_by_itself_also_at_the_edges_of_buckets() -> None:
    edges = np.array([0.0, SMALLEST, LARGEST, 2 * LARGEST, *(GAMMA**index for index in range(-1_100, 1_450))])
    tried = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges, 0.0)])
    one_by_one, many = histogram_of(tried.tolist()), Histogram()
    many.add_counts(Counter(buckets_of(tried).tolist()), one_by_one.total_nano)
    assert many == one_by_one
