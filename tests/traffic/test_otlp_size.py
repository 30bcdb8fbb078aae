import asyncio
import struct
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.traffic import OtlpError, OverloadError, OversizeError, intake
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


async def test_calls_that_wait_for_their_commit_are_bounded(
    database, clock, metrics, make_payload, monkeypatch
) -> None:
    monkeypatch.setattr(intake, "CALLS_WAITING_MAX", 3)
    taking = Intake(database, clock, metrics)
    stored, may_store = asyncio.Event(), asyncio.Event()
    write = database.awrite

    async def slowly(work):
        stored.set()
        await may_store.wait()
        return await write(work)

    monkeypatch.setattr(database, "awrite", slowly)
    first = asyncio.create_task(taking.accept(make_payload(spans=3), Encoding.PROTOBUF))
    await stored.wait()
    with pytest.raises(OverloadError):
        await taking.accept(make_payload(), Encoding.PROTOBUF)
    may_store.set()
    assert (await first).calls == 3
    assert (await taking.accept(make_payload(), Encoding.PROTOBUF)).calls == 1
