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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from .calls import Call, ErrorClass, FinishReason
from .dialects import Report

TELLING_ID_MIN = 16
"""An id shorter than this may come twice: some local servers draw theirs from a thousand."""

SLACK_S = 0.005
"""How far one report's time may reach out of the other's: clocks are read one after the other, some in whole ms."""

SLACK_SHARE = 0.1
"""The same as a share of the shorter one: the end of a stream is not the same moment for everybody."""

ID_SLACK_S = 5.0
"""How far apart two reports with one id may lie: the clocks of two machines. A cached answer comes later again."""

CONTINUED_MAX_S = 1.0
"""How long after the span of its beginning the end of a stream may begin."""

NEAREST_MAX = 64
"""With how many reports of another emitter, those that began last before it, a report is compared."""

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
    distinct = list({_key(one): one for one in reports}.values())
    groups = _Groups(distinct)
    for sureness in (_same_id, _continued, _nested, _alike):
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
            _key(one)
            for place, (came, one) in enumerate(self._held)
            if came + self._wait_s <= now or place < excess
        }
        if not ripe:
            return []
        calls, wrappers = join([one for _, one in self._held])
        done = [joined for joined in calls if not ripe.isdisjoint(map(_key, joined.reports))]
        gone = {_key(one) for joined in done for one in joined.reports}
        gone |= ripe.intersection(_key(wrapper.report) for wrapper in wrappers)
        self._held = [held for held in self._held if _key(held[1]) not in gone]
        new = [joined for joined in done if not any(map(self._is_late, joined.reports))]
        for joined in new:
            self._remember(joined)
        return new

    def _is_late(self, report: Report) -> bool:
        """The report is of a call that was given up already."""
        call = report.call
        if _key(report) in self._counted:
            return True
        ended_at = self._counted.get(call.response_id) if _is_telling(call.response_id) else None
        return ended_at is not None and call.started_at - ended_at <= ID_SLACK_S

    def _remember(self, joined: Joined) -> None:
        call = joined.call
        for report in joined.reports:
            self._counted[_key(report)] = call.ended_at
            if report.parent_span_id:
                self._counted[report.call.trace_id, report.parent_span_id] = call.ended_at
        if _is_telling(call.response_id):
            self._counted[call.response_id] = call.ended_at
        while len(self._counted) > COUNTED_MAX:
            del self._counted[next(iter(self._counted))]


def _key(report: Report) -> object:
    return report.call.trace_id, report.call.span_ids[0]


def _is_telling(response_id: str | None) -> bool:
    return response_id is not None and len(response_id) >= TELLING_ID_MIN


Pair = tuple[int, int, str]


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
        return _ids_agree(one.call, other.call) and (is_linked or not _are_rivals(one, other))

    def _span(self, place: int) -> str:
        return self.reports[place].call.span_ids[0]


def _ids_agree(one: Call, other: Call) -> bool:
    return one.response_id is None or other.response_id is None or one.response_id == other.response_id


def _are_rivals(one: Report, other: Report) -> bool:
    """One emitter tells a call in two spans only as parent and child, and as beginning and end of a stream."""
    if one.emitter != other.emitter or one.is_ending != other.is_ending:
        return False
    has_same_id = one.call.response_id is not None and one.call.response_id == other.call.response_id
    return not (has_same_id or _is_child(one, other) or _is_child(other, one))


def _same_id(reports: Sequence[Report]) -> Iterator[Pair]:
    by_id: dict[str, list[int]] = defaultdict(list)
    for place, report in enumerate(reports):
        response_id = report.call.response_id
        if response_id is not None and _is_telling(response_id):
            by_id[response_id].append(place)
    for same in by_id.values():
        same.sort(key=lambda place: reports[place].call.started_at)
        for one, other in pairwise(same):
            if _apart_s(reports[one].call, reports[other].call) <= ID_SLACK_S:
                yield one, other, "the same response id"


