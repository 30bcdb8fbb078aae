"""OpenInference, by Arize."""

from .general import GENERAL_FACTS, KIND_WORDS, OPERATION_NAME
from .tables import Dialect, Facts, Kinds, places

OPENINFERENCE = Dialect(
    "openinference",
    marks=("openinference.span.kind",),
    kinds=(
        Kinds(
            "openinference.span.kind",
            KIND_WORDS,
            is_final=False,
            containers=frozenset(
                {"chain", "agent", "tool", "retriever", "reranker", "guardrail", "evaluator", "prompt"}
            ),
        ),
        OPERATION_NAME,
    ),
    facts=Facts(
        request_model=places(
            "llm.request.model_name",
            "llm.invocation_parameters > model",
            "llm.invocation_parameters > model_name",
            "embedding.invocation_parameters > model",
            "input.value > model",
            "metadata > ls_model_name",
        ),
        response_model=places("llm.response.model_name"),
        streaming=places("llm.invocation_parameters > stream", "input.value > stream"),
        answers=places("output.value"),
    ).before(GENERAL_FACTS),
)
