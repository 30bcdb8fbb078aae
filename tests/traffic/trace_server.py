"""A receiver as a process of its own, for tests that kill it; folds all the time."""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

from canaries.clock import SystemClock
from monitor.database import Database
from monitor.grpc_serving import GrpcServer
from monitor.traffic import StoreError
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Intake
from monitor.traffic.receiving.grpc_receiver import GrpcTraceReceiver
from monitor.traffic.receiving.http_receiver import TraceReceiver
from monitor.traffic.receiving.http_server import HttpServer


class Silent:
    """Counts nothing."""

    def __getattr__(self, name: str):
        return lambda *_: None


async def fold_on(intake: Intake) -> None:
    while True:  # the pause leaves something in the journal for the kill to find
        with contextlib.suppress(StoreError):
            await intake.fold()
        await asyncio.sleep(0.02)


async def main(path: Path) -> None:
    intake = Intake(Database(path), SystemClock(), Silent())
    await intake.recover()
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(TraceReceiver(intake, OtlpConfig(), Silent()))
    grpc_server = GrpcServer(OtlpConfig(), 0)
    grpc_service = GrpcTraceReceiver(intake, OtlpConfig(), Silent())
    places = f"http://127.0.0.1:{listener.getsockname()[1]} {grpc_server.address}"
    print(places, flush=True)  # noqa: T201 - the parent reads it
    await asyncio.gather(server.serve(listener), grpc_server.serve(grpc_service), fold_on(intake))


asyncio.run(main(Path(sys.argv[1])))
