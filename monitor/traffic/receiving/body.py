"""The body of an HTTP request, unpacked and within its limits; and what bounds requests over gRPC as well."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from .. import OverloadError, RefusedError, TrafficError
from ..config import OtlpConfig
from .unpacking import Unpacker

BODY_WAIT_S = 30.0
"""How long a sender may take for the body of one request."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


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
    """The whole body, unpacked; ``packing`` is one of those that are unpacked.

    Raises RefusedError when it is too large or cannot be unpacked, OverloadError when there is no room for it
    now, SenderGoneError when it never becomes whole. No more than the limits is ever held, whatever the
    sender packs in.
    """
    received = 0
    pieces: list[bytes] = []
    unpacker = Unpacker(limits.max_decompressed_bytes, packing) if packing else None
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
        pieces.append(plain)
    if unpacker:
        unpacker.finish()
    return b"".join(pieces)
