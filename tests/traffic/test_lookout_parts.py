"""What the lookout is made of."""

import json
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from monitor.traffic.dialects import DIALECTS, answers
from monitor.traffic.dialects.answers import Answer, hints_of, read_answer
from monitor.traffic.lookout import slim
from monitor.traffic.lookout.memory import BYTES_MAX, ENTRIES_MAX, Memory
from monitor.traffic.lookout.notation import COUNTS_MAX, NOT_A_COUNT, PROTOBUF, SHORT, Counts
from monitor.traffic.lookout.origin import word
from monitor.traffic.lookout.packing import packed
from monitor.traffic.lookout.plans import Places, Plan, Settled
from monitor.traffic.lookout.watched import Role, Watched, role_of, roles_of
from monitor.traffic.otlp_size import parts, spans_in
from monitor.traffic.sightings import FACTS, Shapes

SAME = {
    "Request": ExportTraceServiceRequest,
    "ResourceSpans": trace_pb2.ResourceSpans,
    "ScopeSpans": trace_pb2.ScopeSpans,
    "RawScopeSpans": trace_pb2.ScopeSpans,
    "BareScopeSpans": trace_pb2.ScopeSpans,
    "Span": trace_pb2.Span,
    "BareSpan": trace_pb2.Span,
    "Scope": InstrumentationScope,
    "Span.AttributesEntry": KeyValue,
}
NAMES = {"start_ns": "start_time_unix_nano", "end_ns": "end_time_unix_nano", "event": "events"}
CONTENT = (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


@pytest.mark.parametrize("name", SAME)
def test_the_slim_messages_read_what_otlp_writes(name: str) -> None:
    for number, field in slim.message(name).DESCRIPTOR.fields_by_number.items():
        theirs = SAME[name].DESCRIPTOR.fields_by_number[number]
        assert theirs.name.removesuffix("_count") == NAMES.get(field.name, field.name)
        both_hold_content = field.type in CONTENT and theirs.type in CONTENT
        assert field.type == theirs.type or both_hold_content


def told(fact: str, key: str) -> str:
    """A document that tells a fact under a key."""
    beside = {"choices": [], "object": "x"}
    value: object = {"prompt_tokens": 3, "completion_tokens": 4} if fact == "usage" else "stop"
    if fact == "response_id":
        value = "chatcmpl-1"
    return json.dumps({"wrapped": {key: value} | beside})


KEYS = {
    "usage": answers._USAGE_KEYS,
    "response_id": answers._ID_KEYS,
    "response_model": answers._MODEL_KEYS,
    "finish_reason": answers._FINISH_KEYS,
}


@pytest.mark.parametrize(("fact", "key"), [(fact, key) for fact, keys in KEYS.items() for key in keys])
def test_a_document_that_tells_a_fact_is_not_silent(fact: str, key: str) -> None:
    document = told(fact, key)
    assert read_answer(document) != Answer()
    hints = hints_of(() if fact == "usage" else (fact,))
    for written in (document, json.dumps(document), str(json.loads(document))):
        raw = written.encode()
        assert any(letters in raw and words.search(raw) for letters, words in hints), written


def test_prose_with_those_words_is_silent() -> None:
    prose = json.dumps(
        [{"role": "assistant", "content": "The usage of this model is ideal.\n\tIts status: \u00e9t\u00e9."}]
    )
    raw = prose.encode()
    assert not [words for letters, words in hints_of() if letters in raw and words.search(raw)]


def test_attributes_note_what_they_are_asked_for() -> None:
    watched = Watched({"a": 1, "b": 2})
    assert (watched.get("a"), watched.get("x"), "b" in watched, list(watched)) == (1, None, True, ["a", "b"])
    assert (watched.read, watched.asked, watched.is_read_whole) == ({"a"}, {"a", "x", "b"}, False)
    assert dict(watched.items()) == {"a": 1, "b": 2}
    assert watched.is_read_whole


def test_an_attribute_that_decides_in_a_dialect_has_no_role_in_it() -> None:
    by_name = {dialect.name: dialect for dialect in DIALECTS}
    assert role_of("gen_ai.usage.input_tokens", by_name["otel_genai"]) is Role.COUNT
    assert role_of("gen_ai.usage.raw", by_name["otel_genai"]) is None, "a document with counts"
    assert role_of("gen_ai.usage.of_a_new_kind", by_name["otel_genai"]) is Role.COUNT
    assert role_of("gen_ai.request.model", by_name["otel_genai"]) is None
    assert role_of("session.id", by_name["langfuse"]) is Role.SESSION
    for dialect in DIALECTS:
        assert not {kinds.key for kinds in dialect.kinds} & roles_of(dialect.name).keys()


def test_what_is_remembered_has_a_bound() -> None:
    memory = Memory(lambda encoded: encoded.decode())
    assert all(memory[str(n).encode()] == str(n) for n in range(3 * ENTRIES_MAX))
    assert len(memory) <= ENTRIES_MAX
    assert memory[b"x" * (BYTES_MAX + 1)]
    assert b"x" * (BYTES_MAX + 1) not in memory
    counts = Counts(lambda raw: int(raw))
    assert all(counts[str(n).encode()] == n for n in range(COUNTS_MAX + 100))
    assert len(counts) <= COUNTS_MAX + 1
    assert counts[b"0" * SHORT + b"7"] == 7
    assert b"0" * SHORT + b"7" not in counts
    assert (counts[None], counts[b"-5"]) == (None, NOT_A_COUNT)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("v1", "v1"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (0.5, "0.5"),
        ("", None),
        (["a"], None),
        (None, None),
    ],
    ids=str,
)
def test_values_of_chosen_attributes_are_counted_as_words(value: object, expected: str | None) -> None:
    assert word(value) == expected


def test_spans_are_counted_without_decoding_them() -> None:
    scope = trace_pb2.ScopeSpans(spans=[trace_pb2.Span(name="x" * n) for n in (0, 1, 200)])
    scope.scope.name = "lib"
    encoded = scope.SerializeToString()
    assert spans_in(encoded) == 3
    assert spans_in(encoded[:-1]) == 0
    assert [number for number, _, _ in parts(encoded, 0, len(encoded))] == [1, 2, 2, 2]


def make_plan(**places: Any) -> Plan:
    shape = Shapes().shape((None,) * len(FACTS))
    settled = Settled(shape, (), False, True, False, (False,) * 4)
    return Plan(PROTOBUF, Shapes(), lambda shape: False, Places(**places), settled)


def test_a_plan_that_needs_more_than_the_scanner_can_is_for_python_alone() -> None:
    numbers = {"gen_ai.usage.input_tokens": 0, "gen_ai.output.messages": 1, "litellm.call_id": 2}
    assert packed(make_plan(input="gen_ai.usage.input_tokens"), numbers) is not None
    assert packed(make_plan(input="gen_ai.usage.heard_of_nowhere"), numbers) is None
    assert packed(make_plan(made_up_ids=("litellm.call_id",)), numbers) is None
    assert packed(make_plan(documents=("gen_ai.output.messages",) * 7), numbers) is None
