"""Which bytes are worth decoding: most spans of an application are no calls, and have no attribute like one."""

import numpy as np

from ..dialects import BEGINNINGS

HITS_MAX = 64
"""So many places that turn out to be nothing are looked at before the rest is taken for granted."""

_LINE = 0x0A
"""What stands before the length of the name of an attribute, and of much else."""

_BEGINNINGS = tuple(one.encode() for one in BEGINNINGS)

_PAIRS = np.zeros(65_536, dtype=bool)
_PAIRS[[one[0] << 8 | one[1] for one in _BEGINNINGS]] = True
"""Which pairs of letters names may begin with."""


def may_hold_calls(encoded: bytes) -> bool:
    """Whether an attribute in a protobuf message may have a name that attributes of calls have.

    Names are looked for as every encoder writes them. One that takes more bytes than it needs to tell the length of a
    name is not seen, and its spans count as no calls.
    """
    if encoded.find(b"gen_ai.", 0, 2_000) >= 0:
        return True
    data = np.frombuffer(encoded, dtype=np.uint8)
    lines = np.flatnonzero(data[:-5] == _LINE)
    # The length of a name takes one byte, or two from 128 on.
    starts = np.where(data[1:].take(lines) < 128, lines + 2, lines + 3)
    pairs = data.take(starts).astype(np.uint16) << 8 | data[1:].take(starts)
    hits = starts[_PAIRS.take(pairs)]
    if len(hits) > HITS_MAX:
        hits, is_sure = hits[:HITS_MAX], False
    else:
        is_sure = True
    return any(encoded.startswith(_BEGINNINGS, int(at)) for at in hits) or not is_sure
