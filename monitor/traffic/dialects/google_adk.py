"""Google's Agent Development Kit."""

from ..calls import Operation
from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Dialect, Facts, places

GOOGLE_ADK = Dialect(
    "google_adk",
    marks=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"),
    scopes=("gcp.vertex.agent",),
    kinds=(OPERATION_NAME,),
    names={"call_llm": Operation.CHAT},
    facts=Facts(
        request_model=places("gen_ai.request.model", "gcp.vertex.agent.llm_request > model"),
        session=places("gcp.vertex.agent.session_id"),
        answers=places("gcp.vertex.agent.llm_response"),
    ).before(GENERAL_FACTS),
)
