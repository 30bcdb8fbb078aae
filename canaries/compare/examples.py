"""An answer of each side that shows what moved."""

from dataclasses import dataclass

import numpy as np

from .features import CanaryFeatures
from .pairing import CanaryPair
from .scores import TRIGRAMS

EXAMPLE_CHARS_MAX = 4_000
"""How much of an answer is shown."""


@dataclass(frozen=True, slots=True)
class Example:
    """The answer of each side that is most like its own side's and least like the other's; ``apart`` from 0 to 1."""

    base: str
    current: str
    apart: float


def example_of(pair: CanaryPair, features: CanaryFeatures) -> Example:
    """The most telling answer of each side."""
    kernel = features.kernels[TRIGRAMS].astype(np.float64)
    towards = kernel[:, pair.is_current].mean(axis=1) - kernel[:, ~pair.is_current].mean(axis=1)
    base = int(np.argmin(np.where(pair.is_current, np.inf, towards)))
    current = int(np.argmax(np.where(pair.is_current, towards, -np.inf)))
    before, after = ((pair.answers[i].text or "")[:EXAMPLE_CHARS_MAX] for i in (base, current))
    return Example(before, after, float(1 - kernel[base, current]))
