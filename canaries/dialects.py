"""What tells one kind of endpoint from the next, in one table: addresses, keys, names of parameters, abilities.

The four APIs have a file each in ``providers``; everything in which the endpoints of one API differ is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "maxOutputTokens")
"""How APIs call the most tokens that an answer may have."""

STOPS = ("stop", "stop_sequences", "stopSequences")
"""How APIs call the texts at which an answer ends."""

ProviderName = Literal[
    "openai",
    "openai_responses",
    "anthropic",
    "gemini",
    "azure",
    "vllm",
    "ollama",
    "litellm",
    "openrouter",
]

PHOTO_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""The kinds of pictures that a suite may hold. Animations are seen by few models, and mostly their first frame."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of endpoint.

    ``limits`` and ``stop`` are its own names of those parameters, the first one for what was written in another
    API's word. ``fingerprint`` is the field of the answer that tells the backend, ``fingerprint_header`` the header
    that does where no field tells. ``rate_limits`` pairs the headers that tell what is left with those that tell
    when there will be more.
    """

    title: str
    base_url: str
    path: str
    limits: tuple[str, ...]
    stop: str | None = "stop"
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    headers: Mapping[str, str] | None = None
    has_logprobs: bool = True
    has_seed: bool = True
    has_tool_choice: bool = True
    fetches_images: bool = True
    image_types: tuple[str, ...] = PHOTO_TYPES
    fingerprint: str = "system_fingerprint"
    fingerprint_header: str = ""
    rate_limits: tuple[tuple[str, str], ...] = ()


_CHAT = "/chat/completions"
_OPENAI_LIMITS = tuple(
    (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}") for what in ("requests", "tokens")
)
_ANTHROPIC_LIMITS = tuple(
    (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset")
    for what in ("requests", "tokens", "input-tokens", "output-tokens")
)
# OpenAI's newer models refuse `max_tokens`, and servers that follow its API often know nothing else.
_NEW_FIRST = ("max_completion_tokens", "max_tokens")
_OLD_FIRST = ("max_tokens", "max_completion_tokens")

DIALECTS: Mapping[str, Dialect] = {
    "openai": Dialect(
        "OpenAI chat completions", "https://api.openai.com/v1", _CHAT, _NEW_FIRST, rate_limits=_OPENAI_LIMITS
    ),
    "openai_responses": Dialect(
        "OpenAI responses",
        "https://api.openai.com/v1",
        "/responses",
        ("max_output_tokens",),
        stop=None,
        has_seed=False,
        rate_limits=_OPENAI_LIMITS,
    ),
    "anthropic": Dialect(
        "Anthropic messages",
        "https://api.anthropic.com/v1",
        "/messages",
        ("max_tokens",),
        stop="stop_sequences",
        key_header="x-api-key",
        key_prefix="",
        # The version of October 2026 takes no temperature; who wants it says so in the target's `headers`.
        headers={"anthropic-version": "2023-06-01"},
        has_logprobs=False,
        has_seed=False,
        rate_limits=_ANTHROPIC_LIMITS,
    ),
    "gemini": Dialect(
        "Gemini generateContent",
        "https://generativelanguage.googleapis.com/v1beta",
        ":generateContent",
        ("maxOutputTokens",),
        stop="stopSequences",
        key_header="x-goog-api-key",
        key_prefix="",
        image_types=("image/png", "image/jpeg", "image/webp"),
    ),
    # The deployment is the model, or stands in the address: .../openai/deployments/NAME?api-version=...
    "azure": Dialect(
        "Azure OpenAI", "", _CHAT, _NEW_FIRST, key_header="api-key", key_prefix="", rate_limits=_OPENAI_LIMITS
    ),
    "vllm": Dialect("vLLM", "http://127.0.0.1:8000/v1", _CHAT, _OLD_FIRST),
    "ollama": Dialect(
        "Ollama",
        "http://127.0.0.1:11434/v1",
        _CHAT,
        ("max_tokens",),
        has_tool_choice=False,
        fetches_images=False,
    ),
    # Its answers name the model as the client calls it; the header names the deployment behind that.
    "litellm": Dialect(
        "LiteLLM", "http://127.0.0.1:4000", _CHAT, _OLD_FIRST, fingerprint_header="x-litellm-model-id"
    ),
    # One model is sold by several companies behind it, each with a quantisation of its own: that is its backend.
    "openrouter": Dialect(
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        _CHAT,
        _OLD_FIRST,
        fingerprint="provider",
        rate_limits=(("x-ratelimit-remaining", "x-ratelimit-reset"),),
    ),
}
"""The kinds of endpoints, by the name that a target's ``provider`` has."""


def spelled(parameters: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The parameters in the dialect's own words, so that one suite can be asked anywhere; others stay as they are."""
    words: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in LIMITS and name not in dialect.limits:
            words[dialect.limits[0]] = value
        elif name in STOPS and dialect.stop is not None and name != dialect.stop:
            words[dialect.stop] = [value] if isinstance(value, str) else value
        else:
            words[name] = value
    return words
