"""The scores of a run: numbers from functions that are frozen on the train runs.

``names`` lists them with what each sees, ``measures`` holds what is read off the answers of one canary, ``distance``
compares texts with texts, ``canary`` is what the train runs say about one canary, ``frozen`` what they say about
all, and ``fitting`` makes it.
"""

from .canary import FrozenCanary
from .fitting import TRAIN_RUNS_MIN, expected_samples, fit
from .frozen import FrozenScores
from .names import (
    BIGRAM_SURPRISE,
    CANARY_PREFIX,
    DIVERGENCE,
    EDGE_SURPRISE,
    INPUT_TOKENS,
    LATENCY,
    LAYOUT_SURPRISE,
    LENGTH,
    LENGTH_SPREAD,
    LOGPROB_SHIFT,
    MEAN_LOGPROB,
    NEW_WORDS,
    OUTPUT_TOKENS,
    REFUSALS,
    SUITE_PEAK,
    SUITE_SURPRISE,
    SURPRISE_SPREAD,
    TEXT_DISTANCE,
    TOKEN_SURPRISE,
    TTFT,
    UNFINISHED,
    VALIDATOR_FAILURES,
    VARIETY,
)

__all__ = [
    "BIGRAM_SURPRISE",
    "CANARY_PREFIX",
    "DIVERGENCE",
    "EDGE_SURPRISE",
    "INPUT_TOKENS",
    "LATENCY",
    "LAYOUT_SURPRISE",
    "LENGTH",
    "LENGTH_SPREAD",
    "LOGPROB_SHIFT",
    "MEAN_LOGPROB",
    "NEW_WORDS",
    "OUTPUT_TOKENS",
    "REFUSALS",
    "SUITE_PEAK",
    "SUITE_SURPRISE",
    "SURPRISE_SPREAD",
    "TEXT_DISTANCE",
    "TOKEN_SURPRISE",
    "TRAIN_RUNS_MIN",
    "TTFT",
    "UNFINISHED",
    "VALIDATOR_FAILURES",
    "VARIETY",
    "FrozenCanary",
    "FrozenScores",
    "expected_samples",
    "fit",
]
