"""Where spans come from: what a resource tells of its service, and the attributes that were asked to be kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..dialects.values import text, word

Chosen = tuple[tuple[str, str], ...]
"""Attributes that were chosen to be looked at, with their values as texts."""


Home = tuple[str | None, str | None, str | None]
"""The name and the version of a service, and the environment."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """A resource; one that is met again is the same object."""

    attributes: Mapping[str, object]
    service_name: str | None
    service_version: str | None
    environment: str | None
    chosen: Mapping[str, str]
    home: Home = field(init=False)
    """All of it that tells calls apart: that of the processes of one release is the same."""
    gaps: int = field(init=False)
    """Which of the facts that a span may tell in its place it does not tell, as a number."""

    def __post_init__(self) -> None:
        # Once, and not for every span.
        home = self.service_name, self.service_version, self.environment
        object.__setattr__(self, "home", home)
        object.__setattr__(self, "gaps", (self.service_version is None) + 2 * (self.environment is None))


def origin_of(attributes: Mapping[str, object], chosen_keys: Sequence[str]) -> Origin:
    """The origin that the attributes of a resource tell."""
    return Origin(
        attributes,
        text(attributes.get("service.name")),
        text(attributes.get("service.version")),
        text(attributes.get("deployment.environment.name")) or text(attributes.get("deployment.environment")),
        {key: told for key in chosen_keys if (told := word(attributes.get(key))) is not None},
    )


def chosen_of(attributes: Mapping[str, object], origin: Origin, chosen_keys: Sequence[str]) -> Chosen:
    """What a span holds of the chosen attributes, or its resource where the span does not."""
    found = ((key, word(attributes.get(key)) or origin.chosen.get(key)) for key in chosen_keys)
    return tuple((key, told) for key, told in found if told is not None)
