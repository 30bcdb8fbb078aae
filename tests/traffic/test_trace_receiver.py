import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from canaries.clock import SystemClock
from monitor.database import Database
from monitor.traffic import OverloadError, RefusedError, StoreError
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Accepted, Intake
from monitor.traffic.otlp import Encoding
from monitor.traffic.receiving import http_receiver as receiver
from monitor.traffic.receiving.http_receiver import TraceReceiver
from monitor.traffic.receiving.unpacking import Unpacker

from .conftest import CHAT, CountingMetrics, Listening

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
LIMITS = OtlpConfig(max_body_bytes=4_096, max_decompressed_bytes=16_384, max_in_flight_bytes=32_768)


@pytest.fixture
def taking(database: Database, clock, metrics: CountingMetrics) -> Intake:
    return Intake(database, clock, metrics)


@pytest.fixture
async def client(taking: Intake, metrics: CountingMetrics) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        Listening(TraceReceiver(taking, LIMITS, metrics)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        yield client


async def counted(of: Intake) -> int:
    return sum(window.calls for window in await of.windows(0, 10**10))


@pytest.mark.parametrize("path", receiver.PATHS)
@pytest.mark.parametrize(
    ("packing", "pack"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)],
    ids=["plain", "gzip", "deflate", "zstd"],
)
async def test_protobuf_is_taken(client, taking, metrics, make_payload, path, packing, pack) -> None:
    body = pack(make_payload(spans=3))
    answer = await client.post(path, content=body, headers=PROTOBUF | {"content-encoding": packing})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert await counted(taking) == 3
    assert metrics.requests == {200: 1}


@pytest.mark.parametrize(
    "body",
    [
        {"resource_spans": [{"scope_spans": [{"spans": [{"name": "chat"}]}]}]},
        {"resourceSpans": [{"scope_spans": [{"spans": [{"name": "chat"}]}]}]},
    ],
    ids=["all", "a part"],
)
async def test_names_that_are_passed_over_by_the_standard_are_told_to_the_sender(client, body) -> None:
    answer = await client.post("/v1/traces", json=body, headers=JSON)
    assert answer.status_code == 200
    told = answer.json()["partialSuccess"]
    assert (told["rejectedSpans"], "resourceSpans, not resource_spans" in told["errorMessage"]) == ("0", True)


@pytest.mark.parametrize("body", [{}, {"resourceSpans": []}], ids=["nothing", "no spans"])
async def test_an_empty_request_has_no_warning(client, body) -> None:
    assert (await client.post("/v1/traces", json=body, headers=JSON)).json() == {}


async def test_json_is_taken_and_answered_in_json(client, taking, clock) -> None:
    end = int(clock.now().timestamp() * 1e9)
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
    ]
    good = {
        "traceId": "a" * 32,
        "spanId": "b" * 16,
        "startTimeUnixNano": end - 1,
        "endTimeUnixNano": str(end),
        "attributes": attributes,
    }
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [good, good | {"spanId": "short"}]}]}]}
    answer = await client.post(
        "/v1/traces", json=body, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 span: no valid trace or span id"}
    }
    assert await counted(taking) == 1


