import asyncio
import gzip
import json
import random
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from canaries.clock import SystemClock
from canaries.completion import Outcome
from canaries.config import TargetConfig
from canaries.providers import Answer, ChatRequest, RequestFailed, Sender, build_provider
from canaries.providers.errors import retry_after_s
from canaries.providers.sse import EventReader
from canaries.providers.wire import Wire
from canaries.suite import Message

KEY = "sk-test-0123456789"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ASK = ChatRequest(
    "m", (Message("user", "How long is the river that flows through town?"),), {"temperature": 0.7}
)
AT_ONCE = replace(ASK, stream=False)


def target(base_url: str = "http://endpoint.test/v1", **more: Any) -> TargetConfig:
    return TargetConfig(
        base_url=base_url, api_key=KEY, model="m", suite="s.yaml", headers={"x-team": "team-secret"}, **more
    )  # type: ignore[arg-type]


def event(part: object) -> bytes:
    return b"data: " + json.dumps(part).encode() + b"\n\n"


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return {"id": "c", "model": "m-0613", "system_fingerprint": "fp_1", "choices": [{**choice, **more}]}


def called(finish: str | None = None, **function: str) -> dict[str, Any]:
    return delta(delta={"tool_calls": [{"index": 0, "function": function}]}, finish=finish)


def whole(content: object = "Long.", finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"model": "m-0613", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}
STREAM = (
    event(delta("Lo"))
    + event(delta("ng."))
    + event(delta(finish="stop"))
    + event({"choices": [], "usage": USAGE})
)


def transport(reply: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(reply))


def as_stream(body: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=body)


async def ask(
    reply: httpx.Response | Callable[[httpx.Request], httpx.Response], request: ChatRequest = ASK
) -> Answer:
    async with transport(reply if callable(reply) else lambda _: reply) as client:
        return await build_provider(target(), FixedNow()).complete(request, client)


async def failed(
    reply: httpx.Response | Callable[[httpx.Request], httpx.Response], request: ChatRequest = ASK
) -> RequestFailed:
    with pytest.raises(RequestFailed) as caught:
        await ask(reply, request)
    return caught.value


class FixedNow(SystemClock):
    def now(self) -> datetime:
        return NOW


