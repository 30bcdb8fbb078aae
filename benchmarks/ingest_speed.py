"""Spans a second beside a collector and beside trace servers: ``python -m benchmarks.ingest_speed --help``.

Anchorwatch runs as users run it, and answers when the calls are stored. The collector (rotel, a Rust program, with an
exporter that drops everything) keeps nothing. Both get the same requests from one load generator, in turns; the server
has one core and the generator another. What counts is processor time per million spans: other work on the machine
disturbs it least, and even so only the ratios of rounds next to each other say something.
"""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Annotated, Any

import typer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.table import Table

SERVER_CORE, LOAD_CORE = "0", "1"
START_MAX_S = 60.0
WARM_UP_REQUESTS = 96
"""Requests before the clock starts: a daemon that has run for a minute knows the spans of its senders."""

PACKED_REQUESTS = 300
"""The generator packs its requests beforehand and repeats them after that: so many are made that none comes twice.

Each of them is from services of its own, where other loads have 24 requests in turns. So they come once before the
clock starts, with other ids and times: senders are known by then, as those of an hour ago are.
"""

PARTS = ("latency", "API", "memory", "trace servers")
"""What is measured beside the loads."""

SERIES = 4_000

PEER_REQUESTS = 8
PEER_SECONDS = 20.0
PEER_STORING_MAX_S = 60.0
"""A trace server gets so many requests of 512 spans within so long, and so long altogether to store them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of load: who speaks how of what."""

    name: str
    protocol: str
    mix: str
    is_packed: bool = False


CASES = (
    Case("protobuf A", "http", "A"),
    Case("protobuf B", "http", "B"),
    Case("protobuf C", "http", "C"),
    Case("gRPC A", "grpc", "A"),
    Case("gRPC B", "grpc", "B"),
    Case("gzip A", "http", "A", is_packed=True),
    Case("gzip B", "http", "B", is_packed=True),
    Case("JSON A", "json", "A"),
    Case("JSON B", "json", "B"),
)
"""A: every span is of a model call or of what wraps one. B: one in twenty, in scopes of their own. C: as B, mixed."""


@dataclass(slots=True)
class Running:
    """A server at work."""

    name: str
    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    pages: str = ""
    headers: Sequence[str] = ()
    database: Path | None = None
    rows: str = ""


@dataclass(frozen=True, slots=True)
class Tools:
    """What is started."""

    load: Path
    rotel: Path | None = None
    phoenix: Path | None = None
    mlflow: Path | None = None
    seconds: float = 8.0
    connections: int = 8


@dataclass(slots=True)
class Round:
    """What one round of a case gave."""

    case: str
    server: str
    figures: dict[str, Any] = field(default_factory=dict)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def pinned(core: str, command: Sequence[str]) -> list[str]:
    """The command, to be run on one core."""
    return ["taskset", "-c", core, *command]


