"""The same rules and the same alerts in a real Alertmanager: what it holds we hold, but where we mean to hold less."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from real_parts import running_alertmanager

from alerts.alertmanager import alerts_of
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State
from alerts.inhibition import Inhibitors, InhibitRule, suspect
from alerts.matcher import Matcher, Operator

NOW = datetime.now(UTC)
CASES = 150
LABELS = ("a", "b", "c")
VALUES = ("1", "2", "3")

Case = tuple[list[InhibitRule], list[Incident]]


def incident(
    case: str, number: int, severity: Severity = Severity.PAGE, fired_s: float = 60, **labels: str
) -> Incident:
    finding = Finding(
        severity, Source.WATCH, "something is wrong", {"case": case, "n": str(number), **labels}
    )
    at = NOW - timedelta(seconds=fired_s)
    return Incident(f"{case}-{number}", f"watch/{case}/{number}", State.FIRING, severity, finding, at, at, at)


def drawn(case: str, rng: random.Random) -> Case:
    """Rules and incidents in which the two have no reason to differ.

    All are as loud, each has every label that has to be equal, and no two rules hold one another: either there is one
    rule only, or each of some leads from lower numbers to higher ones.
    """
    rules = [_rule(case, rng, (), ())] if rng.random() < 0.5 else _leading_up(case, rng)
    needed = {name for rule in rules for name in rule.equal}
    incidents = [
        incident(
            case, n, **{name: rng.choice(VALUES) for name in LABELS if name in needed or rng.random() < 0.8}
        )
        for n in range(rng.randint(2, 6))
    ]
    return rules, incidents


def _leading_up(case: str, rng: random.Random) -> list[InhibitRule]:
    lower = [rng.randint(0, 3) for _ in range(rng.randint(1, 4))]
    return [
        _rule(
            case,
            rng,
            (Matcher("n", Operator.LIKE, f"[0-{limit}]"),),
            (Matcher("n", Operator.LIKE, f"[{limit + 1}-9]"),),
        )
        for limit in lower
    ]


def _rule(
    case: str, rng: random.Random, source: tuple[Matcher, ...], target: tuple[Matcher, ...]
) -> InhibitRule:
    own = (Matcher("case", Operator.IS, case),)
    equal = tuple(rng.sample(LABELS, rng.choice((0, 0, 1, 1, 2))))
    return InhibitRule((*own, *source, *_matchers(rng)), (*own, *target, *_matchers(rng)), equal)


def _matchers(rng: random.Random) -> list[Matcher]:
    return [
        Matcher(name, operator, rng.choice(("1|2", "[23]", "1.*", ".+") if "~" in operator.value else VALUES))
        for name in rng.sample(LABELS, rng.choice((0, 1, 1, 2)))
        for operator in [rng.choice(list(Operator))]
    ]


def matched(case: str, source: str, target: str, *equal: str) -> InhibitRule:
    def side(value: str) -> tuple[Matcher, ...]:
        return Matcher("case", Operator.IS, case), Matcher("a", Operator.IS, value)

    return InhibitRule(side(source), side(target), equal)


STRICTER: dict[str, Case] = {
    "both lack the label that is to be equal": (
        [matched("lack", "1", "2", "b")],
        [incident("lack", 0, a="1"), incident("lack", 1, a="2")],
    ),
    "a ticket is to hold a page": (
        [matched("loud", "1", "2")],
        [incident("loud", 0, Severity.TICKET, a="1"), incident("loud", 1, a="2")],
    ),
    "two rules hold one another": (
        [matched("both", "1", "2"), matched("both", "2", "1")],
        [incident("both", 0, a="1"), incident("both", 1, fired_s=90, a="2")],
    ),
}
"""Where we mean to hold less, each with one incident that Alertmanager alone holds."""


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    rng = random.Random(20260302)
    return [drawn(f"drawn-{number}", rng) for number in range(CASES)]


@pytest.fixture(scope="module")
def held_there(
    cases: list[Case], tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Any
) -> Iterator[set[str]]:
    """The keys of all incidents that a real Alertmanager with all of these rules holds."""
    everything = [*cases, *STRICTER.values()]
    config = {
        "route": {"receiver": "nobody"},
        "receivers": [{"name": "nobody"}],
        "inhibit_rules": [_written(rule) for rules, _ in everything for rule in rules],
    }
    folder = tmp_path_factory.mktemp("alertmanager")
    with running_alertmanager(config, folder, unused_tcp_port_factory()) as url:
        alerts = alerts_of([one for _, incidents in everything for one in incidents], NOW, 3600)
        httpx.post(f"{url}/api/v2/alerts", json=alerts, timeout=30).raise_for_status()
        known = httpx.get(f"{url}/api/v2/alerts", timeout=30).raise_for_status().json()
        assert len(known) == len(alerts)
        yield {one["labels"]["incident_key"] for one in known if one["status"]["inhibitedBy"]}


def _written(rule: InhibitRule) -> dict[str, Any]:
    return {
        "source_matchers": [str(one) for one in rule.source],
        "target_matchers": [str(one) for one in rule.target],
        "equal": list(rule.equal),
    }


def held_here(rules: Sequence[InhibitRule], incidents: Sequence[Incident]) -> set[str]:
    known = Inhibitors(rules, incidents)
    return {one.key for one in incidents if known.explained(suspect(one)) is not None}


@pytest.mark.real
def test_the_same_rules_hold_the_same(cases: list[Case], held_there: set[str]) -> None:
    for rules, incidents in cases:
        theirs = {one.key for one in incidents} & held_there
        assert held_here(rules, incidents) == theirs, (rules, [one.labels for one in incidents])
    # It would be easy to agree on nothing.
    assert len(held_there) > CASES / 2


@pytest.mark.real
@pytest.mark.parametrize(("rules", "incidents"), STRICTER.values(), ids=STRICTER)
def test_where_we_are_stricter_alertmanager_holds_one_more(
    rules: list[InhibitRule], incidents: list[Incident], held_there: set[str]
) -> None:
    theirs = {one.key for one in incidents} & held_there
    ours = held_here(rules, incidents)
    assert ours < theirs
    assert len(theirs) - len(ours) == 1


def test_what_differs_is_what_is_meant_to() -> None:
    """The same three cases once more, each without what makes the difference."""
    rules, [silent, page] = STRICTER["a ticket is to hold a page"]
    assert held_here(rules, [replace(silent, severity=Severity.PAGE), page]) == {page.key}
    rules, pair = STRICTER["two rules hold one another"]
    assert [held_here([one], pair) for one in rules] == [{pair[1].key}, {pair[0].key}]
