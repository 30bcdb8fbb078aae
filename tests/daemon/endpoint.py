"""An OpenAI-compatible endpoint that can fall ill in the ways that real ones do, for each target by itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

HUGE_BYTES = 10_000_000
HANG_S = 30.0


class Mood(StrEnum):
    """How an endpoint is."""

    WELL = "well"
    UNAUTHORIZED = "unauthorized"
    STORM = "storm"
    """429 without a word on when to come back."""
    STORM_WITH_WAIT = "storm with wait"
    MALFORMED = "malformed"
    HUGE = "huge"
    HANGING = "hanging"
    HALF = "half"
    """Every other request fails."""
    RUDE = "rude"
    """Answers, and breaks the check that the suite makes."""
    CHATTY = "chatty"
    """Passes all checks, and never says the same twice."""


class Endpoint:
    """One server for many targets: the first part of the path is the target."""

    def __init__(self) -> None:
        self.moods: dict[str, Mood] = {}
        self.requests: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        """How many requests are being answered now."""
        self.latency_s = 0.0

    def app(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        @app.post("/{target}/v1/chat/completions")
        async def chat(target: str, request: Request) -> Response:
            self.requests[target] += 1
            number = self.requests[target]
            asked = await request.json()
            self.active[target] += 1
            try:
                await asyncio.sleep(self.latency_s)
                return await self._answer(self.moods.get(target, Mood.WELL), number, asked)
            finally:
                self.active[target] -= 1

        return app

    async def _answer(self, mood: Mood, number: int, asked: dict[str, Any]) -> Response:
        if mood is Mood.UNAUTHORIZED:
            return _error(401, "invalid_api_key")
        if mood is Mood.STORM:
            return _error(429, "rate_limit_exceeded")
        if mood is Mood.STORM_WITH_WAIT:
            return _error(429, "rate_limit_exceeded", {"retry-after": "1"})
        if mood is Mood.HALF and number % 2:
            return _error(500, "server_error")
        if mood is Mood.MALFORMED:
            return Response(b'{"id": "1", "choices": [{"messa', media_type="application/json")
        if mood is Mood.HUGE:
            return StreamingResponse(_huge(), media_type="application/json")
        if mood is Mood.HANGING:
            await asyncio.sleep(HANG_S)
        prompt = asked["messages"][-1]["content"]
        texts = {Mood.RUDE: "", Mood.CHATTY: f"Certainly! Number {number} is glad to be of help."}
        return JSONResponse(completion(texts.get(mood, f"An answer to: {prompt}")))


def completion(text: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "practice-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": code, "code": code}}, status_code=status, headers=headers)


async def _huge() -> AsyncIterator[bytes]:
    yield b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "'
    for _ in range(HUGE_BYTES // 100_000):
        yield b"blah " * 20_000
    yield b'"}}]}'
