"""OTLP trace export requests: bytes to spans, and what is answered.

The body of a request is somebody else's: whatever it holds, reading it gives spans, spans that were left out
with the reason, or an ``OtlpError``.
"""

import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from google.protobuf.message import DecodeError, EncodeError
from google.rpc.status_pb2 import Status as RpcStatus  # type: ignore[import-untyped]  # it has no stubs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from . import OtlpError
from .otlp_size import check_json, check_protobuf, check_spans

DEPTH_MAX = 8
"""How deep lists and maps inside an attribute are read; what lies deeper is left out."""

NO_IDS = "no valid trace or span id"
NO_TIMES = "no start or no end time"
"""Why spans are left out."""

NO_TRACE, NO_SPAN = bytes(16), bytes(8)
"""Ids of nothing: W3C and OTLP call them invalid, and some exporters write the second for "no parent"."""

_NO_TRACE, _NO_SPAN = NO_TRACE.hex(), NO_SPAN.hex()
_ERROR_CODES = (2, "2", "STATUS_CODE_ERROR")


class Encoding(StrEnum):
    """How a request's body is written; the answer is written the same way. The value is the content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Span:
    """One span with its resource. Ids are lower-case hex, times are unix nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    scope: str
    start_ns: int
    end_ns: int
    is_error: bool
    status_message: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    resource: Mapping[str, object] = field(default_factory=dict)
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0

    @property
    def has_lost(self) -> bool:
        """Whether the sender dropped parts of it, by limits of its own."""
        return bool(self.dropped_attributes or self.dropped_events or self.dropped_links)

    @property
    def duration_s(self) -> float:
        """From start to end; 0 when the clock went backwards in between."""
        return max(0, self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a request holds: its spans, and how many were left out for which reason."""

    spans: Sequence[Span]
    rejected: Mapping[str, int]


def decode(body: bytes, encoding: Encoding) -> Decoded:
    """The spans of an export request.

    Raises OtlpError when ``body`` is none, OversizeError when it holds more than one request may.
    """
    return _decode_protobuf(body) if encoding is Encoding.PROTOBUF else _decode_json(body)


def response(encoding: Encoding, rejected: Mapping[str, int], warning: str = "") -> bytes:
    """The answer to an accepted request; rejected spans and a warning are told as OTLP's partial success."""
    count = sum(rejected.values())
    reasons = (
        f"{number} {'span' if number == 1 else 'spans'}: {reason}"
        for reason, number in sorted(rejected.items())
    )
    reason = "; ".join((*reasons, *([warning] if warning else [])))
    if encoding is Encoding.JSON:
        partial = {"partialSuccess": {"rejectedSpans": str(count), "errorMessage": reason}}
        return orjson.dumps(partial if reason else {})
    message = ExportTraceServiceResponse()
    if reason:
        message.partial_success.rejected_spans = count
        message.partial_success.error_message = reason
    return message.SerializeToString()


def failure(encoding: Encoding, code: int, text: str) -> bytes:
    """The body of an answer that refuses a request: a ``google.rpc.Status``, as OTLP asks for."""
    if encoding is Encoding.JSON:
        return orjson.dumps({"code": code, "message": text})
    return bytes(RpcStatus(code=code, message=text).SerializeToString())


def _decode_protobuf(body: bytes) -> Decoded:
    check_protobuf(body)
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except (DecodeError, EncodeError, ValueError) as error:
        raise OtlpError(f"not a protobuf ExportTraceServiceRequest: {error}") from error
    spans: list[Span] = []
    rejected: Counter[str] = Counter()
    for resource_spans in request.resource_spans:
        resource = attributes_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for message in scope_spans.spans:
                span = span_of(message, scope_spans.scope.name, resource)
                _keep(span, spans, rejected)
    return Decoded(spans, rejected)


def _keep(span: Span, spans: list[Span], rejected: Counter[str]) -> None:
    has_span = len(span.span_id) == len(_NO_SPAN) and span.span_id != _NO_SPAN
    if not has_span or len(span.trace_id) != len(_NO_TRACE) or span.trace_id == _NO_TRACE:
        rejected[NO_IDS] += 1
    elif span.start_ns <= 0 or span.end_ns <= 0:
        rejected[NO_TIMES] += 1
    else:
        spans.append(span)


def span_of(message: trace_pb2.Span, scope: str, resource: Mapping[str, object]) -> Span:
    """The span in a message, with the name of its scope and the attributes of its resource."""
    return Span(
        trace_id=message.trace_id.hex(),
        span_id=message.span_id.hex(),
        parent_span_id=_parent(message.parent_span_id.hex()),
        name=message.name,
        scope=scope,
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano,
        is_error=message.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        status_message=message.status.message,
        attributes=attributes_of(message.attributes),
        events=tuple(
            Event(one.name, one.time_unix_nano, attributes_of(one.attributes)) for one in message.events
        ),
        resource=resource,
        dropped_attributes=message.dropped_attributes_count,
        dropped_events=message.dropped_events_count,
        dropped_links=message.dropped_links_count,
    )


def _parent(written: str) -> str:
    return written if len(written) == len(_NO_SPAN) and written != _NO_SPAN else ""


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes by their names; of several with one name the last."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue, depth: int = DEPTH_MAX) -> object:
    """What an attribute holds, as plain Python."""
    kind = value.WhichOneof("value")
    if kind is None or depth == 0:
        return None
    if kind == "array_value":
        return [value_of(item, depth - 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: value_of(pair.value, depth - 1) for pair in value.kvlist_value.values}
    plain: object = getattr(value, kind)
    return plain


def _decode_json(body: bytes) -> Decoded:
    check_json(body)
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise OtlpError(f"not JSON: {error}") from error
    spans: list[Span] = []
    rejected: Counter[str] = Counter()
    for resource_spans in _objects(object_of(request, "the request"), "resourceSpans"):
        resource = json_attributes(object_of(resource_spans.get("resource") or {}, "resource"))
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            scope = text_of(object_of(scope_spans.get("scope") or {}, "scope"), "name")
            for data in _objects(scope_spans, "spans"):
                check_spans(len(spans) + rejected.total() + 1)
                _keep(span_of_json(data, scope, resource), spans, rejected)
    return Decoded(spans, rejected)


def span_of_json(data: Mapping[str, object], scope: str, resource: Mapping[str, object]) -> Span:
    """The same from JSON."""
    status = object_of(data.get("status") or {}, "status")
    return Span(
        trace_id=_id(data, "traceId"),
        span_id=_id(data, "spanId"),
        parent_span_id=_parent(_id(data, "parentSpanId")),
        name=text_of(data, "name"),
        scope=scope,
        start_ns=_nanoseconds(data, "startTimeUnixNano"),
        end_ns=_nanoseconds(data, "endTimeUnixNano"),
        is_error=status.get("code") in _ERROR_CODES,
        status_message=text_of(status, "message"),
        attributes=json_attributes(data),
        events=tuple(
            Event(text_of(one, "name"), _nanoseconds(one, "timeUnixNano"), json_attributes(one))
            for one in _objects(data, "events")
        ),
        resource=resource,
        dropped_attributes=_count(data, "droppedAttributesCount"),
        dropped_events=_count(data, "droppedEventsCount"),
        dropped_links=_count(data, "droppedLinksCount"),
    )


def object_of(data: object, name: str) -> Mapping[str, object]:
    """The data, which is to be an object. Raises OtlpError that calls it by ``name`` when it is none."""
    if not isinstance(data, dict):
        raise OtlpError(f"{name} must be an object, not {_kind(data)}")
    return data


def _objects(data: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    items = data.get(key) or []
    if not isinstance(items, list):
        raise OtlpError(f"{key} must be a list of objects, not {_kind(items)}")
    return [object_of(item, f"each of {key}") for item in items]


def _kind(data: object) -> str:
    names = {str: "a text", bool: "a boolean", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(data), "a number")


def text_of(data: Mapping[str, object], key: str) -> str:
    """The text there; empty when there is none."""
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _id(data: Mapping[str, object], key: str) -> str:
    written = text_of(data, key).lower()
    return written if all(character in string.hexdigits for character in written) else ""


def _nanoseconds(data: Mapping[str, object], key: str) -> int:
    return _count(data, key)


def _count(data: Mapping[str, object], key: str) -> int:
    return max(0, integer_of(data.get(key)) or 0)


def integer_of(value: object) -> int | None:
    """A 64-bit number, which the JSON mapping writes as text and some senders as a number."""
    if isinstance(value, bool):
        return None
    try:
        number = int(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return number if number is not None and -(2**63) <= number < 2**64 else None


def json_attributes(data: Mapping[str, object]) -> dict[str, object]:
    """The attributes of a resource, a span or an event."""
    return _json_pairs(data, "attributes", DEPTH_MAX)


def _json_pairs(data: Mapping[str, object], key: str, depth: int) -> dict[str, object]:
    return {text_of(pair, "key"): json_value(pair.get("value"), depth) for pair in _objects(data, key)}


def json_value(value: object, depth: int = DEPTH_MAX) -> object:
    """What an attribute holds, as plain Python."""
    if not isinstance(value, dict) or depth == 0:
        return None
    if "intValue" in value:
        return integer_of(value["intValue"])
    if isinstance(array := value.get("arrayValue"), dict):
        return [json_value(item, depth - 1) for item in _objects(array, "values")]
    if isinstance(pairs := value.get("kvlistValue"), dict):
        return _json_pairs(pairs, "values", depth - 1)
    return next((value[key] for key in ("stringValue", "boolValue", "doubleValue") if key in value), None)
