"""Which findings another incident explains away, in the terms of Prometheus Alertmanager: pure, and only the mechanism.

A rule says: while an incident with these labels fires, findings with those labels are not believed, where both are
about the same thing. Which rules there are is for whoever knows what the labels mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .finding import Finding
from .incident import Incident
from .matcher import SOURCE, Matcher, Operator, all_fit, wildcard

ANY = "?*"
"""The pattern for any value but none: the label is there."""


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
        if not (all_fit(self.source, mine) and all_fit(self.target, theirs)):
            return False
        # What fits both sides would otherwise hold its like, and be held by it.
        if all_fit(self.target, mine) and all_fit(self.source, theirs):
            return False
        return all(mine.get(name) and mine.get(name) == theirs.get(name) for name in self.equal)


def matching(**labels: str | tuple[str, ...]) -> tuple[Matcher, ...]:
    """Matchers for all of these labels: any of the patterns, in which ``*`` and ``?`` stand for characters."""
    return tuple(
        Matcher(name, Operator.LIKE, "|".join(wildcard(one) for one in _listed(patterns)))
        for name, patterns in labels.items()
    )


def _listed(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns


def may_inhibit(incident: Incident, rules: Sequence[InhibitRule]) -> bool:
    """Whether the incident could explain anything away at all. Of thousands that are open only few could."""
    facts = _facts(incident.finding)
    return incident.is_firing and any(all_fit(rule.source, facts) for rule in rules)


def source_labels(rules: Sequence[InhibitRule]) -> tuple[frozenset[str], ...]:
    """For each rule the labels that an incident must have to explain anything away by it."""
    return tuple(
        frozenset(one.name for one in rule.source if one.name != SOURCE and not one.fits({}))
        for rule in rules
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
        may_hold = incident.is_firing and incident.severity >= finding.severity
        may_hold = may_hold and incident.key != key
        if may_hold and any(rule.inhibits(incident.finding, finding) for rule in rules):
            return incident
    return None


def _facts(finding: Finding) -> Mapping[str, str]:
    return {**finding.labels, SOURCE: finding.source.value}
