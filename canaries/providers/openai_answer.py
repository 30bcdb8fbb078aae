"""An answer of an OpenAI-compatible endpoint, put together from its parts, whatever they turn out to be."""

import json
import math
from typing import Any

from ..canonical import LOWEST_LOGPROB, well_formed
from ..completion import Outcome
from .base import Answer, RequestFailed


class AnswerParts:
    """Collects the chunks of a stream, or the one object of a whole response."""

    def __init__(self, max_bytes: int) -> None:
        self.finish_reason: str | None = None
        self.has_begun = False
        self._has_choice = False
        self._max_bytes = max_bytes
        self._bytes = 0
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._served_model: str | None = None
        self._fingerprint: str | None = None
        self._usage: dict[str, Any] = {}
        self._logprobs: list[float] = []
        self._first_top: tuple[tuple[str, float], ...] | None = None

    def add(self, part: dict[str, Any]) -> None:
        """Take in one chunk, or the whole. Raises RequestFailed when the text gets longer than it may be."""
        self._served_model = _text(part.get("model")) or self._served_model
        self._fingerprint = _text(part.get("system_fingerprint")) or self._fingerprint
        self._usage = _mapping(part.get("usage")) or self._usage
        for choice in _entries(part.get("choices")):
            # We ask for one choice. Another one would be mixed into its text.
            if choice.get("index") in (0, None):
                self._choice(choice)

    def answer(self, latency_s: float, ttft_s: float | None) -> Answer:
        """The answer. Raises RequestFailed when there is none in what came."""
        text = self._answer_text()
        if not self._has_choice:
            raise RequestFailed(Outcome.BAD_RESPONSE, "the response holds no choices")
        if self.finish_reason == "content_filter" and not text:
            raise RequestFailed(Outcome.CONTENT_FILTER, "the content filter withheld the answer")
        if self.finish_reason == "error":
            raise RequestFailed(Outcome.SERVER, "the endpoint broke off with an error", is_transport=True)
        return Answer(
            text=text,
            latency_s=latency_s,
            ttft_s=ttft_s,
            finish_reason=self.finish_reason,
            served_model=self._served_model,
            system_fingerprint=self._fingerprint,
            logprobs=tuple(self._logprobs) or None,
            first_top=self._first_top,
            input_tokens=_count(self._usage.get("prompt_tokens")),
            output_tokens=_count(self._usage.get("completion_tokens")),
            cached_input_tokens=_count(
                _mapping(self._usage.get("prompt_tokens_details")).get("cached_tokens")
            ),
        )

    def _choice(self, choice: dict[str, Any]) -> None:
        message = choice.get("delta") if isinstance(choice.get("delta"), dict) else choice.get("message")
        if not isinstance(message, dict):
            message = {}
        self._has_choice = self._has_choice or "delta" in choice or "message" in choice
        self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
        self._grow(self._text, _content(message.get("content")))
        self._grow(self._refusal, _content(message.get("refusal")))
        for position, call in enumerate(_entries(message.get("tool_calls"))):
            self._call(position, call)
        if message.get("reasoning_content") or message.get("reasoning"):
            self.has_begun = True
        self._take_logprobs(_mapping(choice.get("logprobs")))

    def _grow(self, parts: list[str], more: str) -> None:
        if not more:
            return
        self.has_begun = True
        self._bytes += len(more.encode("utf-8", "surrogatepass"))
        if self._bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        parts.append(more)

    def _call(self, position: int, call: dict[str, Any]) -> None:
        index = _count(call.get("index"))
        function = _mapping(call.get("function"))
        known = self._calls.setdefault(position if index is None else index, {"name": "", "arguments": ""})
        for key in known:
            more: list[str] = []
            self._grow(more, _text(function.get(key)) or "")
            known[key] += "".join(more)

    def _take_logprobs(self, logprobs: dict[str, Any]) -> None:
        for entry in _entries(logprobs.get("content")):
            value = _logprob(entry.get("logprob"))
            if value is None:
                continue
            if not self._logprobs:
                self._first_top = _likeliest(entry)
            self._logprobs.append(value)

    def _answer_text(self) -> str:
        """The text, or the refusal in its place, or the tool calls as JSON where the answer is those."""
        text = "".join(self._text) or "".join(self._refusal)
        if not text and self._calls:
            text = json.dumps([self._calls[index] for index in sorted(self._calls)])
        return well_formed(text)


def too_large(max_bytes: int) -> RequestFailed:
    """The failure of an answer that was not read to its end."""
    return RequestFailed(
        Outcome.TOO_LARGE, f"the answer is larger than {max_bytes:,} bytes; reading stopped there"
    )


def _likeliest(entry: dict[str, Any]) -> tuple[tuple[str, float], ...] | None:
    pairs = [
        (well_formed(token), value)
        for top in _entries(entry.get("top_logprobs"))
        if isinstance(token := top.get("token"), str) and (value := _logprob(top.get("logprob"))) is not None
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair[1])) or None


def _logprob(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return min(0.0, max(LOWEST_LOGPROB, float(value)))


def _content(value: object) -> str:
    """Text, also where it comes as a list of parts."""
    if isinstance(value, list):
        return "".join(_content(part.get("text")) for part in _entries(value))
    return value if isinstance(value, str) else ""


def _text(value: object) -> str | None:
    return well_formed(value) if isinstance(value, str) and value else None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _entries(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
