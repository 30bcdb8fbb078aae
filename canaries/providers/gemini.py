"""Endpoints that speak Gemini's generateContent, at Google AI or Vertex AI."""

import json
import mimetypes
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from ..dialects import spelled
from ..prompt import Image, Message
from . import reading
from .base import ChatRequest
from .http import HttpProvider
from .parts import AnswerParts, Usage, reason

BESIDE = ("safetySettings", "cachedContent", "labels", "serviceTier", "store", "tools", "toolConfig")
"""Parameters that stand beside ``generationConfig``; all others stand in it."""

NOT_OURS = "skip_thought_signature_validator"
"""What Gemini 3 accepts in place of the signature on calls that it did not make itself, as those of a suite."""

_BLOCKED = "content_filter"
_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": _BLOCKED,
    "RECITATION": _BLOCKED,
    "BLOCKLIST": _BLOCKED,
    "PROHIBITED_CONTENT": _BLOCKED,
    "SPII": _BLOCKED,
    "MODEL_ARMOR": _BLOCKED,
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_INSTRUCTIONS = ("system", "developer")


class GeminiProvider(HttpProvider):
    """Asks one endpoint at ``POST {base_url}/models/{model}:generateContent``, or ``:streamGenerateContent``."""

    def url(self, request: ChatRequest) -> httpx.URL:
        """The model is part of the address."""
        model = request.model if "/" in request.model else f"models/{request.model}"
        if request.stream:
            return self.below(f"/{model}:streamGenerateContent").copy_merge_params({"alt": "sse"})
        return self.below(f"/{model}{self.dialect.path}")

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        """The question, with the instructions apart from the turns."""
        payload: dict[str, Any] = {"contents": _contents(request.messages)}
        system = [{"text": one.content} for one in request.messages if one.role in _INSTRUCTIONS]
        if system:
            payload["systemInstruction"] = {"parts": system}
        config: dict[str, Any] = {}
        if request.seed is not None:
            config["seed"] = request.seed
        if request.logprobs is not None:
            config["responseLogprobs"] = True
            if request.logprobs:
                config["logprobs"] = request.logprobs
        for name, value in spelled(request.parameters, self.dialect).items():
            (payload if name in BESIDE else config)[name] = value
        payload |= _tools(request)
        if config:
            payload["generationConfig"] = config
        return payload

    def parts(self, request: ChatRequest) -> AnswerParts:
        """What reads chunks and whole responses alike."""
        return ContentParts(request.max_answer_bytes)


class ContentParts(AnswerParts):
    """A response, or the chunks of one: both look alike."""

    def add(self, part: dict[str, Any]) -> None:
        """Take in one chunk, or the whole."""
        self.served_model = reading.text(part.get("modelVersion")) or self.served_model
        if usage := reading.mapping(part.get("usageMetadata")):
            self.usage = _usage(usage)
        for candidate in reading.entries(part.get("candidates")):
            if candidate.get("index") in (0, None):
                self._candidate(candidate)
        if reading.mapping(part.get("promptFeedback")).get("blockReason"):
            self.is_answer, self.finish_reason = True, _BLOCKED

    def _candidate(self, candidate: dict[str, Any]) -> None:
        self.is_answer = True
        for part in reading.entries(reading.mapping(candidate.get("content")).get("parts")):
            self._part(part)
        tokens = reading.mapping(candidate.get("logprobsResult"))
        tops = [top.get("candidates") for top in reading.entries(tokens.get("topCandidates"))]
        for index, chosen in enumerate(reading.entries(tokens.get("chosenCandidates"))):
            top = reading.likeliest(tops[index], "logProbability") if index < len(tops) else None
            self.token(chosen.get("logProbability"), top)
        ended = reason(reading.text(candidate.get("finishReason")), _REASONS)
        # This API says that it stopped whether it wrote or called; the others say which.
        self.finish_reason = "tool_calls" if ended == "stop" and self._calls else ended or self.finish_reason

    def _part(self, part: dict[str, Any]) -> None:
        called = part.get("functionCall")
        if isinstance(called, dict):
            name, id = reading.text(called.get("name")), reading.text(called.get("id"))
            arguments = reading.as_json(reading.mapping(called.get("args")))
            self.call(len(self._calls), name=name or "", arguments=arguments, id=id or "")
        elif part.get("thought"):
            self.has_begun = True
        else:
            self.write(reading.text(part.get("text")) or "")


def _usage(usage: dict[str, Any]) -> Usage:
    thoughts = reading.count(usage.get("thoughtsTokenCount"))
    asked, beside = usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")
    return Usage(
        input=reading.total(reading.count(asked), reading.count(beside)),
        # This API counts its thoughts apart from the answer, and bills them as part of it.
        output=reading.total(reading.count(usage.get("candidatesTokenCount")), thoughts),
        cached_input=reading.count(usage.get("cachedContentTokenCount")),
        reasoning=thoughts,
    )


def _contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns; answers to several calls of one turn come in one, as this API wants them."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in _INSTRUCTIONS:
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = list(_parts(message, names.get(message.tool_call_id, "")))
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": role, "parts": parts})
    return turns


def _parts(message: Message, called: str) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"functionResponse": {"name": called, "response": _response(message.content)}}
        return
    for part in message.pieces:
        if not isinstance(part, Image):
            yield {"text": part.text}
        elif part.url:
            yield {"fileData": {"mimeType": _media_type(part.url), "fileUri": part.url}}
        else:
            yield {"inlineData": {"mimeType": part.media_type, "data": part.base64}}
    for index, call in enumerate(message.tool_calls):
        wire: dict[str, Any] = {"functionCall": {"name": call.name, "args": call.arguments}}
        # Only the first call of a turn carries a signature.
        yield wire if index else {**wire, "thoughtSignature": NOT_OURS}


def _response(content: str) -> dict[str, Any]:
    """What a tool gave as the object that this API wants."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"output": content}


def _media_type(url: str) -> str:
    return mimetypes.guess_type(httpx.URL(url).path)[0] or "image/jpeg"


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    declared: list[dict[str, Any]] = []
    for tool in request.tools:
        wire: dict[str, Any] = {"name": tool.name, "parametersJsonSchema": dict(tool.parameters)}
        if tool.description:
            wire["description"] = tool.description
        declared.append(wire)
    payload: dict[str, Any] = {"tools": [{"functionDeclarations": declared}]}
    if request.tool_choice in _MODES:
        payload["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[request.tool_choice]}}
    elif request.tool_choice is not None:
        one = {"mode": "ANY", "allowedFunctionNames": [request.tool_choice]}
        payload["toolConfig"] = {"functionCallingConfig": one}
    return payload
