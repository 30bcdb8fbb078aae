"""HTTP servers that share the daemon's event loop, on sockets that are bound before anything else starts."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from . import MonitorError

STOP_GRACE_S = 5
"""How long open requests may still take once the daemon stops."""

BACKLOG = 128
"""How many connections may wait to be accepted."""

HEADERS_MAX_BYTES = 64 * 1024
"""How long the head of a request may be; a longer one is answered 431 or 400, and its connection closed."""

CONNECTIONS_MAX = 800
"""How many connections a server has at a time; further requests are answered 503. Below the usual 1,024 open files."""


def bind(host: str, port: int, what: str, option: str) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises MonitorError that names the option to change."""
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
        raise MonitorError(
            f"{what}: cannot listen on {host}:{port}: {error.strerror}. "
            f"Choose another port with {option} (0 takes a free one)."
        ) from error
    listener.setblocking(False)
    return listener


def address(listener: socket.socket, scheme: str = "http") -> str:
    """Where a bound socket is reached, as ``http://host:port``."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: one handler stops everything, in order."""
        yield


def server(app: Any, tls: ssl.SSLContext | None = None) -> Server:
    """A server for an ASGI app, to be awaited with ``serve(sockets=[...])``."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        http="h11",  # slower than httptools, but it bounds what the headers of a request may take
        h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
        log_config=None,
        log_level="error",  # below that stands what any stranger can provoke, a line for each request
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_GRACE_S,
    )
    config.load()
    config.ssl = tls  # by itself it would only take the names of files
    return Server(config)
