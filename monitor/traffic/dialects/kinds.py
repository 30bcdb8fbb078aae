"""What a span is: a call, by its own word or by what it tells, or something else."""

import re
from dataclasses import dataclass

from ..calls import Operation
from ..otlp import Span
from .tables import Dialect
from .told import Told
from .values import count, finish_reason, text


@dataclass(frozen=True, slots=True)
class NoCall:
    """Why a span is no call."""

    why: str


TOOL_MARKS = ("gen_ai.tool.name", "gen_ai.tool.call.id", "tool.name")
ADDRESSES = ("http.url", "url.full", "url.path")


_CONTAINER_NAME = re.compile(
    r"agent|workflow|\btool|chain|\btask\b|pipeline|\bstep\b|\bturn\b|session|retriev|rerank|guardrail|memory"
    r"|raw_gen_ai_request",
    re.IGNORECASE,
)


_EMBEDDING_NAME = re.compile(r"embed", re.IGNORECASE)


NAME_OF_SPAN = "the name of the span"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a span is, and what told it; without an operation it does not say."""

    operation: Operation | None
    value: str = ""
    source: str = "concluded: it tells what only calls have"


def kind_of(span: Span, dialect: Dialect) -> Kind | NoCall:
    """What the span says that it is."""
    for kinds in dialect.kinds:
        written = text(span.attributes.get(kinds.key))
        if written is None:
            continue
        value = written.lower()
        if kinds.after:
            value = value.rsplit(kinds.after, 1)[-1]
        if kinds.is_ending:
            value = next((ending for ending in kinds.calls if value.endswith(ending)), value)
        if value in kinds.calls:
            return Kind(kinds.calls[value], value, kinds.key)
        if kinds.is_final or value in kinds.containers:
            return NoCall(f"{kinds.key} is {written}: it wraps calls, or is none")
    name = span.name.partition(" ")[0]
    return Kind(dialect.names[name], source=NAME_OF_SPAN) if name in dialect.names else Kind(None)


def concluded(told: "Told", dialect: Dialect) -> Operation | None:
    """The operation of a span that does not say what it is, when it tells what only calls have."""
    span, facts = told.span, dialect.facts
    if not dialect.concludes or _CONTAINER_NAME.search(span.name):
        return None
    if any(mark in span.attributes for mark in TOOL_MARKS):
        return None
    if told.find("", (*facts.request_model, *facts.response_model), text) is None:
        return None
    if dialect.is_first_hand:  # it asks the provider, and does nothing else
        return _operation_by_name(span)
    evidence = (
        told.find("", (*facts.input, *facts.output), count),
        told.find("", facts.response_id, text),
        told.find("", facts.finish_reason, finish_reason),
        dialect.provider or told.find("", facts.provider, text) if span.is_error else None,
    )
    if all(one is None for one in evidence):
        return None
    return _operation_by_name(span)


def asks_embedding_model(told: "Told", dialect: Dialect) -> bool:
    """Whether a model was asked that does nothing but embed.

    Where all models are asked in one way, as on Bedrock, libraries call that a completion of any of them.
    """
    facts = dialect.facts
    model = told.find("", (*facts.request_model, *facts.response_model, *facts.outcome_model), text)
    return model is not None and _EMBEDDING_NAME.search(model) is not None


def _operation_by_name(span: Span) -> Operation:
    hints = [span.name, *(str(span.attributes.get(key, "")) for key in ADDRESSES)]
    return Operation.EMBEDDINGS if any(map(_EMBEDDING_NAME.search, hints)) else Operation.CHAT
