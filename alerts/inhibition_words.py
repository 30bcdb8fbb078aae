"""Rules of inhibition in lines that people read. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from .inhibition import InhibitRule
from .matcher import Matcher

DOUBTED = "nothing comes of what is held: no incident, no rollback"
HELD = "people do not hear of what is held; it is on file, and may ask for a rollback"
"""What becomes of what a rule holds."""


@dataclass(frozen=True, slots=True)
class HoldWords:
    """One way in which a rule holds: what fires, what is held, and what has to be the same of both."""

    while_fires: str
    holds: str
    same: str


@dataclass(frozen=True, slots=True)
class InhibitWords:
    """A rule in words. ``says`` is its reason in a sentence; without ``ways`` it is switched off."""

    name: str
    says: str
    ways: tuple[HoldWords, ...] = ()
    meanwhile: str = ""

    @property
    def is_on(self) -> bool:
        """Whether it holds anything."""
        return bool(self.ways)


def inhibit_words(rules: Sequence[InhibitRule]) -> list[InhibitWords]:
    """The rules in their order, those that share their name and reason as one."""
    return [
        InhibitWords(name, says, tuple(map(_way, ways)), DOUBTED if doubts else HELD)
        for (name, says, doubts), ways in groupby(rules, lambda one: (one.name, one.says, one.doubts))
    ]


def inhibit_lines(words: Iterable[InhibitWords]) -> list[str]:
    """The rules, a line each: why they hold, or where nobody said so, what."""
    return [f"inhibits {one.name}: {_line(one)}" for one in words]


def _line(one: InhibitWords) -> str:
    if not one.is_on:
        return f"switched off. {one.says}"
    return one.says or "; ".join(f"{way.while_fires} holds {way.holds}{_where(way)}" for way in one.ways)


def _where(way: HoldWords) -> str:
    return f", of the same {way.same}" if way.same else ""


def _way(rule: InhibitRule) -> HoldWords:
    return HoldWords(_written(rule.source), _written(rule.target), ", ".join(rule.equal))


def _written(matchers: Iterable[Matcher]) -> str:
    return ", ".join(map(str, matchers))
