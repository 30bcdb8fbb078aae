"""Prompts to clusters: what is asked about the same, whoever words it how."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .words import Words, edges, unit

ALIKE_FROM = 0.25
"""From which cosine with its centre on a prompt is of a cluster; those that share nothing have 0.06 at random."""

MERGED_FROM = 0.3
"""From which cosine of their centres on two clusters are one."""

SMALLEST, SMALLEST_SHARE = 3, 0.002
"""A cluster has so many different prompts at least, and so large a share of all requests."""

PHRASES = (6, 4)
"""How many of their first or last words prompts share that an application has put together, and no person asked."""

CLUSTERS_MAX = 1_000
"""The most clusters; what is left then is of none, and counts as rare."""

FITTED_MAX = 20_000
"""How many prompts centres are found on, those that came most often and others at random; all are put to them."""

ROUNDS = 8
"""How often centres are moved to the middle of what is theirs."""

_PROMPTS_AT_ONCE = 4_000

NONE = -1
"""The cluster of a prompt that is unlike all others."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """The cluster of each prompt, or ``NONE``, the ``centres``, and how near each prompt is to its own."""

    of: NDArray[np.int64]
    nearness: NDArray[np.float32]
    centres: NDArray[np.float32]


def cluster(words: Words, rows: NDArray[np.float32], weights: NDArray[np.float64], seed: int = 0) -> Clusters:
    """Clusters of prompts by the directions of their words; ``weights``: how often each came.

    How many there are follows from how far a prompt may be from its centre, and is not chosen. Prompts that no cluster
    is near to are of one with those that begin, or end, in the same words: an application fills in its templates.
    """
    fitted = _fitted(rows, weights, seed)
    centres = _begun(rows[fitted])
    for _ in range(ROUNDS):
        of = _nearest(rows[fitted], centres)
        centres = _merged(_moved(rows[fitted], weights[fitted], of, len(centres)))
    of = _without_small(_nearest(rows, centres), weights)
    of = _with_templates(words, of, weights)
    return _by_size(rows, of, weights)


def _fitted(rows: NDArray[np.float32], weights: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The prompts that centres are found on, the most frequent first."""
    order = np.argsort(-weights, kind="stable")
    if len(order) <= FITTED_MAX:
        return np.asarray(order, np.int64)
    often, rest = order[: FITTED_MAX // 2], order[FITTED_MAX // 2 :]
    drawn = np.random.default_rng(seed).choice(len(rest), FITTED_MAX // 2, replace=False)
    return np.asarray(np.r_[often, rest[np.sort(drawn)]], np.int64)


def _begun(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """A centre wherever a prompt is that no centre before it is near to."""
    centres = np.empty((CLUSTERS_MAX, rows.shape[1]), np.float32)
    found = 0
    for start in range(0, len(rows), _PROMPTS_AT_ONCE):
        part = rows[start : start + _PROMPTS_AT_ONCE]
        far = (part @ centres[:found].T).max(axis=1, initial=-1.0) < ALIKE_FROM
        known = found
        for row in part[far & part.any(axis=1)]:
            if found == CLUSTERS_MAX:
                return centres
            if (centres[known:found] @ row).max(initial=-1.0) < ALIKE_FROM:
                centres[found] = row
                found += 1
    return centres[:found]


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest centre of each prompt, or ``NONE`` where none is near."""
    of = np.full(len(rows), NONE, np.int64)
    if not len(centres):
        return of
    for start in range(0, len(rows), _PROMPTS_AT_ONCE):
        cosines = rows[start : start + _PROMPTS_AT_ONCE] @ centres.T
        part = slice(start, start + len(cosines))
        of[part] = np.where(cosines.max(axis=1) >= ALIKE_FROM, cosines.argmax(axis=1), NONE)
    return of


def _without_small(of: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The clusters, but for those that are too small to be one."""
    found = of.copy()
    has = of != NONE
    if has.any():
        prompts, requests = np.bincount(of[has]), np.bincount(of[has], weights[has])
        is_small = (prompts < SMALLEST) | (requests < SMALLEST_SHARE * weights.sum())
        found[has] = np.where(is_small[of[has]], NONE, of[has])
    return found


def _with_templates(words: Words, of: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The clusters, and more of them for prompts of none that share a phrase; the longest phrases first."""
    found = of.copy()
    for length in PHRASES:
        for at_end in (False, True):
            phrases = edges(words, length, at_end=at_end)
            is_free = (found == NONE) & (phrases >= 0)
            shared = _without_small(np.where(is_free, phrases, NONE), weights)
            found = np.where(shared != NONE, shared + found.max(initial=0) + 1, found)
    return found


def _moved(
    rows: NDArray[np.float32], weights: NDArray[np.float64], of: NDArray[np.int64], clusters: int
) -> NDArray[np.float32]:
    """The middle of what is in each cluster; clusters with nothing in them are gone."""
    # One prompt that comes a million times must not be its cluster alone.
    shares = (1 + np.log(weights)).astype(np.float32)
    has = of != NONE
    members = np.flatnonzero(has)[np.argsort(of[has], kind="stable")]
    ends = np.r_[0, np.cumsum(np.bincount(of[has], minlength=clusters))]
    sums = np.zeros((clusters, rows.shape[1]), np.float32)
    for number in range(clusters):
        own = members[ends[number] : ends[number + 1]]
        sums[number] = shares[own] @ rows[own]
    return unit(sums[np.bincount(of[has], minlength=clusters) > 0])


def _merged(centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """The centres without those that are near to one before them."""
    kept: list[int] = []
    cosines = centres @ centres.T
    for number in range(len(centres)):
        if not kept or cosines[number, kept].max() < MERGED_FROM:
            kept.append(number)
    return centres[kept]


def _by_size(rows: NDArray[np.float32], of: NDArray[np.int64], weights: NDArray[np.float64]) -> Clusters:
    """The clusters numbered by how many requests they have, the largest first."""
    numbered, number = np.full(len(of), NONE, np.int64), np.full(len(of), NONE, np.int64)
    has = of != NONE
    numbered[has] = np.unique(of[has], return_inverse=True)[1]
    sizes = np.bincount(numbered[has], weights[has])
    order = np.argsort(-sizes, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    number[has] = place[numbered[has]]
    centres = _moved(rows, weights, number, len(order))
    nearness = np.zeros(len(of), np.float32)
    nearness[has] = np.einsum("ij,ij->i", rows[has], centres[number[has]])
    return Clusters(number, nearness, centres)
