"""Spans that the SDKs of providers write by themselves, on OpenTelemetry's names."""

from .general import GENERAL_FACTS, OPERATION_NAME
from .tables import Dialect

ANTHROPIC_SDK = Dialect(
    "anthropic_sdk",
    scopes=("com.anthropic.sdk",),
    kinds=(OPERATION_NAME,),
    facts=GENERAL_FACTS,
    provider="anthropic",
    is_first_hand=True,
    concludes=True,
)
MISTRAL_SDK = Dialect(
    "mistral_sdk",
    scopes=("mistralai_sdk",),
    kinds=(OPERATION_NAME,),
    facts=GENERAL_FACTS,
    provider="mistral_ai",
    is_first_hand=True,
    concludes=True,
)
