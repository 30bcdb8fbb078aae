"""What the calls of a block of time, or the answers of a run, add up to: as much as an audit wants to know."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..traffic.calls import FinishReason
from ..traffic.windows.counted import PILED_MAX, Counted, Pile
from ..traffic.windows.distribution import EMPTY, Distribution, together
from ..traffic.windows.tallies import add_up

_NANO = 1_000_000_000

# As it is stored: an enum's member takes longer to be looked up by.
_LENGTH = FinishReason.LENGTH.value

_SUMS = (
    "calls", "failed", "priced", "cost_nano", "unpriced", "unsure_nano", "asked", "input_tokens", "answered",
    "output_tokens", "checked", "broken", "finished", "truncated",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts and sums, to be added up.

    ``priced`` calls cost ``cost_nano`` billionths of a dollar, of which ``unsure_nano`` by ambiguous prices.
    ``asked`` calls tell their input tokens, ``answered`` their output tokens, ``finished`` why they ended, of which
    ``truncated`` were cut off. Of ``checked`` answers ``broken`` failed a check, by name in ``failed_checks``.
    """

    calls: int = 0
    failed: int = 0
    priced: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    unsure_nano: int = 0
    asked: int = 0
    input_tokens: float = 0.0
    answered: int = 0
    output_tokens: float = 0.0
    checked: int = 0
    broken: int = 0
    finished: int = 0
    truncated: int = 0
    failed_checks: dict[str, int] = field(default_factory=dict)
    latency_s: Distribution = EMPTY
    ttft_s: Distribution = EMPTY

    @property
    def cost_usd(self) -> float:
        """What the calls with a price cost."""
        return self.cost_nano / _NANO

    def merge(self, other: "Tally") -> None:
        """Count everything that ``other`` counted."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        add_up(self.failed_checks, other.failed_checks)
        self.latency_s = together((self.latency_s, other.latency_s))
        self.ttft_s = together((self.ttft_s, other.ttft_s))


class Counting:
    """Counts stored windows by their places, and adds the places up to what they are part of.

    ``wholes`` say for several ways of adding up which whole each place is part of; -1 is of none. They may grow.
    """

    __slots__ = ("_checks", "_latency_s", "_places", "_rows", "_seen", "_sums", "_ttft_s", "_wholes")

    def __init__(self, *wholes: Sequence[int]) -> None:
        """Start with none."""
        self._wholes = wholes
        self._seen: set[int] = set()
        self._sums = np.zeros((0, len(_COLUMNS)), np.int64)
        self._places: list[int] = []
        self._rows: list[tuple[int, ...]] = []
        self._checks: dict[int, dict[str, int]] = {}
        self._latency_s, self._ttft_s = Pile(*wholes), Pile(*wholes)

    def count(self, place: int, window: Counted) -> None:
        """Count what a window of this place counted."""
        if latency := window.latency_s:
            self._latency_s.add(place, latency)
        if ttft := window.ttft_s:
            self._ttft_s.add(place, ttft)
        if checks := window.failed_checks:
            add_up(self._checks.setdefault(place, {}), checks)
        self._places.append(place)
        self._rows.append(_row(window))
        if len(self._rows) >= PILED_MAX:
            self._add_up()

    def _add_up(self) -> None:
        if not self._rows:
            return
        more = max(self._places) + 1 - len(self._sums)
        self._sums = np.pad(self._sums, ((0, max(0, more)), (0, 0)))
        np.add.at(self._sums, self._places, np.array(self._rows, dtype=np.int64))
        self._seen.update(self._places)
        self._places, self._rows = [], []

    @property
    def places(self) -> set[int]:
        """Those that windows were counted of."""
        self._add_up()
        return self._seen

    def tallies(self, way: int) -> dict[int, Tally]:
        """What was counted by wholes, in one of the ways."""
        places = np.array([one for one in sorted(self.places) if self._wholes[way][one] >= 0], dtype=np.int64)
        wholes = np.array(self._wholes[way], dtype=np.int64)[places]
        sums = np.zeros((max(wholes, default=-1) + 1, len(_COLUMNS)), np.int64)
        np.add.at(sums, wholes, self._sums[places])
        found = {one: _tally(sums[one].tolist()) for one in sorted(set(wholes.tolist()))}
        for place, checks in self._checks.items():
            if (one := self._wholes[way][place]) >= 0:
                add_up(found[one].failed_checks, checks)
        for one, latency in self._latency_s.distributions(way).items():
            found[one].latency_s = latency
        for one, ttft in self._ttft_s.distributions(way).items():
            found[one].ttft_s = ttft
        return found


_COLUMNS = (
    "calls", "failed", "finished", "truncated", "checked", "broken", "unpriced", "priced", "dollars", "dollar_nano",
    "unsure", "unsure_nano", "asked", "input_tokens", "input_nano", "answered", "output_tokens", "output_nano",
)  # fmt: skip
"""What is counted of a window. Sums of billionths of many windows have no room in 64 bits: wholes go by themselves."""


def _row(window: Counted) -> tuple[int, ...]:
    """What is counted of a window, column by column."""
    cost, asked, given = window.cost_usd, window.input_tokens, window.output_tokens
    cost_nano = int(cost.total_nano) if cost else 0
    if window.ambiguous_nano is not None:
        unsure_nano = int(window.ambiguous_nano)
    else:
        # A minute has only one model: where some of its costs are ambiguous, all are.
        unsure_nano = cost_nano if window.cost_bases.ambiguous > 0 else 0
    reasons, checked = window.finish_reasons, window.checked
    return (
        window.calls,
        sum(window.errors.values()),
        sum(reasons.values()),
        reasons.get(_LENGTH, 0),
        checked,
        window.unsound if checked else 0,
        window.cost_bases.unpriced,
        cost.n if cost else 0,
        *divmod(cost_nano, _NANO),
        *divmod(unsure_nano, _NANO),
        asked.n if asked else 0,
        *divmod(int(asked.total_nano) if asked else 0, _NANO),
        given.n if given else 0,
        *divmod(int(given.total_nano) if given else 0, _NANO),
    )


def tally_of_window(window: Counted) -> Tally:
    """What one window counted, but for its latencies and failed checks."""
    return _tally(_row(window))


def _tally(sums: Sequence[int]) -> Tally:
    of = dict(zip(_COLUMNS, sums, strict=True))
    return Tally(
        calls=of["calls"],
        failed=of["failed"],
        priced=of["priced"],
        cost_nano=of["dollars"] * _NANO + of["dollar_nano"],
        unpriced=of["unpriced"],
        unsure_nano=of["unsure"] * _NANO + of["unsure_nano"],
        asked=of["asked"],
        input_tokens=of["input_tokens"] + of["input_nano"] / _NANO,
        answered=of["answered"],
        output_tokens=of["output_tokens"] + of["output_nano"] / _NANO,
        checked=of["checked"],
        broken=of["broken"],
        finished=of["finished"],
        truncated=of["truncated"],
    )
