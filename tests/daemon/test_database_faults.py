"""A full disk, a limit on files, a locked database: nothing acknowledged is lost, runs wait, and people see why."""

import contextlib
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from real_parts import require

from monitor.demo.serving import LocalServer

from .conftest import otlp_json, write_suite
from .endpoint import Endpoint
from .running import RunningDaemon

CONFIG = """
targets:
  bot: {{base_url: "{url}/bot/v1", model: practice-1, suite: suite.yaml, every: 300ms, baseline: {{runs: 12}}}}
watches:
  - {{name: checkout-p95, measure: latency_p95, above: 8s, over: 1m}}
watch_every: 1s
"""
DISK = "6m"


class Berth:
    """A daemon with one busy target, and spans that come in all the time."""

    def __init__(self, daemon: RunningDaemon, endpoint: Endpoint) -> None:
        self.daemon, self.endpoint = daemon, endpoint
        self.acknowledged = 0

    def send_spans(self) -> httpx.Response:
        answer = httpx.post(self.daemon.otlp_url + "/v1/traces", json=otlp_json(5), timeout=30)
        self.acknowledged += 5 * answer.is_success
        return answer

    def runs(self, status: str) -> list[str]:
        return [run for (run,) in self.daemon.rows("SELECT id FROM run WHERE status = ?", status)]

    def one_in_flight(self) -> str:
        """The id of a run that asks just now, and will for a second."""
        self.endpoint.latency_s = 1.0
        self.daemon.until("a slow run has begun", lambda: self.endpoint.active["bot"] == 2)
        return self.daemon.until("a run in flight", lambda: self.runs("running"))[0]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the daemon; on a small disk of its own where we may mount one."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "data").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder / "data")]
    try:
        is_mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    yield folder
    if is_mounted:
        subprocess.run(["umount", str(folder / "data")], check=True)


@pytest.fixture(scope="module")
def berth(data_folder: Path) -> Iterator[Berth]:
    endpoint = Endpoint()
    write_suite(data_folder)
    with (
        LocalServer(endpoint.app()) as server,
        RunningDaemon(data_folder, CONFIG.format(url=server.url)) as daemon,
    ):
        yield Berth(daemon, endpoint)


@contextmanager
def full_disk(daemon: RunningDaemon) -> Iterator[None]:
    require("a small disk", daemon.data.is_mount(), "running as root, who alone can mount one")
    ballast = daemon.data / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def files_that_may_not_grow(daemon: RunningDaemon) -> Iterator[None]:
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    # Its log is a file too.
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def locked_database(daemon: RunningDaemon) -> Iterator[None]:
    other = sqlite3.connect(daemon.data / "anchorwatch.sqlite", isolation_level=None, timeout=20)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


FAULTS = [
    pytest.param(files_that_may_not_grow, "disk I/O error", id="file size limit"),
    pytest.param(locked_database, "database is locked", id="locked"),
    pytest.param(full_disk, "database or disk is full", id="full disk", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
def test_nothing_is_lost_while_the_database_cannot_be_written(
    berth: Berth, fault: Callable[[RunningDaemon], AbstractContextManager[None]], reason: str
) -> None:
    daemon = berth.daemon
    assert berth.send_spans().status_code == 200
    in_flight = berth.one_in_flight()
    with fault(daemon):
        refused = daemon.until(
            "spans are refused", lambda: None if (one := berth.send_spans()).is_success else one
        )
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert reason in refused.text

        readiness = daemon.until(
            "not ready", lambda: None if (one := daemon.get("/readyz")).is_success else one, 40
        )
        assert readiness.json()["reasons"] == [f"the database cannot be written: {reason}"]
        assert daemon.metric("anchorwatch_database_writable") == 0
        assert f"Traces were refused: calls could not be stored: {reason}." in daemon.problems()
        daemon.until(
            "the run waits", lambda: f"A run of bot waits for the database: {reason}." in daemon.problems()
        )
        assert f"The database cannot be written: {reason}." in daemon.get("/").text
        assert daemon.get("/healthz").is_success

        requests = berth.endpoint.requests["bot"]
        assert in_flight in berth.runs("running")
        berth.endpoint.latency_s = 0.0
    daemon.until("ready again", lambda: daemon.get("/readyz").is_success, 40)
    daemon.until("the run that waited is stored", lambda: in_flight in berth.runs("completed"), 40)
    daemon.until("runs go on", lambda: berth.endpoint.requests["bot"] > requests + 4)
    assert berth.send_spans().status_code == 200
    assert daemon.metric("anchorwatch_database_writable") == 1
    assert daemon.metric("anchorwatch_runs_total", status="not_stored") == 0
    assert daemon.metric("anchorwatch_failures_total") == 0


def test_what_was_acknowledged_is_there_once_and_no_run_is_half(berth: Berth) -> None:
    assert berth.daemon.stop() == 0
    (stored,) = berth.daemon.rows("SELECT sum(calls) FROM traffic_window")
    assert stored == (berth.acknowledged,)
    assert set(berth.daemon.rows("SELECT DISTINCT status FROM run")) == {("completed",)}
    (halves,) = berth.daemon.rows(
        "SELECT count(*) FROM run WHERE 2 <> (SELECT count(*) FROM completion WHERE run_id = run.id)"
    )
    assert halves == (0,)
    assert len(berth.daemon.log().splitlines()) < 60
