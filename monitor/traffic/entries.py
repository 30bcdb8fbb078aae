"""Entries of the journal: what was settled with one commit, in about a hundred bytes a call.

An entry holds all reports of each call that it admits, and names what it withdraws by the key of a report. Columns
of numbers follow a JSON document with the shapes and what few calls have. Calls that have nothing to do with others
come in columns of their own, which are written and read at once. Ids of sessions are left out: nothing is counted by
them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from .calls import BASES, BASIS_NUMBERS, Call, ErrorClass, FinishReason, Operation, from_json
from .dialects import Report
from .joining.counted import Counted, Name
from .joining.likeness import TELLING_ID_MIN
from .joining.recent import Settled
from .kinds import Kinds
from .otlp import NO_SPAN
from .rows import NO_TEXT, RECORD, Floats, Integers, Marks, Rows, id_hash, rows_of
from .sightings import FACTS, Shape, Shapes, Sighting, facts_of, sighting_of
from .windows.series import OVERFLOW, series_of

FORMAT = b"\x01"
"""How an entry begins without rows. Those of earlier versions begin with a brace, as JSON does."""

WITH_ROWS = b"\x02"
"""How an entry with rows begins; one without rows follows them."""

WRITTEN_REMEMBERED_MAX = 1_024
"""For how many shapes it is remembered how they are written, in half a kB each: it takes half a microsecond anew."""

_ENUMS: Mapping[str, type] = {
    "operation": Operation,
    "error_class": ErrorClass,
    "finish_reason": FinishReason,
}
_NOT_TOLD = 2**32 - 1

_TOKENS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@dataclass(frozen=True, slots=True)
class Values:
    """What the calls of rows cost, how sure that is, by number, and which are counted as those of other series.

    ``marks`` has the filters and the chosen attributes of calls, by their places: see ``counting``.
    """

    cost_usd: Floats
    basis: Integers
    is_over: Marks
    marks: Mapping[int, tuple[tuple[str, ...], tuple[tuple[str, str], ...] | None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says: the calls that were admitted, and the names of those that were withdrawn.

    Those that have nothing to do with others are rows.
    """

    rows: Rows
    values: Values
    admitted: Sequence[Counted]
    withdrawn: Sequence[Name]


_COLUMNS = {
    "kind": "<u4",
    "start_ns": "<i8",
    "end_ns": "<i8",
    **dict.fromkeys(_TOKENS, "<u4"),
    "ttft_s": "<f8",
    "id_size": "<u4",
}
_START = list(RECORD.names or ()).index("start_ns")
"""The place of the first moment in a record, of fields of eight bytes; the other and the counts follow it."""

_IDS = 32
"""How many bytes the ids of a row take: those of the trace, the span and the span above."""

_NO_ROWS = rows_of(())
_NO_VALUES = Values(np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_), {})


def encode(settled: Settled, values: Values | None = None) -> bytes | bytearray:
    """What was settled, as an entry; ``values`` are those of the plain rows, where there are any."""
    others = _encoded(settled)
    if values is None:
        return others
    rows = settled.rows.take(settled.plain)
    used, kind = _used(rows)
    head = {
        "shapes": [_written(rows.shapes[number]) for number in used.tolist()],
        "marks": {str(place): marked for place, marked in values.marks.items()},
        "more": {str(place): more for place, more in rows.more.items()},
    }
    document, ids = orjson.dumps(head), rows.answer_ids
    sizes = np.array([len(document), len(rows), len(ids)], "<u4").tobytes()
    entry = bytearray().join((WITH_ROWS, sizes, document))
    # One by one: all of them take as much room as the entry.
    for column in _columns_of(rows, kind, values):
        entry += column.data
    entry += ids
    entry += others
    return entry


def _columns_of(rows: Rows, kind: Integers, values: Values) -> Iterator[npt.NDArray[Any]]:
    yield kind.astype("<u4")
    yield from _moments_and_counts(rows)
    yield np.ascontiguousarray(rows.ttft_s)
    yield np.ascontiguousarray(rows.column("id_size"))
    yield values.cost_usd
    yield values.basis.astype("u1")
    yield values.is_over
    yield np.ascontiguousarray(rows.records.view(np.uint8).reshape(-1, RECORD.itemsize)[:, :_IDS])


def _moments_and_counts(rows: Rows) -> Iterator[npt.NDArray[Any]]:
    """The columns between the kinds and the times to the first token, as ``_COLUMNS`` has them."""
    words = rows.records.view(np.int64).reshape(len(rows), -1)
    # Copied out of the records in one go: each go reads all of them, whatever it takes.
    start_ns, end_ns, *counts = np.ascontiguousarray(words[:, _START : _START + 2 + len(_TOKENS)].T)
    yield start_ns
    yield end_ns
    for column in counts:
        yield column.astype("<u4")


