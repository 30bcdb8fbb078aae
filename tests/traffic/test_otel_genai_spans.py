import json
from pathlib import Path

import orjson
import pytest

from monitor.traffic import calls, dialects
from monitor.traffic.calls import Call, CostBasis, ErrorClass, FinishReason
from monitor.traffic.otlp import Encoding, Event, Span, decode

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text())
RANGES = ("ttft_s", "duration_s")
FACTS = [
    "operation",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "error",
    "error_class",
    "http_status",
    "finish_reason",
    "streaming",
    "service_name",
    "service_version",
    "environment",
]


def read_span(attributes: dict[str, object], **fields: object) -> Call | None:
    told: dict[str, object] = {"gen_ai.operation.name": "chat", **attributes}
    span = Span("a" * 32, "b" * 16, "", "chat", "scope", 0, 10**9, False, "", told)
    for name, value in fields.items():
        object.__setattr__(span, name, value)
    return dialects.read(span)


@pytest.mark.parametrize("name", EXPECTED)
def test_captured_spans_say_what_the_provider_answered(name: str) -> None:
    spans = decode((DATA / name).read_bytes(), Encoding.PROTOBUF).spans
    found = {span.span_id: call for span in spans if (call := dialects.read(span))}
    assert found.keys() == EXPECTED[name].keys()
    for span_id, want in EXPECTED[name].items():
        got = orjson.loads(calls.to_json(found[span_id]))
        assert {fact: got[fact] for fact in FACTS} == {fact: want.get(fact) for fact in FACTS}
        for fact in RANGES:
            if fact in want:
                low, high = want[fact]
                assert low <= got[fact] <= high


@pytest.mark.parametrize("operation", ["chat", "text_completion", "generate_content"])
def test_every_way_to_generate_text_is_a_chat_call(operation: str) -> None:
    call = read_span({"gen_ai.operation.name": operation})
    assert call is not None
    assert call.operation == "chat"


@pytest.mark.parametrize(
    "operation", ["invoke_agent", "execute_tool", "create_agent", "invoke_workflow", "plan", ""]
)
def test_what_wraps_calls_is_no_call(operation: str) -> None:
    assert read_span({"gen_ai.operation.name": operation, "gen_ai.usage.input_tokens": 5}) is None


@pytest.mark.parametrize(
    ("attributes", "scope", "total"),
    [
        ({"input_tokens": 100, "cache_read.input_tokens": 60}, "lib", 100),
        ({"input_tokens": 100, "cache_read.input_tokens": 60}, "lib.bedrock", 160),
        ({"input_tokens": 100, "cache_read.input_tokens": 101}, "lib", 201),
        ({"input_tokens": 10, "cache_read.input_tokens": 5, "cache_write.input_tokens": 6}, "lib", 21),
        ({"input_tokens": 10, "cache_creation.input_tokens": 20}, "lib", 30),
        ({"prompt_tokens": 7}, "lib", 7),
        ({"input_tokens": 0}, "lib", 0),
        ({"cache_read.input_tokens": 60}, "lib", None),
        ({}, "lib", None),
    ],
    ids=[
        "included",
        "known to leave cached ones out",
        "more cached than all",
        "more written and cached than all",
        "older name",
        "oldest name",
        "zero is told",
        "only the cached",
        "nothing told",
    ],
)
def test_input_tokens_include_cached_ones_once(attributes, scope, total) -> None:
    call = read_span({f"gen_ai.usage.{key}": value for key, value in attributes.items()}, scope=scope)
    assert call is not None
    assert call.input_tokens == total


@pytest.mark.parametrize(("output", "reasoning", "total"), [(100, 60, 100), (5, 802, 807), (None, 60, None)])
def test_output_tokens_include_reasoning_once(output, reasoning, total) -> None:
    told = {"gen_ai.usage.output_tokens": output, "gen_ai.usage.reasoning.output_tokens": reasoning}
    call = read_span(told)
    assert call is not None
    assert call.output_tokens == total


@pytest.mark.parametrize(
    "value", [-1, 10**12, True, "many", 1.5, float("nan"), float("inf"), [1], None, "1e400"], ids=str
)
def test_a_count_that_cannot_be_is_not_told(value: object) -> None:
    call = read_span({"gen_ai.usage.input_tokens": value})
    assert call is not None
    assert call.input_tokens is None


