"""OTLP over gRPC at a port that listens from the start, where gRPC is loaded for the first who comes.

gRPC takes 10 MiB, and many daemons are never sent anything over it. It cannot take a connection that somebody else
accepted: those who came before it was there are handed on, byte by byte, to a port of its own on loopback, which asks
them after a second to connect again. All who come later have gRPC itself at the port.

With TLS, and where ``otlp.host`` is a name, it is loaded at once.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from .serving import BACKLOG, Place, bind
from .traffic.config import OtlpConfig

if TYPE_CHECKING:
    from .grpc_serving import Certificates, GrpcServer
    from .traffic.receiving.grpc_receiver import GrpcTraceReceiver

LOOPBACK = "127.0.0.1"

HANDED_ON_MS = 1_000
"""How long a connection is handed on before its sender is asked to connect again."""

PASSED_MAX_BYTES = 64 * 1024
"""How much is handed on at a time."""


def listener_at(host: str, port: int, place: Place) -> socket.socket:
    """A socket that listens where gRPC would: it takes 0.0.0.0 for all addresses, of IPv6, too."""
    if host == "0.0.0.0":  # noqa: S104 - the operator's word
        with contextlib.suppress(OSError):  # without IPv6, or taken: then the other one says so
            address = ("::", port)
            listener = socket.create_server(
                address, family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
            listener.setblocking(False)
            return listener
    return bind(host, port, place)


class GrpcPort:
    """Listens from the start; serves when it is awaited."""

    def __init__(self, listener: socket.socket, config: OtlpConfig, folder: Path) -> None:
        """Serve at the socket; ``folder`` is where the paths of ``config.tls`` begin."""
        self._listener = listener
        self._config = config
        self._folder = folder
        self._port: int = listener.getsockname()[1]
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._certificates: Certificates | None = None
        self._servers: tuple[GrpcServer, ...] = ()
        self.handed_on = 0
        """How many connections are handed on at the moment."""

    @property
    def address(self) -> str:
        """Where it is reached, as exporters want to be told."""
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"{'https' if self._config.tls else 'http'}://{host}:{self._port}"

    async def serve(self, receiver: Callable[[], "GrpcTraceReceiver"]) -> None:
        """Answer requests until ``stop`` is called; then those at work are answered, and no more taken."""
        with self._listener:
            await self._somebody()
            if self._stopping.is_set():
                return
            # By itself gRPC tells stderr of whatever any stranger does at its port; it reads this when it is imported.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            # In a thread, as it takes a quarter of a second in which others must not wait.
            await asyncio.to_thread(import_module, "monitor.grpc_serving")
            server, inner = self._servers = self._opened()
            came = list(_accepted(self._listener))
        if self._stopping.is_set():
            self.stop()
        service = receiver()
        serving = asyncio.gather(server.serve(service), inner.serve(service))
        await asyncio.gather(*(self._hand_on(one, inner.port) for one in came))
        inner.stop()
        await serving

    def renew(self) -> None:
        """Follow certificates that were renewed."""
        if self._certificates:
            self._certificates.renew()

    def stop(self) -> None:
        """Let ``serve`` come to its end."""
        self._stopping.set()
        self._woken.set()
        for server in self._servers:
            server.stop()

    async def _somebody(self) -> None:
        """Wait until somebody stands at the port, or it is time to stop."""
        # gRPC listens at every address that a name stands for, and this socket at one; and it takes the certificates
        # that were found good at the start: the files may be bad, or gone, when somebody comes.
        if self._config.tls or not _is_address(self._config.host):
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            loop.remove_reader(self._listener)

    def _opened(self) -> "tuple[GrpcServer, GrpcServer]":
        """What listens at the port besides our socket, and what those who came before are handed on to."""
        from .grpc_serving import Certificates, GrpcServer

        config, tls, folder = self._config, self._config.tls, self._folder
        self._certificates = Certificates(tls, folder) if tls else None
        # Only now: until here nobody else could have had the port, and with gRPC at it nobody can again.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server = GrpcServer(config, self._port, self._certificates, shares_port=True)
        inner = GrpcServer(
            config.model_copy(update={"host": LOOPBACK}),
            0,
            Certificates(tls, folder) if tls else None,
            age_ms_max=HANDED_ON_MS,
        )
        return server, inner

    async def _hand_on(self, sender: socket.socket, port: int) -> None:
        """Pass bytes to and fro until one of them hangs up."""
        self.handed_on += 1
        with contextlib.suppress(OSError):  # hung up
            from_sender, to_sender = await asyncio.open_connection(sock=sender)
            from_grpc, to_grpc = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(_pass(from_sender, to_grpc), _pass(from_grpc, to_sender))
        self.handed_on -= 1


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """All who stand at the port."""
    with contextlib.suppress(OSError):  # there are no more, or no more can be had
        while True:
            yield listener.accept()[0]


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        while passed := await reader.read(PASSED_MAX_BYTES):
            writer.write(passed)
            await writer.drain()
