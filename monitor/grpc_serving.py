"""The gRPC server that shares the daemon's event loop.

Whoever imports this module imports gRPC: see ``monitor.traffic.receiving.grpc_receiver``.
"""

import asyncio
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it has no stubs

from . import MonitorError
from .serving import CONNECTIONS_MAX, STOP_GRACE_S
from .traffic.config import OtlpConfig, TlsConfig
from .traffic.receiving.grpc_receiver import GrpcTraceReceiver

STREAMS_MAX = 100
"""How many requests a connection may have open."""


class Certificates:
    """What the files of ``otlp.tls`` hold, for every connection from now on."""

    def __init__(self, tls: TlsConfig, folder: Path) -> None:
        """Read the files, of which ``monitor.traffic.receiving.tls.faults`` has found nothing wrong."""
        self._tls = tls
        self._folder = folder
        self._renewed: grpc.ServerCertificateConfiguration | None = None
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._read(), self._take_renewed, require_client_authentication=tls.client_ca is not None
        )

    def renew(self) -> None:
        """Read the files again."""
        self._renewed = self._read()

    def _take_renewed(self) -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at each connection; nothing means that the last ones go on.
        renewed, self._renewed = self._renewed, None
        return renewed

    def _read(self) -> grpc.ServerCertificateConfiguration:
        key = (self._folder / self._tls.key).read_bytes()
        chain = (self._folder / self._tls.certificate).read_bytes()
        authorities = (self._folder / self._tls.client_ca).read_bytes() if self._tls.client_ca else None
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)


class GrpcServer:
    """Listens from the start, and answers once it is served. Made within the event loop that serves it."""

    def __init__(
        self,
        config: OtlpConfig,
        port: int,
        certificates: Certificates | None = None,
        *,
        shares_port: bool = False,
        age_ms_max: int | None = None,
    ) -> None:
        """Listen on a port, 0 for a free one. Raises MonitorError when it is taken.

        ``shares_port``: with a socket of ours that was at it alone. A sender whose connection is older than
        ``age_ms_max`` is asked to connect again; by itself none is.
        """
        self._stopping = asyncio.Event()
        self._scheme = "https" if certificates else "http"
        self._host = f"[{config.host}]" if ":" in config.host else config.host
        self._server = grpc.aio.server(
            options=[
                # Two daemons on one port would each see half of the traffic.
                ("grpc.so_reuseport", int(shares_port)),
                ("grpc.max_receive_message_length", config.max_decompressed_bytes),
                ("grpc.max_concurrent_streams", STREAMS_MAX),
                ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
                *([("grpc.max_connection_age_ms", age_ms_max)] if age_ms_max else []),
            ]
        )
        place = f"{self._host}:{port}"
        try:
            if certificates:
                self.port = self._server.add_secure_port(place, certificates.credentials)
            else:
                self.port = self._server.add_insecure_port(place)
        except RuntimeError as error:
            raise MonitorError(f"OTLP/gRPC: cannot listen on {place}") from error

    @property
    def address(self) -> str:
        """Where it is reached, as exporters want to be told."""
        return f"{self._scheme}://{self._host}:{self.port}"

    async def serve(self, receiver: GrpcTraceReceiver) -> None:
        """Answer requests until ``stop`` is called; then those at work are answered, and no more taken."""
        self._server.add_generic_rpc_handlers((receiver.handler,))
        await self._server.start()
        await self._stopping.wait()
        await self._server.stop(STOP_GRACE_S)
        await receiver.end()

    def stop(self) -> None:
        """Let ``serve`` come to its end."""
        self._stopping.set()
