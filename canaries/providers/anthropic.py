"""Endpoints that speak Anthropic's messages API."""

from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from ..dialects import spelled
from ..prompt import Image, Message
from . import reading
from .base import ChatRequest
from .http import HttpProvider
from .parts import AnswerParts, Usage, reason

ANSWER_TOKENS = 4_096
"""The most tokens of an answer where nobody says: this API wants to be told."""

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_INSTRUCTIONS = ("system", "developer")


class AnthropicProvider(HttpProvider):
    """Asks one endpoint at ``POST {base_url}/messages``. Messages with instructions go before the others, as one."""

    def url(self, request: ChatRequest) -> httpx.URL:
        """The same for all questions."""
        return self.below(self.dialect.path)

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        """The question, with the instructions apart from the turns."""
        payload: dict[str, Any] = {
            "model": request.model,
            "max_tokens": ANSWER_TOKENS,
            "messages": _turns(request.messages),
        }
        system = "\n\n".join(one.content for one in request.messages if one.role in _INSTRUCTIONS)
        if system:
            payload["system"] = system
        payload |= spelled(request.parameters, self.dialect)
        payload |= _tools(request)
        if request.stream:
            payload["stream"] = True
        return payload

    def parts(self, request: ChatRequest) -> AnswerParts:
        """What reads events and whole messages alike."""
        return MessageParts(request.max_answer_bytes)


class MessageParts(AnswerParts):
    """A message, or the events of one."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._counts: dict[str, Any] = {}

    def add(self, part: dict[str, Any]) -> None:
        """Take in one event, or the whole."""
        kind = part.get("type")
        if kind == "message":
            self._message(part)
        elif kind == "message_start":
            self._message(reading.mapping(part.get("message")))
        elif kind == "content_block_start":
            self._block(reading.count(part.get("index")) or 0, reading.mapping(part.get("content_block")))
        elif kind == "content_block_delta":
            self._more(reading.count(part.get("index")) or 0, reading.mapping(part.get("delta")))
        elif kind == "message_delta":
            self._ends(reading.mapping(part.get("delta")))
            self._counted(part.get("usage"))

    def _message(self, message: dict[str, Any]) -> None:
        self.is_answer = isinstance(message.get("content"), list)
        self.served_model = reading.text(message.get("model"))
        for index, block in enumerate(reading.entries(message.get("content"))):
            self._block(index, block)
            # Of a stream the arguments come later, piece by piece, and the block begins with an empty object.
            if block.get("type") == "tool_use" and block.get("input"):
                self.call(index, arguments=reading.as_json(block["input"]))
        self._ends(message)
        self._counted(message.get("usage"))

    def _block(self, index: int, block: dict[str, Any]) -> None:
        if block.get("type") == "text":
            self.write(reading.text(block.get("text")) or "")
        elif block.get("type") == "tool_use":
            name, id = reading.text(block.get("name")), reading.text(block.get("id"))
            self.call(index, name=name or "", id=id or "")
        elif block.get("thinking"):
            self.has_begun = True

    def _more(self, index: int, delta: dict[str, Any]) -> None:
        self.write(reading.text(delta.get("text")) or "")
        if arguments := reading.text(delta.get("partial_json")):
            self.call(index, arguments=arguments)
        if delta.get("thinking"):
            self.has_begun = True

    def _ends(self, told: dict[str, Any]) -> None:
        self.finish_reason = reason(reading.text(told.get("stop_reason")), _REASONS) or self.finish_reason

    def _counted(self, usage: object) -> None:
        # Counts of a later event are of the whole answer, and stand in place of those before them.
        self._counts |= {name: value for name, value in reading.mapping(usage).items() if value is not None}
        counts = self._counts
        cached = reading.count(counts.get("cache_read_input_tokens"))
        written = reading.count(counts.get("cache_creation_input_tokens"))
        details = reading.mapping(counts.get("output_tokens_details"))
        self.usage = Usage(
            # This API counts the tokens of its cache apart from the others.
            input=reading.total(reading.count(counts.get("input_tokens")), cached, written),
            output=reading.count(counts.get("output_tokens")),
            cached_input=cached,
            cache_write_input=written,
            reasoning=reading.count(details.get("thinking_tokens")),
        )


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns; answers to several calls of one turn come in one message, as this API wants them."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in _INSTRUCTIONS:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(_blocks(message))
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}
        return
    for part in message.pieces:
        if not isinstance(part, Image):
            yield {"type": "text", "text": part.text}
        elif part.url:
            yield {"type": "image", "source": {"type": "url", "url": part.url}}
        else:
            source = {"type": "base64", "media_type": part.media_type, "data": part.base64}
            yield {"type": "image", "source": source}
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    tools: list[dict[str, Any]] = []
    for tool in request.tools:
        wire: dict[str, Any] = {"name": tool.name, "input_schema": dict(tool.parameters)}
        if tool.description:
            wire["description"] = tool.description
        if tool.strict:
            wire["strict"] = True
        tools.append(wire)
    if request.tool_choice is None:
        return {"tools": tools}
    if request.tool_choice in _CHOICES:
        return {"tools": tools, "tool_choice": {"type": _CHOICES[request.tool_choice]}}
    return {"tools": tools, "tool_choice": {"type": "tool", "name": request.tool_choice}}
