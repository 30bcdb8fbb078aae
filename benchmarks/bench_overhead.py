"""What ``anchorwatch bench`` adds to the times that it measures: ``python -m benchmarks.bench_overhead``.

A server in a process of its own waits a while before each answer, another while each time or (``--spread 0``) always
the same, and says in the answer how long that was: what a client measures beyond it is overhead. Three clients take
turns at asking it, with as many requests under way: the bench; a bare loop over httpx with a client for each request
under way, that makes nothing of the answers; and a loop over sockets, which is what server and machine give. Exit
status 1 when the median time that the bench reports is more than a millisecond beyond the server's own, or the bench
takes a millisecond more of the processor's time than bare httpx.
"""

import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, cast

import httpx
import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from canaries.bench.lines import line_of
from canaries.bench.load import Asked, Endpoint, run_load
from canaries.bench.measured import Meter
from canaries.bench.plan import Load, plan
from canaries.clock import SystemClock
from canaries.config import TargetConfig
from canaries.providers.wire import Wire
from canaries.suite import Canary, Expectations, Message, Suite

OVERHEAD_MS_MAX = 1.0
"""What the bench may add to a request: to the server's own time by the clock, to bare httpx's by the processor's."""

PROMPT = "Classify this ticket as one of: billing, bug, feature, account. I was charged twice for the March invoice."
SUITE = Suite(
    "overhead",
    tuple(
        Canary(f"c{i}", (Message("user", PROMPT),), {}, None, Expectations(not_empty=True)) for i in range(10)
    ),
)


WAITED = b"waited-0000.00"
"""Where the answer says how many milliseconds the server waited: its fingerprint."""


def answer(tokens: int) -> bytes:
    """A whole answer as the server streams it."""
    head: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "null",
    }
    deltas: list[dict[str, Any]] = [{"content": f" word{i}"} for i in range(tokens)]
    chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 30, "completion_tokens": tokens, "total_tokens": 30 + tokens}
    chunks.append(head | {"choices": [], "usage": usage, "system_fingerprint": WAITED.decode()})
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


class NullServer(asyncio.Protocol):
    """Answers each request on its connection after a wait of its own, with the same bytes but for that wait."""

    def __init__(self, wait_s: float, spread: float, body: bytes, rng: random.Random) -> None:
        self._wait_s, self._spread, self._rng = wait_s, spread, rng
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._whole = head + body
        self._read = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that has come whole."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            lengths = [
                int(line.split(b":")[1])
                for line in bytes(self._read[:end]).split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            whole = end + 4 + sum(lengths)
            if len(self._read) < whole:
                return
            del self._read[:whole]
            wait_s = self._wait_s * self._rng.uniform(1 - self._spread, 1 + self._spread)
            asyncio.get_running_loop().call_later(wait_s, self._answer, time.monotonic())

    def _answer(self, began: float) -> None:
        if not self._transport.is_closing():
            waited_ms = 1_000 * (time.monotonic() - began)
            self._transport.write(self._whole.replace(WAITED, b"waited-%07.2f" % waited_ms))


def serve(port: "multiprocessing.Queue[int]", wait_s: float, spread: float, tokens: int) -> None:
    """Serve until the process is ended; tells its port."""

    async def work() -> None:
        body, rng = answer(tokens), random.Random(1)  # noqa: S311 - waits, not secrets
        server = await asyncio.get_running_loop().create_server(
            lambda: NullServer(wait_s, spread, body, rng), "127.0.0.1", 0
        )
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(work())


def beyond_wait_ms(latency_s: float, body: bytes) -> float:
    """How much longer a request took than the server waited."""
    place = body.rindex(WAITED[:7]) + 7
    return 1_000 * latency_s - float(body[place : place + 7])


@dataclass(frozen=True, slots=True)
class Turn:
    """What a client measured in one turn: each request's time beyond the server's wait, and the processor's for it."""

    beyond_ms: tuple[float, ...]
    cpu_ms: float

    @property
    def median_ms(self) -> float:
        """Of the times beyond the wait."""
        return median(self.beyond_ms)

    @property
    def p99_ms(self) -> float:
        """The same, the time that one in a hundred exceeds."""
        return sorted(self.beyond_ms)[int(0.99 * len(self.beyond_ms))]


Client = Callable[[str, int, int], Awaitable[list[float]]]
"""Asks an address so many requests, so many at a time, and gives their times beyond the server's wait."""


async def bench_client(address: str, requests: int, concurrency: int) -> list[float]:
    """The bench as the command runs it, file included."""
    target = TargetConfig(base_url=address, model="null", suite="s.yaml", fresh_connections=False)
    asks = plan(SUITE, ["null"], Load(requests, concurrency, warm_up=concurrency))
    meter, found = Meter(SUITE, lambda *_: None), []
    with tempfile.TemporaryFile() as file:

        def on_asked(asked: Asked) -> None:
            if asked.ask.is_warm_up:
                return
            one = meter.measured("null", asked.completion, asked.queued_s)
            file.write(orjson.dumps(line_of(asked, "overhead")) + b"\n")
            file.flush()
            assert one.latency_s is not None, asked.completion.error
            found.append(beyond_wait_ms(one.latency_s, (asked.completion.system_fingerprint or "").encode()))

        async with Wire(httpx.create_ssl_context()) as client:
            await run_load(
                SUITE, [Endpoint("null", target)], asks, concurrency, SystemClock(), client, on_asked
            )
    return found


