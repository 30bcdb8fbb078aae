"""The tree of routes in lines that people read, and who would be told by it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time

from .incident import Incident
from .routing import BY_RULE, EVERY_INCIDENT, INCIDENT, Policy, Route, Routing, Told, unreachable
from .silence import WEEK_DAYS, MuteTime, muted_until

_UNITS_S = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


NOBODY = "Nobody is told: information is told by routes alone that match on severity."
"""What is said where no route tells it."""


@dataclass(frozen=True, slots=True)
class RouteWords:
    """A route in words: what fits it, whom it tells, how, and how deep in the tree it stands."""

    name: str
    depth: int
    fits: str
    tells: str
    how: str
    goes_on: bool


@dataclass(frozen=True, slots=True)
class ToldWords:
    """How a route would tell an incident, in words; ``not_now`` is empty unless something mutes it."""

    route: str
    tells: str
    because: str
    together: str
    when: str
    not_now: str


def tree_words(route: Route, depth: int = 0) -> list[RouteWords]:
    """The route and all below it, in the order of the configuration."""
    fits = ", ".join(map(str, route.matchers)) or "everything"
    mine = RouteWords(route.name, depth, fits, _told(route.policy), _grouped(route), route.goes_on)
    return [mine, *(below for child in route.children for below in tree_words(child, depth + 1))]


def tree_lines(route: Route) -> list[str]:
    """The route and all below it, a line each, indented as they stand below each other."""
    return [
        f"{'  ' * one.depth}{one.name}: {one.fits} -> {one.tells}{', and goes on' if one.goes_on else ''}; {one.how}"
        for one in tree_words(route)
    ]


def unreachable_routes(routing: Routing) -> tuple[tuple[str, str], ...]:
    """Routes that nothing ever reaches, each with the reason."""
    return tuple(unreachable(routing.tree)) if routing.tree else ()


def told_lines(routing: Routing, incident: Incident, notify: Sequence[str], now: datetime) -> list[str]:
    """Who would be told of this incident, when and why."""
    told = routing.told(incident, notify)
    lines = [line for one in told for line in _told_lines(one, routing, now)]
    return lines or [NOBODY]


def told_words(told: Told, routing: Routing, now: datetime) -> ToldWords:
    """How a route would tell what it tells, from now on."""
    policy = told.policy
    group = ", ".join(f"{name}={value or '(none)'}" for name, value in told.labels.items())
    is_alone = INCIDENT in told.labels
    muted = muted_until(policy.mute_times, routing.mute_times, now)
    return ToldWords(
        route=told.route,
        tells=_told(policy),
        because="" if told.route == BY_RULE else " > ".join(told.path),
        together="by itself" if is_alone else f"together with what has {group or 'come by this route'}",
        when=_waits(policy),
        not_now=f"mute time {muted[0]} holds until {muted[1]:%Y-%m-%d %H:%M} UTC" if muted else "",
    )


def _told_lines(told: Told, routing: Routing, now: datetime) -> list[str]:
    one = told_words(told, routing, now)
    lines = [
        f"{one.route} tells {one.tells}",
        f"  because {one.because}" if one.because else "",
        f"  {one.together}",
        f"  {one.when}",
        f"  not now: {one.not_now}" if one.not_now else "",
    ]
    return [line for line in lines if line]


def mute_time_words(muted: MuteTime) -> str:
    """When a mute time holds: ``monday, tuesday 22:00-07:00 (Europe/Berlin)``."""
    days = (
        "every day" if len(muted.days) == WEEK_DAYS else ", ".join(_DAYS[day] for day in sorted(muted.days))
    )
    # A part of a day that ends at its end has midnight there, as the clock shows it.
    ranges = ", ".join(
        f"{one.start:%H:%M}-{f'{one.end:%H:%M}' if one.end > time() else '24:00'}" for one in muted.ranges
    )
    return f"{days} {ranges} ({muted.zone.key})"


def _told(policy: Policy) -> str:
    told = ", ".join(policy.receivers) or "nobody"
    steps = (f", after {_span(step.after_s)} {', '.join(step.receivers)}" for step in policy.escalation)
    return told + "".join(steps)


def _grouped(route: Route) -> str:
    if EVERY_INCIDENT in route.group_by:
        return f"each by itself, {_waits(route.policy)}"
    together = f"together by {', '.join(route.group_by)}" if route.group_by else "all together"
    return f"{together}, {_waits(route.policy)}"


def _waits(policy: Policy) -> str:
    repeat = policy.repeat_interval_s
    parts = [
        f"after {_span(policy.group_wait_s)}" if policy.group_wait_s else "at once",
        f"changes every {_span(policy.group_interval_s)} at most" if policy.group_interval_s else "",
        f"again every {_span(repeat)}" if repeat else "",
        f"muted {', '.join(policy.mute_times)}" if policy.mute_times else "",
    ]
    return ", ".join(part for part in parts if part)


def _span(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS_S if seconds >= size), _UNITS_S[-1])
    return f"{seconds / size:g} {unit}"
