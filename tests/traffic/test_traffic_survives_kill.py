"""kill -9 at any moment: what was acknowledged is there after the restart, once."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx

from canaries.clock import SystemClock
from monitor.database import Database
from monitor.traffic.intake import Intake

from .conftest import CHAT, CountingMetrics, MakePayload

SERVER = Path(__file__).parent / "trace_server.py"
SENDERS = 4
SPANS = 5


async def start(database: Path) -> tuple[asyncio.subprocess.Process, str]:
    # The packages under test are where this process found them: the work tree, or an installed wheel.
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), str(database), stdout=asyncio.subprocess.PIPE, env=env
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    assert url.startswith("http://"), "the server did not start"
    return process, url


async def send_until_gone(
    client: httpx.AsyncClient, payload: bytes, acknowledged: asyncio.Queue[int]
) -> None:
    while True:
        try:
            answer = await client.post("/v1/traces", content=payload)
        except httpx.TransportError:
            return
        assert answer.status_code == 200
        acknowledged.put_nowait(SPANS)


async def test_acknowledged_calls_survive_kill_9(database: Database, make_payload: MakePayload) -> None:
    clock = SystemClock()
    payload = make_payload(spans=SPANS, attributes=CHAT, ended_at=clock.now().timestamp())
    headers = {"content-type": "application/x-protobuf"}
    acknowledged: asyncio.Queue[int] = asyncio.Queue()
    certain = in_doubt = 0
    for kill_after in (7, 40):
        process, url = await start(database.path)
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            senders = [
                asyncio.create_task(send_until_gone(client, payload, acknowledged)) for _ in range(SENDERS)
            ]
            for _ in range(kill_after):
                certain += await acknowledged.get()
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*senders)
        await process.wait()
        while not acknowledged.empty():
            certain += acknowledged.get_nowait()
        # What was cut off before its answer may have been stored or not: the sender cannot know, and sends again.
        in_doubt += SENDERS * SPANS
    taking = Intake(database, clock, CountingMetrics())
    await taking.recover()
    counted = sum(window.calls for window in await taking.windows(0, 10**10))
    assert certain <= counted <= certain + in_doubt
    assert counted % SPANS == 0
