"""Threads share one heap of the C library."""

import os
import platform
import subprocess
import sys

import pytest

THREADS_ASK_FOR_MEMORY = """
import ctypes
from threading import Barrier, Thread
from monitor.allocation import share_one_heap

share_one_heap()
have_all_asked = Barrier(5)

def ask():
    held = bytearray(2**16)
    have_all_asked.wait()

threads = [Thread(target=ask) for _ in range(4)]
for one in threads:
    one.start()
have_all_asked.wait()
libc = ctypes.CDLL(None)
stdout = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stdout)
libc.fflush(stdout)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
@pytest.mark.parametrize(
    ("chosen", "heaps"), [(None, 1), ("3", 3)], ids=["nobody chose", "the operator chose"]
)
def test_threads_share_one_heap_unless_the_operator_chose_otherwise(chosen: str | None, heaps: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    if chosen is not None:
        environment["MALLOC_ARENA_MAX"] = chosen
    found = subprocess.run(
        [sys.executable, "-c", THREADS_ASK_FOR_MEMORY],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.count("<heap nr=") == heaps
