"""OpenInference, by Arize."""

from dataclasses import replace

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

OPENINFERENCE_AGENTS = replace(
    OPENINFERENCE,
    name="openinference_agents",
    marks=(),
    scopes=("openinference.instrumentation.openai_agents",),
    # What it gives as parameters of the invocation is the answer, with the model that answered.
    facts=replace(OPENINFERENCE.facts, request_model=places("llm.request.model_name")),
)
"""OpenAI's Agents SDK, by Arize."""
