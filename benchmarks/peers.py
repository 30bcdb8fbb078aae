"""What others do with the same samples: tests at one look, every hour, without a page budget.

All see the answers of the baseline and of the later runs, and say of each later run whether they alarm. Samples are
compared with those of the baseline by how rare they are, and p-values come from random draws of as many samples of
the baseline: exact for one look at samples that are independent of each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.streams import RUNS_A_QUARTER, Answers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEVEL = 0.05
NULL_DRAWS = 10_000
"""Random runs of the baseline behind each p-value, at least."""

LAST_RUNS = 10
"""What those that compare a window of runs look at."""

MMD_DRAWS = 199
Z_95 = 1.959964
"""The normal's 97.5 % point."""

KAYENTA_TOLERANCE = 0.25
KAYENTA_EFFECT = 1.0

KAPPAS = np.array([0.2, 0.4, 0.6, 0.8])
"""Exponents of the calibrators ``kappa * p ** (kappa - 1)``, which make bets of p-values."""

B3IT_WINDOW, B3IT_EXCLUDED, B3IT_RUNNING = 14, 4, 3
B3IT_TV_MIN, B3IT_SDS = 0.2, 4.0


@dataclass(frozen=True, slots=True)
class Looks:
    """What the peers see of the later runs.

    ``rare`` is how rare a run's answers are in the baseline, summed over the prompts, ``baseline_rare`` the same of
    the baseline's own runs; ``distance`` the mean total variation between a run's answers and the baseline's;
    ``mmd_p`` the p-value of the last runs together.
    """

    prompt_p: Floats
    suite_p: Floats
    rare: Floats
    baseline_rare: Floats
    distance: Floats
    mmd_p: Floats


