import contextlib
from pathlib import Path

import orjson
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from monitor.traffic import OtlpError
from monitor.traffic.otlp import DEPTH_MAX, Encoding, decode, failure, response

from .conftest import MakePayload

CAPTURED = sorted((Path(__file__).parent / "data").glob("*.pb"))


def json_body(**span: object) -> bytes:
    whole = {
        "traceId": "4BF92F3577B34DA6A3CE929D0E0E4736",
        "spanId": "00f067aa0ba902b7",
        "name": "chat",
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "3500000000",
    } | span
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scopes = [{"scope": {"name": "lib"}, "spans": [whole]}]
    return orjson.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]})


def attribute(value: object) -> object:
    body = json_body(attributes=[{"key": "a", "value": value}])
    return decode(body, Encoding.JSON).spans[0].attributes["a"]


def test_json_and_protobuf_say_the_same(make_payload: MakePayload) -> None:
    of_protobuf = decode(make_payload(duration_s=2.5), Encoding.PROTOBUF).spans[0]
    of_json = decode(json_body(), Encoding.JSON).spans[0]
    assert of_json.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert of_json.duration_s == of_protobuf.duration_s == 2.5
    assert (of_json.resource["service.name"], of_json.scope) == ("shop", "lib")
    assert of_protobuf.resource["service.name"] == "shop"
    assert of_protobuf.attributes["gen_ai.usage.input_tokens"] == 1_000


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ({"intValue": "42"}, 42),
        ({"intValue": 42}, 42),
        ({"intValue": 42.0}, 42),
        ({"intValue": "many"}, None),
        ({"intValue": "9" * 5000}, None),
        ({"doubleValue": 0.25}, 0.25),
        ({"doubleValue": 1}, 1),
        ({"boolValue": False}, False),
        ({"stringValue": ""}, ""),
        ({"arrayValue": {"values": [{"stringValue": "stop"}]}}, ["stop"]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}, {"k": 1}),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_json_values_are_read_as_senders_write_them(written: object, value: object) -> None:
    assert attribute(written) == value


@pytest.mark.parametrize(
    ("code", "is_error"), [(2, True), ("STATUS_CODE_ERROR", True), (1, False), (None, False)]
)
def test_json_status_is_a_number_or_a_name(code: object, is_error: bool) -> None:
    assert decode(json_body(status={"code": code}), Encoding.JSON).spans[0].is_error is is_error


def test_what_lies_too_deep_is_left_out() -> None:
    value: object = {"stringValue": "bottom"}
    for _ in range(DEPTH_MAX + 50):
        value = {"arrayValue": {"values": [value]}}
    found = attribute(value)
    for _ in range(DEPTH_MAX):
        assert isinstance(found, list)
        found = found[0]
    assert found is None


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"spanId": ""}, "no valid trace or span id"),
        ({"spanId": "zz f067aa0ba902b"}, "no valid trace or span id"),
        ({"traceId": "00f067aa0ba902b7"}, "no valid trace or span id"),
        ({"traceId": 7}, "no valid trace or span id"),
        ({"traceId": "0" * 32}, "no valid trace or span id"),
        ({"spanId": "0" * 16}, "no valid trace or span id"),
        ({"endTimeUnixNano": 0}, "no start or no end time"),
        ({"endTimeUnixNano": None}, "no start or no end time"),
        ({"startTimeUnixNano": "soon"}, "no start or no end time"),
    ],
    ids=str,
)
def test_a_span_that_cannot_be_placed_is_rejected_alone(span: dict[str, object], reason: str) -> None:
    decoded = decode(json_body(**span), Encoding.JSON)
    assert (list(decoded.spans), decoded.rejected) == ([], {reason: 1})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 5_000, "not JSON"),
        (b"[]", "the request must be an object, not a list"),
        (b'{"resourceSpans": 5}', "resourceSpans must be a list of objects, not a number"),
        (b'{"resourceSpans": ["x"]}', "each of resourceSpans must be an object, not a text"),
        (b'{"resourceSpans": [{"scopeSpans": {}}]}', None),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]}',
            "spans must be a list of objects, not a text",
        ),
        (b"{}", None),
    ],
    ids=str,
)
def test_malformed_json_is_refused_with_its_place(body: bytes, problem: str | None) -> None:
    if problem is None:
        assert not decode(body, Encoding.JSON).spans
        return
    with pytest.raises(OtlpError, match=problem):
        decode(body, Encoding.JSON)


def test_malformed_protobuf_is_refused() -> None:
    with pytest.raises(OtlpError, match="not a protobuf ExportTraceServiceRequest"):
        decode(b"\x0a\xff", Encoding.PROTOBUF)


def decodes_or_refuses(body: bytes, encoding: Encoding) -> None:
    with contextlib.suppress(OtlpError):
        decode(body, encoding)


@given(st.binary(max_size=400), st.sampled_from(Encoding))
def test_any_bytes_are_decoded_or_refused(body: bytes, encoding: Encoding) -> None:
    decodes_or_refuses(body, encoding)


JSON_KEYS = [
    *(
        "resourceSpans",
        "resource",
        "scopeSpans",
        "scope",
        "spans",
        "attributes",
        "key",
        "value",
        "events",
        "status",
    ),
    *("code", "spanId", "traceId", "endTimeUnixNano", "intValue", "arrayValue", "kvlistValue", "values"),
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(JSON_KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(json_values)
def test_any_json_is_decoded_or_refused(value: object) -> None:
    decodes_or_refuses(orjson.dumps(value), Encoding.JSON)
    decodes_or_refuses(orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [value]}]}]}), Encoding.JSON)


@given(st.data())
def test_any_damage_to_a_real_body_is_decoded_or_refused(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(CAPTURED)).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(body[: data.draw(st.integers(0, len(body)))]), Encoding.PROTOBUF)


@pytest.mark.parametrize("encoding", Encoding)
def test_the_answer_tells_of_rejected_spans_in_the_requests_encoding(encoding: Encoding) -> None:
    body = response(encoding, {"too old": 2, "no end time": 1})
    if encoding is Encoding.JSON:
        partial = orjson.loads(body)["partialSuccess"]
        assert partial == {"rejectedSpans": "3", "errorMessage": "1 span: no end time; 2 spans: too old"}
    else:
        message = ExportTraceServiceResponse.FromString(body)
        assert message.partial_success.rejected_spans == 3
        assert message.partial_success.error_message == "1 span: no end time; 2 spans: too old"


def test_a_whole_success_is_empty_as_the_protocol_asks() -> None:
    assert response(Encoding.PROTOBUF, {}) == b""
    assert response(Encoding.JSON, {}) == b"{}"


def test_a_failure_is_a_status_in_the_requests_encoding() -> None:
    message = Status.FromString(failure(Encoding.PROTOBUF, 3, "not JSON"))
    assert (message.code, message.message) == (3, "not JSON")
    assert orjson.loads(failure(Encoding.JSON, 3, "not JSON")) == {"code": 3, "message": "not JSON"}
