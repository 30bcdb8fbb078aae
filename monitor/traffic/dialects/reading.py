"""The one reader of all dialects: a span and a dialect's table to a report of a call, or to why there is none."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from ..calls import Call, CostBasis, ErrorClass, FinishReason, Operation
from ..otlp import Event, Span
from . import errors
from .answers import Answer, read_answer
from .documents import dig, parse
from .tables import Clock, Dialect, FirstToken, Place
from .usage import Usage, complete, read_usage, whole
from .values import count, finish_reason, flag, provider, provider_of_model, seconds, text, unix_seconds

Value = TypeVar("Value")

FIRST_TOKEN_SLACK_S = 0.1
"""How much later than the end of its span a first token may lie: clocks and rounding."""

_TOOL_MARKS = ("gen_ai.tool.name", "gen_ai.tool.call.id", "tool.name")
_CONTAINER_NAME = re.compile(
    r"agent|workflow|\btool|chain|\btask\b|pipeline|\bstep\b|\bturn\b|session|retriev|rerank|guardrail|memory"
    r"|raw_gen_ai_request",
    re.IGNORECASE,
)
_EMBEDDING_NAME = re.compile(r"embed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Report:
    """What one span reports of a call.

    ``emitter`` is who wrote the span, ``is_first_hand`` that it spoke with the provider itself, ``is_declared``
    that the span says itself that it is a call. A report that ``is_ending`` tells the end of a stream whose
    beginning is another span; ``prompt`` tells which. ``sources`` names the attribute that gave each fact.
    """

    call: Call
    parent_span_id: str
    emitter: str
    is_first_hand: bool
    is_declared: bool
    is_ending: bool
    prompt: int | None
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoCall:
    """Why a span is no call."""

    why: str


def read_span(span: Span, dialect: Dialect) -> Report | NoCall:
    """The report of the span in this dialect, or why there is none."""
    kind = _kind(span, dialect)
    if isinstance(kind, NoCall):
        return kind
    told = Told(span)
    operation = kind.operation or _concluded(told, dialect)
    if operation is None:
        return NoCall("it does not say that it is a call, and tells nothing that only calls have")
    told.sources["operation"] = kind.source
    return _report(told, dialect, operation, kind)


@dataclass(frozen=True, slots=True)
class _Kind:
    operation: Operation | None
    value: str = ""
    source: str = "concluded: it tells what only calls have"


def _kind(span: Span, dialect: Dialect) -> _Kind | NoCall:
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
            return _Kind(kinds.calls[value], value, kinds.key)
        if kinds.is_final or value in kinds.containers:
            return NoCall(f"{kinds.key} is {written}: it wraps calls, or is none")
    if span.name in dialect.names:
        return _Kind(dialect.names[span.name], source="the name of the span")
    return _Kind(None)


def _concluded(told: "Told", dialect: Dialect) -> Operation | None:
    """The operation of a span that does not say what it is, when it tells what only calls have."""
    span, facts = told.span, dialect.facts
    if not dialect.concludes or _CONTAINER_NAME.search(span.name):
        return None
    if any(mark in span.attributes for mark in _TOOL_MARKS):
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


def _operation_by_name(span: Span) -> Operation:
    hints = [span.name, *(str(span.attributes.get(key, "")) for key in ("http.url", "url.full", "url.path"))]
    return Operation.EMBEDDINGS if any(map(_EMBEDDING_NAME.search, hints)) else Operation.CHAT


class Told:
    """What a span tells; remembers what gave each fact, and the documents that it parsed."""

    def __init__(self, span: Span) -> None:
        """Start with nothing looked up."""
        self.span = span
        self.sources: dict[str, str] = {}
        self._documents: dict[str, object] = {}

    def find(
        self, fact: str, where: Sequence[Place], convert: Callable[[object], Value | None]
    ) -> Value | None:
        """The first of the places that holds something which ``convert`` can read."""
        attributes = self.span.attributes
        for place in where:
            raw = self._deep(place) if place.is_deep else attributes.get(place.key)
            if raw is None:
                continue
            value = convert(raw)
            if value is not None:
                self.sources[fact] = place.written
                return value
        return None

    def _deep(self, place: Place) -> object:
        attributes, path = self.span.attributes, place.path
        if place.is_event:
            event = last_event(self.span.events, place.key)
            if event is None or not path:
                return None
            attributes, key, path = event.attributes, path[0], path[1:]
            return dig(attributes.get(key), path)
        if place.key.endswith(".*"):
            prefix = place.key.removesuffix("*")
            return {key[len(prefix) :]: raw for key, raw in attributes.items() if key.startswith(prefix)}
        if place.key not in attributes:
            return None
        if place.key not in self._documents:
            self._documents[place.key] = parse(attributes[place.key])
        return dig(self._documents[place.key], path)


def last_event(events: Sequence[Event], name: str) -> Event | None:
    """The last event of the name."""
    return next((event for event in reversed(events) if event.name == name), None)


def _report(told: Told, dialect: Dialect, operation: Operation, kind: _Kind) -> Report:
    span, facts = told.span, dialect.facts
    answer = _answer(told, dialect)
    usage = _usage(told, dialect).filled_from(answer.usage)
    is_ending = (
        dialect.log_kind is not None and span.attributes.get(dialect.log_kind[0]) == dialect.log_kind[1]
    )
    finish = told.find("finish_reason", facts.finish_reason, finish_reason) or _of(
        told, "finish_reason", answer.finish
    )
    response_id = _response_id(told, dialect) or _of(told, "response_id", answer.id)
    streaming, ttft_s = _stream(told, dialect, kind, answer, is_ending)
    has_begun = bool(streaming) and (is_ending or ttft_s is not None)
    failure = _failure(told, dialect, _Outcome(finish, usage, response_id, has_begun))
    provider_name = told.find("provider", facts.provider, provider)
    provider_name = provider_name or told.find("provider", facts.provider_of_model, provider_of_model)
    provider_name = provider_name or dialect.provider
    models = _Models(told, dialect, operation, provider_name, response_id)
    request_model, response_model = models.read(answer, failure is not None and not has_begun)
    duration_s = span.duration_s
    if is_ending:
        duration_s = told.find("duration_s", _one(dialect.log_duration), seconds) or duration_s
    return Report(
        call=Call(
            operation=operation,
            provider=provider_name,
            request_model=request_model,
            response_model=response_model,
            response_id=response_id,
            input_tokens=usage.input,
            cached_input_tokens=_cached(operation, usage),
            cache_write_input_tokens=_written(provider_name, usage),
            output_tokens=_output(operation, usage),
            reasoning_tokens=_reasoning(provider_name, usage),
            error=failure is not None,
            error_class=failure[0] if failure else None,
            http_status=failure[1] if failure else None,
            finish_reason=finish,
            streaming=streaming,
            ttft_s=ttft_s,
            duration_s=duration_s,
            session_id=told.find("session_id", facts.session, text),
            service_name=text(span.resource.get("service.name")),
            service_version=text(span.resource.get("service.version"))
            or told.find("service_version", facts.service_version, text),
            environment=text(span.resource.get("deployment.environment.name"))
            or text(span.resource.get("deployment.environment"))
            or told.find("environment", facts.environment, text),
            cost_usd=None,
            cost_basis=CostBasis.UNPRICED,
            dialect=dialect.name,
            span_ids=(span.span_id,),
            trace_id=span.trace_id,
            started_at=span.end_ns / 1e9 - duration_s if is_ending else span.start_ns / 1e9,
            ended_at=span.end_ns / 1e9,
        ),
        parent_span_id=span.parent_span_id,
        emitter=span.scope,
        is_first_hand=dialect.is_first_hand,
        is_declared=kind.operation is not None,
        is_ending=is_ending,
        prompt=_prompt(span, dialect),
        sources=told.sources,
    )


def _one(key: str) -> tuple[Place, ...]:
    return (Place(key, key),) if key else ()


def _of(told: Told, fact: str, value: Value | None) -> Value | None:
    if value is not None:
        told.sources[fact] = told.sources.get("answer", "")
    return value


def _answer(told: Told, dialect: Dialect) -> Answer:
    """What the documents with the provider's answer say, the first that says anything."""
    for place in dialect.facts.answers:
        document = told.find("answer", (place,), _document)
        if document is not None and (answer := read_answer(document)) != Answer():
            return answer
    return Answer()