class TestRequest:
    async def sent(self, request: ChatRequest) -> httpx.Request:
        seen: list[httpx.Request] = []

        def reply(message: httpx.Request) -> httpx.Response:
            seen.append(message)
            return as_stream(STREAM + DONE) if request.stream else httpx.Response(200, json=whole())

        await ask(reply, request)
        (message,) = seen
        return message

    async def test_streams_and_asks_for_the_usage(self) -> None:
        message = await self.sent(ASK)
        assert str(message.url) == "http://endpoint.test/v1/chat/completions"
        assert message.headers["authorization"] == f"Bearer {KEY}"
        assert message.headers["x-team"] == "team-secret"
        assert message.headers["connection"] == "close"
        assert message.headers["accept-encoding"] == "identity"
        assert json.loads(message.content) == {
            "model": "m",
            "messages": [{"role": "user", "content": "How long is the river that flows through town?"}],
            "temperature": 0.7,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def test_carries_seed_and_logprobs_when_asked_for(self) -> None:
        body = json.loads((await self.sent(replace(AT_ONCE, seed=7, logprobs=5))).content)
        assert (body["seed"], body["logprobs"], body["top_logprobs"]) == (7, True, 5)
        assert "stream" not in body

    async def test_passes_parameters_on_as_they_are_written_and_lets_them_win(self) -> None:
        parameters = {"max_completion_tokens": 5, "seed": 1}
        body = json.loads((await self.sent(replace(AT_ONCE, parameters=parameters, seed=7))).content)
        assert (body["max_completion_tokens"], body["seed"]) == (5, 1)
        assert "max_tokens" not in body

    async def test_keeps_the_connection_when_told_to(self) -> None:
        assert "connection" not in (await self.sent(replace(ASK, fresh_connection=False))).headers

    async def test_keeps_the_query_of_the_address(self) -> None:
        urls: list[str] = []

        def reply(message: httpx.Request) -> httpx.Response:
            urls.append(str(message.url))
            return as_stream(STREAM + DONE)

        async with transport(reply) as client:
            await build_provider(target("http://h.test/openai/v1/?api-version=2"), FixedNow()).complete(
                ASK, client
            )
        assert urls == ["http://h.test/openai/v1/chat/completions?api-version=2"]

    async def test_never_sends_a_cookie_back(self) -> None:
        cookies: list[str | None] = []

        def reply(message: httpx.Request) -> httpx.Response:
            cookies.append(message.headers.get("cookie"))
            return httpx.Response(200, json=whole(), headers={"set-cookie": "backend=7"})

        async with transport(reply) as client:
            provider = build_provider(target(), FixedNow())
            await provider.complete(AT_ONCE, client)
            await provider.complete(AT_ONCE, client)
        assert cookies == [None, None]


class TestAnswer:
    async def test_of_a_stream_is_whole(self) -> None:
        answer = await ask(as_stream(STREAM + DONE))
        assert answer.ttft_s is not None
        assert 0 <= answer.ttft_s <= answer.latency_s
        assert replace(answer, ttft_s=None, latency_s=0) == Answer(
            text="Long.", latency_s=0, finish_reason="stop", served_model="m-0613", system_fingerprint="fp_1",
            input_tokens=11, output_tokens=2, cached_input_tokens=8,
        )  # fmt: skip

    async def test_at_once_is_whole(self) -> None:
        answer = await ask(httpx.Response(200, json=whole(usage=USAGE, system_fingerprint="fp_2")), AT_ONCE)
        assert (answer.text, answer.system_fingerprint, answer.input_tokens, answer.ttft_s) == (
            "Long.",
            "fp_2",
            11,
            None,
        )

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            pytest.param(STREAM, "Long.", id="without the end mark, after a finish reason"),
            pytest.param((STREAM + DONE).replace(b"\n", b"\r\n"), "Long.", id="with CRLF"),
            pytest.param(b": waiting\n\n: still\n\n" + STREAM + DONE, "Long.", id="with comments"),
            pytest.param(STREAM.replace(b"data: ", b"data:") + DONE, "Long.", id="without the space"),
            pytest.param(
                STREAM.replace(b"data: ", b"event: x\nid: 1\ndata: "), "Long.", id="with other fields"
            ),
            pytest.param(STREAM.rstrip(b"\n"), "Long.", id="without the last line end"),
            pytest.param(
                event({"choices": [], "prompt_filter_results": []}) + STREAM, "Long.", id="first chunk empty"
            ),
            pytest.param(
                event(delta("a\u2028b\x85c", "stop")), "a\u2028b\x85c", id="line separators in the text"
            ),
            pytest.param(
                'data: {"choices":[{"delta":{"content":"a\u2028b"},"finish_reason":"stop"}]}\n\n'.encode(),
                "a\u2028b",
                id="raw line separator in the text",
            ),
            pytest.param(
                event(delta("\ud83d")) + event(delta("\ude00", "stop")),
                "\U0001f600",
                id="a character in two chunks",
            ),
            pytest.param(event(delta("\ud83d", "stop")), "\ufffd", id="half of a character"),
            pytest.param(event(delta(finish="stop")), "", id="an empty answer is an answer"),
            pytest.param(
                event(delta("x", "stop")) + event({"choices": [{"index": 1, "delta": {"content": "other"}}]}),
                "x",
                id="a second choice that nobody asked for",
            ),
            pytest.param(
                event(delta(delta={"refusal": "I cannot."}, finish="stop")),
                "I cannot.",
                id="a refusal's own field",
            ),
            pytest.param(
                event(called(name="look", arguments='{"a"')) + event(called("tool_calls", arguments=": 1}")),
                '[{"arguments":{"a":1},"name":"look"}]',
                id="tool calls, in pieces",
            ),
        ],
    )
    async def test_of_a_stream_is_read_in_all_its_forms(self, body: bytes, text: str) -> None:
        assert (await ask(as_stream(body))).text == text

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (whole([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]), "ab"),
            (whole(None), ""),
            (whole("x", None), "x"),
            ({"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}, "No."),
        ],
        ids=["parts", "null", "no finish reason", "refusal"],
    )
    async def test_at_once_is_read_in_all_its_forms(self, body: dict[str, Any], text: str) -> None:
        assert (await ask(httpx.Response(200, json=body), AT_ONCE)).text == text

    async def test_at_once_to_a_request_for_a_stream_is_taken(self) -> None:
        answer = await ask(httpx.Response(200, json=whole()))
        assert (answer.text, answer.ttft_s) == ("Long.", None)

    async def test_has_the_first_tokens_likeliest_and_all_log_probabilities(self) -> None:
        top = [
            {"token": "B", "logprob": -2.0},
            {"token": "A", "logprob": -0.1},
            {"token": "C", "logprob": -9999.0},
        ]
        first = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": top}]}
        second = {
            "content": [
                {"token": "x", "logprob": 0.00001, "top_logprobs": top[:1]},
                {"token": "y", "logprob": None},
            ]
        }
        body = event(delta("A", logprobs=first)) + event(delta("xy", "stop", logprobs=second))
        answer = await ask(as_stream(body), replace(ASK, logprobs=3))
        assert answer.logprobs == (-0.1, 0.0)
        assert answer.first_top == (("A", -0.1), ("B", -2.0), ("C", -9999.0))

    async def test_bears_minus_infinity_and_not_a_number(self) -> None:
        top = '"top_logprobs": [{"token": "a", "logprob": NaN}]'
        tokens = f'{{"content": [{{"logprob": -Infinity, {top}}}, {{"logprob": NaN}}]}}'
        body = f'{{"choices": [{{"message": {{"content": "x"}}, "logprobs": {tokens}}}]}}'.encode()
        answer = await ask(
            httpx.Response(200, content=body, headers={"content-type": "application/json"}), AT_ONCE
        )
        assert (answer.logprobs, answer.first_top) == ((-9999.0,), None)

    async def test_of_an_endpoint_that_refuses_stream_options_comes_without_usage_from_then_on(self) -> None:
        asked: list[bool] = []

        def reply(message: httpx.Request) -> httpx.Response:
            asked.append("stream_options" in json.loads(message.content))
            if asked[-1]:
                return httpx.Response(
                    400, json={"error": {"message": "Unrecognized request argument: stream_options"}}
                )
            return as_stream(event(delta("x", "stop")) + DONE)

        async with transport(reply) as client:
            provider = build_provider(target(), FixedNow())
            answers = [await provider.complete(ASK, client) for _ in range(2)]
        assert [answer.text for answer in answers] == ["x", "x"]
        assert asked == [True, False, False]