def look(rng: np.random.Generator, baseline: Answers, later: Answers) -> Looks:
    """Everything the peers judge by."""
    columns = [Column.of(baseline[:, i], later[:, i]) for i in range(baseline.shape[1])]
    nulls = [column.null_runs(rng) for column in columns]
    rare = np.stack([column.rare.sum(axis=1) for column in columns], axis=1)
    prompt_p = [p_value(null, observed) for null, observed in zip(nulls, rare.T, strict=True)]
    return Looks(
        prompt_p=np.stack(prompt_p, axis=1),
        suite_p=p_value(np.sum(nulls, axis=0), rare.sum(axis=1)),
        rare=rare.sum(axis=1),
        baseline_rare=np.sum([column.own_rare.sum(axis=1) for column in columns], axis=0),
        distance=np.mean([column.distance() for column in columns], axis=0),
        mmd_p=mmd_p_values(rng, columns),
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One prompt: how often the baseline has each answer, and samples as places among these.

    ``known`` has those of the later runs, -1 for what the baseline has not, and ``later`` the answers themselves.
    """

    counts: NDArray[np.int64]
    baseline: Answers
    known: Answers
    later: Answers

    @classmethod
    def of(cls, baseline: Answers, later: Answers) -> "Column":
        """The column of these answers, by run and sample."""
        answers, index, counts = np.unique(baseline, return_inverse=True, return_counts=True)
        found = np.searchsorted(answers, later).clip(max=len(answers) - 1)
        known = np.where(answers[found] == later, found, -1)
        return cls(counts, index.reshape(baseline.shape), known, later)

    @property
    def own_rare(self) -> Floats:
        """How rare each sample of the baseline is: as its count with itself, like a later one's."""
        return np.asarray(-np.log(self.counts[self.baseline]))

    @property
    def rare(self) -> Floats:
        """How rare each later sample is."""
        return np.asarray(-np.log(self.times_seen + 1))

    @property
    def times_seen(self) -> NDArray[np.int64]:
        """How often the baseline has each later sample."""
        return np.where(self.known >= 0, self.counts[self.known], 0)

    def null_runs(self, rng: np.random.Generator) -> Floats:
        """How rare random runs of the baseline's samples are. Dealt out like cards: a shuffle gives many."""
        runs, samples = self.baseline.shape
        shuffles = -(-NULL_DRAWS // runs)
        dealt = rng.permuted(np.tile(self.own_rare.ravel(), (shuffles, 1)), axis=1)
        return np.asarray(dealt.reshape(-1, samples).sum(axis=1))

    def distance(self) -> Floats:
        """The total variation between each later run's answers and the baseline's."""
        samples = self.later.shape[1]
        same = (self.later[:, :, None] == self.later[:, None, :]).sum(axis=2)
        # Each of an answer's samples brings an equal part of what the baseline has too.
        shared = np.minimum(same / samples, self.times_seen / self.baseline.size) / same
        return np.asarray(1.0 - shared.sum(axis=1))


def p_value(null: Floats, observed: Floats) -> Floats:
    """The share of the null draws that are as large as each observed value."""
    ordered = np.sort(null)
    # A hair below, so that equal sums added up in another order stay equal.
    at_least = len(ordered) - np.searchsorted(ordered, observed - 1e-9)
    return np.asarray((1 + at_least) / (1 + len(ordered)))


def any_prompt(looks: Looks) -> Bools:
    """Any prompt has p below 0.05: what a test in a loop does."""
    return np.asarray((looks.prompt_p < LEVEL).any(axis=1))


def benjamini_hochberg(looks: Looks) -> Bools:
    """Benjamini and Hochberg (1995) over the prompts of each run finds something."""
    m = looks.prompt_p.shape[1]
    return np.asarray((np.sort(looks.prompt_p, axis=1) <= LEVEL * np.arange(1, m + 1) / m).any(axis=1))


def bonferroni(looks: Looks) -> Bools:
    """A prompt's p is below 0.05 divided by the prompts."""
    return np.asarray((looks.prompt_p <= LEVEL / looks.prompt_p.shape[1]).any(axis=1))


def suite_permutation(looks: Looks) -> Bools:
    """A permutation test of samples over the whole suite, as in Gao, Liang and Guestrin (2410.20247)."""
    return np.asarray(looks.suite_p < LEVEL)


def suite_permutation_for_a_quarter(looks: Looks) -> Bools:
    """The same test at the level that allows for one look an hour in a quarter."""
    return np.asarray(looks.suite_p < 1 / RUNS_A_QUARTER)


def e_detector(looks: Looks) -> Bools:
    """An e-detector (Shin, Ramdas and Rinaldo, 2203.03532) on the suite's p-values, at one false page a quarter."""
    wealth = np.zeros(len(KAPPAS))
    drip = 1 / RUNS_A_QUARTER / len(KAPPAS)
    alarms = np.zeros(len(looks.suite_p), dtype=bool)
    for i, p in enumerate(looks.suite_p):
        wealth = (wealth + drip) * KAPPAS * p ** (KAPPAS - 1)
        if wealth.sum() >= 1:
            alarms[i], wealth = True, np.zeros(len(KAPPAS))
    return alarms


def b3it(looks: Looks) -> Bools:
    """The production rule of B3IT (2602.11083), each run as one of its days: three in a row far from the last weeks'.

    Far is more than 0.2, and 4 standard deviations, from the trailing mean of 14 that ends 4 before. It was made for
    many more samples a day: a rule of thumb that promises nothing.
    """
    distance, far = looks.distance, np.zeros(len(looks.distance), dtype=bool)
    history = B3IT_WINDOW + B3IT_EXCLUDED
    if len(distance) <= history:
        return far
    before = np.lib.stride_tricks.sliding_window_view(distance, B3IT_WINDOW)[: len(distance) - history]
    limit = np.maximum(B3IT_TV_MIN, B3IT_SDS * before.std(axis=1, ddof=1))
    far[history:] = np.abs(distance[history:] - before.mean(axis=1)) > limit
    running = np.lib.stride_tricks.sliding_window_view(far, B3IT_RUNNING).all(axis=1)
    return np.concatenate([np.zeros(B3IT_RUNNING - 1, dtype=bool), running])


def kayenta(looks: Looks) -> Bools:
    """Kayenta's judge on the last 10 runs: Mann-Whitney's 95 % interval beyond 0.25 of its estimate, and a mean ratio.

    The ratio of the means has to be above (below) 1 for a rise (fall), as in its default settings.
    """
    control = looks.baseline_rare
    # Shifted so that the ratio of means is one of positive numbers, as of the metrics that it was made for.
    base = min(control.min(), looks.rare.min()) - 1.0
    windows = np.lib.stride_tricks.sliding_window_view(looks.rare, LAST_RUNS)
    m, n = LAST_RUNS, len(control)
    rank = int(max(0, np.floor(m * n / 2 - Z_95 * np.sqrt(m * n * (m + n + 1) / 12))))
    alarms = np.zeros(len(looks.rare), dtype=bool)
    for i, window in enumerate(windows, start=LAST_RUNS - 1):
        shifts = np.partition((window[:, None] - control).ravel(), (rank, m * n // 2, m * n - 1 - rank))
        low, estimate, high = shifts[rank], shifts[m * n // 2], shifts[m * n - 1 - rank]
        tolerated = KAYENTA_TOLERANCE * abs(estimate)
        ratio = (window.mean() - base) / (control.mean() - base)
        alarms[i] = (low > tolerated and ratio >= KAYENTA_EFFECT) or (
            high < -tolerated and ratio <= KAYENTA_EFFECT
        )
    return alarms


def mmd(looks: Looks) -> Bools:
    """The maximum mean discrepancy (Gretton and others, 2012) of the last 10 runs' samples, permuted, at 0.05."""
    return np.asarray(looks.mmd_p < LEVEL)


def mmd_p_values(rng: np.random.Generator, columns: list[Column]) -> Floats:
    """The p-value of each run with the nine before it, 1 for the first nine: the same answer has kernel 1, else 0."""
    runs, samples = columns[0].later.shape
    p = np.ones(runs)
    if runs < LAST_RUNS:
        return p
    null = np.sum([_mmd_null(rng, column, LAST_RUNS * samples) for column in columns], axis=0)
    observed = np.sum([_mmd_windows(column) for column in columns], axis=0)
    p[LAST_RUNS - 1 :] = p_value(null, observed)
    return p


def _mmd_null(rng: np.random.Generator, column: Column, size: int) -> Floats:
    """The unbiased squared discrepancy between ``size`` samples of the baseline and its other ones, at random."""
    flat, counts = column.baseline.ravel(), column.counts
    drawn = np.stack([rng.permutation(flat)[:size] for _ in range(MMD_DRAWS)])
    equal = (drawn[:, :, None] == drawn[:, None, :]).sum(axis=(1, 2))
    seen = counts[drawn].sum(axis=1)
    rest = flat.size - size
    pairs_of_rest = (counts**2).sum() - 2 * seen + equal - rest
    within, between = (equal - size) / (size * (size - 1)), (seen - equal) / (size * rest)
    return np.asarray(within - 2 * between + pairs_of_rest / (rest * (rest - 1)))


def _mmd_windows(column: Column) -> Floats:
    """The same between each window of later runs and the whole baseline."""
    later, counts = column.later, column.counts
    runs, samples = later.shape
    size, total = LAST_RUNS * samples, int(counts.sum())
    equal = np.zeros(runs - LAST_RUNS + 1)
    for lag in range(LAST_RUNS):
        same = (later[lag:, :, None] == later[: runs - lag, None, :]).sum(axis=(1, 2))
        # A pair of runs counts in each window that holds both, in both orders.
        equal += (1 if lag == 0 else 2) * _sums(same, LAST_RUNS - lag)
    between = _sums(column.times_seen.sum(axis=1), LAST_RUNS) / (size * total)
    within = (equal - size) / (size * (size - 1))
    return np.asarray(within - 2 * between + (counts * (counts - 1)).sum() / (total * (total - 1)))


def _sums(values: NDArray[np.int64], length: int) -> Floats:
    summed = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(summed[length:] - summed[:-length], dtype=np.float64)


PEERS: Mapping[str, Callable[[Looks], Bools]] = {
    "any prompt p < 0.05": any_prompt,
    "Bonferroni over the prompts, each run": bonferroni,
    "Benjamini-Hochberg over the prompts, each run": benjamini_hochberg,
    "suite permutation of samples, p < 0.05": suite_permutation,
    "suite permutation of samples, p < 1/2190": suite_permutation_for_a_quarter,
    "e-detector on the samples' p-values": e_detector,
    "B3IT's production rule": b3it,
    "Kayenta's judge on the last 10 runs": kayenta,
    "MMD of the last 10 runs, p < 0.05": mmd,
}