def _continued(reports: Sequence[Report]) -> Iterator[Pair]:
    """The ends of streams with their beginnings, each with the nearest that is not taken."""
    with_ends = {report.emitter for report in reports if report.is_ending}
    begun: dict[object, list[int]] = defaultdict(list)
    for place in _in_time(reports) if with_ends else ():
        report = reports[place]
        key = (report.emitter, report.call.service_name, report.call.request_model, report.prompt)
        if _is_beginning(report) and report.emitter in with_ends:
            begun[key].append(place)
        if not report.is_ending:
            continue
        begun[key] = [one for one in begun[key] if not _is_past(reports[one].call, report.call)]
        near = [one for one in begun[key] if _continues(reports[one].call, report.call)]
        if near:
            nearest = min(near, key=lambda one: abs(report.call.started_at - reports[one].call.ended_at))
            begun[key].remove(nearest)
            yield nearest, place, "the end of the stream that the other one began"


def _is_beginning(report: Report) -> bool:
    call = report.call
    is_open = call.output_tokens is None and call.finish_reason is None and not call.error
    return is_open and not report.is_ending


def _is_past(beginning: Call, end: Call) -> bool:
    return beginning.ended_at + CONTINUED_MAX_S < end.started_at


def _in_time(reports: Sequence[Report]) -> list[int]:
    return sorted(range(len(reports)), key=lambda place: reports[place].call.started_at)


def _continues(beginning: Call, end: Call) -> bool:
    return -SLACK_S <= end.started_at - beginning.ended_at <= CONTINUED_MAX_S


def _nested(reports: Sequence[Report]) -> Iterator[Pair]:
    """A report with the one report below it that tells the same call."""
    for parent, children in _children(reports).items():
        outer = reports[parent].call
        same = [child for child in children if _agree(outer, reports[child].call)]
        with_tokens = [child for child in same if _same_tokens(outer, reports[child].call)]
        if len(same) == 1 or len(with_tokens) == 1:
            yield parent, (with_tokens or same)[0], "one is the parent of the other, and they agree"
        elif same and outer.error and all(reports[child].call.error for child in same):
            yield parent, same[-1], "one is the parent of the other, and failed as its last attempt did"


def _children(reports: Sequence[Report]) -> Mapping[int, list[int]]:
    """The places of the reports directly below each report."""
    places = {_key(one): place for place, one in enumerate(reports)}
    children: dict[int, list[int]] = defaultdict(list)
    for place in _in_time(reports):
        report = reports[place]
        parent = places.get((report.call.trace_id, report.parent_span_id))
        if parent is not None and parent != place:
            children[parent].append(place)
    return children


def _is_child(one: Report, other: Report) -> bool:
    return one.call.trace_id == other.call.trace_id and one.parent_span_id == other.call.span_ids[0]


def _alike(reports: Sequence[Report]) -> Iterator[Pair]:
    """Reports of different emitters at the same time, with the same tokens or the same error, the nearest first."""
    found: list[tuple[float, int, int, str]] = []
    for places in _comparable(reports).values():
        begun: dict[str, list[int]] = {reports[place].emitter: [] for place in places}
        if len(begun) == 1:
            continue
        for place in sorted(places, key=lambda one: reports[one].call.started_at):
            report = reports[place]
            for emitter, others in begun.items():
                if emitter != report.emitter:
                    alike = [one for one in others[-NEAREST_MAX:] if _are_alike(reports[one], report)]
                    found += [_by_distance(reports, one, place) for one in alike]
            begun[report.emitter].append(place)
    found.sort()
    yield from ((one, other, why) for _, one, other, why in found)


def _by_distance(reports: Sequence[Report], one: int, other: int) -> tuple[float, int, int, str]:
    first, second = reports[one].call, reports[other].call
    why = "the same error" if second.error else "the same tokens"
    if _is_untold(reports[one]) or _is_untold(reports[other]):
        why = "the provider's own SDK tells of it"
    return _distance(first, second), one, other, f"{why} at the same time"


def _comparable(reports: Sequence[Report]) -> Mapping[object, list[int]]:
    """Places of reports that may be alike: of one service and operation, with the same tokens or an error."""
    buckets: dict[object, list[int]] = defaultdict(list)
    for place, report in enumerate(reports):
        call = report.call
        same = _service(call)
        if call.error:
            buckets[(*same, "error")].append(place)
        if call.input_tokens is not None:
            buckets[(*same, call.input_tokens)].append(place)
    _with_untold(reports, buckets)
    return buckets