def error(message: str = "", code: object = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, **more}}


RATE = error("Slow down", "rate_limit_exceeded", type="requests")
AZURE_FILTER = error(code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"})
VLLM_TOO_LONG = {"object": "error", "message": "This model's maximum context length is 8192 tokens."}

ERRORS: dict[str, tuple[int, object, Outcome, bool]] = {
    "401": (401, error("Incorrect API key", "invalid_api_key"), Outcome.AUTH, False),
    "403": (403, {}, Outcome.AUTH, False),
    "a bad key as 400": (400, error(code="invalid_api_key"), Outcome.AUTH, False),
    "429": (429, RATE, Outcome.RATE_LIMIT, True),
    "no money left": (429, error(code="insufficient_quota"), Outcome.RATE_LIMIT, False),
    "408": (408, None, Outcome.TIMEOUT, True),
    "too long, by its code": (400, error(code="context_length_exceeded"), Outcome.CONTEXT_LENGTH, False),
    "too long, by llama.cpp": (400, error(type="exceed_context_size_error"), Outcome.CONTEXT_LENGTH, False),
    "too long, by vllm": (400, VLLM_TOO_LONG, Outcome.CONTEXT_LENGTH, False),
    "too long, as 500": (
        500,
        {"error": "Requested tokens exceed context window"},
        Outcome.CONTEXT_LENGTH,
        False,
    ),
    "filtered, by azure": (400, AZURE_FILTER, Outcome.CONTENT_FILTER, False),
    "400": (400, error("temperature must be <= 2"), Outcome.BAD_REQUEST, False),
    "404": (404, {"detail": "Not Found"}, Outcome.BAD_REQUEST, False),
    "422 with a list": (422, {"detail": [{"msg": "x"}]}, Outcome.BAD_REQUEST, False),
    "a list of errors": (400, [error("x", 400)], Outcome.BAD_REQUEST, False),
    "a redirect is not followed": (302, None, Outcome.BAD_REQUEST, False),
    "500": (500, None, Outcome.SERVER, True),
    "503 with a page": (503, "<html>", Outcome.SERVER, True),
    "504": (504, None, Outcome.TIMEOUT, True),
    "529": (529, {"error": None}, Outcome.OVERLOADED, True),
    "no credits, as openrouter says it": (402, error("Add credits", 402), Outcome.RATE_LIMIT, False),
    "flagged, as openrouter says it": (
        403,
        error("Input flagged", 403, metadata={"reasons": ["violence"]}),
        Outcome.CONTENT_FILTER,
        False,
    ),
    "an error inside of a 200": (200, error("Upstream", 429), Outcome.RATE_LIMIT, True),
    "an error inside of a 200 without a code": (200, error("no"), Outcome.SERVER, True),
}


@pytest.mark.parametrize(("status", "body", "outcome", "is_transport"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("request_", [ASK, AT_ONCE], ids=["stream", "at once"])
async def test_an_error_is_what_its_code_words_and_status_say(
    request_, status, body, outcome, is_transport
) -> None:
    reply = httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)
    failure = await failed(reply, request_)
    assert (failure.outcome, failure.is_transport) == (outcome, is_transport)


@pytest.mark.parametrize(
    ("response", "outcome", "is_transport"),
    [
        pytest.param(
            as_stream(event(delta("Lo"))), Outcome.CONNECTION, True, id="ends without a finish reason"
        ),
        pytest.param(
            as_stream(event(delta("Lo")) + DONE),
            Outcome.BAD_RESPONSE,
            False,
            id="says it is done without one",
        ),
        pytest.param(as_stream(b""), Outcome.EMPTY_BODY, False, id="is empty"),
        pytest.param(as_stream(b"data: {oops}\n\n"), Outcome.BAD_RESPONSE, False, id="holds no JSON"),
        pytest.param(as_stream(b"data: [1]\n\n"), Outcome.BAD_RESPONSE, False, id="holds no object"),
        pytest.param(
            as_stream(b"data: " + b"[" * 100_000 + b"\n\n"),
            Outcome.BAD_RESPONSE,
            False,
            id="is nested deeply",
        ),
        pytest.param(as_stream(b"\x00\xff\n\n"), Outcome.BAD_RESPONSE, False, id="is garbage"),
        pytest.param(
            httpx.Response(200, html="<html>Login</html>"), Outcome.BAD_RESPONSE, False, id="is a login page"
        ),
        pytest.param(
            as_stream(event(delta("Lo")) + event(RATE)),
            Outcome.RATE_LIMIT,
            True,
            id="breaks off with an error",
        ),
        pytest.param(
            as_stream(event(delta(finish="content_filter"))), Outcome.CONTENT_FILTER, False, id="is filtered"
        ),
        pytest.param(
            as_stream(event(delta("x", "error"))), Outcome.SERVER, True, id="finishes with an error"
        ),
    ],
)
async def test_a_stream_without_a_whole_answer_is_a_failure(response, outcome, is_transport) -> None:
    failure = await failed(response)
    assert (failure.outcome, failure.is_transport) == (outcome, is_transport)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", Outcome.EMPTY_BODY),
        (b" \n", Outcome.EMPTY_BODY),
        (b'{"choices": [', Outcome.BAD_RESPONSE),
        (b"[]", Outcome.BAD_RESPONSE),
        (b"{}", Outcome.BAD_RESPONSE),
        (b'{"choices": []}', Outcome.BAD_RESPONSE),
        (b'{"choices": "x"}', Outcome.BAD_RESPONSE),
        (b'{"choices": [null, 1, {}]}', Outcome.BAD_RESPONSE),
        (b'{"choices": [{"text": "old dialect"}]}', Outcome.BAD_RESPONSE),
        (b"1" * 5_000, Outcome.BAD_RESPONSE),
    ],
    ids=repr,
)
async def test_a_body_without_an_answer_is_a_failure(body: bytes, outcome: Outcome) -> None:
    response = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    assert (await failed(response, AT_ONCE)).outcome is outcome


