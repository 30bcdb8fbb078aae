"""The body of an HTTP request, unpacked and within its limits; and what bounds requests over gRPC as well."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from . import OverloadError, TrafficError
from .config import OtlpConfig

PACKINGS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""What a body may be packed with, by its name in HTTP: both are of the exporters' choices."""

BODY_WAIT_S = 30.0
"""How long a sender may take for the body of one request."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class RefusedError(TrafficError):
    """The request is not taken; ``status`` is the HTTP status that says why. Sending it again cannot help."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class SenderGoneError(TrafficError):
    """The sender closed the connection before the body was whole: there is nobody to answer."""


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
            self._bytes -= share.taken

    def take(self, size: int) -> None:
        """Take ``size`` bytes of the bound. Raises OverloadError when they are not there."""
        if self._bytes + size > self._max_bytes:
            raise OverloadError("too many bytes of requests are at work")
        self._bytes += size


class Share:
    """How much of the bound one request has taken."""

    def __init__(self, in_flight: InFlight) -> None:
        """Start with nothing taken."""
        self._in_flight = in_flight
        self.taken = 0

    def take(self, size: int) -> None:
        """Take more. Raises OverloadError when it is not there."""
        self._in_flight.take(size)
        self.taken += size


async def read_body(receive: Receive, packing: str | None, limits: OtlpConfig, share: Share) -> bytes:
    """The whole body, unpacked; ``packing`` is one of ``PACKINGS``.

    Raises RefusedError when it is too large or cannot be unpacked, OverloadError when there is no room for it
    now, SenderGoneError when it never becomes whole. No more than the limits is ever held, whatever the
    sender packs in.
    """
    received = 0
    body = bytearray()
    unpacker = Gunzip(limits.max_decompressed_bytes, packing) if packing else None
    is_last = False
    while not is_last:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError("the sender closed the connection")
        chunk: bytes = message.get("body", b"")
        is_last = not message.get("more_body", False)
        received += len(chunk)
        if received > limits.max_body_bytes:
            raise RefusedError(
                413, f"the body is larger than {limits.max_body_bytes} bytes; send smaller batches"
            )
        plain = unpacker.feed(chunk) if unpacker else chunk
        share.take(len(plain))
        body += plain
    if unpacker:
        unpacker.finish()
    return bytes(body)


class Gunzip:
    """Unpacks a stream piece by piece, and stops at a limit of its output."""

    def __init__(self, max_bytes: int, packing: str = "gzip") -> None:
        """Start at the beginning of a stream that is packed with one of ``PACKINGS``."""
        self._packing = packing
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._member = self._next_member()
        self._is_inside = False

    def feed(self, packed: bytes) -> bytes:
        """What ``packed`` unpacks to. Raises RefusedError at the limit, or when it is something else."""
        plain = bytearray()
        while packed:
            self._is_inside = True
            try:
                # One byte more than allowed: to get it is how we know that there is more.
                plain += self._member.decompress(packed, self._left + 1 - len(plain))
            except zlib.error as error:
                raise RefusedError(400, f"the body is not {self._packing}: {error}") from error
            if len(plain) > self._left:
                raise RefusedError(
                    413, f"the body unpacks to more than {self._max_bytes} bytes; send smaller batches"
                )
            packed = self._member.unconsumed_tail
            if self._member.eof:  # gzip files may be joined end to end
                packed, self._member = self._member.unused_data, self._next_member()
                self._is_inside = False
        self._left -= len(plain)
        return bytes(plain)

    def finish(self) -> None:
        """Say that the stream ends here. Raises RefusedError when it was cut."""
        if self._is_inside:
            raise RefusedError(400, f"the {self._packing} body ends in the middle")

    def _next_member(self) -> "zlib._Decompress":
        return zlib.decompressobj(wbits=PACKINGS[self._packing])
