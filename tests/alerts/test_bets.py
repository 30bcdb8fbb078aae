"""The odds are exact: every ordering of a few runs is enumerated, and counted in fractions."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from alerts.evidence.bets import (
    LAMBDAS,
    RANKS,
    THRESHOLD_SHARES,
    THRESHOLDS,
    Ranked,
    gains,
    in_blocks,
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


def beyond(limits: np.ndarray, score: float, tie: float) -> Beyond:
    """Which of the six thresholds one run lies beyond."""
    return tuple(is_beyond(limits[:, :1], limits[:, 1:], np.array([score]), np.array([tie]))[:, 0].tolist())


def histories(orderings: Iterable[Sequence[Ranked]], n: int) -> Iterator[tuple[Beyond, ...]]:
    """Of each ordering, what every run after the first ``n`` lies beyond."""
    limits: dict[tuple[Ranked, ...], np.ndarray] = {}
    for ordering in orderings:
        calibration = tuple(ordering[:n])
        if calibration not in limits:
            limits[calibration] = thresholds(calibration)
        yield tuple(beyond(limits[calibration], score, tie) for score, tie in ordering[n:])


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
    k = np.array([[sum(hits)] for hits in zip(*past, strict=True)], dtype=np.int32)
    n_runs, j = np.array([n]), np.array([len(past)], dtype=np.int32)
    gain = gains(np.array([now]).T, tail_ranks(n_runs), n_runs, j, k)[:, 0]
    e = 1 + gain[:, None] * LAMBDAS
    for threshold in range(THRESHOLDS):
        for i, lam in enumerate(FAIR_LAMBDAS):
            fair = 1 - lam + lam * now[threshold] / fair_chance(n, past, threshold)
            assert e[threshold, i] == pytest.approx(float(fair), rel=1e-14)


@pytest.mark.parametrize(
    ("sizes", "order"),
    [
        pytest.param({"day": (2, 2), "night": (1, 2)}, "DNDN", id="labels in turn"),
        pytest.param({"day": (2, 2), "night": (1, 2)}, "DDNN", id="one label after the other"),
        pytest.param({"day": (3, 2), "night": (2, 1)}, "DND", id="unequal labels"),
    ],
)
def test_within_labels_every_product_of_bets_has_mean_one_whatever_the_order_of_the_labels(
    sizes: dict[str, tuple[int, int]], order: str
) -> None:
    """All orders within each label are equally likely, not those across: days may differ from nights."""
    of = {"D": "day", "N": "night"}
    worlds: list[dict[str, tuple[Beyond, ...]]] = [{}]
    for label, (n, later) in sizes.items():
        worlds = [world | {label: one} for world in worlds for one in histories(distinct(n + later), n)]
    for threshold in range(THRESHOLDS):
        for lam in FAIR_LAMBDAS:
            wealth, at = [Fraction(1)] * len(worlds), dict.fromkeys(sizes, 0)
            for letter in order:
                label = of[letter]
                n, j = sizes[label][0], at[label]
                for i, world in enumerate(worlds):
                    past, now = world[label][:j], world[label][j][threshold]
                    wealth[i] *= 1 - lam + lam * now / fair_chance(n, past, threshold)
                at[label] += 1
                assert sum(wealth) == len(worlds), f"after a run of {label}"


def test_labels_are_needed_where_days_and_nights_differ() -> None:
    """The same runs, ranked without their labels: nights lie above all days, and the bets are not fair."""
    wealth, cases = Fraction(0), 0
    for days in permutations([0.0, 1.0]):
        for nights in permutations([10.0, 11.0]):
            calibration, later = [(days[0], 0.5), (days[1], 0.5)], [(night, 0.5) for night in nights]
            history = next(histories([[*calibration, *later]], 2))
            e = Fraction(1)
            for j, now in enumerate(history):
                e *= 1 - FAIR_LAMBDAS[1] + FAIR_LAMBDAS[1] * now[0] / fair_chance(2, history[:j], 0)
            wealth, cases = wealth + e, cases + 1
    assert wealth > cases


@pytest.mark.parametrize(("n", "later", "length"), [(2, 2, 2), (3, 2, 2), (2, 3, 2), (2, 2, 3)])
def test_bets_on_blocks_are_fair_over_all_orders_of_the_blocks(n: int, later: int, length: int) -> None:
    """Runs of a block are alike and keep their places; only the blocks come in any order."""
    blocks = [[(10.0 * i + 0.3 * r, 0.5) for r in range(length)] for i in range(n + later)]
    orderings = []
    for order in permutations(blocks):
        runs = [run for block in order for run in block]
        averaged = in_blocks(runs[: n * length], length)
        averaged += in_blocks(runs[n * length :], length)
        orderings.append(averaged)
    assert_exact(list(histories(orderings, n)), n, later)


def test_bets_run_by_run_are_not_fair_where_only_blocks_are_exchangeable() -> None:
    blocks = [[(10.0 * i + r, 0.5) for r in range(2)] for i in range(4)]
    orderings = [[run for block in order for run in block] for order in permutations(blocks)]
    with pytest.raises(AssertionError):
        assert_exact(list(histories(orderings, 4)), 4, 4)


def test_a_block_is_the_mean_of_its_runs_with_the_last_tie_break_counted_from_the_newest() -> None:
    runs = [(9.0, 0.9), (1.0, 0.1), (2.0, 0.2), (3.0, 0.3), (5.0, 0.4)]
    assert in_blocks(runs, 2) == [(1.5, 0.2), (4.0, 0.4)]
    assert in_blocks(runs[:1], 2) == []
    largest = orderable(math.inf)
    for length in range(2, 12):
        (mean, _), *_ = in_blocks([(largest, 0.1)] * length, length)
        assert mean == pytest.approx(largest)


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
        straight = beyond(thresholds(calibration), float(score), tie)
        swapped = beyond(thresholds(mirrored), -float(score), 1 - tie)
        assert straight == (*swapped[RANKS:], *swapped[:RANKS])


def test_nothing_is_beyond_without_a_score_or_without_calibration_runs() -> None:
    assert not any(beyond(thresholds([(1.0, 0.5), (2.0, 0.5)]), math.nan, 0.9))
    assert not any(beyond(thresholds([]), 7.0, 0.9))


def test_infinite_scores_keep_their_place() -> None:
    ordered = [-math.inf, -1e308, 0.0, 1e308, math.inf]
    assert [orderable(score) for score in ordered] == sorted(orderable(score) for score in ordered)
    assert all(math.isfinite(orderable(score)) for score in ordered)
    assert math.isnan(orderable(math.nan))


def test_the_high_side_gets_the_larger_share_of_the_drip() -> None:
    assert len(THRESHOLD_SHARES) == THRESHOLDS
    assert THRESHOLD_SHARES.sum() == pytest.approx(1.0)
    assert THRESHOLD_SHARES[RANKS:].sum() / THRESHOLD_SHARES[:RANKS].sum() == pytest.approx(0.35)


def test_tie_breaks_are_uniform_and_belong_to_the_run_and_the_secret() -> None:
    ties = [tie_break(b"secret", f"run-{i}") for i in range(2000)]
    assert tie_break(b"secret", "run-7") == ties[7]
    assert tie_break(b"another", "run-7") != ties[7]
    assert tie_break(b"s" * 200, "run-7") != tie_break(b"s" * 201, "run-7")
    counts = np.histogram(ties, bins=10, range=(0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 27.9, "chi-squared of 9 degrees of freedom, p = 0.001"