async def test_a_filtered_answer_with_text_is_an_answer() -> None:
    answer = await ask(as_stream(event(delta("Some")) + event(delta(finish="content_filter"))))
    assert (answer.text, answer.finish_reason) == ("Some", "content_filter")


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_parts_a_response_is_made_of_it_is_an_answer_or_a_failure(seed: int) -> None:
    rng = random.Random(seed)

    def rubbish(depth: int = 0) -> Any:
        kinds = [None, True, -1, 1e308, "x", "\ud800", "stop"]
        if depth < 5 and rng.random() < 0.7:
            keys = [
                "choices",
                "delta",
                "message",
                "content",
                "usage",
                "logprobs",
                "tool_calls",
                "function",
                "error",
                "index",
            ]
            return (
                {rng.choice(keys): rubbish(depth + 1) for _ in range(3)}
                if rng.random() < 0.6
                else [rubbish(depth + 1) for _ in range(2)]
            )
        return rng.choice(kinds)

    for request in (ASK, AT_ONCE):
        for _ in range(30):
            keys = ("delta", "message", "finish_reason", "logprobs")
            part = {"choices": [{key: rubbish(2) for key in keys}], "usage": rubbish(2), "model": rubbish(4)}
            if rng.random() < 0.3:
                part["error"] = rubbish(2)
            response = (
                as_stream(event(part) + DONE)
                if request.stream
                else httpx.Response(200, content=json.dumps(part))
            )
            try:
                (await ask(response, request)).text.encode()
            except RequestFailed as failure:
                failure.message.encode()


