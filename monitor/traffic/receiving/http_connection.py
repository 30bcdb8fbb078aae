"""A connection over HTTP/1.1 that large bodies come in by: they are received where they stay.

httptools reads the heads, the bodies in chunks, and what comes of a body with its head. The rest of a body whose size
is known passes it by: the system writes it into the memory that it is read from.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools

from ...serving import CONNECTIONS_MAX, HEADERS_MAX_BYTES
from .http_receiver import Answer, Delivery, Head, TraceReceiver

SCRATCH_BYTES = 2**16
"""So much is received at a time of all that does not go where it stays."""

IDLE_S = 75.0
"""How long a connection may bring no whole head of a request. Exporters send every five seconds, or once a minute."""


@dataclass(slots=True)
class Shared:
    """What the connections of a server have in common."""

    receiver: TraceReceiver
    date: Callable[[], str]
    connections: "set[Connection]"
    scratch: memoryview
    """Used between one call of the transport and the next, so that one is enough for all."""
    idle_s: float = IDLE_S


@dataclass(slots=True, eq=False)
class _Request:
    """A request of a connection."""

    delivery: Delivery
    left: int | None
    """How much of the body is to come; not known where it comes in chunks."""
    keeps_alive: bool
    has_answer_body: bool
    is_queued: bool = False


class Connection(asyncio.BufferedProtocol):
    """Reads the requests of a sender one after the other, and answers in their order."""

    def __init__(self, shared: Shared) -> None:
        """``shared`` is the server's."""
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser = self._new_parser()
        self._unread_bytes = 0
        """What was given to the parser since it last told of a head, a body or an end."""
        self._head_bytes = 0
        """How much of it were the address and the fields of the request that is being read."""
        self._method, self._url = b"", b""
        self._fields: dict[bytes, bytes] = {}
        self._arriving: _Request | None = None
        self._is_direct = False
        """Whether the rest of the body passes the parser by."""
        self._waiting: deque[_Request] = deque()
        self.answering: asyncio.Task[None] | None = None
        """What answers the requests that are whole, while there are any."""
        self._is_ending = False
        self._is_broken_off = False
        self._is_clogged = False
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Who says that it closes, and sends more: what came before is answered all the same.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = transport
        self._shared.connections.add(self)
        self._expect(self._shared.idle_s, self.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more. What is whole is taken nevertheless."""
        self._shared.connections.discard(self)
        self._expect_nothing()
        if self._arriving is not None and not self._arriving.is_queued:
            self._arriving.delivery.body.close()
        self._arriving = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to write what comes next."""
        request = self._arriving
        if not self._is_direct or request is None or request.left is None:
            return self._shared.scratch
        if request.delivery.is_refused:
            return self._shared.scratch[: request.left]
        return request.delivery.body.room(request.left)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was written there."""
        if self._is_direct and self._arriving is not None:
            self._wrote(self._arriving, nbytes)
        elif not self._is_ending:
            self._read(self._shared.scratch[:nbytes])

    def pause_writing(self) -> None:
        """The sender does not read its answers."""
        self._is_clogged = True
        self._throttle()

    def resume_writing(self) -> None:
        """It does now."""
        self._is_clogged = False
        self._throttle()

    # The server calls these.

    def end(self) -> None:
        """Answer what is whole, and close."""
        self._is_ending = True
        if self.answering is None:
            self.close()

    def close(self) -> None:
        """Close, when what was written is sent, or when nobody reads it."""
        self._transport.close()
        self._expect(self._shared.idle_s, self._transport.abort)

    # Reading

    def _read(self, data: memoryview) -> None:
        self._unread_bytes += len(data)
        before = self._arriving
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The JDK's client asks for HTTP/2 in passing. Not to follow is allowed; the parser would leave the body.
            self._parser, self._unread_bytes = self._new_parser(), 0
            self._read(memoryview(self._head_without_upgrade() + data[upgrade.args[0] :]))
            return
        except httptools.HttpParserError:
            self._break_off()
            return
        if self._unread_bytes > HEADERS_MAX_BYTES:
            self._break_off()
        elif self._arriving is not None:
            self._is_direct = bool(self._arriving.left)
            if self._arriving is not before:
                # Once for a body: its pieces may come as slowly as its sender likes.
                self._expect(self._shared.receiver.body_wait_s, self._is_late)

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%b %b HTTP/1.1" % (self._method, self._url)]
        lines += [
            b"%b: %b" % one for one in self._fields.items() if one[0] not in (b"upgrade", b"connection")
        ]
        return b"\r\n".join([*lines, b"\r\n"])

    def _wrote(self, request: _Request, size: int) -> None:
        assert request.left is not None  # noqa: S101 - only such bodies pass the parser by
        request.left -= size
        if not request.delivery.is_refused:
            request.delivery.wrote(size)
        if request.left == 0:
            self._is_direct = False
            self._parser = self._new_parser()
            self.on_message_complete()
        elif request.delivery.is_refused:
            self._queue(request)

    def _break_off(self) -> None:
        """What came is no HTTP: say so when what came before it is answered, and close."""
        self._is_ending = self._is_broken_off = True
        self._expect_nothing()
        if self.answering is None:
            self._tell_broken()

    def _tell_broken(self) -> None:
        if self._arriving is None or not self._arriving.is_queued:
            told = b"the request is not HTTP/1.1, or its head is too long\n"
            self._write(Answer(400, "text/plain", told), keeps_alive=False)
        self.close()

    # The parser calls these.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._fields, self._head_bytes = b"", {}, 0

    def on_url(self, url: bytes) -> None:
        """A part of its address came."""
        self._measure(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of it came, in its head or behind its body."""
        self._measure(len(name) + len(value))
        self._fields[name.lower()] = value

    def _measure(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEADERS_MAX_BYTES:
            raise ValueError("the head is too long")

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._method = self._parser.get_method()
        if self._parser.should_upgrade():
            if self._method == b"CONNECT":
                raise ValueError("this is no proxy")
            return
        self._unread_bytes = 0
        fields, method = self._fields, self._method.decode("ascii")
        left = None if b"transfer-encoding" in fields else int(fields.get(b"content-length", 0))
        path = httptools.parse_url(self._url).path.decode("ascii")
        is_crowded = len(self._shared.connections) > CONNECTIONS_MAX
        head = Head(method, unquote(path) if "%" in path else path, fields)
        delivery = self._shared.receiver.begin(head, left, is_crowded=is_crowded)
        is_persistent = self._parser.get_http_version() == "1.1" and self._parser.should_keep_alive()
        request = self._arriving = _Request(
            delivery, left, is_persistent and not is_crowded, method != "HEAD"
        )
        is_to_be_asked = fields.get(b"expect", b"").lower() == b"100-continue"
        if delivery.is_refused:
            # Who is not asked for the body may leave it out: what comes then would be taken for it.
            request.keeps_alive &= not is_to_be_asked
            self._queue(request)
        elif is_to_be_asked and self.answering is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of its body came."""
        self._unread_bytes = 0
        request = self._arriving
        if request is None:
            return
        if request.left is not None:
            request.left -= len(body)
        request.delivery.add(body)
        if request.delivery.is_refused:
            self._queue(request)

    def on_message_complete(self) -> None:
        """All of it came."""
        self._unread_bytes = 0
        request, self._arriving = self._arriving, None
        if request is not None:
            self._queue(request)
            self._expect_nothing()
            if self.answering is None:
                self._expect(self._shared.idle_s, self.close)

    # Answering

    def _queue(self, request: _Request) -> None:
        """Have a request answered, when those before it are."""
        if not request.is_queued:
            request.is_queued = True
            self._waiting.append(request)
            if self.answering is None:
                self.answering = self._loop.create_task(self._answer())
            else:
                self._throttle()

    async def _answer(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            answer = await request.delivery.answer()
            # Who is still to hear of other requests hears with the last of them that this is the end.
            is_last = self._is_ending and not self._waiting and not self._is_broken_off
            keeps_alive = request.keeps_alive and not is_last
            self._write(answer, keeps_alive=keeps_alive, has_body=request.has_answer_body)
            if not keeps_alive:
                self._is_ending = True
                self.close()
            self._throttle()
        self.answering = None
        if self._is_broken_off:
            self._tell_broken()
        elif self._arriving is None and not self._transport.is_closing():
            self._expect(self._shared.idle_s, self.close)

    def _write(self, answer: Answer, *, keeps_alive: bool, has_body: bool = True) -> None:
        if self._transport.is_closing():
            return
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            f"date: {self._shared.date()}",
            f"content-type: {answer.content_type}",
            f"content-length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.fields.items()),
        ]
        if not keeps_alive:
            lines.append("connection: close")
        head = "\r\n".join([*lines, "\r\n"]).encode("latin-1")
        self._transport.write(head + answer.body if has_body else head)

    # How long, and how much

    def _expect(self, wait_s: float, otherwise: Callable[[], None]) -> None:
        """Wait so long for what comes next."""
        self._expect_nothing()
        self._timer = self._loop.call_later(wait_s, otherwise)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        """The rest of a body did not come in time."""
        request = self._arriving
        if request is None:
            return
        if request.is_queued:
            self.close()  # it was answered long ago, and still sends
            return
        request.delivery.is_late()
        self._queue(request)
        self._expect(self._shared.receiver.body_wait_s, self._is_late)

    def _throttle(self) -> None:
        """Take no more of a sender that is ahead of its answers."""
        is_ahead = self._is_clogged or bool(self._waiting)
        if is_ahead != self._is_paused and not self._transport.is_closing():
            self._is_paused = is_ahead
            if is_ahead:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
