"""How much a trace export request holds, told from its bytes before it is decoded.

A request may pack much into little: two bytes make an empty attribute, which takes fifty bytes of memory and a
microsecond of time once it is decoded, and gzip makes one byte of five hundred such.
"""

from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from . import OtlpError, OversizeError

SPANS_MAX = 20_000
"""How many spans a request may hold. SDKs send 512 at a time, the collector 8192 unless it is told otherwise."""

ELEMENTS_MAX = 500_000
"""How many messages (spans, attributes, values, groups) a protobuf request may hold in all."""

JSON_MARKS_MAX = 2_000_000
"""How many of the marks ``{``, ``[`` and ``,`` a JSON request may hold, those inside of texts included."""

_NOT_PROTOBUF = "not a protobuf ExportTraceServiceRequest"

_Kind = dict[int, Any]
"""A type of message: what is in each of its fields that hold messages, by number."""


def check_json(body: bytes) -> None:
    """Raises OversizeError when there is too much in ``body``."""
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > JSON_MARKS_MAX:
        raise OversizeError(f"the request holds more than {JSON_MARKS_MAX} values; send smaller batches")


def check_spans(spans: int) -> None:
    """Raises OversizeError when a request holds so many spans."""
    if spans > SPANS_MAX:
        raise OversizeError(f"the request holds more than {SPANS_MAX} spans; send smaller batches")


def spans_in(scope_spans: bytes) -> int:
    """How many spans an encoded message of the spans of a scope holds; what is no protobuf ends the count."""
    try:
        return sum(number == 2 for number, _, _ in parts(scope_spans, 0, len(scope_spans)))
    except OtlpError:
        return 0  # whoever decodes it says what is wrong


def parts(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """What holds content in an encoded message that lies there: the number of the field, where it begins and ends.

    Raises OtlpError when it is no protobuf.
    """
    try:
        while at < end:
            tag, at = _varint(body, at)
            size, at = _size(body, at, tag & 7)
            if at + size > end:
                raise OtlpError(f"{_NOT_PROTOBUF}: a part is longer than the whole")
            if tag & 7 == 2:
                yield tag >> 3, at, at + size
            at += size
    except IndexError as error:
        raise OtlpError(f"{_NOT_PROTOBUF}: it is cut off") from error


def check_protobuf(body: bytes) -> None:
    """Raises OversizeError when there is too much in ``body``, OtlpError when it is no protobuf at all."""
    try:
        _walk(body)
    except IndexError as error:
        raise OtlpError(f"{_NOT_PROTOBUF}: it is cut off") from error


def _walk(body: bytes) -> None:
    # An element takes two bytes at least. In a small body there cannot be too many, and only spans are counted.
    is_deep = len(body) >= 2 * ELEMENTS_MAX
    elements = spans = at = 0
    end, kind = len(body), _REQUEST
    outer: list[tuple[int, _Kind]] = []
    while at < end or outer:
        if at == end:
            end, kind = outer.pop()
            continue
        tag, at = _varint(body, at)
        inner = kind.get(tag >> 3)
        size, at = _size(body, at, tag & 7)
        if at + size > end:
            raise OtlpError(f"{_NOT_PROTOBUF}: a part is longer than the whole")
        if inner is None or tag & 7 != 2:
            at += size
            continue
        elements += 1
        spans += inner is _SPAN
        _check(elements, spans)
        if is_deep or inner is not _SPAN:
            outer.append((end, kind))
            end, kind = at + size, inner
        else:
            at += size


def _check(elements: int, spans: int) -> None:
    check_spans(spans)
    if elements > ELEMENTS_MAX:
        raise OversizeError(
            f"the request holds more than {ELEMENTS_MAX} attributes, values and groups; send smaller batches"
        )


def _size(body: bytes, at: int, wire_type: int) -> tuple[int, int]:
    """The size of a field's content, and where it begins. What is in a group is read as if it were outside."""
    if wire_type == 2:
        return _varint(body, at)
    if wire_type == 0:
        return 0, _varint(body, at)[1]
    if wire_type not in (1, 3, 4, 5):
        raise OtlpError(f"{_NOT_PROTOBUF}: there is no wire type {wire_type}")
    return {1: 8, 5: 4}.get(wire_type, 0), at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number at this place, and where it ends."""
    byte = body[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while shift < 70:
        at += 1
        byte = body[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
    raise OtlpError(f"{_NOT_PROTOBUF}: a number does not end")


def _kind_of(message: Any, known: dict[str, _Kind]) -> _Kind:
    kind = known.get(message.full_name)
    if kind is None:
        kind = known[message.full_name] = {}
        for one in message.fields:
            if one.message_type is not None:
                kind[one.number] = _kind_of(one.message_type, known)
    return kind


_KINDS: dict[str, _Kind] = {}
_REQUEST = _kind_of(ExportTraceServiceRequest.DESCRIPTOR, _KINDS)
_SPAN = _KINDS[trace_pb2.Span.DESCRIPTOR.full_name]
