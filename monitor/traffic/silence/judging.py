"""Silence told apart from health: what is said of services that are quiet, and of what does not get in.

Pure: what was counted goes in, a sentence and a state come out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dashboards.view import Hearing
from dashboards.words import span

from ..windows.series import MINUTE_S, minute_of
from .active_minutes import ALL, ActiveMinutes
from .ingest_counts import IngestCounts, Loss
from .rhythm import Rhythm, recent_share

PAUSE_S = 300.0
"""A service that was quiet for so long is said to pause."""

RETIRED_S = 3 * 86_400.0
"""A service that was silent for so long is gone for good: its incident ends, and says so."""

SAME_MOMENT_S = 120.0
"""Services that stop together make their last calls in minutes as near as this."""

REFUSED_MIN = 5
"""So many requests must have been refused before it means something."""

REFUSED_MINUTES_MIN = 3
"""In so many of the minutes that are looked at: a burst that a sender repeats later is no breakdown."""

BROKEN_SHARE = 0.5
"""From this share of requests on that we could not take, nothing that is watched here can be believed."""

PARTLY_SHARE = 0.1
"""From this share on somebody should look at what is refused."""

LOST_MIN = 10
LOST_SHARE = 0.01
"""So many spans of a service, and such a share of them, must have lost something before it means something."""

_REFUSALS = {
    400: "could not be read",
    401: "did not show the token",
    413: "were too large",
    415: "were in a form that is not read",
    429: "were more than can be taken",
    500: "failed by a defect here",
    503: "could not be stored, or arrived too slowly",
}
"""The statuses that mean that traces were lost or put off. Not 404 and 405: exporters send metrics and logs as well."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One service (or ``ALL``): what is known of it, in a sentence, and the evidence where it is silent."""

    service: str
    hearing: Hearing
    reason: str
    quiet_s: float | None = None
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Listening:
    """Since when calls could have come in, and how long after their end the calls of a service come, at worst."""

    since_s: float
    lag_s: float = 0.0


def hear(service: str, minutes: ActiveMinutes, rhythm: Rhythm, listening: Listening, now_s: float) -> Heard:
    """Whether the service is quiet for longer than its rhythm explains."""
    last = minutes.last(service)
    name = _name(service)
    if last is None:
        return Heard(service, Hearing.NOT_JUDGED, f"{name} has made no call in the past weeks")
    quiet_s = max(0.0, now_s - (last + MINUTE_S))
    if not rhythm.is_judged:
        return Heard(service, Hearing.NOT_JUDGED, f"{name} is not judged: {rhythm.problem}", quiet_s)
    if quiet_s >= RETIRED_S:
        reason = f"{name} has made no call for {span(quiet_s)} and counts as gone for good"
        return Heard(service, Hearing.RETIRED, reason, quiet_s)
    share = recent_share(rhythm, minutes.of(service), minutes.origin, last)
    heard_up_to = minute_of(now_s - listening.lag_s)
    due = rhythm.due(last, heard_up_to) * share
    if due <= rhythm.limit:
        return Heard(service, Hearing.HEARD, _as_usual(name, rhythm, last, quiet_s), quiet_s)
    since = max(last, minute_of(listening.since_s) + MINUTE_S)
    if rhythm.due(since, heard_up_to) * share <= rhythm.limit:
        reason = f"{name} is quiet for {span(quiet_s)}, and part of that time nobody listened"
        return Heard(service, Hearing.HELD, reason, quiet_s)
    reason = (
        f"{name} is silent: no call for {span(quiet_s)}, and by the usual rhythm {due:.0f} minutes with calls"
    )
    evidence = (
        ("quiet for", span(quiet_s)),
        ("minutes with calls that were due", f"{due:.1f}, about once a quarter {rhythm.limit:.1f} stay away"),
        ("rhythm", f"of {rhythm.days:.0f} days, by hour of the week"),
    )
    return Heard(service, Hearing.SILENT, f"{reason} were due", quiet_s, evidence)


def expect(
    service: str, within_s: float, minutes: ActiveMinutes, listening: Listening, now_s: float
) -> Heard:
    """Whether the service is quiet for longer than the operator allows."""
    last = minutes.last(service)
    since_s = listening.since_s if last is None else last + MINUTE_S
    quiet_s = max(0.0, now_s - since_s)
    allowed = f"at least one is expected within {span(within_s)}"
    if quiet_s <= within_s:
        return Heard(service, Hearing.HEARD, f"{service}: {allowed}", quiet_s)
    if now_s - listening.since_s <= within_s:
        reason = f"{service} is quiet for {span(quiet_s)}, and part of that time nobody listened"
        return Heard(service, Hearing.HELD, reason, quiet_s)
    reason = f"{service} is silent: no call for {span(quiet_s)}, {allowed}"
    return Heard(service, Hearing.SILENT, reason, quiet_s, (("quiet for", span(quiet_s)),))


