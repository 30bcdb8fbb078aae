"""Plans in the form that the scanner reads them in, which is written in C."""

import struct
from collections.abc import Mapping
from typing import Any

from ..dialects.answers import is_always_looked_for
from ..dialects.tables import Clock
from .plans import Plan

NOTHING = 0xFFFF
"""The number of no name."""

DOCUMENTS_MAX = 6

_CLOCKS = {Clock.SECONDS: 0, Clock.MILLISECONDS: 1, Clock.EITHER: 2}
_LAYOUT = struct.Struct(f"={18 + DOCUMENTS_MAX}H")

Entry = list[Any]
"""A plan: how a span is read, its shapes by home, the letters that no document may hold, and the other plan."""


def packed(plan: Plan, numbers: Mapping[str, int]) -> Entry | None:
    """The plan for the scanner; ``None`` when it is for Python alone."""
    places, settled = plan.places, plan.settled
    first = places.first_token
    if places.made_up_ids or len(places.documents) > DOCUMENTS_MAX or (first and first.clock not in _CLOCKS):
        return None
    read = (
        places.input,
        places.output,
        places.cached,
        places.written,
        places.reasoning,
        places.total,
        places.response_id,
        places.session,
        first.place.key if first else None,
    )
    if not all(key in numbers for key in (*read, *places.documents) if key is not None):
        return None
    documents = [numbers[key] for key in places.documents]
    fields = (
        *(NOTHING if key is None else numbers[key] for key in read),
        _CLOCKS[first.clock] if first else 0,
        settled.has_output,
        settled.has_first_token,
        settled.is_cache_beside,
        *(settled.drops_zero[at] for at in (0, 1, 2, 3)),
        len(documents),
        *documents,
        *[NOTHING] * (DOCUMENTS_MAX - len(documents)),
    )
    letters = tuple(letters for letters, _ in settled.hints if not is_always_looked_for(letters))
    return [_LAYOUT.pack(*fields), plan.shape_at, letters, None]
