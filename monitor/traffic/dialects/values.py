"""Attribute values as numbers and words: lenient with how they are written, strict with what they mean."""

import math
import re
from collections.abc import Mapping

import orjson

from ..calls import FinishReason

COUNT_MAX = 10**9
"""More tokens than this in one call is a mistake of the sender."""

TEXT_MAX = 256
"""Longest name or id kept; the rest is cut off."""

Attributes = Mapping[str, object]


def text(attributes: Attributes, *keys: str) -> str | None:
    """The first of ``keys`` that holds some text, without space around it and cut to ``TEXT_MAX``."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str) and (stripped := value.strip()):
            return stripped[:TEXT_MAX]
    return None


def count(attributes: Attributes, *keys: str) -> int | None:
    """The first of ``keys`` that holds a number of tokens."""
    for key in keys:
        number = _number(attributes.get(key))
        if number is not None and 0 <= number <= COUNT_MAX and number == int(number):
            return int(number)
    return None


def seconds(attributes: Attributes, *keys: str) -> float | None:
    """The first of ``keys`` that holds a duration in seconds."""
    for key in keys:
        number = _number(attributes.get(key))
        if number is not None and number >= 0:
            return float(number)
    return None


def flag(attributes: Attributes, *keys: str) -> bool | None:
    """The first of ``keys`` that says yes or no."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
    return None


def _number(value: object) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return value if isinstance(value, float) and math.isfinite(value) else None


_PROVIDERS = {
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "gcp.gen_ai": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "ollama_chat": "ollama",
}
"""Other spellings of OpenTelemetry's provider names, in lower case."""

_FRAMEWORKS = {
    "strands-agents",
    "langchain",
    "langgraph",
    "litellm",
    "llamaindex",
    "microsoft.agent_framework",
    "semantic_kernel",
    "crewai",
    "autogen",
    "haystack",
    "pydantic-ai",
    "_other",
}
"""What some write where the provider belongs: it tells who asked, not who answered."""


def provider(written: str | None) -> str | None:
    """The provider by its OpenTelemetry name; ``None`` when ``written`` names none."""
    if written is None:
        return None
    name = written.lower()
    if name in _FRAMEWORKS:
        return None
    # "openai.chat", "openai.responses": the API behind the dot, by JavaScript's AI SDK
    if name.startswith(("openai.", "anthropic.")):
        name = name.split(".", 1)[0]
    return _PROVIDERS.get(name, name)


_FINISH_REASONS = {
    FinishReason.STOP: ("stop", "end_turn", "stop_sequence", "complete", "completed", "eos", "eos_token"),
    FinishReason.LENGTH: (
        "length",
        "max_tokens",
        "max_output_tokens",
        "incomplete",
        "model_context_window_exceeded",
    ),
    FinishReason.TOOL_CALLS: ("tool_calls", "tool_call", "tool_use", "function_call"),
    FinishReason.CONTENT_FILTER: (
        "content_filter",
        "content_filtered",
        "safety",
        "refusal",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "image_safety",
        "guardrail_intervened",
    ),
}
_FINISH_REASON_OF = {
    spelling: reason for reason, spellings in _FINISH_REASONS.items() for spelling in spellings
}
_NOT_TOLD = {"", "none", "null", "unknown", "error", "finish_reason_unspecified"}


def finish_reason(attributes: Attributes, *keys: str) -> FinishReason | None:
    """Why the model stopped: the first of ``keys`` with a list of reasons, a JSON list in a string, or one word."""
    return next(
        (reason for key in keys for word in _words(attributes.get(key)) if (reason := _reason(word))), None
    )


def finish_reason_in_messages(attributes: Attributes, key: str) -> FinishReason | None:
    """Why the model stopped, from the messages it answered with (JSON in a string, or a list)."""
    messages = attributes.get(key)
    try:
        parsed = orjson.loads(messages) if isinstance(messages, str) else messages
    except orjson.JSONDecodeError:
        return None
    told = (
        [one.get("finish_reason") for one in parsed if isinstance(one, dict)]
        if isinstance(parsed, list)
        else []
    )
    return next((reason for word in _words(told) if (reason := _reason(word))), None)


def _reason(word: str) -> FinishReason | None:
    return None if word in _NOT_TOLD else _FINISH_REASON_OF.get(word, FinishReason.OTHER)


def _words(value: object) -> list[str]:
    items = (
        value
        if isinstance(value, list | tuple)
        else re.findall(r"[\w.-]+", value)
        if isinstance(value, str)
        else []
    )
    return [item.strip().lower().replace("-", "_") for item in items if isinstance(item, str)]
