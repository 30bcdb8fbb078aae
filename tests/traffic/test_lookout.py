"""The lookout says of every span what the reader of the dialects says of it, however the span is written."""

import contextlib
import itertools
import json
import os
import random
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from exported_spans import START_NS
from google.protobuf.json_format import MessageToJson
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from real_parts import require

from monitor.traffic import OtlpError, OversizeError, dialects
from monitor.traffic.checks import AnswerChecks
from monitor.traffic.config import EvaluationConfig
from monitor.traffic.dialects import Report
from monitor.traffic.dialects.evaluations import EVENT
from monitor.traffic.lookout import AGE_MAX_S, FUTURE_MAX_S, Lookout, Watch
from monitor.traffic.lookout.book import KEYS_MAX
from monitor.traffic.lookout.found import NoChecks
from monitor.traffic.lookout.origin import chosen_of, origin_of
from monitor.traffic.lookout.prefilter import PROTOBUF_NAMES, Prefilter
from monitor.traffic.lookout.scanning import ScanningReader, scanner
from monitor.traffic.lookout.watched import vocabulary
from monitor.traffic.otlp import Encoding, Span, decode
from monitor.traffic.otlp_size import SPANS_MAX, parts
from monitor.traffic.sightings import Shape, Shapes, Sighting, sighting_of

from .conftest import any_value
from .test_dialects import CASES
from .test_otlp_bodies import json_values

PAYLOADS = sorted((Path(__file__).parent / "data").glob("*.pb"))
NOW = START_NS / 1e9 + 100
CHOSEN = ("user.id", "service.name", "gen_ai.request.model", "chosen.number")
CHECKS = AnswerChecks(
    (),
    {
        "short": EvaluationConfig(attribute="chosen.number", max=3),
        "helpful": EvaluationConfig(attribute="app.eval.helpful", min=0.5, failed=("poor",)),
    },
)
WATCH = Watch(CHOSEN, CHECKS)


@dataclass(frozen=True)
class Read:
    """What was read, so that it can be compared."""

    sightings: list[Any]
    others: int
    rejected: Counter[str]


def comparable(sighting: Sighting) -> Any:
    shape = tuple(getattr(sighting.shape, name) for name in type(sighting.shape).__slots__)
    return shape, *sighting[1:]


def read_slowly(body: bytes, now: float = NOW, encoding: Encoding = Encoding.PROTOBUF) -> Read:
    """What the reader of the dialects makes of a request."""
    decoded = decode(body, encoding)
    sightings, rejected, others = [], Counter(decoded.rejected), 0
    for span in decoded.spans:
        found = dialects.examine(span)
        if not isinstance(found, Report):
            others += 1
        elif max(_began_ns(span, found), span.end_ns) > (now + FUTURE_MAX_S) * 1e9:
            rejected["timed more than 5 minutes in the future: is the sender's clock right?"] += 1
        elif found.call.ended_at < now - AGE_MAX_S:
            rejected["ended more than 24 hours ago"] += 1
        else:
            chosen = chosen_of(span.attributes, origin_of(span.resource, CHOSEN), CHOSEN)
            sighting = sighting_of(found, Shapes(), chosen, tuple(CHECKS.of(found, span)))
            if not found.is_ending:
                sighting = sighting._replace(start_ns=span.start_ns, end_ns=span.end_ns)
            sightings.append(comparable(sighting))
    return Read(sightings, others, rejected)


def _began_ns(span: Span, found: Report) -> float:
    """When a call began: the end of a stream says it by how long that was, whatever its span has for a start."""
    return found.call.started_at * 1e9 if found.is_ending else span.start_ns


def read(lookout: Lookout, body: bytes, now: float = NOW, encoding: Encoding = Encoding.PROTOBUF) -> Read:
    found = lookout.read(body, encoding, now)
    return Read([comparable(one) for one in found.sightings], found.others, Counter(found.rejected))


MakeLookout = Callable[..., Lookout]


def built_scanner() -> Any:
    """The scanner in C. The wheel under test is built without it; in a checkout `make test` builds it before."""
    if scanner is None and os.environ.get("ANCHORWATCH_EXPECT_WHEEL") == "1":
        pytest.skip("this wheel holds no scanner; it is tested in the checkout")
    require("the scanner", scanner is not None, "make scanner (with a C compiler)")
    return scanner


@pytest.fixture(params=["Python", "scanner"], scope="module")
def lookout_of(request: pytest.FixtureRequest) -> MakeLookout:
    """Makes lookouts, with the scanner in C and without."""
    module = built_scanner() if request.param == "scanner" else None

    def make(watch: Watch | None = None, **options: Any) -> Lookout:
        return Lookout(watch or WATCH, scanner=module, **options)

    return make


