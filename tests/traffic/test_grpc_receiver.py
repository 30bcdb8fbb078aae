import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from certificates import Authority, Identity
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic import SecretStr

from canaries.clock import SystemClock
from monitor import MonitorError
from monitor.database import Database
from monitor.grpc_serving import Certificates, GrpcServer
from monitor.traffic import OverloadError, StoreError
from monitor.traffic.config import OtlpConfig, TlsConfig
from monitor.traffic.intake import Accepted, Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.receiving.body import InFlight
from monitor.traffic.receiving.grpc_receiver import SERVICE, GrpcTraceReceiver
from monitor.traffic.receiving.http_receiver import TraceReceiver

from .conftest import CHAT, CountingMetrics, Listening

TOKEN = "a-token-of-the-checkout"
SEND_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""What a sender may be told while the server stops: after each it sends the request again, by the protocol."""
LIMITS = OtlpConfig(max_body_bytes=16_384, max_decompressed_bytes=16_384, max_in_flight_bytes=32_768)


@pytest.fixture
def taking(database: Database, clock, metrics: CountingMetrics) -> Intake:
    return Intake(database, clock, metrics)


@contextlib.asynccontextmanager
async def serving(
    intake: Intake, metrics: CountingMetrics, config: OtlpConfig = LIMITS, **options: Any
) -> AsyncIterator[str]:
    """The receiver as the daemon runs it; gives where it is reached."""
    certificates = Certificates(config.tls, Path()) if config.tls else None
    server = GrpcServer(config, 0, certificates)
    task = asyncio.create_task(server.serve(GrpcTraceReceiver(intake, config, metrics, **options)))
    try:
        yield server.address
    finally:
        server.stop()
        await task


Export = Callable[..., Any]


@contextlib.asynccontextmanager
async def sending(address: str) -> AsyncIterator[Export]:
    """What sends bytes as an export request."""
    async with grpc.aio.insecure_channel(address.removeprefix("http://")) as channel:
        yield channel.unary_unary(f"/{SERVICE}/Export")


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return refusal.value


def retry_after_s(error: grpc.aio.AioRpcError) -> int | None:
    """When its details say to come back."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if details is None:
        return None
    status = Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    when = RetryInfo()
    assert status.details[0].Unpack(when)
    return when.retry_delay.seconds


async def counted(of: Intake) -> int:
    return sum(window.calls for window in await of.windows(0, 10**10))


