"""Haystack's own tracing: a span for each component, some of which call a model."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Dialect, Facts, Kinds, places

_ENDINGS = {
    "chatgenerator": Operation.CHAT,
    "generator": Operation.CHAT,
    "textembedder": Operation.EMBEDDINGS,
    "documentembedder": Operation.EMBEDDINGS,
}
_MAKERS = {
    "openai": "openai",
    "azureopenai": "azure.ai.openai",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "mistral": "mistral_ai",
    "googleai": "gcp.gemini",
    "googlegenai": "gcp.gemini",
    "amazonbedrock": "aws.bedrock",
    "ollama": "ollama",
    "huggingfaceapi": "hugging_face",
}

HAYSTACK = Dialect(
    "haystack",
    marks=("haystack.component.type",),
    kinds=(
        Kinds(
            "haystack.component.type",
            {maker + ending: operation for maker in _MAKERS for ending, operation in _ENDINGS.items()},
        ),
    ),
    facts=Facts(
        answers=places("haystack.component.output"),
    ).before(GENERAL_FACTS),
)
