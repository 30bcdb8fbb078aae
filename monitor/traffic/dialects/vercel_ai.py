"""Vercel's AI SDK up to version 6; from version 7 on it speaks OpenTelemetry's conventions."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Dialect, Facts, Kinds, places

VERCEL_AI = Dialect(
    "vercel_ai",
    marks=("ai.operationId",),
    kinds=(
        # generateText and its like wrap one do... for each step, and repeat the tokens of the last one.
        Kinds(
            "ai.operationId",
            {"dogenerate": Operation.CHAT, "dostream": Operation.CHAT, "doembed": Operation.EMBEDDINGS},
            after=".",
        ),
    ),
    facts=Facts(
        provider=places("ai.model.provider", "gen_ai.system"),
        response_model=places("ai.response.model", "gen_ai.response.model"),
        outcome_model=places("ai.model.id"),
        answers=places("ai.response.providerMetadata"),
    ).before(GENERAL_FACTS),
    streams=frozenset({"dostream"}),
)
