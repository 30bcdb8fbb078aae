"""vLLM's own spans: the server's side of a call, which knows it by the id of its answer."""

from ..calls import Operation
from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Clock, Dialect, Facts, first_token, places

VLLM = Dialect(
    "vllm",
    scopes=("vllm.",),
    kinds=(OPERATION_NAME,),
    names={"llm_request": Operation.CHAT},
    facts=Facts(
        response_id=places("gen_ai.request.id"),
        first_token=first_token(Clock.SECONDS, "gen_ai.latency.time_to_first_token"),
    ).before(GENERAL_FACTS),
    tells_first_token_of_all=True,
)
