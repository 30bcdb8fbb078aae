"""The OpenTelemetry conventions for generative AI, from 1.26 to those of today."""

from ..calls import Call, CostBasis, Operation
from ..otlp import Span
from . import errors
from .values import count, finish_reason, finish_reason_in_messages, flag, provider, seconds, text

_OPERATIONS = {
    "chat": Operation.CHAT,
    "text_completion": Operation.CHAT,
    "generate_content": Operation.CHAT,
    "embeddings": Operation.EMBEDDINGS,
}
"""Operations that are calls. Agents, workflows, tools and plans wrap calls and repeat their tokens."""

_INPUT_WITHOUT_CACHE = ("bedrock",)
"""Parts of the names of scopes whose input tokens leave out cached ones, against the conventions."""


class OtelGenAi:
    """Reads spans with ``gen_ai.operation.name``; ``gen_ai.provider.name`` tells 1.37 and later."""

    def read(self, span: Span) -> Call | None:
        """The call that the span reports, not priced yet; ``None`` when it reports none."""
        told = span.attributes
        operation = _OPERATIONS.get(text(told, "gen_ai.operation.name") or "")
        if operation is None:
            return None
        is_error = span.is_error or text(told, "error.type") is not None
        error_class, http_status = errors.classify(span) if is_error else (None, None)
        cached = count(told, "gen_ai.usage.cache_read.input_tokens")
        written = count(
            told, "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
        )
        reasoning = count(told, "gen_ai.usage.reasoning.output_tokens")
        return Call(
            operation=operation,
            provider=provider(text(told, "gen_ai.provider.name", "gen_ai.system")),
            request_model=text(told, "gen_ai.request.model"),
            response_model=text(told, "gen_ai.response.model"),
            response_id=text(told, "gen_ai.response.id"),
            input_tokens=_input_tokens(span, cached, written),
            cached_input_tokens=cached,
            cache_write_input_tokens=written,
            output_tokens=_output_tokens(span, reasoning),
            reasoning_tokens=reasoning,
            error=is_error,
            error_class=error_class,
            http_status=http_status,
            finish_reason=finish_reason(
                told, "gen_ai.response.finish_reasons", "anthropic.message.stop_reason"
            )
            or finish_reason_in_messages(told, "gen_ai.output.messages"),
            streaming=flag(told, "gen_ai.request.stream"),
            ttft_s=seconds(told, "gen_ai.response.time_to_first_chunk"),
            duration_s=span.duration_s,
            session_id=text(told, "gen_ai.conversation.id", "session.id"),
            service_name=text(span.resource, "service.name"),
            service_version=text(span.resource, "service.version"),
            environment=text(span.resource, "deployment.environment.name", "deployment.environment"),
            cost_usd=None,
            cost_basis=CostBasis.UNPRICED,
            dialect="otel_genai" if "gen_ai.provider.name" in told else "otel_genai_old",
            span_ids=(span.span_id,),
            trace_id=span.trace_id,
            started_at=span.start_ns / 1e9,
            ended_at=span.end_ns / 1e9,
        )


def _input_tokens(span: Span, cached: int | None, written: int | None) -> int | None:
    """All input tokens: the conventions say that cached ones are included, and some do not keep to it."""
    total = count(span.attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
    from_cache = (cached or 0) + (written or 0)
    if total is None:
        return None
    is_without_cache = from_cache > total or any(part in span.scope for part in _INPUT_WITHOUT_CACHE)
    return total + from_cache if is_without_cache else total


def _output_tokens(span: Span, reasoning: int | None) -> int | None:
    """All output tokens: reasoning is included, unless it is more than the whole."""
    total = count(span.attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
    if total is None:
        return None
    return total + reasoning if reasoning is not None and reasoning > total else total
