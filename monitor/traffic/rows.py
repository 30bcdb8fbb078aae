"""Many reports of calls as columns, a row each: what a busy second is read, joined and counted by.

A row holds what a sighting does (``sightings``), in a record of fixed size: its ids, times and numbers, the number of
its shape, and where its texts lie. What few reports have is kept beside. Everything here gives the same numbers as the
call on its own would (``sightings.call_of``, ``pricing``, ``windows``), to the last bit: a call may be counted among
many, and be taken back alone.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import randbits
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .joining.likeness import TELLING_ID_MIN
from .kinds import Kinds
from .otlp import NO_SPAN
from .sightings import Shape, Sighting
from .windows.series import MINUTE_S

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]
Records = npt.NDArray[Any]

NOT_TOLD = -1
"""Stands for a count that is not told."""

EVERYDAY_MAX = 1e5
"""Calls with more tokens, seconds or tokens a second are counted one by one, so that no sum of many overflows."""

NO_TEXT = 2**32 - 1
"""Stands for the size of a text that is not told."""

RECORD = np.dtype(
    [
        ("trace_high", "<u8"),
        ("trace_low", "<u8"),
        ("span", "<u8"),
        ("parent", "<u8"),
        ("start_ns", "<i8"),
        ("end_ns", "<i8"),
        ("input_tokens", "<i8"),
        ("cached_input_tokens", "<i8"),
        ("cache_write_input_tokens", "<i8"),
        ("output_tokens", "<i8"),
        ("reasoning_tokens", "<i8"),
        ("ttft_s", "<f8"),
        ("id_hash", "<u8"),
        ("kind", "<u4"),
        ("text_at", "<u4"),
        ("id_size", "<u4"),
        ("session_size", "<u4"),
        ("session_at", "<u4"),
        ("has_telling_id", "<u4"),
    ]
)
"""A report: the ids as they are written, without a parent zeros; ``kind`` is the number of its shape.

