"""What a label's value may be, in the terms of Prometheus Alertmanager: ``=``, ``!=``, ``=~`` and ``!~``. Pure.

Routes, silences and inhibitions all choose by these. A label that is not there has the value of an empty text.
Patterns are of RE2, as there: whoever may ask for a page may write one, and none takes longer than its text is long.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from .finding import Finding, Severity

PATTERN_LENGTH_MAX = 500
"""How long the value of a matcher may be: a person writes it, and a person has to read it."""

MATCHERS_MAX = 50
"""How many matchers may be written together, for the same reason."""

SOURCE, SEVERITY, KEY = "source", "severity", "key"
"""The names by which a matcher looks at what is no label: the arm that found it, how loud it is, and its key."""

_WRITTEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)


class Operator(StrEnum):
    """How a matcher compares."""

    IS = "="
    IS_NOT = "!="
    LIKE = "=~"
    NOT_LIKE = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label, and what its value is to be. A pattern is a regular expression for the whole value."""

    name: str
    operator: Operator
    value: str

    def fits(self, facts: Mapping[str, str]) -> bool:
        """Whether these labels have such a value. A stored pattern that is none any more fits nothing."""
        actual = facts.get(self.name, "")
        if self.operator in (Operator.IS, Operator.IS_NOT):
            found = actual == self.value
        else:
            try:
                pattern = _compiled(self.value)
            except ValueError:
                return False
            found = pattern.fullmatch(actual.encode(errors="replace")) is not None
        return found == (self.operator in (Operator.IS, Operator.LIKE))

    def __str__(self) -> str:
        """The matcher as a person writes it."""
        return f'{self.name}{self.operator.value}"{self.value}"'


def parse_matcher(text: str) -> Matcher:
    """The matcher of ``service="checkout"`` or ``model=~gpt-.*``; ValueError says what would be right."""
    matcher = read_matcher(text)
    _check(matcher)
    return matcher


def read_matcher(text: str) -> Matcher:
    """The matcher as it was once written, whether or not its value may still be used; ValueError where it is none."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(
            f"{text!r} is no matcher; write it like service=checkout, target!=bot or model=~gpt-.*"
        )
    name, operator, value = written.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if len(value) > PATTERN_LENGTH_MAX:
        raise ValueError(f"{name}: the value of a matcher has {PATTERN_LENGTH_MAX} characters at most")
    return Matcher(name, Operator(operator), value)


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers of ``service=checkout, severity!=info``: one a line, or with commas outside quotes between them.

    ValueError says what would be right.
    """
    parts = [part for part in _split(text) if part.strip()]
    if len(parts) > MATCHERS_MAX:
        raise ValueError(f"these are {len(parts)} matchers; {MATCHERS_MAX} at most")
    return tuple(parse_matcher(part) for part in parts)


def _split(text: str) -> Iterator[str]:
    for line in text.splitlines():
        start, is_quoted = 0, False
        for place, letter in enumerate(line):
            is_quoted ^= letter == '"'
            if letter == "," and not is_quoted:
                yield line[start:place]
                start = place + 1
        yield line[start:]


def _check(matcher: Matcher) -> None:
    if matcher.operator in (Operator.LIKE, Operator.NOT_LIKE):
        try:
            _compiled(matcher.value)
        except ValueError as error:
            raise ValueError(f"{matcher}: not a regular expression of RE2: {error}") from error
    if matcher.name == SEVERITY and matcher.operator in (Operator.IS, Operator.IS_NOT):
        known = [severity.name.lower() for severity in Severity]
        if matcher.value not in known:
            raise ValueError(f"{matcher}: a severity is one of {', '.join(known)}")


def facts_of(key: str, finding: Finding, severity: Severity | None = None) -> dict[str, str]:
    """What matchers look at: the labels, and beside them ``source``, ``severity`` and ``key``."""
    loud = finding.severity if severity is None else severity
    return {**finding.labels, SOURCE: finding.source.value, SEVERITY: loud.name.lower(), KEY: key}


def all_fit(matchers: Iterable[Matcher], facts: Mapping[str, str]) -> bool:
    """Whether every one of the matchers fits."""
    return all(matcher.fits(facts) for matcher in matchers)


def literal(text: str) -> str:
    """The pattern that only this text fits."""
    return re.escape(text)


def wildcard(text: str) -> str:
    """The pattern of a text in which ``*`` stands for any characters and ``?`` for one."""
    return "".join({"*": ".*", "?": "."}.get(letter) or literal(letter) for letter in text)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> Any:
    import re2  # here, as it takes 2 MB and most who watch write no pattern

    options = re2.Options()
    options.dot_nl, options.log_errors = True, False
    try:
        return re2.compile(pattern.encode(errors="replace"), options)
    except re2.error as error:
        raise ValueError(error.args[0].decode(errors="replace")) from error