def _document(raw: object) -> object:
    parsed = parse(raw)
    return parsed if isinstance(parsed, dict | list) else None


def _usage(told: Told, dialect: Dialect) -> Usage:
    facts = dialect.facts
    written = Usage()
    for place in facts.usage:
        written = written.filled_from(told.find("usage", (place,), _read_usage) or Usage())
    flat = Usage(
        told.find("input_tokens", facts.input, count),
        _part(told, "cached_input_tokens", facts.cached),
        _part(told, "cache_write_input_tokens", facts.written),
        told.find("output_tokens", facts.output, count),
        _part(told, "reasoning_tokens", facts.reasoning),
    )
    is_beside = any(part in told.span.scope for part in dialect.scopes_with_cache_beside)
    flat = whole(flat, told.find("total", facts.total, count), is_beside)
    return complete(written.filled_from(flat))


def _read_usage(raw: object) -> Usage | None:
    usage = read_usage(parse(raw))
    return None if usage.is_empty else usage


_PART_NAMES = {
    "cached_input_tokens": re.compile(r"(?=.*cache)(?!.*(writ|creat|cost|audio)).*(read|cached|hit)"),
    "cache_write_input_tokens": re.compile(r"(?=.*cache)(?!.*(cost|ephemeral|audio)).*(writ|creat)"),
    "reasoning_tokens": re.compile(r"(?!.*cost).*(reason|thought|thinking)"),
}
_USAGE_PREFIXES = ("gen_ai.usage.", "llm.usage.", "llm.token_count.", "ai.usage.")


