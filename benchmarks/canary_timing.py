"""How exactly canaries are timed while traces come in: ``python -m benchmarks.canary_timing --help``.

A server in a process of its own answers canaries after waits that differ each time, and says in the usage of each
answer how long it took by its own clock, from the question to the first token and to the end. What the daemon measured
beyond that is not the endpoint's time: opening a connection, and delays of ours. It is looked up in the daemon's
database, for canaries that were asked while the daemon had nothing else to do, and while traces came as fast as it took
them. Exit status 1 when under load one canary in a hundred is timed more than 50 ms beyond the median without load.
"""

import asyncio
import json
import multiprocessing
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from .ingest_speed import CASES, LOAD_CORE, Running, Tools, free_port, loaded, started

DELAY_MS_MAX = 50.0
"""The goal: how much later than without load a canary's times may be told in 99 of 100 cases."""

FIRST_S, WHOLE_S, SPREAD = 0.25, 0.4, 0.3
"""How long the server waits before the first token and the end, give or take such a share."""

TARGETS, CANARIES, CONCURRENCY, EVERY_S = 4, 20, 4, 5
"""What the daemon asks: so many targets, each so many canaries, so many at a time, every so many seconds."""

SHARES = (0.5, 0.9, 0.99, 1.0)
START_MAX_S = 30.0


class TimedServer(asyncio.Protocol):
    """Streams an answer after a wait, its end after another, and says in its usage how many microseconds they took."""

    def __init__(self, rng: random.Random) -> None:
        """Nothing is asked yet."""
        self._rng = rng
        self._read = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer the request once it is whole; there is one for each connection."""
        self._read += data
        head, found, body = bytes(self._read).partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        if found and len(body) >= sum(lengths):
            self._asked = time.monotonic()
            factor = self._rng.uniform(1 - SPREAD, 1 + SPREAD)
            loop = asyncio.get_running_loop()
            loop.call_later(FIRST_S * factor, self._begin)
            loop.call_later(WHOLE_S * factor, self._end)

    def _begin(self) -> None:
        self._first_us = self._waited_us()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
            + event({"choices": [{"index": 0, "delta": {"content": "billing"}, "finish_reason": None}]})
        )

    def _end(self) -> None:
        usage = {"prompt_tokens": self._first_us, "completion_tokens": self._waited_us()}
        self._transport.write(
            event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            + event({"choices": [], "usage": usage})
            + b"data: [DONE]\n\n"
        )
        self._transport.close()

    def _waited_us(self) -> int:
        return round((time.monotonic() - self._asked) * 1e6)


def event(part: dict[str, Any]) -> bytes:
    """An event of a streamed answer."""
    return b"data: " + json.dumps({"id": "1", "model": "timed", **part}).encode() + b"\n\n"


def serve(port: "multiprocessing.Queue[int]") -> None:
    """Serve until the process is ended; tells its port."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})

    async def work() -> None:
        rng = random.Random(1)  # noqa: S311 - waits, not secrets
        server = await asyncio.get_running_loop().create_server(lambda: TimedServer(rng), "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(work())


@contextmanager
def asking(folder: Path, port: int) -> Iterator[Running]:
    """A daemon that asks the server's targets, and takes traces."""
    prompts = [{"id": f"c{n}", "prompt": f"Which team is for ticket {n}?"} for n in range(CANARIES)]
    (folder / "suite.yaml").write_text(json.dumps({"name": "timed", "canaries": prompts}))
    target = {
        "base_url": f"http://127.0.0.1:{port}/v1", "model": "timed", "suite": "suite.yaml",
        "every": f"{EVERY_S}s", "samples": 1, "concurrency": CONCURRENCY,
    }  # fmt: skip
    targets = {f"t{n}": target for n in range(TARGETS)}
    (folder / "anchorwatch.yaml").write_text(json.dumps({"targets": targets}))
    pages, http = free_port(), free_port()
    command = [
        sys.executable, "-m", "monitor.cli", "run", "-c", "anchorwatch.yaml", "--data", str(folder),
        "--port", str(pages), "--otlp-http-port", str(http), "--no-otlp-grpc",
    ]  # fmt: skip
    here = {"PYTHONPATH": str(Path(__file__).parents[1])}
    at = f"http://127.0.0.1:{http}"
    with started("anchorwatch", command, at, folder, http=at, grpc="", environment=here) as running:
        running.database = folder / "anchorwatch.sqlite"
        yield running


@dataclass(frozen=True, slots=True)
class Beyond:
    """By how many milliseconds canaries were timed longer than the server took: to the first token, and whole."""

    first_ms: Sequence[float]
    whole_ms: Sequence[float]


def beyond(database: Path, began: float, ended: float) -> Beyond:
    """Of the canaries that were asked, and answered, within that time."""
    query = (
        "select ttft_s * 1e3 - input_tokens / 1e3, latency_s * 1e3 - output_tokens / 1e3 from completion "
        "where outcome = 'answered' and asked_at >= ? and asked_at + latency_s <= ?"
    )
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute(query, (began, ended)).fetchall()
    finally:
        connection.close()
    return Beyond(sorted(row[0] for row in rows), sorted(row[1] for row in rows))


def at(values: Sequence[float], share: float) -> float:
    """The value that such a share of them do not exceed."""
    return values[int(share * (len(values) - 1))]


def measured(tools: Tools, folder: Path, *more: str) -> dict[str, Beyond]:
    """What was timed beyond the server's own time, without load and with it."""
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=serve, args=(port,), daemon=True)
    server.start()
    found: dict[str, tuple[float, float]] = {}
    try:
        with asking(folder, port.get(timeout=START_MAX_S)) as daemon:
            # The first runs also load what runs need.
            time.sleep(EVERY_S)
            for what in ("idle", "full load"):
                began = time.time()
                if what == "idle":
                    time.sleep(tools.seconds)
                else:
                    figures = loaded(tools, daemon, CASES[0], *more)
                    Console(stderr=True).print(
                        f"{figures['spans_per_s']:,} spans a second, {figures['errors']} errors"
                    )
                found[what] = began, time.time()
            # Those that are on the way are stored with their runs.
            time.sleep(EVERY_S)
    finally:
        server.terminate()
    return {what: beyond(folder / "anchorwatch.sqlite", *times) for what, times in found.items()}


