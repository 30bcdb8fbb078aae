"""Memory for the bodies of requests, used again and again: to get fresh pages costs more than to read into them."""

import mmap
from collections import defaultdict

SMALLEST = 2**16
"""Buffers have a power of two of bytes, and at least so many: few sizes make most bodies fit into one that is there."""

KEPT_BYTES = 8 * 2**20
"""How much is kept while nobody needs it; what is given back beyond that, the system gets."""


class Buffers:
    """Lends memory that is not in use."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        """Start with none."""
        self._kept_bytes = kept_bytes
        self._kept: defaultdict[int, list[mmap.mmap]] = defaultdict(list)
        self._idle = 0

    def lend(self, size: int) -> mmap.mmap:
        """A buffer of at least ``size`` bytes, which holds anything. Give it back when nothing looks at it any more."""
        room = 1 << (max(size, SMALLEST) - 1).bit_length()
        if self._kept[room]:
            self._idle -= room
            return self._kept[room].pop()
        # Not of the heap, which would keep it; and pages that nobody has written to yet take no memory.
        return mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def take_back(self, buffer: mmap.mmap) -> None:
        """Have a buffer for the next who needs one."""
        if self._idle + len(buffer) <= self._kept_bytes:
            self._idle += len(buffer)
            self._kept[len(buffer)].append(buffer)
