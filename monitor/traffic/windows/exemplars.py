"""Calls worth a look: the slowest, the dearest and those that failed, by the ids of their traces."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..calls import Call

EXEMPLARS_MAX = 3
"""How many calls of a kind a window remembers."""


class Kind(StrEnum):
    """Why a call is worth a look."""

    SLOWEST = "slowest"
    DEAREST = "dearest"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, order=True)
class Exemplar:
    """One call. ``value`` is its seconds or dollars; of calls that failed the latest count, by the time they ended."""

    value: float
    trace_id: str
    span_id: str


class Exemplars:
    """The most telling calls of each kind, at most ``EXEMPLARS_MAX``."""

    __slots__ = ("_best",)

    def __init__(self) -> None:
        """Start with none."""
        self._best: dict[Kind, list[Exemplar]] = {}

    def of(self, kind: Kind) -> list[Exemplar]:
        """The calls of a kind, the most telling first."""
        return sorted(self._best.get(kind, ()), reverse=True)

    def add(self, call: Call) -> None:
        """Take a call into account."""
        if call.error:
            self._consider(Kind.FAILED, call.ended_at, call)
        else:
            self._consider(Kind.SLOWEST, call.duration_s, call)
        if call.cost_usd:
            self._consider(Kind.DEAREST, call.cost_usd, call)

    def _consider(self, kind: Kind, value: float, call: Call) -> None:
        best = self._best.get(kind)
        # Most calls are neither: they are to cost a comparison only.
        if best is not None and len(best) >= EXEMPLARS_MAX and value <= best[0].value:
            return
        self.offer(kind, [Exemplar(value, call.trace_id, call.span_ids[0])])

    def least(self, kind: Kind) -> float:
        """What a further call of a kind must have at least to be among them."""
        best = self._best.get(kind, [])
        return best[0].value if len(best) >= EXEMPLARS_MAX else -math.inf

    def offer(self, kind: Kind, more: list[Exemplar]) -> None:
        """Take more calls of a kind into account."""
        best = self._best.get(kind, [])
        # Of the minutes of an hour most have none that is more telling: they are not to be sorted.
        if len(best) < EXEMPLARS_MAX or any(one.value >= best[0].value for one in more):
            self._best[kind] = sorted({*best, *more})[-EXEMPLARS_MAX:]

    def merge(self, other: "Exemplars") -> None:
        """Take into account what ``other`` has."""
        for kind, best in other._best.items():
            self.offer(kind, best)

    def to_json(self) -> dict[str, Any]:
        """The calls as plain data."""
        return {
            kind.value: [[one.value, one.trace_id, one.span_id] for one in best]
            for kind, best in self._best.items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Exemplars":
        """The calls that ``to_json`` gave."""
        exemplars = cls()
        for kind, best in data.items():
            exemplars._best[Kind(kind)] = [Exemplar(*one) for one in best]
        return exemplars

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exemplars) and self._best == other._best

    __hash__ = None  # type: ignore[assignment]  # it changes; the assignment is how Python says "not hashable"
