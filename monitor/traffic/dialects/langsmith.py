"""LangSmith's export of LangChain runs as spans."""

from .general import GENERAL_FACTS, KIND_WORDS
from .tables import Dialect, Facts, Kinds, places

LANGSMITH = Dialect(
    "langsmith",
    marks=("langsmith.span.kind",),
    # The operation says "chat" of prompt templates, too.
    kinds=(Kinds("langsmith.span.kind", KIND_WORDS),),
    facts=Facts(
        provider=places("gen_ai.system", "langsmith.metadata.ls_provider"),
        request_model=places("gen_ai.request.model", "langsmith.metadata.ls_model_name"),
        streaming=places("langsmith.metadata.stream"),
        session=places("langsmith.metadata.session_id", "langsmith.metadata.thread_id"),
        usage=places("langsmith.metadata.usage_metadata"),
        answers=places("gen_ai.completion"),
    ).before(GENERAL_FACTS),
)
