"""Counts by name, and what calls add up to by the values of attributes that the operator chose."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..calls import Call

VALUES_MAX = 200
"""How many values of an attribute a window tells apart; calls with further ones are counted together."""

ALL_VALUES = sys.maxsize
"""For windows that are to be added to others: what was counted under which name is known where they come together, and
a call is taken back from where it was counted. They hold no more values than calls."""

OTHER_VALUES = "(other values)"
"""Where calls with values beyond ``VALUES_MAX`` are counted."""

_NANO = 1_000_000_000


@dataclass(slots=True)
class Tally:
    """What the calls with one value add up to; ``cost_nano`` is in billionths of a dollar."""

    calls: int = 0
    failed: int = 0
    unpriced: int = 0
    tokens: int = 0
    cost_nano: int = 0

    @property
    def cost_usd(self) -> float:
        """What the calls with a known price cost together."""
        return self.cost_nano / _NANO

    def count(self, call: Call, times: int) -> None:
        """Count one call, or take it back with -1."""
        self.calls += times
        self.failed += times * call.error
        self.unpriced += times * (call.cost_usd is None and not call.error)
        self.tokens += times * ((call.input_tokens or 0) + (call.output_tokens or 0))
        self.cost_nano += times * nano(call.cost_usd)

    def merge(self, other: "Tally") -> None:
        """Count everything that ``other`` counted."""
        self.calls += other.calls
        self.failed += other.failed
        self.unpriced += other.unpriced
        self.tokens += other.tokens
        self.cost_nano += other.cost_nano


class Tallies:
    """A tally for each value of each chosen attribute."""

    __slots__ = ("_by_attribute", "values_max")

    def __init__(self, values_max: int = VALUES_MAX) -> None:
        """Start with no calls; so many values of an attribute will be told apart."""
        self._by_attribute: dict[str, dict[str, Tally]] = {}
        self.values_max = values_max

    def of(self, attribute: str) -> Mapping[str, Tally]:
        """The tallies of an attribute by its values."""
        return self._by_attribute.get(attribute, {})

    def count(self, call: Call, times: int) -> None:
        """Count a call by what it holds of the chosen attributes, or take it back with -1."""
        for attribute, value in call.chosen:
            self._at(attribute, value).count(call, times)

    def add(self, attribute: str, value: str, tally: Tally) -> None:
        """Count what the tally counted, for one value of an attribute."""
        self._at(attribute, value).merge(tally)

    def merge(self, other: "Tallies") -> None:
        """Count everything that ``other`` counted."""
        for attribute, value, tally in other:
            self.add(attribute, value, tally)

    def bounded(self, values_max: int) -> "Tallies":
        """The same with so many values of an attribute told apart, those that were counted first."""
        found = Tallies(values_max)
        found.merge(self)
        return found

    def cut(self, values_max: int) -> int:
        """Tell apart so many values of an attribute from now on, the dearest; gives how many calls lose their own."""
        self.values_max = values_max
        lost = 0
        for attribute, by_value in self._by_attribute.items():
            own = [(_weight(tally), value) for value, tally in by_value.items() if value != OTHER_VALUES]
            for _, value in sorted(own, reverse=True)[values_max:]:
                tally = by_value.pop(value)
                lost += tally.calls
                self.add(attribute, OTHER_VALUES, tally)
        return lost

    def __iter__(self) -> Iterator[tuple[str, str, Tally]]:
        for attribute, by_value in self._by_attribute.items():
            for value, tally in by_value.items():
                yield attribute, value, tally

    def __len__(self) -> int:
        return sum(map(len, self._by_attribute.values()))

    def _at(self, attribute: str, value: str) -> Tally:
        by_value = self._by_attribute.setdefault(attribute, {})
        if value not in by_value and len(by_value) >= self.values_max:
            value = OTHER_VALUES
        tally = by_value.get(value)
        if tally is None:
            tally = by_value[value] = Tally()
        return tally

    def to_json(self) -> dict[str, Any]:
        """The tallies as plain data: by attribute and value the five sums in their order."""
        return {
            attribute: {
                # As text: many dear calls do not fit in the 64 bits that JSON readers give a number.
                value: [one.calls, one.failed, one.unpriced, one.tokens, str(one.cost_nano)]
                for value, one in by_value.items()
            }
            for attribute, by_value in self._by_attribute.items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Tallies":
        """The tallies that ``to_json`` gave."""
        tallies = cls()
        for attribute, by_value in data.items():
            tallies._by_attribute[attribute] = {
                value: Tally(calls, failed, unpriced, tokens, int(cost_nano))
                for value, (calls, failed, unpriced, tokens, cost_nano) in by_value.items()
            }
        return tallies

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tallies) and self._by_attribute == other._by_attribute

    __hash__ = None  # type: ignore[assignment]  # it changes; the assignment is how Python says "not hashable"


def _weight(tally: Tally) -> tuple[int, int, int]:
    return tally.cost_nano, tally.tokens, tally.calls


def nano(cost_usd: float | None) -> int:
    """A cost in billionths of a dollar; 0 for one that is not known."""
    return round((cost_usd or 0) * _NANO)


def count(counts: dict[str, int], name: str, by: int) -> None:
    """Count under a name; a name that comes to nothing is left out."""
    now = counts.get(name, 0) + by
    if now:
        counts[name] = now
    else:
        counts.pop(name, None)


def add_up(counts: dict[str, int], others: Mapping[str, int]) -> None:
    """Count everything that ``others`` counted."""
    for name, by in others.items():
        count(counts, name, by)
