"""Ways to ask a model endpoint: one file for each API, and one line for each kind of endpoint in ``PROVIDERS``."""

from collections.abc import Callable, Mapping

from ..clock import Clock
from ..config import TargetConfig
from .anthropic import AnthropicProvider
from .base import Answer, ChatRequest, Provider, RequestFailed, Sender
from .gemini import GeminiProvider
from .openai import OpenAIProvider
from .openai_responses import ResponsesProvider

__all__ = ["PROVIDERS", "Answer", "ChatRequest", "Provider", "RequestFailed", "Sender", "build_provider"]

PROVIDERS: Mapping[str, Callable[[TargetConfig, Clock], Provider]] = {
    "openai": OpenAIProvider,
    "openai_responses": ResponsesProvider,
    "anthropic": AnthropicProvider,
    "gemini": GeminiProvider,
    "azure": OpenAIProvider,
    "vllm": OpenAIProvider,
    "ollama": OpenAIProvider,
    "litellm": OpenAIProvider,
    "openrouter": OpenAIProvider,
}


def build_provider(target: TargetConfig, clock: Clock) -> Provider:
    """What asks the endpoint of ``target``. It alone holds the address, the key and the headers."""
    return PROVIDERS[target.provider](target, clock)