Pairs = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Written:
    """A span to be written into a request."""

    attributes: Pairs
    name: str = "chat"
    scope: str = "lib"
    is_error: bool = False
    message: str = ""
    for_ns: int = 2_000_000_000
    events: Sequence[tuple[str, Pairs]] = ()
    resource: Pairs = (("service.name", "atlas"), ("service.version", "3.1"))
    ids: tuple[bytes, bytes] = (b"t" * 16, b"s" * 8)
    at_ns: int = START_NS
    parent: bytes = b""


def request_of(spans: Sequence[Written]) -> bytes:
    request = ExportTraceServiceRequest()
    for one in spans:
        resource_spans = request.resource_spans.add()
        _add(resource_spans.resource.attributes, one.resource)
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = one.scope
        span = scope_spans.spans.add(name=one.name, trace_id=one.ids[0], span_id=one.ids[1])
        span.parent_span_id = one.parent
        span.start_time_unix_nano, span.end_time_unix_nano = one.at_ns, max(0, one.at_ns + one.for_ns)
        span.status.code = 2 if one.is_error else 0
        span.status.message = one.message
        _add(span.attributes, one.attributes)
        for name, attributes in one.events:
            event = span.events.add(name=name, time_unix_nano=one.at_ns + 1_000)
            _add(event.attributes, attributes)
    return request.SerializeToString()


def _add(to: Any, attributes: Pairs) -> None:
    for key, value in attributes:
        pair = to.add(key=key)
        if isinstance(value, dict):
            _add(pair.value.kvlist_value.values, list(value.items()))
        elif value is not None:
            pair.value.CopyFrom(any_value(value))


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: path.stem)
def test_requests_of_real_libraries_are_read_as_ever_also_the_second_time(
    lookout_of: MakeLookout, payload: Path
) -> None:
    body = payload.read_bytes()
    now = max(span.end_ns for span in decode(body, Encoding.PROTOBUF).spans) / 1e9
    lookout, expected = lookout_of(), read_slowly(body, now)
    assert [read(lookout, body, now) for _ in range(3)] == [expected] * 3


BASES = [
    Written(tuple(case.attributes.items()), **{k: v for k, v in case.span.items() if k in ("name", "scope")})
    for case in CASES.values()
]
DOCUMENTS = [
    json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "the usage of words"}]}]),
    json.dumps(
        {"id": "chatcmpl-in-the-document", "choices": [{"finish_reason": "length"}], "model": "other"}
    ),
    json.dumps({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}),
    "{'usage': {'input_tokens': 11, 'output_tokens': 2}}",
    json.dumps({"type": "AIMessageChunk", "content": "x"}),
    json.dumps(json.dumps({"usage": {"input_tokens": 5}})),
    '{"\\u0075sage": {"prompt_tokens": 7, "completion_tokens": 3}}',
    json.dumps({"output": [], "status": "incomplete"}),
]
VALUES = st.one_of(
    st.sampled_from(
        [0, 1, 2, 5, 99, 1_000, 10**9, 10**9 + 1, -1, 2**62, True, False, None, 0.0, 12.0, 0.25, 1e300]
    ),
    st.sampled_from(
        ["", " ", "12", " 7 ", "1e3", "nan", '"quoted"', "chat", "openai", "anthropic", "gpt-4o", "stop"]
    ),
    st.sampled_from(
        ["error", "length", "embeddings", "x" * 400, "ünï", "true", "2026-01-02T12:00:01Z", "LLM"]
    ),
    st.sampled_from(["pass", "Not Relevant", "poor", '{"helpful": 0.4, "short": 2}']),
    st.sampled_from([["stop"], [], ["length", "stop"], [1, 2], {"a": "b"}, {"usage": {"input_tokens": 3}}]),
    st.sampled_from(DOCUMENTS),
    st.floats(),
    st.integers(0, 5_000),
)
KEYS = st.one_of(
    st.sampled_from(sorted(vocabulary())),
    st.sampled_from(
        ["gen_ai.usage.cache_hit_tokens", "llm.usage.thoughts", "gen_ai.unheard_of", "user.id", ""]
    ),
    st.sampled_from(["chosen.number", "gen_ai.usage.x_cached_write", "langfuse.observation.metadata.usage"]),
    st.sampled_from(
        ["app.eval.helpful", "eval.helpful.score", "eval.grounded.label", "eval.run", "evaluation.label"]
    ),
    st.sampled_from(
        [
            "braintrust.scores",
            "braintrust.scores.helpful",
            "gen_ai.evaluation.name",
            "gen_ai.evaluation.score.label",
        ]
    ),
)


