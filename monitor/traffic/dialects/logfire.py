"""Pydantic's Logfire and Pydantic AI, on OpenTelemetry's names.

The span of a stream ends when its headers come; a second one, without length and in a trace of its own, tells
the rest when the stream ends.
"""

from ..calls import Operation
from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Dialect, Facts, Kinds, places

_BY_TEMPLATE = {
    "chat completion with {request_data[model]!r}": Operation.CHAT,
    "completion with {request_data[model]!r}": Operation.CHAT,
    "message with {request_data[model]!r}": Operation.CHAT,
    "responses api with {gen_ai.request.model!r}": Operation.CHAT,
    "streaming response from {request_data[model]!r} took {duration:.2f}s": Operation.CHAT,
    "embedding creation with {request_data[model]!r}": Operation.EMBEDDINGS,
}
"""The messages of calls, by which alone the versions before 4 tell them from anything else that is logged."""

LOGFIRE = Dialect(
    "logfire",
    marks=("logfire.span_type", "logfire.msg_template", "logfire.msg", "logfire.json_schema"),
    scopes=("pydantic-ai", "logfire.openai", "logfire.anthropic"),
    kinds=(OPERATION_NAME, Kinds("logfire.msg_template", _BY_TEMPLATE, is_final=False)),
    facts=Facts(
        request_model=places("gen_ai.request.model", "request_data > model"),
        streaming=places("request_data > stream"),
        answers=places("gen_ai.output.messages", "response_data"),
    ).before(GENERAL_FACTS),
    tells_ends_of_streams=True,
    tells_ends_beside="gen_ai.operation.name",
    concludes=True,
    echoes_request_model=True,
    log_kind=("logfire.span_type", "log"),
    log_duration="duration",
    prompt="gen_ai.input.messages",
)
