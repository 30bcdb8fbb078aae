"""kill -9 at any moment: what was acknowledged, over HTTP or gRPC, is there after the restart, once."""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx

from canaries.clock import SystemClock
from monitor.database import Database
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.receiving.grpc_receiver import SERVICE

from .conftest import CHAT, CountingMetrics, MakePayload

SERVER = Path(__file__).parent / "trace_server.py"
SENDERS = 4
SPANS = 5


async def start(database: Path) -> tuple[asyncio.subprocess.Process, str, str]:
    # The packages under test are where this process found them: the work tree, or an installed wheel.
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), str(database), stdout=asyncio.subprocess.PIPE, env=env
    )
    assert process.stdout is not None
    places = (await process.stdout.readline()).decode().split()
    assert len(places) == 2, "the server did not start"
    return process, *places


Send = Callable[[bytes], Awaitable[bool]]
"""Sends a request; whether it was accepted, and not cut off."""


def over_http(client: httpx.AsyncClient) -> Send:
    async def send(body: bytes) -> bool:
        try:
            answer = await client.post("/v1/traces", content=body)
        except httpx.TransportError:
            return False
        assert answer.status_code == 200
        return True

    return send


def over_grpc(channel: grpc.aio.Channel) -> Send:
    export = channel.unary_unary(f"/{SERVICE}/Export")

    async def send(body: bytes) -> bool:
        try:
            await export(body)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True

    return send


@dataclass
class Sender:
    """An exporter: sends a request until it has an answer, and then the next."""

    make: Callable[[], bytes]
    acknowledged: int = 0
    unanswered: bytes | None = None

    async def send_until_gone(self, send: Send, answered: asyncio.Semaphore) -> None:
        while True:
            self.unanswered = self.unanswered or self.make()
            if not await send(self.unanswered):
                return
            self.unanswered = None
            self.acknowledged += SPANS
            answered.release()


async def test_acknowledged_calls_survive_kill_9_and_unanswered_ones_count_once(
    database: Database, make_payload: MakePayload
) -> None:
    clock = SystemClock()
    headers = {"content-type": "application/x-protobuf"}
    ended_at = clock.now().timestamp()
    senders = [
        Sender(lambda: make_payload(spans=SPANS, attributes=CHAT, ended_at=ended_at)) for _ in range(SENDERS)
    ]
    for kill_after in (7, 40, 20):
        process, http_url, grpc_url = await start(database.path)
        answered = asyncio.Semaphore(0)
        async with (
            httpx.AsyncClient(base_url=http_url, headers=headers) as client,
            grpc.aio.insecure_channel(grpc_url.removeprefix("http://")) as channel,
        ):
            ways = itertools.cycle((over_http(client), over_grpc(channel)))
            sending = [
                asyncio.create_task(one.send_until_gone(send, answered))
                for one, send in zip(senders, ways, strict=False)
            ]
            for _ in range(kill_after):
                await answered.acquire()
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*sending)
        await process.wait()
    taking = Intake(database, clock, CountingMetrics())
    await taking.recover()
    # What was cut off before its answer may have been stored or not: the sender cannot know, and sends again.
    for one in senders:
        if one.unanswered:
            await taking.accept(one.unanswered, Encoding.PROTOBUF)
            one.acknowledged += SPANS
    counted = sum(window.calls for window in await taking.windows(0, 10**10))
    assert counted == sum(one.acknowledged for one in senders)
