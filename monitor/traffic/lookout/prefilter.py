"""Which bytes are worth decoding: most spans of an application are no calls, and have no attribute like one."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from ..dialects import BEGINNINGS

HITS_MAX = 64
"""So many places that turn out to be nothing are looked at before the rest is taken for granted."""

NEAR = 2_000
"""How far the first name is looked for letter by letter: in the scope of calls the first span has one."""

_BEGINNINGS = tuple(one.encode() for one in BEGINNINGS)

_PAIRS = np.zeros(65_536, dtype=bool)
_PAIRS[[one[0] << 8 | one[1] for one in _BEGINNINGS]] = True
"""Which pairs of letters names may begin with."""


@dataclass(frozen=True, slots=True)
class Names:
    """How names of attributes are written."""

    mark: int
    """The byte that stands before each, and before much else."""
    has_length: bool
    """Whether the length of the name stands in between."""


PROTOBUF_NAMES = Names(0x0A, has_length=True)
JSON_NAMES = Names(ord('"'), has_length=False)


class Prefilter:
    """Says of parts of a request whether an attribute may have a name that attributes of calls have.

    Names are looked for as every encoder writes them. One that takes more bytes than it needs to tell the length of a
    name, or writes its letters as escapes, is not seen, and its spans count as no calls.
    """

    def __init__(self, body: bytes, names: Names) -> None:
        """Look at nothing until something is asked."""
        self._body = body
        self._names = names
        self._found: list[int] | None = None

    def may_hold_calls(self, begin: int = 0, end: int | None = None) -> bool:
        """Whether there may be calls in the part from ``begin`` to ``end``."""
        if end is None:
            end = len(self._body)
        if self._body.find(b"gen_ai.", begin, min(end, begin + NEAR)) >= 0:
            return True
        if self._found is None:
            self._found = _likely_names(self._body, self._names)
        first, last = bisect_left(self._found, begin), bisect_left(self._found, end)
        likely = self._found[first : min(last, first + HITS_MAX)]
        is_name = any(self._body.startswith(_BEGINNINGS, at) for at in likely)
        return is_name or last - first > HITS_MAX


def _likely_names(body: bytes, names: Names) -> list[int]:
    """Where two letters stand that a name of these begins with, and what stands before a name stands before them."""
    data = np.frombuffer(body, dtype=np.uint8)
    marks = np.flatnonzero(data[:-5] == names.mark)
    starts = marks + 1
    if names.has_length:  # it takes one byte, or two from 128 on
        starts += 1 + (data.take(starts) > 127)
    pairs = data.take(starts).astype(np.uint16) << 8 | data[1:].take(starts)
    likely: list[int] = starts[_PAIRS.take(pairs)].tolist()
    return likely
