"""The lookout says of every span what the reader of the dialects says of it, however the span is written."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from exported_spans import START_NS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.traffic import dialects
from monitor.traffic.dialects import Report
from monitor.traffic.lookout import AGE_MAX_S, FUTURE_MAX_S, Lookout, Watch
from monitor.traffic.lookout.origin import chosen_of, origin_of
from monitor.traffic.lookout.watched import vocabulary
from monitor.traffic.otlp import Encoding, decode
from monitor.traffic.sightings import Shapes, Sighting, sighting_of

from .conftest import any_value
from .test_dialects import CASES

PAYLOADS = sorted((Path(__file__).parent / "data").glob("*.pb"))
NOW = START_NS / 1e9 + 100
CHOSEN = ("user.id", "service.name", "gen_ai.request.model", "chosen.number")


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
        elif found.call.ended_at > now + FUTURE_MAX_S:
            rejected["ended more than 5 minutes in the future: is the sender's clock right?"] += 1
        elif found.call.ended_at < now - AGE_MAX_S:
            rejected["ended more than 24 hours ago"] += 1
        else:
            chosen = chosen_of(span.attributes, origin_of(span.resource, CHOSEN), CHOSEN)
            sighting = sighting_of(found, Shapes(), chosen)
            if not found.is_ending:
                sighting = sighting._replace(start_ns=span.start_ns, end_ns=span.end_ns)
            sightings.append(comparable(sighting))
    return Read(sightings, others, rejected)


def read(lookout: Lookout, body: bytes, now: float = NOW, encoding: Encoding = Encoding.PROTOBUF) -> Read:
    found = lookout.read(body, encoding, now)
    return Read([comparable(one) for one in found.sightings], found.others, Counter(found.rejected))


def lookout_of() -> Lookout:
    return Lookout(Watch(CHOSEN))


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


def request_of(spans: Sequence[Written]) -> bytes:
    request = ExportTraceServiceRequest()
    for one in spans:
        resource_spans = request.resource_spans.add()
        _add(resource_spans.resource.attributes, one.resource)
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = one.scope
        span = scope_spans.spans.add(name=one.name, trace_id=one.ids[0], span_id=one.ids[1])
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
def test_requests_of_real_libraries_are_read_as_ever_also_the_second_time(payload: Path) -> None:
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


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(variants())
def test_spans_that_are_much_alike_are_each_read_for_what_they_are(spans: list[Written]) -> None:
    lookout = lookout_of()
    for _ in range(2):
        for one in spans:  # one at a time: each is read with what the lookout learnt of those before
            body = request_of([one])
            assert read(lookout, body) == read_slowly(body)
