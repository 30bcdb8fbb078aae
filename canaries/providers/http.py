"""One question and its answer over HTTP, as a stream or at once: what all APIs have in common."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from functools import lru_cache
from typing import Any, ClassVar

import httpx

from ..clock import Clock
from ..completion import Outcome
from ..config import TargetConfig
from ..dialects import DIALECTS
from . import reading
from .arrival import unread_s
from .base import Answer, ChatRequest, RequestFailed, Sender
from .errors import ErrorBody, error_of, failure, read_error, wait_s
from .parts import AnswerParts, too_large
from .sse import EventReader

MAX_ERROR_BYTES = 65_536
"""How much of the body of an error is read."""

WIRE_OVERHEAD = 512
"""How many times the bytes of its text a streamed answer, or one with log-probabilities, may take on the wire.

A token of four letters comes in an event of 250 bytes, and with 20 likeliest tokens in one of more than 2,000.
"""

MAX_WIRE_BYTES = 64_000_000
"""How much is read of any answer, whatever the overhead."""

ENVELOPE_BYTES = 65_536
"""How many bytes of a whole response may be something else than the answer's text."""


class HttpProvider(ABC):
    """Asks one endpoint; an API says where, what is asked, and how its answers are read.

    A stream that ends without a finish reason was cut, and is a failure and never a short answer: ``CONNECTION`` when
    the connection broke or ended, ``BAD_RESPONSE`` when the endpoint itself said that this was all. ``OPTIONAL`` are
    the fields of a request that are left out from then on when the endpoint refuses one of them by its name.
    """

    OPTIONAL: ClassVar[Collection[str]] = ()

    def __init__(self, target: TargetConfig, clock: Clock) -> None:
        """What asks the endpoint of ``target``; none of its secrets ever comes into a text."""
        self.dialect = DIALECTS[target.provider]
        self.address = httpx.URL(target.base_url)
        self._secret = {name.lower(): value.get_secret_value() for name, value in target.headers.items()}
        if target.api_key is not None:
            key = self.dialect.key_prefix + target.api_key.get_secret_value()
            self._secret = {self.dialect.key_header: key, **self._secret}
        self._clock = clock
        self._refused: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address.host!r})"

    @abstractmethod
    def url(self, request: ChatRequest) -> httpx.URL:
        """Where the question is sent."""

    @abstractmethod
    def payload(self, request: ChatRequest) -> dict[str, Any]:
        """The question as the API takes it."""

    @abstractmethod
    def parts(self, request: ChatRequest) -> AnswerParts:
        """What puts an answer to this question together."""

    def fault(self, part: dict[str, Any]) -> Any:
        """What of an event or body holds an error; ``None`` when it is none."""
        is_error = part.get("error") or "error" in (part.get("object"), part.get("type"))
        return part if is_error else None

    def below(self, path: str) -> httpx.URL:
        """The address of the endpoint with ``path`` at its end; a query stays."""
        return _below(self.address, path)

    async def complete(self, request: ChatRequest, client: Sender) -> Answer:
        """The answer. Raises RequestFailed when there is none."""
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._answer(request, client, self._refused)
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

    async def _answer(self, request: ChatRequest, client: Sender, left_out: frozenset[str]) -> Answer:
        payload = {name: value for name, value in self.payload(request).items() if name not in left_out}
        message = self._message(request, payload)
        # What is done before it is sent is not the endpoint's time.
        started = self._clock.monotonic()
        response = await client.send(message, stream=True, follow_redirects=False)
        try:
            if response.is_success:
                return await self._read(request, response, started)
            body = b"".join([chunk async for chunk in _first(response, MAX_ERROR_BYTES)])
        finally:
            await response.aclose()
        if response.status_code in (400, 422):
            refused = frozenset(n for n in self.OPTIONAL if n in payload and n.encode() in body)
            if refused:
                # It may not know the field. When it answers without, it is not asked with it again.
                answer = await self._answer(request, client, left_out | refused)
                self._refused |= refused
                return answer
        raise self._failure(request, response, error_of(body))

    def _message(self, request: ChatRequest, payload: dict[str, Any]) -> httpx.Request:
        # Not made by the client, which would send a load balancer's cookie back and stick to one backend.
        return httpx.Request(
            "POST",
            self.url(request),
            headers={
                "accept": "text/event-stream, application/json" if request.stream else "application/json",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": "anchorwatch",
                **({"connection": "close"} if request.fresh_connection else {}),
                **(self.dialect.headers or {}),
                **self._secret,
            },
            content=json.dumps(payload).encode(),
            extensions={"timeout": httpx.Timeout(request.timeout_s).as_dict()},
        )

    async def _read(self, request: ChatRequest, response: httpx.Response, started: float) -> Answer:
        is_json = "json" in response.headers.get("content-type", "")
        if request.stream and not is_json:
            return await self._read_stream(request, response, started)
        parts = self._begun(request, response)
        ended, chunks = started, []
        async for chunk in _whole(response, _wire_limit(request), request.max_answer_bytes):
            ended = self._came(response, ended)
            chunks.append(chunk)
        body = b"".join(chunks)
        if not body.strip():
            raise RequestFailed(Outcome.EMPTY_BODY, f"HTTP {response.status_code} with an empty body")
        self._add(parts, body, request, response)
        return parts.answer(ended - started, None)

    async def _read_stream(self, request: ChatRequest, response: httpx.Response, started: float) -> Answer:
        parts, events, ttft_s, is_done = self._begun(request, response), EventReader(), None, False
        came = started
        async with aclosing(_whole(response, _wire_limit(request), request.max_answer_bytes)) as body:
            async for chunk in body:
                # Before it is read: what reading takes is ours, and many answers may come at once.
                came = self._came(response, came)
                is_done = self._take(events.feed(chunk), parts, request, response)
                if parts.has_begun and ttft_s is None:
                    ttft_s = came - started
                if is_done:
                    break
        if not is_done:
            is_done = self._take(events.close(), parts, request, response)
        if parts.finish_reason is None:
            raise _unfinished(events, is_done, response)
        return parts.answer(came - started, ttft_s)

    def _came(self, response: httpx.Response, before: float) -> float:
        """When the bytes came that are read now, after ``before``: something may have kept us from them for a while."""
        return max(before, self._clock.monotonic() - unread_s(response))

    def _begun(self, request: ChatRequest, response: httpx.Response) -> AnswerParts:
        parts = self.parts(request)
        if self.dialect.fingerprint_header:
            parts.fingerprint = response.headers.get(self.dialect.fingerprint_header)
        return parts

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
            part = reading.parsed(data)
        except (ValueError, RecursionError):
            part = None
        if not isinstance(part, dict):
            raise RequestFailed(
                Outcome.BAD_RESPONSE, f"HTTP {response.status_code} with a body that is not a JSON object"
            )
        fault = self.fault(part)
        if fault is not None:
            raise self._failure(request, response, read_error(fault))
        parts.add(part)

    def _failure(self, request: ChatRequest, response: httpx.Response, error: ErrorBody) -> RequestFailed:
        status = response.status_code
        if response.is_success:  # the error came inside of a good response
            status = error.status if error.status and 400 <= error.status < 600 else 500
        return failure(
            status,
            error,
            hidden=[
                part for value in self._secret.values() for part in (value, *value.split()) if len(part) > 3
            ],
            prompts=request.secrets(),
            retry_after_s=wait_s(response.headers, self.dialect.rate_limits, error, self._clock.now()),
        )


@lru_cache
def _below(address: httpx.URL, path: str) -> httpx.URL:
    return address.copy_with(path=address.path.rstrip("/") + path)


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
    return request.max_answer_bytes + ENVELOPE_BYTES
