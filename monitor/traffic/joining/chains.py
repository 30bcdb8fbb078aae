"""Which of the reports that came of late have a key in common: by numbers, for thousands of them at once.

Each report has a number, and up to four keys: that of its span, that of the span above it, the id of its answer, and
this id within its trace. Reports whose keys fall into one slot are chained, from the latest to those before it. A look
along a few chains says of all reports of a request which of them may have to do with another one, before any of them is
looked at by itself.

The scanner in C, where it was built, does the same (``lookout/_chains.h``): numpy takes as long for a few hundred
reports as for some thousands.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from types import ModuleType

import numpy as np
import numpy.typing as npt

from ..calls import Operation
from ..lookout.scanning import scanner
from ..rows import HASH_FACTOR, HASH_SEED, Hashes, Integers, Marks, Rows
from ..sightings import Shape
from .likeness import SLACK_S
from .pairing import CONTINUED_MAX_S

ROOM = 2**15
"""How many reports are known at most, a power of two up to 2**16, and how many may come together."""

SLOTS = 2**15
"""How many slots there are of each kind of key, a power of two."""

STEPS_MAX = 8
"""So far chains are followed for many reports at once; those whose chains are longer are looked at one by one."""

UNDECIDED = -1
"""Stands for a report that was not found within ``STEPS_MAX``, and may be there."""

SLACK_NS = int(CONTINUED_MAX_S * 1e9)
"""So long after the one above it ended a report may still begin."""

WITHIN_NS = int(SLACK_S * 1e9) + 1_000
"""How far a report may reach out of the one that it is within, and a microsecond: moments are compared as floats."""

_MASK = 2**64 - 1
_OPERATIONS = {one: place for place, one in enumerate(Operation)}
_PLACES = 20
"""Bits for the place of a report among those that come together."""


class Key(IntEnum):
    """What reports are chained by."""

    SPAN = 0
    ABOVE = 1
    ANSWER = 2
    ANSWER_IN_TRACE = 3


class Chains:
    """The reports that came of late. Numbers ascend from 1; those before ``oldest`` are forgotten."""

    def __init__(self, scanner: ModuleType | None = scanner) -> None:
        """Start with none. ``scanner`` is the one in C, if there is."""
        self._scanner = scanner
        self.oldest = self.next = 1
        self._keys = np.zeros((len(Key), ROOM), np.uint64)
        self._back = np.zeros((len(Key), ROOM), np.uint16)
        """How far before it the one lies that it is chained to; 0 where nobody does who is known."""
        self._latest = np.zeros((len(Key), SLOTS), np.int64)
        self._start_ns, self._end_ns, self._input = (np.zeros(ROOM, np.int64) for _ in range(3))
        self._id_hash, self._voice = (np.zeros(ROOM, np.uint64) for _ in range(2))
        self._facts = np.zeros(ROOM, np.uint8)
        self._is_shared = np.zeros(ROOM, np.bool_)
        """Whether an answer was told by several emitters, by its latest report."""
        self._tables = (
            self._keys,
            self._back,
            self._latest,
            self._start_ns,
            self._end_ns,
            self._input,
            self._id_hash,
            self._voice,
            self._facts,
            self._is_shared,
        )

    def add(self, rows: Rows) -> int:
        """Chain these reports; gives the number of the first. There must be room for them."""
        n, first = len(rows), self.next
        if not n:
            return first
        self.next += n
        # What two reports of one call are told apart by: see ``are_rivals`` and ``may_be_one``.
        voices: Hashes = rows.kinds.column(_voice, _voice, np.uint64)
        facts = rows.kinds.column(_facts, _facts, np.uint8)
        if self._scanner is not None:
            self._scanner.chain(self._tables, rows.records, voices, facts, first, HASH_SEED, HASH_FACTOR)
        else:
            self._add(rows, first, voices[rows.kind], facts[rows.kind])
        return first

    def _add(self, rows: Rows, first: int, voices: Hashes, facts: npt.NDArray[np.uint8]) -> None:
        places = np.arange(first, self.next) & (ROOM - 1)
        records = rows.records
        self._voice[places] = voices
        self._facts[places] = facts
        self._start_ns[places] = records["start_ns"]
        self._end_ns[places] = records["end_ns"]
        self._input[places] = records["input_tokens"]
        self._id_hash[places] = records["id_hash"]
        keys = _keys_of(rows)
        for kind in Key:
            self._keys[kind, places] = keys[kind]
            self._back[kind, places] = 0
            self._chain(kind, keys[kind], first)

    def _chain(self, kind: Key, keys: Hashes, first: int) -> None:
        # Sorted by slot and, within one, as they came: each is chained to the one before it.
        order = ((keys & np.uint64(SLOTS - 1)).astype(np.int64) << _PLACES) | np.arange(len(keys))
        if not keys.all():
            order = order[keys != 0]
            if not len(order):
                return
        order.sort()
        slots, numbers = order >> _PLACES, (order & (2**_PLACES - 1)) + first
        is_first = np.empty(len(order), np.bool_)
        is_first[0] = True
        np.not_equal(slots[1:], slots[:-1], out=is_first[1:])
        before = np.empty(len(order), np.int64)
        before[1:] = numbers[:-1]
        latest = self._latest[kind]
        before[is_first] = latest[slots[is_first]]
        distance = numbers - before
        self._back[kind, numbers & (ROOM - 1)] = np.where(distance < ROOM, distance, 0)
        latest[slots] = numbers  # of several with one slot the last one stays

    def drop(self, first: int, end: int) -> None:
        """Have nobody find the reports with these numbers any more."""
        self._keys[:, np.arange(first, end) & (ROOM - 1)] = 0

    def suspects(self, first: int, end: int) -> Marks:
        """Which of the reports with these numbers may have to do with one that came before them.

        The others have nothing to do with any: no report has the same span or lies below it, none that may be of the
        same call has the same answer or lies above it.
        """
        if self._scanner is not None:
            marks = self._scanner.suspects(self._tables, first, end, self.oldest, SLACK_NS, WITHIN_NS)
            return np.frombuffer(marks, np.bool_)
        numbers = np.arange(first, end)
        places = numbers & (ROOM - 1)
        spans, above, answers, in_trace = (self._keys[kind, places] for kind in Key)
        again = self._found_before(Key.SPAN, spans, numbers) != 0
        found: Marks = again | (self._found_of(Key.ABOVE, spans, numbers) != 0)
        found |= self._share_answers(answers, numbers, places)
        found |= self._found_before(Key.ANSWER_IN_TRACE, in_trace, numbers) != 0
        parents = self._found_of(Key.SPAN, above, numbers)
        below = np.flatnonzero(parents)
        if len(below):
            found[below] |= self._tell_one(parents[below], numbers[below], above[below])
            known = below[parents[below] >= first]
            found[known] |= again[parents[known] - first]
        return found

    def _tell_one(self, parents: Integers, numbers: Integers, above: Hashes) -> Marks:
        """Whether reports may tell of the same call as those above them: see ``index.may_be_one``."""
        places, parent_places = numbers & (ROOM - 1), parents & (ROOM - 1)
        facts, mine = self._facts[parent_places], self._facts[places]
        ids, my_ids = self._id_hash[parent_places], self._id_hash[places]
        start_ns, end_ns = self._start_ns[places], self._end_ns[parent_places]
        may_be: Marks = (facts >> 2 == mine >> 2) & (start_ns <= end_ns + SLACK_NS)
        may_be &= (ids == 0) | (my_ids == 0) | (ids == my_ids)
        # Two of one emitter, neither of them the end of a stream, are one call only where ``may_be_within`` says so.
        tokens, my_tokens = self._input[parent_places], self._input[places]
        is_apart = (tokens >= 0) & (my_tokens >= 0) & (tokens != my_tokens)
        is_apart |= start_ns > end_ns + WITHIN_NS
        is_apart |= self._start_ns[parent_places] > start_ns + WITHIN_NS
        has_id = (ids != 0) & (ids == my_ids)
        is_alone = (self._voice[parent_places] == self._voice[places]) & (mine & 2 == 0) & ~has_id
        may_be &= ~(is_alone & is_apart)
        may_be |= (facts & 1 == 0) | (parents == UNDECIDED)
        may_be |= self._found_before(Key.ABOVE, above, numbers) != 0
        return may_be

    def _share_answers(self, answers: Hashes, numbers: Integers, places: Integers) -> Marks:
        """Whether an answer is told by several emitters: see ``index.may_tell_one_answer``."""
        latest = self._found_before(Key.ANSWER, answers, numbers)
        has_same, others = latest > 0, latest & (ROOM - 1)
        found: Marks = (latest == UNDECIDED) | (has_same & (self._voice[others] != self._voice[places]))
        self._is_shared[places] = found
        for _ in range(STEPS_MAX):
            # What is known of the one before holds for this one, which may be the one before of the next.
            more = found | (has_same & self._is_shared[others])
            if (more == found).all():
                return found
            found = self._is_shared[places] = more
        self._is_shared[places] = True
        return has_same | found

    def _found_of(self, kind: Key, keys: Hashes, before: Integers) -> Integers:
        """For each key the latest report before another that has it; 0 where there is none, or ``UNDECIDED``."""
        at = np.where(keys == 0, 0, self._latest[kind, (keys & np.uint64(SLOTS - 1)).astype(np.int64)])
        return self._found(kind, at, keys, before)

    def _found_before(self, kind: Key, keys: Hashes, numbers: Integers) -> Integers:
        """The same for reports with these numbers, which have these keys."""
        return self._found(kind, self._one_before(kind, numbers), keys, numbers)

    def _one_before(self, kind: Key, numbers: Integers) -> Integers:
        """What each is chained to; 0 where it is to none."""
        back = self._back[kind, numbers & (ROOM - 1)]
        return np.where(back == 0, 0, numbers - back)

    def _found(self, kind: Key, at: Integers, keys: Hashes, before: Integers) -> Integers:
        """The same, along the chains that begin there."""
        found = np.zeros(len(keys), np.int64)
        mine = np.flatnonzero(at >= self.oldest)
        at = at[mine]
        for _ in range(STEPS_MAX):
            if not len(mine):
                return found
            is_here = (self._keys[kind, at & (ROOM - 1)] == keys[mine]) & (at < before[mine])
            found[mine[is_here]] = at[is_here]
            at = self._one_before(kind, at)
            is_on = ~is_here & (at >= self.oldest)
            mine, at = mine[is_on], at[is_on]
        found[mine] = UNDECIDED
        return found

    def numbers(self, kind: Key, key: int) -> Iterator[int]:
        """The reports with a key, the latest first."""
        at = int(self._latest[kind, key & (SLOTS - 1)])
        keys, back = self._keys[kind], self._back[kind]
        while at >= self.oldest:
            if int(keys[at & (ROOM - 1)]) == key:
                yield at
            distance = int(back[at & (ROOM - 1)])
            at = at - distance if distance else 0


def _voice(shape: Shape) -> int:
    return hash((shape.emitter, shape.service_name, shape.is_ending)) & _MASK


def _facts(shape: Shape) -> int:
    return _OPERATIONS[shape.operation] * 4 + shape.is_ending * 2 + shape.is_declared


def _keys_of(rows: Rows) -> Sequence[Hashes]:
    records = rows.records
    trace = _mixed(records["trace_high"] ^ np.uint64(HASH_SEED))
    trace = _mixed(trace ^ records["trace_low"])
    parent = records["parent"]
    answers = np.where(records["has_telling_id"] != 0, records["id_hash"], np.uint64(0))
    above = np.where(parent == 0, np.uint64(0), _mixed(trace ^ parent) | np.uint64(1))
    in_trace = np.where(answers == 0, np.uint64(0), _mixed(trace ^ answers) | np.uint64(1))
    return _mixed(trace ^ records["span"]) | np.uint64(1), above, answers, in_trace


def _mixed(values: Hashes) -> Hashes:
    found = values * np.uint64(HASH_FACTOR)
    mixed: Hashes = found ^ (found >> np.uint64(32))
    return mixed


def span_key(key: bytes) -> int:
    """What a span with this key, of trace and span, is chained by."""
    found = HASH_SEED
    for at in (0, 8, 16):
        found = (found ^ int.from_bytes(key[at : at + 8], "little")) * HASH_FACTOR & _MASK
        found ^= found >> 32
    return found | 1