@st.composite
def variants(draw: st.DrawFn) -> list[Written]:
    """A span, and others that are much like it."""
    base = draw(st.sampled_from(BASES))
    spans = []
    for _ in range(draw(st.integers(2, 5))):
        attributes = list(base.attributes)
        for _ in range(draw(st.integers(0, 2))):
            change = draw(st.sampled_from(["drop", "change", "change", "add", "twice"]))
            place = draw(st.integers(0, len(attributes) - 1)) if attributes else 0
            if change == "add" or not attributes:
                attributes.insert(place, (draw(KEYS), draw(VALUES)))
            elif change == "drop":
                del attributes[place]
            elif change == "change":
                attributes[place] = (attributes[place][0], draw(VALUES))
            else:
                attributes.append((attributes[place][0], draw(VALUES)))
        spans.append(
            Written(
                attributes,
                name=draw(st.sampled_from([base.name, "embed it", "my agent"])),
                scope=draw(st.sampled_from([base.scope, base.scope, "x.bedrock", "strands.telemetry"])),
                is_error=draw(st.sampled_from([False, False, True])),
                message=draw(st.sampled_from(["", "", "Error code: 429 - too many", "m" * 400])),
                for_ns=draw(st.sampled_from([2_000_000_000, 1_000, 0, -5_000_000])),
                events=draw(
                    st.sampled_from(
                        [
                            (),
                            (),
                            (),
                            [("exception", [("exception.type", "TimeoutError")])],
                            [("gen_ai.choice", [])],
                            [(EVENT, [("gen_ai.evaluation.name", "a"), ("gen_ai.evaluation.label", "fail")])],
                        ]
                    )
                ),
                resource=draw(
                    st.sampled_from(
                        [base.resource, [("service.name", "other"), ("deployment.environment", "x")], []]
                    )
                ),
            )
        )
    return spans


def json_of(body: bytes, *, names_kinds: bool = False) -> bytes:
    """The request in OTLP's JSON, which has numbers for kinds; some write their names."""
    request = json.loads(
        MessageToJson(ExportTraceServiceRequest.FromString(body), use_integers_for_enums=not names_kinds)
    )

    def rewritten(node: Any) -> Any:
        if isinstance(node, list):
            return [rewritten(one) for one in node]
        if not isinstance(node, dict):
            return node
        return {
            key: b64decode(value).hex() if key in ("traceId", "spanId", "parentSpanId") else rewritten(value)
            for key, value in node.items()
        }

    return json.dumps(rewritten(request), separators=(",", ":")).encode()


@pytest.mark.parametrize("names_kinds", [False, True], ids=["numbers", "names"])
@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: path.stem)
def test_requests_of_real_libraries_in_json_are_read_as_ever(
    lookout_of: MakeLookout, payload: Path, names_kinds: bool
) -> None:
    body = json_of(payload.read_bytes(), names_kinds=names_kinds)
    now = _now_of(payload.read_bytes())
    lookout, expected = lookout_of(), read_slowly(body, now, Encoding.JSON)
    assert [read(lookout, body, now, Encoding.JSON) for _ in range(3)] == [expected] * 3


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: path.stem)
def test_requests_in_json_are_rewritten_as_what_they_were_made_of(payload: Path) -> None:
    body = payload.read_bytes()
    rewritten = built_scanner().as_protobuf(json_of(body))
    assert rewritten is not None
    assert ExportTraceServiceRequest.FromString(rewritten) == ExportTraceServiceRequest.FromString(body)


TEXT_SIZES = (0, 1, 15, 16, 17, *range(100, 132), 255, 16_370, 16_383, 16_384, 2_100_000)
"""About where letters are copied in blocks, and where sizes take a byte more."""


def request_with(*values: AnyValue) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    for number, value in enumerate(values):
        span.attributes.add(key="k" * (number % 140)).value.CopyFrom(value)
    return request


@pytest.mark.parametrize(
    "values",
    [
        *([AnyValue(string_value="x" * size)] for size in TEXT_SIZES),
        [AnyValue(string_value="x" * size + odd) for size in range(18) for odd in '"\\\n\x7fé中😀'],
        [
            AnyValue(int_value=value)
            for value in (0, 1, 127, 128, -1, 10**15, 10**16, 2**63 - 1, -(2**63) + 1)
        ],
        [
            AnyValue(double_value=value)
            for value in (0.5, -0.0, 0.1, 1 / 3, 123456789012.345, 1.5e-7, 2.0**70, 2.5e-310)
        ],
        [AnyValue(string_value="x" * size) for size in range(140)],
    ],
    ids=[*(f"text of {size}" for size in TEXT_SIZES), "odd letters", "whole numbers", "numbers", "names"],
)
@pytest.mark.parametrize("in_ascii", [True, False], ids=["escaped", "as it is"])
def test_values_in_json_are_rewritten_as_what_they_were_made_of(
    values: list[AnyValue], in_ascii: bool
) -> None:
    body = request_with(*values).SerializeToString()
    in_json = json.dumps(json.loads(json_of(body)), separators=(",", ":"), ensure_ascii=in_ascii).encode()
    assert built_scanner().as_protobuf(in_json) == body


