"""Monocle, which tells the counts of a call in an event of its span."""

from ..calls import Operation
from .general import GENERAL_FACTS
from .tables import Dialect, Facts, Kinds, places

_INFERENCES = ("inference", "inference.framework", "inference.modelapi")
"""A call, or the two ends of one: the framework that asked for it, and the SDK of the provider."""

MONOCLE = Dialect(
    "monocle",
    scopes=("monocle_apptrace",),
    kinds=(Kinds("span.type", dict.fromkeys(_INFERENCES, Operation.CHAT)),),
    facts=Facts(
        provider=places("entity.1.type"),
        request_model=places("entity.2.name"),
        finish_reason=places("@metadata > finish_reason"),
        input=places("@metadata > prompt_tokens"),
        cached=places("@metadata > cache_read_input_tokens"),
        output=places("@metadata > completion_tokens"),
        total=places("@metadata > total_tokens"),
    ).before(GENERAL_FACTS),
)
