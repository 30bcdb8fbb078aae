"""Requests that got no answer: whether one side has more of them."""

from collections.abc import Sequence

import numpy as np

from ..completion import Run
from .effects import RESAMPLES, Effects, Resamples
from .evidence import p_values
from .features import CanaryFeatures
from .pairing import pair_up
from .results import ScoreResult
from .scores import ERRORS, SCORES
from .shuffles import Shuffles
from .statistics import contrasts


def failures(
    base: Sequence[Run], current: Sequence[Run], permutations: int, rng: np.random.Generator
) -> ScoreResult | None:
    """What the failed requests say; ``None`` where none failed, or no canary was asked on both sides.

    They never decide: a rate limit is no answer. A test of its own, as all other scores need an answer.
    """
    if all(one.is_answered for side in (base, current) for run in side for one in run.completions):
        return None
    pairing = pair_up(base, current, with_failed=True)
    failed = [np.array([float(not one.is_answered) for one in pair.answers]) for pair in pairing.pairs]
    if not any(values.any() for values in failed):
        return None
    shuffles = Shuffles(pairing.groups, permutations, rng)
    effects = Effects(Resamples(pairing.groups, RESAMPLES, rng))
    shift = np.zeros(shuffles.count, dtype=np.float32)
    for pair, values in zip(pairing.pairs, failed, strict=True):
        shift += contrasts(shuffles.of(pair.group)[:, pair.units]) @ values.astype(np.float32)
        effects.add(pair, CanaryFeatures({}, {ERRORS: values}, {}, None))
    p_value = float(p_values((shift**2)[None])[0])
    return ScoreResult(SCORES[ERRORS], p_value, p_value, effects.of(ERRORS), decides=False)