def hear_all(total: Heard, services: Sequence[Heard]) -> Heard:
    """Whether nobody calls: by the rhythm of all together, or as nobody has called since a service fell silent."""
    if total.hearing not in (Hearing.HEARD, Hearing.NOT_JUDGED):
        return total
    for one in services:
        if one.hearing is Hearing.SILENT and _nobody_called_since(one, total):
            reason = f"No service makes calls, for {span(total.quiet_s or 0.0)} now. {one.reason}"
            return Heard(ALL, Hearing.SILENT, reason, total.quiet_s, one.evidence)
    return total


def _nobody_called_since(one: Heard, total: Heard) -> bool:
    if one.quiet_s is None or total.quiet_s is None:
        return False
    return total.quiet_s >= one.quiet_s - SAME_MOMENT_S


def _name(service: str) -> str:
    return service or "The traffic of all services"


def _as_usual(name: str, rhythm: Rhythm, last: int, quiet_s: float) -> str:
    if quiet_s < PAUSE_S:
        return f"{name} makes calls"
    return f"{name} pauses for {span(quiet_s)}, as it sometimes does"


_OUR_REFUSALS = (429, 500, 503)
"""Those that may meet any sender. What one sender does wrong says nothing of the traces of others: otherwise whoever
can reach the port could have all watches held."""


class Extent(StrEnum):
    """How much of what senders want to hand over is refused."""

    NONE = "none"
    UNKNOWN = "unknown"
    """Nobody sends anything."""
    PARTLY = "partly"
    BROKEN = "broken"
    """Nobody gets in, or we refuse most of what comes ourselves."""


@dataclass(frozen=True, slots=True)
class Intaking:
    """How much is refused of what senders want to hand over: in a sentence, with the counts by reason."""

    extent: Extent
    share: float
    reason: str
    evidence: tuple[tuple[str, str], ...] = ()


def judge_intake(minutes: Sequence[Mapping[int, int]], over_s: float) -> Intaking:
    """Whether requests are refused; each of ``minutes`` has the requests of one look, by the status of the answer.

    ``over_s`` is how long all of them took.
    """
    refused = {code: count for code in _REFUSALS if (count := sum(one.get(code, 0) for one in minutes))}
    taken, lost = sum(one.get(200, 0) for one in minutes), sum(refused.values())
    if not taken + lost:
        return Intaking(Extent.UNKNOWN, 0.0, "Nobody sends anything")
    share = lost / (taken + lost)
    of = f"{lost} of {taken + lost} export requests of the last {span(over_s)}"
    in_minutes = sum(any(one.get(code) for code in _REFUSALS) for one in minutes)
    if lost < REFUSED_MIN or in_minutes < REFUSED_MINUTES_MIN or share < PARTLY_SHARE:
        return Intaking(Extent.NONE, share, f"{of} were refused")
    by_count = sorted(refused.items(), key=lambda item: -item[1])
    why = ", ".join(f"{count} {_REFUSALS[code]} ({code})" for code, count in by_count)
    evidence = tuple((f"answered by {code}", str(count)) for code, count in by_count)
    ours = sum(refused.get(code, 0) for code in _OUR_REFUSALS)
    is_broken = not taken or ours >= BROKEN_SHARE * (taken + lost)
    what = "No traces get in" if not taken else f"{'Most' if is_broken else 'Some'} traces do not get in"
    extent = Extent.BROKEN if is_broken else Extent.PARTLY
    return Intaking(extent, share, f"{what}: {of} were refused. {why}", evidence)


@dataclass(frozen=True, slots=True)
class SpanLoss:
    """How many spans of a service lost something on their way; the sentence is empty while that means nothing."""

    service: str
    share: float
    spans: int
    reason: str = ""
    evidence: tuple[tuple[str, str], ...] = ()


_HOW_LOST = {
    Loss.ATTRIBUTES: "attributes dropped by the sender (its attribute count limit); tokens may be among them, and then "
    "counts and costs are too low",
    Loss.EVENTS: "events dropped by the sender (its event count limit)",
    Loss.LINKS: "links dropped by the sender (its link count limit)",
    Loss.FUTURE: "refused, as they are timed in the future: is the sender's clock right?",
    Loss.TOO_OLD: "refused, as they ended too long ago",
    Loss.INVALID: "refused, as they have no valid ids or times",
}


def judge_losses(counts: IngestCounts) -> list[SpanLoss]:
    """What was lost of each service's spans, by what was counted of late."""
    found = []
    for service, spans in sorted(counts.spans.items()):
        lost = {loss: counts.lost[service, loss] for loss in Loss if counts.lost[service, loss]}
        most = max(lost.values(), default=0)
        share = min(1.0, most / spans)
        if most < LOST_MIN or share < LOST_SHARE:
            found.append(SpanLoss(service, share, spans))
            continue
        name = service or "A sender without a name"
        how = "; ".join(f"{count} {_HOW_LOST[loss]}" for loss, count in lost.items())
        evidence = tuple((loss.value.replace("_", " "), f"{count} spans") for loss, count in lost.items())
        reason = f"{name} loses parts of its traces: of {spans} spans {how}"
        found.append(SpanLoss(service, share, spans, reason, evidence))
    return found