def _with_untold(reports: Sequence[Report], buckets: dict[object, list[int]]) -> None:
    """Beside the reports that tell nothing of what came back, all that may tell it in their place."""
    services = {_service(report.call) for report in reports if _is_untold(report)}
    for place, report in enumerate(reports) if services else ():
        if _service(report.call) in services:
            buckets[(*_service(report.call), "untold")].append(place)


def _service(call: Call) -> tuple[object, ...]:
    return call.service_name, call.environment, call.operation


def _is_untold(report: Report) -> bool:
    """A provider's SDK tells of every call; of some streams it tells no more than that they were asked for."""
    call = report.call
    told = (call.response_id, call.input_tokens, call.output_tokens, call.finish_reason)
    return report.is_first_hand and not call.error and all(one is None for one in told)


def _are_alike(one: Report, other: Report) -> bool:
    if one.emitter == other.emitter or not _agree(one.call, other.call):
        return False
    if not _is_inside(one.call, other.call):
        return False
    if (one.call.error and other.call.error) or _is_untold(one) or _is_untold(other):
        return _providers_agree(one.call.provider, other.call.provider)
    if one.call.error != other.call.error:
        return _are_one_cut(one.call, other.call)
    return _same_tokens(one.call, other.call)


def _are_one_cut(one: Call, other: Call) -> bool:
    """Some do not notice that a stream was cut: they tell no error, and no reason why it ended either."""
    unaware = other if one.error else one
    has_same_input = one.input_tokens is not None and one.input_tokens == other.input_tokens
    outputs = {one.output_tokens, other.output_tokens} - {None}
    return has_same_input and unaware.finish_reason is None and len(outputs) <= 1


def _providers_agree(one: str | None, other: str | None) -> bool:
    if one is None or other is None or one == other:
        return True
    return any({one, other} <= family for family in _FAMILIES)


_FAMILIES = (
    {"openai", "azure.ai.openai", "azure.ai.inference"},
    {"gcp.gemini", "gcp.vertex_ai"},
)
"""Providers that one and the same call is taken to by the SDK that both have in common."""


def _same_tokens(one: Call, other: Call) -> bool:
    return (
        one.input_tokens is not None
        and one.input_tokens == other.input_tokens
        and one.output_tokens == other.output_tokens
    )


def _agree(one: Call, other: Call) -> bool:
    """Nothing that both tell rules out that they are one call."""
    return (
        one.operation is other.operation
        and _ids_agree(one, other)
        and _classes_agree(one.error_class, other.error_class)
        and (one.http_status is None or other.http_status is None or one.http_status == other.http_status)
        and _models_agree(one, other)
    )


_NARROWER = {
    ErrorClass.BAD_REQUEST: {ErrorClass.CONTEXT_LENGTH},
    ErrorClass.SERVER_ERROR: {ErrorClass.OVERLOADED},
    ErrorClass.RATE_LIMIT: {ErrorClass.OVERLOADED},
    ErrorClass.CONNECTION: {ErrorClass.TIMEOUT, ErrorClass.BAD_RESPONSE},
    ErrorClass.OTHER: set(ErrorClass),
}
"""Classes that a less telling report of the same failure may give as another, wider one."""


def _classes_agree(one: ErrorClass | None, other: ErrorClass | None) -> bool:
    if one is None or other is None or one is other:
        return True
    return one in _NARROWER.get(other, ()) or other in _NARROWER.get(one, ())


def _models_agree(one: Call, other: Call) -> bool:
    """The models are the same, as far as they are told: some cut off a vendor's prefix or a version's suffix."""
    mine = [model for model in (one.request_model, one.response_model) if model]
    others = [model for model in (other.request_model, other.response_model) if model]
    if not mine or not others:
        return True
    return any(_is_same_model(a, b) for a in mine for b in others)


def _is_same_model(one: str, other: str) -> bool:
    one, other = one.lower().rsplit("/", 1)[-1], other.lower().rsplit("/", 1)[-1]
    return one in other or other in one