def _used(rows: Rows) -> tuple[Integers, Integers]:
    """The numbers of the shapes that rows have, and of each row the place of its own among them."""
    is_used = np.zeros(len(rows.kinds), np.bool_)
    is_used[rows.kind] = True
    return np.flatnonzero(is_used), (np.cumsum(is_used) - 1)[rows.kind]


@lru_cache(maxsize=WRITTEN_REMEMBERED_MAX)
def _written(shape: Shape) -> orjson.Fragment:
    """The facts of a shape, which are in every entry that has calls of it."""
    written = orjson.dumps(facts_of(shape))
    # What orjson gives may keep its room of some 4 kB behind 200 bytes; a copy has none, and thousands stay here.
    return orjson.Fragment(bytes(memoryview(written)))


def _encoded(settled: Settled) -> bytes:
    """What was settled beside the plain rows."""
    admitted = settled.admitted
    sightings = [one for counted in admitted for one in counted.sightings]
    rows = rows_of(sightings) if sightings else None
    more = [one.prompt is not None or bool(one.chosen or one.checks) for one in sightings]
    head = {
        "calls": len(admitted),
        "sightings": len(sightings),
        "shapes": [_written(shape) for shape in (rows.shapes if rows else ())],
        "ids": [one.response_id for one in sightings],
        "withdrawn": [(key.hex(), start_ns) for key, start_ns in (one.name for one in settled.withdrawn)],
        "matched": {str(i): one.matched for i, one in enumerate(admitted) if one.matched},
        "chosen": {str(i): one.chosen for i, one in enumerate(admitted) if one.chosen is not None},
        "more": {
            str(i): [sightings[i].prompt, sightings[i].chosen, sightings[i].checks]
            for i, has_more in enumerate(more)
            if has_more
        },
    }
    document = orjson.dumps(head)
    calls = (
        np.array([_nan(one.cost_usd) for one in admitted], "<f8"),
        np.array([BASIS_NUMBERS[one.cost_basis] for one in admitted], "<u1"),
        np.array([one.is_call for one in admitted], "<u1"),
        np.array([one.series is OVERFLOW for one in admitted], "<u1"),
        np.array([len(one.sightings) for one in admitted], "<u2"),
    )
    ids = [one.trace_id + one.span_id + (one.parent_span_id or NO_SPAN) for one in sightings]
    columns = [column.tobytes() for column in (*calls, *(_columns(rows) if rows else ()))]
    return b"".join((FORMAT, len(document).to_bytes(4, "little"), document, *columns, *ids))


def _columns(rows: Rows) -> Iterator[npt.NDArray[Any]]:
    for name, form in _COLUMNS.items():
        if name != "id_size":
            # Sums of counts go beyond 31 bits; what is not told is the largest.
            yield rows.column(name).astype(form)


def decode(body: bytes, shapes: Shapes) -> Entry:
    """What ``encode`` wrote, also in the form of earlier versions."""
    if body[:1] == WITH_ROWS:
        return _with_rows(body, shapes)
    if body[:1] != FORMAT:
        earlier = [_of_earlier(line, shapes) for line in body.splitlines()]
        return Entry(_NO_ROWS, _NO_VALUES, earlier, ())
    begin = len(FORMAT) + 4
    size = int.from_bytes(body[len(FORMAT) : begin], "little")
    head = orjson.loads(body[begin : begin + size])
    read = _Columns(body, begin + size)
    calls, n = head["calls"], head["sightings"]
    costs, bases, are_calls, are_over, sizes = (
        read.column(kind, calls) for kind in ("<f8", "<u1", "<u1", "<u1", "<u2")
    )
    sightings = _sightings(head, read, n, [_shape(facts, shapes) for facts in head["shapes"]])
    series_by = {shape: series_of(shape) for shape in {one.shape for one in sightings}}
    admitted, at = [], 0
    for place in range(calls):
        counted = Counted(tuple(sightings[at : at + sizes[place]]), is_call=bool(are_calls[place]))
        at += sizes[place]
        counted.cost_usd, counted.cost_basis = _number(costs[place]), BASES[bases[place]]
        counted.matched = tuple(head["matched"].get(str(place), ()))
        if (chosen := head.get("chosen", {}).get(str(place))) is not None:
            counted.chosen = tuple((attribute, value) for attribute, value in chosen)
        if are_over[place]:
            counted.series = OVERFLOW
        elif sizes[place] == 1:
            counted.series = series_by[counted.sightings[0].shape]
        else:
            counted.series = series_of(counted.call())
        admitted.append(counted)
    return Entry(
        _NO_ROWS,
        _NO_VALUES,
        admitted,
        [(bytes.fromhex(key), start_ns) for key, start_ns in head["withdrawn"]],
    )