def _part(told: Told, fact: str, where: Sequence[Place]) -> int | None:
    """A part of the tokens: from its places, else by the words in its name, where no table knows the name."""
    found = told.find(fact, where, count)
    if found is not None:
        return found
    for key, raw in told.span.attributes.items():
        if key.startswith(_USAGE_PREFIXES) and _PART_NAMES[fact].match(key.lower()):
            number = count(raw)
            if number is not None:
                told.sources[fact] = key
                return number
    return None


def _output(operation: Operation, usage: Usage) -> int | None:
    # Some write a 0 for embeddings, which have no output to count.
    return usage.output or None if operation is Operation.EMBEDDINGS else usage.output


def _cached(operation: Operation, usage: Usage) -> int | None:
    # The same with the cache, which embeddings do not go through.
    return usage.cached or None if operation is Operation.EMBEDDINGS else usage.cached


_COUNTING_WRITES = ("anthropic", "aws.bedrock", None)


def _written(provider_name: str | None, usage: Usage) -> int | None:
    # Libraries write a 0 for providers that do not tell what they wrote to their caches.
    return usage.written if provider_name in _COUNTING_WRITES else usage.written or None


_NOT_COUNTING_REASONING = ("anthropic", "aws.bedrock")


def _reasoning(provider_name: str | None, usage: Usage) -> int | None:
    # Who does not count reasoning has not said that there was none.
    return usage.reasoning or None if provider_name in _NOT_COUNTING_REASONING else usage.reasoning


def _response_id(told: Told, dialect: Dialect) -> str | None:
    found = told.find("response_id", dialect.facts.response_id, text)
    if found and any(told.span.attributes.get(key) == found for key in dialect.ids_made_up):
        told.sources.pop("response_id")
        return None
    return found


_ALIASING = ("openai", "anthropic", "azure.ai.openai")
"""Providers that answer an alias with the dated name of the model behind it."""


@dataclass(frozen=True, slots=True)
class _Models:
    """What is needed to tell the model that was asked for from the one that answered."""

    told: Told
    dialect: Dialect
    operation: Operation
    provider: str | None
    response_id: str | None

    def read(self, answer: Answer, is_refused: bool) -> tuple[str | None, str | None]:
        """The model that was asked for, and the one that answered."""
        told, facts = self.told, self.dialect.facts
        asked = told.find("request_model", facts.request_model, text)
        answered = told.find("response_model", facts.response_model, text)
        answered = answered or _of(told, "response_model", answer.model)
        if answered is None and is_refused:
            asked = asked or told.find("request_model", facts.outcome_model, text)
        elif answered is None:
            answered = told.find("response_model", facts.outcome_model, text)
            answered = None if self._is_echo(asked, answered, self.provider in _ALIASING) else answered
        if self._is_echo(asked, answered, self.dialect.echoes_request_model or is_refused):
            answered = None
        asked = self._without_provider(asked, answered)
        if self.operation is Operation.EMBEDDINGS and not is_refused:
            # No aliases, no fallbacks: embeddings of two models do not go together.
            return asked or answered, answered or asked
        return asked, answered

    def _is_echo(self, asked: str | None, answered: str | None, may_be: bool) -> bool:
        """Without an answer's id, the same name again is not known to be the answer's."""
        return may_be and answered is not None and answered == asked and self.response_id is None

    def _without_provider(self, asked: str | None, answered: str | None) -> str | None:
        """The model without the provider that LiteLLM's users write in front of it."""
        prefix, _, model = (asked or "").partition("/")
        is_provider = provider(prefix) == self.provider if self.provider else model == answered
        return model if model and is_provider else asked


