"""Pairs of reports that are of one call, in four degrees of how sure that is.

A pair names the places of two reports in the list that was given, and says why they belong together.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..calls import Call
from ..dialects import Report
from .likeness import (
    SLACK_S,
    apart_s,
    are_alike,
    are_rivals,
    distance,
    have_same_tokens,
    inputs_of,
    is_telling,
    is_untold,
    may_be_within,
)

ID_SLACK_S = 5.0
"""How far apart two reports with one id may lie: the clocks of two machines. A cached answer comes later again."""


CONTINUED_MAX_S = 1.0
"""How long after the span of its beginning the end of a stream may begin."""


NEAREST_MAX = 64
"""With how many reports of another emitter, those that began last before it, a report is compared."""


Pair = tuple[int, int, str]


def with_same_id(reports: Sequence[Report]) -> Iterator[Pair]:
    """Reports with the same telling id, near to each other in time."""
    by_id: dict[str, list[int]] = defaultdict(list)
    for place, report in enumerate(reports):
        response_id = report.call.response_id
        if response_id is not None and is_telling(response_id):
            by_id[response_id].append(place)
    for same in by_id.values():
        same.sort(key=lambda place: reports[place].call.started_at)
        near = [
            (distance(reports[one].call, reports[other].call), one, other)
            for start, one in enumerate(same)
            for other in same[start + 1 : start + 1 + NEAREST_MAX]
            if apart_s(reports[one].call, reports[other].call) <= ID_SLACK_S
            and not are_rivals(reports[one], reports[other])
        ]
        yield from ((one, other, "the same response id") for _, one, other in sorted(near))


def continued(reports: Sequence[Report]) -> Iterator[Pair]:
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


def _continues(beginning: Call, end: Call) -> bool:
    return -SLACK_S <= end.started_at - beginning.ended_at <= CONTINUED_MAX_S


def nested(reports: Sequence[Report]) -> Iterator[Pair]:
    """A report with the one report below it that tells the same call."""
    for parent, children in children_of(reports).items():
        outer = reports[parent].call
        same = [child for child in children if may_be_within(reports[parent], reports[child])]
        with_tokens = [child for child in same if have_same_tokens(outer, reports[child].call)]
        if len(same) == 1 or len(with_tokens) == 1:
            yield parent, (with_tokens or same)[0], "one is the parent of the other, and they agree"
        elif same and outer.error and all(reports[child].call.error for child in same):
            yield parent, same[-1], "one is the parent of the other, and failed as its last attempt did"


def children_of(reports: Sequence[Report]) -> Mapping[int, list[int]]:
    """The places of the reports directly below each report."""
    places = {key_of(one): place for place, one in enumerate(reports)}
    children: dict[int, list[int]] = defaultdict(list)
    for place in _in_time(reports):
        report = reports[place]
        parent = places.get((report.call.trace_id, report.parent_span_id))
        if parent is not None and parent != place:
            children[parent].append(place)
    return children


def _in_time(reports: Sequence[Report]) -> list[int]:
    return sorted(range(len(reports)), key=lambda place: reports[place].call.started_at)


def alike(reports: Sequence[Report]) -> Iterator[Pair]:
    """Reports of different emitters at the same time, with the same tokens or the same error, the nearest first."""
    found: list[tuple[object, int, int, str]] = []
    for places in _comparable(reports).values():
        begun: dict[str, list[int]] = {reports[place].emitter: [] for place in places}
        if len(begun) == 1:
            continue
        for place in sorted(places, key=lambda one: reports[one].call.started_at):
            report = reports[place]
            for emitter, others in begun.items():
                if emitter != report.emitter:
                    same = [one for one in others[-NEAREST_MAX:] if are_alike(reports[one], report)]
                    found += [_by_distance(reports, one, place) for one in same]
            begun[report.emitter].append(place)
    found.sort()
    yield from ((one, other, why) for _, one, other, why in found)


def _by_distance(reports: Sequence[Report], one: int, other: int) -> tuple[object, int, int, str]:
    """The pair, behind what it is sorted by: equally near ones go by their beginnings, then by their ids."""
    first, second = reports[one].call, reports[other].call
    apart_s = round(distance(first, second), 6), round(abs(first.started_at - second.started_at), 6)
    order = (*apart_s, *sorted([(first.trace_id, first.span_ids[0]), (second.trace_id, second.span_ids[0])]))
    why = "the same error" if second.error else "the same tokens"
    if is_untold(reports[one]) or is_untold(reports[other]):
        why = "the provider's own SDK tells of it"
    return order, one, other, f"{why} at the same time"


def _comparable(reports: Sequence[Report]) -> Mapping[object, list[int]]:
    """Places of reports that may be alike: of one service and operation, with the same tokens or an error."""
    buckets: dict[object, list[int]] = defaultdict(list)
    for place, report in enumerate(reports):
        call = report.call
        same = service_of(call)
        if call.error:
            buckets[(*same, "error")].append(place)
        for tokens in inputs_of(call):
            buckets[(*same, tokens)].append(place)
    _with_untold(reports, buckets)
    return buckets


def _with_untold(reports: Sequence[Report], buckets: dict[object, list[int]]) -> None:
    """Beside the reports that tell nothing of what came back, all that may tell it in their place."""
    services = {service_of(report.call) for report in reports if is_untold(report)}
    for place, report in enumerate(reports) if services else ():
        if service_of(report.call) in services:
            buckets[(*service_of(report.call), "untold")].append(place)


def service_of(call: Call) -> tuple[object, ...]:
    """What two reports of one call have in common in any case."""
    return call.service_name, call.environment, call.operation


def key_of(report: Report) -> object:
    """What tells a report from all others."""
    return report.call.trace_id, report.call.span_ids[0]
