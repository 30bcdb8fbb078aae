"""Lengths of time as people write them: ``90s``, ``15m``, ``1h30m``, ``7d``."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def parse_duration(value: object) -> float:
    """Seconds from ``"1h30m"`` or a number of seconds. Raises ValueError with what would be right."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no duration; write it like 90s, 15m, 1h30m or 7d")
    seconds = _from_text(value) if isinstance(value, str) else float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is no duration: it must be 0 or more")
    return seconds


def _from_text(text: str) -> float:
    compact = text.strip().replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is no duration; write it like 90s, 15m, 1h30m or 7d")
    return float(sum(float(number) * _UNITS_S[unit] for number, unit in parts))


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds, read from ``"15m"``, ``"1h30m"``, ``"90s"``, ``"500ms"``, ``"7d"`` or a number of seconds."""
