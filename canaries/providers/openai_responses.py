"""Endpoints that speak OpenAI's responses API."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from ..dialects import spelled
from ..prompt import Image, Message
from . import reading
from .base import ChatRequest
from .http import HttpProvider
from .parts import AnswerParts, Usage

_TOKENS = "message.output_text.logprobs"
_ENDS = ("response.completed", "response.incomplete")
_BEGINNINGS = (
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
)
_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}


class ResponsesProvider(HttpProvider):
    """Asks one endpoint at ``POST {base_url}/responses``; nothing of it is kept there, unless ``store`` says so."""

    def url(self, request: ChatRequest) -> httpx.URL:
        """The same for all questions."""
        return self.below(self.dialect.path)

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        """The question as a list of items."""
        payload: dict[str, Any] = {
            "model": request.model,
            "input": [item for message in request.messages for item in _items(message)],
            "store": False,
        }
        if request.logprobs is not None:
            payload["include"] = [_TOKENS]
            payload["top_logprobs"] = request.logprobs
        payload |= spelled(request.parameters, self.dialect)
        payload |= _tools(request)
        if request.stream:
            payload["stream"] = True
        return payload

    def fault(self, part: dict[str, Any]) -> Any:
        """The same, and the response within the event that says that it failed."""
        is_failed = part.get("type") == "response.failed"
        return (part.get("response") or part) if is_failed else super().fault(part)

    def parts(self, request: ChatRequest) -> AnswerParts:
        """What reads events and whole responses alike."""
        return ResponseParts(request.max_answer_bytes)


class ResponseParts(AnswerParts):
    """A response, or the events of one.

    The last event holds the whole response, which is what is read. Those before it tell when the answer began.
    """

    def add(self, part: dict[str, Any]) -> None:
        """Take in one event, or the whole."""
        kind = part.get("type")
        if kind in _ENDS:
            self._response(reading.mapping(part.get("response")))
        elif kind in _BEGINNINGS:
            self.has_begun = self.has_begun or bool(part.get("delta"))
        elif kind is None:
            self._response(part)

    def _response(self, response: dict[str, Any]) -> None:
        self.is_answer = isinstance(response.get("output"), list)
        self.served_model = reading.text(response.get("model"))
        self.usage = _usage(reading.mapping(response.get("usage")))
        for index, item in enumerate(reading.entries(response.get("output"))):
            if item.get("type") == "function_call":
                self.call(
                    index,
                    name=reading.text(item.get("name")) or "",
                    arguments=reading.text(item.get("arguments")) or "",
                    id=reading.text(item.get("call_id")) or "",
                )
            elif item.get("type") == "message":
                self._message(item)
        self.finish_reason = self._reason(response)

    def _message(self, item: dict[str, Any]) -> None:
        for content in reading.entries(item.get("content")):
            if content.get("type") == "output_text":
                self.write(reading.text(content.get("text")) or "")
                for entry in reading.entries(content.get("logprobs")):
                    self.token(entry.get("logprob"), reading.likeliest(entry.get("top_logprobs")))
            elif content.get("type") == "refusal":
                self.refuse(reading.text(content.get("refusal")) or "")

    def _reason(self, response: dict[str, Any]) -> str | None:
        status = reading.text(response.get("status"))
        if status == "incomplete":
            why = reading.text(reading.mapping(response.get("incomplete_details")).get("reason")) or status
            return _INCOMPLETE.get(why, why)
        if status == "completed":
            return "tool_calls" if self._calls else "stop"
        return status


def _usage(usage: dict[str, Any]) -> Usage:
    asked = reading.mapping(usage.get("input_tokens_details"))
    answered = reading.mapping(usage.get("output_tokens_details"))
    return Usage(
        input=reading.count(usage.get("input_tokens")),
        output=reading.count(usage.get("output_tokens")),
        cached_input=reading.count(asked.get("cached_tokens")),
        cache_write_input=reading.count(asked.get("cache_write_tokens")),
        reasoning=reading.count(answered.get("reasoning_tokens")),
    )


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.content}
        return
    if message.parts:
        yield {"role": message.role, "content": [_part(part) for part in message.parts]}
    elif message.content or not message.tool_calls:
        yield {"role": message.role, "content": message.content}
    for call in message.tool_calls:
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": json.dumps(call.arguments),
        }


def _part(part: object) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.address, "detail": "auto"}
    return {"type": "input_text", "text": getattr(part, "text", "")}


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    wire: dict[str, Any] = {
        "tools": [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description or None,
                "parameters": dict(tool.parameters),
                "strict": tool.strict,  # this API's own default is true, the chat API's is false
            }
            for tool in request.tools
        ]
    }
    if request.tool_choice in ("auto", "none", "required"):
        wire["tool_choice"] = request.tool_choice
    elif request.tool_choice is not None:
        wire["tool_choice"] = {"type": "function", "name": request.tool_choice}
    return wire
