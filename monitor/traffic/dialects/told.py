"""What a span tells, by the places of a table, and where each fact was found."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..otlp import Event, Span
from .documents import dig, parse
from .tables import Place

Value = TypeVar("Value")


class Told:
    """What a span tells; remembers what gave each fact, and the documents that it parsed."""

    def __init__(self, span: Span) -> None:
        """Start with nothing looked up."""
        self.span = span
        self.sources: dict[str, str] = {}
        self._documents: dict[str, object] = {}

    def find(
        self, fact: str, where: Sequence[Place], convert: Callable[[object], Value | None]
    ) -> Value | None:
        """The first of the places that holds something which ``convert`` can read."""
        attributes = self.span.attributes
        for place in where:
            raw = self._deep(place) if place.is_deep else attributes.get(place.key)
            if raw is None:
                continue
            value = convert(raw)
            if value is not None:
                self.sources[fact] = place.written
                return value
        return None

    def _deep(self, place: Place) -> object:
        attributes, path = self.span.attributes, place.path
        if place.is_event:
            event = last_event(self.span.events, place.key)
            if event is None or not path:
                return None
            attributes, key, path = event.attributes, path[0], path[1:]
            return dig(attributes.get(key), path)
        if place.key.endswith(".*"):
            prefix = place.key.removesuffix("*")
            return {key[len(prefix) :]: raw for key, raw in attributes.items() if key.startswith(prefix)}
        if place.key not in attributes:
            return None
        if place.key not in self._documents:
            self._documents[place.key] = parse(attributes[place.key])
        return dig(self._documents[place.key], path)


def last_event(events: Sequence[Event], name: str) -> Event | None:
    """The last event of the name."""
    return next((event for event in reversed(events) if event.name == name), None)


def of_answer(told: Told, fact: str, value: Value | None) -> Value | None:
    """The value, noted as one that the answer gave."""
    if value is not None:
        told.sources[fact] = told.sources.get("answer", "")
    return value
