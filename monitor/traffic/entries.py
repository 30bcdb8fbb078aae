"""Entries of the journal: what was settled with one commit, in about a hundred bytes a call.

An entry holds all reports of each call that it admits, and names what it withdraws by the key of a report. Columns
of numbers follow a JSON document with the shapes and what few calls have. Ids of sessions are left out: nothing is
counted by them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from .calls import Call, CostBasis, ErrorClass, FinishReason, Operation, from_json
from .dialects import Report
from .joining.recent import Counted, Name, Settled
from .otlp import NO_SPAN
from .sightings import FACTS, Shape, Shapes, Sighting, sighting_of
from .windows.rows import Rows, rows_of
from .windows.series import OVERFLOW, series_of

FORMAT = b"\x01"
"""How an entry begins. Those of earlier versions begin with a brace, as JSON does."""

_BASES = tuple(CostBasis)
_PLACE_OF = {basis: place for place, basis in enumerate(_BASES)}
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
class Entry:
    """What an entry says: the calls that were admitted, and the names of those that were withdrawn."""

    admitted: Sequence[Counted]
    withdrawn: Sequence[Name]


def encode(settled: Settled, rows: Rows | None = None) -> bytes:
    """What was settled, as an entry. ``rows`` are all its reports in their order, where they are columns already."""
    admitted = settled.admitted
    sightings = [one for counted in admitted for one in counted.sightings]
    rows = rows_of(sightings) if rows is None and sightings else rows
    more = [one.prompt is not None or bool(one.chosen or one.checks) for one in sightings]
    head = {
        "calls": len(admitted),
        "sightings": len(sightings),
        "shapes": [[getattr(shape, name) for name in FACTS] for shape in (rows.shapes if rows else ())],
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
        np.array([_PLACE_OF[one.cost_basis] for one in admitted], "<u1"),
        np.array([one.is_call for one in admitted], "<u1"),
        np.array([one.series is OVERFLOW for one in admitted], "<u1"),
        np.array([len(one.sightings) for one in admitted], "<u2"),
    )
    ids = [one.trace_id + one.span_id + (one.parent_span_id or NO_SPAN) for one in sightings]
    columns = [column.tobytes() for column in (*calls, *(_columns(rows) if rows else ()))]
    return b"".join((FORMAT, len(document).to_bytes(4, "little"), document, *columns, *ids))


def _columns(rows: Rows) -> Iterator[npt.NDArray[Any]]:
    yield rows.kind.astype("<u4")
    yield rows.start_ns.astype("<i8")
    yield rows.end_ns.astype("<i8")
    for name in _TOKENS:
        yield getattr(rows, name).astype(
            "<u4"
        )  # sums of counts go beyond 31 bits; what is not told is the largest
    yield rows.ttft_s.astype("<f8")


def decode(body: bytes, shapes: Shapes) -> Entry:
    """What ``encode`` wrote, also in the form of earlier versions."""
    if body[:1] != FORMAT:
        return Entry([_of_earlier(line, shapes) for line in body.splitlines()], ())
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
        counted.cost_usd, counted.cost_basis = _number(costs[place]), _BASES[bases[place]]
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
    return Entry(admitted, [(bytes.fromhex(key), start_ns) for key, start_ns in head["withdrawn"]])


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
        self._at = at

    def column(self, kind: str, n: int) -> list[Any]:
        found = np.frombuffer(self._body, kind, n, self._at)
        self._at += found.nbytes
        return list(found.tolist())

    def bytes(self, size: int) -> bytes:
        found = self._body[self._at : self._at + size]
        self._at += size
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
