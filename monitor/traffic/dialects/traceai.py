"""traceAI, by Future AGI: OpenInference's spans on names of OpenTelemetry's."""

from .general import GENERAL_FACTS, KIND_WORDS, OPERATION_NAME
from .tables import Dialect, Facts, Kinds, places

TRACEAI = Dialect(
    "traceai",
    marks=("gen_ai.span.kind",),
    kinds=(Kinds("gen_ai.span.kind", KIND_WORDS), OPERATION_NAME),
    facts=Facts(
        # "gen_ai.request.model" is the model that answered, once there is an answer.
        request_model=places(
            "gen_ai.request.parameters > model",
            "gen_ai.request.parameters > model_name",
            "input.value > model",
        ),
        outcome_model=places("gen_ai.request.model", "embedding.model_name"),
        streaming=places("gen_ai.request.parameters > stream"),
        answers=places("output.value"),
    ).before(GENERAL_FACTS),
)
