"""Which incidents explain which findings away: what is known of all arms together, and what a deployment adds."""

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum

from alerts.finding import Severity, Source
from alerts.inhibition import ANY, InhibitRule, matching
from alerts.inhibition_words import InhibitWords, inhibit_words
from alerts.matcher import KEY, SEVERITY, Matcher, Operator
from canaries.proofs import ProofKind

from .dependencies import Dependants, Needs, dependants

SILENCE = "silence"
"""The label that tells a finding of silence, and which kind it is."""

EXTENT = "extent"
"""The label that tells how much of the traffic is refused."""

NO_TRAFFIC, SERVICE, INGEST, SPANS = "no_traffic", "service", "ingest", "spans"
"""The kinds of silence: nothing comes at all, one service is silent, requests are refused, spans are lost."""

BROKEN, PARTLY = "broken", "partly"
"""How much is refused: most of it, or some."""

DEPENDS_ON = "depends_on"
"""The name of the rules that follow from who depends on whom."""


class BuiltIn(StrEnum):
    """The rules of every deployment, by the names with which one can do without them."""

    INGEST_BROKEN = "ingest_broken"
    NO_TRAFFIC = "no_traffic"
    SERVICE_SILENT = "service_silent"
    ENDPOINT_DOWN = "endpoint_down"
    IDENTITY = "identity"


SAID = {
    BuiltIn.INGEST_BROKEN: "While most requests with traces are refused, what watches see of traffic and who is silent "
    "says nothing.",
    BuiltIn.NO_TRAFFIC: "While no traffic comes at all, it says nothing that one service is silent, or what watches "
    "see of it.",
    BuiltIn.SERVICE_SILENT: "While a service is silent, what watches see of it says nothing.",
    BuiltIn.ENDPOINT_DOWN: "While an endpoint does not answer, it is no model that has changed: its drift and failing "
    "checks are not believed.",
    BuiltIn.IDENTITY: "While another model than the known ones serves a target (proven, and a page), its drift and its "
    "failing checks follow from that.",
}
"""Why each of them holds what it holds, in a sentence."""

_INGEST_BROKEN = matching(**{SILENCE: INGEST, EXTENT: BROKEN})
_NO_TRAFFIC = matching(**{SILENCE: NO_TRAFFIC})
_A_SERVICE = matching(**{SILENCE: SERVICE})
_A_WATCH = matching(watch=ANY)
_A_WATCH_OF_ONE_SERVICE = matching(watch=ANY, service=ANY)
_ENDPOINT_DOWN = matching(proof=ProofKind.ENDPOINT_DOWN.value)
_DRIFT = matching(source=Source.LEDGER.value)
_FAILING_CHECKS = matching(proof=ProofKind.VALIDATOR.value)
_A_PAGE = Matcher(SEVERITY, Operator.IS, Severity.PAGE.name.lower())
# Only a page proves that no known model answers any more: a new one beside the known ones explains nothing by itself.
_ANOTHER_MODEL = (*matching(proof=ProofKind.SERVED_MODEL.value), _A_PAGE)
_ANOTHER_FINGERPRINT = (*matching(proof=ProofKind.FINGERPRINT.value), _A_PAGE)


def _doubts(
    name: BuiltIn, source: tuple[Matcher, ...], target: tuple[Matcher, ...], *equal: str
) -> InhibitRule:
    return InhibitRule(source, target, equal, doubts=True, name=name.value, says=SAID[name])


def _explains(
    name: BuiltIn, source: tuple[Matcher, ...], target: tuple[Matcher, ...], *equal: str
) -> InhibitRule:
    return InhibitRule(source, target, equal, name=name.value, says=SAID[name])


RULES = (
    _doubts(BuiltIn.INGEST_BROKEN, _INGEST_BROKEN, _A_WATCH),
    _doubts(BuiltIn.INGEST_BROKEN, _INGEST_BROKEN, matching(**{SILENCE: (NO_TRAFFIC, SERVICE, SPANS)})),
    _doubts(BuiltIn.NO_TRAFFIC, _NO_TRAFFIC, _A_SERVICE),
    _doubts(BuiltIn.NO_TRAFFIC, _NO_TRAFFIC, _A_WATCH_OF_ONE_SERVICE),
    _doubts(BuiltIn.SERVICE_SILENT, _A_SERVICE, _A_WATCH_OF_ONE_SERVICE, "service"),
    # An endpoint that does not answer is no model that has changed. What proves who answered stays.
    _doubts(BuiltIn.ENDPOINT_DOWN, _ENDPOINT_DOWN, _DRIFT, "target"),
    _doubts(BuiltIn.ENDPOINT_DOWN, _ENDPOINT_DOWN, _FAILING_CHECKS, "target"),
    # Here what is found is true, and lasts until there is a new baseline: it is on file, and may ask for a rollback.
    _explains(BuiltIn.IDENTITY, _ANOTHER_MODEL, matching(proof=ProofKind.FINGERPRINT.value), "target"),
    _explains(BuiltIn.IDENTITY, _ANOTHER_MODEL, _DRIFT, "target"),
    _explains(BuiltIn.IDENTITY, _ANOTHER_MODEL, _FAILING_CHECKS, "target"),
    _explains(BuiltIn.IDENTITY, _ANOTHER_FINGERPRINT, _DRIFT, "target"),
    _explains(BuiltIn.IDENTITY, _ANOTHER_FINGERPRINT, _FAILING_CHECKS, "target"),
)
"""The rules of every deployment."""


def inhibitions_of(
    targets: Needs, services: Needs, added: Sequence[InhibitRule] = (), without: Collection[str] = ()
) -> tuple[InhibitRule, ...]:
    """The rules of a deployment: those of every one, but for some, those of its dependencies, and its own."""
    built_in = (rule for rule in RULES if rule.name not in without)
    found = dependants(targets, services)
    depending = (rule for parent, below in found.items() for rule in _parent_rules(parent, below))
    return (*built_in, *depending, *added)


def shown(rules: Sequence[InhibitRule]) -> tuple[InhibitWords, ...]:
    """The rules of a deployment in words, and the built-in ones that it does without."""
    names = {rule.name for rule in rules}
    off = (InhibitWords(one.value, SAID[one]) for one in BuiltIn if one.value not in names)
    return (*inhibit_words(rules), *off)


def _parent_rules(parent: str, below: Dependants) -> Iterator[InhibitRule]:
    """What is not believed of those that depend on a parent while nothing comes through that one."""
    named = ", ".join(dict.fromkeys((*below.targets, *below.services)))
    says = f"While nothing comes through {parent}, what is found of {named} says nothing."
    # That it drifts, or that its answers fail a check, says that something comes through.
    is_down = (*matching(proof=ProofKind.ENDPOINT_DOWN.value), *matching(target=parent))
    is_silent = (*_A_SERVICE, *matching(service=parent))
    for source in (is_down, is_silent):
        for target in _dependent_findings(below):
            # Whoever rolls back what only stands behind something broken makes it worse.
            yield InhibitRule(source, target, doubts=True, name=DEPENDS_ON, says=says)


def _dependent_findings(below: Dependants) -> Iterator[tuple[Matcher, ...]]:
    """What a parent that is down would falsify, of targets and of services."""
    if below.targets:
        targets = matching(target=below.targets)
        # Who answered, what it costs and whether the baseline fits is as true as ever.
        yield *targets, Matcher(KEY, Operator.LIKE, "drift/.*|coverage/.*|proof/.*/(endpoint_down|validator)")
    if below.services:
        services = matching(service=below.services)
        yield *_A_WATCH, *services
        yield *_A_SERVICE, *services
