"""Strands Agents' own telemetry."""

from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Clock, Dialect, Facts, first_token

STRANDS = Dialect(
    "strands",
    scopes=("strands.",),
    kinds=(OPERATION_NAME,),
    facts=Facts(
        first_token=first_token(Clock.MILLISECONDS, "gen_ai.server.time_to_first_token"),
    ).before(GENERAL_FACTS),
)