@pytest.mark.parametrize(
    ("written", "provider"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("openai.responses", "openai"),
        ("gemini", "gcp.gemini"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("gcp.vertex_ai", "gcp.vertex_ai"),
        ("aws", "aws.bedrock"),
        ("MistralAI", "mistral_ai"),
        ("xai", "x_ai"),
        ("az.ai.openai", "azure.ai.openai"),
        ("my-gateway", "my-gateway"),
        ("my-gateway.chat", "my-gateway"),
        ("google.generative-ai", "gcp.gemini"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("langchain", None),
        (" ", None),
    ],
)
def test_providers_have_one_name(written: str, provider: str | None) -> None:
    call = read_span({"gen_ai.system": written})
    assert call is not None
    assert (call.provider, call.dialect) == (provider, "otel_genai_old")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (["stop"], FinishReason.STOP),
        (["end_turn"], FinishReason.STOP),
        (["MAX_TOKENS"], FinishReason.LENGTH),
        ('["length"]', FinishReason.LENGTH),
        ("tool-calls", FinishReason.TOOL_CALLS),
        (["guardrail_intervened"], FinishReason.CONTENT_FILTER),
        (["eaten_by_a_grue"], FinishReason.OTHER),
        (["", "stop"], FinishReason.STOP),
        (["error"], None),
        ([], None),
        (7, None),
    ],
    ids=str,
)
def test_finish_reasons_have_one_name(written: object, reason: FinishReason | None) -> None:
    call = read_span({"gen_ai.response.finish_reasons": written})
    assert call is not None
    assert call.finish_reason is reason


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ('[{"role":"assistant","parts":[],"finish_reason":"tool_call"}]', FinishReason.TOOL_CALLS),
        ([{"finish_reason": "stop"}], FinishReason.STOP),
        ("{cut", None),
        ("[1]", None),
        ('"stop"', None),
    ],
    ids=str,
)
def test_the_finish_reason_may_be_in_the_messages_only(messages: object, reason: FinishReason | None) -> None:
    call = read_span({"gen_ai.output.messages": messages})
    assert call is not None
    assert call.finish_reason is reason


@pytest.mark.parametrize(
    ("attributes", "message", "error_class", "status"),
    [
        ({"error.type": "RateLimitError"}, "Error code: 429 - slow down", ErrorClass.RATE_LIMIT, 429),
        ({"error.type": "RateLimitError"}, "", ErrorClass.RATE_LIMIT, None),
        ({"error.type": "429"}, "", ErrorClass.RATE_LIMIT, 429),
        ({"error.type": "api_error", "http.response.status_code": 500}, "", ErrorClass.SERVER_ERROR, 500),
        (
            {"error.type": "overloaded_error", "http.response.status_code": 529},
            "",
            ErrorClass.OVERLOADED,
            529,
        ),
        ({"error.type": "openai.APITimeoutError"}, "Request timed out.", ErrorClass.TIMEOUT, None),
        ({"error.type": "APIConnectionTimeoutError"}, "", ErrorClass.TIMEOUT, None),
        ({"error.type": "openai.APIConnectionError"}, "Connection error.", ErrorClass.CONNECTION, None),
        ({"error.type": "BadRequestError"}, "Error code: 400 - bad parameter", ErrorClass.BAD_REQUEST, 400),
        (
            {"error.type": "BadRequestError"},
            "Error code: 400 - This model's maximum context length is 8192 tokens",
            ErrorClass.CONTEXT_LENGTH,
            400,
        ),
        ({"error.type": "AuthenticationError"}, "Error code: 401", ErrorClass.AUTH, 401),
        ({"error.type": "botocore.errorfactory.ThrottlingException"}, "", ErrorClass.RATE_LIMIT, None),
        ({"error.type": "json.decoder.JSONDecodeError"}, "Expecting value", ErrorClass.BAD_RESPONSE, None),
        ({"error.type": "ZeroDivisionError"}, "division by zero", ErrorClass.OTHER, None),
        ({}, "took 500 tokens", ErrorClass.OTHER, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_errors_have_a_class_and_where_told_a_status(attributes, message, error_class, status) -> None:
    call = read_span(attributes, is_error=True, status_message=message)
    assert call is not None
    assert (call.error, call.error_class, call.http_status) == (True, error_class, status)


def test_the_exception_event_tells_of_an_error_too() -> None:
    event = Event(
        "exception", 0, {"exception.type": "openai.InternalServerError", "exception.message": "oops"}
    )
    call = read_span({}, is_error=True, events=(event,))
    assert call is not None
    assert call.error_class is ErrorClass.SERVER_ERROR


def test_a_call_with_an_error_type_failed_whatever_its_status_says() -> None:
    call = read_span({"error.type": "RateLimitError"})
    assert call is not None
    assert call.error


def test_an_http_status_of_success_is_not_the_status_of_a_failure() -> None:
    call = read_span({"error.type": "JSONDecodeError", "http.response.status_code": 200})
    assert call is not None
    assert call.http_status is None


def test_a_clock_that_went_backwards_makes_a_call_of_no_time() -> None:
    call = read_span({}, start_ns=5 * 10**9)
    assert call is not None
    assert call.duration_s == 0.0


def test_no_text_of_prompts_or_answers_is_in_a_call() -> None:
    secret = "the patient's name is"
    told = {
        "gen_ai.input.messages": secret,
        "gen_ai.output.messages": f'[{{"finish_reason": "stop", "parts": ["{secret}"]}}]',
        "gen_ai.system_instructions": secret,
        "gen_ai.prompt": secret,
        "gen_ai.completion": secret,
        "error.type": "BadRequestError",
    }
    call = read_span(told, is_error=True, status_message=f"Error code: 400 - {secret}")
    assert call is not None
    assert secret.encode() not in calls.to_json(call)


def test_a_call_survives_its_json() -> None:
    call = read_span({"error.type": "429", "gen_ai.response.finish_reasons": ["stop"]}, is_error=True)
    assert call is not None
    assert call.cost_basis is CostBasis.UNPRICED
    assert calls.from_json(orjson.loads(calls.to_json(call))) == call
