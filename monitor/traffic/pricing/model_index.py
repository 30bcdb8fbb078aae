"""Who lists a model, found in microseconds: the price list turned round, from what names look like to the models.

genai-prices asks each of some 2,300 models in turn whether a name means it, which takes milliseconds for a name that
nobody lists; and names come from whoever sends spans. Here the pieces of all patterns (whole names, beginnings, ends,
parts) are looked up in the name, and only the models that they point to are asked.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, Provider

NAMES_REMEMBERED_MAX = 256
"""For how many names it is remembered who lists them: one reading of a call asks for a few names many times."""

_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)(?=-|:|$)")


class ModelIndex:
    """Finds what ``Provider.find_model`` of the list finds, without asking every model."""

    def __init__(self, providers: "Sequence[Provider]") -> None:
        """Read the patterns of all models that the providers list."""
        self._providers = providers
        # Which of whose models, not the models: they may be packed.
        self._places = [(place, nth) for place, one in enumerate(providers) for nth in range(len(one.models))]
        self._place_of = {one.id: place for place, one in reversed(list(enumerate(providers)))}
        self._equal: dict[str, list[int]] = {}
        self._beginning: dict[str, list[int]] = {}
        self._ending: dict[str, list[int]] = {}
        self._within: dict[str, list[int]] = {}
        self._fitting: dict[str, list[int]] = {}
        for number, model in enumerate(model for one in providers for model in one.models):
            self._note(model.match, number)
        self._expressions = [(re.compile(regex), numbers) for regex, numbers in self._fitting.items()]
        # Parts are told by how they start: there are hundreds, and a name has few letters.
        self._start = min(map(len, self._within), default=0)
        self._parts: dict[str, list[tuple[str, list[int]]]] = {}
        for part, numbers in self._within.items():
            self._parts.setdefault(part[: self._start], []).append((part, numbers))
        self._lengths = sorted({len(one) for one in (*self._beginning, *self._ending)})
        self._listed = lru_cache(maxsize=NAMES_REMEMBERED_MAX)(self._find_listed)

    def find(self, provider: "Provider", name: str) -> "ModelInfo | None":
        """The model of the provider, or of another whose models it sells, that the name means."""
        places = [self._place_of[provider.id]]
        places += [
            self._place_of[one] for one in provider.fallback_model_providers or () if one in self._place_of
        ]
        for spelling in _spellings(name.lower()):
            listed = self._listed(spelling)
            if found := next((listed[place] for place in places if place in listed), None):
                return found
        return None

    def sellers(self, name: str) -> "Iterator[tuple[Provider, ModelInfo]]":
        """All who list a model of that name themselves, in the order of the list."""
        first, *dashed = (self._listed(one) for one in _spellings(name.lower()))
        found = dict(first)
        for listed in dashed:
            found = listed | found
        for place in sorted(found):
            yield self._providers[place], found[place]

    def _find_listed(self, name: str) -> "dict[int, ModelInfo]":
        """The first model of each provider that the name means, by the provider's place in the list."""
        found: dict[int, ModelInfo] = {}
        for number in sorted(self._candidates(name)):
            place, nth = self._places[number]
            if place not in found and (model := self._providers[place].models[nth]).match.is_match(name):
                found[place] = model
        return found

    def _candidates(self, name: str) -> set[int]:
        numbers = set(self._equal.get(name, ()))
        for length in self._lengths:
            numbers.update(self._beginning.get(name[:length], ()))
            numbers.update(self._ending.get(name[-length:], ()))
        for at in range(len(name)):
            for part, theirs in self._parts.get(name[at : at + self._start], ()):
                if name.startswith(part, at):
                    numbers.update(theirs)
        for expression, theirs in self._expressions:
            if expression.search(name):
                numbers.update(theirs)
        return numbers

    def _note(self, match: "MatchLogic", number: int) -> None:
        """Have the model asked when a name has a piece of its pattern: any of several, or one that it must have."""
        from genai_prices import types

        match match:
            case types.ClauseOr():
                for one in match.or_:
                    self._note(one, number)
            case types.ClauseAnd():
                self._note(match.and_[0], number)
            case types.ClauseEquals():
                self._equal.setdefault(match.equals.lower(), []).append(number)
            case types.ClauseStartsWith():
                self._beginning.setdefault(match.starts_with.lower(), []).append(number)
            case types.ClauseEndsWith():
                self._ending.setdefault(match.ends_with.lower(), []).append(number)
            case types.ClauseContains():
                self._within.setdefault(match.contains.lower(), []).append(number)
            case types.ClauseRegex():
                self._fitting.setdefault(match.regex, []).append(number)


def _spellings(name: str) -> Iterator[str]:
    """The name, then with its compact date ("-20251211") written with dashes, as the list has dates."""
    yield name
    if (dashed := _COMPACT_DATE.sub(_dashed, name)) != name:
        yield dashed


def _dashed(found: re.Match[str]) -> str:
    try:
        return f"-{date(*map(int, found.groups())).isoformat()}"
    except ValueError:  # eight digits that are no date
        return found[0]
