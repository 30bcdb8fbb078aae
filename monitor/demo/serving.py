"""Small servers of the demo, each in a thread of its own, on a loopback port that was free."""

import socket
from threading import Thread
from types import TracebackType
from typing import Any

import uvicorn

STOP_WITHIN_S = 5.0
"""How long a server may take to finish what it is answering before it is left behind."""


class LocalServer:
    """An ASGI app that answers on ``url`` inside a ``with`` block."""

    def __init__(self, app: Any, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([self._socket],), name=self.url, daemon=True)

    def __enter__(self) -> "LocalServer":
        # The socket listens already: a client that comes before the loop runs waits in its backlog.
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_WITHIN_S)
        self._socket.close()
