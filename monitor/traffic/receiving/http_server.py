"""The server of OTLP over HTTP, on a socket that is bound before."""

import asyncio
import socket
import ssl
from email.utils import formatdate

from ...serving import BACKLOG, STOP_GRACE_S
from .http_connection import SCRATCH_BYTES, Connection, Shared
from .http_receiver import TraceReceiver


class HttpServer:
    """Serves until it is told to stop."""

    def __init__(self, receiver: TraceReceiver, tls: ssl.SSLContext | None = None) -> None:
        """Hand requests to ``receiver``."""
        self._connections: set[Connection] = set()
        self._shared = Shared(receiver, _Date().now, self._connections, memoryview(bytearray(SCRATCH_BYTES)))
        self._tls = tls
        self._stopping = asyncio.Event()

    async def serve(self, listener: socket.socket) -> None:
        """Take requests; ends after ``stop``, when those that are whole are answered."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self._shared), sock=listener, ssl=self._tls, backlog=BACKLOG
        )
        try:
            await self._stopping.wait()
        finally:
            server.close()
            await self._end()

    def stop(self) -> None:
        """Take nothing new."""
        self._stopping.set()

    async def _end(self) -> None:
        for connection in tuple(self._connections):
            connection.end()
        answering = [task for one in self._connections if (task := one.answering) is not None]
        if answering:
            await asyncio.wait(answering, timeout=STOP_GRACE_S)
        for connection in tuple(self._connections):
            connection.close()


class _Date:
    """The date as answers tell it, made once a second."""

    def __init__(self) -> None:
        self._made_at = -1.0
        self._date = ""

    def now(self) -> str:
        at = asyncio.get_running_loop().time()
        if at - self._made_at >= 1:
            self._made_at, self._date = at, formatdate(usegmt=True)
        return self._date