def traced(address: str, **options: Any) -> None:
    """One chat call, by way of the official exporter."""
    exporter = OTLPSpanExporter(address, timeout=5, **options)
    resource = Resource.create({"service.name": "checkout", "service.version": "3.1"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("chat", attributes=CHAT):
        pass
    provider.shutdown()


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"]
)
async def test_the_official_exporter_is_understood(database, metrics, compression) -> None:
    taking = Intake(database, SystemClock(), metrics)
    async with serving(taking, metrics) as address:
        await asyncio.to_thread(traced, address, compression=compression)
    (window,) = await taking.windows(0, 10**10)
    assert (window.series.service, window.series.version, window.calls) == ("checkout", "3.1", 1)
    assert metrics.requests == {200: 1}


async def test_the_official_exporter_sends_again_what_could_not_be_stored(database, metrics) -> None:
    class Flaky(Intake):
        refusals = 1

        async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
            if self.refusals:
                self.refusals -= 1
                raise StoreError("locked", retry_after_s=0)
            return await super().accept(body, encoding)

    taking = Flaky(database, SystemClock(), metrics)
    async with serving(taking, metrics) as address:
        await asyncio.to_thread(traced, address)
    assert metrics.requests == {503: 1, 200: 1}
    assert await counted(taking) == 1


async def test_rejected_spans_are_told_and_the_others_are_counted(taking, metrics, make_payload) -> None:
    old = make_payload(spans=2, ended_at=datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    async with serving(taking, metrics) as address, sending(address) as export:
        answer = await export(old + make_payload())
        assert await export(make_payload(spans=3)) == b""
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "2 spans: ended more than 24 hours ago")
    assert await counted(taking) == 4


@pytest.mark.parametrize(
    "compression",
    [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate],
    ids=["plain", "gzip", "deflate"],
)
async def test_a_message_that_is_too_large_when_unpacked_is_refused_for_good(
    taking, metrics, make_payload, compression
) -> None:
    async with serving(taking, metrics) as address, sending(address) as export:
        error = await refused(export(bytes(16_385), compression=compression))
        assert await export(make_payload(), compression=compression) == b""
    assert (error.code(), retry_after_s(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    assert metrics.requests == {413: 1, 200: 1}
    assert await counted(taking) == 1


async def test_16_mib_are_taken_unless_the_limits_are_changed(metrics) -> None:
    config = OtlpConfig()
    async with serving(Answering(), metrics, config) as address, sending(address) as export:
        assert await export(bytes(16 * 2**20)) == b""
        await refused(export(bytes(16 * 2**20 + 1)))
    assert metrics.requests == {200: 1, 413: 1}


class Answering(Intake):
    """An intake that keeps nothing: it takes everything, or says no."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
        if self._error:
            raise self._error
        return Accepted(0, 0, {})


@pytest.mark.parametrize(
    ("error", "code", "retry_s", "status"),
    [
        (OverloadError("too much", 7), grpc.StatusCode.RESOURCE_EXHAUSTED, 7, 429),
        (StoreError("disk full", 9), grpc.StatusCode.UNAVAILABLE, 9, 503),
        (KeyError("a bug"), grpc.StatusCode.INTERNAL, None, 500),
    ],
    ids=["overload", "database", "bug"],
)
async def test_a_sender_is_told_when_to_come_back(metrics, error, code, retry_s, status) -> None:
    problems: list[str] = []
    options = {"is_news": lambda problem: problems.append(problem) or False}
    async with serving(Answering(error), metrics, **options) as address, sending(address) as export:
        refusal = await refused(export(b""))
    assert (refusal.code(), retry_after_s(refusal)) == (code, retry_s)
    assert "a bug" not in refusal.details()
    assert metrics.requests == {status: 1}
    assert len(problems) == (0 if status == 429 else 1)


async def test_what_is_no_export_is_refused_for_good(taking, metrics) -> None:
    async with serving(taking, metrics) as address, sending(address) as export:
        error = await refused(export(b"\x0a\xff"))
    assert (error.code(), retry_after_s(error)) == (grpc.StatusCode.INVALID_ARGUMENT, None)
    assert "not a protobuf" in error.details()
    assert metrics.requests == {400: 1}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((("authorization", f"Bearer {TOKEN}"),), 200),
        ((("authorization", "Bearer a-guess"),), 401),
        ((), 401),
    ],
    ids=["right", "wrong", "none"],
)
async def test_who_shows_the_token_may_send(taking, metrics, make_payload, headers, status) -> None:
    config = OtlpConfig(token=SecretStr(TOKEN))
    async with serving(taking, metrics, config) as address, sending(address) as export:
        if status == 200:
            await export(make_payload(), metadata=headers)
        else:
            error = await refused(export(make_payload(), metadata=headers))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert TOKEN not in error.details()
    assert metrics.requests == {status: 1}
    assert await counted(taking) == (1 if status == 200 else 0)


async def test_who_shows_no_token_is_refused_before_the_message_is_read(taking, metrics) -> None:
    config = OtlpConfig(token=SecretStr(TOKEN))
    async with (
        serving(taking, metrics, config) as address,
        grpc.aio.insecure_channel(address.removeprefix("http://")) as channel,
    ):
        never_ends = channel.stream_unary(f"/{SERVICE}/Export")()
        assert (await refused(never_ends)).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_same_request_counts_once_also_over_http_and_grpc(taking, metrics, make_payload) -> None:
    body = make_payload(spans=3)
    async with (
        Listening(TraceReceiver(taking, LIMITS, metrics)) as url,
        serving(taking, metrics) as address,
        sending(address) as export,
        httpx.AsyncClient(base_url=url) as client,
    ):
        await export(body)
        await export(body, compression=grpc.Compression.Gzip)
        answer = await client.post(
            "/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}
        )
    assert answer.status_code == 200
    assert (await counted(taking), metrics.repeats) == (3, 2)


class Holding(Intake):
    """An intake that takes its time."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.at_work = asyncio.Semaphore(0)

    async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
        self.at_work.release()
        await self.go_on.wait()
        return Accepted(0, 0, {})


async def test_http_and_grpc_share_the_bound_on_what_is_at_work(metrics) -> None:
    holding, in_flight = Holding(), InFlight(LIMITS.max_in_flight_bytes)
    headers = {"content-type": "application/x-protobuf"}
    async with (
        Listening(TraceReceiver(holding, LIMITS, metrics, in_flight=in_flight)) as url,
        serving(holding, metrics, in_flight=in_flight) as address,
        sending(address) as export,
        httpx.AsyncClient(base_url=url) as client,
    ):
        over_grpc = export(bytes(15_000))
        await holding.at_work.acquire()
        over_http = asyncio.create_task(client.post("/v1/traces", content=bytes(15_000), headers=headers))
        await holding.at_work.acquire()
        error = await refused(export(bytes(15_000)))
        assert (error.code(), retry_after_s(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 5)
        assert (await client.post("/v1/traces", content=bytes(15_000), headers=headers)).status_code == 429
        holding.go_on.set()
        assert (await over_grpc, (await over_http).status_code) == (b"", 200)
        assert await export(bytes(15_000)) == b""


async def test_a_sender_whose_message_does_not_come_is_told_to_come_back(taking, metrics) -> None:
    async with (
        serving(taking, metrics, body_wait_s=0.05) as address,
        grpc.aio.insecure_channel(address.removeprefix("http://")) as channel,
    ):
        error = await refused(channel.stream_unary(f"/{SERVICE}/Export")())
    assert (error.code(), retry_after_s(error)) == (grpc.StatusCode.UNAVAILABLE, 5)
    assert metrics.requests == {503: 1}


async def test_a_request_whose_sender_hangs_up_is_taken_to_its_end(metrics) -> None:
    holding = Holding()
    async with serving(holding, metrics) as address, sending(address) as export:
        call = export(b"")
        await holding.at_work.acquire()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        holding.go_on.set()
    assert metrics.requests == {200: 1}


async def test_who_stops_answers_what_is_at_work_and_takes_nothing_new(metrics) -> None:
    holding, server = Holding(), GrpcServer(LIMITS, 0)
    serve = asyncio.create_task(server.serve(GrpcTraceReceiver(holding, LIMITS, metrics)))
    async with sending(server.address) as export, sending(server.address) as late:
        at_work = export(b"")
        await holding.at_work.acquire()
        server.stop()
        while (error := await refused(late(b"", timeout=0.2))).code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            pass  # taken, as the server had not heard yet that it is to stop
        assert error.code() in SEND_AGAIN
        assert not serve.done()
        holding.go_on.set()
        assert await at_work == b""
        await serve


async def first_refusal(call: Any) -> grpc.aio.AioRpcError | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_a_port_that_somebody_has_is_not_shared() -> None:
    first = GrpcServer(LIMITS, 0)
    with pytest.raises(MonitorError, match=r"cannot listen on 127\.0\.0\.1:"):
        GrpcServer(LIMITS, int(first.address.rpartition(":")[2]))


def test_nothing_loads_grpc_before_the_daemon_needs_it() -> None:
    code = "import monitor.cli, monitor.daemon, sys; sys.exit('grpc' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, timeout=60).returncode == 0


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Identity:
    return authority.issue("anchorwatch")


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Identity:
    return authority.issue("shop")


def trusting(authority: Authority, identity: Identity | None = None) -> grpc.ChannelCredentials:
    """What a sender trusts, and with which certificate it comes."""
    roots = authority.certificate.read_bytes()
    if identity is None:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(roots, identity.key.read_bytes(), identity.certificate.read_bytes())


async def test_the_official_exporter_sends_over_tls_with_a_certificate_and_the_token(
    database, metrics, authority, ours, theirs
) -> None:
    tls = TlsConfig(certificate=ours.certificate, key=ours.key, client_ca=authority.certificate)
    taking = Intake(database, SystemClock(), metrics)
    credentials = trusting(authority, theirs)
    async with serving(taking, metrics, OtlpConfig(token=SecretStr(TOKEN), tls=tls)) as address:
        assert address.startswith("https://")
        for token, status in ((TOKEN, 200), ("another", 401)):
            headers = (("authorization", f"Bearer {token}"),)
            await asyncio.to_thread(traced, address, credentials=credentials, headers=headers)
            assert metrics.requests[status] == 1
    assert await counted(taking) == 1


@pytest.mark.parametrize("needs_certificate", [False, True], ids=["TLS", "mutual TLS"])
async def test_who_has_no_certificate_of_the_authority_is_let_in_only_where_none_is_asked_for(
    metrics, authority, ours, needs_certificate
) -> None:
    client_ca = authority.certificate if needs_certificate else None
    config = OtlpConfig(tls=TlsConfig(certificate=ours.certificate, key=ours.key, client_ca=client_ca))
    async with serving(Answering(), metrics, config) as address:
        place = address.removeprefix("https://")
        async with grpc.aio.secure_channel(place, trusting(authority)) as channel:
            error = await first_refusal(channel.unary_unary(f"/{SERVICE}/Export")(b"", timeout=5))
    assert (error is not None) == needs_certificate
    assert metrics.requests == ({} if needs_certificate else {200: 1})


async def test_a_renewed_certificate_is_shown_without_a_restart(
    metrics, authority, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    # From one authority to another: who trusts the new one alone can come only afterwards.
    new = Authority(tmp_path_factory.mktemp("new"), "new")
    files = Identity(tmp_path / "tls.crt", tmp_path / "tls.key")

    def put(identity: Identity) -> None:
        files.certificate.write_bytes(identity.certificate.read_bytes())
        files.key.write_bytes(identity.key.read_bytes())

    put(authority.issue("before"))
    tls = TlsConfig(certificate=Path("tls.crt"), key=Path("tls.key"))
    config = OtlpConfig(tls=tls)
    certificates = Certificates(tls, tmp_path)
    server = GrpcServer(config, 0, certificates)
    serve = asyncio.create_task(server.serve(GrpcTraceReceiver(Answering(), config, metrics)))
    try:
        place = server.address.removeprefix("https://")
        for trusted in (authority, new):
            async with grpc.aio.secure_channel(place, trusting(trusted)) as channel:
                assert await channel.unary_unary(f"/{SERVICE}/Export")(b"", timeout=5) == b""
            put(new.issue("after"))
            certificates.renew()
    finally:
        server.stop()
        await serve
