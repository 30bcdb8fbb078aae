"""What a reader asks of the attributes of a span, and what it asks each of them for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from enum import Enum
from functools import cache
from typing import Any

from ..dialects import DIALECTS, Dialect
from ..dialects.counts import USAGE_PREFIXES
from ..dialects.errors import STATUS_KEYS
from ..dialects.general import GENERAL
from ..dialects.kinds import ADDRESSES, TOOL_MARKS
from ..dialects.tables import Clock, Facts, FirstToken, Place


class Watched(dict[str, object]):
    """Attributes that note what they are asked for."""

    def __init__(self, attributes: Mapping[str, object]) -> None:
        """Start with nothing asked for."""
        super().__init__(attributes)
        self.asked: set[str] = set()
        """Whose presence was asked for."""
        self.read: set[str] = set()
        """Which are there, and their values were read."""
        self.is_read_whole = False

    def get(self, key: str, default: Any = None) -> Any:
        """The value, noted."""
        self.asked.add(key)
        if super().__contains__(key):
            self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> object:
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def items(self) -> Any:
        """All of them, noted."""
        self.is_read_whole = True
        return super().items()

    def values(self) -> Any:
        """All of them, noted."""
        self.is_read_whole = True
        return super().values()


class Role(Enum):
    """What the value of an attribute is for. Any that is in no role decides what the span is."""

    COUNT = "a number of tokens"
    RESPONSE_ID = "the id of the answer"
    SESSION = "the id of a session"
    FIRST_TOKEN = "when the first token came"  # noqa: S105  # no password
    ANSWER = "a document with the answer"
    MADE_UP_ID = "an id that is not the answer's"


@cache
def roles_of(dialect_name: str) -> Mapping[str, Role]:
    """The roles that attributes have in a dialect, each in one and in nothing else."""
    dialect = next(one for one in (*DIALECTS, GENERAL) if one.name == dialect_name)
    facts = dialect.facts
    counts = (*facts.input, *facts.cached, *facts.written, *facts.output, *facts.reasoning, *facts.total)
    told = [
        *((key, Role.COUNT) for key in _flat(counts)),
        *((key, Role.RESPONSE_ID) for key in _flat(facts.response_id)),
        *((key, Role.SESSION) for key in _flat(facts.session)),
        *((key, Role.FIRST_TOKEN) for key in _flat(_of_first_tokens(facts.first_token))),
        *((key, Role.ANSWER) for key in _flat(facts.answers)),
        *((key, Role.MADE_UP_ID) for key in dialect.ids_made_up),
    ]
    roles: dict[str, Role] = {}
    several = set(_deciding(dialect))
    for key, role in told:
        if roles.setdefault(key, role) is not role:
            several.add(key)
    return {key: role for key, role in roles.items() if key not in several}


def role_of(key: str, dialect: Dialect) -> Role | None:
    """The role of an attribute; ``None`` when its value decides."""
    role = roles_of(dialect.name).get(key)
    if role is None and key.startswith(USAGE_PREFIXES) and key not in _deciding(dialect):
        return Role.COUNT
    return role


def is_known(key: str) -> bool:
    """Whether some dialect may ask for this attribute."""
    return key in vocabulary() or key.startswith(USAGE_PREFIXES)


@cache
def vocabulary() -> frozenset[str]:
    """The attributes that some dialect may ask for, but for counts by any name."""
    known = {*TOOL_MARKS, *ADDRESSES, *STATUS_KEYS, "error.type"}
    for dialect in (*DIALECTS, GENERAL):
        known.update(_deciding(dialect), roles_of(dialect.name), dialect.marks)
    return frozenset(known)


_IN_ROLES = {
    "input",
    "cached",
    "written",
    "output",
    "reasoning",
    "total",
    "response_id",
    "session",
    "answers",
}


def _deciding(dialect: Dialect) -> Iterable[str]:
    """The attributes whose values decide."""
    for one in fields(Facts):
        for place in getattr(dialect.facts, one.name):
            where = place.place if isinstance(place, FirstToken) else place
            if where.is_event or (isinstance(place, FirstToken) and place.clock is Clock.EVENT):
                continue
            if where.is_deep or one.name not in (*_IN_ROLES, "first_token"):
                yield where.key
    yield from (kinds.key for kinds in dialect.kinds)
    yield from dialect.log_kind[:1] if dialect.log_kind else ()
    yield from (key for key in (dialect.log_duration, dialect.prompt) if key)


def _of_first_tokens(told: Iterable[FirstToken]) -> Iterator[Place]:
    yield from (one.place for one in told if one.clock is not Clock.EVENT)


def _flat(where: Iterable[Place]) -> Iterator[str]:
    yield from (place.key for place in where if not place.is_deep)
