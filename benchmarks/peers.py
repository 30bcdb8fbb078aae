"""What others do with the same samples: a test per prompt and hour, with and without Benjamini-Hochberg.

Each prompt's samples of the hour are compared with those of the baseline by how rare they are, and the
p-value comes from random draws of as many samples of the baseline. That is exact for one look; it has no page
budget.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.streams import Answers

LEVEL = 0.05
SHUFFLES = 60
"""Shuffles of the baseline behind each p-value: 10,080 null draws of 4 samples from a week of hourly runs."""


def p_values(rng: np.random.Generator, baseline: Answers, later: Answers) -> NDArray[np.float64]:
    """The p-value of each later run and prompt."""
    columns = [_prompt_p_values(rng, baseline[:, i].ravel(), later[:, i]) for i in range(baseline.shape[1])]
    return np.stack(columns, axis=1)


def _prompt_p_values(rng: np.random.Generator, baseline: Answers, later: Answers) -> NDArray[np.float64]:
    answers, index, counts = np.unique(baseline, return_inverse=True, return_counts=True)
    # As rare as its count with itself, for a sample of the baseline and a later one alike.
    own = -np.log(counts[index])
    found = np.searchsorted(answers, later).clip(max=len(answers) - 1)
    times_seen = np.where(answers[found] == later, counts[found], 0)
    observed = -np.log(times_seen + 1).sum(axis=1)
    # Dealt out like cards: every shuffle of the baseline gives many draws.
    shuffles = rng.permuted(np.tile(own, (SHUFFLES, 1)), axis=1)
    null = np.sort(shuffles.reshape(-1, later.shape[1]).sum(axis=1))
    # A hair below, so that equal sums added up in another order stay equal.
    at_least = len(null) - np.searchsorted(null, observed - 1e-9)
    return np.asarray((1 + at_least) / (1 + len(null)))


def any_prompt(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The hours in which any prompt has p below the level."""
    return np.asarray((p < LEVEL).any(axis=1))


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The hours in which Benjamini-Hochberg over the prompts finds something."""
    m = p.shape[1]
    return np.asarray((np.sort(p, axis=1) <= LEVEL * np.arange(1, m + 1) / m).any(axis=1))
