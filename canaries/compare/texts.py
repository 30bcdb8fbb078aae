"""Texts as matrices: how alike the answers to one canary are, by several kernels, and how rare their words are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from ..canonical import CustomScrubber, canonical, tokens

Floats = NDArray[np.float32]
Codes = NDArray[np.uint64]

TEXT_CHARS_MAX = 10_000
"""How much of an answer is looked at."""

HAMMING_CHARS_MAX = 1_000
"""How many characters of two answers are compared place by place, as by Gao and others (ICLR 2025)."""

CELLS_AT_ONCE = 1 << 22
"""How many characters are compared at a time: what fits into a processor's cache."""

COLUMNS_MAX = 1 << 13
"""How many different pieces of text of one canary are told apart; beyond, some share a column."""

POOLED_COLUMNS = 128
"""How many columns the pieces of text of all canaries share, with signs by chance, which keeps products what they
were but for a little noise."""

OPENINGS = (1, 2, 4, 8)
"""Answers are compared by whether they open with the same so many words."""

PRIOR_WORDS = 20.0
"""Weight, in words, of how frequent a word is in all answers beside how frequent it is in those to the same canary."""

_END = np.array([-1], dtype=np.int64)
"""Stands between two answers, where the one ends and the other begins."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of all answers, numbered; ``answers`` holds those of each answer in order."""

    answers: tuple[NDArray[np.int64], ...]
    kinds: int


def clean(text: str, scrub: Sequence[str | CustomScrubber] = ()) -> str:
    """The text as it is compared."""
    return canonical(text[:TEXT_CHARS_MAX], scrub)


def number_words(texts: Sequence[str]) -> Words:
    """The words of each text as numbers."""
    answers = [tokens(text) for text in texts]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(chain.from_iterable(answers)))}
    of = numbers.__getitem__
    return Words(
        tuple(np.fromiter(map(of, answer), np.int64, len(answer)) for answer in answers), len(numbers)
    )


def exact(texts: Sequence[str]) -> Floats:
    """1 for two answers that are the same, else 0."""
    numbers: dict[str, int] = {}
    kinds = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
    return np.asarray(kinds[:, None] == kinds[None, :], dtype=np.float32)


