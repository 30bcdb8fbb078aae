"""Whether the promise of the page budget holds for a target: what the calibration runs say of the assumption.

The ledger needs runs that are exchangeable with each other. What breaks that in practice is stickiness: a backend
that is kept for hours makes neighbouring runs alike, which shows as autocorrelation of the scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .bets import Floats
from .ledger import PAGE_CALIBRATION_MIN

LAG1_MAX = 0.1
"""Correlation of neighbouring runs above which the promise is in doubt."""

LEVEL = 0.05
"""Chance, over all scores looked at, of calling an exchangeable target autocorrelated."""

CYCLE_S = 6.5 * 86_400
"""A baseline of less time has not seen every hour of the week. Half a day less than a week: the last run's own slot
and a run that was missed do not matter."""

PERMUTATIONS = 1_999


@dataclass(frozen=True, slots=True)
class Autocorrelation:
    """How alike neighbouring runs are in one score: the lag-1 correlation, and its permutation p-value (one-sided)."""

    lag1: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Whether the guarantee is in force for a target, and if not, why."""

    calibration_runs: int
    autocorrelation: Mapping[str, Autocorrelation]
    is_in_force: bool
    reasons: tuple[str, ...]


def check(
    calibration: Mapping[str, Sequence[float]], covers_s: float = math.inf, seed: int = 0
) -> Assumptions:
    """What the calibration runs' scores, in order of time, say of the assumption.

    Only the scores that are passed are looked at. ``covers_s`` is how much time the whole baseline covers, ``seed``
    that of the permutations.
    """
    n = max((len(values) for values in calibration.values()), default=0)
    found = {name: autocorrelation(values, seed) for name, values in calibration.items()}
    reasons = []
    if n < PAGE_CALIBRATION_MIN:
        reasons.append(f"only {n} calibration runs: tickets only, pages need {PAGE_CALIBRATION_MIN}")
    if covers_s < CYCLE_S:
        reasons.append(
            f"the baseline covers {covers_s / 86_400:.1f} days: it has not seen a whole week, whose nights and "
            "weekends may look like drift"
        )
    for name, one in found.items():
        if one.lag1 > LAG1_MAX and one.p_value <= LEVEL / len(found):
            reasons.append(
                f"neighbouring runs are alike in {name} (lag-1 correlation {one.lag1:.2f}, p {one.p_value:.4f}): "
                "the guarantee is not in force for this target"
            )
    return Assumptions(n, found, not reasons, tuple(reasons))


def autocorrelation(values: Sequence[float], seed: int = 0) -> Autocorrelation:
    """The lag-1 correlation of ``values``, with the share of their orderings that have as large a one."""
    x = np.asarray(values, dtype=np.float64)
    x = x - x.mean() if x.size else x
    power = float(x @ x)
    if x.size < 3 or power == 0.0:
        return Autocorrelation(0.0, 1.0)
    lag1 = _lag1(x[None, :])[0] / power
    orders = np.random.default_rng(seed).permuted(np.tile(x, (PERMUTATIONS, 1)), axis=1)
    as_large = int((_lag1(orders) / power >= lag1 - 1e-12).sum())
    return Autocorrelation(float(lag1), (1 + as_large) / (1 + PERMUTATIONS))


def _lag1(rows: Floats) -> Floats:
    return np.asarray((rows[:, :-1] * rows[:, 1:]).sum(axis=1))
