"""``anchorwatch run``: what its options say, and plain lines of it read without what reads all other lines.

typer, rich and click take 12 MB. What a process has loaded once it keeps, and this one goes on for months.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from monitor import MonitorError

if TYPE_CHECKING:
    from monitor.config import Deployment

PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What ``anchorwatch run`` was told."""

    config: Path | None = None
    data: Path = Path()
    port: int | None = None
    otlp_http_port: int | None = None
    otlp_grpc_port: int | None = None
    no_otlp_grpc: bool = False
    verbose: bool = False


_PATHS = {"-c": "config", "--config": "config", "--data": "data"}
_PORTS = {"--port": "port", "--otlp-http-port": "otlp_http_port", "--otlp-grpc-port": "otlp_grpc_port"}
_PORT = re.compile("[0-9]{1,5}")
_FLAGS = {"--no-otlp-grpc": "no_otlp_grpc", "--verbose": "verbose", "-v": "verbose"}


def plain_run(words: Sequence[str]) -> RunOptions | None:
    """The options, when the words are ``run`` and nothing that needs help or is wrong; ``None`` for all other lines."""
    if words[:1] != ["run"]:
        return None
    said: dict[str, Any] = {}
    rest = iter(words[1:])
    for word in rest:
        name, has_value, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in _FLAGS and not has_value:
            said[_FLAGS[name]] = True
            continue
        value = value if has_value else next(rest, "")
        if name in _PATHS and value and not value.startswith("-"):
            said[_PATHS[name]] = Path(value)
        elif name in _PORTS and _PORT.fullmatch(value) and int(value) <= PORT_MAX:
            said[_PORTS[name]] = int(value)
        else:
            return None
    return RunOptions(**said)


def deployment_at(config: Path | None) -> "Deployment":
    """The deployment of the file that was named, else of ``anchorwatch.yaml`` here, else the defaults."""
    from monitor.config import DEFAULT_FILE, load

    if config is None and Path(DEFAULT_FILE).exists():
        config = Path(DEFAULT_FILE)
    return load(config)


def run(options: RunOptions) -> int:
    """Watch until SIGTERM or Ctrl-C; gives the exit code. Raises MonitorError when it cannot start."""
    from monitor.allocation import share_one_heap
    from monitor.left_out import without_ballast

    share_one_heap()
    with without_ballast():
        from monitor.daemon import run_daemon
        from monitor.telemetry import set_up_logging

    set_up_logging(verbose=options.verbose)
    if options.no_otlp_grpc and options.otlp_grpc_port is not None:
        raise MonitorError("--otlp-grpc-port and --no-otlp-grpc say the opposite")
    grpc_port: int | Literal["off"] | None = "off" if options.no_otlp_grpc else options.otlp_grpc_port
    return run_daemon(
        deployment_at(options.config),
        options.data,
        port=options.port,
        otlp_http_port=options.otlp_http_port,
        otlp_grpc_port=grpc_port,
    )