@contextmanager
def started(name: str, command: Sequence[str], ready: str, folder: Path, **rest: Any) -> Iterator[Running]:
    """A server that answers at ``ready`` (a host and port, or an address), until the block ends."""
    environment = os.environ | rest.pop("environment", {})
    log = (folder / f"{name}.log").open("wb")
    process = subprocess.Popen(  # noqa: S603  # the tools are the caller's
        pinned(SERVER_CORE, command),
        stdout=log,
        stderr=log,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        _wait_for(ready, process, folder / f"{name}.log")
        yield Running(name, process, **rest)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _wait_for(ready: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, port = re.findall(r"([\w.]+):(\d+)", ready)[0]
    until = time.monotonic() + START_MAX_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection((host, int(port)), 1):
                time.sleep(1.0)
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{log.stem} did not start:\n{log.read_text()[-2_000:]}")


@contextmanager
def anchorwatch(folder: Path) -> Iterator[Running]:
    """The daemon of this checkout, without a configuration."""
    pages, http, grpc = free_port(), free_port(), free_port()
    ports = ["--port", str(pages), "--otlp-http-port", str(http), "--otlp-grpc-port", str(grpc)]
    command = [sys.executable, "-m", "monitor.cli", "run", "--data", str(folder), *ports]
    at = f"http://127.0.0.1:{http}"
    with started(
        "anchorwatch", command, f"127.0.0.1:{http}", folder, http=at, grpc=f"127.0.0.1:{grpc}",
        pages=f"http://127.0.0.1:{pages}", database=folder / "anchorwatch.sqlite",
        rows="select sum(calls) from traffic_window", environment={"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as running:  # fmt: skip
        yield running


@contextmanager
def rotel(agent: Path, folder: Path) -> Iterator[Running]:
    """The collector, which drops what it takes."""
    http, grpc = free_port(), free_port()
    command = [
        str(agent), "start", "--exporter", "blackhole", "--otlp-http-endpoint", f"127.0.0.1:{http}",
        "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--pid-file", str(folder / "rotel.pid"),
    ]  # fmt: skip
    at = f"http://127.0.0.1:{http}"
    with started("rotel", command, f"127.0.0.1:{http}", folder, http=at, grpc=f"127.0.0.1:{grpc}") as running:
        yield running


def loaded(
    tools: Tools, server: Running, case: Case, *more: str, seconds: float | None = None
) -> dict[str, Any]:
    """What the load generator says of a run; its spans are as many as were acknowledged."""
    if not case.is_packed:
        lasting = ["--warmup", str(WARM_UP_REQUESTS), "--seconds", str(seconds or tools.seconds)]
        return _load(tools, server, case, *lasting, *more)
    packed = ["--gzip", "--pool", str(PACKED_REQUESTS)]
    _load(tools, server, case, *packed, "--warmup", str(PACKED_REQUESTS - 1), "--batches", "1")
    return _load(tools, server, case, *packed, "--warmup", "0", "--batches", str(PACKED_REQUESTS), *more)


def _load(tools: Tools, server: Running, case: Case, *more: str) -> dict[str, Any]:
    target = server.grpc if case.protocol == "grpc" else server.http
    command = [
        sys.executable, str(tools.load), "--target", target, "--protocol", case.protocol, "--mix", case.mix,
        "--connections", str(tools.connections), "--pid", str(server.process.pid),
    ]  # fmt: skip
    for header in server.headers:
        command += ["--header", header]
    done = subprocess.run(  # noqa: S603  # the same
        pinned(LOAD_CORE, [*command, *more]), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"the load generator failed on {server.name}, {case.name}:\n{done.stdout}{done.stderr}"
        )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def counted(server: Running, name: str) -> float:
    """The sum of a counter of the daemon over its labels."""
    with urllib.request.urlopen(f"{server.pages}/metrics", timeout=10) as answer:  # noqa: S310  # our own daemon
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def one_round(tools: Tools, case: Case, name: str, folder: Path, *more: str) -> Round:
    """One server, fresh, under one load."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with anchorwatch(folder) if name == "anchorwatch" else rotel(_needed(tools.rotel), folder) as server:
        figures = loaded(tools, server, case, *more)
        if server.pages:
            figures["repeats"] = counted(server, "anchorwatch_otlp_repeats_total")
            assert not figures["repeats"], "requests came twice: what was measured is how they are recognised"
            assert not figures["rejected"], figures
    if figures["errors"]:
        Console(stderr=True).print(f"{name}, {case.name}: {figures['error_kinds']}")
    return Round(case.name, name, figures)


def _needed(path: Path | None) -> Path:
    if path is None:
        raise SystemExit("name the collector's program with --rotel")
    return path


def in_turns(
    tools: Tools, case: Case, rounds: int, folder: Path, *more: str
) -> Iterator[dict[str, dict[str, Any]]]:
    """Rounds of the case, of ours and of the collector next to each other, by the name of the server."""
    for number in range(rounds):
        # Who goes first takes turns too.
        names = ["anchorwatch", "rotel"] if number % 2 == 0 else ["rotel", "anchorwatch"]
        yield {name: one_round(tools, case, name, folder, *more).figures for name in names}


def beside_collector(tools: Tools, cases: Sequence[Case], rounds: int, folder: Path) -> Table:
    """Processor time per million spans, ours and the collector's in turns."""
    table = Table(
        "load", "ours: CPU s/M", "rotel: CPU s/M", "times as fast", "of rounds", "ours: spans/s", "peak MiB",
        title="Beside rotel",
    )  # fmt: skip
    for case in cases:
        ours: list[dict[str, Any]] = []
        ratios: list[float] = []
        others: list[float] = []
        for found in in_turns(tools, case, rounds, folder):
            ours.append(found["anchorwatch"])
            others.append(found["rotel"]["cpu_s_per_Mspan"])
            ratios.append(others[-1] / ours[-1]["cpu_s_per_Mspan"])
        table.add_row(
            case.name,
            f"{median(one['cpu_s_per_Mspan'] for one in ours):.2f}",
            f"{median(others):.2f}",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{median(one['spans_per_s'] for one in ours):,.0f}",
            f"{max(one['server_peak_mib'] for one in ours):.0f}",
        )
        Console(stderr=True).print(f"{case.name}: {median(ratios):.2f} times as fast")
    return table


def latencies(tools: Tools, rounds: int, folder: Path, rate: int = 60_000) -> Table:
    """How long a request waits for its answer at a steady rate."""
    table = Table(
        "server", "p50 ms", "p99 ms", "of rounds", "reached spans/s", title=f"At {rate:,} spans a second, A"
    )
    found = list(in_turns(tools, CASES[0], rounds, folder, "--rate", str(rate)))
    for name in ("anchorwatch", "rotel"):
        p50, p99, reached = ([one[name][key] for one in found] for key in ("p50_ms", "p99_ms", "spans_per_s"))
        table.add_row(
            name,
            f"{median(p50):.2f}",
            f"{median(p99):.2f}",
            f"{min(p99):.1f}-{max(p99):.1f}",
            f"{median(reached):,.0f}",
        )
    times = [one["anchorwatch"]["p99_ms"] / one["rotel"]["p99_ms"] for one in found]
    table.add_row("times rotel's", "", f"{median(times):.2f}", f"{min(times):.2f}-{max(times):.2f}", "")
    return table


class Watcher:
    """Asks the daemon for a page every so often, and notes how long it takes."""

    def __init__(self, url: str, every_s: float = 0.02) -> None:
        """Nothing is asked before the block begins."""
        self._url, self._every_s = url, every_s
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self.taken_ms: list[float] = []

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            began = time.perf_counter()
            with urllib.request.urlopen(self._url, timeout=60) as answer:  # noqa: S310  # our own daemon
                answer.read()
            self.taken_ms.append((time.perf_counter() - began) * 1e3)


def api_while_ingesting(tools: Tools, folder: Path) -> Table:
    """How long the API takes while spans come as fast as they are taken."""
    table = Table("while", "p50 ms", "p99 ms", "slowest ms", title="GET /healthz of the same daemon")
    folder.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    with anchorwatch(folder) as server:
        for what in ("idle", "full load"):
            with Watcher(f"{server.pages}/healthz") as watcher:
                if what == "idle":
                    time.sleep(3)
                else:
                    loaded(tools, server, CASES[0])
            taken = sorted(watcher.taken_ms)
            table.add_row(what, *(f"{taken[int(at * (len(taken) - 1))]:.1f}" for at in (0.5, 0.99, 1.0)))
    return table


def request_of_series(number: int, spans: int, sent: int) -> bytes:
    """Spans of as many series, from the given one on, with ids and times of their own."""
    request = ExportTraceServiceRequest()
    now = time.time_ns()
    for series in range(number, number + spans):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(
            key="service.name"
        ).value.string_value = f"service-{series % SERIES // 8}"
        span = resource.scope_spans.add().spans.add(
            name="chat", trace_id=os.urandom(16), span_id=os.urandom(8)
        )
        span.end_time_unix_nano, span.start_time_unix_nano = now, now - 10**9 - sent
        words = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
        words["gen_ai.request.model"] = words["gen_ai.response.model"] = f"gpt-4o-{series % 8}"
        for key, word in words.items():
            span.attributes.add(key=key).value.string_value = word
        for key, tokens in (("input", 900 + series), ("output", 90 + series)):
            span.attributes.add(key=f"gen_ai.usage.{key}_tokens").value.int_value = tokens
    return request.SerializeToString()


def memory(tools: Tools, folder: Path) -> Table:
    """How much memory the daemon takes for many series under full load."""
    table = Table("what", "peak MiB", title=f"Memory at {SERIES:,} series")
    folder.mkdir(parents=True, exist_ok=True)
    with anchorwatch(folder) as server:
        table.add_row("started", f"{_peak_mib(server):.0f}")
        for turn in range(5):
            for number in range(0, SERIES, 500):
                body = request_of_series(number, 500, turn)
                to = urllib.request.Request(f"{server.http}/v1/traces", body)  # noqa: S310  # our own daemon
                to.add_header("content-type", "application/x-protobuf")
                urllib.request.urlopen(to, timeout=60).read()  # noqa: S310  # the same
        table.add_row("with all series", f"{_peak_mib(server):.0f}")
        # One load after the other in the same process: as the peak, each tells what the ones before took, too.
        for case in CASES:
            loaded(tools, server, case)
            table.add_row(f"after full load of {case.name}", f"{_peak_mib(server):.0f}")
    return table


def _peak_mib(server: Running) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


@contextmanager
def phoenix(program: Path, folder: Path) -> Iterator[Running]:
    """Arize Phoenix on SQLite."""
    port = free_port()
    settings = {
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(folder),
    }
    at = f"http://127.0.0.1:{port}"
    with started(
        "phoenix", [str(program), "serve"], f"127.0.0.1:{port}", folder, http=at, grpc="", environment=settings,
        database=folder / "phoenix.db", rows="select count(*) from spans",
    ) as running:  # fmt: skip
        yield running


@contextmanager
def mlflow(program: Path, folder: Path) -> Iterator[Running]:
    """MLflow on SQLite."""
    port, database = free_port(), folder / "mlflow.db"
    command = [str(program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}"]
    with started(
        "mlflow", command, f"127.0.0.1:{port}", folder, http=f"http://127.0.0.1:{port}", grpc="",
        headers=("x-mlflow-experiment-id=0",), database=database, rows="select count(*) from spans",
    ) as running:  # fmt: skip
        yield running


def beside_trace_servers(tools: Tools, folder: Path) -> Table:
    """What is in the databases afterwards, per second and per second of processor time: rows are counted, not answers.

    Trace servers store a row for each span. Ours stores the model calls among them, with all that is counted of them.
    """
    table = Table(
        "server", "spans answered/s", "stored/s", "stored per CPU s", "ours per CPU s", title="Beside trace servers, A"
    )  # fmt: skip
    starting = [anchorwatch(folder / "anchorwatch")]
    starting += [phoenix(tools.phoenix, folder / "phoenix")] if tools.phoenix else []
    starting += [mlflow(tools.mlflow, folder / "mlflow")] if tools.mlflow else []
    for name in ("anchorwatch", "phoenix", "mlflow"):
        (folder / name).mkdir(parents=True)
    ours = 0.0
    for one in starting:
        with one as server:
            began, cpu_s = time.perf_counter(), _cpu_s(server)
            # A trace server gets few, and time to store them: more would keep it busy with answering.
            is_ours = bool(server.pages)
            few = () if is_ours else ("--warmup", "1", "--connections", "1", "--batches", str(PEER_REQUESTS))
            figures = loaded(tools, server, CASES[0], *few, seconds=None if is_ours else PEER_SECONDS)
            until = began + PEER_STORING_MAX_S
            while not is_ours and _rows(server) < figures["spans"] and time.perf_counter() < until:
                time.sleep(0.2)
            seconds, cpu_s = time.perf_counter() - began, _cpu_s(server) - cpu_s
            rows = None if is_ours else _rows(server)
        # Ours folds what it holds when it stops; what it held is in the journal until then.
        stored = _rows(server) if rows is None else rows
        ours = ours or stored / cpu_s
        table.add_row(
            server.name,
            f"{figures['spans_per_s']:,.0f}",
            f"{stored / seconds:,.0f}",
            f"{stored / cpu_s:,.0f}",
            f"{ours * cpu_s / stored:,.0f} times" if stored else "nothing is stored",
        )
    return table


def _rows(server: Running) -> int:
    assert server.database is not None
    with sqlite3.connect(server.database) as database:
        return int(database.execute(server.rows).fetchone()[0] or 0)


def _cpu_s(server: Running) -> float:
    """The processor time of the server and of all that it started."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            facts = stat.read_text().rpartition(")")[2].split()
            ticks += int(facts[11]) + int(facts[12]) if int(facts[3]) == server.process.pid else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def main(
    load: Annotated[Path, typer.Option(help="The OTLP load generator, a Python script.")],
    rotel: Annotated[Path | None, typer.Option(help="The program rotel-agent of rotel 0.0.1a15.")] = None,
    phoenix: Annotated[Path | None, typer.Option(help="The program phoenix of arize-phoenix.")] = None,
    mlflow: Annotated[Path | None, typer.Option(help="The program mlflow.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each load.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="How long each round is.")] = 8.0,
    only: Annotated[
        str,
        typer.Option(
            help="Only the loads whose names hold this, as 'gRPC B' or 'gzip', or one other part: "
            f"{', '.join(PARTS)}."
        ),
    ] = "",
) -> None:
    """Print the figures of ``docs/benchmarks.md``.

    For example ``--load otlp_load.py --rotel rotel-agent --only latency --rounds 5``.
    """
    tools = Tools(load.resolve(), rotel, phoenix, mlflow, seconds)
    cases = [case for case in CASES if only.lower() in case.name.lower()]
    parts = [part for part in PARTS if part.lower().startswith(only.lower())]
    if not cases and not parts:
        known = ", ".join([*(case.name for case in CASES), *PARTS])
        raise typer.BadParameter(f"there is no {only!r} among {known}", param_hint="--only")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ingest-speed-") as written:
        folder = Path(written)
        if cases and rotel:
            console.print(beside_collector(tools, cases, rounds, folder / "round"))
        if "latency" in parts and rotel:
            console.print(latencies(tools, rounds, folder / "rate"))
        if "API" in parts:
            console.print(api_while_ingesting(tools, folder / "api"))
        if "memory" in parts:
            console.print(memory(tools, folder / "memory"))
        if "trace servers" in parts:
            console.print(beside_trace_servers(tools, folder / "peers"))


if __name__ == "__main__":
    typer.run(main)