def test_json_that_is_nested_too_deeply_is_left_to_python() -> None:
    found = []
    value = AnyValue(int_value=7)
    for _ in range(20):
        body = request_with(value).SerializeToString()
        rewritten = built_scanner().as_protobuf(json_of(body))
        assert rewritten in (body, None)
        found.append(rewritten is not None)
        outer = AnyValue()
        outer.kvlist_value.values.add(key="k").value.CopyFrom(value)
        value = outer
    assert found == sorted(found, reverse=True)
    assert found[0]
    assert not found[-1]


ODD_PIECES = (
    b"",
    b'"',
    b"\\",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\\ud83d",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"0",
    b"-",
)
ODD_PIECES += (
    b"1e5",
    b".5",
    b"null",
    b"true",
    b" ",
    b"\n",
    b"\x00",
    b"\xc3",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"9" * 21,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(ODD_PIECES)), max_size=3),
)
def test_json_that_was_damaged_is_read_with_the_scanner_as_without(
    base: Written, damages: list[tuple[float, int, bytes]]
) -> None:
    with_scanner = built_scanner()
    body = json_of(request_of([base]))
    for place, cut, piece in damages:
        at = int(place * len(body))
        body = body[:at] + piece + body[at + cut :]
    try:
        expected = read(Lookout(WATCH, scanner=None), body, NOW, Encoding.JSON)
    except OtlpError:
        with pytest.raises(OtlpError):
            Lookout(WATCH, scanner=with_scanner).read(body, Encoding.JSON, NOW)
    else:
        assert read(Lookout(WATCH, scanner=with_scanner), body, NOW, Encoding.JSON) == expected


@given(
    st.one_of(
        json_values,
        st.builds(lambda span: {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}, json_values),
    )
)
def test_json_that_is_read_at_all_is_read_the_same(lookout_of: MakeLookout, value: object) -> None:
    body = orjson.dumps(value)
    try:
        expected = read_slowly(body, NOW, Encoding.JSON)
    except OtlpError:
        # Mistakes in what nobody asks for go unseen.
        with contextlib.suppress(OtlpError):
            lookout_of().read(body, Encoding.JSON, NOW)
        return
    assert read(lookout_of(), body, NOW, Encoding.JSON) == expected


IDS, NOTHING = (b"t" * 16, b"s" * 8), Counter[str]()
NO_IDS = Counter({"no valid trace or span id": 1})


@pytest.mark.parametrize("is_call", [True, False], ids=["call", "other span"])
@pytest.mark.parametrize("encoding", list(Encoding), ids=["protobuf", "JSON"])
@pytest.mark.parametrize(
    ("ids", "parent", "rejected", "parent_is"),
    [
        (IDS, b"p" * 8, NOTHING, b"p" * 8),
        (IDS, b"", NOTHING, b""),
        (IDS, bytes(8), NOTHING, b""),
        (IDS, b"p" * 16, NOTHING, b""),
        ((bytes(8) + b"t" * 8, b"s" * 8), bytes(8), NOTHING, b""),
        ((bytes(16), b"s" * 8), b"", NO_IDS, b""),
        ((b"t" * 16, bytes(8)), b"", NO_IDS, b""),
    ],
    ids=["a parent", "none", "zeros", "too long", "a trace of half zeros", "no trace", "no span"],
)
def test_an_id_of_zeros_is_the_id_of_nothing(
    lookout_of: MakeLookout,
    ids: tuple[bytes, bytes],
    parent: bytes,
    rejected: Counter[str],
    parent_is: bytes,
    encoding: Encoding,
    is_call: bool,
) -> None:
    span = PLAIN if is_call else Written((), name="GET /", resource=())
    body = request_of([replace(span, ids=ids, parent=parent)])
    body = json_of(body) if encoding is Encoding.JSON else body
    lookout = lookout_of()
    for _ in range(3):
        found = lookout.read(body, encoding, NOW)
        assert found.rejected == rejected
        assert [one.parent_span_id for one in found.sightings] == [parent_is] * (is_call and not rejected)
    assert read(lookout, body, NOW, encoding) == read_slowly(body, NOW, encoding)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(variants())
