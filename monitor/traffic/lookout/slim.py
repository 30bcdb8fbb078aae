"""OTLP's messages with as much of them as the lookout wants; the rest is stepped over, not built.

On the wire an attribute is an entry of a map, and a message within a message is bytes: so these messages read what
OTLP's own are written as, and the values of attributes stay the bytes that they came as until somebody looks.

The messages are described here and not in a ``.proto``: there is nothing to generate, and nothing to keep in step
with the version of protobuf that is installed.
"""

from typing import Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "anchorwatch.lookout"
_BYTES, _STRING = _Field.TYPE_BYTES, _Field.TYPE_STRING
_FIXED64, _UINT32 = _Field.TYPE_FIXED64, _Field.TYPE_UINT32


_Fields = dict[str, tuple[int, int | list[int] | str]]
_IDS: _Fields = {
    "trace_id": (1, _BYTES),
    "span_id": (2, _BYTES),
    "start_ns": (7, _FIXED64),
    "end_ns": (8, _FIXED64),
    "dropped_attributes": (10, _UINT32),
    "dropped_events": (12, _UINT32),
    "dropped_links": (14, _UINT32),
}
_MESSAGES: dict[str, _Fields] = {
    "Request": {"resource_spans": (1, "ResourceSpans")},
    "ResourceSpans": {"resource": (1, _BYTES), "scope_spans": (2, [_BYTES])},
    "ScopeSpans": {"scope": (1, _BYTES), "spans": (2, "Span")},
    "Span": {
        **_IDS,
        "parent_span_id": (4, _BYTES),
        "name": (5, _BYTES),
        "attributes": (9, "Span.AttributesEntry"),
        "event": (11, _BYTES),  # one of them is enough to know that there are some
        "status": (15, _BYTES),
    },
    "Span.AttributesEntry": {"key": (1, _STRING), "value": (2, _BYTES)},
    "Scope": {"name": (1, _STRING)},
    "RawScopeSpans": {"spans": (2, [_BYTES])},
    "BareScopeSpans": {"scope": (1, _BYTES), "spans": (2, "BareSpan")},
    "BareSpan": _IDS,
}
"""The fields of each message, by number and type; what is the name of a message, or a type in a list, is repeated."""


def _described() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="anchorwatch/lookout.proto", package=_PACKAGE, syntax="proto3"
    )
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, fields in _MESSAGES.items():
        outer, _, own = name.rpartition(".")
        message = messages[outer].nested_type.add(name=own) if outer else file.message_type.add(name=own)
        messages[name] = message
        message.options.map_entry = bool(outer)
        for field, (number, kind) in fields.items():
            _describe(message.field.add(name=field, number=number), kind)
    return file


def _describe(field: descriptor_pb2.FieldDescriptorProto, kind: int | list[int] | str) -> None:
    field.label = _Field.LABEL_OPTIONAL if isinstance(kind, int) else _Field.LABEL_REPEATED
    if isinstance(kind, str):
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = cast("_Field.Type.ValueType", kind if isinstance(kind, int) else kind[0])


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_described())


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Request = message("Request")
"""A whole request: its resources, with their scopes as bytes."""

Span = message("Span")
"""One span, with the values of its attributes as bytes."""

Scope = message("Scope")
"""The scope of spans."""

ScopeSpans = message("ScopeSpans")
"""Spans of one scope, with the values of their attributes as bytes."""

RawScopeSpans = message("RawScopeSpans")
"""Spans of one scope, each as bytes."""

BareScopeSpans = message("BareScopeSpans")
"""Spans of one scope, with nothing but what each span must have."""
