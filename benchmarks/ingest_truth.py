"""Every acknowledged call counted, none twice, over ``kill -9``: ``python -m benchmarks.ingest_truth --help``.

A load generator that knows what was acknowledged sends for a while, the daemon is killed in the middle of it and
started again, and the stored windows are compared with what the generator knows. A request that had no answer when the
daemon was killed may be stored all the same, and is not sent again: there may be a little more.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.database import Database
from monitor.traffic.store import windows_between
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window

from .ingest_speed import LOAD_CORE, SERVER_CORE, free_port, pinned

CALLS = ("chat", "embeddings")
"""The operations that are calls; the generator also sends spans of tools and agents."""

Group = tuple[str, ...]


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
                break
        return time.monotonic() - began

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


def main(
    load: Annotated[Path, typer.Option(help="The OTLP load generator, a Python script.")],
    kills: Annotated[int, typer.Option(min=0, help="How often the daemon is killed.")] = 3,
    seconds: Annotated[float, typer.Option(min=2, help="How long is sent.")] = 24.0,
    mix: Annotated[str, typer.Option(help="A, B or C.")] = "A",
    protocol: Annotated[str, typer.Option(help="http or json.")] = "http",
) -> None:
    """Print whether the windows hold what was acknowledged; exit status 1 when they do not."""
    with tempfile.TemporaryDirectory() as folder:
        daemon, truth = Daemon(Path(folder)), Path(folder) / "truth.json"
        print(f"first start: {daemon.start():.1f} s")
        command = [
            sys.executable, str(load), "--target", daemon.http, "--protocol", protocol, "--mix", mix,
            "--seconds", str(seconds), "--truth", str(truth),
        ]  # fmt: skip
        sending = subprocess.Popen(  # noqa: S603 - the caller's tool
            pinned(LOAD_CORE, command), stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
        )
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))
            daemon.end(signal.SIGKILL)
            print(f"killed, and answering again after {daemon.start():.1f} s")
        print(sending.communicate()[0].strip())
        daemon.end()
        database = Database(next(Path(folder).glob("*.sqlite")))
        windows = database.read(lambda session: windows_between(session, 0, 10**10))
        database.close()
        rows = json.loads(truth.read_text())
    wanted, found = known(rows), stored(windows)
    print(
        f"calls acknowledged {sum(one[0] for one in wanted.values())}, stored {sum(one[0] for one in found.values())}"
    )
    lost = {group: (counts, found[group]) for group, counts in wanted.items() if counts != found[group]}
    for group, (known_counts, counts) in sorted(lost.items()):
        print(f"differs: {group} acknowledged {known_counts}, stored {counts}")
    print(f"groups {len(wanted)}, different {len(lost)}")
    raise typer.Exit(any(known_counts[0] > counts[0] for known_counts, counts in lost.values()))


if __name__ == "__main__":
    typer.run(main)
