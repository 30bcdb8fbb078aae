"""What is counted of a request beside its calls: spans that lost something, by service, and calls that came late."""

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.traffic.counting import LATE_S
from monitor.traffic.intake import Intake
from monitor.traffic.lookout import AGE_MAX_S, FUTURE_MAX_S
from monitor.traffic.otlp import Encoding, decode
from monitor.traffic.silence.ingest_counts import OTHER_SERVICES, SERVICES_MAX, Arrived, IngestCounts, Loss

from .conftest import NOON, CountingMetrics, MakePayload

PROTOBUF = Encoding.PROTOBUF


@pytest.fixture
def taking(database, clock, metrics: CountingMetrics) -> Intake:
    return Intake(database, clock, metrics)


def with_dropped(payload: bytes) -> bytes:
    """The same request, whose first span lost attributes and events, and its second links."""
    request = ExportTraceServiceRequest.FromString(payload)
    first, second = request.resource_spans[0].scope_spans[0].spans[:2]
    first.dropped_attributes_count, first.dropped_events_count = 7, 1
    second.dropped_links_count = 3
    return request.SerializeToString()


async def test_spans_that_lost_something_are_counted_by_service_and_by_what(
    taking: Intake, metrics: CountingMetrics, make_payload: MakePayload
) -> None:
    accepted = await taking.accept(with_dropped(make_payload(spans=3)), PROTOBUF)
    assert accepted.calls == 3
    assert metrics.lost == {("shop", Loss.ATTRIBUTES): 1, ("shop", Loss.EVENTS): 1, ("shop", Loss.LINKS): 1}


@pytest.mark.parametrize("count", [7, "7"], ids=["as a number", "as text"])
def test_json_tells_what_was_dropped(count: object) -> None:
    span = {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "1",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "droppedAttributesCount": count,
        "droppedEventsCount": -1,
    }
    body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    (read,) = decode(body, Encoding.JSON).spans
    assert (read.dropped_attributes, read.dropped_events, read.dropped_links) == (7, 0, 0)
    assert read.has_lost


@pytest.mark.parametrize(
    ("ended_at", "loss"),
    [(NOON + FUTURE_MAX_S + 1, Loss.FUTURE), (NOON - AGE_MAX_S - 1, Loss.TOO_OLD)],
    ids=["the future", "too long ago"],
)
async def test_spans_that_are_refused_one_by_one_are_lost_too(
    taking: Intake, metrics: CountingMetrics, make_payload: MakePayload, ended_at: float, loss: Loss
) -> None:
    await taking.accept(make_payload(spans=2, ended_at=ended_at), PROTOBUF)
    assert metrics.lost == {("shop", loss): 2}


@pytest.mark.parametrize(("age_s", "late"), [(LATE_S, 0), (LATE_S + 1, 2)], ids=["two minutes old", "older"])
async def test_calls_that_come_late_are_counted(
    taking: Intake, metrics: CountingMetrics, make_payload: MakePayload, age_s: float, late: int
) -> None:
    await taking.accept(make_payload(spans=2, ended_at=NOON - age_s), PROTOBUF)
    assert metrics.late_calls == late


def test_two_looks_say_what_was_counted_in_between() -> None:
    counts = IngestCounts()
    counts.add(Arrived({"shop": 5}, {("shop", Loss.ATTRIBUTES): 2}))
    counts.requests[200] += 1
    before = counts.copy()
    counts.add(Arrived({"shop": 3, "chat": 1}, {("shop", Loss.ATTRIBUTES): 1}))
    counts.requests[401] += 4
    gain = counts.since(before)
    assert gain.requests == {401: 4}
    assert gain.spans == {"shop": 3, "chat": 1}
    assert gain.lost == {("shop", Loss.ATTRIBUTES): 1}


def test_services_are_bounded() -> None:
    counts = IngestCounts()
    for number in range(SERVICES_MAX + 5):
        counts.add(Arrived({f"service-{number}": 1}))
    assert len(counts.spans) == SERVICES_MAX + 1
    assert counts.spans[OTHER_SERVICES] == 5
