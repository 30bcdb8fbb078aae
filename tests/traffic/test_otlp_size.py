import asyncio
import struct
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.traffic import OtlpError, OverloadError, OversizeError, intake, store
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Intake
from monitor.traffic.otlp import Encoding, decode
from monitor.traffic.otlp_size import ELEMENTS_MAX, JSON_MARKS_MAX, SPANS_MAX, check_protobuf

from .conftest import MakePayload

LARGEST = OtlpConfig().max_decompressed_bytes


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def part(field: int, content: bytes) -> bytes:
    """A field that holds a message."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def scope(content: bytes) -> bytes:
    return part(1, part(2, content))


EMPTY = LARGEST // 2 - 40
TIMES = b"\x39" + struct.pack("<Q", 10**18) + b"\x41" + struct.pack("<Q", 10**18)
SPAN = part(1, b"\1" * 16) + part(2, b"\2" * 8) + TIMES


def spans(number: int) -> bytes:
    return scope(part(2, SPAN) * number)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (spans(SPANS_MAX + 1), "spans"),
        (scope(part(2, b"") * EMPTY), "spans"),
        (scope(part(2, part(9, b"") * EMPTY)), "attributes"),
        (scope(part(2, part(11, b"") * EMPTY)), "attributes"),
        (scope(part(2, part(9, part(2, part(5, part(1, b"") * EMPTY))))), "attributes"),
        (part(1, part(1, part(1, b"") * EMPTY)), "attributes"),
        (part(1, part(2, b"") * EMPTY), "groups"),
        (part(1, b"") * EMPTY, "groups"),
        # an unknown group around what follows hides nothing
        (b"\x7b" + part(1, b"") * EMPTY, "groups"),
    ],
    ids=[
        "spans",
        "empty spans",
        "attributes",
        "events",
        "values",
        "of the resource",
        "scopes",
        "resources",
        "after a group",
    ],
)
def test_much_in_little_is_refused_before_it_is_unpacked(body: bytes, what: str) -> None:
    assert len(body) <= LARGEST
    tracemalloc.start()
    try:
        with pytest.raises(OversizeError, match=rf"more than \d+ .*{what}.*; send smaller batches"):
            decode(body, Encoding.PROTOBUF)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("spans_sent", [SPANS_MAX, SPANS_MAX + 1], ids=["at the limit", "above it"])
def test_json_spans_have_the_same_limit(spans_sent: int) -> None:
    body = orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}] * spans_sent}]}]})
    if spans_sent <= SPANS_MAX:
        assert decode(body, Encoding.JSON).rejected == {"no valid trace or span id": SPANS_MAX}
        return
    with pytest.raises(OversizeError, match=f"more than {SPANS_MAX} spans"):
        decode(body, Encoding.JSON)


@pytest.mark.parametrize("filling", [b"{},", b"[],", b"1,"], ids=["objects", "lists", "numbers"])
def test_much_in_little_json_is_refused_before_it_is_read(filling: bytes) -> None:
    body = b'{"x":[' + filling * (JSON_MARKS_MAX // 2) + filling * (JSON_MARKS_MAX // 2) + b"0]}"
    with pytest.raises(OversizeError, match=f"more than {JSON_MARKS_MAX} values"):
        decode(body, Encoding.JSON)


def test_the_largest_batches_that_senders_make_are_taken(make_payload: MakePayload) -> None:
    attributes = {f"gen_ai.attribute.{number}": "x" * 20 for number in range(20)}
    body = make_payload(spans=8192, attributes=attributes)
    assert len(body) > 2 * ELEMENTS_MAX  # all of it is counted
    assert len(decode(body, Encoding.PROTOBUF).spans) == 8192
    assert len(decode(spans(SPANS_MAX), Encoding.PROTOBUF).spans) == SPANS_MAX


@given(st.binary(max_size=200))
def test_what_the_decoder_takes_is_taken(body: bytes) -> None:
    """Counting refuses nothing that protobuf would read; otherwise it is the decoder who says no."""
    try:
        ExportTraceServiceRequest.FromString(body)
    except Exception:
        return
    check_protobuf(body)


@pytest.mark.parametrize(
    "body",
    [b"\x0a", b"\x0a\xff", b"\x0a\x05ab", b"\x0f", b"\x80" * 12, b"\x09abc"],
    ids=["no size", "cut size", "too short", "no such type", "endless number", "cut number"],
)
def test_what_is_no_protobuf_is_refused_without_decoding(body: bytes) -> None:
    with pytest.raises(OtlpError, match="not a protobuf ExportTraceServiceRequest"):
        check_protobuf(body)


@pytest.mark.parametrize("bound", ["CALLS_A_COMMIT", "BYTES_A_COMMIT"])
async def test_what_goes_into_one_commit_is_bounded(
    database, clock, metrics, make_payload, monkeypatch, bound: str
) -> None:
    monkeypatch.setattr(intake, bound, 2)
    taking = Intake(database, clock, metrics)
    bodies = [make_payload(spans=3) for _ in range(4)]
    taken = await asyncio.gather(*(taking.accept(body, Encoding.PROTOBUF) for body in bodies))
    assert [one.calls for one in taken] == [3] * 4
    assert len(database.read(lambda session: store.journaled(session, 0, 10, bytes_max=10**6))) == 4


async def test_calls_that_fit_into_one_commit_share_it(
    database, clock, metrics, make_payload, monkeypatch
) -> None:
    monkeypatch.setattr(intake, "CALLS_A_COMMIT", 7)
    taking = Intake(database, clock, metrics)
    bodies = [make_payload(spans=3) for _ in range(5)]
    await asyncio.gather(*(taking.accept(body, Encoding.PROTOBUF) for body in bodies))
    assert len(database.read(lambda session: store.journaled(session, 0, 10, bytes_max=10**6))) == 3


async def test_requests_that_wait_for_their_commit_are_bounded(
    database, clock, metrics, make_payload, monkeypatch
) -> None:
    monkeypatch.setattr(intake, "WAITING_MAX", 2)
    taking = Intake(database, clock, metrics)
    taken = await asyncio.gather(
        *(taking.accept(make_payload(), Encoding.PROTOBUF) for _ in range(3)), return_exceptions=True
    )
    assert [isinstance(one, OverloadError) for one in taken] == [False, False, True]
