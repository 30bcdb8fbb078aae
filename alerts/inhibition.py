"""Which findings another incident explains away, in the terms of Prometheus Alertmanager: pure, and only the mechanism.

A rule says: while an incident with these labels fires, findings with those labels are not believed, where both are
about the same thing. Which rules there are is for whoever knows what the labels mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .finding import Finding
from .incident import Incident, State

SOURCE = "source"
"""The name by which a matcher looks at the arm that found it (``ledger``, ``watch``), beside the labels."""

ANY = "?*"
"""The pattern for any value but none: the label is there."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label, and what its value may be: any of ``patterns``, in which ``*`` and ``?`` stand for characters.

    A label that is not there has the value of an empty text.
    """

    name: str
    patterns: tuple[str, ...]

    def fits(self, facts: Mapping[str, str]) -> bool:
        """Whether these labels have such a value."""
        value = facts.get(self.name, "")
        return any(fnmatchcase(value, pattern) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """While an incident that fits ``source`` fires, findings that fit ``target`` are held.

    Both must have each label of ``equal``, with the same value: in Alertmanager labels that both lack count as equal,
    and rules that were meant for one service have silenced all of them.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()

    def inhibits(self, source: Finding, target: Finding) -> bool:
        """Whether an incident with the finding ``source`` explains the finding ``target`` away."""
        mine, theirs = _facts(source), _facts(target)
        if not (_fit(self.source, mine) and _fit(self.target, theirs)):
            return False
        # What fits both sides would otherwise hold its like, and be held by it.
        if _fit(self.target, mine) and _fit(self.source, theirs):
            return False
        return all(mine.get(name) and mine.get(name) == theirs.get(name) for name in self.equal)


def matching(**labels: str | tuple[str, ...]) -> tuple[Matcher, ...]:
    """Matchers for all of these labels."""
    return tuple(
        Matcher(name, (patterns,) if isinstance(patterns, str) else patterns)
        for name, patterns in labels.items()
    )


def inhibitor(
    key: str, finding: Finding | None, incidents: Iterable[Incident], rules: Sequence[InhibitRule]
) -> Incident | None:
    """The firing incident that explains away what is found under ``key``, the first there is.

    It is never that of the key itself, and never one of a lower severity.
    """
    if finding is None:
        return None
    for incident in incidents:
        # What people hear of quietly, if at all, must not keep them from what would have woken them.
        may_hold = incident.state is State.FIRING and incident.severity >= finding.severity
        may_hold = may_hold and incident.key != key
        if may_hold and any(rule.inhibits(incident.finding, finding) for rule in rules):
            return incident
    return None


def _facts(finding: Finding) -> Mapping[str, str]:
    return {**finding.labels, SOURCE: finding.source.value}


def _fit(matchers: Sequence[Matcher], facts: Mapping[str, str]) -> bool:
    return all(matcher.fits(facts) for matcher in matchers)
