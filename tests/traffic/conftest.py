"""Calls, payloads and counters that the tests of the traffic arm build on."""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from monitor.serving import server
from monitor.traffic.calls import Call, CostBasis, Operation
from monitor.traffic.receiving.http_receiver import TraceReceiver
from monitor.traffic.receiving.http_server import HttpServer
from monitor.traffic.silence.ingest_counts import Arrived, Loss

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()

CALL = Call(
    operation=Operation.CHAT,
    provider="openai",
    request_model="gpt-4o-mini",
    response_model="gpt-4o-mini-2024-07-18",
    response_id="chatcmpl-1",
    input_tokens=1_000,
    cached_input_tokens=None,
    cache_write_input_tokens=None,
    output_tokens=100,
    reasoning_tokens=None,
    error=False,
    error_class=None,
    http_status=None,
    finish_reason=None,
    streaming=None,
    ttft_s=None,
    duration_s=1.0,
    session_id=None,
    service_name="shop",
    service_version="1.0",
    environment="production",
    cost_usd=None,
    cost_basis=CostBasis.UNPRICED,
    dialect="otel_genai",
    span_ids=("00f067aa0ba902b7",),
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    started_at=NOON - 1,
    ended_at=NOON,
)

MakeCall = Callable[..., Call]
MakePayload = Callable[..., bytes]


@pytest.fixture
def make_call() -> MakeCall:
    """An ordinary call, with what the test cares about changed."""

    def make(**changes: Any) -> Call:
        return replace(CALL, **changes)

    return make


def any_value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    return AnyValue(string_value=str(value))


def key_values(values: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
}


@pytest.fixture
def make_payload() -> MakePayload:
    """A protobuf export request of ``spans`` equal spans with ids of their own, ending at ``ended_at``."""
    ids = itertools.count(1)

    def make(
        *,
        spans: int = 1,
        attributes: Mapping[str, object] = CHAT,
        ended_at: float = NOON,
        duration_s: float = 1.0,
        service: str = "shop",
        scope: str = "tests",
        is_error: bool = False,
        status_message: str = "",
    ) -> bytes:
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(
            key_values(
                {
                    "service.name": service,
                    "service.version": "1.0",
                    "deployment.environment.name": "production",
                }
            )
        )
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = scope
        for number in itertools.islice(ids, spans):
            span = scope_spans.spans.add(
                name="chat", trace_id=number.to_bytes(16), span_id=number.to_bytes(8)
            )
            span.end_time_unix_nano = round(ended_at * 1e9)
            span.start_time_unix_nano = round((ended_at - duration_s) * 1e9)
            span.attributes.extend(key_values(attributes))
            span.status.code = 2 if is_error else 0
            span.status.message = status_message
        return request.SerializeToString()

    return make


class CountingMetrics:
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()
        self.calls: Counter[tuple[str, ...]] = Counter()
        self.unpriced: Counter[tuple[str, str]] = Counter()
        self.costs: Counter[tuple[str, str]] = Counter()
        self.requests: Counter[int] = Counter()
        self.repeats = 0
        self.late_calls = 0
        self.overflowed = 0
        self.lost: Counter[tuple[str, Loss]] = Counter()
        self.joined = 0
        self.checks: Counter[tuple[str, str, str]] = Counter()

    def count_spans(self, result: str, spans: int) -> None:
        self.spans[result] += spans

    def count_call(self, labels: tuple[str, ...], by: int = 1) -> None:
        self.calls[labels] += by

    def count_unpriced(self, service: str, model: str, by: int = 1) -> None:
        self.unpriced[service, model] += by

    def count_cost(self, service: str, basis: str, by: int = 1) -> None:
        self.costs[service, basis] += by

    def count_check(self, service: str, validator: str, result: str, by: int = 1) -> None:
        self.checks[service, validator, result] += by

    def count_joined(self, by: int = 1) -> None:
        self.joined += by

    def count_request(self, code: int) -> None:
        self.requests[code] += 1

    def count_late(self, by: int = 1) -> None:
        self.late_calls += by

    def count_overflow(self, by: int = 1) -> None:
        self.overflowed += by

    def count_arrived(self, arrived: Arrived) -> None:
        self.lost.update(arrived.lost)

    def count_repeat(self) -> None:
        self.repeats += 1


@pytest.fixture
def metrics() -> CountingMetrics:
    return CountingMetrics()


class Listening:
    """A server that runs while a test does."""

    def __init__(self, served: TraceReceiver | Any) -> None:
        self._served = served
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()  # from here on clients can connect, and wait until the server is up
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> str:
        if isinstance(self._served, TraceReceiver):
            traces = HttpServer(self._served)
            self._stop = traces.stop
            self._serving = asyncio.create_task(traces.serve(self._socket))
        else:
            pages = server(self._served)
            self._stop = lambda: setattr(pages, "should_exit", True)
            self._serving = asyncio.create_task(pages.serve(sockets=[self._socket]))
        return self.url

    async def __aexit__(self, *_: object) -> None:
        self._stop()
        await self._serving
        self._socket.close()
