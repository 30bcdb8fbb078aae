"""Each call counted once: what is joined, and what must not be."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from exported_spans import id_of, span_of

from monitor.traffic import dialects
from monitor.traffic.calls import Call, ErrorClass
from monitor.traffic.dialects import Report
from monitor.traffic.joining.groups import join
from monitor.traffic.otlp import Span

ID = "chatcmpl-0123456789abcdef"
OTHER_ID = "chatcmpl-fedcba9876543210"


def otel(
    number: int, tokens: tuple[int, int] | None = (50, 9), response_id: str | None = None, **told: Any
) -> Span:
    """A span of an instrumentation library."""
    attributes: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1"}
    if tokens:
        attributes |= {"gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1]}
    if response_id:
        attributes["gen_ai.response.id"] = response_id
    return span_of(
        {**attributes, **told.pop("attributes", {})}, number=number, scope=told.pop("scope", "otel"), **told
    )


def framework(number: int, tokens: tuple[int, int] | None = (50, 9), **told: Any) -> Span:
    """A span that another library writes about the same call, in a trace of its own, a little longer."""
    told = {"scope": "framework", "trace": 2, "at_s": -0.01, "for_s": 2.02} | told
    return otel(number, tokens, **told)


def untold(model: str) -> Span:
    """A span of a provider's own SDK that tells what was asked for, and nothing of what came back."""
    return span_of(
        {"gen_ai.request.model": model}, scope="mistralai_sdk_tracer", name="chat_stream", for_s=0.4
    )


def reports(spans: Sequence[Span]) -> list[Report]:
    return [found for span in spans if isinstance(found := dialects.examine(span), Report)]


def calls_of(*spans: Span) -> list[Call]:
    """The calls behind the spans, whatever the order in which these come."""
    expected = [one.call for one in join(reports(spans))[0]]
    for seed in range(3):
        shuffled = random.Random(seed).sample(spans, len(spans))
        found = [one.call for one in join(reports(shuffled))[0]]
        assert {frozenset(one.span_ids) for one in found} == {frozenset(one.span_ids) for one in expected}
    return expected


# --- one call

