"""The SDKs of Langfuse, which export what they trace as spans."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Clock, Dialect, Facts, Kinds, first_token, places

LANGFUSE = Dialect(
    "langfuse",
    marks=("langfuse.observation.type",),
    kinds=(
        Kinds("langfuse.observation.type", {"generation": Operation.CHAT, "embedding": Operation.EMBEDDINGS}),
    ),
    facts=Facts(
        provider=places(
            "langfuse.observation.metadata.ls_provider", "langfuse.observation.metadata > ls_provider"
        ),
        request_model=places(
            "langfuse.observation.metadata.ls_model_name", "langfuse.observation.metadata > ls_model_name"
        ),
        outcome_model=places("langfuse.observation.model.name"),
        finish_reason=places(
            "langfuse.observation.metadata.finish_reason",
            "langfuse.observation.metadata > finish_reason",
            "langfuse.observation.metadata > finishReason",
        ),
        streaming=places("langfuse.observation.model.parameters > stream"),
        session=places("session.id", "langfuse.session.id", "langfuse.observation.metadata.session_id"),
        service_version=places("langfuse.release", "langfuse.version"),
        environment=places("langfuse.environment"),
        first_token=first_token(Clock.MOMENT, "langfuse.observation.completion_start_time"),
        usage=places("langfuse.observation.usage_details"),
        answers=places("langfuse.observation.output", "langfuse.observation.metadata.*"),
        failed=places("langfuse.observation.level"),
        error_messages=places("langfuse.observation.status_message"),
    ).before(GENERAL_FACTS),
    tells_ends_of_streams=True,
)
