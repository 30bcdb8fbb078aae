"""Where the C library takes the memory of threads from."""

import ctypes
import os

_ARENA_MAX = -8
"""``M_ARENA_MAX`` of glibc's ``mallopt``."""


def share_one_heap() -> None:
    """Have all threads take memory from one heap. Call it before there are several threads.

    glibc gives each thread one of its own, which keeps what was free at its busiest moment: a message that comes in by
    one thread of gRPC and is read by another leaves its room behind in both. They hardly ever ask at once, as nearly
    all that asks for memory holds Python's lock. Other C libraries are left as they are, and so is what the operator
    chose.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_ARENA_MAX, 1)
