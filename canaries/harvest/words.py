"""Prompts as numbers: which words each has, and the directions in which they point."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .language import COMMON_WORDS

WORDS_MAX = 400
"""How many words of a prompt are compared: half of them its first, half its last."""

DIMENSIONS = 256
"""Of the directions: two prompts that have nothing in common seem alike by 1 / sqrt(256) at random."""

SHARED_FROM = 0.001
"""The share of prompts from which on a word counts: rarer ones pair prompts by chance."""

TOGETHER_FROM, PHRASE_TIMES_MIN = 0.5, 3
"""Words are a phrase that follow each other in half of all their places at least, and so often."""

_BUCKETS = 2**16
_WORDS_AT_ONCE = 2_000

# Scripts that put no space between words are compared character by character.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]+|\d+")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of many prompts, one after the other: prompt ``i`` has ``ids[starts[i]:starts[i + 1]]``.

    ``hashes`` has a number for each different word that is the same in every process, ``is_common`` whether it is among
    the commonest of its language.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    hashes: NDArray[np.uint32]
    is_common: NDArray[np.bool_]

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        return len(self.starts) - 1

    @property
    def owners(self) -> NDArray[np.int64]:
        """The prompt that each word belongs to."""
        return np.repeat(np.arange(self.prompts), np.diff(self.starts))


def words_of(texts: Sequence[str]) -> Words:
    """The words of each text."""
    known: dict[str, int] = {}
    ids: list[int] = []
    starts = [0]
    for text in texts:
        found = _WORD.findall(text)
        if len(found) > WORDS_MAX:
            found = found[: WORDS_MAX // 2] + found[-WORDS_MAX // 2 :]
        ids += [known.setdefault(word, len(known)) for word in found]
        starts.append(len(ids))
    hashes = [crc32(word.encode("utf-8", "surrogatepass")) for word in known]
    is_common = [word in COMMON_WORDS for word in known]
    return Words(
        np.array(ids, np.int64),
        np.array(starts, np.int64),
        np.array(hashes, np.uint32),
        np.array(is_common, np.bool_),
    )


def directions(words: Words, weights: NDArray[np.float64], seed: int = 0) -> NDArray[np.float32]:
    """A row of length 1 for each prompt: the cosine of two rows is about that of their TF-IDF.

    A word that hardly any prompt has says nothing of others and does not count. ``weights``: how often each came.
    """
    owners, ids, times, parts = _counted(words)
    prompts = np.bincount(ids, minlength=len(words.hashes))
    seen = np.bincount(ids, weights[owners], minlength=len(words.hashes))
    is_shared = prompts >= max(2, SHARED_FROM * words.prompts)
    rarity = np.where(is_shared, np.log((1 + weights.sum()) / (1 + seen)), 0.0)
    # Squared: what many prompts say in the same words is how people ask, not what they ask about.
    values = ((1 + np.log(times)) * parts * rarity[ids] ** 2).astype(np.float32)
    # Random directions of words keep the cosines of sums of them (Johnson and Lindenstrauss), and need no vocabulary.
    random = np.random.default_rng(seed).standard_normal((_BUCKETS, DIMENSIONS), np.float32)
    counts = values != 0
    owners, values = owners[counts], values[counts]
    # What counts are a few thousand words: a small table of theirs stays in the processor's cache.
    buckets, places = np.unique(words.hashes[ids[counts]] % _BUCKETS, return_inverse=True)
    table, places = random[buckets], places.reshape(-1)
    rows = np.zeros((words.prompts, DIMENSIONS), np.float32)
    for start in range(0, len(owners), _WORDS_AT_ONCE):
        part = slice(start, start + _WORDS_AT_ONCE)
        owner = owners[part]
        firsts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        sums = np.add.reduceat(table[places[part]] * values[part, None], firsts)
        rows[owner[firsts]] += sums
    return unit(rows)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same rows, each of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0), np.float32)


def edges(words: Words, length: int, *, at_end: bool = False) -> NDArray[np.int64]:
    """For each prompt a number that prompts with the same first ``length`` words share, or the same last ones.

    A prompt that is not longer has -1.
    """
    starts, ends = words.starts[:-1], words.starts[1:]
    is_longer = ends - starts > length
    found = np.full(words.prompts, -1, np.int64)
    first = (ends - length if at_end else starts)[is_longer]
    phrases = words.ids[first[:, None] + np.arange(length)]
    if len(phrases):
        found[is_longer] = np.unique(phrases, axis=0, return_inverse=True)[1].reshape(-1)
    return found


def _counted(
    words: Words,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Each prompt with each different word of it that is not common, how often it has it, and the part that counts.

    In the order of prompts. Words that always come together count as one: a phrase is one thing said, however long.
    """
    is_telling = ~words.is_common[words.ids]
    owners, ids = words.owners[is_telling], words.ids[is_telling]
    different = max(1, len(words.hashes))
    pairs, place, times = np.unique(owners * different + ids, return_inverse=True, return_counts=True)
    parts = np.bincount(place.reshape(-1), 1 / _phrase_lengths(owners, ids, different), minlength=len(pairs))
    return pairs // different, pairs % different, times, parts / times


def _phrase_lengths(owners: NDArray[np.int64], ids: NDArray[np.int64], different: int) -> NDArray[np.float64]:
    """How many words the phrase has that each word is in."""
    if not len(ids):
        return np.ones(0)
    occurrences = np.bincount(ids, minlength=different)
    first, second = ids[:-1], ids[1:]
    _, place, times = np.unique(first * different + second, return_inverse=True, return_counts=True)
    together = times[place.reshape(-1)]
    rarely_apart = together >= TOGETHER_FROM * np.maximum(occurrences[first], occurrences[second])
    is_linked = (owners[:-1] == owners[1:]) & (together >= PHRASE_TIMES_MIN) & rarely_apart
    starts = np.flatnonzero(np.r_[True, ~is_linked])
    lengths = np.diff(np.r_[starts, len(ids)])
    return np.repeat(lengths, lengths).astype(np.float64)