def _stream(
    told: Told, dialect: Dialect, kind: _Kind, answer: Answer, is_ending: bool
) -> tuple[bool | None, float | None]:
    """Whether the call was a stream, and when its first token came."""
    streaming = told.find("streaming", dialect.facts.streaming, flag)
    if is_ending or answer.is_chunked or kind.value in dialect.streams:
        streaming = True
    for place in dialect.facts.first_token:
        ttft_s = _first_token_s(told, place)
        if ttft_s is not None:
            if dialect.tells_first_token_of_all and not streaming:
                return streaming, None
            return True if streaming is None else streaming, ttft_s
    return streaming, None


def _first_token_s(told: Told, first: FirstToken) -> float | None:
    span, place = told.span, first.place
    if first.clock is Clock.EVENT:
        event = next((one for one in span.events if one.name == place.key), None)
        if event is None:
            return None
        told.sources["ttft_s"] = f"@{place.written}"
        found: float | None = (event.at_ns - span.start_ns) / 1e9
    elif first.clock is Clock.MOMENT:
        at = told.find("ttft_s", (place,), unix_seconds)
        found = None if at is None else at - span.start_ns / 1e9
    else:
        found = told.find("ttft_s", (place,), seconds)
        if found is not None and _is_milliseconds(first.clock, found, span):
            found /= 1000
    is_possible = found is not None and 0 <= found <= span.duration_s + FIRST_TOKEN_SLACK_S
    return found if is_possible else None


def _is_milliseconds(clock: Clock, found: float, span: Span) -> bool:
    if clock is Clock.EITHER:
        return found > span.duration_s + FIRST_TOKEN_SLACK_S
    return clock is Clock.MILLISECONDS


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came back, as far as it is told; ``has_begun``: the beginning of a stream did."""

    finish: FinishReason | None
    usage: Usage
    response_id: str | None
    has_begun: bool

    @property
    def is_answered(self) -> bool:
        return bool(self.usage.output) or self.finish is not None


def _failure(told: Told, dialect: Dialect, outcome: _Outcome) -> tuple[ErrorClass, int | None] | None:
    """The class of the error and its HTTP status, when the call failed."""
    span, facts = told.span, dialect.facts
    if not _is_failed(told, dialect, outcome):
        told.sources.pop("error", None)
        if dialect.tells_ends_of_streams and outcome.has_begun and not outcome.is_answered:
            told.sources["error"] = "concluded: the stream began, and nothing tells of its end"
            return ErrorClass.CONNECTION, None
        return None
    told.sources.setdefault("error", "status" if span.is_error else "exception event")
    error_class, status = errors.classify(
        span, _texts(told, facts.error_types), _texts(told, facts.error_messages)
    )
    if _is_aftermath(outcome, error_class, status):
        told.sources.pop("error")
        return None
    return error_class, status


def _is_aftermath(outcome: _Outcome, error_class: ErrorClass, status: int | None) -> bool:
    """The provider did answer: a library calls an answer an error that was cut at its limit, or that it cannot use."""
    if not outcome.usage.output or outcome.finish is None or status is not None:
        return False
    return outcome.finish is FinishReason.LENGTH or error_class is ErrorClass.OTHER


def _is_failed(told: Told, dialect: Dialect, outcome: _Outcome) -> bool:
    """The span says that the call failed."""
    span, facts = told.span, dialect.facts
    kind = told.find("error", facts.error_types, text)
    said = told.find("error", facts.failed, text)
    if span.is_error or (kind is not None and "error.type" in span.attributes):
        return True
    if said is not None and said.lower() in ("error", "failed", "failure"):
        return True
    # An exception that was caught by a retry is on the spans of calls that were answered, too.
    is_raised = any(event.name == "exception" for event in span.events)
    return is_raised and not outcome.is_answered and outcome.response_id is None


def _texts(told: Told, where: Sequence[Place]) -> list[str]:
    return [str(found) for place in where if (found := told.find("", (place,), _any)) is not None]


def _any(raw: object) -> str | None:
    return raw if isinstance(raw, str) else str(raw) if isinstance(raw, int | float) else None


def _prompt(span: Span, dialect: Dialect) -> int | None:
    """A number in place of the prompt, which is not kept: the same in every process."""
    written = span.attributes.get(dialect.prompt) if dialect.prompt else None
    if not isinstance(written, str):
        return None
    return int.from_bytes(blake2b(written.encode(errors="replace"), digest_size=7).digest())