BODY = {"model": "null", "messages": [{"role": "user", "content": PROMPT}], "stream": True}


async def httpx_client(address: str, requests: int, concurrency: int) -> list[float]:
    """A bare loop with a client for each request under way: sent, its answer read to the end, nothing made of it."""
    encryption = httpx.create_ssl_context()
    idle = [httpx.AsyncClient(verify=encryption) for _ in range(concurrency)]

    async def once() -> bytes:
        client = idle.pop()
        body = await _read(client, address)
        idle.append(client)
        return body

    found = await _loop(once, requests, concurrency)
    await asyncio.gather(*(client.aclose() for client in idle))
    return found


async def _read(client: httpx.AsyncClient, address: str) -> bytes:
    async with client.stream("POST", f"{address}/chat/completions", json=BODY) as response:
        return b"".join([chunk async for chunk in response.aiter_bytes()])


async def socket_client(address: str, requests: int, concurrency: int) -> list[float]:
    """What the server gives: the same bytes over open sockets."""
    host, port = address.removeprefix("http://").removesuffix("/v1").split(":")
    body = json.dumps(BODY).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def once() -> bytes:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
        writer.write(head + body)
        answered = await reader.readuntil(b"[DONE]\n\n")
        idle.append((reader, writer))
        return answered

    found = await _loop(once, requests, concurrency)
    for _, writer in idle:
        writer.close()
    return found


async def _loop(once: Callable[[], Awaitable[bytes]], requests: int, concurrency: int) -> list[float]:
    # As many as under way to warm up, and then one after the other over the time that took, like the bench.
    left, found = [concurrency], []

    async def work(after_s: float) -> None:
        await asyncio.sleep(after_s)
        while left[0] > 0:
            left[0] -= 1
            began = time.monotonic()
            body = await once()
            found.append(beyond_wait_ms(time.monotonic() - began, body))

    began = time.monotonic()
    await asyncio.gather(*(work(0.0) for _ in range(concurrency)))
    over_s, left[0] = time.monotonic() - began, requests
    found.clear()
    await asyncio.gather(*(work(over_s * number / concurrency) for number in range(concurrency)))
    return found


BENCH, BARE = "bench", "httpx, a client each"
CLIENTS: dict[str, Client] = {
    BENCH: bench_client,
    BARE: httpx_client,
    "sockets": socket_client,
}


def turn(client: Client, address: str, requests: int, concurrency: int) -> Turn:
    """One turn of a client in an event loop of its own."""
    began = time.process_time()
    beyond = asyncio.run(_awaited(client(address, requests, concurrency)))
    return Turn(tuple(beyond), 1_000 * (time.process_time() - began) / len(beyond))


async def _awaited(work: Awaitable[list[float]]) -> list[float]:
    return await work


def main(
    requests: Annotated[int, typer.Option(min=64, help="Requests of each turn.")] = 1_000,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way.")] = 64,
    wait_ms: Annotated[
        float, typer.Option(min=0, help="How long the server waits before it answers.")
    ] = 200.0,
    spread: Annotated[
        float,
        typer.Option(min=0, max=1, help="By how much of it a wait may be shorter or longer; 0 for none."),
    ] = 0.5,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 32,
    turns: Annotated[int, typer.Option(min=1, help="Turns of each client.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what the bench adds to a request."""
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=serve, args=(port, wait_ms / 1_000, spread, tokens), daemon=True)
    server.start()
    try:
        address = f"http://127.0.0.1:{port.get(timeout=60)}/v1"
        found: dict[str, list[Turn]] = {name: [] for name in CLIENTS}
        for _ in range(turns):
            for name, client in CLIENTS.items():
                found[name].append(turn(client, address, requests, concurrency))
    finally:
        server.terminate()
    # Of each the best turn: what others on the machine took away is not the client's.
    rows = {
        name: {
            "beyond_ms_p50": min(one.median_ms for one in ones),
            "beyond_ms_p99": min(one.p99_ms for one in ones),
            "cpu_ms": min(one.cpu_ms for one in ones),
        }
        for name, ones in found.items()
    }
    added = {name: value - rows[BARE][name] for name, value in rows[BENCH].items()}
    if as_json:
        print(json.dumps({"requests": requests, "clients": rows, "bench_beside_httpx": added}, indent=2))
    else:
        about = "" if spread == 0 else " or so"
        title = f"ms a request; {requests:,} requests, {concurrency} under way, answered after {wait_ms:g} ms{about}"
        table = Table("client", "beyond the server's wait, p50", "p99", "processor", title=title)
        for name, row in rows.items():
            table.add_row(name, *(f"{value:.2f}" for value in row.values()))
        table.add_row("the bench beside bare httpx", *(f"{value:+.2f}" for value in added.values()))
        Console().print(table)
    raise typer.Exit(int(max(rows[BENCH]["beyond_ms_p50"], added["cpu_ms"]) > OVERHEAD_MS_MAX))


if __name__ == "__main__":
    typer.run(main)