class TestSecrets:
    async def test_are_in_no_text_even_when_the_endpoint_repeats_them(self) -> None:
        for status in (400, 401, 500):
            for words in (f"bad key {KEY}", f"header x-team: team-secret and Bearer {KEY}"):
                failure = await failed(
                    httpx.Response(status, json={"error": {"message": words, "code": KEY}})
                )
                shown = "".join(traceback.format_exception(failure)) + repr(failure)
                assert KEY not in shown
                assert "team-secret" not in shown

    async def test_are_in_no_text_when_the_connection_fails(self) -> None:
        def reply(message: httpx.Request) -> httpx.Response:
            raise httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'", request=message)

        failure = await failed(reply)
        assert (failure.outcome, failure.message) == (
            Outcome.CONNECTION,
            "the connection broke: LocalProtocolError",
        )
        assert failure.__context__ is None, "no httpx error with the request and its headers hangs on it"

    async def test_are_not_in_the_provider_as_it_is_printed(self) -> None:
        assert repr(build_provider(target(), FixedNow())) == "OpenAIProvider('endpoint.test')"

    async def test_a_prompt_that_the_endpoint_repeats_is_not_passed_on(self) -> None:
        words = "cannot parse 'How long is the river that flows'"
        failure = await failed(httpx.Response(400, json={"error": {"message": words, "code": "bad"}}))
        assert failure.message == "HTTP 400 (bad)"

    async def test_other_words_of_the_endpoint_are_passed_on_in_one_short_line(self) -> None:
        words = "The model `m` does not exist\n\x1b[31m" + "x" * 500
        failure = await failed(
            httpx.Response(404, json={"error": {"message": words, "code": "model_not_found"}})
        )
        assert failure.message.startswith("HTTP 404 (model_not_found): The model `m` does not exist ?[31mxxx")
        assert len(failure.message) < 260


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Mon, 02 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 02 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_wait_that_an_endpoint_asks_for_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, NOW) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_do_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    stream = "data: one\r\n\r\ndata: tw\u00f6\ndata: lines\n\n: note\n\ndata:\n\ndata: last".encode()
    reader = EventReader()
    found = [data for at in range(0, len(stream), size) for data in reader.feed(stream[at : at + size])]
    assert [*found, *reader.close()] == ["one", "tw\u00f6\nlines", "last"]