def test_spans_that_are_much_alike_are_each_read_for_what_they_are(
    lookout_of: MakeLookout, spans: list[Written]
) -> None:
    lookout = lookout_of()
    for _ in range(2):
        for one in spans:  # one at a time: each is read with what the lookout learnt of those before
            body = request_of([one])
            assert read(lookout, body) == read_slowly(body)
            in_json = json_of(body)
            assert read(lookout, in_json, NOW, Encoding.JSON) == read_slowly(in_json, NOW, Encoding.JSON)


def tuned(base: Written, number: int, **changes: Any) -> Written:
    """The span with an id and counts of its own."""
    own = {
        "gen_ai.usage.input_tokens": 100 + number,
        "gen_ai.usage.output_tokens": 10 + number,
        "gen_ai.response.id": f"chatcmpl-{number:032}",
        "gen_ai.conversation.id": f"conv-{number}",
        "user.id": f"user-{number}",
    }
    attributes = [(key, own.get(key, value)) for key, value in base.attributes]
    return replace(base, attributes=attributes, ids=(b"t" * 16, (number + 1).to_bytes(8)), **changes)


PLAIN = Written(
    (
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-4o-mini"),
        ("gen_ai.response.model", "gpt-4o-mini-2024-07-18"),
        ("gen_ai.response.id", "chatcmpl-1"),
        ("gen_ai.response.finish_reasons", ["stop"]),
        ("gen_ai.conversation.id", "conv-1"),
        ("gen_ai.usage.input_tokens", 100),
        ("gen_ai.usage.output_tokens", 10),
        ("gen_ai.output.messages", DOCUMENTS[0]),
        ("user.id", "user-1"),
    )
)


def test_of_spans_that_differ_in_ids_times_and_numbers_the_reader_sees_only_the_first(
    lookout_of: MakeLookout,
) -> None:
    lookout = lookout_of()
    spans = [tuned(PLAIN, n, for_ns=10**9 + n) for n in range(1, 50)]
    found = lookout.read(request_of(spans), Encoding.PROTOBUF, NOW)
    assert found.read_slowly == 1
    assert [one.input_tokens for one in found.sightings] == [100 + n for n in range(1, 50)]
    assert {one.shape for one in found.sightings} == {found.sightings[0].shape}
    assert read(lookout, request_of(spans)) == read_slowly(request_of(spans))


@pytest.mark.parametrize(
    "document",
    [DOCUMENTS[2], DOCUMENTS[4], DOCUMENTS[6], '{"tokenUsage": {}}', '{"usage_metadata": {}}'],
    ids=["tokens", "a chunk", "tokens in escapes", "tokens otherwise", "tokens in yet another way"],
)
def test_an_answer_that_may_tell_more_than_is_known_is_read(lookout_of: MakeLookout, document: str) -> None:
    lookout = lookout_of()
    attributes = dict(PLAIN.attributes) | {"gen_ai.output.messages": document}
    telling = replace(PLAIN, attributes=tuple(attributes.items()))
    lookout.read(request_of([PLAIN, PLAIN]), Encoding.PROTOBUF, NOW)
    assert lookout.read(request_of([PLAIN, telling, PLAIN]), Encoding.PROTOBUF, NOW).read_slowly == 1
    assert read(lookout, request_of([telling])) == read_slowly(request_of([telling]))


TOKENS = {
    "gen_ai.usage.input_tokens": (None, 10),
    "gen_ai.usage.cache_read.input_tokens": (None, 0, 4, 50),
    "gen_ai.usage.cache_creation.input_tokens": (None, 0, 4),
    "gen_ai.usage.output_tokens": (None, 0, 6),
    "gen_ai.usage.reasoning.output_tokens": (None, 0, 3, 60),
    "gen_ai.usage.total_tokens": (None, 16, 20, 19, 23),
}


@pytest.mark.parametrize(
    ("changes", "span"),
    [
        ({}, {}),
        ({"gen_ai.provider.name": "anthropic"}, {}),
        ({"gen_ai.provider.name": "aws.bedrock"}, {"scope": "opentelemetry.instrumentation.bedrock"}),
        ({"gen_ai.operation.name": "embeddings"}, {}),
        ({"gen_ai.response.finish_reasons": ["length"]}, {"is_error": True}),
        ({"gen_ai.is_streaming": True, "gen_ai.response.time_to_first_chunk": 0.5}, {}),
    ],
    ids=["plain", "tells writes", "cached beside", "embeddings", "cut at its limit", "stream without an end"],
)
def test_tokens_are_added_up_as_ever_whatever_is_told_of_them(
    lookout_of: MakeLookout, changes: dict[str, Any], span: dict[str, Any]
) -> None:
    told = {key: value for key, value in PLAIN.attributes if not key.startswith("gen_ai.usage")} | changes
    if "gen_ai.is_streaming" in told:
        del told["gen_ai.response.finish_reasons"]
    spans = []
    for numbers in itertools.product(*TOKENS.values()):
        tokens = {key: number for key, number in zip(TOKENS, numbers, strict=True) if number is not None}
        spans.append(replace(PLAIN, attributes=tuple((told | tokens).items()), **span))
    random.Random(1).shuffle(spans)
    lookout = lookout_of()
    for first in range(0, len(spans), 200):
        body = request_of(spans[first : first + 200])
        expected = read_slowly(body)
        assert [read(lookout, body), read(lookout, body)] == [expected] * 2