ONE_CALL = {
    "one id in two traces": (otel(1, response_id=ID), framework(2, None, response_id=ID)),
    "one id, in another service behind it": (
        otel(1, response_id=ID),
        framework(2, response_id=ID, resource={"service.name": "gateway"}, at_s=0.4, for_s=1.0),
    ),
    "no id on one, the same tokens at the same time": (otel(1, response_id=ID), framework(2)),
    "the same error at the same time": (
        otel(1, None, error="Error code: 429"),
        framework(2, None, error="RateLimitError"),
    ),
    "a cut that one did not notice": (otel(1, (50, 3), error="peer closed connection"), framework(2, (50, 3))),
    "an error that one tells more narrowly": (
        otel(1, None, error="x", attributes={"http.response.status_code": 400}),
        framework(2, None, error="maximum context length", attributes={"http.response.status_code": 400}),
    ),
    "parent and child of one emitter": (otel(1, None), otel(2, parent=1, at_s=0.1, for_s=1.0)),
    "parent and child that count differently": (otel(1, (50, 10)), otel(2, (50, 9), parent=1, scope="sdk")),
    "a parent that says nothing of what it is": (
        span_of({"gen_ai.request.model": "gpt-4.1", "gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 9},
                number=1, scope="wrapper", name="ask"),
        otel(2, parent=1, at_s=0.1, for_s=1.0),
    ),
    "the same span exported twice": (otel(1), otel(1)),
    "one id, by a wrapper further up in the trace": (
        otel(1, response_id=ID, parent=8), otel(2, (51, 9), response_id=ID, at_s=-0.1, for_s=2.2)),
    "one id, by the same library behind a gateway": (
        otel(1, response_id=ID), otel(2, response_id=ID, trace=2, resource={"service.name": "gateway"})),
    "three reports": (otel(1, response_id=ID), framework(2), framework(3, response_id=ID, scope="third", trace=3)),
    "a stream of which the provider's own sdk tells no outcome": (
        untold("gpt-4.1"),
        framework(2),
    ),
    "input with and without the cached tokens": (
        otel(1, (90, 9), attributes={"gen_ai.usage.cache_read.input_tokens": 30,
                                     "gen_ai.usage.cache_write.input_tokens": 10}),
        framework(2, (50, 9)),
    ),
    "a model with and without its vendor": (
        otel(1, attributes={"gen_ai.request.model": "us.amazon.nova-lite-v1:0"}),
        framework(2, attributes={"gen_ai.request.model": "nova-lite-v1:0"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_CALL)
def test_reports_of_one_call_are_one(name: str) -> None:
    spans = ONE_CALL[name]
    calls = calls_of(*spans)
    assert len(calls) == 1
    assert set(calls[0].span_ids) == {span.span_id for span in spans}


# --- two calls

TWO_CALLS = {
    "alike and at once, by one emitter": (otel(1), otel(2, trace=2)),
    "failed alike and at once, by one emitter": (
        otel(1, None, error="429"),
        otel(2, None, error="429", trace=2),
    ),
    "different ids, one below the other": (
        otel(1, response_id=ID),
        otel(2, response_id=OTHER_ID, parent=1, scope="sdk"),
    ),
    "different ids, the same tokens": (otel(1, response_id=ID), framework(2, response_id=OTHER_ID)),
    "one after the other": (otel(1), framework(2, at_s=3.0)),
    "an overlap that is no containment": (otel(1), framework(2, at_s=1.0)),
    "different tokens": (otel(1), framework(2, (51, 9))),
    "different services": (otel(1), framework(2, resource={"service.name": "other"})),
    "different models": (otel(1), framework(2, attributes={"gen_ai.request.model": "claude"})),
    "different errors": (otel(1, None, error="429"), framework(2, None, error="Request timed out.")),
    "failures of two providers": (
        otel(1, None, error="429", attributes={"gen_ai.system": "openai", "gen_ai.request.model": "m"}),
        framework(2, None, error="429", attributes={"gen_ai.system": "cohere", "gen_ai.request.model": "m"}),
    ),
    "one failed, one did not": (otel(1, None, error="429"), framework(2)),
    "one was cut, one was not": (
        otel(1, (50, 3), error="peer closed connection"),
        framework(2, (50, 3), attributes={"gen_ai.response.finish_reasons": ["stop"]}),
    ),
    "an attempt and the next": (otel(1, None, error="429", for_s=0.5), otel(2, at_s=0.6, for_s=1.0)),
    "nothing told but the time": (otel(1, None), framework(2, None)),
    "an id again, hours later": (otel(1, response_id=ID), framework(2, response_id=ID, at_s=7200.0)),
    "an answer out of a cache": (otel(1, response_id=ID), otel(2, response_id=ID, trace=2, at_s=0.5)),
    "an id that is drawn from a thousand": (
        otel(1, response_id="chatcmpl-123"),
        otel(2, (7, 7), response_id="chatcmpl-123", trace=2),
    ),
    "of another model, of which the provider's own sdk tells no outcome": (
        span_of(
            {"gen_ai.request.model": "small"},
            number=1,
            scope="mistralai_sdk_tracer",
            name="chat_stream",
            for_s=0.4,
        ),
        framework(2),
    ),
    "input that differs by half of the cached tokens": (
        otel(1, (90, 9), attributes={"gen_ai.usage.cache_read.input_tokens": 40}),
        framework(2, (70, 9)),
    ),
    "text and embeddings": (otel(1), framework(2, attributes={"gen_ai.operation.name": "embeddings"})),
}


@pytest.mark.parametrize("name", TWO_CALLS)
def test_two_calls_are_two(name: str) -> None:
    assert len(calls_of(*TWO_CALLS[name])) == 2


@pytest.mark.parametrize("error", [None, "Error code: 429 - slow down"])
def test_calls_alike_in_parallel_are_each_counted_once_when_each_is_told_twice(error: str | None) -> None:
    tokens = None if error else (50, 9)
    spans = []
    for number in range(14):
        spans.append(otel(100 + number, tokens, trace=100 + number, at_s=0.003 * number, error=error))
        spans.append(
            framework(
                200 + number,
                tokens,
                trace=200 + number,
                at_s=0.003 * number - 0.001,
                for_s=2.002,
                error=error,
            )
        )
    calls = calls_of(*spans)
    assert len(calls) == 14
    pairs = {frozenset(one.span_ids) for one in calls}
    assert pairs == {frozenset((id_of(100 + number), id_of(200 + number))) for number in range(14)}


# --- wrappers


def wrapper(number: int, **told: Any) -> Span:
    tokens = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 18,
        "gen_ai.request.model": "gpt-4.1",
    }
    return span_of(tokens, number=number, scope="wrapper", name="ask", **told)


@pytest.mark.parametrize(
    "outer", [wrapper(1), otel(1, (100, 18))], ids=["that says nothing", "that says chat"]
)
def test_a_sum_over_two_calls_is_no_call(outer: Span) -> None:
    spans = [otel(2, parent=1, at_s=0.1, for_s=0.5), otel(3, parent=1, at_s=0.8, for_s=0.5), outer]
    calls, wrappers = join(reports(spans))
    assert [one.call.span_ids for one in calls] == [(id_of(2),), (id_of(3),)]
    assert [one.report.call.span_ids for one in wrappers] == [(id_of(1),)]


def test_failed_attempts_below_a_call_are_calls_of_their_own() -> None:
    failed = otel(2, None, parent=1, scope="sdk", for_s=0.2, error="Error code: 500")
    calls = calls_of(otel(1), failed, otel(3, parent=1, scope="sdk", at_s=0.4, for_s=1.0))
    assert [one.error for one in calls] == [False, True]
    assert set(calls[0].span_ids) == {id_of(1), id_of(3)}


# --- streams told in two parts


def beginning(number: int, at_s: float, prompt: str) -> Span:
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.model": "m",
            "gen_ai.input.messages": prompt, "logfire.span_type": "span"}  # fmt: skip
    return span_of(told, number=number, trace=number, scope="logfire.openai", at_s=at_s, for_s=0.1)


def end(number: int, at_s: float, lasted_s: float, prompt: str, tokens: int) -> Span:
    told = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": prompt,
            "logfire.span_type": "log", "duration": lasted_s, "gen_ai.usage.input_tokens": tokens,
            "gen_ai.usage.output_tokens": 4}  # fmt: skip
    return span_of(told, number=number, trace=number, scope="logfire.openai", at_s=at_s, for_s=0.0)


def test_the_end_of_a_stream_belongs_to_its_beginning() -> None:
    (call,) = calls_of(beginning(1, 0.0, "a"), end(2, 1.1, 1.0, "a", 50))
    assert call.streaming is True
    assert call.input_tokens == 50
    assert call.duration_s == pytest.approx(1.1)
    assert call.response_model is None


def test_streams_in_parallel_end_each_for_its_own_beginning() -> None:
    spans = [
        beginning(1, 0.0, "a"),
        beginning(2, 0.02, "b"),
        end(3, 1.1, 1.0, "a", 50),
        end(4, 1.12, 1.0, "b", 60),
    ]
    spans += [beginning(5, 0.4, "a"), end(6, 1.5, 1.0, "a", 70)]
    found = {frozenset(one.span_ids): one.input_tokens for one in calls_of(*spans)}
    assert found == {
        frozenset((id_of(1), id_of(3))): 50,
        frozenset((id_of(2), id_of(4))): 60,
        frozenset((id_of(5), id_of(6))): 70,
    }


# --- the union of what is told


def test_what_each_tells_is_united() -> None:
    sdk = otel(1, response_id=ID, scope="com.anthropic.sdk.python", attributes={
        "gen_ai.response.model": "claude-4-20250929", "gen_ai.usage.cache_read.input_tokens": 20})  # fmt: skip
    library = framework(2, (50, 10), response_id=ID, attributes={
        "session.id": "s-1", "gen_ai.response.finish_reasons": ["end_turn"], "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.5, "gen_ai.usage.reasoning.output_tokens": 3})  # fmt: skip
    (call,) = calls_of(library, sdk)
    assert (call.input_tokens, call.cached_input_tokens) == (50, 20)
    assert call.output_tokens == 9, "the provider's own SDK copies the counts as they came"
    assert (call.session_id, call.finish_reason, call.streaming, call.ttft_s) == ("s-1", "stop", True, 0.5)
    assert (call.response_model, call.reasoning_tokens) == ("claude-4-20250929", 3)
    assert call.duration_s == pytest.approx(2.02)


def test_a_part_that_is_more_than_the_whole_is_left_out() -> None:
    strange = framework(2, None, response_id=ID, attributes={"gen_ai.usage.cache_read.input_tokens": 90})
    (call,) = calls_of(otel(1, response_id=ID), strange)
    assert (call.input_tokens, call.cached_input_tokens) == (50, None)


def test_what_wraps_one_call_does_not_tell_its_tokens() -> None:
    (call,) = calls_of(wrapper(1), otel(2, (50, 9), parent=1, at_s=0.1, for_s=0.5))
    assert (call.input_tokens, call.output_tokens) == (50, 9)
    assert set(call.span_ids) == {id_of(1), id_of(2)}


def test_a_failure_that_only_one_saw_is_a_failure() -> None:
    cut = otel(1, None, response_id=ID, error="peer closed connection")
    (call,) = calls_of(cut, framework(2, None, response_id=ID))
    assert call.error
    assert call.error_class is ErrorClass.CONNECTION


def test_a_failure_after_the_answer_was_whole_is_none() -> None:
    answered = otel(1, response_id=ID, attributes={"gen_ai.response.finish_reasons": ["stop"]})
    (call,) = calls_of(answered, framework(2, None, response_id=ID, error="OutputParserException"))
    assert not call.error
    assert call.error_class is None


def test_each_link_says_why() -> None:
    ((joined,), _) = join(reports([otel(1, response_id=ID), framework(2, response_id=ID)]))
    (link,) = joined.links
    assert {link.span_id, link.other_span_id} == {id_of(1), id_of(2)}
    assert "response id" in link.why


def test_an_outage_does_not_hold_up_the_joining() -> None:
    failed = [
        otel(n, None, trace=n, at_s=0.01 * n, for_s=60.0, error="Request timed out.") for n in range(1, 3001)
    ]
    seen = [framework(5000 + n, None, trace=5000 + n, at_s=0.01 * n - 0.001, for_s=60.002, error="Request timed out.")
            for n in range(1, 3001)]  # fmt: skip
    calls, _ = join(reports(failed + seen))
    assert len(calls) == 3000
