"""Where spans come from: what a resource tells of its service, and the attributes that were asked to be kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..dialects.values import text

VALUE_MAX = 128
"""The longest value of a chosen attribute that is kept; the rest is cut off."""

Chosen = tuple[tuple[str, str], ...]
"""Attributes that were chosen to be looked at, with their values as texts."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """A resource; one that is met again is the same object."""

    attributes: Mapping[str, object]
    service_name: str | None
    service_version: str | None
    environment: str | None
    chosen: Mapping[str, str]

    @property
    def gaps(self) -> int:
        """Which of the facts that a span may tell in its place it does not tell, as a number."""
        return (self.service_version is None) + 2 * (self.environment is None)


def origin_of(attributes: Mapping[str, object], chosen_keys: Sequence[str]) -> Origin:
    """The origin that the attributes of a resource tell."""
    return Origin(
        attributes,
        text(attributes.get("service.name")),
        text(attributes.get("service.version")),
        text(attributes.get("deployment.environment.name")) or text(attributes.get("deployment.environment")),
        {key: told for key in chosen_keys if (told := as_text(attributes.get(key))) is not None},
    )


def chosen_of(attributes: Mapping[str, object], origin: Origin, chosen_keys: Sequence[str]) -> Chosen:
    """What a span holds of the chosen attributes, or its resource where the span does not."""
    found = ((key, as_text(attributes.get(key)) or origin.chosen.get(key)) for key in chosen_keys)
    return tuple((key, told) for key, told in found if told is not None)


def as_text(value: object) -> str | None:
    """An attribute's value as it is compared and counted; ``None`` for lists, maps and what is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value.strip()[:VALUE_MAX] or None if isinstance(value, str) else None
