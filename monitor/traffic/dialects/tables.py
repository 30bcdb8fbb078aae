"""What a dialect's table is made of: where each fact of a call may lie in a span.

A place is written as a path: ``gen_ai.request.model`` is an attribute, ``llm.invocation_parameters > model`` lies
in the JSON in an attribute, ``langfuse.observation.metadata.*`` is the document of all attributes that begin so,
and ``@gen_ai.choice > finish_reason`` is an attribute of the last event of that name. The places of a fact are
synonyms, the most telling first: the first that holds it wins, and they are never added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from ..calls import Operation


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value may lie."""

    written: str
    key: str
    path: tuple[str, ...] = ()
    is_event: bool = False
    is_deep: bool = False
    """It is more than the value of one attribute."""


def places(*written: str) -> tuple[Place, ...]:
    """The places that are written like the ones in this module's description."""
    return tuple(_place(one) for one in written)


def _place(written: str) -> Place:
    key, *path = (step.strip() for step in written.split(" > "))
    is_event = key.startswith("@")
    is_deep = is_event or bool(path) or key.endswith(".*")
    return Place(written, key.removeprefix("@"), tuple(path), is_event, is_deep)


class Clock(Enum):
    """How a time to the first token is told."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    EITHER = "seconds, or milliseconds where seconds would be longer than the call"
    MOMENT = "a moment"
    EVENT = "the time of the first event of this name"


@dataclass(frozen=True, slots=True)
class FirstToken:
    """A place that tells when the first token came."""

    clock: Clock
    place: Place


def first_token(clock: Clock, *written: str) -> tuple[FirstToken, ...]:
    """Places that tell the first token in the same way."""
    return tuple(FirstToken(clock, place) for place in places(*written))


@dataclass(frozen=True, slots=True)
class Kinds:
    """An attribute that tells what a span is: its values (in lower case) that are calls.

    ``is_final``: any other value is no call. Else the next attribute decides, unless the value is one of
    ``containers``. ``after``: only what comes after the last of this counts. ``is_ending``: the values
    need only end like those that are calls.
    """

    key: str
    calls: Mapping[str, Operation]
    is_final: bool = True
    containers: frozenset[str] = frozenset()
    after: str = ""
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the facts of a call lie."""

    provider: tuple[Place, ...] = ()
    provider_of_model: tuple[Place, ...] = ()
    """Models with their provider in front: ``openai/gpt-4o``."""
    request_model: tuple[Place, ...] = ()
    response_model: tuple[Place, ...] = ()
    outcome_model: tuple[Place, ...] = ()
    """The model that answered where there is an answer, else the one that was asked for."""
    response_id: tuple[Place, ...] = ()
    finish_reason: tuple[Place, ...] = ()
    streaming: tuple[Place, ...] = ()
    session: tuple[Place, ...] = ()
    service_version: tuple[Place, ...] = ()
    environment: tuple[Place, ...] = ()
    first_token: tuple[FirstToken, ...] = ()
    input: tuple[Place, ...] = ()
    cached: tuple[Place, ...] = ()
    written: tuple[Place, ...] = ()
    output: tuple[Place, ...] = ()
    reasoning: tuple[Place, ...] = ()
    total: tuple[Place, ...] = ()
    usage: tuple[Place, ...] = ()
    """Usage objects: counts under the names that the provider gives them."""
    answers: tuple[Place, ...] = ()
    """Documents that hold the provider's answer; read when a fact lies nowhere else."""
    failed: tuple[Place, ...] = ()
    """Texts that say ``error`` when the call failed."""
    error_types: tuple[Place, ...] = ()
    error_messages: tuple[Place, ...] = ()

    def before(self, others: "Facts") -> "Facts":
        """These places, and after them those of the others that are not among them."""
        joined = {
            one.name: _joined(getattr(self, one.name), getattr(others, one.name)) for one in fields(Facts)
        }
        return Facts(**joined)


def _joined(first: tuple[Any, ...], others: tuple[Any, ...]) -> tuple[Any, ...]:
    known = {_written(one) for one in first}
    return (*first, *(one for one in others if _written(one) not in known))


def _written(one: Place | FirstToken) -> str:
    return one.place.written if isinstance(one, FirstToken) else one.written


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of writing a call down as a span."""

    name: str
    marks: Sequence[str] = ()
    """Attributes that only this dialect writes."""
    scopes: Sequence[str] = ()
    """What the names of the instrumentation scopes begin with that speak it."""
    kinds: Sequence[Kinds] = ()
    facts: Facts = field(default_factory=Facts)
    names: Mapping[str, Operation] = field(default_factory=dict)
    """Names of spans that are calls, where no attribute says so; behind the name the model may stand."""
    provider: str | None = None
    """Whose calls they are when the spans do not say: an SDK of a provider asks no other."""
    is_first_hand: bool = False
    """It is written by who spoke with the provider, and copies its counts as they came."""
    concludes: bool = False
    """A span that does not say what it is counts as a call when it tells what only calls have."""
    scopes_with_cache_beside: Sequence[str] = ()
    """Parts of the names of scopes that give cached tokens beside the input tokens, not in them."""
    ids_made_up: Sequence[str] = ()
    """Attributes with ids of the library's own, which it also writes where the provider's id belongs."""
    echoes_request_model: bool = False
    """It writes the requested model where the answering one belongs, when it does not know that."""
    streams: frozenset[str] = frozenset()
    """Values of the first of ``kinds`` that only streams have."""
    tells_first_token_of_all: bool = False
    """It tells a first token also of calls that were no streams, where it is the end of the call."""
    tells_ends_of_streams: bool = False
    """A stream that began, and of which it tells no end, was cut: it takes that for success."""
    tells_ends_beside: str = ""
    """Only where a span has this attribute does it tell how streams end."""
    log_kind: tuple[str, str] | None = None
    """An attribute and its value that mark the end of a stream, told by a span of its own without length."""
    log_duration: str = ""
    """The attribute with the length of that stream in seconds."""
    prompt: str = ""
    """The attribute with the prompt, by which such an end is matched with its beginning."""
