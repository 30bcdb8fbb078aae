"""Endpoints that speak OpenAI's chat completions."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import httpx

from ..clock import Clock
from ..completion import Outcome
from ..config import TargetConfig
from .base import Answer, ChatRequest, RequestFailed
from .openai_answer import AnswerParts, too_large
from .openai_errors import ErrorBody, error_of, failure, read_error, retry_after_s
from .sse import EventReader

MAX_ERROR_BYTES = 65_536
"""How much of the body of an error is read."""

WIRE_OVERHEAD = 512
"""How many times the bytes of its text a streamed answer, or one with log-probabilities, may take on the wire.

A token of four letters comes in an event of 250 bytes, and with 20 likeliest tokens in one of more than 2,000.
"""

MAX_WIRE_BYTES = 64_000_000
"""How much is read of any answer, whatever the overhead."""


class OpenAIProvider:
    """Asks one endpoint at ``POST {base_url}/chat/completions``, as a stream or at once.

    A stream that ends without a finish reason was cut, and is a failure and never a short answer: ``CONNECTION`` when
    the connection broke or ended, ``BAD_RESPONSE`` when the endpoint itself said that this was all.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], clock: Clock) -> None:
        """``headers`` are sent with each request; none of their values ever comes into a text."""
        address = httpx.URL(base_url)
        self._url = address.copy_with(path=address.path.rstrip("/") + "/chat/completions")
        self._headers = dict(headers)
        self._clock = clock
        self._asks_usage = True

    @classmethod
    def of(cls, target: TargetConfig, clock: Clock) -> "OpenAIProvider":
        """The provider of a target."""
        headers = {name: value.get_secret_value() for name, value in target.headers.items()}
        if target.api_key is not None:
            headers = {"authorization": f"Bearer {target.api_key.get_secret_value()}", **headers}
        return cls(target.base_url, headers, clock)

    def __repr__(self) -> str:
        return f"OpenAIProvider({self._url.host!r})"

    async def complete(self, request: ChatRequest, client: httpx.AsyncClient) -> Answer:
        """The answer. Raises RequestFailed when there is none."""
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._answer(request, client, started, self._asks_usage and request.stream)
        except (TimeoutError, httpx.TimeoutException):
            failed = RequestFailed(
                Outcome.TIMEOUT, f"no whole answer within {request.timeout_s:g} s", is_transport=True
            )
        except httpx.DecodingError:
            failed = RequestFailed(Outcome.BAD_RESPONSE, "the body is not encoded as its headers say")
        except httpx.ConnectError as error:
            failed = RequestFailed(Outcome.CONNECTION, f"no connection: {error}"[:200], is_transport=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Their texts may quote what was sent or received: the name of the kind is enough.
            failed = RequestFailed(
                Outcome.CONNECTION, f"the connection broke: {type(error).__name__}", is_transport=True
            )
        # Raised out here, so that it does not carry the httpx error along, which holds the request and its headers.
        raise failed

    async def _answer(
        self, request: ChatRequest, client: httpx.AsyncClient, started: float, asks_usage: bool
    ) -> Answer:
        response = await self._send(request, client, asks_usage)
        try:
            if response.is_success:
                return await self._read(request, response, started)
            body = b"".join([chunk async for chunk in _first(response, MAX_ERROR_BYTES)])
        finally:
            await response.aclose()
        if asks_usage and response.status_code in (400, 422) and b"stream_options" in body:
            # An endpoint that may not know the option. When it answers without, the usage stays unknown from now on.
            answer = await self._answer(request, client, started, asks_usage=False)
            self._asks_usage = False
            return answer
        raise self._failure(request, response, error_of(body))

    async def _send(
        self, request: ChatRequest, client: httpx.AsyncClient, asks_usage: bool
    ) -> httpx.Response:
        # Not made by the client, which would send a load balancer's cookie back and stick to one backend.
        message = httpx.Request(
            "POST",
            self._url,
            headers={
                "accept": "text/event-stream, application/json" if request.stream else "application/json",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": "anchorwatch",
                **({"connection": "close"} if request.fresh_connection else {}),
                **self._headers,
            },
            content=json.dumps(_payload(request, asks_usage)).encode(),
            extensions={"timeout": httpx.Timeout(request.timeout_s).as_dict()},
        )
        return await client.send(message, stream=True, follow_redirects=False)

    async def _read(self, request: ChatRequest, response: httpx.Response, started: float) -> Answer:
        is_json = "json" in response.headers.get("content-type", "")
        if request.stream and not is_json:
            return await self._read_stream(request, response, started)
        parts = AnswerParts(request.max_answer_bytes)
        body = b"".join(
            [chunk async for chunk in _whole(response, _wire_limit(request), request.max_answer_bytes)]
        )
        if not body.strip():
            raise RequestFailed(Outcome.EMPTY_BODY, f"HTTP {response.status_code} with an empty body")
        self._add(parts, body, request, response)
        return parts.answer(self._clock.monotonic() - started, None)

    async def _read_stream(self, request: ChatRequest, response: httpx.Response, started: float) -> Answer:
        parts, events, ttft_s, is_done = AnswerParts(request.max_answer_bytes), EventReader(), None, False
        async with aclosing(_whole(response, _wire_limit(request), request.max_answer_bytes)) as body:
            async for chunk in body:
                is_done = self._take(events.feed(chunk), parts, request, response)
                if parts.has_begun and ttft_s is None:
                    ttft_s = self._clock.monotonic() - started
                if is_done:
                    break
        if not is_done:
            is_done = self._take(events.close(), parts, request, response)
        if parts.finish_reason is None:
            raise _unfinished(events, is_done, response)
        return parts.answer(self._clock.monotonic() - started, ttft_s)

    def _take(
        self, events: Iterable[str], parts: AnswerParts, request: ChatRequest, response: httpx.Response
    ) -> bool:
        """Whether the endpoint said that this was all."""
        for data in events:
            if data == "[DONE]":
                return True
            self._add(parts, data, request, response)
        return False

    def _add(
        self, parts: AnswerParts, data: str | bytes, request: ChatRequest, response: httpx.Response
    ) -> None:
        try:
            part = json.loads(data)
        except (ValueError, RecursionError):
            part = None
        if not isinstance(part, dict):
            raise RequestFailed(
                Outcome.BAD_RESPONSE, f"HTTP {response.status_code} with a body that is not a JSON object"
            )
        if part.get("error") or part.get("object") == "error":
            raise self._failure(request, response, read_error(part))
        parts.add(part)

    def _failure(self, request: ChatRequest, response: httpx.Response, error: ErrorBody) -> RequestFailed:
        status = response.status_code
        if response.is_success:  # the error came inside of a good response
            status = error.status if error.status and 400 <= error.status < 600 else 500
        return failure(
            status,
            error,
            hidden=[
                part for value in self._headers.values() for part in (value, *value.split()) if len(part) > 3
            ],
            prompts=[message.content for message in request.messages],
            retry_after_s=retry_after_s(response.headers, self._clock.now()),
        )


def _unfinished(events: EventReader, is_done: bool, response: httpx.Response) -> RequestFailed:
    """What is wrong with a stream that has no finish reason."""
    if is_done:
        return RequestFailed(Outcome.BAD_RESPONSE, "the stream ended without a finish reason")
    if not events.bytes_read:
        return RequestFailed(Outcome.EMPTY_BODY, f"HTTP {response.status_code} with an empty body")
    if not events.count:
        return RequestFailed(
            Outcome.BAD_RESPONSE, f"HTTP {response.status_code} with a body that is not a stream of events"
        )
    return RequestFailed(
        Outcome.CONNECTION, "the stream was cut off before the end of the answer", is_transport=True
    )


async def _first(response: httpx.Response, limit: int) -> AsyncGenerator[bytes]:
    """The beginning of the body."""
    async for chunk in response.aiter_bytes():
        yield chunk[:limit]
        limit -= len(chunk)
        if limit <= 0:
            return


async def _whole(response: httpx.Response, limit: int, max_answer_bytes: int) -> AsyncGenerator[bytes]:
    """The body. Raises RequestFailed as soon as it is longer than ``limit``."""
    async for chunk in response.aiter_bytes():
        limit -= len(chunk)
        if limit < 0:
            raise too_large(max_answer_bytes)
        yield chunk


def _wire_limit(request: ChatRequest) -> int:
    if request.stream or request.logprobs is not None:
        return min(MAX_WIRE_BYTES, request.max_answer_bytes * WIRE_OVERHEAD)
    return request.max_answer_bytes + MAX_ERROR_BYTES


def _payload(request: ChatRequest, asks_usage: bool) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    if request.seed is not None:
        payload["seed"] = request.seed
    if request.logprobs is not None:
        payload["logprobs"] = True
        if request.logprobs:
            payload["top_logprobs"] = request.logprobs
    payload |= request.parameters
    if request.stream:
        payload["stream"] = True
        if asks_usage:
            payload["stream_options"] = {"include_usage": True}
    return payload
