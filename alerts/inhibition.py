"""Which findings another incident explains away, in the terms of Prometheus Alertmanager: pure, and only the mechanism.

A rule says: while an incident with these labels fires, people do not hear of findings with those labels, where both are
about the same thing. Which rules there are is for whoever knows what the labels mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .finding import Finding, Severity
from .incident import Incident
from .matcher import KEY, SEVERITY, SOURCE, Matcher, Operator, all_fit, facts_of, wildcard

ANY = "?*"
"""The pattern for any value but none: the label is there."""

FOLLOWED_MAX = 1_000
"""How often it is looked who holds whom to see whether some hold one another; beyond that, what asks stays loud."""

_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """While an incident that fits ``source`` fires, findings that fit ``target`` are held.

    Both must have each label of ``equal``, with the same value: in Alertmanager labels that both lack count as equal,
    and rules that were meant for one service have silenced all of them.

    What is held is wrong all the same: its incident opens, and may ask for a rollback; only people do not hear of it.
    Where the source casts ``doubts`` on the target, nothing at all comes of what is found, as it may not be so.
    ``name`` and ``says`` are for people.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    doubts: bool = False
    name: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Suspect:
    """What may be explained away, or explain others away, with what matchers look at."""

    key: str
    severity: Severity
    facts: Mapping[str, str]
    since: datetime = _LAST
    """When it fired, if it does."""


@dataclass(frozen=True, slots=True)
class Explained:
    """The firing incident that explains something away, and the rule that says so."""

    by: Incident
    rule: InhibitRule

    @property
    def said(self) -> str:
        """Both in a few words."""
        rule = f", by the rule {self.rule.name}" if self.rule.name else ""
        return f"{self.by.key} (incident {self.by.id}){rule}"


def matching(**labels: str | tuple[str, ...]) -> tuple[Matcher, ...]:
    """Matchers for all of these labels: any of the patterns, in which ``*`` and ``?`` stand for characters."""
    return tuple(_matcher(name, _listed(patterns)) for name, patterns in labels.items())


def _matcher(name: str, patterns: tuple[str, ...]) -> Matcher:
    if patterns == (ANY,):
        return Matcher(name, Operator.IS_NOT, "")
    if len(patterns) == 1 and not set(patterns[0]) & set("*?"):
        return Matcher(name, Operator.IS, patterns[0])
    return Matcher(name, Operator.LIKE, "|".join(map(wildcard, patterns)))


def _listed(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns


def source_labels(rules: Sequence[InhibitRule]) -> tuple[frozenset[str], ...]:
    """For each rule the labels that an incident must have to explain anything away by it."""
    return tuple(
        frozenset(one.name for one in rule.source if not one.fits({})).union(rule.equal)
        - {SOURCE, SEVERITY, KEY}
        for rule in rules
    )


def suspect(incident: Incident) -> Suspect:
    """The incident as what may be explained away."""
    return Suspect(
        incident.key,
        incident.severity,
        facts_of(incident.key, incident.finding, incident.severity),
        _since(incident),
    )


def suspected(key: str, finding: Finding, open_now: Incident | None = None) -> Suspect:
    """What is found now under a key, as what may be explained away; never quieter than its open incident is."""
    severity = max(finding.severity, open_now.severity) if open_now else finding.severity
    since = _since(open_now) if open_now else _LAST
    return Suspect(key, severity, facts_of(key, finding, severity), since)


def _since(incident: Incident) -> datetime:
    return incident.firing_since if incident.is_firing and incident.firing_since else _LAST


@dataclass(frozen=True, slots=True)
class _Source:
    incident: Incident
    suspect: Suspect


_Place = tuple[int, tuple[str, ...]]
"""The number of a rule, and the values of the labels that have to be equal."""


class Inhibitors:
    """The firing incidents that may explain others away, by these rules.

    An incident never explains itself away, nor anything louder. Where some would hold one another, the one that fired
    first stays loud: of whatever fires, something is told.
    """

    def __init__(self, rules: Sequence[InhibitRule] = (), incidents: Sequence[Incident] = ()) -> None:
        """Know the incidents that fit a rule: few, however many are given."""
        self._rules = tuple(rules)
        self._places: dict[str, set[_Place]] = {}
        self._sources: dict[_Place, dict[str, _Source]] = {}
        for incident in incidents:
            self.knows(incident)

    def __contains__(self, key: str) -> bool:
        """Whether the incident of this key fires and may explain others away."""
        return key in self._places

    def knows(self, incident: Incident) -> None:
        """Take note of an incident as it is now."""
        source = _Source(incident, suspect(incident))
        places = set(self._fitting(source.suspect)) if incident.is_firing else set()
        for place in self._places.pop(incident.key, set()) - places:
            del self._sources[place][incident.key]
        for place in places:
            self._sources.setdefault(place, {})[incident.key] = source
        if places:
            self._places[incident.key] = places

    def explained(self, one: Suspect, *, doubted: bool = False) -> Explained | None:
        """What explains this away, the first there is; with ``doubted`` only what casts doubt on it as well."""
        looks = iter(range(FOLLOWED_MAX))
        for source, rule in self._holding(one):
            if (rule.doubts or not doubted) and not self._stays_loud(one, source, looks):
                return Explained(source.incident, rule)
        return None

    def _fitting(self, one: Suspect) -> Iterator[_Place]:
        for number, rule in enumerate(self._rules):
            if all_fit(rule.source, one.facts) and (values := _values(rule, one.facts)) is not None:
                yield number, values

    def _holding(self, one: Suspect) -> Iterator[tuple[_Source, InhibitRule]]:
        for number, rule in enumerate(self._rules):
            values = _values(rule, one.facts)
            sources = self._sources.get((number, values)) if values is not None else None
            if not sources or not all_fit(rule.target, one.facts):
                continue
            is_source = all_fit(rule.source, one.facts)
            for source in sources.values():
                # What people hear of quietly, if at all, must not keep them from what would have woken them.
                if source.suspect.key == one.key or source.suspect.severity < one.severity:
                    continue
                # What fits both sides would otherwise hold its like, and be held by it.
                if not (is_source and all_fit(rule.target, source.suspect.facts)):
                    yield source, rule

    def _stays_loud(self, one: Suspect, source: _Source, looks: Iterator[int]) -> bool:
        """Whether this would, over others or at once, hold what is to hold it, and fired first.

        Of incidents that hold one another in a circle all are as loud as each other, and the first of them is held by
        none of the circle: so each that is held leads, from one that holds it to the next, to one that is told.
        """
        if one.key not in self or _rank(one) > _rank(source.suspect):
            return False
        seen, waiting = {source.suspect.key}, [source.suspect]
        while waiting:
            for above, _ in self._holding(waiting.pop()):
                if above.suspect.key == one.key or next(looks, None) is None:
                    return True
                if above.suspect.key not in seen:
                    seen.add(above.suspect.key)
                    waiting.append(above.suspect)
        return False


def _values(rule: InhibitRule, facts: Mapping[str, str]) -> tuple[str, ...] | None:
    """The values of the labels that have to be equal; nothing where one of them is missing."""
    values = tuple(facts.get(name, "") for name in rule.equal)
    return values if all(values) else None


def _rank(one: Suspect) -> tuple[datetime, str]:
    return one.since, one.key
