"""The odds are exact: every ordering of a few runs is enumerated, and counted in fractions."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from alerts.evidence.bets import (
    BET_SHARES,
    BETS,
    HIGH_BETS,
    LAMBDAS,
    LOW_BETS,
    RANKS,
    THRESHOLDS,
    Ranked,
    e_values,
    is_beyond,
    orderable,
    tail_ranks,
    thresholds,
    tie_break,
)

Beyond = tuple[bool, ...]
FAIR_LAMBDAS = [Fraction(str(lam)) for lam in LAMBDAS]

SIZES = [
    pytest.param(1, 3, id="1 calibration run, 3 later"),
    pytest.param(2, 3, id="2 calibration runs, 3 later"),
    pytest.param(3, 4, id="3 calibration runs, 4 later"),
    pytest.param(4, 3, id="4 calibration runs, 3 later"),
    pytest.param(5, 3, id="5 calibration runs, 3 later"),
]


def histories(orderings: Iterable[Sequence[Ranked]], n: int) -> Iterator[tuple[Beyond, ...]]:
    """Of each ordering, what every run after the first ``n`` lies beyond."""
    limits: dict[tuple[Ranked, ...], np.ndarray] = {}
    for ordering in orderings:
        calibration = tuple(ordering[:n])
        if calibration not in limits:
            limits[calibration] = thresholds(calibration)[None]
        yield tuple(
            tuple(is_beyond(limits[calibration], np.array([score]), tie)[0].tolist())
            for score, tie in ordering[n:]
        )


def fair_chance(n: int, past: Sequence[Beyond], threshold: int) -> Fraction:
    k = sum(run[threshold] for run in past)
    return Fraction(int(tail_ranks(np.array(n))[threshold]) + k, n + 1 + len(past))


def distinct(count: int) -> Iterator[tuple[Ranked, ...]]:
    return permutations([(float(i), 0.5) for i in range(count)])


def tied(count: int) -> Iterator[tuple[Ranked, ...]]:
    """Scores with only two values in every order, with tie-breaks in every order."""
    scores = [float(i % 2) for i in range(count)]
    for ties in permutations(range(count)):
        for placed in set(permutations(scores)):
            yield tuple((score, tie / count) for score, tie in zip(placed, ties, strict=True))


@pytest.mark.parametrize(("n", "later"), SIZES)
def test_the_chance_to_lie_beyond_is_exact_given_the_whole_past_of_the_score(n: int, later: int) -> None:
    assert_exact(list(histories(distinct(n + later), n)), n, later)


@pytest.mark.parametrize(("n", "later"), [(2, 3), (3, 2), (4, 2)])
def test_ties_broken_by_uniforms_leave_the_chance_exact(n: int, later: int) -> None:
    assert_exact(list(histories(tied(n + later), n)), n, later)


def assert_exact(runs: list[tuple[Beyond, ...]], n: int, later: int) -> None:
    for j in range(later):
        seen: dict[tuple[Beyond, ...], list[Beyond]] = defaultdict(list)
        for history in runs:
            seen[history[:j]].append(history[j])
        for past, nexts in seen.items():
            for threshold in range(THRESHOLDS):
                hits = Fraction(sum(run[threshold] for run in nexts), len(nexts))
                assert hits == fair_chance(n, past, threshold), (past, threshold)


def test_the_chance_stays_exact_when_the_past_is_the_order_of_all_runs() -> None:
    n, later = 3, 3
    for j in range(later):
        seen: dict[tuple[int, ...], list[tuple[tuple[Beyond, ...], Beyond]]] = defaultdict(list)
        orderings = list(distinct(n + later))
        for ordering, history in zip(orderings, histories(orderings, n), strict=True):
            order = tuple(np.argsort([score for score, _ in ordering[: n + j]]).tolist())
            seen[order].append((history[:j], history[j]))
        for cases in seen.values():
            past = cases[0][0]
            for threshold in range(THRESHOLDS):
                hits = Fraction(sum(run[threshold] for _, run in cases), len(cases))
                assert hits == fair_chance(n, past, threshold)


@pytest.mark.parametrize(("n", "later"), SIZES)
def test_every_bet_and_every_product_of_its_bets_has_mean_one_over_all_orderings(n: int, later: int) -> None:
    counts = Counter(histories(distinct(n + later), n))
    for threshold in range(THRESHOLDS):
        for lam in FAIR_LAMBDAS:
            wealth = {history: Fraction(times) for history, times in counts.items()}
            for j in range(later):
                for history in wealth:
                    payout = history[j][threshold] / fair_chance(n, history[:j], threshold)
                    wealth[history] *= 1 - lam + lam * payout
                assert sum(wealth.values()) == counts.total(), f"after {j + 1} runs"


def test_the_vectorised_bets_are_the_formula() -> None:
    n, past = 5, ((True, True, True, False, False, False), (False, False, True, False, False, False))
    now = (False, True, True, False, False, False)
    k = np.sum(past, axis=0)[None]
    e = e_values(np.array([now]), np.array([n]), np.array([len(past)]), k)[0].reshape(
        THRESHOLDS, len(LAMBDAS)
    )
    for threshold in range(THRESHOLDS):
        for i, lam in enumerate(FAIR_LAMBDAS):
            fair = 1 - lam + lam * now[threshold] / fair_chance(n, past, threshold)
            assert e[threshold, i] == pytest.approx(float(fair), rel=1e-15)


@pytest.mark.parametrize(
    ("n", "ranks"),
    [
        (0, (1, 1, 1)),
        (1, (1, 1, 1)),
        (4, (1, 1, 1)),
        (5, (1, 1, 2)),
        (20, (1, 1, 5)),
        (21, (1, 2, 6)),
        (140, (1, 7, 35)),
    ],
)
def test_ranks_are_the_most_extreme_run_and_the_outer_5_and_25_percent_rounded_up(
    n: int, ranks: tuple[int, ...]
) -> None:
    assert tuple(tail_ranks(np.array(n)).tolist()) == ranks * 2


def test_mirrored_scores_swap_the_sides() -> None:
    rng = np.random.default_rng(1)
    calibration = [(float(s), float(u)) for s, u in zip(rng.integers(0, 9, 30), rng.random(30), strict=True)]
    mirrored = [(-s, 1 - u) for s, u in calibration]
    for score, tie in zip(rng.integers(-1, 10, 50).tolist(), rng.random(50).tolist(), strict=True):
        straight = is_beyond(thresholds(calibration)[None], np.array([float(score)]), tie)[0]
        swapped = is_beyond(thresholds(mirrored)[None], np.array([-float(score)]), 1 - tie)[0]
        assert straight.tolist() == [*swapped[RANKS:], *swapped[:RANKS]]


def test_nothing_is_beyond_without_a_score_or_without_calibration_runs() -> None:
    some = thresholds([(1.0, 0.5), (2.0, 0.5)])[None]
    assert not is_beyond(some, np.array([math.nan]), 0.9).any()
    assert not is_beyond(thresholds([])[None], np.array([7.0]), 0.9).any()


def test_infinite_scores_keep_their_place() -> None:
    ordered = [-math.inf, -1e308, 0.0, 1e308, math.inf]
    assert [orderable(score) for score in ordered] == sorted(orderable(score) for score in ordered)
    assert all(math.isfinite(orderable(score)) for score in ordered)
    assert math.isnan(orderable(math.nan))


def test_the_high_side_gets_the_larger_share_of_the_drip() -> None:
    assert len(BET_SHARES) == BETS
    assert BET_SHARES.sum() == pytest.approx(1.0)
    assert BET_SHARES[LOW_BETS].sum() / BET_SHARES[HIGH_BETS].sum() == pytest.approx(0.35)


def test_tie_breaks_are_uniform_and_belong_to_the_run_and_the_secret() -> None:
    ties = [tie_break(b"secret", f"run-{i}") for i in range(2000)]
    assert tie_break(b"secret", "run-7") == ties[7]
    assert tie_break(b"another", "run-7") != ties[7]
    assert tie_break(b"s" * 200, "run-7") != tie_break(b"s" * 201, "run-7")
    counts = np.histogram(ties, bins=10, range=(0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 27.9, "chi-squared of 9 degrees of freedom, p = 0.001"
