"""Pydantic's Logfire and Pydantic AI, on OpenTelemetry's names.

The span of a stream ends when its headers come; a second one, without length and in a trace of its own, tells
the rest when the stream ends.
"""

from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Dialect, Facts, places

LOGFIRE = Dialect(
    "logfire",
    marks=("logfire.span_type", "logfire.msg_template", "logfire.msg", "logfire.json_schema"),
    scopes=("pydantic-ai",),
    kinds=(OPERATION_NAME,),
    facts=Facts(
        streaming=places("request_data > stream"),
        answers=places("gen_ai.output.messages", "response_data"),
    ).before(GENERAL_FACTS),
    tells_ends_of_streams=True,
    concludes=True,
    echoes_request_model=True,
    log_kind=("logfire.span_type", "log"),
    log_duration="duration",
    prompt="gen_ai.input.messages",
)