async def test_rejected_spans_are_told_in_protobuf(client, taking, make_payload) -> None:
    old = make_payload(spans=2, ended_at=datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    answer = await client.post("/v1/traces", content=old + make_payload(), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "2 spans: ended more than 24 hours ago")
    assert await counted(taking) == 1


@pytest.mark.parametrize(
    ("packing", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)], ids=["gzip", "zstd"]
)
async def test_a_body_in_chunks_of_joined_members_is_whole(
    client, taking, make_payload, packing, pack
) -> None:
    packed = pack(make_payload(spans=2)) + pack(make_payload(spans=1))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(packed), 7):
            yield packed[start : start + 7]

    answer = await client.post(
        "/v1/traces", content=chunks(), headers=PROTOBUF | {"content-encoding": packing}
    )
    assert answer.status_code == 200
    assert await counted(taking) == 3


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "text"),
    [
        ("POST", "/v1/metrics", PROTOBUF, b"", 404, "traces are taken at /v1/traces"),
        ("GET", "/v1/traces", PROTOBUF, b"", 405, "traces are taken by POST"),
        ("POST", "/v1/traces", {"content-type": "text/plain"}, b"x", 415, "content type must be"),
        ("POST", "/v1/traces", {}, b"x", 415, "content type must be"),
        ("POST", "/v1/traces", PROTOBUF | {"content-encoding": "br"}, b"x", 415, "content encoding must be"),
        ("POST", "/v1/traces", PROTOBUF, b"\x0a\xff", 400, "not a protobuf"),
        ("POST", "/v1/traces", JSON, b"{", 400, "not JSON"),
        (
            "POST",
            "/v1/traces",
            PROTOBUF | {"content-encoding": "gzip"},
            b"plain as it is",
            400,
            "is not gzip",
        ),
        ("POST", "/v1/traces", PROTOBUF | {"content-encoding": "deflate"}, b"plain", 400, "is not deflate"),
        ("POST", "/v1/traces", PROTOBUF | {"content-encoding": "zstd"}, b"plain", 400, "is not zstd"),
        (
            "POST",
            "/v1/traces",
            PROTOBUF | {"content-encoding": "zstd"},
            zstandard.compress(b"x" * 500)[:-1],
            400,
            "ends in the middle",
        ),
        (
            "POST",
            "/v1/traces",
            PROTOBUF | {"content-encoding": "gzip"},
            gzip.compress(b"x" * 500)[:-9],
            400,
            "ends in the middle",
        ),
        ("POST", "/v1/traces", PROTOBUF, b"x" * 4_097, 413, "larger than 4096 bytes"),
        (
            "POST",
            "/v1/traces",
            JSON | {"content-encoding": "gzip"},
            gzip.compress(b" " * 16_385),
            413,
            "unpacks to more than 16384",
        ),
    ],
    ids=[
        "other path",
        "other method",
        "other type",
        "no type",
        "other packing",
        "bad protobuf",
        "bad JSON",
        "not gzip",
        "not deflate",
        "not zstd",
        "cut zstd",
        "cut gzip",
        "too large",
        "unpacks too large",
    ],
)
async def test_what_cannot_be_taken_is_refused_for_good(
    client, taking, metrics, method, path, headers, body, status, text
) -> None:
    answer = await client.request(method, path, content=body, headers=headers)
    assert answer.status_code == status
    assert "retry-after" not in answer.headers
    if headers.get("content-type") == PROTOBUF["content-type"]:
        assert text in Status.FromString(answer.content).message
    else:
        assert text in answer.json()["message"]
    assert metrics.requests == {status: 1}
    assert await counted(taking) == 0


async def test_sizes_at_the_limits_are_taken(client) -> None:
    assert (await client.post("/v1/traces", content=b" " * 4_094 + b"{}", headers=JSON)).status_code == 200
    packed = gzip.compress(b" " * 16_382 + b"{}")
    answer = await client.post("/v1/traces", content=packed, headers=JSON | {"content-encoding": "gzip"})
    assert answer.status_code == 200


async def test_a_bomb_is_stopped_at_the_limit_and_the_next_request_is_served(
    client, taking, make_payload
) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(100_000)) for _ in range(30)) + packer.flush()
    assert len(bomb) < 4_096
    headers = PROTOBUF | {"content-encoding": "gzip"}
    for _ in range(5):
        assert (await client.post("/v1/traces", content=bomb, headers=headers)).status_code == 413
    assert (await client.post("/v1/traces", content=make_payload(), headers=PROTOBUF)).status_code == 200
    assert await counted(taking) == 1


@pytest.mark.parametrize(
    ("packing", "bomb", "peak_max"),
    [
        ("gzip", gzip.compress(bytes(30_000_000)), 500_000),
        ("zstd", zstandard.compress(bytes(300_000_000)), 30_000_000),
    ],
    ids=["gzip", "zstd"],
)
def test_a_bomb_never_takes_much_more_memory_than_the_limit(packing: str, bomb: bytes, peak_max: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError):
            Unpacker(10_000, packing).feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < peak_max


class Refusing(Intake):
    """An intake that says no."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "code"),
    [
        (OverloadError("too much", 7), 429, "7", 8),
        (StoreError("disk full", 9), 503, "9", 14),
        (KeyError("a bug"), 500, None, 13),
    ],
    ids=["overload", "database", "bug"],
)
async def test_a_sender_is_told_when_to_come_back(metrics, error, status, retry_after, code) -> None:
    async with (
        Listening(TraceReceiver(Refusing(error), LIMITS, metrics)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        answer = await client.post("/v1/traces", content=b"", headers=PROTOBUF)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    message = Status.FromString(answer.content)
    assert message.code == code
    assert "a bug" not in message.message


class Holding(Intake):
    """An intake that takes its time."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.at_work = asyncio.Semaphore(0)

    async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
        self.at_work.release()
        await self.go_on.wait()
        return Accepted(0, 0, {})


