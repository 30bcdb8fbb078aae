"""Prompts that are nearly the same, found by MinHash: no pair of them is compared that cannot be alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .words import Words

BANDS, ROWS = 16, 4
"""Prompts meet when one band of their signatures is equal: half of those that share half of their pairs of words do."""

ALIKE_FROM = 0.75
"""From which share of common pairs of words on two prompts are nearly the same, as estimated."""

PROMPTS_AT_ONCE = 20_000

_ODD = np.uint64(0x9E3779B97F4A7C15)
_PLACES = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64
)


def near_duplicates(words: Words, seed: int = 0) -> NDArray[np.int64]:
    """The number of the group that each prompt is in; prompts of one group are nearly the same."""
    signatures = _signatures(words, seed)
    firsts, others = [], []
    for band in range(BANDS):
        # As one number, which is sorted four times as fast; who meets by chance is not alike below.
        part = signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64) @ _PLACES
        order = np.argsort(part, kind="stable")
        is_new = np.r_[True, part[order][1:] != part[order][:-1]]
        first = order[np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))]
        is_pair = ~is_new
        firsts.append(first[is_pair])
        others.append(order[is_pair])
    one, other = np.concatenate(firsts), np.concatenate(others)
    is_alike = _shares(signatures, one, other) >= ALIKE_FROM
    return _connected(words.prompts, one[is_alike].tolist(), other[is_alike].tolist())


def _connected(prompts: int, ones: Sequence[int], others: Sequence[int]) -> NDArray[np.int64]:
    """The groups that the pairs make, each numbered by its first prompt."""
    group = list(range(prompts))

    def root(prompt: int) -> int:
        while group[prompt] != prompt:
            group[prompt] = group[group[prompt]]
            prompt = group[prompt]
        return prompt

    for one, other in zip(ones, others, strict=True):
        first, second = sorted((root(one), root(other)))
        group[second] = first
    return np.array([root(prompt) for prompt in range(prompts)], np.int64)


def _shares(
    signatures: NDArray[np.uint32], one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.float64]:
    found = np.zeros(len(one))
    for start in range(0, len(one), PROMPTS_AT_ONCE):
        part = slice(start, start + PROMPTS_AT_ONCE)
        found[part] = (signatures[one[part]] == signatures[other[part]]).mean(axis=1)
    return found


def _signatures(words: Words, seed: int) -> NDArray[np.uint32]:
    """The smallest of each of many random numberings of a prompt's words and pairs of words."""
    random = np.random.default_rng(seed)
    factors = random.integers(1, 2**32, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    found = np.full((words.prompts, BANDS * ROWS), np.iinfo(np.uint32).max, np.uint32)
    for begin in range(0, words.prompts, PROMPTS_AT_ONCE):
        end = min(begin + PROMPTS_AT_ONCE, words.prompts)
        starts = words.starts[begin : end + 1]
        shingles = _shingles(words, int(starts[0]), int(starts[-1]))
        has_words = np.flatnonzero(np.diff(starts) > 0)
        if not len(has_words):
            continue
        places = 2 * (starts[has_words] - starts[0])
        for number, factor in enumerate(factors):
            numbered = (shingles * factor) >> np.uint64(32)
            found[begin + has_words, number] = np.minimum.reduceat(numbered, places).astype(np.uint32)
    # Prompts without words have nothing in common.
    empty = np.flatnonzero(np.diff(words.starts) == 0)
    found[empty] = empty[:, None].astype(np.uint32)
    return found


def _shingles(words: Words, begin: int, end: int) -> NDArray[np.uint64]:
    """Each word, and it with the one before it, as numbers: two for each word, so that the places are known."""
    hashes = words.hashes[words.ids[begin:end]].astype(np.uint64)
    before = np.r_[np.uint64(0), hashes[:-1]]
    before[words.starts[(words.starts >= begin) & (words.starts < end)] - begin] = 0
    pairs = np.empty(2 * len(hashes), np.uint64)
    pairs[0::2], pairs[1::2] = hashes * _ODD, (before * np.uint64(0xC2B2AE3D27D4EB4F) + hashes) * _ODD
    return (pairs ^ (pairs >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) ^ (pairs >> np.uint64(32))
