"""What senders pack, unpacked piece by piece, and never more of it than the limit."""

import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from .. import RefusedError

inflating: Any
try:
    # Two and a half times as fast, and the same to use. There is none for every machine.
    from isal import isal_zlib as inflating
except ImportError:
    inflating = zlib

ZSTD_STEP = 512
"""So many bytes of zstd are unpacked at a time: they make 16 MB at most, where nothing else bounds what they make."""

ZSTD_WINDOW_MAX = 8 * 2**20
"""How much memory a sender's zstd may ask for: what every decoder is to grant (RFC 8878, 3.1.1.1.2)."""


class _Zstd:
    """A frame of zstd, to be unpacked as zlib's streams are."""

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX).decompressobj()
        self.unconsumed_tail: bytes | memoryview = b""
        self.unused_data = b""
        self.eof = False

    def decompress(self, packed: bytes | memoryview, max_length: int) -> bytes:
        """What the next step gives, which may be more than ``max_length``."""
        plain: bytes = self._frame.decompress(packed[:ZSTD_STEP])
        self.eof = self._frame.eof
        self.unused_data = self._frame.unused_data + packed[ZSTD_STEP:] if self.eof else b""
        self.unconsumed_tail = b"" if self.eof else packed[ZSTD_STEP:]
        return plain


GZIP_MIN_BYTES = 18
"""So long is the head and the end of a file that is packed with gzip."""

PACKINGS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: inflating.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "deflate": lambda: inflating.decompressobj(wbits=zlib.MAX_WBITS),
    "zstd": _Zstd,
}
"""What a body may be packed with, by its name in HTTP: all that exporters and the collector may be told to use."""

_ERRORS: tuple[type[Exception], ...] = (zlib.error, inflating.error, zstandard.ZstdError)


class Unpacker:
    """Unpacks a stream piece by piece, and stops at a limit of its output."""

    def __init__(self, max_bytes: int, packing: str = "gzip") -> None:
        """Start at the beginning of a stream that is packed with one of ``PACKINGS``."""
        self._packing = packing
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._member = PACKINGS[packing]()
        self._is_inside = False

    def feed(self, packed: bytes | memoryview) -> bytes:
        """What ``packed`` unpacks to. Raises RefusedError at the limit, or when it is something else."""
        pieces: list[bytes] = []
        is_more = bool(packed)
        while is_more:
            # One byte more than allowed: to get it is how we know that there is more.
            most = min(self._left, self._told_size(packed)) + 1
            self._is_inside = True
            try:
                piece = self._member.decompress(packed, most)
            except _ERRORS as error:
                raise RefusedError(400, f"the body is not {self._packing}: {error}") from error
            self._left -= len(piece)
            if self._left < 0:
                raise RefusedError(
                    413, f"the body unpacks to more than {self._max_bytes} bytes; send smaller batches"
                )
            pieces.append(piece)
            packed = self._member.unconsumed_tail
            is_more = bool(packed) or len(piece) == most
            if self._member.eof:  # files may be joined end to end
                packed, self._member = self._member.unused_data, PACKINGS[self._packing]()
                self._is_inside = False
                is_more = bool(packed)
        return b"".join(pieces)

    def _told_size(self, packed: bytes | memoryview) -> int:
        """What a whole file says that it unpacks to, so that room for as much is made at once; else the limit.

        It may say anything: what it unpacks to beyond that comes with a further step.
        """
        if self._packing != "gzip" or self._is_inside or len(packed) < GZIP_MIN_BYTES:
            return self._left
        told = int.from_bytes(packed[-4:], "little")  # RFC 1952, 2.3.1
        return told if told > len(packed) else self._left

    def finish(self) -> None:
        """Say that the stream ends here. Raises RefusedError when it was cut."""
        if self._is_inside:
            raise RefusedError(400, f"the {self._packing} body ends in the middle")
