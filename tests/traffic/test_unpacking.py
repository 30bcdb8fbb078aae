import gzip
import random

import pytest

from monitor.traffic import RefusedError
from monitor.traffic.receiving.unpacking import Unpacker

PLAIN = random.Random(7).randbytes(3_000) + b"ab" * 50_000
PACKED = gzip.compress(PLAIN)


def unpacked(packed: bytes, step: int, max_bytes: int = 10**6) -> bytes:
    """What comes out when so many bytes are fed at a time."""
    unpacker = Unpacker(max_bytes)
    pieces = [unpacker.feed(memoryview(packed)[at : at + step]) for at in range(0, len(packed), step)]
    unpacker.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("step", [64, 1_000, 2 * len(PACKED)], ids=["in bits", "in pieces", "whole"])
@pytest.mark.parametrize("last", [b"", b"\n" * 5, b"\n" * 300_000], ids=["nothing", "little", "much"])
def test_files_end_to_end_unpack_to_all_of_them(step: int, last: bytes) -> None:
    # The end of the last one, which is the end of all of it, tells how large that one is.
    assert unpacked(PACKED + gzip.compress(last), step) == PLAIN + last


@pytest.mark.parametrize("told", [0, len(PACKED) + 1, len(PLAIN) - 1, len(PLAIN) + 1, 2**32 - 1])
def test_a_file_that_tells_a_wrong_size_is_refused(told: int) -> None:
    with pytest.raises(RefusedError, match="not gzip"):
        unpacked(PACKED[:-4] + told.to_bytes(4, "little"), step=len(PACKED))


@pytest.mark.parametrize("told", [1, len(PLAIN)], ids=["little", "much"])
def test_a_file_makes_no_more_than_the_limit_whatever_size_it_tells(told: int) -> None:
    assert unpacked(PACKED, len(PACKED), max_bytes=len(PLAIN)) == PLAIN
    lying = PACKED[:-4] + told.to_bytes(4, "little")
    with pytest.raises(RefusedError, match="more than 100000 bytes"):
        unpacked(lying, len(PACKED), max_bytes=100_000)
