"""How much more a canary's answers vary from run to run than independent samples would."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .answer_counts import chi2_per_df, kinds_of
from .features import RunFeatures

SAMPLES_MIN = 1.5
"""Answers a run, on average, below which nothing can be said of the samples of one run."""


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Of one canary: chi-square per degree of freedom of its answers being alike over the runs (1: independent
    samples), and the correlation of two samples of one run (0: independent, 1: always the same)."""

    chi2_per_df: float
    intra_run: float


def dispersions(runs: Sequence[RunFeatures]) -> dict[str, Dispersion]:
    """The dispersion of each canary whose answers come back and that is sampled more than once a run.

    With ``m`` samples a run whose correlation is ``r``, chi-square per degree of freedom is about ``1 + (m - 1) r``
    (Donner and Koval 1980 call it the design effect): that gives ``r``.
    """
    kinds = kinds_of(runs)
    table, canary_of = kinds.table(runs), kinds.canary_of
    found = {}
    for number, (canary, ratio) in enumerate(zip(kinds.known, chi2_per_df(table, canary_of), strict=True)):
        asked = table[:, canary_of == number].sum(axis=1)
        samples = float(asked[asked > 0].mean())
        if samples >= SAMPLES_MIN:
            intra_run = float(np.clip((ratio - 1) / (samples - 1), 0.0, 1.0))
            found[canary] = Dispersion(float(ratio), intra_run)
    return found