# From here on a real server, for what a transport inside of the process cannot do.

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(script: Script) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of a server that plays the script to each request, and the requests it got."""
    requests: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            requests.append(head + await reader.readexactly(length))
            await script(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", requests
    finally:
        server.close()


def sends(
    *parts: bytes, kind: str = "text/event-stream", length: int | None = None, end: bool = True
) -> Script:
    """A script that sends a good response in chunks, or as a body said to be ``length`` long."""

    async def script(writer: asyncio.StreamWriter) -> None:
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n".encode())
        for part in parts:
            writer.write(part if length is not None else b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
        if length is None and end:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return script


ENCRYPTION = ssl.create_default_context()  # once: to load all the authorities takes longer than the rest


class TestRealServer:
    @staticmethod
    def open_sender() -> AbstractAsyncContextManager[Sender]:
        return httpx.AsyncClient(verify=ENCRYPTION)

    async def ask_real(self, script: Script, request: ChatRequest = ASK) -> Answer:
        async with served(script) as (url, _), self.open_sender() as client:
            return await build_provider(target(url), SystemClock()).complete(request, client)

    async def test_streams_an_answer(self) -> None:
        answer = await self.ask_real(sends(STREAM[:30], STREAM[30:100], STREAM[100:], DONE))
        assert (answer.text, answer.input_tokens) == ("Long.", 11)

    async def test_the_first_token_is_timed_apart_from_the_last(self) -> None:
        released = asyncio.Event()

        async def script(writer: asyncio.StreamWriter) -> None:
            await sends(event(delta("Lo")), end=False)(writer)
            await asyncio.wait_for(released.wait(), 5)
            rest = event(delta("ng.", "stop"))
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))
            await writer.drain()

        ticks = iter([1_000.0, 1_500.0, 4_000.0])

        class TickingClock(SystemClock):
            def monotonic(self) -> float:
                tick = next(ticks)
                if tick == 1_500:
                    released.set()  # the rest is sent only after the first token was timed
                return tick

        async with served(script) as (url, _), self.open_sender() as client:
            answer = await build_provider(target(url), TickingClock()).complete(ASK, client)
        # For how long the bytes had been here when they were read does not count: seconds, on a very busy machine.
        assert (answer.text, answer.ttft_s, answer.latency_s) == (
            "Long.",
            pytest.approx(500, abs=30),
            pytest.approx(3_000, abs=30),
        )

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(sends(event(delta("Lo")), end=False), id="in the middle of the stream"),
            pytest.param(sends(event(delta("Lo"))[:20], end=False), id="in the middle of an event"),
            pytest.param(sends(event(delta("Lo"))), id="between two events, politely"),
            pytest.param(
                sends(b'{"choices": ', length=500, kind="application/json"), id="in the middle of a body"
            ),
        ],
    )
    async def test_an_answer_that_is_cut_is_a_failure_and_no_short_answer(self, script: Script) -> None:
        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script)
        assert (caught.value.outcome, caught.value.is_transport) == (Outcome.CONNECTION, True)

    async def test_a_connection_that_is_closed_without_a_word_is_a_failure(self) -> None:
        async def script(_: asyncio.StreamWriter) -> None: ...

        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script)
        assert (caught.value.outcome, caught.value.is_transport) == (Outcome.CONNECTION, True)

    async def test_what_is_no_http_is_a_failure(self) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x00\x01 hello I am not HTTP " + KEY.encode() + b"\r\n\r\n")
            await writer.drain()

        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script)
        assert caught.value.outcome is Outcome.CONNECTION
        assert KEY not in str(caught.value)

    async def test_a_port_where_nobody_listens_is_a_failure(self) -> None:
        async with served(sends()) as (url, _):
            pass
        async with self.open_sender() as client:
            with pytest.raises(RequestFailed, match="no connection") as caught:
                await build_provider(target(url), SystemClock()).complete(ASK, client)
        assert (caught.value.outcome, caught.value.is_transport) == (Outcome.CONNECTION, True)

    @pytest.mark.parametrize("begins", [True, False], ids=["that has begun", "that never begins"])
    async def test_an_answer_that_takes_too_long_is_a_timeout(self, begins: bool) -> None:
        over = asyncio.Event()

        async def script(writer: asyncio.StreamWriter) -> None:
            if begins:
                await sends(event(delta("Lo")), end=False)(writer)
            await over.wait()

        async with served(script) as (url, _), self.open_sender() as client:
            with pytest.raises(RequestFailed, match=r"no whole answer within 0\.2 s") as caught:
                await build_provider(target(url), SystemClock()).complete(replace(ASK, timeout_s=0.2), client)
            over.set()
        assert (caught.value.outcome, caught.value.is_transport) == (Outcome.TIMEOUT, True)

    async def test_a_trickle_that_never_ends_is_a_timeout(self) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            await sends(end=False)(writer)
            while not writer.is_closing():
                writer.write(b"2\r\n:\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script, replace(ASK, timeout_s=0.3))
        assert caught.value.outcome is Outcome.TIMEOUT

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "at once"])
    async def test_of_ten_megabytes_no_more_is_read_than_the_limit(self, stream: bool) -> None:
        sent = 0

        async def script(writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            text = "x" * 50_000
            part = event(delta(text)) if stream else text.encode()
            kind = "text/event-stream" if stream else "application/json"
            await sends(
                b"" if stream else b'{"choices": [{"message": {"content": "', kind=kind, length=12_000_000
            )(writer)
            for _ in range(200):
                writer.write(part)
                await writer.drain()
                sent += len(part)

        with pytest.raises(RequestFailed, match="larger than 100,000 bytes; reading stopped there") as caught:
            await self.ask_real(script, replace(ASK, stream=stream, max_answer_bytes=100_000))
        assert (caught.value.outcome, caught.value.is_transport) == (Outcome.TOO_LARGE, False)
        assert sent < 9_000_000, "the connection was closed, not read to its end"

    @pytest.mark.parametrize(("size", "fits"), [(1_000, True), (1_001, False)])
    async def test_the_limit_is_on_the_text_of_a_stream_and_not_on_what_wraps_it(
        self, size: int, fits: bool
    ) -> None:
        script = sends(*(event(delta("x")) for _ in range(size - 1)), event(delta("x", "stop")))
        request = replace(ASK, max_answer_bytes=1_000)
        if fits:
            assert (await self.ask_real(script, request)).text == "x" * size
            return
        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script, request)
        assert caught.value.outcome is Outcome.TOO_LARGE

    @pytest.mark.parametrize(
        ("status", "body", "outcome", "wait_s"),
        [
            pytest.param("429 Too Many Requests", b"{}", Outcome.RATE_LIMIT, 7, id="429 with a wait"),
            pytest.param("503 Service Unavailable", b"<html>", Outcome.SERVER, 7, id="503 with a wait"),
            pytest.param("401 Unauthorized", b"", Outcome.AUTH, None, id="401"),
            pytest.param(
                "400 Bad Request",
                json.dumps(VLLM_TOO_LONG).encode(),
                Outcome.CONTEXT_LENGTH,
                None,
                id="too long",
            ),
            pytest.param("200 OK", b"", Outcome.EMPTY_BODY, None, id="an empty body"),
            pytest.param("200 OK", b"\x00\xff{", Outcome.BAD_RESPONSE, None, id="garbage"),
            pytest.param("500 Oh", b"x" * 3_000_000, Outcome.SERVER, 7, id="an error of three megabytes"),
        ],
    )
    @pytest.mark.parametrize("request_", [ASK, AT_ONCE], ids=["stream", "at once"])
    async def test_a_refusal_is_classified(self, request_, status, body, outcome, wait_s) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            writer.write(
                f"HTTP/1.1 {status}\r\nretry-after: 7\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()

        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script, request_)
        assert (caught.value.outcome, caught.value.retry_after_s) == (outcome, wait_s)

    async def test_a_stream_of_nothing_ends_at_the_limit_too(self) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            await sends(end=False)(writer)
            while not writer.is_closing():
                writer.write(b"8000\r\n" + b":" * 0x8000 + b"\r\n")
                await writer.drain()

        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script, replace(ASK, max_answer_bytes=10_000))
        assert caught.value.outcome is Outcome.TOO_LARGE

    async def test_a_body_that_is_not_encoded_as_it_says_is_a_bad_response(self) -> None:
        async def script(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello")
            await writer.drain()

        with pytest.raises(RequestFailed) as caught:
            await self.ask_real(script, AT_ONCE)
        assert caught.value.outcome is Outcome.BAD_RESPONSE

    async def test_a_body_that_is_compressed_although_we_asked_not_to_is_read(self) -> None:
        body = gzip.compress(json.dumps(whole()).encode())

        async def script(writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()

        assert (await self.ask_real(script, AT_ONCE)).text == "Long."

    async def test_each_request_has_a_connection_of_its_own(self) -> None:
        connections: set[tuple[str, int]] = set()

        async def script(writer: asyncio.StreamWriter) -> None:
            connections.add(writer.get_extra_info("peername"))
            await sends(STREAM, DONE)(writer)

        async with served(script) as (url, requests), self.open_sender() as client:
            provider = build_provider(target(url), SystemClock())
            for _ in range(3):
                await provider.complete(ASK, client)
        assert len(connections) == 3
        assert all(b"connection: close" in request.lower() for request in requests)

    async def test_a_request_that_is_cancelled_ends_at_once(self) -> None:
        began = asyncio.Event()

        async def script(_: asyncio.StreamWriter) -> None:
            began.set()
            await asyncio.Event().wait()

        async with served(script) as (url, _), self.open_sender() as client:
            asking = asyncio.create_task(build_provider(target(url), SystemClock()).complete(ASK, client))
            await began.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking


class TestRealServerOverTheWireOfABench(TestRealServer):
    @staticmethod
    def open_sender() -> AbstractAsyncContextManager[Sender]:
        return Wire(ENCRYPTION)
