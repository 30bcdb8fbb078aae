"""The tree of routes in lines that people read, and who would be told by it. Pure."""

from collections.abc import Sequence
from datetime import datetime

from .incident import Incident
from .routing import BY_RULE, EVERY_INCIDENT, INCIDENT, Policy, Route, Routing, Told, unreachable
from .silence import muted_until

_UNITS_S = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def tree_lines(route: Route, depth: int = 0) -> list[str]:
    """The route and all below it, a line each, indented as they stand below each other."""
    fits = ", ".join(map(str, route.matchers)) or "everything"
    goes_on = ", and goes on" if route.goes_on else ""
    line = f"{'  ' * depth}{route.name}: {fits} -> {_told(route.policy)}{goes_on}; {_grouped(route)}"
    return [line, *(below for child in route.children for below in tree_lines(child, depth + 1))]


def unreachable_routes(routing: Routing) -> tuple[tuple[str, str], ...]:
    """Routes that nothing ever reaches, each with the reason."""
    return tuple(unreachable(routing.tree)) if routing.tree else ()


def told_lines(routing: Routing, incident: Incident, notify: Sequence[str], now: datetime) -> list[str]:
    """Who would be told of this incident, when and why."""
    told = routing.told(incident, notify)
    lines = [line for one in told for line in _told_lines(one, routing, now)]
    return lines or ["Nobody is told: information is told by routes alone that match on severity."]


def _told_lines(told: Told, routing: Routing, now: datetime) -> list[str]:
    policy = told.policy
    lines = [f"{told.route} tells {_told(policy)}"]
    lines += [] if told.route == BY_RULE else [f"  because {' > '.join(told.path)}"]
    if INCIDENT in told.labels:
        lines.append("  by itself")
    else:
        group = ", ".join(f"{name}={value or '(none)'}" for name, value in told.labels.items())
        lines.append(f"  together with what has {group or 'come by this route'}")
    lines.append(f"  {_waits(policy)}")
    muted = muted_until(policy.mute_times, routing.mute_times, now)
    if muted:
        lines.append(f"  not now: mute time {muted[0]} holds until {muted[1]:%Y-%m-%d %H:%M} UTC")
    return lines


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
