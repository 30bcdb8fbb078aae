"""Traces over TLS and with a token, from a configuration to the daemon's port: let in, refused, repeated."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from certificates import Authority

from monitor.traffic.receiving.grpc_receiver import SERVICE

from .conftest import as_protobuf, otlp_json
from .running import RunningDaemon

TOKEN = "a-token-of-the-checkout"
CONFIG = f"""
otlp:
  token: {TOKEN}
  tls: {{certificate: daemon.crt, key: daemon.key, client_ca: authority.crt}}
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    authority = Authority(tmp_path)
    authority.issue("daemon")
    authority.issue("checkout")
    with RunningDaemon(tmp_path, CONFIG) as daemon:
        yield daemon


def send(daemon: RunningDaemon, body: dict[str, object], token: str = TOKEN) -> httpx.Response:
    trust = ssl.create_default_context(cafile=daemon.folder / "authority.crt")
    trust.load_cert_chain(daemon.folder / "checkout.crt", daemon.folder / "checkout.key")
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{daemon.otlp_url}/v1/traces", json=body, headers=headers, verify=trust, timeout=20)


def test_who_may_send_is_counted_once_also_over_a_kill(daemon: RunningDaemon) -> None:
    assert daemon.otlp_url.startswith("https://127.0.0.1:")
    body = otlp_json(3)
    assert send(daemon, body).status_code == 200
    refused = send(daemon, otlp_json(3), "a-guess")
    assert (refused.status_code, refused.json()["message"]) == (401, "the token is not the right one")
    assert "Traces were refused: a sender has not shown the token." in daemon.problems()
    assert daemon.metric("anchorwatch_otlp_requests_total", code="401") == 1
    assert daemon.metric("anchorwatch_calls_total") == 3

    daemon.kill()
    daemon.start()
    assert send(daemon, body).status_code == 200
    assert daemon.metric("anchorwatch_otlp_repeats_total") == 1
    assert daemon.stop() == 0
    assert daemon.rows("SELECT sum(calls) FROM traffic_window") == [(3,)]
    for secret in (TOKEN, "a-guess"):
        assert secret not in daemon.log()


def export(daemon: RunningDaemon, body: bytes, token: str = TOKEN) -> grpc.StatusCode:
    """How a request over gRPC is answered."""
    files = ("authority.crt", "checkout.key", "checkout.crt")
    credentials = grpc.ssl_channel_credentials(*((daemon.folder / file).read_bytes() for file in files))
    with grpc.secure_channel(daemon.grpc_url.removeprefix("https://"), credentials) as channel:
        _, call = channel.unary_unary(f"/{SERVICE}/Export").with_call(
            body, metadata=(("authorization", f"Bearer {token}"),), timeout=20
        )
    return call.code()


def test_who_may_send_over_grpc_is_counted_once_also_over_a_kill(daemon: RunningDaemon) -> None:
    assert daemon.grpc_url.startswith("https://127.0.0.1:")
    body = as_protobuf(otlp_json(3))
    assert export(daemon, body) is grpc.StatusCode.OK
    with pytest.raises(grpc.RpcError) as refused:
        export(daemon, body, "a-guess")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "Traces were refused: a sender has not shown the token." in daemon.problems()
    assert daemon.metric("anchorwatch_otlp_requests_total", code="401") == 1

    daemon.kill()
    daemon.start()
    assert export(daemon, body) is grpc.StatusCode.OK
    assert daemon.metric("anchorwatch_otlp_repeats_total") == 1
    assert daemon.stop() == 0
    assert daemon.rows("SELECT sum(calls) FROM traffic_window") == [(3,)]


def test_a_stranger_at_the_port_of_grpc_leaves_no_line_in_the_log_and_holds_up_no_stop(
    daemon: RunningDaemon,
) -> None:
    port = int(daemon.grpc_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(f"/{SERVICE}/Export")(b"", timeout=1)
    with socket.create_connection(("127.0.0.1", port)):  # one that never begins its handshake
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 15
    assert [json.loads(line)["event"] for line in daemon.log().splitlines()] == [
        "watching",
        "stopping",
        "stopped",
    ]


def test_a_stranger_at_the_port_leaves_no_line_in_the_log_and_holds_up_no_stop(daemon: RunningDaemon) -> None:
    port = int(daemon.otlp_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
    with pytest.raises(httpx.TransportError):
        httpx.get(daemon.otlp_url, timeout=20)
    before = daemon.log()
    with socket.create_connection(("127.0.0.1", port)):  # one that never begins its handshake
        assert daemon.stop() == 0
    assert "error" not in before
    assert "Traceback" not in daemon.log()