The id of the answer lies at ``text_at`` of the texts, that of the session at ``session_at`` of the sessions. What
stands for an id, ``id_hash``, is 0 without one. A count that is not told is ``NOT_TOLD``, a size ``NO_TEXT``, a time to
the first token no number.
"""

_COUNTS = slice(6, 10)
"""The numbers of tokens, among all that is in a record."""

_PACKED = struct.Struct("<16s8s8sqqqqqqqdQIIIIII")
assert _PACKED.size == RECORD.itemsize == 128  # noqa: S101 - the scanner writes it, too

_NANO = 1e9
_MASK = 2**64 - 1

HASH_SEED = randbits(64)
HASH_FACTOR = randbits(64) | 2**63 | 1
"""What ids are hashed with: drawn at each start, so that no sender can write ids that fall together."""


def id_hash(text: bytes) -> int:
    """What stands for the id of an answer in a record; never 0."""
    found = HASH_SEED ^ len(text)
    for at in range(0, len(text), 8):
        found = (found ^ int.from_bytes(text[at : at + 8], "little")) * HASH_FACTOR & _MASK
        found ^= found >> 32
    return found or 1


More = tuple[int | None, tuple[tuple[str, str], ...], tuple[tuple[str, bool], ...]]
"""What few reports have: the prompt, the chosen attributes, the checks."""

NO_MORE: More = (None, (), ())


class RowsWriter:
    """Rows in the making."""

    def __init__(self, kinds: Kinds | None = None) -> None:
        """Start with none. ``kinds`` numbers the shapes, where others share them."""
        self.records = bytearray()
        self.texts = bytearray()
        self.sessions = bytearray()
        self.kinds = Kinds() if kinds is None else kinds
        self.more: dict[int, More] = {}
        self.left_out: list[int] = []
        """Places at which there is no report after all."""

    def __len__(self) -> int:
        return len(self.records) // RECORD.itemsize - len(self.left_out)

    def add(self, one: Sighting) -> None:
        """Write a report down behind the others."""
        self.records += bytes(RECORD.itemsize)
        self.put(len(self.records) // RECORD.itemsize - 1, one)

    def put(self, place: int, one: Sighting | None) -> None:
        """Write a report down at a place that was kept free for it; without one the place is left out."""
        if one is None:
            self.left_out.append(place)
            return
        (shape, trace_id, span_id, parent, start_ns, end_ns, response_id, session, *counts, ttft_s) = one[:14]
        answer = None if response_id is None else response_id.encode()
        told = None if session is None else session.encode()
        _PACKED.pack_into(
            self.records,
            place * RECORD.itemsize,
            trace_id,
            span_id,
            parent or NO_SPAN,
            start_ns,
            end_ns,
            *(NOT_TOLD if n is None else n for n in counts),
            math.nan if ttft_s is None else ttft_s,
            0 if answer is None else id_hash(answer),
            self.kinds.number(shape),
            len(self.texts),
            NO_TEXT if answer is None else len(answer),
            NO_TEXT if told is None else len(told),
            len(self.sessions),
            response_id is not None and len(response_id) >= TELLING_ID_MIN,
        )
        self.texts += answer or b""
        self.sessions += told or b""
        if one[14:] != NO_MORE:
            self.more[place] = one[14:]

    def begin_with(self, records: bytes, texts: bytes, sessions: bytes) -> None:
        """Take these records, with their texts, as the first ones."""
        assert not self.records, "their texts are told from the beginning"  # noqa: S101 - they would be wrong
        self.records += records
        self.texts += texts
        self.sessions += sessions

    def rows(self) -> "Rows":
        """What was written."""
        written = Rows(
            np.frombuffer(self.records, RECORD),
            self.kinds,
            bytes(self.texts),
            bytes(self.sessions),
            self.more,
        )
        if not self.left_out:
            return written
        return written.take(np.delete(np.arange(len(written.records)), self.left_out))


@dataclass(frozen=True, slots=True)
class Rows:
    """Reports by columns, a row each. ``more`` has what few of them have, by their places."""

    records: Records
    kinds: Kinds
    """Those of these rows, and of others."""
    texts: bytes
    sessions: bytes
    more: Mapping[int, More] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def shapes(self) -> Sequence[Shape]:
        """The shapes by their numbers; of a few of them there may be no row."""
        return self.kinds.shapes

    @property
    def kind(self) -> npt.NDArray[np.uint32]:
        """The numbers of their shapes."""
        found: npt.NDArray[np.uint32] = self.column("kind")
        return found

    @property
    def start_ns(self) -> Integers:
        """When they began, in unix nanoseconds."""
        found: Integers = self.column("start_ns")
        return found

    @property
    def end_ns(self) -> Integers:
        """When they ended."""
        found: Integers = self.column("end_ns")
        return found

    @property
    def ttft_s(self) -> Floats:
        """The time to the first token; not a number where it is not told."""
        found: Floats = self.column("ttft_s")
        return found

    def column(self, name: str) -> Any:
        """A field of all records."""
        return self.records[name]

    @property
    def duration_s(self) -> Floats:
        """How long each call took."""
        found: Floats = np.maximum(0, self.end_ns - self.start_ns) / _NANO
        return found

    @property
    def tokens_per_s(self) -> Floats:
        """How fast each answer was written once it had begun; not a number where that is not told."""
        return tokens_per_s(self.column("output_tokens"), self.duration_s, self.ttft_s)

    @property
    def minute(self) -> Integers:
        """The start of the minute in which each call ended, in unix seconds."""
        found: Integers = (self.end_ns / _NANO // MINUTE_S).astype(np.int64) * MINUTE_S
        return found

    def are_everyday(self, scanner: ModuleType | None = None) -> Marks:
        """Which calls are of a size that is counted among many, and have no checks. The scanner in C says it faster."""
        if scanner is None:
            is_everyday = self._are_everyday()
        else:
            is_everyday = np.frombuffer(scanner.everyday(self.records, EVERYDAY_MAX), np.bool_)
        for place, (_, _, checks) in self.more.items():
            is_everyday[place] &= not checks
        return is_everyday

    def _are_everyday(self) -> Marks:
        durations, ttfts = self.duration_s, self.ttft_s
        counts = self.records.view(np.int64).reshape(len(self), -1)[:, _COUNTS]
        is_everyday: Marks = (durations <= EVERYDAY_MAX) & (counts <= EVERYDAY_MAX).all(axis=1)
        for values in (ttfts, tokens_per_s(self.column("output_tokens"), durations, ttfts)):
            is_everyday &= ~(values > EVERYDAY_MAX)
        return is_everyday

    def sighting(self, place: int) -> Sighting:
        """The report of a row."""
        (
            trace_id, span_id, parent, start_ns, end_ns, *counts, ttft_s, _, kind,
            at, id_size, session_size, session_at, _,
        ) = _PACKED.unpack(self.records[place].tobytes())  # fmt: skip
        response_id, session = None, None
        if id_size != NO_TEXT:
            response_id = self.texts[at : at + id_size].decode()
        if session_size != NO_TEXT:
            session = self.sessions[session_at : session_at + session_size].decode()
        facts = (
            self.shapes[kind],
            trace_id,
            span_id,
            b"" if parent == NO_SPAN else parent,
            start_ns,
            end_ns,
            response_id,
            session,
            *(None if n == NOT_TOLD else n for n in counts),
            None if ttft_s != ttft_s else ttft_s,
            *self.more.get(place, NO_MORE),
        )
        return Sighting._make(facts)

    @property
    def answer_ids(self) -> bytes:
        """The ids of their answers, one after the other."""
        at, sizes = self.column("text_at"), self.column("id_size")
        told = sizes != NO_TEXT
        begin, size = at[told].astype(np.int64), sizes[told].astype(np.int64)
        if (np.cumsum(size) - size == begin).all() and int(size.sum()) == len(self.texts):
            return self.texts
        texts = self.texts
        return b"".join([texts[at : at + n] for at, n in zip(begin.tolist(), size.tolist(), strict=True)])

    def ids(self, place: int) -> tuple[str, str]:
        """The ids of the trace and the span of a row, as hexadecimal digits."""
        written = self.records[place].tobytes()
        return written[:16].hex(), written[16:24].hex()

    def take(self, places: Integers) -> "Rows":
        """The rows at these places, which ascend."""
        if len(places) == len(self):
            return self
        more: dict[int, More] = {}
        if self.more:
            now = {place: at for at, place in enumerate(places.tolist())}
            more = {now[place]: one for place, one in self.more.items() if place in now}
        return Rows(self.records[places], self.kinds, self.texts, self.sessions, more)


def tokens_per_s(output_tokens: Integers, duration_s: Floats, ttft_s: Floats) -> Floats:
    """How fast answers were written once they had begun; not a number where that is not told."""
    writing_s = duration_s - np.nan_to_num(ttft_s)
    is_written = (output_tokens > 0) & (writing_s > 0)
    return np.where(is_written, output_tokens / np.where(is_written, writing_s, 1.0), np.nan)


def distinct(values: npt.NDArray[np.integer[Any]]) -> list[int]:
    """The different ones among whole numbers, in their order."""
    # Without the counts numpy would load its masked arrays, 6 MB, to learn that this is none.
    found: list[int] = np.unique(values, return_counts=True)[0].tolist()
    return found


def rows_of(sightings: Iterable[Sighting]) -> Rows:
    """The sightings as rows."""
    writer = RowsWriter()
    for one in sightings:
        writer.add(one)
    return writer.rows()


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    sizes = [len(one) for one in parts]
    # As bytes: numpy would compare the fields of the parts with each other first, which takes longer than all the rest.
    records: Records = np.frombuffer(
        bytearray().join([one.records.view(np.uint8).data for one in parts]), RECORD
    )
    kinds = parts[0].kinds
    begin = 0
    for one, size in zip(parts, sizes, strict=True):
        if one.kinds is not kinds and size:
            records["kind"][begin : begin + size] = kinds.numbers_of(one.shapes)[one.kind]
        begin += size
    records["text_at"] += _begins(sizes, [len(one.texts) for one in parts])
    records["session_at"] += _begins(sizes, [len(one.sessions) for one in parts])
    more: dict[int, More] = {}
    begin = 0
    for one, size in zip(parts, sizes, strict=True):
        more |= {begin + place: told for place, told in one.more.items()}
        begin += size
    texts, sessions = b"".join([one.texts for one in parts]), b"".join([one.sessions for one in parts])
    return Rows(records, kinds, texts, sessions, more)


def _begins(rows: Sequence[int], sizes: Sequence[int]) -> npt.NDArray[np.uint32]:
    """For each row of parts of so many rows, where what is joined of its part begins, by the sizes of these."""
    return np.repeat(np.cumsum([0, *sizes[:-1]], dtype=np.uint32), rows)
