"""The parts of a comparison against known answers."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from canaries.compare import texts
from canaries.compare.effects import Effects, Resamples
from canaries.compare.evidence import adjusted, combined, p_values, surprise
from canaries.compare.features import CanaryFeatures
from canaries.compare.pairing import CanaryPair, Group
from canaries.compare.shuffles import Shuffles, arrangements_of, smallest_p_value, weights
from canaries.compare.statistics import centre, contrasts, quadratic, spread_kernel
from canaries.completion import Completion

RNG = np.random.default_rng


def group(base: int, current: int) -> Group:
    return Group(np.array([False] * base + [True] * current))


# --- permutations


def test_few_arrangements_all_come_once_and_the_observed_one_first() -> None:
    shuffles = Shuffles([group(2, 2), group(1, 2)], 100, RNG(0))
    assert (shuffles.is_exact, shuffles.count) == (True, 18)
    rows = np.concatenate([shuffles.of(0), shuffles.of(1)], axis=1)
    assert len({tuple(row) for row in rows.tolist()}) == 18
    assert rows[0].tolist() == [False, False, True, True, False, True, True]
    assert {sum(row[:4]) for row in rows.tolist()} == {2}


def test_many_arrangements_are_drawn_and_each_side_keeps_its_size() -> None:
    shuffles = Shuffles([group(10, 14)], 500, RNG(0))
    assert (shuffles.is_exact, shuffles.count) == (False, 501)
    sides = shuffles.of(0)
    assert sides[0].tolist() == [False] * 10 + [True] * 14
    assert set(sides.sum(axis=1)) == {14}
    assert shuffles.of(0) is sides


SMALLEST = [
    pytest.param([group(3, 3)], 0, 0.1, id="equal sides"),
    pytest.param([group(3, 4)], 0, 1 / 35, id="unequal sides"),
    pytest.param([group(1, 1)] * 5, 0, 2 / 32, id="one answer a side of five canaries"),
    pytest.param([group(3, 3)], 1, 2 / 70, id="with one more on each side"),
    pytest.param([], 0, 1.0, id="nothing"),
]


@pytest.mark.parametrize(("groups", "more", "p_value"), SMALLEST)
def test_the_smallest_p_value_counts_the_arrangements(groups: list[Group], more: int, p_value: float) -> None:
    assert smallest_p_value(groups, more) == pytest.approx(p_value)


def test_very_many_arrangements_are_not_counted_to_the_end() -> None:
    assert arrangements_of([group(500, 500)] * 100, more=10_000) == 10**15


def test_weights_give_the_difference_of_the_means_and_know_about_missing_values() -> None:
    sides = np.array([[False, False, True, True]])
    values = np.array([1.0, 3.0, 10.0, 20.0], dtype=np.float32)
    difference, size = weights(sides)
    assert (difference @ values).tolist() == [13.0]
    assert size.tolist() == [1.0]
    difference, size = weights(sides, np.array([True, True, True, False]))
    assert (difference @ values).tolist() == [8.0]
    difference, size = weights(sides, np.array([True, True, False, False]))
    assert (difference.tolist(), size.tolist()) == ([[0.0] * 4], [0.0])


# --- p-values


def test_the_p_value_is_the_share_of_arrangements_that_are_as_far_out() -> None:
    values = np.array([3.0, 5.0, 1.0, 2.0, 0.5, 6.0, 9.0, 8.0])
    sides = [[i in chosen for i in range(8)] for chosen in combinations(range(8), 4)]
    gaps = [abs(values[side].mean() - values[~side].mean()) for side in map(np.array, sides)]
    observed = [False] * 4 + [True] * 4
    expected = np.mean(np.array(gaps) >= gaps[sides.index(observed)] - 1e-9)
    shuffles = Shuffles([group(4, 4)], 1_000, RNG(0))
    statistic = quadratic(contrasts(shuffles.of(0)), np.outer(values, values).astype(np.float32))
    assert p_values(statistic[None])[0] == pytest.approx(expected)


def test_surprise_is_the_rank_in_the_bulk_and_goes_on_beyond_the_largest() -> None:
    values = np.append([50.0], RNG(1).exponential(size=999))[None]
    [found] = surprise(values)
    order = np.argsort(values[0])
    assert (np.diff(found[order]) >= 0).all()
    assert found[order[500]] == pytest.approx(-np.log(0.5))
    assert found[0] == pytest.approx(50, rel=0.25)  # the tail of an exponential goes on as its logarithm says


def test_what_never_varies_is_no_surprise() -> None:
    assert not surprise(np.ones((2, 50))).any()


def test_adjusted_p_values_are_monotone_and_those_of_the_largest() -> None:
    surprises = surprise(RNG(2).normal(size=(5, 400)))
    found = adjusted(surprises)
    order = np.argsort(-surprises[:, 0])
    assert (np.diff(found[order]) >= 0).all()
    assert found[order[0]] == pytest.approx((surprises.max(axis=0) >= surprises[:, 0].max() - 1e-9).mean())
    assert (found >= p_values(surprises) - 1e-9).all()


def test_a_single_row_is_adjusted_for_nothing() -> None:
    surprises = surprise(RNG(3).normal(size=(1, 200)))
    assert adjusted(surprises) == pytest.approx(p_values(surprises))


def test_a_row_without_weight_does_not_count() -> None:
    rows = surprise(RNG(4).normal(size=(2, 100)))
    alone = combined(rows[:1], [1.0])
    assert np.argsort(combined(rows, [1.0, 1e-12])).tolist() == np.argsort(alone).tolist()


# --- texts


def test_the_same_characters_at_the_same_places_are_alike_by_hamming() -> None:
    found = texts.hamming(["abcd", "abxd", "ab"])
    assert found == pytest.approx(np.array([[1, 0.75, 0.5], [0.75, 1, 0.5], [0.5, 0.5, 1]]))


def test_exact_answers_are_alike_or_not() -> None:
    assert texts.exact(["a", "b", "a"]).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_trigrams_of_equal_texts_have_cosine_one_and_of_unlike_ones_none() -> None:
    found = texts.trigrams(["abcdef", "abcdef", "uvwxyz", ""]).cosines()
    assert found[0, 1] == found[0, 0] == 1.0
    assert found[0, 2] == found[0, 3] == 0.0
    assert texts.trigrams(["", "a", ""]).cosines()[0].tolist() == [1.0, 0.0, 1.0]


def test_trigrams_do_not_reach_over_from_one_text_to_the_next() -> None:
    together = texts.trigrams(["ab", "cd"]).cosines()
    assert together[0, 1] == 0.0
    assert texts.trigrams(["ab", "xx", "ab"]).cosines()[0, 2] == 1.0


def test_phrases_are_words_and_pairs_with_the_beginning_and_the_end() -> None:
    words = texts.number_words(["wind tide", "tide wind", "wind tide"]).answers
    found = texts.phrases(words).cosines()
    assert found[0, 1] == pytest.approx(2 / 5)  # both words, and none of the three pairs
    assert found[0, 2] == 1.0


def test_openings_count_how_far_two_answers_open_alike() -> None:
    words = texts.number_words(["the ship lies here", "the ship lies there", "a ship lies here"]).answers
    found = texts.openings(words).cosines()
    assert found[0, 1] == pytest.approx(
        0.5
    )  # the first word and the first two, but neither the first four nor eight
    assert found[0, 2] == 0.0


def test_rare_words_are_rarer_and_an_answer_does_not_make_its_own_words_usual() -> None:
    words = texts.number_words(["a b c", "a b c", "a b c", "x x x", ""])
    rare = texts.rarity(words, [range(5)])
    assert rare[3] > rare[0] + 1
    assert rare[0] == rare[1] == rare[2]
    assert np.isnan(rare[4])


def test_pooled_columns_keep_products_roughly() -> None:
    generator = RNG(5)
    vocabulary = [f"word{i}" for i in range(300)]
    drawn = [" ".join(generator.choice(vocabulary[:40], 40)) for _ in range(20)]
    drawn += [" ".join(generator.choice(vocabulary[100:140], 40)) for _ in range(20)]
    pieces = texts.vocabulary(texts.number_words(drawn).answers)
    rows = pieces.pooled()
    apart = np.abs(rows @ rows.T - pieces.cosines())
    assert apart.mean() < 0.08
    assert (rows @ rows.T)[:20, :20].mean() > (rows @ rows.T)[:20, 20:].mean() + 0.3


def test_a_centred_kernel_of_equal_answers_is_nothing() -> None:
    assert not centre(np.full((5, 5), 0.7, dtype=np.float32)).any()


def test_the_spread_kernel_sees_a_difference_that_the_means_do_not() -> None:
    values = np.array([0.0] * 6 + [-1.0, 1.0] * 3, dtype=np.float32)
    contrast = contrasts(np.array([[False] * 6 + [True] * 6]))
    assert float(quadratic(contrast, spread_kernel(values))[0]) > 0.5
    assert float(quadratic(contrast, np.outer(values, values))[0]) == 0.0


# --- effects


def pair(base: int, current: int) -> CanaryPair:
    count = base + current
    return CanaryPair(
        "c", (Completion("c", text=""),) * count, group(base, current).is_current, np.arange(count), group=0
    )


def numbers(**values: NDArray[np.float64]) -> CanaryFeatures:
    return CanaryFeatures({}, values, {}, None)


def test_an_effect_is_the_difference_and_its_interval_covers_the_truth() -> None:
    generator, covered = RNG(6), 0
    for _ in range(40):
        effects = Effects(Resamples([group(40, 40)], 200, generator))
        values = np.append(generator.normal(0, 1, 40), generator.normal(0.5, 1, 40))
        effects.add(pair(40, 40), numbers(mean_logprob=values))
        found = effects.of("mean_logprob")
        assert found is not None
        assert found.value == pytest.approx(values[40:].mean() - values[:40].mean())
        covered += found.low <= 0.5 <= found.high
    assert covered >= 33


def test_a_time_is_told_as_its_geometric_mean_so_that_one_that_hangs_does_not_drown_the_rest() -> None:
    effects = Effects(Resamples([group(4, 4)], 50, RNG(7)))
    effects.add(pair(4, 4), numbers(latency=np.array([1.0, 1.0, 1.0, 100.0, 2.0, 2.0, 2.0, 200.0])))
    found = effects.of("latency")
    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert found.base == pytest.approx(100**0.25)


def test_a_distance_needs_two_answers_a_side() -> None:
    effects = Effects(Resamples([group(1, 1)], 50, RNG(8)))
    effects.add(pair(1, 1), CanaryFeatures({"trigrams": np.eye(2, dtype=np.float32)}, {}, {}, None))
    assert effects.of("trigrams") is None


def test_the_distance_of_what_has_nothing_in_common_is_one() -> None:
    kernel = np.kron(np.eye(2), np.ones((3, 3))).astype(np.float32)
    effects = Effects(Resamples([group(3, 3)], 50, RNG(9)))
    effects.add(pair(3, 3), CanaryFeatures({"answers": kernel}, {}, {}, None))
    found = effects.of("answers")
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
