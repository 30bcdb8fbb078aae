"""The real daemon as a process of its own, as tests start, look at, and kill it."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

Seen = TypeVar("Seen")

COMPILED_ONCE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "anchorwatch-tests-pycache"),
}
"""Where Python keeps its byte code, also on machines where it should keep none: these tests start many daemons."""

LOOK_EVERY_S = 0.05
STOP_WITHIN_S = 45.0
"""Longer than the graces of the daemon together: it must never have to be killed."""


class RunningDaemon:
    """``anchorwatch run`` in ``folder``, with ``config`` as its configuration, inside a ``with`` block.

    ``options`` say what it does over gRPC, which else takes a free port; ``program`` what Python is to run.
    ``start`` may be called again after it ended: the data stays.
    """

    def __init__(
        self,
        folder: Path,
        config: str | None = None,
        options: tuple[str, ...] = ("--otlp-grpc-port", "0"),
        program: tuple[str, ...] = ("-m", "monitor.cli"),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "daemon.log"
        self._environment = os.environ | COMPILED_ONCE | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._arguments = ["--data", str(self.data), "--port", "0", "--otlp-http-port", "0", *options]
        self._places = 2 if "--no-otlp-grpc" in options else 3
        if config is not None:
            (folder / "anchorwatch.yaml").write_text(config)
            self._arguments += ["-c", str(folder / "anchorwatch.yaml")]
        self._program = program
        self.process: subprocess.Popen[str] | None = None
        self.url = self.otlp_url = self.grpc_url = ""

    def __enter__(self) -> "RunningDaemon":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            print(f"--- the end of {self.log_file}:\n{self.log()[-4000:]}")  # noqa: T201 - for whoever reads the failure

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self._program, "run", *self._arguments],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def start(self) -> None:
        """Start it, and wait until it has said where it listens."""
        self.launch()
        assert self.process is not None
        assert self.process.stdout is not None
        said = [self.process.stdout.readline() for _ in range(self._places)]
        found = [re.search(r"https?://\S+", line) for line in said]
        assert all(found), f"the daemon did not start: {said}\n{self.log()[-3000:]}"
        self.url, self.otlp_url, self.grpc_url = [*(match.group() for match in found if match), ""][:3]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """``kill -9``."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, *signals: signal.Signals) -> int:
        """Ask it to stop, by SIGTERM unless other signals are named; gives the exit code."""
        assert self.process is not None
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
            time.sleep(0.1)
        return self.process.wait(STOP_WITHIN_S)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=20, verify=False)  # no TLS: nothing to load

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.get("/api/v1/status").json()
        return answer

    def target(self, name: str) -> dict[str, Any]:
        return next(target for target in self.status()["targets"] if target["name"] == name)

    def incidents(self, key: str) -> list[dict[str, Any]]:
        return [one for one in self.status()["incidents"] if one["key"] == key]

    def problems(self) -> str:
        return "\n".join(self.status()["problems"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of a metric that have these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            is_ours = series == name or series.startswith(name + "{")
            if is_ours and all(f'{key}="{text}"' in series for key, text in labels.items()):
                total += float(value)
        return total

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query of the daemon's database gives."""
        connection = sqlite3.connect(self.data / "anchorwatch.sqlite", timeout=20)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def memory_max_mib(self) -> float:
        """The most memory that it ever took, by its resident size."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (kib,) = re.findall(r"VmHWM:\s+(\d+)", status)
        return int(kib) / 1024

    def until(self, what: str, look: Callable[[], Seen | None], within_s: float = 30.0) -> Seen:
        """What ``look`` sees once it sees something."""
        return until(what, look, within_s)


def until(what: str, look: Callable[[], Seen | None], within_s: float = 30.0) -> Seen:
    """What ``look`` sees once it sees something; an error that says what is missing when it does not in time."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"no sign of this within {within_s:.0f} s: {what}"
        time.sleep(LOOK_EVERY_S)
    return seen
