"""Every call counted once: the reports of one call by several spans are joined.

An SDK and the library that instruments it report the same call, one below the other or in two traces that know
nothing of each other; a stream may be told by a span for its beginning and one for its end. Reports of one call
have the same id of the provider's answer. Where one of them has none, they come from different emitters of one
service, lie in the same time, agree on everything, and have the same tokens or the same error. Two different ids
are two calls, and so are two alike reports by one emitter: calls are made in parallel, and tried again.

Reports are joined in the order of how sure it is, each with one of each emitter, so that calls that are made in
parallel pair up. ``Joiner`` waits a bounded time for what belongs together, for it comes in different requests.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .calls import Call
from .dialects import Report
from .likeness import are_rivals, ids_agree, is_telling
from .pairing import ID_SLACK_S, alike, children_of, continued, key_of, nested, with_same_id
from .uniting import fullness, unite

HELD_MAX = 50_000
"""How many reports are held at most; beyond it the oldest are given up without waiting."""


COUNTED_MAX = 100_000
"""How many spans and ids of calls that were given up are remembered, to know late reports of them."""


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


class Joiner:
    """Holds reports until what belongs to them must have come, and gives up finished calls.

    What comes even later is not counted again, as far as it can be told: by the id of the answer, or because
    what was counted lies below it.
    """

    def __init__(self, wait_s: float, held_max: int = HELD_MAX) -> None:
        """Start with nothing held. ``wait_s``: how long a report waits for others of its call."""
        self._wait_s = wait_s
        self._held_max = held_max
        self._held: list[tuple[float, Report]] = []
        self._counted: dict[object, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, reports: Iterable[Report], now: float) -> None:
        """Hold these reports, which came at ``now``."""
        self._held.extend((now, one) for one in reports)

    def finished(self, now: float) -> list[Joined]:
        """The calls of which a report has waited long enough; they are not held any longer."""
        excess = len(self._held) - self._held_max
        ripe = {
            key_of(one)
            for place, (came, one) in enumerate(self._held)
            if came + self._wait_s <= now or place < excess
        }
        if not ripe:
            return []
        calls, wrappers = join([one for _, one in self._held])
        done = [joined for joined in calls if not ripe.isdisjoint(map(key_of, joined.reports))]
        gone = {key_of(one) for joined in done for one in joined.reports}
        gone |= ripe.intersection(key_of(wrapper.report) for wrapper in wrappers)
        self._held = [held for held in self._held if key_of(held[1]) not in gone]
        new = [joined for joined in done if not any(map(self._is_late, joined.reports))]
        for joined in new:
            self._remember(joined)
        return new

    def _is_late(self, report: Report) -> bool:
        """The report is of a call that was given up already."""
        call = report.call
        if key_of(report) in self._counted:
            return True
        ended_at = self._counted.get(call.response_id) if is_telling(call.response_id) else None
        return ended_at is not None and call.started_at - ended_at <= ID_SLACK_S

    def _remember(self, joined: Joined) -> None:
        call = joined.call
        for report in joined.reports:
            self._counted[key_of(report)] = call.ended_at
            if report.parent_span_id:
                self._counted[report.call.trace_id, report.parent_span_id] = call.ended_at
        if is_telling(call.response_id):
            self._counted[call.response_id] = call.ended_at
        while len(self._counted) > COUNTED_MAX:
            del self._counted[next(iter(self._counted))]


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
