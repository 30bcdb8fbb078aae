"""Spans to reports of calls: a table for each way of writing a call down, and one reader for all of them."""

from collections.abc import Iterable, Sequence

from ..calls import Call
from ..otlp import Span
from .general import GENERAL
from .genkit import GENKIT
from .google_adk import GOOGLE_ADK
from .haystack import HAYSTACK
from .kinds import NoCall
from .langfuse import LANGFUSE
from .langsmith import LANGSMITH
from .litellm import LITELLM
from .logfire import LOGFIRE
from .mlflow import MLFLOW
from .openinference import OPENINFERENCE, OPENINFERENCE_AGENTS
from .openlit import OPENLIT
from .openllmetry import OPENLLMETRY, OPENLLMETRY_BEDROCK, OPENLLMETRY_OLD
from .otel_genai import OTEL_GENAI, OTEL_GENAI_OLD
from .provider_sdks import ANTHROPIC_SDK, MISTRAL_SDK
from .reading import Report, read_span
from .strands import STRANDS
from .tables import Dialect
from .traceai import TRACEAI
from .vercel_ai import VERCEL_AI
from .vllm import VLLM

__all__ = ["DIALECTS", "Dialect", "NoCall", "Report", "dialect_of", "examine", "is_worth_a_look", "read"]

DIALECTS: Sequence[Dialect] = (
    VERCEL_AI,
    LANGFUSE,
    LANGSMITH,
    MLFLOW,
    OPENINFERENCE_AGENTS,
    OPENINFERENCE,
    TRACEAI,
    LITELLM,
    LOGFIRE,
    STRANDS,
    OPENLIT,
    GOOGLE_ADK,
    HAYSTACK,
    GENKIT,
    VLLM,
    ANTHROPIC_SDK,
    MISTRAL_SDK,
    OPENLLMETRY_BEDROCK,
    OPENLLMETRY,
    OPENLLMETRY_OLD,
    OTEL_GENAI,
    OTEL_GENAI_OLD,
)
"""All dialects, the most telling first: the first that claims a span reads it."""

BEGINNINGS = (
    "gen_ai.",
    "llm.",
    "ai.",
    "openinference.",
    "langfuse.",
    "langsmith.",
    "mlflow.",
    "litellm.",
    "haystack.",
    "genkit:",
    "lmnr.",
    "traceloop.",
    "gcp.vertex.agent.",
    "embedding.",
)
"""How the attributes begin that make a span worth a closer look. Most spans of an application have none."""

SCOPES = tuple(scope for dialect in DIALECTS for scope in dialect.scopes)
"""How the scopes begin whose spans are looked at whatever attributes they have."""

_NOTHING = NoCall("it has no attributes that spans of calls have")


def examine(span: Span) -> Report | NoCall:
    """What the span reports of a call, not priced yet, or why it reports none."""
    if not is_worth_a_look(span.scope, span.attributes):
        return _NOTHING
    return read_span(span, dialect_of(span))


def read(span: Span) -> Call | None:
    """The call that the span reports, not priced yet; ``None`` when it reports none."""
    found = examine(span)
    return found.call if isinstance(found, Report) else None


def is_worth_a_look(scope: str, keys: Iterable[str]) -> bool:
    """Whether a span of this scope, with attributes of these names, may be a call at all."""
    return any(key.startswith(BEGINNINGS) for key in keys) or scope.startswith(SCOPES)


def dialect_of(span: Span) -> Dialect:
    """The dialect in which the span is read."""
    attributes, scope = span.attributes, span.scope
    for dialect in DIALECTS:
        if any(mark in attributes for mark in dialect.marks) or scope.startswith(tuple(dialect.scopes)):
            return dialect
    return GENERAL
