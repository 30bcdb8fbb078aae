"""The one reader of all dialects: a span and a dialect's table to a report of a call, or to why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from ..calls import Call, CostBasis, Operation
from ..otlp import Span
from .answers import Answer, read_answer
from .counts import cached_tokens, output_tokens, reasoning_tokens, usage_of, written_tokens
from .documents import parse
from .failures import Outcome, failure_of
from .kinds import Kind, NoCall, asks_embedding_model, concluded, kind_of
from .models import Models
from .streams import stream_of
from .tables import Dialect, Place
from .told import Told, of_answer
from .values import finish_reason, provider, provider_of_model, provider_of_scope, seconds, text


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


def read_span(span: Span, dialect: Dialect) -> Report | NoCall:
    """The report of the span in this dialect, or why there is none."""
    kind = kind_of(span, dialect)
    if isinstance(kind, NoCall):
        return kind
    told = Told(span)
    operation = kind.operation or concluded(told, dialect)
    if operation is None:
        return NoCall("it does not say that it is a call, and tells nothing that only calls have")
    told.sources["operation"] = kind.source
    return _report(told, dialect, operation, kind)


def _report(told: Told, dialect: Dialect, operation: Operation, kind: Kind) -> Report:
    span, facts = told.span, dialect.facts
    answer = answer_of(told, dialect)
    usage = usage_of(told, dialect).filled_from(answer.usage)
    if not usage.output and asks_embedding_model(told, dialect):
        operation = Operation.EMBEDDINGS
    is_ending = (
        dialect.log_kind is not None and span.attributes.get(dialect.log_kind[0]) == dialect.log_kind[1]
    )
    finish = told.find("finish_reason", facts.finish_reason, finish_reason) or of_answer(
        told, "finish_reason", answer.finish
    )
    response_id = _response_id(told, dialect) or of_answer(told, "response_id", answer.id)
    is_stream = is_ending or answer.is_chunked or kind.value in dialect.streams
    streaming, ttft_s = stream_of(told, dialect, is_stream)
    has_begun = bool(streaming) and (is_ending or ttft_s is not None)
    failure = failure_of(told, dialect, Outcome(finish, usage, response_id, has_begun))
    provider_name = told.find("provider", facts.provider, provider)
    provider_name = provider_name or told.find("provider", facts.provider_of_model, provider_of_model)
    provider_name = provider_name or dialect.provider or provider_of_scope(span.scope)
    models = Models(told, dialect, operation, provider_name, response_id)
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
            cached_input_tokens=cached_tokens(operation, usage),
            cache_write_input_tokens=written_tokens(provider_name, usage),
            output_tokens=output_tokens(operation, usage),
            reasoning_tokens=reasoning_tokens(provider_name, usage),
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


def answer_of(told: Told, dialect: Dialect) -> Answer:
    """What the documents with the provider's answer say, the first that says anything."""
    for place in dialect.facts.answers:
        document = told.find("answer", (place,), _document)
        if document is not None and (answer := read_answer(document)) != Answer():
            return answer
    return Answer()


def _document(raw: object) -> object:
    parsed = parse(raw)
    return parsed if isinstance(parsed, dict | list) else None


def _response_id(told: Told, dialect: Dialect) -> str | None:
    found = told.find("response_id", dialect.facts.response_id, text)
    if found and any(told.span.attributes.get(key) == found for key in dialect.ids_made_up):
        told.sources.pop("response_id")
        return None
    return found


def _prompt(span: Span, dialect: Dialect) -> int | None:
    """A number in place of the prompt, which is not kept: the same in every process."""
    written = span.attributes.get(dialect.prompt) if dialect.prompt else None
    if not isinstance(written, str):
        return None
    return int.from_bytes(blake2b(written.encode(errors="replace"), digest_size=7).digest())
