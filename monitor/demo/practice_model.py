"""An OpenAI-compatible endpoint whose behaviour can be moved: the model that the demo watches.

``POST /v1/chat/completions`` answers like the real thing, streaming or not. ``POST /practice/shift`` with
``{"mode": "steady" | "drifted" | "down" | "swapped"}`` moves it.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.demo.language import Spoken, SpokenToken, tokens_of
from monitor.demo.voices import topic_of

MODEL = "practice-1"
API_KEY = "practice"
CREATED_AT = 1_767_225_600
"""The ``created`` of every answer: this model has no clock."""


class Mode(StrEnum):
    """How the model behaves."""

    STEADY = "steady"
    DRIFTED = "drifted"
    """Other answers, and slower, under the same name: the silent change."""
    DOWN = "down"
    SWAPPED = "swapped"
    """The drifted model, which says under its own name that it is another one."""


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of OpenAI's request that this model heeds; like most servers it ignores the rest."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[_Message] = Field(min_length=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stream: bool = False
    stream_options: _StreamOptions = Field(default_factory=_StreamOptions)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)

    @property
    def prompt(self) -> str:
        """The last thing that the user said."""
        return next((m.content or "" for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def limit(self) -> int:
        """How many tokens the answer may have."""
        return self.max_completion_tokens or self.max_tokens or 256


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with all that its response tells."""

    id: str
    model: str
    fingerprint: str
    spoken: Spoken
    input_tokens: int
    latency_s: float

    @property
    def usage(self) -> dict[str, Any]:
        """The tokens, as OpenAI counts them out."""
        output = len(self.spoken.tokens)
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": output,
            "total_tokens": self.input_tokens + output,
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    @property
    def finish_reason(self) -> str:
        """Why it ended."""
        return "length" if self.spoken.was_cut else "stop"


class PracticeModel:
    """The model itself: the same seed and the same requests in the same order give the same answers."""

    def __init__(
        self,
        seed: int = 1,
        name: str = MODEL,
        steady_latency_s: float = 0.06,
        drifted_latency_s: float = 0.8,
    ) -> None:
        self.mode = Mode.STEADY
        self.name = name
        self.requests = 0
        self._seed = seed
        self._serial = itertools.count(1)
        self._steady_latency_s = steady_latency_s
        self._drifted_latency_s = drifted_latency_s

    def answer(self, request: ChatRequest) -> Answer:
        """One answer; a request's own ``seed`` makes it repeatable, as far as the model stays the same."""
        serial = next(self._serial)
        own_seed = None if request.seed is None else f"{request.seed} {request.prompt}"
        rng = random.Random(own_seed or f"{self._seed} {serial}")  # noqa: S311 - answers, not secrets
        topic = topic_of(request.prompt)
        is_steady = self.mode is Mode.STEADY
        voice = topic.steady if is_steady else topic.drifted
        spoken = voice.speak(rng, request.temperature, request.limit, request.top_logprobs)
        latency_s = self._steady_latency_s if is_steady else self._drifted_latency_s
        is_swapped = self.mode is Mode.SWAPPED
        return Answer(
            id=f"chatcmpl-practice-{serial}",
            model="practice-2" if is_swapped else self.name,
            fingerprint="fp_practice_b" if is_swapped else "fp_practice_a",
            spoken=spoken,
            input_tokens=sum(len(tokens_of(message.content or "")) + 4 for message in request.messages),
            latency_s=latency_s * rng.lognormvariate(0, 0.3),
        )


def practice_app(
    model: PracticeModel, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, api_key: str = API_KEY
) -> FastAPI:
    """The model behind OpenAI's API, and the lever that moves it."""
    app = FastAPI(title="Practice model", docs_url=None, redoc_url=None)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": model.name, "object": "model", "owned_by": "anchorwatch"}]}

    @app.get("/practice")
    async def practice() -> dict[str, Any]:
        return {"mode": model.mode, "requests": model.requests}

    @app.post("/practice/shift")
    async def shift(request: Request) -> Response:
        try:
            model.mode = Mode((await request.json())["mode"])
        except (ValueError, KeyError, TypeError):
            return _error(400, "invalid_request_error", f"mode must be one of {', '.join(Mode)}")
        return JSONResponse({"mode": model.mode})

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        model.requests += 1
        if request.headers.get("authorization") != f"Bearer {api_key}":
            return _error(401, "invalid_api_key", "Incorrect API key provided.")
        if model.mode is Mode.DOWN:
            return _error(503, "server_error", "The model is overloaded. Try again later.")
        try:
            asked = ChatRequest.model_validate_json(await request.body())
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            return _error(400, "invalid_request_error", f"{where}: {error.errors()[0]['msg']}")
        if asked.model != model.name:
            return _error(404, "model_not_found", f"The model '{asked.model}' does not exist.")
        answer = model.answer(asked)
        if asked.stream:
            return StreamingResponse(_stream(asked, answer, sleep), media_type="text/event-stream")
        await sleep(answer.latency_s)
        return JSONResponse(_whole(asked, answer))

    return app


def _error(status: int, code: str, message: str) -> Response:
    kind = code if status != 401 else "invalid_request_error"
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}, status_code=status
    )


def _whole(asked: ChatRequest, answer: Answer) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.spoken.text, "refusal": None},
        "logprobs": _logprobs(answer.spoken.tokens) if asked.logprobs else None,
        "finish_reason": answer.finish_reason,
    }
    return _envelope("chat.completion", answer) | {"choices": [choice], "usage": answer.usage}


async def _stream(
    asked: ChatRequest, answer: Answer, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """The answer a token at a time: a third of its time goes before the first one."""
    tokens = answer.spoken.tokens
    await sleep(answer.latency_s / 3)
    yield _chunk(answer, [_delta({"role": "assistant", "content": ""})])
    for token in tokens:
        await sleep(answer.latency_s * 2 / 3 / len(tokens))
        yield _chunk(answer, [_delta({"content": token.text}, [token] if asked.logprobs else None)])
    yield _chunk(answer, [_delta({}) | {"finish_reason": answer.finish_reason}])
    if asked.stream_options.include_usage:
        yield _chunk(answer, [], answer.usage)
    yield b"data: [DONE]\n\n"


def _delta(delta: dict[str, str], tokens: list[SpokenToken] | None = None) -> dict[str, Any]:
    logprobs = None if tokens is None else _logprobs(tokens)
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def _chunk(answer: Answer, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
    event = _envelope("chat.completion.chunk", answer) | {"choices": choices, "usage": usage}
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _envelope(kind: str, answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": kind,
        "created": CREATED_AT,
        "model": answer.model,
        "system_fingerprint": answer.fingerprint,
    }


def _logprobs(tokens: tuple[SpokenToken, ...] | list[SpokenToken]) -> dict[str, Any]:
    return {
        "content": [
            _scored(token.text, token.logprob)
            | {"top_logprobs": [_scored(text, logprob) for text, logprob in token.likeliest]}
            for token in tokens
        ],
        "refusal": None,
    }


def _scored(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
