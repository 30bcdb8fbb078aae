"""OpenLLMetry, by Traceloop: today on OpenTelemetry's names, in its early versions on names of its own."""

from ..calls import Operation
from .general import GENERAL_FACTS, OPERATION_NAME, OPERATIONS
from .tables import Dialect, Kinds

_TRACELOOP_KIND = Kinds("traceloop.span.kind", {"llm": Operation.CHAT, "embedding": Operation.EMBEDDINGS})

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