ODD = (
    None,
    "",
    " ",
    '"x"',
    "12",
    " 7 ",
    0,
    -1,
    7,
    10**9,
    10**9 + 1,
    2**62,
    True,
    0.5,
    7.0,
    float("inf"),
    ["stop"],
    [],
    "é",
)


@pytest.mark.parametrize("name", CASES)
def test_any_attribute_may_hold_anything(lookout_of: MakeLookout, name: str) -> None:
    base = BASES[list(CASES).index(name)]
    lookout = lookout_of()
    for number, (key, _) in enumerate(base.attributes):
        odd = [
            replace(
                base, attributes=(*base.attributes[:number], (key, value), *base.attributes[number + 1 :])
            )
            for value in ODD
        ]
        for _ in range(2):
            body = request_of([base, *odd, base])
            assert read(lookout, body) == read_slowly(body)


def test_a_resource_is_told_apart_and_its_plan_is_not(lookout_of: MakeLookout) -> None:
    lookout = lookout_of()
    homes = [(("service.name", f"s{n}"), ("service.version", f"{n}")) for n in range(20)]
    found = lookout.read(
        request_of([tuned(PLAIN, n, resource=home) for n, home in enumerate(homes)]), Encoding.PROTOBUF, NOW
    )
    assert [one.shape.service_name for one in found.sightings] == [f"s{n}" for n in range(20)]
    assert found.read_slowly == 1


def test_a_flood_of_kinds_of_spans_does_not_grow_what_is_remembered(lookout_of: MakeLookout) -> None:
    lookout = lookout_of()
    for first in range(0, 3 * KEYS_MAX, 1_000):
        spans = [
            replace(PLAIN, attributes=[*PLAIN.attributes, (f"odd.{n}", 1)])
            for n in range(first, first + 1_000)
        ]
        assert len(lookout.read(request_of(spans), Encoding.PROTOBUF, NOW).sightings) == 1_000
    assert lookout.emptied <= 4


def test_a_flood_of_orders_of_attributes_does_not_grow_what_is_remembered(lookout_of: MakeLookout) -> None:
    lookout, chance = lookout_of(), random.Random(3)
    for _ in range(0, 2 * KEYS_MAX, 1_000):
        spans = [
            replace(PLAIN, attributes=chance.sample(PLAIN.attributes, len(PLAIN.attributes)))
            for _ in range(1_000)
        ]
        assert len(lookout.read(request_of(spans), Encoding.PROTOBUF, NOW).sightings) == 1_000
    assert lookout.emptied == 2 * isinstance(lookout._protobuf, ScanningReader)


def test_a_flood_of_values_that_decide_does_not_grow_what_is_remembered(lookout_of: MakeLookout) -> None:
    lookout = lookout_of(plans_max=500)
    for first in range(0, 1_000, 100):
        spans = [
            replace(PLAIN, attributes=[*PLAIN.attributes, ("gen_ai.request.model", f"m{n}")])
            for n in range(first, first + 100)
        ]
        lookout.read(request_of(spans), Encoding.PROTOBUF, NOW)
    assert lookout.emptied == 1 or lookout.emptied == 2


def test_spans_whose_answers_are_checked_are_all_looked_at(lookout_of: MakeLookout) -> None:
    class Checks(NoChecks):
        def is_wanted(self, shape: Shape) -> bool:
            return shape.service_name == "atlas"

        def of(self, report: Report, span: Span) -> Sequence[tuple[str, bool]]:
            return (("is short", len(str(span.attributes["gen_ai.output.messages"])) < 10),)

    lookout = lookout_of(Watch((), Checks()))
    elsewhere = replace(PLAIN, resource=[("service.name", "elsewhere")])
    spans = [PLAIN, PLAIN, elsewhere, elsewhere, PLAIN]
    found = [lookout.read(request_of([one]), Encoding.PROTOBUF, NOW) for one in spans]
    assert [one.read_slowly for one in found] == [1, 1, 1, 0, 1]
    assert [one.sightings[0].checks for one in found if one.read_slowly] == [(("is short", False),)] * 4


EVALUATED = [
    ("eval.grounded.label", "fail"),
    ("app.eval.helpful", 0.1),
    ("braintrust.scores", '{"helpful": 0.2}'),
    ("gen_ai.evaluation.score.label", "fail"),
]


