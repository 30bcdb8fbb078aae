"""OpenLLMetry, by Traceloop: today on OpenTelemetry's names, in its early versions on names of its own."""

from dataclasses import replace

from ..calls import Operation
from .general import GENERAL_FACTS, OPERATION_NAME, OPERATIONS
from .tables import Dialect, Kinds

_TRACELOOP_KIND = Kinds("traceloop.span.kind", {"llm": Operation.CHAT, "embedding": Operation.EMBEDDINGS})

_NAMES_OF_BEDROCK = {"bedrock.completion": Operation.CHAT, "bedrock.converse": Operation.CHAT}

OPENLLMETRY_BEDROCK = Dialect(
    "openllmetry_bedrock",
    scopes=("opentelemetry.instrumentation.bedrock",),
    kinds=(_TRACELOOP_KIND, OPERATION_NAME, Kinds("llm.request.type", OPERATIONS)),
    # Early versions name the maker of the model as the provider, and tell nothing at all of calls that failed.
    facts=replace(GENERAL_FACTS, provider=()),
    names=_NAMES_OF_BEDROCK,
    provider="aws.bedrock",
    concludes=True,
    scopes_with_cache_beside=("bedrock",),
)
"""Calls of Bedrock, whoever's model they ask."""

OPENLLMETRY = Dialect(
    "openllmetry",
    marks=("gen_ai.is_streaming", "gen_ai.openai.api_base", "traceloop.span.kind", "traceloop.workflow.name"),
    scopes=("@traceloop/",),
    kinds=(_TRACELOOP_KIND, OPERATION_NAME, Kinds("llm.request.type", OPERATIONS)),
    facts=GENERAL_FACTS,
    concludes=True,
    tells_ends_of_streams=True,
    scopes_with_cache_beside=("bedrock", "@traceloop/instrumentation-anthropic"),
)

OPENLLMETRY_OLD = Dialect(
    "openllmetry_old",
    marks=("llm.request.type",),
    kinds=(_TRACELOOP_KIND, Kinds("llm.request.type", OPERATIONS)),
    facts=GENERAL_FACTS,
    scopes_with_cache_beside=OPENLLMETRY.scopes_with_cache_beside,
)
