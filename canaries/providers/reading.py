"""Values out of JSON that may be anything."""

import json
import math
from typing import Any

import msgspec

from ..canonical import LOWEST_LOGPROB, well_formed

_DECODER = msgspec.json.Decoder()


def parsed(written: str | bytes) -> Any:
    """What a JSON text says. Raises ValueError or RecursionError where it is none."""
    try:
        return _DECODER.decode(written)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # It is strict, and four times as fast: some servers write NaN, or half of a pair of surrogates.
        return json.loads(written)


def text(value: object) -> str | None:
    """The text, where it is one with something in it."""
    return well_formed(value) if isinstance(value, str) and value else None


def mapping(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def entries(value: object) -> list[dict[str, Any]]:
    """The objects in the list, if it is one."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def count(value: object) -> int | None:
    """The number, where it is a whole one from 0 on."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def total(*values: int | None) -> int | None:
    """The sum of what is known; ``None`` where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def as_json(value: object) -> str:
    """The value as JSON again, to be put together with others that came as text."""
    try:
        return json.dumps(value)
    except RecursionError:
        return ""


def logprob(value: object) -> float | None:
    """The log-probability, as one that can be stored."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return min(0.0, max(LOWEST_LOGPROB, float(value)))


def likeliest(tops: object, key: str = "logprob") -> tuple[tuple[str, float], ...] | None:
    """The tokens of a list of the likeliest, the likeliest first."""
    pairs = [
        (well_formed(token), value)
        for top in entries(tops)
        if isinstance(token := top.get("token"), str) and (value := logprob(top.get(key))) is not None
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair[1])) or None
