"""Pólya bets: fair wagers on whether the next run is more extreme than a rank of the frozen calibration runs.

``n`` calibration runs leave ``n + 1`` gaps on the line. When later runs are exchangeable with them, the next
run falls into each gap with a chance proportional to one plus the later runs already in it. Beyond the
``q``-th most extreme calibration run lie ``q`` gaps, so after ``j`` later runs, ``k`` of them beyond, that
chance is exactly ``(q + k) / (n + 1 + j)``; a bet at these odds neither wins nor loses on average, whatever
the scores' distribution.

Arrays have the components on their last axis: what is done for each of them runs along the memory.
"""

import math
import sys
from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]

Ranked = tuple[float, float]
"""A score and the uniform number that breaks its ties: compared in this order, they have no ties left."""

LAMBDAS: Floats = np.array([0.3, 0.6, 0.9])
"""The share of the wealth that each bet puts at stake: small ones live long, large ones win fast."""

RANKS = 3
"""Thresholds on each side: beyond all calibration runs, beyond the outer 5 % and beyond the outer 25 %."""

THRESHOLDS = 2 * RANKS
"""The thresholds of one component, the high side first."""


LARGEST = sys.float_info.max
"""What an infinite score counts as."""


class Side(StrEnum):
    """The tail that a bet is on. A cooler temperature makes a run *too* ordinary, so both are."""

    HIGH = "high"
    LOW = "low"


SIDE_SHARES = {Side.HIGH: 1.0, Side.LOW: 0.35}
"""How a component's drip is split between the sides, before it is normalised."""


def _threshold_shares() -> Floats:
    raw = np.repeat(list(SIDE_SHARES.values()), RANKS)
    return np.asarray(raw / raw.sum(), dtype=np.float64)


THRESHOLD_SHARES: Floats = _threshold_shares()
"""The share of its component's drip that the bets on each threshold get; they sum to one."""


def tie_break(secret: bytes, run_id: str) -> float:
    """The uniform number in [0, 1) that a run keeps for ever; nobody without the secret can choose it."""
    key = secret if len(secret) <= 64 else blake2b(secret).digest()
    digest = blake2b(run_id.encode(), key=key, person=b"anchor tie break", digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def orderable(score: float) -> float:
    """The score as a finite number, its place in the order kept; NaN stays NaN."""
    if math.isinf(score):
        return math.copysign(LARGEST, score)
    return float(score)


def in_blocks(runs: Sequence[Ranked], length: int) -> list[Ranked]:
    """The mean score of every ``length`` runs that follow each other, with the tie break of the last of them.

    Counted from the newest run backwards: what is left over are the oldest.
    """
    first = len(runs) % length
    return [block_of(runs[i : i + length]) for i in range(first, len(runs), length)]


def block_of(runs: Sequence[Ranked]) -> Ranked:
    """One block: shares of the mean are added one by one, as they come in, so that equal runs give equal blocks
    and the largest floats none larger."""
    mean = 0.0
    for score, _ in runs:
        mean += score / len(runs)
    return orderable(mean), runs[-1][1]


def tail_ranks(n: Ints) -> Ints:
    """The six ranks ``q``, as rows, for each ``n``; in whole numbers, as ``ceil(0.05 * 140)`` in floats is 8."""
    one_side = [np.ones_like(n), np.maximum(-(-n // 20), 1), np.maximum(-(-n // 4), 1)]
    return np.stack([*one_side, *one_side])


def thresholds(calibration: Sequence[Ranked]) -> Floats:
    """The six calibration runs to be beyond, as rows ``(score, tie)``; NaN rows, which nothing is beyond,
    without any."""
    n = len(calibration)
    if not n:
        return np.full((THRESHOLDS, 2), np.nan)
    ordered = sorted(calibration)
    q = tail_ranks(np.array(n))[:RANKS].tolist()
    return np.array(
        [*(ordered[n - rank] for rank in q), *(ordered[rank - 1] for rank in q)], dtype=np.float64
    )


def is_beyond(limit: Floats, limit_tie: Floats, score: Floats, tie: Floats | float) -> Bools:
    """Which of the six thresholds each score lies beyond, as rows; a NaN score lies beyond none."""
    beyond = np.empty(limit.shape, dtype=np.bool_)
    np.greater(score, limit[:RANKS], out=beyond[:RANKS])
    np.less(score, limit[RANKS:], out=beyond[RANKS:])
    tied = score == limit
    if tied.any():
        beyond[:RANKS] |= tied[:RANKS] & (tie > limit_tie[:RANKS])
        beyond[RANKS:] |= tied[RANKS:] & (tie < limit_tie[RANKS:])
    return beyond


def gains(beyond: Bools, q: Ints, n: Ints, j: Counts, k: Counts) -> Floats:
    """What each threshold's bet wins per unit at stake, minus 1 when it is lost: of mean zero given the past.

    A bet of stake ``lam`` multiplies its wealth by ``e = 1 + lam * gain = 1 - lam + lam * beyond / pi``.
    """
    return np.asarray(np.where(beyond, (n + (1 + j)) / (q + k), 0.0) - 1.0)
