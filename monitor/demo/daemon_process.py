"""The real daemon as a process of its own, as an operator would start it."""

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

STOP_WITHIN_S = 20.0
"""How long the daemon may take to stop in order before it is killed."""
ANSWER_WITHIN_S = 5.0


class DaemonProcess:
    """``anchorwatch run`` on a configuration, inside a ``with`` block; its log goes to a file."""

    def __init__(self, config: Path, data: Path, environment: Mapping[str, str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self.otlp_url = f"http://127.0.0.1:{free_port()}"
        self.log = data / "daemon.log"
        self._command = [sys.executable, "-m", "monitor.cli", "run", "-c", str(config), "--data", str(data)]
        self._command += ["--port", _port(self.url), "--otlp-http-port", _port(self.otlp_url)]
        self._command += ["--no-otlp-grpc"]
        self._environment = os.environ | environment | {"PAGE_URL": self.url}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DaemonProcess":
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is for the story, which then stops the daemon in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def has_ended(self) -> bool:
        """Whether it ended, by itself or because it was stopped."""
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> int:
        """Ask it to stop and wait; gives its exit code."""
        assert self._process is not None  # noqa: S101 - a with block has started it
        self._process.terminate()
        try:
            return self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def is_ready(self) -> bool:
        """Whether it says that it can do its work."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=ANSWER_WITHIN_S).is_success
        except httpx.TransportError:
            return False

    def status(self) -> dict[str, Any] | None:
        """What its API says about everything under watch; ``None`` while it does not answer."""
        try:
            response = httpx.get(f"{self.url}/api/v1/status", timeout=ANSWER_WITHIN_S)
        except httpx.TransportError:
            return None
        return response.json() if response.is_success else None

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log."""
        with self.log.open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, maxlen=lines))


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _port(url: str) -> str:
    return url.rpartition(":")[2]
