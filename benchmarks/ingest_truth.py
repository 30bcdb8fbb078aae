"""Every acknowledged call counted, none twice, over ``kill -9``: ``python -m benchmarks.ingest_truth --help``.

A load generator that knows what was acknowledged sends for a while, the daemon is killed in the middle of it and
started again, and the stored windows are compared with what the generator knows. A request that had no answer when the
daemon was killed may be stored all the same, and is not sent again. So there may be more than was acknowledged, but
only whole requests, no more of them than were cut off, and each of them once: the generator sends from a few payloads,
and what is more has to be a sum of these; the daemon remembers the mark of each request that it took.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from monitor.database import Database
from monitor.traffic.store import remembered, windows_between
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window

from .ingest_speed import LOAD_CORE, SERVER_CORE, free_port, pinned

CALLS = ("chat", "embeddings")
"""The operations that are calls; the generator also sends spans of tools and agents."""

MARKS_MAX = 100_000
"""More marks of requests than a daemon remembers."""

Group = tuple[str, ...]
Counts = Mapping[Group, Sequence[int]]
"""Calls, failures, input and output tokens by group."""


class Daemon:
    """A daemon on one folder, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._ports = [free_port() for _ in range(3)]
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.http = f"http://127.0.0.1:{self._ports[1]}"

    def start(self) -> float:
        """Start it; gives how long that took, in seconds."""
        pages, http, grpc = map(str, self._ports)
        ports = ["--port", pages, "--otlp-http-port", http, "--otlp-grpc-port", grpc]
        command = [sys.executable, "-m", "monitor.cli", "run", "--data", str(self._folder), *ports]
        began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            pinned(SERVER_CORE, command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "OTLP/gRPC" in line:
                return time.monotonic() - began
        raise RuntimeError(f"the daemon did not start: `{' '.join(command)}` says why")

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal, and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()


def known(rows: list[dict[str, Any]]) -> dict[Group, list[int]]:
    """Calls, failures, input and output tokens by group, as the generator knows them."""
    groups: dict[Group, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        if row["operation"] in CALLS:
            group = (
                row["service"],
                row["service_version"],
                row["provider"],
                row["request_model"],
                row["operation"],
            )
            for place, name in enumerate(("count", "errors", "input_tokens", "output_tokens")):
                groups[group][place] += row[name] or 0
    return groups


def stored(windows: list[Window]) -> dict[Group, list[int]]:
    """The same, as it is in the windows."""
    groups: dict[Group, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for one in windows:
        counts = one.calls, one.failed, round(one.input_tokens.total), round(one.output_tokens.total)
        groups[_group(one.series)] = [a + b for a, b in zip(groups[_group(one.series)], counts, strict=True)]
    return groups


def _group(series: Series) -> Group:
    return series.service, series.version, series.provider, series.request_model, series.operation


def told(body: bytes) -> dict[Group, list[int]]:
    """The same, as a request tells it: in protobuf, or in JSON."""
    request = ExportTraceServiceRequest()
    if body.startswith(b"{"):
        json_format.Parse(body, request)
    else:
        request.ParseFromString(body)
    rows = []
    for resource in request.resource_spans:
        sender = _attributes(resource.resource.attributes)
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            says = _attributes(span.attributes)
            rows.append(
                {
                    "service": sender.get("service.name"),
                    "service_version": sender.get("service.version"),
                    "provider": says.get("gen_ai.provider.name", says.get("gen_ai.system")),
                    "request_model": says.get("gen_ai.request.model"),
                    "operation": says.get("gen_ai.operation.name"),
                    "count": 1,
                    "errors": span.status.code == span.status.STATUS_CODE_ERROR,
                    "input_tokens": says.get("gen_ai.usage.input_tokens"),
                    "output_tokens": says.get("gen_ai.usage.output_tokens"),
                }
            )
    return known(rows)


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in pairs}


def how_often(counts: Counts, payloads: Sequence[Counts]) -> list[int] | None:
    """How often each payload is in the counts; ``None`` when they are no sum of whole payloads."""
    groups = sorted({group for one in (counts, *payloads) for group in one})
    columns = np.array([_flat(one, groups) for one in payloads]).T
    wanted = np.array(_flat(counts, groups))
    # Divided by how large each figure gets: tokens would otherwise drown calls in their rounding.
    size = np.maximum(columns.sum(axis=1), 1)
    found, _, rank, _ = np.linalg.lstsq(columns / size[:, None], wanted / size, rcond=None)
    if rank < len(payloads):
        raise ValueError("the payloads cannot be told apart by their groups; use fewer or larger ones")
    times = np.rint(found).astype(np.int64)
    return times.tolist() if (times >= 0).all() and (columns @ times == wanted).all() else None


def _flat(counts: Counts, groups: Sequence[Group]) -> list[int]:
    return [figure for group in groups for figure in counts.get(group, (0, 0, 0, 0))]


def verdict(  # one figure of each source
    wanted: Counts, found: Counts, payloads: Sequence[Counts], cut_off: int, marks: Sequence[bytes]
) -> list[str]:
    """What is wrong with the stored counts; nothing where each request that was taken is counted once, and whole."""
    answered, counted = how_often(wanted, payloads), how_often(found, payloads)
    if answered is None:
        return [
            "what was acknowledged is no sum of the payloads: the generator has changed between its two runs"
        ]
    if counted is None:
        return ["what is stored is no sum of whole requests"]
    problems = []
    more = [b - a for a, b in zip(answered, counted, strict=True)]
    if lost := -sum(one for one in more if one < 0):
        problems.append(f"{lost} acknowledged requests are lost")
    if (extra := sum(one for one in more if one > 0)) > cut_off:
        problems.append(
            f"{extra} requests more are stored than acknowledged, and only {cut_off} were cut off"
        )
    if len(set(marks)) != len(marks):
        problems.append(f"{len(marks) - len(set(marks))} requests were taken twice")
    if len(marks) != sum(counted):
        problems.append(f"{len(marks)} requests were taken, and {sum(counted)} are counted")
    return problems


def main(
    load: Annotated[Path, typer.Option(help="The OTLP load generator, a Python script.")],
    kills: Annotated[int, typer.Option(min=0, help="How often the daemon is killed.")] = 3,
    seconds: Annotated[float, typer.Option(min=2, help="How long is sent.")] = 24.0,
    mix: Annotated[str, typer.Option(help="A, B or C.")] = "A",
    protocol: Annotated[str, typer.Option(help="http or json.")] = "http",
) -> None:
    """Print whether the windows hold each request that was taken once; exit status 1 when they do not."""
    with tempfile.TemporaryDirectory() as folder:
        daemon, truth, dump = Daemon(Path(folder)), Path(folder) / "truth.json", Path(folder) / "payloads"
        generator = [
            sys.executable, str(load), "--target", daemon.http, "--protocol", protocol, "--mix", mix,
        ]  # fmt: skip
        subprocess.run(  # noqa: S603 - the caller's tool
            [*generator, "--dump", str(dump)], check=True, capture_output=True
        )
        payloads = [told(path.read_bytes()) for path in sorted(dump.iterdir())]
        print(f"first start: {daemon.start():.1f} s")
        command = [*generator, "--seconds", str(seconds), "--truth", str(truth)]
        sending = subprocess.Popen(  # noqa: S603 - the caller's tool
            pinned(LOAD_CORE, command), stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
        )
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))
            daemon.end(signal.SIGKILL)
            print(f"killed, and answering again after {daemon.start():.1f} s")
        said = sending.communicate()[0].strip()
        print(said)
        daemon.end()
        database = Database(next(Path(folder).glob("*.sqlite")))
        windows = database.read(lambda session: windows_between(session, 0, 10**10))
        entries = database.read(lambda session: remembered(session, after=0, limit=MARKS_MAX))
        database.close()
        rows = json.loads(truth.read_text())
    wanted, found = known(rows), stored(windows)
    marks = [one.mark for _, _, requests in entries for one in requests]
    kinds = json.loads(said.splitlines()[-1])["error_kinds"]
    cut_off = sum(requests for kind, requests in kinds.items() if "refused" not in kind)
    problems = verdict(wanted, found, payloads, cut_off, marks)
    calls, more = (sum(one[0] for one in counts.values()) for counts in (wanted, found))
    print(f"calls acknowledged {calls}, stored {more}; requests taken {len(marks)}, cut off {cut_off}")
    different = [group for group, counts in wanted.items() if counts != found[group]]
    print(f"groups {len(wanted)}, different {len(different)}")
    if problems:
        for group in sorted(different):
            print(f"differs: {group} acknowledged {wanted[group]}, stored {found[group]}")
    print("\n".join(problems) or "each request that was taken is counted once and whole, and none else")
    raise typer.Exit(bool(problems))


if __name__ == "__main__":
    typer.run(main)
