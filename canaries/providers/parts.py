"""An answer put together from its parts, whatever they turn out to be: what all APIs have in common."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from ..canonical import well_formed
from ..completion import Outcome
from ..prompt import ToolCall, calls_text
from .base import Answer, RequestFailed
from .reading import logprob

WITHHELD = ("content_filter", "refusal")
"""Finish reasons with which an answer without any text was withheld."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as ``Answer`` has them: those of the caches are part of the input, those of reasoning of the output."""

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write_input: int | None = None
    reasoning: int | None = None


@dataclass(slots=True)
class _Call:
    name: str = ""
    arguments: str = ""
    id: str = ""


class AnswerParts(ABC):
    """Collects the events of a stream, or the one object of a whole response.

    ``finish_reason`` is ``None`` until the end of the answer was seen; ``is_answer`` tells that what came is an
    answer at all. Reasoning counts as begun, and is no part of the text.
    """

    def __init__(self, max_bytes: int) -> None:
        self.finish_reason: str | None = None
        self.has_begun = False
        self.is_answer = False
        self.served_model: str | None = None
        self.fingerprint: str | None = None
        self.usage = Usage()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._logprobs: list[float] = []
        self._first_top: tuple[tuple[str, float], ...] | None = None

    @abstractmethod
    def add(self, part: dict[str, Any]) -> None:
        """Take in one event, or the whole. Raises RequestFailed when the text gets longer than it may be."""

    def answer(self, latency_s: float, ttft_s: float | None) -> Answer:
        """The answer. Raises RequestFailed when there is none in what came."""
        if not self.is_answer:
            raise RequestFailed(Outcome.BAD_RESPONSE, "the response holds no answer")
        calls = tuple(_tool_call(self._calls[index]) for index in sorted(self._calls))
        text = well_formed("".join(self._text))
        refusal = "" if text or calls else well_formed("".join(self._refusal))
        if self.finish_reason in WITHHELD and not (text or refusal or calls):
            raise RequestFailed(Outcome.CONTENT_FILTER, "the content filter withheld the answer")
        if self.finish_reason == "error":
            raise RequestFailed(Outcome.SERVER, "the endpoint broke off with an error", is_transport=True)
        return Answer(
            # Where tools are called, the calls are the answer: the words beside them are for nobody.
            text=calls_text(calls) if calls else text or refusal,
            latency_s=latency_s,
            ttft_s=ttft_s,
            finish_reason="refusal" if refusal else self.finish_reason,
            served_model=self.served_model,
            system_fingerprint=self.fingerprint,
            logprobs=tuple(self._logprobs) or None,
            first_top=self._first_top,
            input_tokens=self.usage.input,
            output_tokens=self.usage.output,
            cached_input_tokens=self.usage.cached_input,
            cache_write_input_tokens=self.usage.cache_write_input,
            reasoning_tokens=self.usage.reasoning,
            tool_calls=calls,
        )

    def write(self, more: str) -> None:
        """More of the answer's text."""
        if self._grows(more):
            self._text.append(more)

    def refuse(self, more: str) -> None:
        """More of what the API itself calls a refusal."""
        if self._grows(more):
            self._refusal.append(more)

    def call(self, index: int, *, name: str = "", arguments: str = "", id: str = "") -> None:
        """More of the call of a tool with that place among the calls."""
        known = self._calls.setdefault(index, _Call())
        self._grows(name + arguments)
        known.name += name
        known.arguments += arguments
        known.id = known.id or id

    def token(self, value: object, top: tuple[tuple[str, float], ...] | None) -> None:
        """The log-probability of the next token of the text, and the likeliest in its place."""
        known = logprob(value)
        if known is None:
            return
        if not self._logprobs:
            self._first_top = top
        self._logprobs.append(known)

    def _grows(self, more: str) -> bool:
        if not more:
            return False
        self.has_begun = True
        self._bytes += len(more) if more.isascii() else len(more.encode("utf-8", "surrogatepass"))
        if self._bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        return True


def too_large(max_bytes: int) -> RequestFailed:
    """The failure of an answer that was not read to its end."""
    return RequestFailed(
        Outcome.TOO_LARGE, f"the answer is larger than {max_bytes:,} bytes; reading stopped there"
    )


def reason(name: str | None, words: Mapping[str, str]) -> str | None:
    """A finish reason in the words of OpenAI's chat API, which most endpoints use; an unknown one in lower case."""
    return None if name is None else words.get(name, name.lower())


def _tool_call(call: _Call) -> ToolCall:
    name, written = well_formed(call.name), well_formed(call.arguments)
    arguments: Any = written
    # What is no JSON, or none that can be stored (a number of 30 digits, half a character), stays as it is written.
    with suppress(ValueError, TypeError, RecursionError):
        value = json.loads(written) if written.strip() else {}
        orjson.dumps(value)
        arguments = value
    return ToolCall(name, arguments, well_formed(call.id))