@pytest.mark.parametrize("told", EVALUATED, ids=[key for key, _ in EVALUATED])
def test_what_calls_tell_of_how_they_were_judged_is_read_each_time_and_others_are_read_as_ever(
    lookout_of: MakeLookout, told: tuple[str, Any]
) -> None:
    lookout = lookout_of()
    judged = replace(PLAIN, attributes=[*PLAIN.attributes, ("gen_ai.evaluation.name", "grounded"), told])
    found = [lookout.read(request_of([one]), Encoding.PROTOBUF, NOW) for one in (PLAIN, judged, judged) * 40]
    assert [one.read_slowly for one in found[::3]] == [1] + [0] * 39
    name = "grounded" if told[1] == "fail" else "helpful"
    assert [one.sightings[0].checks for one in found] == [(), ((name, False),), ((name, False),)] * 40
    last = [one.read_slowly for one in found if one.sightings[0].checks][-1]
    assert last == (not isinstance(lookout._protobuf, ScanningReader))


def test_what_is_told_of_an_answer_is_the_same_in_whatever_order_it_comes(lookout_of: MakeLookout) -> None:
    lookout, chance = lookout_of(), random.Random(5)
    told = [
        ("eval.grounded.label", "pass"),
        ("eval.grounded.passed", False),
        ("eval.helpful.score", 0.9),
        ("app.eval.helpful", "poor"),
        ("braintrust.scores.polite", True),
        ("braintrust.scores", '{"cited": false}'),
    ]
    for _ in range(30):
        attributes = [*PLAIN.attributes, *told]
        chance.shuffle(attributes)
        found = lookout.read(
            request_of([replace(PLAIN, attributes=attributes)]), Encoding.PROTOBUF, NOW
        ).sightings
        expected = (("grounded", True), ("polite", True), ("helpful", False), ("cited", False))
        assert [one.checks for one in found] == [expected]


def test_evaluations_on_spans_that_are_no_calls_are_stepped_over(lookout_of: MakeLookout) -> None:
    lookout = lookout_of()
    told = (("gen_ai.operation.name", "evaluate"), ("gen_ai.evaluation.score.label", "fail"))
    judge = replace(PLAIN, attributes=told)
    found = [lookout.read(request_of([judge]), Encoding.PROTOBUF, NOW) for _ in range(3)]
    assert [(one.others, one.read_slowly) for one in found] == [(1, 1), (1, 0), (1, 0)]


WEB = Written(
    (("http.request.method", "GET"), ("url.path", "/"), ("server.port", 443)), name="GET /", scope="web"
)


@pytest.mark.parametrize(
    ("attributes", "is_read"),
    [
        ((), False),
        ((("gen_ai.operation.name", "chat"),), True),
        ((("embedding.model_name", "m"),), True),
        ((("x" * 200, 1), ("mlflow.spanType", '"LLM"')), True),
        (((f"llm.{'x' * 200}", 1),), True),
        ((("text", "\n\x07gen_ai.x"),), True),
        ((("text", "\n\x07gentle"), ("ai", 1), ("a.llm.x", 1)), False),
    ],
    ids=[
        "none",
        "today's",
        "another's",
        "after a long name",
        "a long name",
        "forged in a text",
        "near to it",
    ],
)
def test_only_scopes_with_an_attribute_like_those_of_calls_are_decoded(
    lookout_of: MakeLookout, attributes: Pairs, is_read: bool
) -> None:
    body = request_of([WEB, replace(WEB, attributes=[*WEB.attributes, *attributes]), WEB])
    prefilter = Prefilter(body, PROTOBUF_NAMES)
    parts_of = [
        (at, to) for _, begin, end in parts(body, 0, len(body)) for _, at, to in parts(body, begin, end)
    ]
    assert any(prefilter.may_hold_calls(at, to) for at, to in parts_of) is is_read
    assert read(lookout_of(), body) == read_slowly(body)


@pytest.mark.parametrize("spans", [[WEB] * 3, [PLAIN] * 3], ids=["stepped over", "read"])
@pytest.mark.parametrize(
    "wrong",
    [{"ids": (b"t" * 15, b"s" * 8)}, {"ids": (b"t" * 16, b"")}, {"at_ns": 0}, {"for_ns": -START_NS}],
    ids=["trace id", "span id", "no start", "no end"],
)
def test_spans_without_ids_or_times_are_rejected_with_the_reason(
    lookout_of: MakeLookout, spans: list[Written], wrong: dict[str, Any]
) -> None:
    body = request_of([spans[0], replace(spans[1], **wrong), spans[2]])
    lookout = lookout_of()
    for _ in range(2):
        assert read(lookout, body) == read_slowly(body)
        assert sum(read(lookout, body).rejected.values()) == 1


