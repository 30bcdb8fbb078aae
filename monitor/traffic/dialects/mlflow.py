"""MLflow's tracing. Each of its values is JSON in a text."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Clock, Dialect, Facts, Kinds, first_token, places

MLFLOW = Dialect(
    "mlflow",
    marks=("mlflow.spanType",),
    kinds=(
        Kinds(
            "mlflow.spanType",
            {"chat_model": Operation.CHAT, "llm": Operation.CHAT, "embedding": Operation.EMBEDDINGS},
        ),
    ),
    facts=Facts(
        # "mlflow.message.format" names the format of the messages, which other providers use as well.
        provider=places("mlflow.llm.provider"),
        request_model=places("model", "mlflow.spanInputs > model", "mlflow.spanInputs > model_name"),
        outcome_model=places("mlflow.llm.model"),
        streaming=places("stream", "mlflow.spanInputs > stream"),
        session=places("mlflow.trace.session"),
        first_token=first_token(Clock.EVENT, "mlflow.chunk.item.0"),
        usage=places("mlflow.chat.tokenUsage"),
        answers=places("mlflow.spanOutputs", "@mlflow.chunk.item.0 > mlflow.chunk.value"),
    ).before(GENERAL_FACTS),
)
