"""Pólya bets: fair wagers on whether the next run is more extreme than a rank of the frozen calibration runs.

``n`` calibration runs leave ``n + 1`` gaps on the line. When later runs are exchangeable with them, the next
run falls into each gap with a chance proportional to one plus the later runs already in it. Beyond the
``q``-th most extreme calibration run lie ``q`` gaps, so after ``j`` later runs, ``k`` of them beyond, that
chance is exactly ``(q + k) / (n + 1 + j)``; a bet at these odds neither wins nor loses on average, whatever
the scores' distribution.
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
Bools = NDArray[np.bool_]

Ranked = tuple[float, float]
"""A score and the uniform number that breaks its ties: compared in this order, they have no ties left."""

LAMBDAS: Floats = np.array([0.3, 0.6, 0.9])
"""The share of the wealth that each bet puts at stake: small ones live long, large ones win fast."""

RANKS = 3
"""Thresholds on each side: beyond all calibration runs, beyond the outer 5 % and beyond the outer 25 %."""

THRESHOLDS = 2 * RANKS
BETS = THRESHOLDS * len(LAMBDAS)
"""Bets of one component: threshold by threshold, the high side first, each at every lambda."""


class Side(StrEnum):
    """The tail that a bet is on. A cooler temperature makes a run *too* ordinary, so both are."""

    HIGH = "high"
    LOW = "low"


SIDE_SHARES = {Side.HIGH: 1.0, Side.LOW: 0.35}
"""How a component's drip is split between the sides, before it is normalised."""


def _bet_shares() -> Floats:
    raw = np.repeat(list(SIDE_SHARES.values()), BETS // 2)
    return np.asarray(raw / raw.sum(), dtype=np.float64)


BET_SHARES: Floats = _bet_shares()
"""The share of its component's drip that each bet gets; they sum to one."""

HIGH_BETS = slice(0, BETS // 2)
LOW_BETS = slice(BETS // 2, BETS)


def tie_break(secret: bytes, run_id: str) -> float:
    """The uniform number in [0, 1) that a run keeps for ever; nobody without the secret can choose it."""
    key = secret if len(secret) <= 64 else blake2b(secret).digest()
    digest = blake2b(run_id.encode(), key=key, person=b"anchor tie break", digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def orderable(score: float) -> float:
    """The score as a number JSON can hold, its place in the order kept; NaN stays NaN."""
    if math.isinf(score):
        return math.copysign(sys.float_info.max, score)
    return float(score)


def tail_ranks(n: Ints) -> Ints:
    """For each ``n`` the six ranks ``q``, in whole numbers: ``ceil(0.05 * 140)`` in floats is 8."""
    one_side = [np.ones_like(n), np.maximum(-(-n // 20), 1), np.maximum(-(-n // 4), 1)]
    return np.stack([*one_side, *one_side], axis=-1)


def thresholds(calibration: Sequence[Ranked]) -> Floats:
    """The six calibration runs to be beyond, as rows ``(score, tie)``; NaN rows, which nothing is beyond,
    without any."""
    n = len(calibration)
    if not n:
        return np.full((THRESHOLDS, 2), np.nan)
    ordered = sorted(calibration)
    q = tail_ranks(np.array(n))[:RANKS]
    return np.array(
        [*(ordered[n - rank] for rank in q), *(ordered[rank - 1] for rank in q)], dtype=np.float64
    )


def is_beyond(limits: Floats, scores: Floats, tie: float) -> Bools:
    """Which of its six thresholds each component's score lies beyond; a NaN score lies beyond none."""
    limit, limit_tie = limits[..., 0], limits[..., 1]
    score = scores[:, None]
    tied = score == limit
    high = (score > limit) | (tied & (tie > limit_tie))
    low = (score < limit) | (tied & (tie < limit_tie))
    return np.concatenate([high[:, :RANKS], low[:, RANKS:]], axis=1)


def e_values(beyond: Bools, n: Ints, j: Ints, k: Ints) -> Floats:
    """What each bet multiplies its wealth by: ``1 - lam + lam * beyond / pi``, of mean one given the past."""
    chance = (tail_ranks(n) + k) / (n + 1 + j)[:, None]
    payout = beyond / chance
    e = 1.0 - LAMBDAS + LAMBDAS * payout[..., None]
    return np.asarray(e.reshape(len(n), BETS))