async def test_bytes_in_flight_are_bounded_and_given_back(metrics) -> None:
    holding = Holding()
    packed = gzip.compress(bytes(15_000))
    headers = PROTOBUF | {"content-encoding": "gzip"}
    async with (
        Listening(TraceReceiver(holding, LIMITS, metrics)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        held = [
            asyncio.create_task(client.post("/v1/traces", content=packed, headers=headers)) for _ in range(2)
        ]
        for _ in held:
            await holding.at_work.acquire()
        refused = await client.post("/v1/traces", content=packed, headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        holding.go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]
        assert (await client.post("/v1/traces", content=packed, headers=headers)).status_code == 200


async def test_a_request_as_large_as_the_bound_is_taken(taking, metrics) -> None:
    config = OtlpConfig(max_body_bytes=4_096, max_decompressed_bytes=16_384, max_in_flight_bytes=16_384)
    packed = gzip.compress(b" " * 16_382 + b"{}")
    async with (
        Listening(TraceReceiver(taking, config, metrics)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        for _ in range(3):
            answer = await client.post(
                "/v1/traces", content=packed, headers=JSON | {"content-encoding": "gzip"}
            )
            assert answer.status_code == 200


async def test_a_request_that_holds_too_many_spans_is_refused_whole(taking, metrics, make_payload) -> None:
    packed = gzip.compress(make_payload() + make_payload(attributes={}) * 20_000)
    headers = PROTOBUF | {"content-encoding": "gzip"}
    async with (
        Listening(TraceReceiver(taking, OtlpConfig(), metrics)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        answer = await client.post("/v1/traces", content=packed, headers=headers)
    assert (answer.status_code, answer.headers.get("retry-after")) == (413, None)
    assert Status.FromString(answer.content).message == (
        "the request holds more than 20000 spans; send smaller batches"
    )
    assert await counted(taking) == 0


async def test_a_sender_whose_body_comes_too_slowly_is_told_to_come_back(taking, metrics) -> None:
    async with Listening(TraceReceiver(taking, LIMITS, metrics, body_wait_s=0.05)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5\r\n" in answer
    assert metrics.requests == {503: 1}


async def test_a_sender_that_hangs_up_in_the_middle_leaves_nothing_behind(client, taking, metrics) -> None:
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\n"
    writer.write(head.encode() + bytes(100))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client.post("/v1/traces", content=b"{}", headers=JSON)).status_code == 200
    assert metrics.requests == {200: 1}


def traced(exporter: OTLPSpanExporter, attributes: dict[str, object]) -> None:
    resource = Resource.create({"service.name": "checkout", "service.version": "3.1"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("chat", attributes=attributes):
        pass
    provider.shutdown()


@pytest.mark.parametrize("compression", list(Compression), ids=str)
async def test_the_official_exporter_is_understood(database, metrics, compression) -> None:
    taking = Intake(database, SystemClock(), metrics)
    async with Listening(TraceReceiver(taking, OtlpConfig(), metrics)) as url:
        exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=compression)
        await asyncio.to_thread(traced, exporter, CHAT)
    (window,) = await taking.windows(0, 10**10)
    assert (window.series.service, window.series.version, window.calls) == ("checkout", "3.1", 1)
    assert window.output_tokens.total == 100


async def test_what_the_official_exporter_sends_again_after_its_answer_got_lost_counts_once(
    database, metrics
) -> None:
    class Forgetful(Intake):
        answers_lost = 1

        async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
            accepted = await super().accept(body, encoding)
            if self.answers_lost:
                self.answers_lost -= 1
                raise StoreError("stored, but nobody will know", retry_after_s=0)
            return accepted

    taking = Forgetful(database, SystemClock(), metrics)
    async with Listening(TraceReceiver(taking, OtlpConfig(), metrics)) as url:
        exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip)
        await asyncio.to_thread(traced, exporter, CHAT)
    assert metrics.requests == {503: 1, 200: 1}
    assert (await counted(taking), metrics.repeats) == (1, 1)


async def test_the_official_exporter_sends_again_what_could_not_be_stored(database, metrics) -> None:
    class Flaky(Intake):
        refusals = 1

        async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
            if self.refusals:
                self.refusals -= 1
                raise StoreError("locked", retry_after_s=0)
            return await super().accept(body, encoding)

    taking = Flaky(database, SystemClock(), metrics)
    async with Listening(TraceReceiver(taking, OtlpConfig(), metrics)) as url:
        exporter = OTLPSpanExporter(f"{url}/v1/traces")
        results: list[SpanExportResult] = []
        export = exporter.export
        exporter.export = lambda spans: results.append(export(spans)) or results[-1]  # type: ignore[method-assign]
        await asyncio.to_thread(traced, exporter, CHAT)
    assert results == [SpanExportResult.SUCCESS]
    assert metrics.requests == {503: 1, 200: 1}
    assert await counted(taking) == 1
