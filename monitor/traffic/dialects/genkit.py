"""Google's Genkit: a span for each action, some of which are models."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Dialect, Facts, Kinds, places

GENKIT = Dialect(
    "genkit",
    marks=("genkit:metadata:subtype",),
    kinds=(Kinds("genkit:metadata:subtype", {"model": Operation.CHAT, "embedder": Operation.EMBEDDINGS}),),
    facts=Facts(
        request_model=places("genkit:name"),
        provider_of_model=places("genkit:name"),
        answers=places("genkit:output"),
        failed=places("genkit:state"),
    ).before(GENERAL_FACTS),
)
