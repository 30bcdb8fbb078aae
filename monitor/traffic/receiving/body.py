"""The body of an HTTP request, unpacked and within its limits; and what bounds requests over gRPC as well."""

import asyncio
import mmap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from .. import OverloadError, RefusedError, TrafficError
from ..config import OtlpConfig
from .buffers import Buffers
from .unpacking import Unpacker

BODY_WAIT_S = 30.0
"""How long a sender may take for the body of one request."""

UNPACKED_AT_ONCE = 2**18
"""So many bytes of a body are unpacked before what they make is taken of the bound."""


class LateError(TrafficError):
    """The body did not arrive in time; ``retry_after_s`` says when to come back."""

    def __init__(self, wait_s: float, retry_after_s: int = 5) -> None:
        super().__init__(f"the body did not arrive within {wait_s:g} s")
        self.retry_after_s = retry_after_s


@asynccontextmanager
async def arriving(wait_s: float) -> AsyncIterator[None]:
    """Bound the time in which a body arrives. Raises LateError when it is over."""
    try:
        async with asyncio.timeout(wait_s):
            yield
    except TimeoutError as error:
        raise LateError(wait_s) from error


class InFlight:
    """A bound on the bytes of all requests at work."""

    def __init__(self, max_bytes: int) -> None:
        """Start with nothing at work."""
        self._max_bytes = max_bytes
        self._bytes = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """What one request takes of the bound; given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()

    def take(self, size: int) -> None:
        """Take ``size`` bytes of the bound. Raises OverloadError when they are not there."""
        if self._bytes + size > self._max_bytes:
            raise OverloadError("too many bytes of requests are at work")
        self._bytes += size

    def give_back(self, size: int) -> None:
        """Leave ``size`` bytes of the bound to others."""
        self._bytes -= size


class Share:
    """How much of the bound one request has taken."""

    def __init__(self, in_flight: InFlight) -> None:
        """Start with nothing taken."""
        self._in_flight = in_flight
        self._taken = 0

    def take(self, size: int) -> None:
        """Take more. Raises OverloadError when it is not there."""
        self._in_flight.take(size)
        self._taken += size

    def give_back(self) -> None:
        """Give back all of it."""
        self._in_flight.give_back(self._taken)
        self._taken = 0


class Body:
    """The body of a request over HTTP as it arrives, as it was sent, and never more of it than the limits."""

    def __init__(self, limits: OtlpConfig, in_flight: InFlight, buffers: Buffers) -> None:
        """Start with nothing. Close it in the end, whatever became of it."""
        self._limits = limits
        self._share = Share(in_flight)
        self._buffers = buffers
        self._pieces: list[bytes] = []
        self._received = 0
        self._buffer: mmap.mmap | None = None

    def check(self, size: int) -> None:
        """Raise RefusedError when a body of so many bytes is too large."""
        if size > self._limits.max_body_bytes:
            raise RefusedError(
                413, f"the body is larger than {self._limits.max_body_bytes} bytes; send smaller batches"
            )

    def add(self, piece: bytes) -> None:
        """Take a piece that came. Raises RefusedError or OverloadError when it is too much, as ``wrote`` does."""
        self.wrote(len(piece))
        self._pieces.append(piece)

    def room(self, left: int) -> memoryview:
        """Where the next bytes are to be written, as so many are left; say ``wrote`` for those that were."""
        if self._buffer is None:
            self._buffer = self._buffers.lend(self._received + left)
            self._buffer[: self._received] = b"".join(self._pieces)
            self._pieces.clear()
        return memoryview(self._buffer)[self._received : self._received + left]

    def wrote(self, size: int) -> None:
        """So many bytes came."""
        self.check(self._received + size)
        self._share.take(size)
        self._received += size

    def whole(self, packing: str | None) -> bytes | memoryview:
        """All that came, unpacked where it is packed; good until this is closed.

        Raises RefusedError when it cannot be unpacked or is too large, OverloadError when there is no room for it now.
        """
        if self._buffer is None:
            sent: bytes | memoryview = b"".join(self._pieces)
        else:
            sent = memoryview(self._buffer)[: self._received]
        return self._unpacked(sent, packing) if packing else sent

    def _unpacked(self, sent: bytes | memoryview, packing: str) -> bytes:
        self._share.give_back()  # from here on it is as large as what it unpacks to
        unpacker = Unpacker(self._limits.max_decompressed_bytes, packing)
        pieces = []
        for at in range(0, len(sent), UNPACKED_AT_ONCE):
            pieces.append(unpacker.feed(sent[at : at + UNPACKED_AT_ONCE]))
            self._share.take(len(pieces[-1]))
        unpacker.finish()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give back what it took: nothing looks at it any more."""
        self._share.give_back()
        self._pieces.clear()
        if self._buffer is not None:
            self._buffers.take_back(self._buffer)
            self._buffer = None
