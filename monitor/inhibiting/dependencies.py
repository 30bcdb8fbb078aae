"""Which targets and services stand behind which others: who depends on whom, as the configuration says. Pure.

A target and a service of one name are one thing, seen from both sides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

DEPENDS_MAX = 50
"""On how many others one may depend by itself: a person has to read them."""

Needs = Mapping[str, Sequence[str]]
"""What each depends on by itself, by its name."""


class ServiceConfig(BaseModel):
    """What is known of a service that sends traces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depends_on: list[str] = Field(
        default_factory=list,
        max_length=DEPENDS_MAX,
        description="Targets and services without which it cannot work, by name.",
    )


@dataclass(frozen=True, slots=True)
class Dependants:
    """What depends on one parent, by itself or over others: targets and services, by name."""

    targets: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


def dependants(targets: Needs, services: Needs) -> dict[str, Dependants]:
    """What depends on each parent, by the parent's name. There must be no circle."""
    needs = merged(targets, services)
    above = {name: _above(needs, name) for name in needs}
    parents = dict.fromkeys(parent for named in above.values() for parent in sorted(named))
    return {
        parent: Dependants(
            tuple(one for one in targets if parent in above[one]),
            tuple(one for one in services if parent in above[one]),
        )
        for parent in parents
    }


def merged(targets: Needs, services: Needs) -> dict[str, tuple[str, ...]]:
    """What each name depends on by itself, whether it is that of a target, of a service or of both."""
    return {
        name: tuple(dict.fromkeys((*targets.get(name, ()), *services.get(name, ()))))
        for name in (*targets, *services)
    }


def _above(needs: Needs, name: str) -> set[str]:
    """All on which it depends, by itself or over others."""
    found, waiting = set[str](), list(needs.get(name, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(needs.get(one, ()))
    return found


def circle(needs: Needs, name: str) -> tuple[str, ...]:
    """The way from ``name`` over what it depends on back to itself; nothing where there is none."""
    came_from: dict[str, str] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop(0)
        for above in needs.get(one, ()):
            if above == name:
                return tuple(_way(came_from, name, one))
            if above not in came_from:
                came_from[above] = one
                waiting.append(above)
    return ()


def _way(came_from: Mapping[str, str], start: str, end: str) -> Iterator[str]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    yield from reversed(way)
    yield start
