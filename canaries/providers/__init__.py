"""Ways to ask a model endpoint: one file for each dialect, and one line in ``PROVIDERS``."""

from collections.abc import Callable, Mapping

from ..clock import Clock
from ..config import TargetConfig
from .base import Answer, ChatRequest, Provider, RequestFailed
from .openai import OpenAIProvider

__all__ = ["PROVIDERS", "Answer", "ChatRequest", "Provider", "RequestFailed", "build_provider"]

PROVIDERS: Mapping[str, Callable[[TargetConfig, Clock], Provider]] = {
    "openai": OpenAIProvider.of,
}


def build_provider(target: TargetConfig, clock: Clock) -> Provider:
    """What asks the endpoint of ``target``. It alone holds the address, the key and the headers."""
    return PROVIDERS[target.provider](target, clock)