@pytest.mark.parametrize(
    ("now", "reasons"),
    [(NOW, 0), (START_NS / 1e9 - 400, 1), (START_NS / 1e9 + 86_500, 1)],
    ids=["in time", "too early", "too late"],
)
def test_calls_of_impossible_times_are_rejected_also_by_a_plan(
    lookout_of: MakeLookout, now: float, reasons: int
) -> None:
    lookout, body = lookout_of(), request_of([PLAIN, WEB])
    for _ in range(2):
        assert read(lookout, body, now) == read_slowly(body, now)
        assert sum(read(lookout, body, now).rejected.values()) == reasons


def test_a_call_that_ended_in_time_yet_began_in_the_future_is_rejected(lookout_of: MakeLookout) -> None:
    lookout, body = (
        lookout_of(),
        request_of([PLAIN, replace(PLAIN, at_ns=2**63 + 5, for_ns=START_NS - 2**63), WEB]),
    )
    for _ in range(2):
        assert read(lookout, body) == read_slowly(body)
        assert len(read(lookout, body).sightings) == sum(read(lookout, body).rejected.values()) == 1


@pytest.mark.parametrize("base", [WEB, PLAIN], ids=["no calls", "calls"])
def test_a_request_of_too_many_spans_is_refused(lookout_of: MakeLookout, base: Written) -> None:
    body = request_of([replace(base, attributes=base.attributes[:1])])
    with pytest.raises(OversizeError, match="20000 spans"):
        lookout_of().read(body * (SPANS_MAX + 1), Encoding.PROTOBUF, NOW)


def test_an_overflow_of_attributes_is_refused_before_it_is_decoded(lookout_of: MakeLookout) -> None:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            name="x", trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=1, end_time_unix_nano=2
        )
    )
    span.attributes.add(key="gen_ai.x")
    for piece in (b"\x4a\x00", b"\x4a\x0e\x12\x0c\x2a\x0a" + b"\x0a\x00" * 5):
        inner = span.SerializeToString() + piece * 600_000
        body = _wrapped(1, _wrapped(2, _wrapped(2, inner)))
        with pytest.raises(OversizeError):
            decode(body, Encoding.PROTOBUF)
        with pytest.raises(OversizeError):
            lookout_of().read(body, Encoding.PROTOBUF, NOW)


def _wrapped(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(length) + bytes([size]) + content


def damaged(body: bytes, chance: random.Random) -> bytes:
    """A request as it may come out of a faulty memory, or of an encoder with a mistake."""
    data = bytearray(body)
    at = chance.randrange(len(data))
    match chance.randint(0, 5):
        case 0:
            del data[at:]
        case 1:
            del data[at : at + chance.randint(1, 4)]
        case 2:
            data[at:at] = chance.randbytes(chance.randint(1, 4))
        case _:
            data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def check_damaged(lookout: Lookout, chance: random.Random, rounds: int) -> int:
    """Damage requests: what is still read as ever is read the same; gives how many were."""
    readable = 0
    for body, now in FUZZED:
        lookout.read(body, Encoding.PROTOBUF, now)
    for _ in range(rounds):
        body, now = chance.choice(FUZZED)
        body = damaged(body, chance)
        try:
            expected = read_slowly(body, now)
        except OtlpError:
            # Damage in what nobody asks for may go unseen; any other is told.
            with contextlib.suppress(OtlpError):
                lookout.read(body, Encoding.PROTOBUF, now)
            continue
        if _has_odd_attributes(body):
            continue  # a span that has them is taken for one of those that lack the attribute
        readable += 1
        assert read(lookout, body, now) == expected, body.hex()
    return readable


def _has_odd_attributes(body: bytes) -> bool:
    """Whether an attribute holds more than its name and its value."""
    spans = [
        span
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return any(len(UnknownFieldSet(pair)) for span in spans for pair in span.attributes)


def _now_of(body: bytes) -> float:
    return max(span.end_ns for span in decode(body, Encoding.PROTOBUF).spans) / 1e9


FUZZED = [
    *((body, _now_of(body)) for path in PAYLOADS if (body := path.read_bytes())),
    (request_of([PLAIN, WEB]), NOW),
    (request_of([WEB] * 3), NOW),
]


def test_damaged_requests_are_refused_or_read_the_same(lookout_of: MakeLookout) -> None:
    assert check_damaged(lookout_of(), random.Random(11), 1_500) > 300


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_requests_damaged_for_minutes_are_refused_or_read_the_same(lookout_of: MakeLookout) -> None:
    for seed in range(60):
        check_damaged(lookout_of(), random.Random(seed), 2_000)
