"""The reports of a request, gathered span by span and written down as rows all at once, column by column."""

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np

from ..calls import TOKEN_COUNTS
from ..joining.likeness import TELLING_ID_MIN
from ..otlp import NO_SPAN
from ..rows import (
    HASH_FACTOR,
    HASH_SEED,
    NO_MORE,
    NO_TEXT,
    NOT_TOLD,
    RECORD,
    Hashes,
    Integers,
    More,
    Records,
    id_hash,
)
from ..sightings import Sighting
from .found import TOO_EARLY, TOO_LATE, Found
from .notation import encoded
from .origin import Chosen
from .plans import Told

HASHED_TOGETHER_MAX = 64
"""Ids are hashed together unless one of them has more bytes."""

FEW = 24
"""So few ids are hashed sooner one by one."""

Beginning = tuple[Any, ...]
"""How a span begins: the ids of its trace, of itself and of its parent, and its times. What follows is not kept."""


class Columns:
    """Reports in the making."""

    def __init__(self) -> None:
        """Start with none."""
        self._stamps: list[Beginning] = []
        self._told: list[Told] = []
        self._more: dict[int, More] = {}

    def add(self, stamp: Beginning, told: Told, chosen: Chosen) -> None:
        """Add what a plan told of a span."""
        if chosen:
            self._more[len(self._told)] = None, chosen, ()
        self._stamps.append(stamp)
        self._told.append(told)

    def add_sighting(self, one: Sighting | None) -> None:
        """Add a report that was read on its own, if it is one."""
        if one is None:
            return
        if one[14:] != NO_MORE:
            self._more[len(self._told)] = one[14:]
        asked, cached, written, output, reasoning = (NOT_TOLD if n is None else n for n in one[8:13])
        ttft_s = nan if one.ttft_s is None else one.ttft_s
        ids = encoded(one.response_id), encoded(one.session_id)
        self._told.append((one.shape, *ids, asked, cached, written, output, reasoning, ttft_s))
        self._stamps.append(one[1:6])

    def write(self, found: Found) -> None:
        """Write all of them down, and refuse those that were at no possible time."""
        if not self._told:
            return
        traces, spans, parents, starts, ends = list(zip(*self._stamps, strict=False))[:5]
        shapes, answers, sessions, *counts, ttft_s = zip(*self._told, strict=True)
        records = np.empty(len(shapes), RECORD)
        trace_ids = np.frombuffer(b"".join(traces), "<u8")
        records["trace_high"], records["trace_low"] = trace_ids[::2], trace_ids[1::2]
        records["span"] = np.frombuffer(b"".join(spans), "<u8")
        known = [one if len(one) == 8 else NO_SPAN for one in parents]
        records["parent"] = np.frombuffer(b"".join(known), "<u8")
        start_ns, end_ns = _times(starts), _times(ends)
        records["start_ns"], records["end_ns"] = start_ns, end_ns
        for name, column in zip(TOKEN_COUNTS, counts, strict=True):
            records[name] = column
        records["ttft_s"] = ttft_s
        records["kind"] = found.rows.kinds.numbers_of(shapes)
        texts = _lay_down(answers, records, "text_at", "id_size")
        records["id_hash"] = _id_hashes(answers, records["id_size"])
        records["has_telling_id"] = _tell(answers, texts, records["id_size"])
        told = _lay_down(sessions, records, "session_at", "session_size")
        found.rows.begin_with(records.tobytes(), texts, told)
        found.rows.more.update(self._more)
        self._refuse(start_ns, end_ns, found)

    def _refuse(self, start_ns: Integers, end_ns: Integers, found: Found) -> None:
        is_early = (end_ns > found.latest_ns) | (start_ns > found.latest_ns)
        is_late = ~is_early & (end_ns < found.earliest_ns)
        for reason, is_refused in ((TOO_EARLY, is_early), (TOO_LATE, is_late)):
            for place in is_refused.nonzero()[0].tolist():
                found.refuse(reason, self._told[place][0].service_name)
                found.rows.left_out.append(place)
                found.rows.more.pop(place, None)


def _times(told: Sequence[int]) -> Integers:
    try:
        return np.array(told, np.int64)
    except OverflowError:  # the last and the first that can be written are as impossible as those beyond
        return np.array([min(max(one, -(2**63)), 2**63 - 1) for one in told], np.int64)


def _lay_down(texts: Sequence[bytes | None], records: Records, at: str, size: str) -> bytes:
    """The texts, one after the other, after their places have been written down."""
    sizes: Integers = np.array([-1 if one is None else len(one) for one in texts])
    ends = np.maximum(sizes, 0).cumsum()
    records[at] = ends - np.maximum(sizes, 0)
    records[size] = np.where(sizes < 0, NO_TEXT, sizes)
    return b"".join([one for one in texts if one])


def _tell(answers: Sequence[bytes | None], texts: bytes, sizes: Integers) -> Any:
    """Which ids are long enough to tell answers apart."""
    if texts.isascii():
        return (sizes >= TELLING_ID_MIN) & (sizes != NO_TEXT)
    return [one is not None and len(one.decode()) >= TELLING_ID_MIN for one in answers]


def _id_hashes(answers: Sequence[bytes | None], sizes: Integers) -> Any:
    """What stands for each id, as ``id_hash`` gives it."""
    told = sizes != NO_TEXT
    longest = int(sizes[told].max(initial=0))
    if len(answers) <= FEW or longest > HASHED_TOGETHER_MAX:
        return [0 if one is None else id_hash(one) for one in answers]
    width = -(-longest // 8) * 8
    words = np.frombuffer(b"".join([(one or b"").ljust(width, b"\0") for one in answers]), "<u8")
    factor, size = np.uint64(HASH_FACTOR), np.where(told, sizes, 0)
    hashes: Hashes = np.uint64(HASH_SEED) ^ size.astype(np.uint64)
    for number, column in enumerate(words.reshape(len(answers), -1).T if width else ()):
        mixed = (hashes ^ column) * factor
        hashes = np.where(size > 8 * number, mixed ^ (mixed >> np.uint64(32)), hashes)
    return np.where(told, np.maximum(hashes, 1), 0)
