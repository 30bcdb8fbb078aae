"""Durations as people write them: ``15m``, ``1h30m``, ``500ms``."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

MAX_DURATION_S = 10 * 365.25 * 86_400
"""The longest duration a document may name: ten years. What is longer is a typo."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MAX_CHARS = 64


def parse_duration(value: object) -> float:
    """Seconds, from ``"1h30m"`` or a number of seconds. Raises ValueError with words for the writer."""
    seconds = _seconds(value.strip()) if isinstance(value, str) else _number(value)
    if not 0 <= seconds <= MAX_DURATION_S:
        raise ValueError("must be between 0 and 10 years")
    return seconds


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError('must be a duration such as "15m", "1h30m" or "90s", or a number of seconds')
    return float(value)


def _seconds(text: str) -> float:
    if len(text) <= _MAX_CHARS and _NUMBER.fullmatch(text):
        return float(text)
    if len(text) > _MAX_CHARS or not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise ValueError('must be a duration such as "15m", "1h30m" or "90s" (units: ms, s, m, h, d, w)')
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["15m", "1h30m", 90]}),
]
"""Seconds in a model; ``"15m"``, ``"1h30m"``, ``"500ms"`` or a number of seconds in a document."""