def _is_inside(one: Call, other: Call) -> bool:
    """The time of one lies within that of the other, but for the slack."""
    shorter = min(one.ended_at - one.started_at, other.ended_at - other.started_at)
    overlap = min(one.ended_at, other.ended_at) - max(one.started_at, other.started_at)
    return overlap >= shorter - max(2 * SLACK_S, SLACK_SHARE * shorter)


def _apart_s(one: Call, other: Call) -> float:
    return max(one.started_at, other.started_at) - min(one.ended_at, other.ended_at)


def _distance(one: Call, other: Call) -> float:
    return abs(one.started_at - other.started_at) + abs(one.ended_at - other.ended_at)


def _wrapping(reports: Sequence[Report], groups: _Groups) -> dict[int, str]:
    """Reports that stand alone and have calls of others below them: no call makes a call."""
    wrapping = {}
    for parent, children in _children(reports).items():
        below = {groups.of(child) for child in children} - {groups.of(parent)}
        if below and not reports[parent].is_declared:
            wrapping[parent] = "calls lie below it, and it does not say that it is one"
        elif len(below) > 1:
            wrapping[parent] = f"{len(below)} calls lie below it"
    return wrapping


def _united(group: list[int], groups: _Groups) -> Joined:
    reports = sorted((groups.reports[place] for place in group), key=_fullness, reverse=True)
    links = tuple(groups.links.get(groups.of(group[0]), ()))
    return Joined(_unite([one.call for one in reports]), tuple(reports), links)


def _fullness(report: Report) -> tuple[object, ...]:
    """How much a report tells: usage before all else, first hand before the rest, then the answer."""
    call = report.call
    main = (call.input_tokens, call.output_tokens)
    parts = (call.cached_input_tokens, call.cache_write_input_tokens, call.reasoning_tokens)
    return (
        sum(one is not None for one in main),
        report.is_first_hand,
        sum(one is not None for one in parts),
        sum(one or 0 for one in main),
        call.response_id is not None,
        report.is_declared,
        -call.duration_s,
        call.span_ids,
    )


_FILLED = (
    "provider",
    "request_model",
    "response_id",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "http_status",
    "finish_reason",
    "ttft_s",
    "session_id",
    "service_name",
    "service_version",
    "environment",
)
"""Facts that the fullest report that tells them gives."""


def _unite(calls: list[Call]) -> Call:
    """One call of the reports of it, the fullest first: the union of what they tell."""
    first = calls[0]
    if len(calls) == 1:
        return first
    started_at, ended_at = min(one.started_at for one in calls), max(one.ended_at for one in calls)
    filled: dict[str, Any] = {
        name: next((value for one in calls if (value := getattr(one, name)) is not None), None)
        for name in _FILLED
    }
    is_error = any(one.error for one in calls) and not any(_is_answered(one) for one in calls)
    if not is_error:
        filled["http_status"] = None
    streaming = {one.streaming for one in calls}
    return replace(
        first,
        **filled,
        response_model=_response_model(calls),
        error=is_error,
        error_class=_error_class(calls) if is_error else None,
        streaming=True if True in streaming else False if False in streaming else None,
        duration_s=ended_at - started_at,
        span_ids=tuple(span_id for one in calls for span_id in one.span_ids),
        started_at=started_at,
        ended_at=ended_at,
    )


def _is_answered(call: Call) -> bool:
    return (
        not call.error and bool(call.output_tokens) and call.finish_reason not in (None, FinishReason.OTHER)
    )


def _error_class(calls: list[Call]) -> ErrorClass:
    """The narrowest of the classes that are told."""
    narrowest = ErrorClass.OTHER
    for call in calls:
        if call.error_class in _NARROWER.get(narrowest, ()):
            narrowest = call.error_class or narrowest
    return narrowest


def _response_model(calls: list[Call]) -> str | None:
    """The model that answered: some write the requested one in its place, which then is the less telling."""
    told = [one.response_model for one in calls if one.response_model is not None]
    asked = {one.request_model for one in calls}
    return next((model for model in told if model not in asked), told[0] if told else None)
