"""Haystack's own tracing: a span for each component, some of which call a model."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Dialect, Facts, Kinds, places

HAYSTACK = Dialect(
    "haystack",
    marks=("haystack.component.type",),
    kinds=(
        Kinds(
            "haystack.component.type",
            {"generator": Operation.CHAT, "embedder": Operation.EMBEDDINGS},
            is_ending=True,
        ),
    ),
    facts=Facts(
        request_model=places("haystack.component.input > model"),
        answers=places("haystack.component.output"),
    ).before(GENERAL_FACTS),
)
