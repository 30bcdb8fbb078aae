"""Every call counted once: the reports of one call by several spans are joined.

An SDK and the library that instruments it report the same call, one below the other or in two traces that know
nothing of each other; a stream may be told by a span for its beginning and one for its end. Reports of one call
have the same id of the provider's answer. Where one of them has none, they come from different emitters of one
service, lie in the same time, agree on everything, and have the same tokens or the same error. Two different ids
are two calls, and so are two alike reports by one emitter: calls are made in parallel, and tried again.

Reports are joined in the order of how sure it is, each with one of each emitter, so that calls that are made in
parallel pair up. They come in different requests: ``recent`` brings those together that may belong together.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..calls import Call
from ..dialects import Report
from .likeness import are_rivals, ids_agree
from .pairing import alike, children_of, continued, key_of, nested, with_same_id
from .uniting import fullness, unite


@dataclass(frozen=True, slots=True)
class Link:
    """Two spans that were taken for reports of one call, and why."""

    span_id: str
    other_span_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Joined:
    """One call, with all reports of it and what linked them."""

    call: Call
    reports: tuple[Report, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Wrapper:
    """A report that was taken for no call of its own after all: it wraps the calls below it."""

    report: Report
    why: str


def join(reports: Sequence[Report]) -> tuple[list[Joined], list[Wrapper]]:
    """The calls behind the reports, in the order in which they began, and what only wraps them."""
    distinct = list({key_of(one): one for one in reports}.values())
    groups = _Groups(distinct)
    for sureness in (with_same_id, continued, nested, alike):
        for one, other, why in sureness(distinct):
            groups.link(one, other, why)
    members = groups.members()
    wrapping = _wrapping(distinct, groups)
    calls = [_united(group, groups) for group in members if not (len(group) == 1 and group[0] in wrapping)]
    calls.sort(key=lambda joined: joined.call.started_at)
    return calls, [Wrapper(distinct[i], why) for i, why in sorted(wrapping.items())]


class _Groups:
    """Which reports are of one call, by their places in the list."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self.reports = reports
        self._group = list(range(len(reports)))
        self._members = [[place] for place in range(len(reports))]
        self.links: dict[int, list[Link]] = defaultdict(list)

    def of(self, place: int) -> int:
        return self._group[place]

    def members(self) -> list[list[int]]:
        return [
            group for place, group in enumerate(self._members) if group and self._group[group[0]] == place
        ]

    def link(self, one: int, other: int, why: str) -> None:
        """Join the groups of two reports, unless a report of the one cannot be of the other's call."""
        left, right = self._group[one], self._group[other]
        if left == right:
            return
        pairs = [(a, b) for a in self._members[left] for b in self._members[right]]
        if any(not self._may_join(a, b, {a, b} == {one, other}) for a, b in pairs):
            return
        for member in self._members[right]:
            self._group[member] = left
        self._members[left] += self._members[right]
        self._members[right] = []
        links = self.links[left]
        links += self.links.pop(right, [])
        links.append(Link(self._span(one), self._span(other), why))

    def _may_join(self, a: int, b: int, is_linked: bool) -> bool:
        one, other = self.reports[a], self.reports[b]
        return ids_agree(one.call, other.call) and (is_linked or not are_rivals(one, other))

    def _span(self, place: int) -> str:
        return self.reports[place].call.span_ids[0]


def _wrapping(reports: Sequence[Report], groups: _Groups) -> dict[int, str]:
    """Reports that stand alone and have calls of others below them: no call makes a call."""
    wrapping = {}
    for parent, children in children_of(reports).items():
        below = {groups.of(child) for child in children} - {groups.of(parent)}
        if below and not reports[parent].is_declared:
            wrapping[parent] = "calls lie below it, and it does not say that it is one"
        elif len(below) > 1:
            wrapping[parent] = f"{len(below)} calls lie below it"
    return wrapping


def _united(group: list[int], groups: _Groups) -> Joined:
    reports = sorted((groups.reports[place] for place in group), key=fullness, reverse=True)
    links = tuple(groups.links.get(groups.of(group[0]), ()))
    return Joined(unite([one.call for one in reports]), tuple(reports), links)
