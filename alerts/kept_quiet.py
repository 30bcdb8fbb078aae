"""What keeps people from hearing of an incident now: by the very look that decides it for each of its routes. Pure."""

from dataclasses import dataclass
from datetime import datetime

from .grouping import Held, Quiet, what_holds
from .incident import Incident
from .routing import Policy, Routing


@dataclass(frozen=True, slots=True)
class KeptQuiet:
    """What holds an incident back; ``routes`` are those for which it does, none where it does for all of them."""

    held: Held
    routes: tuple[str, ...] = ()


def kept_quiet(incident: Incident, routing: Routing, quiet: Quiet, now: datetime) -> tuple[KeptQuiet, ...]:
    """All that keeps people from hearing of an incident that is not over."""
    if not incident.is_open:
        return ()
    policies = {told.route: told.policy for told in routing.told(incident, ())} or {"": Policy()}
    found: dict[Held, list[str]] = {}
    for route, policy in policies.items():
        if (reason := what_holds(incident, policy, quiet, now)) is not None:
            found.setdefault(reason, []).append(route)
    return tuple(
        KeptQuiet(reason, () if len(routes) == len(policies) else tuple(routes))
        for reason, routes in found.items()
    )
