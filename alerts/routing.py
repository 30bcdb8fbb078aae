"""Who is told of what, and how: a tree of routes, as in Prometheus Alertmanager. Pure.

An incident goes down the tree: into the first child that fits it, and with ``goes_on`` into later ones too. Where no
child fits, the route itself tells its receivers. Without a tree the rule of each watch and target names who is told.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .finding import Severity
from .incident import Incident
from .matcher import KEY, SEVERITY, Matcher, Operator, all_fit, facts_of
from .silence import MuteTime

BY_RULE = "notify"
"""The name of the route that each rule has by itself where there is no tree."""

EVERY_INCIDENT = "..."
"""In place of labels: each incident is told by itself."""

INCIDENT = "incident"
"""The label of a group that holds one incident."""


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """Whom else to tell of what nobody has acknowledged for so long."""

    after_s: float
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a route tells: whom, after which waits, and when not. Without ``repeat_interval_s`` it does not repeat."""

    receivers: tuple[str, ...] = ()
    group_wait_s: float = 0.0
    group_interval_s: float = 0.0
    repeat_interval_s: float | None = None
    escalation: tuple[EscalationStep, ...] = ()
    mute_times: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree, with all that it takes from those above it. ``name`` is its place: ``route.routes[1]``."""

    name: str
    matchers: tuple[Matcher, ...]
    policy: Policy
    group_by: tuple[str, ...] = (KEY,)
    goes_on: bool = False
    children: tuple["Route", ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """That an incident is told by a route, together with others that have the same ``labels``."""

    route: str
    labels: Mapping[str, str]
    policy: Policy
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Routing:
    """Who is told of what in a deployment. What fires again within ``reopen_s`` is the same incident once more."""

    tree: Route | None = None
    mute_times: Mapping[str, MuteTime] = field(default_factory=dict)
    reopen_s: float = 0.0

    def told(self, incident: Incident, notify: Sequence[str]) -> tuple[Told, ...]:
        """The routes that tell this incident. ``notify`` is whom its rule names."""
        if self.tree is None:
            if incident.severity is Severity.INFO:
                return ()
            return (Told(BY_RULE, {INCIDENT: incident.id}, Policy(receivers=tuple(notify)), (BY_RULE,)),)
        facts = facts_of(incident.key, incident.finding, incident.severity)
        return tuple(
            Told(path[-1].name, _group_labels(path[-1], facts, incident.id), path[-1].policy, _written(path))
            for path in matching_paths(self.tree, facts)
            if incident.severity is not Severity.INFO or _asks_for_severity(path)
        )

    def policies(self) -> dict[str, Policy]:
        """The policy of every route by its name."""
        return {} if self.tree is None else {route.name: route.policy for route in routes_below(self.tree)}


def matching_paths(route: Route, facts: Mapping[str, str]) -> tuple[tuple[Route, ...], ...]:
    """The ways down to the routes that tell what has these facts; each begins with ``route``."""
    if not all_fit(route.matchers, facts):
        return ()
    paths: list[tuple[Route, ...]] = []
    for child in route.children:
        below = matching_paths(child, facts)
        paths += [(route, *path) for path in below]
        if below and not child.goes_on:
            break
    return tuple(paths) or ((route,),)


def routes_below(route: Route) -> Iterator[Route]:
    """The route and all below it, in the order of the configuration."""
    yield route
    for child in route.children:
        yield from routes_below(child)


def unreachable(route: Route, above: tuple[Matcher, ...] = ()) -> Iterator[tuple[str, str]]:
    """Names of routes that nothing can ever reach, each with the reason."""
    known = (*above, *route.matchers)
    for number, child in enumerate(route.children):
        reason = _contradiction((*known, *child.matchers)) or _taken(route.children[:number], child)
        if reason:
            yield child.name, reason
        else:
            yield from unreachable(child, known)


def _taken(before: Iterable[Route], child: Route) -> str:
    for sibling in before:
        if not sibling.goes_on and set(sibling.matchers) <= set(child.matchers):
            return f"{sibling.name} comes first and takes all of it; put it after this one, or set continue there"
    return ""


def _contradiction(matchers: Sequence[Matcher]) -> str:
    for one in matchers:
        if one.operator is not Operator.IS:
            continue
        for other in matchers:
            if other.name == one.name and not other.fits({one.name: one.value}):
                return f"nothing fits {one} and {other} at a time"
    return ""


def _group_labels(route: Route, facts: Mapping[str, str], incident_id: str) -> dict[str, str]:
    if EVERY_INCIDENT in route.group_by:
        return {INCIDENT: incident_id}
    return {name: facts.get(name, "") for name in sorted(route.group_by)}


def _asks_for_severity(path: Iterable[Route]) -> bool:
    # Information is told to nobody who has not asked for it by name.
    return any(matcher.name == SEVERITY for route in path for matcher in route.matchers)


def _written(path: Iterable[Route]) -> tuple[str, ...]:
    return tuple(f"{route.name}: {', '.join(map(str, route.matchers)) or 'everything'}" for route in path)
