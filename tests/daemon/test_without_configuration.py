"""``anchorwatch run`` in an empty folder: everything is there on loopback, with defaults."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from real_parts import ROOT, program

from monitor.traffic.receiving.grpc_receiver import SERVICE

from .conftest import as_protobuf, otlp_json
from .running import RunningDaemon

CALLS = 3
TAKEN_MAX_MIB = 240
"""What the daemon takes with a price list and pages loaded is some 160 MiB."""

MORE_MAX_MIB = 20
"""Two thousand calls that are remembered and not folded yet take a few of them."""

FREE_PORTS = ("--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("bare")) as daemon:
        yield daemon


def test_it_says_on_stdout_where_it_listens_on_loopback(daemon: RunningDaemon) -> None:
    ports = {
        int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)", url).group(1))  # type: ignore[union-attr]
        for url in (daemon.url, daemon.otlp_url, daemon.grpc_url)
    }
    assert len(ports) == 3
    assert not ports & {0, 8700, 4317, 4318}


def test_it_is_alive_and_ready_and_has_a_page_and_a_reference(daemon: RunningDaemon) -> None:
    assert daemon.get("/healthz").json() == {"status": "ok"}
    assert daemon.get("/readyz").json() == {"ready": True, "reasons": []}
    assert "Nothing is under watch yet." in daemon.get("/").text
    assert daemon.get("/api/docs").is_success


def test_its_status_tells_of_a_watch_without_work(daemon: RunningDaemon) -> None:
    status = daemon.status()
    assert (status["targets"], status["watches"], status["incidents"], status["problems"]) == ([], [], [], [])
    assert status["budget"] == {"pages_per_quarter": 0.25, "pages_this_quarter": 0, "rules": []}


ENCODINGS = {
    "json": ("application/json", lambda export: json.dumps(export).encode(), {}),
    "protobuf": ("application/x-protobuf", as_protobuf, {}),
    "protobuf, packed": (
        "application/x-protobuf",
        lambda export: gzip.compress(as_protobuf(export)),
        {"content-encoding": "gzip"},
    ),
}


@pytest.mark.parametrize(("content_type", "encode", "headers"), ENCODINGS.values(), ids=ENCODINGS)
def test_spans_are_taken_and_counted(daemon: RunningDaemon, content_type: str, encode, headers) -> None:
    before = daemon.metric("anchorwatch_calls_total", service="checkout", model="gpt-4o-mini")
    answer = httpx.post(
        daemon.otlp_url + "/v1/traces",
        content=encode(otlp_json(CALLS)),
        headers={"content-type": content_type, **headers},
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    if content_type != "application/json":
        assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    after = daemon.metric("anchorwatch_calls_total", service="checkout", model="gpt-4o-mini")
    assert after - before == CALLS
    assert daemon.status()["ingest"]["calls"] == daemon.metric("anchorwatch_spans_total", result="call")


def test_spans_are_taken_over_grpc_and_counted(daemon: RunningDaemon) -> None:
    before = daemon.metric("anchorwatch_calls_total", service="checkout", model="gpt-4o-mini")
    with grpc.insecure_channel(daemon.grpc_url.removeprefix("http://")) as channel:
        export = channel.unary_unary(f"/{SERVICE}/Export")
        body = as_protobuf(otlp_json(CALLS))
        for _ in range(2):
            assert export(body, compression=grpc.Compression.Gzip, timeout=20) == b""
    after = daemon.metric("anchorwatch_calls_total", service="checkout", model="gpt-4o-mini")
    assert after - before == CALLS


@pytest.mark.skipif(sys.platform != "linux", reason="the most that a process took is told by /proc")
def test_requests_by_the_hundred_leave_its_memory_as_it_was(daemon: RunningDaemon) -> None:
    with httpx.Client(headers={"content-type": "application/x-protobuf"}) as sender:
        taken_mib = []
        for _ in range(2):
            for _ in range(100):
                assert sender.post(
                    daemon.otlp_url + "/v1/traces", content=as_protobuf(otlp_json(20))
                ).is_success
            taken_mib.append(daemon.memory_max_mib())
    assert taken_mib[0] < TAKEN_MAX_MIB
    assert taken_mib[1] < taken_mib[0] + MORE_MAX_MIB


def test_every_metric_on_the_board_is_exported(daemon: RunningDaemon) -> None:
    board = (ROOT / "dashboards" / "grafana" / "overview.json").read_text()
    on_board = {re.sub(r"_(total|bucket)$", "", name) for name in re.findall(r"anchorwatch_\w+", board)}
    exported = set(re.findall(r"^# TYPE (\w+)", daemon.get("/metrics").text, re.MULTILINE))
    assert on_board <= {re.sub(r"_total$", "", name) for name in exported}


@pytest.mark.real
def test_prometheus_own_check_finds_nothing_wrong_with_the_metrics(daemon: RunningDaemon) -> None:
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=daemon.get("/metrics").content,
        capture_output=True,
        timeout=30,
    )
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_a_second_daemon_on_the_same_file_is_refused_in_one_line(daemon, command, capfd) -> None:
    assert command("run", "--data", str(daemon.data), *FREE_PORTS) == 2
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert "another Anchorwatch daemon already runs on this database" in line
    assert "--data" in line
    assert daemon.get("/readyz").is_success


PORTS = {
    "--port": "http: {port: ...}",
    "--otlp-http-port": "otlp: {http_port: ...}",
    "--otlp-grpc-port": "otlp: {grpc_port: ...}",
}


@pytest.mark.parametrize("option", PORTS)
def test_a_port_that_is_taken_is_one_line_that_names_the_option_and_the_key_and_how_to_find_who_has_it(
    daemon, option, command, capfd, tmp_path
) -> None:
    port = daemon.grpc_url.rpartition(":")[2]
    assert command("run", "--data", str(tmp_path), *FREE_PORTS, option, port) == 2  # the last one counts
    (line,) = capfd.readouterr().err.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line
    for said in (f"{option} or {PORTS[option]}", f"ss -ltnp sport = :{port}", f"lsof -nP -iTCP:{port}"):
        assert said in line
    assert ("--no-otlp-grpc" in line) is (option == "--otlp-grpc-port")


def test_all_ports_that_are_taken_are_told_together(daemon, command, capfd, tmp_path) -> None:
    port = daemon.grpc_url.rpartition(":")[2]
    taken = [word for option in PORTS for word in (option, port)]
    assert command("run", "--data", str(tmp_path), *taken) == 2
    lines = capfd.readouterr().err.splitlines()
    assert [option in line for option, line in zip(PORTS, lines, strict=True)] == [True] * 3


def test_alerts_list_works_beside_the_daemon(daemon, command, capfd) -> None:
    assert command("alerts", "list", "--data", str(daemon.data)) == 0
    assert capfd.readouterr().out.strip() == "nothing is wrong"


def test_it_logs_nothing_while_all_is_well(daemon: RunningDaemon) -> None:
    assert [json.loads(line)["event"] for line in daemon.log().splitlines()] == ["watching"]


def test_it_takes_no_grpc_and_does_not_even_load_it_when_told_so(tmp_path) -> None:
    with RunningDaemon(tmp_path / "bare", options=("--no-otlp-grpc",)) as daemon:
        assert daemon.grpc_url == ""
        assert "cygrpc" not in Path(f"/proc/{daemon.pid}/maps").read_text()
        assert httpx.post(daemon.otlp_url + "/v1/traces", json=otlp_json(CALLS)).is_success


def test_it_stops_when_asked_and_the_spans_are_there_at_the_next_start(tmp_path) -> None:
    # A daemon of its own: the tests of this file may be spread over processes, each with another ``daemon``.
    with RunningDaemon(tmp_path / "bare") as daemon:
        assert httpx.post(daemon.otlp_url + "/v1/traces", json=otlp_json(CALLS)).is_success
        assert daemon.stop() == 0
        assert [json.loads(line)["event"] for line in daemon.log().splitlines()] == [
            "watching",
            "stopping",
            "stopped",
        ]
        assert daemon.rows("SELECT sum(calls) FROM traffic_window") == [(CALLS,)]
        daemon.start()
        assert daemon.rows("SELECT sum(calls) FROM traffic_window") == [(CALLS,)]
