"""What every provider does, whatever the API behind it: the same questions to all of them, and the same answers."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from vendor_server import APIS, KEY, VendorServer, shapes

from canaries.clock import SystemClock
from canaries.completion import Outcome
from canaries.config import TargetConfig
from canaries.dialects import DIALECTS
from canaries.prompt import Message, Tool, ToolCall, calls_text
from canaries.providers import PROVIDERS, Answer, ChatRequest, RequestFailed, build_provider
from canaries.providers.gemini import GeminiProvider
from canaries.providers.http import HttpProvider

PATHS = {
    "gemini": "/v1beta",
    "litellm": "",
    "azure": "/openai/deployments/{model}?api-version=2024-10-21",
}
ANSWERED = {
    "text": ("Canberra, it is.", "stop", 19, 5),
    "cut": ("Once upon a", "length", 12, 3),
    "refusal": ("I can’t help with that.", "refusal", 30, 8),
    "tools": (
        '[{"arguments":{"city":"Oslo","unit":"celsius"},"name":"get_weather"},'
        '{"arguments":{"city":"Bergen","unit":"celsius"},"name":"get_weather"}]',
        "tool_calls",
        82,
        34,
    ),
}
FIRST_TOP = (("Can", -0.02), ("Syd", -4.1))


class FixedNow(SystemClock):
    def now(self) -> datetime:
        return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def target(vendors: VendorServer, provider: str, scenario: str, **more: Any) -> TargetConfig:
    model = scenario.replace(":", "~")  # a colon is for the method in Gemini's addresses
    path = PATHS.get(provider, "/v1").format(model=model)
    return TargetConfig(
        provider=provider,  # type: ignore[arg-type]
        base_url=f"{vendors.url}/{provider}{path}",
        api_key=KEY,  # type: ignore[arg-type]
        model=model,
        suite="s.yaml",
        **more,
    )


async def ask(vendors: VendorServer, provider: str, scenario: str, **more: Any) -> Answer:
    one = target(vendors, provider, scenario)
    request = replace(ChatRequest(one.model, (Message("user", "Which one, exactly?"),)), **more)
    async with httpx.AsyncClient(verify=False) as client:  # loading certificates takes longer than the rest
        return await build_provider(one, FixedNow()).complete(request, client)


def who_know(*scenarios: str) -> list[tuple[str, str]]:
    """Each provider with each of the answers that its API has."""
    return [(one, s) for one in sorted(PROVIDERS) for s in scenarios if s in shapes(APIS.get(one, "chat"))]


every_provider = pytest.mark.parametrize("provider", sorted(PROVIDERS))
both_ways = pytest.mark.parametrize("stream", [True, False], ids=["stream", "at once"])


def test_the_table_and_the_providers_are_about_the_same_kinds_of_endpoints() -> None:
    assert PROVIDERS.keys() == DIALECTS.keys()


@both_ways
@pytest.mark.parametrize(("provider", "scenario"), who_know(*ANSWERED))
async def test_the_same_answer_is_read_in_the_same_way(
    vendors: VendorServer, provider: str, scenario: str, stream: bool
) -> None:
    answer = await ask(vendors, provider, scenario, stream=stream)
    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.output_tokens) == ANSWERED[
        scenario
    ]
    assert answer.served_model
    assert (answer.ttft_s is not None) == stream
    assert answer.ttft_s is None or 0 <= answer.ttft_s <= answer.latency_s


@every_provider
@both_ways
async def test_calls_of_tools_come_whole_and_in_their_order(
    vendors: VendorServer, provider: str, stream: bool
) -> None:
    answer = await ask(vendors, provider, "tools", stream=stream)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [
        ("get_weather", {"city": "Oslo", "unit": "celsius"}),
        ("get_weather", {"city": "Bergen", "unit": "celsius"}),
    ]
    assert len({call.id for call in answer.tool_calls}) == 2


@every_provider
@both_ways
async def test_tokens_of_caches_are_part_of_the_input_and_thoughts_of_the_output(
    vendors: VendorServer, provider: str, stream: bool
) -> None:
    answer = await ask(vendors, provider, "counted", stream=stream)
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("42", 2048, 321)
    assert (answer.cached_input_tokens, answer.reasoning_tokens) == (1920, 320)
    assert answer.cache_write_input_tokens in (None, 0, 100)


@both_ways
@pytest.mark.parametrize(("provider", "scenario"), who_know("tokens"))
async def test_log_probabilities_are_those_of_all_tokens_and_the_likeliest_first_ones(
    vendors: VendorServer, provider: str, scenario: str, stream: bool
) -> None:
    answer = await ask(vendors, provider, scenario, stream=stream, logprobs=2)
    assert (answer.text, answer.logprobs, answer.first_top) == ("Canberra", (-0.02, -0.001), FIRST_TOP)


@every_provider
@both_ways
async def test_an_answer_that_was_withheld_is_a_failure(
    vendors: VendorServer, provider: str, stream: bool
) -> None:
    with pytest.raises(RequestFailed) as caught:
        await ask(vendors, provider, "filtered", stream=stream)
    assert (caught.value.outcome, caught.value.is_transport) == (Outcome.CONTENT_FILTER, False)


@pytest.mark.parametrize(
    ("provider", "fingerprint"),
    [
        ("openai", "fp_44709d6fcb"),
        ("azure", "fp_44709d6fcb"),
        ("ollama", "fp_ollama"),
        ("openrouter", "Together"),
        ("litellm", "deployment-7"),
        ("vllm", None),
        ("anthropic", None),
        ("gemini", None),
        ("openai_responses", None),
    ],
)
@both_ways
async def test_the_backend_is_told_by_what_the_endpoint_has_for_it(
    vendors: VendorServer, provider: str, fingerprint: str | None, stream: bool
) -> None:
    assert (await ask(vendors, provider, "text", stream=stream)).system_fingerprint == fingerprint


ERRORS = [(provider, name) for provider, errors in shapes("errors").items() for name in errors]


@pytest.mark.parametrize(("provider", "name"), ERRORS, ids=[" ".join(one) for one in ERRORS])
@both_ways
async def test_an_error_is_what_the_vendor_means_by_it(
    vendors: VendorServer, provider: str, name: str, stream: bool
) -> None:
    expected = shapes("errors")[provider][name]
    with pytest.raises(RequestFailed) as caught:
        await ask(vendors, provider, f"error:{name}", stream=stream)
    assert (caught.value.outcome, caught.value.retry_after_s) == (
        expected["outcome"],
        expected["retry_after_s"],
    )
    assert KEY not in caught.value.message


@every_provider
async def test_a_wrong_limit_word_is_put_into_the_apis_own(vendors: VendorServer, provider: str) -> None:
    words = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
    for word in words:
        await ask(vendors, provider, "text", parameters={word: 77}, stream=False)
        sent = vendors.requests[-1].body
        sent = sent.get("generationConfig", sent)
        (name,) = sent.keys() & set(words)
        assert sent[name] == 77
        assert name in DIALECTS[provider].limits
        assert name == word or word not in DIALECTS[provider].limits


@every_provider
@pytest.mark.parametrize("cut_at", [0.3, 0.6, 0.9])
async def test_a_stream_that_is_cut_is_a_failure_and_never_a_short_answer(
    provider: str, cut_at: float
) -> None:
    api = APIS.get(provider, "chat")
    parts = shapes(api)["text"]["stream"]
    ends = next(i for i, part in enumerate(parts) if _tells_the_end(part))
    body = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts[: int(ends * cut_at)])

    def reply(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body + b": \n\n")

    one = TargetConfig(provider=provider, base_url="http://x.test/v1", api_key=KEY, model="m", suite="s")  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        with pytest.raises(RequestFailed) as caught:
            await build_provider(one, FixedNow()).complete(ChatRequest("m", (Message("user", "?"),)), client)
    assert caught.value.outcome in (Outcome.CONNECTION, Outcome.BAD_RESPONSE)


def _tells_the_end(part: dict[str, Any]) -> bool:
    text = json.dumps(part)
    return any(
        mark in text
        for mark in (
            '"finish_reason": "stop"',
            '"finishReason"',
            '"response.completed"',
            '"stop_reason": "end_turn"',
        )
    )


@every_provider
async def test_an_answer_that_never_comes_is_a_timeout(provider: str) -> None:
    async def reply(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    one = TargetConfig(provider=provider, base_url="http://x.test/v1", model="m", suite="s")  # type: ignore[arg-type]
    request = ChatRequest("m", (Message("user", "?"),), timeout_s=0.01)
    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        with pytest.raises(RequestFailed) as caught:
            await build_provider(one, FixedNow()).complete(request, client)
    assert (caught.value.outcome, caught.value.is_transport) == (Outcome.TIMEOUT, True)


@pytest.mark.parametrize(
    ("provider", "event", "outcome"),
    [
        (
            "anthropic",
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "overloaded",
        ),
        ("openai_responses", {"type": "error", "code": "rate_limit_exceeded", "message": "x"}, "rate_limit"),
        (
            "openai_responses",
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}},
            "server_error",
        ),
        ("gemini", {"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}, "overloaded"),
        ("openrouter", {"error": {"code": 502, "message": "x"}, "choices": []}, "server_error"),
    ],
)
async def test_an_error_within_a_stream_is_a_failure(
    provider: str, event: dict[str, Any], outcome: str
) -> None:
    begun = shapes(APIS.get(provider, "chat"))["text"]["stream"][0]
    body = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in (begun, event))

    def reply(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    one = TargetConfig(provider=provider, base_url="http://x.test/v1", model="m", suite="s")  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        with pytest.raises(RequestFailed) as caught:
            await build_provider(one, FixedNow()).complete(ChatRequest("m", (Message("user", "?"),)), client)
    assert (caught.value.outcome, caught.value.is_transport) == (outcome, True)


def spoiled(value: Any, rng: random.Random) -> Any:
    """The value with some of what is in it replaced by something else."""
    if rng.random() < 0.08:
        return rng.choice(
            [None, True, -1, 1e308, "x", "\ud800", [], {}, [None], {"type": "text"}, "tool_use"]
        )
    if isinstance(value, dict):
        return {key: spoiled(inner, rng) for key, inner in value.items() if rng.random() > 0.02}
    return [spoiled(inner, rng) for inner in value] if isinstance(value, list) else value


@every_provider
@pytest.mark.parametrize("seed", range(5))
async def test_whatever_a_response_is_made_of_it_is_an_answer_or_a_failure(provider: str, seed: int) -> None:
    rng = random.Random(f"{provider} {seed}")
    one = TargetConfig(provider=provider, base_url="http://x.test/v1", model="m", suite="s")  # type: ignore[arg-type]
    for shape in shapes(APIS.get(provider, "chat")).values():
        parts = [json.dumps(spoiled(part, rng)).encode() for part in shape["stream"]]
        bodies = {True: b"".join(b"data: " + part + b"\n\n" for part in parts)}
        bodies[False] = json.dumps(spoiled(shape["whole"], rng)).encode()
        for stream, body in bodies.items():
            kind = "text/event-stream" if stream else "application/json"
            reply = httpx.Response(200, headers={"content-type": kind}, content=body)
            async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _, r=reply: r)) as client:
                request = ChatRequest("m", (Message("user", "?"),), stream=stream)
                try:
                    answer = await build_provider(one, FixedNow()).complete(request, client)
                except RequestFailed as failure:
                    failure.message.encode()
                else:
                    answer.text.encode()
                    orjson.dumps([call.arguments for call in answer.tool_calls])


@every_provider
async def test_a_prompt_that_an_error_repeats_is_not_passed_on(provider: str) -> None:
    words = "cannot take the arguments {'city': 'Reykjavik on a Sunday'} of the call"
    messages = (
        Message("user", "Is it warm?"),
        Message("assistant", "", tool_calls=(ToolCall("w", {"city": "Reykjavik on a Sunday"}, "c1"),)),
        Message("tool", "no", tool_call_id="c1"),
    )
    reply = httpx.Response(400, json={"error": {"message": words, "type": "invalid_request_error"}})
    one = TargetConfig(provider=provider, base_url="http://x.test/v1", model="m", suite="s")  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply)) as client:
        with pytest.raises(RequestFailed) as caught:
            await build_provider(one, FixedNow()).complete(ChatRequest("m", messages), client)
    assert "Reykjavik" not in caught.value.message


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        pytest.param('{"a": 1}', {"a": 1}, id="an object"),
        pytest.param("", {}, id="nothing"),
        pytest.param('{"a": ', '{"a": ', id="cut off"),
        pytest.param('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}, id="an escaped character"),
        pytest.param('{"a": "\\ud83d"}', '{"a": "\\ud83d"}', id="half of one"),
        pytest.param(
            '{"a": 1' + "0" * 30 + "}", '{"a": 1' + "0" * 30 + "}", id="a number that cannot be stored"
        ),
        pytest.param("[" * 9_000, "[" * 9_000, id="nested too deeply"),
    ],
)
async def test_arguments_of_a_call_are_json_or_what_was_written(written: str, arguments: Any) -> None:
    function = {"name": "look", "arguments": written}
    choice = {"message": {"tool_calls": [{"id": "c", "function": function}]}, "finish_reason": "tool_calls"}
    one = TargetConfig(base_url="http://x.test/v1", model="m", suite="s")
    reply = httpx.Response(200, json={"choices": [choice]})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply)) as client:
        request = ChatRequest("m", (Message("user", "?"),), stream=False)
        answer = await build_provider(one, FixedNow()).complete(request, client)
    assert answer.tool_calls == (ToolCall("look", arguments, "c"),)
    assert answer.text == calls_text(answer.tool_calls)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/ours", "/v1beta/tunedModels/ours:generateContent"),
    ],
)
def test_the_model_of_gemini_is_part_of_the_address(model: str, path: str) -> None:
    one = TargetConfig(provider="gemini", base_url="http://x.test/v1beta/", model=model, suite="s")
    asked = ChatRequest(model, (Message("user", "?"),), stream=False)
    provider = build_provider(one, FixedNow())
    assert isinstance(provider, GeminiProvider)
    assert provider.url(asked).path == path
    assert provider.url(replace(asked, stream=True)).query == b"alt=sse"


def test_tools_of_a_canary_win_over_those_of_a_target() -> None:
    asked = ChatRequest("m", (Message("user", "?"),), {"tools": ["other"]}, tools=(Tool("own"),))
    for name in PROVIDERS:
        one = TargetConfig(provider=name, base_url="http://x.test/v1", model="m", suite="s")  # type: ignore[arg-type]
        provider = build_provider(one, FixedNow())
        assert isinstance(provider, HttpProvider)
        assert "own" in str(provider.payload(asked)["tools"])
