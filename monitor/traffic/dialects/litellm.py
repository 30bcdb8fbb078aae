"""LiteLLM's own ``otel`` callback."""

from .general import GENERAL_FACTS, OPERATION_NAME, OPERATIONS
from .tables import Dialect, Facts, Kinds, places

LITELLM = Dialect(
    "litellm",
    marks=("litellm.call_id", "litellm.provider.model"),
    scopes=("litellm",),
    kinds=(OPERATION_NAME, Kinds("llm.request.type", OPERATIONS)),
    facts=Facts(
        provider_of_model=places("litellm.provider.model"),
        usage=places("metadata.usage_object"),
        error_types=places("error.type", "metadata.error_information > error_class"),
    ).before(GENERAL_FACTS),
    ids_made_up=("litellm.call_id",),
    echoes_request_model=True,
)
