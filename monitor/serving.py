"""HTTP servers that share the daemon's event loop, on sockets that are bound before anything else starts."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import MonitorError

STOP_GRACE_S = 5
"""How long open requests may still take once the daemon stops."""

BACKLOG = 128
"""How many connections may wait to be accepted."""

HEADERS_MAX_BYTES = 64 * 1024
"""How long the head of a request may be; a longer one is answered 400, and its connection closed."""

_HEAD_TOO_LONG = "The head of the request is too long."

CONNECTIONS_MAX = 800
"""How many connections a server has at a time; further requests are answered 503. Below the usual 1,024 open files."""


@dataclass(frozen=True, slots=True)
class Place:
    """What listens at a port, and where that is said: by an option of ``run``, or a section and key of the file."""

    what: str
    option: str
    section: str
    port_key: str = "port"
    otherwise: str = ""


def bind(host: str, port: int, place: Place) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises MonitorError that says what to do about it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Linux lets two processes bind one port as long as neither listens: only now is it ours. It also makes
        # those who read our address come to a server that is still starting, instead of being refused.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        told = error.strerror or str(error)
        raise MonitorError(
            f"{place.what}: cannot listen on {host}:{port}: {told}. {_way_out(error, port, place)}"
        ) from error
    listener.setblocking(False)
    return listener


def _way_out(error: OSError, port: int, place: Place) -> str:
    """What the person who reads it can do."""
    keys = f"{place.section}: {{{place.port_key}: ...}}"
    another = f"choose another port with {place.option} or {keys} (0 takes a free one){place.otherwise}"
    if error.errno == errno.EADDRINUSE:
        who = f"`ss -ltnp sport = :{port}` or `lsof -nP -iTCP:{port} -sTCP:LISTEN`"
        return f"To see who has it: {who} (as root for others' processes). Stop that, or {another}."
    if error.errno == errno.EACCES:
        return f"Ports below 1024 are for root: {another}."
    return f"Is {place.section}: {{host: ...}} an address of this machine? 127.0.0.1 and 0.0.0.0 always are."


def address(listener: socket.socket, scheme: str = "http") -> str:
    """Where a bound socket is reached, as ``http://host:port``."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class HttpProtocol(HttpToolsProtocol):
    """HTTP as httptools reads it, which sets no bound to the head of a request: this does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """The arguments are uvicorn's."""
        super().__init__(*args, **kwargs)
        self._fields_bytes = 0
        self._pending_bytes = 0
        self._is_head_open = False

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        was_open = self._is_head_open
        super().data_received(data)
        # A field that is not whole yet is held by the parser, and shows nowhere else.
        self._pending_bytes = self._pending_bytes + len(data) if was_open and self._is_head_open else 0
        if self._pending_bytes > HEADERS_MAX_BYTES and not self.transport.is_closing():
            self.send_400_response(_HEAD_TOO_LONG)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_head_open, self._fields_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address came."""
        self._measure(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field came, in the head or behind the body."""
        self._measure(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._is_head_open = False
        super().on_headers_complete()

    def _measure(self, size: int) -> None:
        self._fields_bytes += size
        if self._fields_bytes > HEADERS_MAX_BYTES:
            raise ValueError(_HEAD_TOO_LONG)  # uvicorn answers 400, and closes


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: one handler stops everything, in order."""
        yield


def server(app: Any) -> Server:
    """A server for an ASGI app, to be awaited with ``serve(sockets=[...])``."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        http=HttpProtocol,
        ws="none",
        log_config=None,
        log_level="error",  # below that stands what any stranger can provoke, a line for each request
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody asks who sent a request
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    return Server(config)
