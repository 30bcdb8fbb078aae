"""A receiver as a process of its own, for tests that kill it; folds all the time."""

import asyncio
import contextlib
import sys
from pathlib import Path

import uvicorn

from canaries.clock import SystemClock
from monitor.database import Database
from monitor.traffic import StoreError
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Intake
from monitor.traffic.receiver import TraceReceiver


class Silent:
    """Counts nothing."""

    def __getattr__(self, name: str):
        return lambda *_: None


async def fold_on(intake: Intake) -> None:
    while True:
        with contextlib.suppress(StoreError):
            await intake.fold()
        await asyncio.sleep(0.005)


async def main(path: Path) -> None:
    intake = Intake(Database(path), SystemClock(), Silent())
    await intake.recover()
    server = uvicorn.Server(
        uvicorn.Config(
            TraceReceiver(intake, OtlpConfig(), Silent()), port=0, lifespan="off", log_level="warning"
        )
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)  # noqa: T201 - the parent reads it
    await asyncio.gather(serving, fold_on(intake))


asyncio.run(main(Path(sys.argv[1])))
