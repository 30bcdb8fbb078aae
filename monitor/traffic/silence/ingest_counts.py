"""What came in and what of it was lost, counted since the start: two looks at it say what happened in between."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SERVICES_MAX = 200
"""How many services are told apart; the spans of further ones are counted together."""

OTHER_SERVICES = "(other services)"


class Loss(StrEnum):
    """How a span, or a part of one, is lost before it counts."""

    ATTRIBUTES = "attributes"
    """The sender dropped some of its attributes, by a limit of its own: they may be the tokens."""
    EVENTS = "events"
    LINKS = "links"
    FUTURE = "future"
    """Refused: it is timed in the future."""
    TOO_OLD = "too_old"
    """Refused: it ended too long ago."""
    INVALID = "invalid"
    """Refused: it has no valid ids or times."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The spans of one request by service, and those that lost something, by service and loss."""

    spans: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[tuple[str, Loss], int] = field(default_factory=dict)


class IngestCounts:
    """Requests by the HTTP status of their answer, spans by service, and spans that lost something."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.requests: Counter[int] = Counter()
        self.spans: Counter[str] = Counter()
        self.lost: Counter[tuple[str, Loss]] = Counter()

    def add(self, one: Arrived) -> None:
        """Count a request's spans."""
        for service, spans in one.spans.items():
            self.spans[self._known(service)] += spans
        for (service, loss), spans in one.lost.items():
            self.lost[self._known(service), loss] += spans

    def copy(self) -> "IngestCounts":
        """The counts as they are now."""
        same = IngestCounts()
        same.requests, same.spans, same.lost = self.requests.copy(), self.spans.copy(), self.lost.copy()
        return same

    def become(self, other: "IngestCounts") -> None:
        """Hold what ``other`` does now."""
        self.requests, self.spans, self.lost = other.requests.copy(), other.spans.copy(), other.lost.copy()

    def gain(self, more: "IngestCounts") -> None:
        """Count what ``more`` counted, too."""
        self.requests.update(more.requests)
        self.spans.update(more.spans)
        self.lost.update(more.lost)

    def since(self, earlier: "IngestCounts") -> "IngestCounts":
        """What was counted after ``earlier``, an older copy of the same counts."""
        gain = IngestCounts()
        gain.requests = self.requests - earlier.requests
        gain.spans, gain.lost = self.spans - earlier.spans, self.lost - earlier.lost
        return gain

    def _known(self, service: str) -> str:
        has_room = service in self.spans or len(self.spans) < SERVICES_MAX
        return service if has_room else OTHER_SERVICES


def to_plain(counts: IngestCounts) -> dict[str, dict[str, int]]:
    """The counts as plain data, without what nothing was counted of."""
    plain = {
        "requests": {str(code): requests for code, requests in counts.requests.items()},
        "spans": dict(counts.spans),
        "lost": {f"{loss.value} {service}": spans for (service, loss), spans in counts.lost.items()},
    }
    return {name: counted for name, counted in plain.items() if counted}


def from_plain(plain: Mapping[str, Mapping[str, int]]) -> IngestCounts:
    """The counts that ``to_plain`` gave."""
    counts = IngestCounts()
    counts.requests.update({int(code): requests for code, requests in plain.get("requests", {}).items()})
    counts.spans.update(plain.get("spans", {}))
    for name, spans in plain.get("lost", {}).items():
        loss, _, service = name.partition(" ")
        counts.lost[service, Loss(loss)] += spans
    return counts
