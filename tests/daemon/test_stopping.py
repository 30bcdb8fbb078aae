"""SIGTERM and Ctrl-C: runs end or are noted, messages go out or are kept, and it never takes long."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from monitor.demo.serving import LocalServer
from monitor.traffic.receiving.grpc_receiver import SERVICE

from .conftest import Harbour, otlp_json, write_suite
from .endpoint import Endpoint, Mood
from .running import RunningDaemon

CONFIG = """
targets:
  bot: {{base_url: "{url}/bot/v1", model: practice-1, suite: suite.yaml, every: 300ms, timeout: 100s, max_attempts: 1,
    down_after: 1, notify: [oncall]}}
"""


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def daemon(tmp_path: Path, endpoint: Endpoint, harbour: Harbour) -> Iterator[RunningDaemon]:
    write_suite(tmp_path)
    with (
        LocalServer(endpoint.app()) as server,
        RunningDaemon(tmp_path, CONFIG.format(url=server.url) + harbour.config) as daemon,
    ):
        daemon.until("the first run", lambda: daemon.target("bot")["last_run"])
        yield daemon


def in_flight(daemon: RunningDaemon, endpoint: Endpoint) -> str:
    """The id of a run whose requests are on their way."""
    daemon.until("a run asks", lambda: endpoint.active["bot"] == 2)
    return daemon.until("a run", lambda: daemon.rows("SELECT id FROM run WHERE status = 'running'"))[0][0]


def status_of(daemon: RunningDaemon, run_id: str) -> str:
    return daemon.rows("SELECT status FROM run WHERE id = ?", run_id)[0][0]


def test_a_run_in_flight_ends_and_its_page_is_sent_before_the_daemon_goes(daemon, endpoint, harbour) -> None:
    endpoint.moods["bot"], endpoint.latency_s = Mood.UNAUTHORIZED, 4.0
    run_id = in_flight(daemon, endpoint)
    daemon.process.send_signal(signal.SIGTERM)
    # Meanwhile probes are answered, and whoever sends spans is to go elsewhere or to wait.
    readiness = daemon.until("not ready", lambda: None if (one := daemon.get("/readyz")).is_success else one)
    assert readiness.json()["reasons"] == ["the daemon is stopping"]
    assert daemon.get("/healthz").is_success
    assert daemon.incidents("proof/bot/endpoint_down") == []
    with pytest.raises(httpx.NetworkError):  # refused, or reset by the door that closes
        daemon.until("no more spans", lambda: httpx.post(daemon.otlp_url, json=otlp_json(1)) and None, 5)
    assert daemon.process.wait(20) == 0

    assert status_of(daemon, run_id) == "completed"
    ((incident_id, sent_at),) = daemon.rows("SELECT incident_id, sent_at FROM notification")
    assert sent_at is not None
    assert len(harbour.first_messages(incident_id)) == 1


def test_a_message_that_cannot_go_out_is_kept_for_the_next_start(daemon, endpoint, harbour) -> None:
    harbour.slack.rate_limited_calls, harbour.slack.retry_after_s = 10**6, 1
    endpoint.moods["bot"] = Mood.UNAUTHORIZED
    (incident,) = daemon.until("the page", lambda: daemon.incidents("proof/bot/endpoint_down"))
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 15
    assert daemon.rows("SELECT sent_at, failed_at FROM notification") == [(None, None)]
    assert harbour.first_messages(incident["id"]) == []

    harbour.slack.rate_limited_calls = 0
    daemon.start()
    daemon.until("the page is sent", lambda: harbour.first_messages(incident["id"]))
    assert daemon.stop() == 0
    assert len(harbour.first_messages(incident["id"])) == 1


def test_who_presses_ctrl_c_twice_does_not_wait_for_runs_that_hang(daemon, endpoint) -> None:
    endpoint.moods["bot"] = Mood.HANGING
    run_id = in_flight(daemon, endpoint)
    began = time.monotonic()
    assert daemon.stop(signal.SIGINT, signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert status_of(daemon, run_id) == "interrupted"
    assert "a run was interrupted" in daemon.log()


def test_a_sender_over_grpc_that_never_ends_does_not_hold_up_the_stop(daemon: RunningDaemon) -> None:
    with grpc.insecure_channel(daemon.grpc_url.removeprefix("http://")) as channel:
        go_on = threading.Event()

        def nothing() -> Iterator[bytes]:
            go_on.wait()
            yield from ()

        call = channel.stream_unary(f"/{SERVICE}/Export").future(nothing())
        daemon.until("its request is open", lambda: call.running())
        began = time.monotonic()
        assert daemon.stop(signal.SIGTERM, signal.SIGTERM) == 0
        assert time.monotonic() - began < 15
        go_on.set()


def test_a_sender_that_never_ends_does_not_hold_up_the_stop(daemon: RunningDaemon) -> None:
    otlp = socket.create_connection(("127.0.0.1", int(daemon.otlp_url.rpartition(":")[2])))
    otlp.sendall(
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    )
    began = time.monotonic()
    assert daemon.stop(signal.SIGTERM, signal.SIGTERM) == 0
    assert time.monotonic() - began < 15
    otlp.close()