def hamming(texts: Sequence[str]) -> Floats:
    """The share of places at which two answers have the same character; beyond its end an answer has a blank."""
    length = min(HAMMING_CHARS_MAX, max(map(len, texts), default=0)) or 1
    places = np.zeros((len(texts), length), dtype=np.uint32)
    for row, text in enumerate(texts):
        own = _characters(text[:length])
        places[row, : len(own)] = own
    codes = _narrow(places)
    alike = np.empty((len(texts), len(texts)), dtype=np.float32)
    step = max(1, CELLS_AT_ONCE // codes.size)
    for start in range(0, len(texts), step):
        equal = codes[start : start + step, None, :] == codes[None, :, :]
        # As bytes: counting truth values takes longer than comparing them.
        alike[start : start + step] = equal.view(np.uint8).sum(axis=2, dtype=np.uint16)
    return alike / np.float32(length)


def _narrow(characters: NDArray[np.uint32]) -> NDArray[np.unsignedinteger]:
    """The characters as bytes where there are no more than 256 of them: four times as quick to compare."""
    is_there = np.zeros(int(characters.max(initial=0)) + 1, dtype=bool)
    is_there[characters] = True
    if np.count_nonzero(is_there) > 256:
        return characters
    return (np.cumsum(is_there) - 1).astype(np.uint8)[characters]


class Pieces:
    """The pieces of text that answers consist of, as codes, to compare the answers by what they have in common."""

    def __init__(self, answers: Sequence[Codes]) -> None:
        self._sizes = np.array([len(answer) for answer in answers], dtype=np.intp)
        self._rows = np.repeat(np.arange(len(answers)), self._sizes)
        joined = np.concatenate(answers) if len(answers) else np.zeros(0, dtype=np.uint64)
        self._kinds, self._columns = np.unique(joined, return_inverse=True)

    def cosines(self) -> Floats:
        """The cosine of each two answers' counts, each by its root, so that frequent ones do not drown the rest."""
        often = np.bincount(self._columns, minlength=len(self._kinds)) > 1
        width = min(COLUMNS_MAX, int(often.sum())) or 1
        # What comes once is in no other answer: most pieces, and most of the work.
        kept = often[self._columns]
        cells = self._rows[kept] * width + (np.cumsum(often) - 1)[self._columns[kept]] % width
        counts = np.bincount(cells, minlength=len(self._sizes) * width).reshape(len(self._sizes), width)
        roots = np.sqrt(counts.astype(np.float32))
        roots /= np.sqrt(np.maximum(self._sizes, 1, dtype=np.float32))[:, None]
        # Rounded, so that answers that are the same are alike to the last digit.
        alike = np.round(roots @ roots.T, 6)
        np.fill_diagonal(alike, self._sizes > 0)
        return alike

    def pooled(self) -> Floats:
        """The same counts in columns that all canaries share."""
        kinds = max(1, len(self._kinds))
        cells, counts = np.unique(self._rows * kinds + self._columns, return_counts=True)
        rows, kind = np.divmod(cells, kinds)
        mixed = _mixed(self._kinds)[kind]
        signs = np.where(mixed & np.uint64(1), np.float32(1), np.float32(-1))
        columns = ((mixed >> np.uint64(1)) % np.uint64(POOLED_COLUMNS)).astype(np.intp)
        values = (signs * np.sqrt(counts / self._sizes[rows])).astype(np.float64)
        places = rows * POOLED_COLUMNS + columns
        summed = np.bincount(places, weights=values, minlength=len(self._sizes) * POOLED_COLUMNS)
        return np.asarray(summed.reshape(len(self._sizes), POOLED_COLUMNS), dtype=np.float32)


def trigrams(texts: Sequence[str]) -> Pieces:
    """Three characters in a row, with the beginning and the end: words, signs and layout are in it."""
    # Two beginnings, so that an empty answer has a piece, too, and is like another empty one.
    joined = "".join(f"\x02\x02{text}\x03" for text in texts)
    codes = _characters(joined).astype(np.uint64)
    bits = np.uint64(21)
    ends = np.cumsum([0, *(len(text) + 3 for text in texts)])
    codes = codes[:-2] << bits << bits | codes[1:-1] << bits | codes[2:]
    return Pieces([codes[start : end - 2] for start, end in pairwise(ends)])


def vocabulary(words: Sequence[NDArray[np.int64]]) -> Pieces:
    """Words."""
    return Pieces([word.astype(np.uint64) for word in words])


def phrases(words: Sequence[NDArray[np.int64]]) -> Pieces:
    """Words and pairs of neighbouring words, with the beginning and the end."""
    joined = np.concatenate([part for word in words for part in (_END, word)] + [_END]).astype(np.uint64)
    pairs = _mixed(joined[:-1] + np.uint64(2)) ^ joined[1:]  # 0 would stay 0, and a pair be a word
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    return Pieces(
        [np.concatenate([joined[start + 1 : end], pairs[start:end]]) for start, end in pairwise(starts)]
    )


def openings(words: Sequence[NDArray[np.int64]]) -> Pieces:
    """How an answer opens: its first word, its first two, and so on; the end of a shorter one counts as a word."""
    first = np.zeros((len(words), OPENINGS[-1]), dtype=np.uint64)
    for row, word in zip(first, words, strict=True):
        row[: len(word)] = word[: OPENINGS[-1]] + 1
    code = np.zeros(len(words), dtype=np.uint64)
    codes = np.empty_like(first)
    for column in range(OPENINGS[-1]):
        code = codes[:, column] = _mixed(code ^ first[:, column])
    return Pieces(list(codes[:, np.array(OPENINGS) - 1]))


def rarity(words: Words, canaries: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """How rare the words of each answer are among those of the other answers, in nats a word; NaN without words.

    ``canaries`` are the numbers of the answers to each canary. Which side an answer is on plays no part.
    """
    everywhere = np.bincount(np.concatenate(words.answers), minlength=words.kinds).astype(np.float64)
    rare = np.full(len(words.answers), np.nan)
    for members in canaries:
        sizes = np.array([len(words.answers[i]) for i in members])
        rows = np.repeat(np.arange(len(sizes)), sizes)
        kinds, columns = np.unique(np.concatenate([words.answers[i] for i in members]), return_inverse=True)
        cells = rows * len(kinds) + columns
        own = np.bincount(cells, minlength=len(sizes) * len(kinds))[cells]
        counts = np.bincount(columns, minlength=len(kinds))[columns]
        shared = (everywhere[kinds[columns]] - own + 1) / (everywhere.sum() - sizes[rows] + words.kinds)
        total = len(columns) - sizes[rows] + PRIOR_WORDS
        nats = -np.log((counts - own + PRIOR_WORDS * shared) / total)
        summed = np.bincount(rows, weights=nats, minlength=len(sizes))
        rare[list(members)] = np.where(sizes > 0, summed / np.maximum(sizes, 1), np.nan)
    return rare


def _characters(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _mixed(codes: Codes) -> Codes:
    mixed = codes * _MIX
    return np.asarray((mixed ^ (mixed >> np.uint64(29))) * _MIX >> np.uint64(20))
