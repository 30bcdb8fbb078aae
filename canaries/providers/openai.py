"""Endpoints that speak OpenAI's chat completions: OpenAI's own and all that follow it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from ..dialects import spelled
from ..prompt import Image, Message, Part, Tool
from . import reading
from .base import ChatRequest
from .http import HttpProvider
from .parts import AnswerParts, Usage


class OpenAIProvider(HttpProvider):
    """Asks one endpoint at ``POST {base_url}/chat/completions``. An unknown usage of streams stays unknown."""

    OPTIONAL = ("stream_options",)

    def url(self, request: ChatRequest) -> httpx.URL:
        """The same for all questions."""
        return self.below(self.dialect.path)

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        """The question; its parameters win over what a target says."""
        payload: dict[str, Any] = {
            "model": request.model,
            "messages": [_message(message) for message in request.messages],
        }
        if request.seed is not None:
            payload["seed"] = request.seed
        if request.logprobs is not None:
            payload["logprobs"] = True
            if request.logprobs:
                payload["top_logprobs"] = request.logprobs
        payload |= spelled(request.parameters, self.dialect)
        payload |= _tools(request)
        if request.stream:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        return payload

    def parts(self, request: ChatRequest) -> AnswerParts:
        """What reads chunks and whole completions alike."""
        return ChatParts(request.max_answer_bytes, self.dialect.fingerprint)


class ChatParts(AnswerParts):
    """A completion, or its chunks."""

    def __init__(self, max_bytes: int, fingerprint: str = "system_fingerprint") -> None:
        super().__init__(max_bytes)
        self._fingerprint_field = fingerprint

    def add(self, part: dict[str, Any]) -> None:
        """Take in one chunk, or the whole."""
        # A chunk comes with each token: what all of them repeat is looked at once.
        if (model := part.get("model")) != self.served_model:
            self.served_model = reading.text(model) or self.served_model
        if (fingerprint := part.get(self._fingerprint_field)) != self.fingerprint:
            self.fingerprint = reading.text(fingerprint) or self.fingerprint
        if usage := reading.mapping(part.get("usage")):
            self.usage = _usage(usage)
        for choice in reading.entries(part.get("choices")):
            # We ask for one choice. Another one would be mixed into its text.
            if choice.get("index") in (0, None):
                self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        message = choice.get("delta")
        if not isinstance(message, dict):
            message = reading.mapping(choice.get("message"))
        self.is_answer = self.is_answer or "delta" in choice or "message" in choice
        if (reason := choice.get("finish_reason")) is not None:
            self.finish_reason = reading.text(reason) or self.finish_reason
        if content := message.get("content"):
            self.write(_content(content))
        if refusal := message.get("refusal"):
            self.refuse(_content(refusal))
        if calls := message.get("tool_calls"):
            self._calls_more(calls)
        if message.get("reasoning_content") or message.get("reasoning"):
            self.has_begun = True
        if logprobs := choice.get("logprobs"):
            for entry in reading.entries(reading.mapping(logprobs).get("content")):
                self.token(entry.get("logprob"), reading.likeliest(entry.get("top_logprobs")))

    def _calls_more(self, calls: object) -> None:
        for position, call in enumerate(reading.entries(calls)):
            index = reading.count(call.get("index"))
            function = reading.mapping(call.get("function"))
            self.call(
                position if index is None else index,
                name=reading.text(function.get("name")) or "",
                arguments=_arguments(function.get("arguments")),
                id=reading.text(call.get("id")) or "",
            )


def _usage(usage: dict[str, Any]) -> Usage:
    asked = reading.mapping(usage.get("prompt_tokens_details"))
    answered = reading.mapping(usage.get("completion_tokens_details"))
    return Usage(
        input=reading.count(usage.get("prompt_tokens")),
        output=reading.count(usage.get("completion_tokens")),
        cached_input=reading.count(asked.get("cached_tokens")),
        cache_write_input=reading.count(asked.get("cache_write_tokens")),
        reasoning=reading.count(answered.get("reasoning_tokens")),
    )


def _content(value: object) -> str:
    """Text, also where it comes as a list of parts."""
    if isinstance(value, list):
        return "".join(_content(part.get("text")) for part in reading.entries(value))
    return value if isinstance(value, str) else ""


def _arguments(value: object) -> str:
    """The arguments of a call, also where a server gives them as an object and not as the text of one."""
    return reading.as_json(value) if isinstance(value, dict) else reading.text(value) or ""


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.parts:
        wire["content"] = list(_parts(message.parts))
    if message.tool_calls:
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.name, "arguments": json.dumps(c.arguments)},
            }
            for c in message.tool_calls
        ]
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _parts(parts: tuple[Part, ...]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if isinstance(part, Image):
            yield {"type": "image_url", "image_url": {"url": part.address}}
        else:
            yield {"type": "text", "text": part.text}


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    wire: dict[str, Any] = {"tools": [{"type": "function", "function": _tool(t)} for t in request.tools]}
    if request.tool_choice in ("auto", "none", "required"):
        wire["tool_choice"] = request.tool_choice
    elif request.tool_choice is not None:
        wire["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice}}
    return wire


def _tool(tool: Tool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        wire["description"] = tool.description
    if tool.strict:
        wire["strict"] = True
    return wire
