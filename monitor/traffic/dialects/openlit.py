"""OpenLIT, on OpenTelemetry's names."""

from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Clock, Dialect, Facts, first_token, places

OPENLIT = Dialect(
    "openlit",
    marks=("gen_ai.request.is_stream",),
    scopes=("openlit",),
    kinds=(OPERATION_NAME,),
    facts=Facts(
        streaming=places("gen_ai.request.is_stream"),
        first_token=first_token(Clock.SECONDS, "gen_ai.server.time_to_first_token", "gen_ai.server.ttft"),
    ).before(GENERAL_FACTS),
    tells_first_token_of_all=True,
)
