"""Spans for the tests of dialects and of joining, made as exporters make them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from monitor.traffic.otlp import Event, Span

START_NS = 1_767_355_200_000_000_000
RESOURCE = {"service.name": "atlas", "service.version": "3.1", "deployment.environment.name": "staging"}


def span_of(
    attributes: Mapping[str, object],
    *,
    name: str = "chat",
    scope: str = "lib",
    number: int = 1,
    parent: int | None = None,
    trace: int = 1,
    at_s: float = 0.0,
    for_s: float = 2.0,
    error: str | None = None,
    raised: tuple[str, str] | None = None,
    events: Sequence[tuple[str, float, Mapping[str, object]]] = (),
    resource: Mapping[str, object] | None = None,
) -> Span:
    """A span that began ``at_s`` seconds into the test and took ``for_s``."""
    start_ns = START_NS + round(at_s * 1e9)
    all_events = [Event(event, start_ns + round(after * 1e9), told) for event, after, told in events]
    if raised:
        told = {"exception.type": raised[0], "exception.message": raised[1]}
        all_events.append(Event("exception", start_ns + round(for_s * 1e9), told))
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_span_id="" if parent is None else f"{parent:016x}",
        name=name,
        scope=scope,
        start_ns=start_ns,
        end_ns=start_ns + round(for_s * 1e9),
        is_error=error is not None,
        status_message=error or "",
        attributes=dict(attributes),
        events=tuple(all_events),
        resource=RESOURCE if resource is None else dict(resource),
    )


def id_of(number: int) -> str:
    """The id of the span of this number."""
    return f"{number:016x}"


def moved(span: Span, by_s: float) -> Span:
    """The span, as much later."""
    by_ns = round(by_s * 1e9)
    return replace(span, start_ns=span.start_ns + by_ns, end_ns=span.end_ns + by_ns)


def payload_of(spans: Sequence[Span]) -> bytes:
    """An export request with these spans."""
    request = ExportTraceServiceRequest()
    for span in spans:
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(_pairs(span.resource))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = span.scope
        code = trace_pb2.Status.STATUS_CODE_ERROR if span.is_error else trace_pb2.Status.STATUS_CODE_UNSET
        message = scope_spans.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_span_id),
            name=span.name,
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
            attributes=_pairs(span.attributes),
            status=trace_pb2.Status(code=code, message=span.status_message),
        )
        for event in span.events:
            message.events.add(
                name=event.name, time_unix_nano=event.at_ns, attributes=_pairs(event.attributes)
            )
    return bytes(request.SerializeToString())


def _pairs(attributes: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=str(value))