def _with_rows(body: bytes, shapes: Shapes) -> Entry:
    at = len(WITH_ROWS)
    sizes = np.frombuffer(body, "<u4", 3, at).tolist()
    document, n, texts = sizes
    at += 12
    head = orjson.loads(body[at : at + document])
    read = _Columns(body, at + document)
    records = np.zeros(n, RECORD)
    for name, form in _COLUMNS.items():
        found = read.array(form, n)
        told = np.where(found == _NOT_TOLD, -1, found.astype(np.int64)) if name in _TOKENS else found
        records[name] = told
    values = Values(
        read.array("<f8", n),
        read.array("u1", n).astype(np.int64),
        read.array("u1", n).astype(np.bool_),
        {int(place): _marked(*marked) for place, marked in head["marks"].items()},
    )
    ids = np.frombuffer(read.bytes(n * _IDS), np.uint8).reshape(n, _IDS)
    records.view(np.uint8).reshape(n, RECORD.itemsize)[:, :_IDS] = ids
    answers = read.bytes(texts)
    _fill_ids(records, answers)
    more = {
        int(place): (prompt, _pairs(chosen), tuple((name, is_passed) for name, is_passed in checks))
        for place, (prompt, chosen, checks) in head["more"].items()
    }
    kinds = Kinds()
    records["kind"] = kinds.numbers_of(_shape(facts, shapes) for facts in head["shapes"])[records["kind"]]
    rows = Rows(records, kinds, answers, b"", more)
    others = decode(body[read.at :], shapes)
    return Entry(rows, values, others.admitted, others.withdrawn)


def _fill_ids(records: npt.NDArray[Any], texts: bytes) -> None:
    """Say where the ids of answers lie, and what stands for each: that is another number after each start."""
    begin, places, hashes, telling = 0, [], [], []
    for size in records["id_size"].tolist():
        answer = b"" if size == NO_TEXT else texts[begin : begin + size]
        places.append(begin)
        hashes.append(0 if size == NO_TEXT else id_hash(answer))
        telling.append(len(answer) >= TELLING_ID_MIN and len(answer.decode()) >= TELLING_ID_MIN)
        begin += len(answer)
    records["text_at"], records["id_hash"], records["has_telling_id"] = places, hashes, telling
    records["session_size"] = NO_TEXT


def _marked(
    matched: Iterable[str], chosen: Any
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...] | None]:
    return tuple(matched), None if chosen is None else _pairs(chosen)


def _pairs(told: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in told)


def _sightings(head: Any, read: "_Columns", n: int, shapes: Sequence[Shape]) -> list[Sighting]:
    places, starts, ends = (read.column(kind, n) for kind in ("<u4", "<i8", "<i8"))
    tokens = [[None if one == _NOT_TOLD else one for one in read.column("<u4", n)] for _ in _TOKENS]
    ttfts = read.column("<f8", n)
    more = head["more"]
    found = []
    for i in range(n):
        trace_id, span_id, parent = read.bytes(16), read.bytes(8), read.bytes(8)
        prompt, chosen, checks = more.get(str(i), (None, (), ()))
        found.append(
            Sighting(
                shapes[places[i]],
                trace_id,
                span_id,
                b"" if parent == NO_SPAN else parent,
                starts[i],
                ends[i],
                head["ids"][i],
                None,
                tokens[0][i],
                tokens[1][i],
                tokens[2][i],
                tokens[3][i],
                tokens[4][i],
                _number(ttfts[i]),
                prompt,
                tuple((name, value) for name, value in chosen),
                tuple((name, is_passed) for name, is_passed in checks),
            )
        )
    return found


class _Columns:
    """Reads one column after the other."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body = body
        self.at = at

    def array(self, kind: str, n: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self._body, kind, n, self.at)
        self.at += found.nbytes
        return found

    def column(self, kind: str, n: int) -> list[Any]:
        return list(self.array(kind, n).tolist())

    def bytes(self, size: int) -> bytes:
        found = self._body[self.at : self.at + size]
        self.at += size
        return found


def _shape(facts: Iterable[Any], shapes: Shapes) -> Shape:
    return shapes.shape(
        tuple(
            _ENUMS[name](fact) if name in _ENUMS and fact is not None else fact
            for name, fact in zip(FACTS, facts, strict=True)
        )
    )


def _of_earlier(line: bytes, shapes: Shapes) -> Counted:
    """A call as it was written before its reports were; it knows of no emitter, and is joined by its ids only."""
    call: Call = from_json(orjson.loads(line))
    checks = [(name, True) for name in call.checks_passed] + [(name, False) for name in call.checks_failed]
    report = Report(call, "", "", False, True, False, None, {})
    counted = Counted((sighting_of(report, shapes, call.chosen, tuple(checks)),))
    counted.cost_usd, counted.cost_basis, counted.matched = call.cost_usd, call.cost_basis, call.matched
    counted.series = series_of(call)
    return counted


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _number(value: float) -> float | None:
    return None if value != value else value
