"""The OpenTelemetry conventions for generative AI, from 1.26 to those of today."""

from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Dialect

OTEL_GENAI = Dialect(
    "otel_genai",
    marks=("gen_ai.provider.name",),
    kinds=(OPERATION_NAME,),
    facts=GENERAL_FACTS,
    concludes=True,
    scopes_with_cache_beside=("bedrock",),
)
"""Version 1.37 and later, which name the provider."""

OTEL_GENAI_OLD = Dialect(
    "otel_genai_old",
    marks=("gen_ai.operation.name",),
    kinds=(OPERATION_NAME,),
    facts=GENERAL_FACTS,
    scopes_with_cache_beside=("bedrock",),
)
"""Version 1.36 and earlier, which name a ``gen_ai.system``."""