def main(
    load: Annotated[Path, typer.Option(help="The OTLP load generator, a Python script.")],
    seconds: Annotated[
        float, typer.Option(min=5, help="How long without load, and how long with it.")
    ] = 20.0,
    rate: Annotated[int, typer.Option(min=0, help="Spans a second; 0 for as many as are taken.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how exactly canaries are timed while traces come in."""
    tools = Tools(load.resolve(), seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="canary-timing-") as written:
        found = measured(tools, Path(written), *(["--rate", str(rate)] if rate else []))
    rows = {
        what: {
            "canaries": len(one.first_ms),
            **{f"first_token_ms_p{share * 100:g}": round(at(one.first_ms, share), 2) for share in SHARES},
            **{f"whole_ms_p{share * 100:g}": round(at(one.whole_ms, share), 2) for share in SHARES},
        }
        for what, one in found.items()
    }
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        titles = [f"{what}, p{share * 100:g}" for what in ("first token", "whole") for share in SHARES]
        table = Table("while", "canaries", *titles, title="ms beyond the server's own time")
        for what, row in rows.items():
            table.add_row(what, *map(str, row.values()))
        Console().print(table)
    raise typer.Exit(int(delay_ms(found) > DELAY_MS_MAX))


def delay_ms(found: dict[str, Beyond]) -> float:
    """How much later than is usual without load times are told in 99 of 100 cases under load."""
    idle, busy = found["idle"], found["full load"]
    return max(
        at(busy.first_ms, 0.99) - at(idle.first_ms, 0.5),
        at(busy.whole_ms, 0.99) - at(idle.whole_ms, 0.5),
    )


if __name__ == "__main__":
    typer.run(main)
