"""Attribute values as numbers and words: lenient with how they are written, strict with what they mean."""

import math
import re
from datetime import datetime

import orjson

from ..calls import FinishReason

COUNT_MAX = 10**9
"""More tokens than this in one call is a mistake of the sender."""

TEXT_MAX = 256
"""Longest name or id kept; the rest is cut off."""

_YES = ("true", "yes", "1")
_NO = ("false", "no", "0")


def text(value: object) -> str | None:
    """``value`` when it is some text, without space and JSON quotes around it and cut to ``TEXT_MAX``."""
    if not isinstance(value, str):
        return None
    return _unquoted(value.strip())[:TEXT_MAX].strip() or None


_NO_MODEL = ("none", "null", "unknown")


def model_name(value: object) -> str | None:
    """``value`` when it is the name of a model, and not a word for none."""
    written = text(value)
    return None if written is not None and written.strip("<>").lower() in _NO_MODEL else written


def word(value: object) -> str | None:
    """A value as the text that it is counted by; ``None`` for what is nothing to count: lists, and nothing at all."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else text(value)


def count(value: object) -> int | None:
    """``value`` when it is a number of tokens."""
    number = _number(value)
    if number is None or not 0 <= number <= COUNT_MAX or number != int(number):
        return None
    return int(number)


def score(value: object) -> float | None:
    """``value`` when it is a number of any size."""
    return _number(value)


def seconds(value: object) -> float | None:
    """``value`` when it is a duration in seconds."""
    number = _number(value)
    return float(number) if number is not None and number >= 0 else None


def unix_seconds(value: object) -> float | None:
    """``value`` when it is a moment: an ISO 8601 text, or a number of seconds, milli-, micro- or nanoseconds."""
    number = _number(value)
    if number is not None:
        while number > 1e11:  # the year 5138 in seconds: it is written in a smaller unit
            number /= 1000
        return float(number) if number > 0 else None
    written = text(value)
    try:
        moment = datetime.fromisoformat(written) if written else None
    except ValueError:
        return None
    return moment.timestamp() if moment and moment.tzinfo else None


def flag(value: object) -> bool | None:
    """``value`` when it says yes or no."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    return True if word in _YES else False if word in _NO else None


def _unquoted(written: str) -> str:
    if len(written) < 2 or written[0] != '"' or written[-1] != '"':
        return written
    try:
        inner = orjson.loads(written)
    except orjson.JSONDecodeError:
        return written
    return inner if isinstance(inner, str) else written


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


_SPELLINGS = {
    "anthropic": ("claude", "chatanthropic"),
    "aws.bedrock": ("aws", "bedrock", "aws_bedrock", "amazon_bedrock", "bedrock_converse", "amazon"),
    "azure.ai.inference": ("az.ai.inference", "azure_ai", "azure_ai_inference"),
    "azure.ai.openai": ("az.ai.openai", "azure", "azure_openai", "azure.openai"),
    "cohere": ("cohere_chat", "cohere_v2", "cohereai"),
    "deepseek": (),
    "gcp.gemini": (
        "gemini",
        "google",
        "google_genai",
        "google_generativeai",
        "google_generative_ai",
        "google.generative_ai",
        "google_ai",
        "google_ai_studio",
        "googleai",
        "gcp.gen_ai",
    ),
    "gcp.vertex_ai": ("vertex_ai", "vertexai", "vertex", "google_vertexai", "google_vertex", "google.vertex"),
    "groq": (),
    "ibm.watsonx.ai": ("watsonx", "ibm_watsonx"),
    "mistral_ai": ("mistral", "mistralai"),
    "ollama": ("ollama_chat",),
    "openai": ("chatopenai", "open_ai"),
    "perplexity": (),
    "together": ("togetherai", "together_ai"),
    "x_ai": ("xai",),
}
"""How OpenTelemetry's provider names are spelt elsewhere, in lower case with underscores."""

_PROVIDER_OF = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in (name, *spellings)}

_FRAMEWORKS = {
    "strands_agents",
    "langchain",
    "langgraph",
    "litellm",
    "litellm_proxy",
    "llamaindex",
    "llama_index",
    "microsoft.agent_framework",
    "agent_framework",
    "gcp.vertex.agent",
    "semantic_kernel",
    "crewai",
    "autogen",
    "haystack",
    "pydantic_ai",
    "spring_ai",
    "openai_agents",
    "vercel",
    "_other",
    "unknown",
    "none",
    "null",
}
"""What some write where the provider belongs: it tells who asked, not who answered."""


def provider(value: object) -> str | None:
    """The provider by its OpenTelemetry name; ``None`` when ``value`` names none."""
    written = text(value)
    if written is None:
        return None
    name = written.lower()
    spelling = re.sub(r"[\s-]", "_", name)
    if spelling in _FRAMEWORKS:
        return None
    # "openai.chat", "google.vertex.chat": the API behind the dot, by JavaScript's AI SDK
    while spelling not in _PROVIDER_OF and "." in spelling:
        spelling = spelling.rsplit(".", 1)[0]
    return _PROVIDER_OF.get(spelling, _API.sub("", name))


_API = re.compile(r"\.(chat|responses|messages|completion|(text-?)?embeddings?)$")
"""An API's name behind that of a provider that is not known by name."""


def provider_of_model(value: object) -> str | None:
    """The provider that stands in front of a model, as in ``openai/gpt-4o``, when it is a known one."""
    prefix, slash, _ = (text(value) or "").partition("/")
    return _PROVIDER_OF.get(re.sub(r"[\s-]", "_", prefix.lower())) if slash else None


_SDKS = ("bedrock", "cohere", "groq", "mistralai", "ollama")
"""SDKs that ask one provider only, by their names at the end of the scopes that instrument them."""


def provider_of_scope(scope: str) -> str | None:
    """The provider of a library that instruments the SDK of one provider."""
    sdk = scope.rsplit(".", 1)[-1]
    return _PROVIDER_OF[sdk] if sdk in _SDKS else None


_FINISH_REASONS = {
    FinishReason.STOP: (
        "stop",
        "end_turn",
        "endturn",
        "stop_sequence",
        "complete",
        "completed",
        "eos",
        "eos_token",
        "finish",
        "finished",
        "end",
    ),
    FinishReason.LENGTH: (
        "length",
        "max_tokens",
        "max_output_tokens",
        "max_length",
        "incomplete",
        "model_length",
        "model_context_window_exceeded",
    ),
    FinishReason.TOOL_CALLS: ("tool_calls", "tool_call", "tool_use", "tool", "function_call"),
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
        "error_toxic",
    ),
}
_FINISH_REASON_OF = {
    spelling: reason for reason, spellings in _FINISH_REASONS.items() for spelling in spellings
}
_NOT_TOLD = {"", "none", "null", "unknown", "error", "finish_reason_unspecified", "unspecified", "pause_turn"}


def finish_reason(value: object) -> FinishReason | None:
    """Why the model stopped, from a list of reasons, a JSON list in a string, or one word."""
    return next((reason for word in _words(value) if (reason := _reason(word))), None)


def _reason(word: str) -> FinishReason | None:
    # "FinishReason.STOP" and "FINISH_REASON_STOP" are how enums print
    word = word.rsplit(".", 1)[-1].removeprefix("finish_reason_")
    return None if word in _NOT_TOLD else _FINISH_REASON_OF.get(word, FinishReason.OTHER)


def _words(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        items = list(value)
    else:
        items = re.findall(r"[\w.-]+", value[:TEXT_MAX]) if isinstance(value, str) else []
    return [item.strip().lower().replace("-", "_") for item in items if isinstance(item, str)]
