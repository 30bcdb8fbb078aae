"""OpenLIT, on OpenTelemetry's names."""

from ..calls import Operation
from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Clock, Dialect, Facts, first_token, places

OPENLIT = Dialect(
    "openlit",
    marks=("gen_ai.request.is_stream",),
    scopes=("openlit",),
    kinds=(OPERATION_NAME,),
    # Of calls that failed it tells no more than the name and the error.
    names={
        "chat": Operation.CHAT,
        "text_completion": Operation.CHAT,
        "generate_content": Operation.CHAT,
        "embeddings": Operation.EMBEDDINGS,
    },
    facts=Facts(
        provider_of_model=places("gen_ai.request.model"),
        streaming=places("gen_ai.request.is_stream"),
        first_token=first_token(Clock.SECONDS, "gen_ai.server.time_to_first_token", "gen_ai.server.ttft"),
    ).before(GENERAL_FACTS),
    tells_first_token_of_all=True,
)
