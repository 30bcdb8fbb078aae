"""Google's Agent Development Kit."""

from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Dialect, Facts, places

GOOGLE_ADK = Dialect(
    "google_adk",
    marks=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"),
    scopes=("gcp.vertex.agent",),
    kinds=(OPERATION_NAME,),
    facts=Facts(
        response_id=places("gen_ai.response.id"),
        session=places("gcp.vertex.agent.session_id"),
        answers=places("gcp.vertex.agent.llm_response"),
    ).before(GENERAL_FACTS),
    concludes=True,
)
