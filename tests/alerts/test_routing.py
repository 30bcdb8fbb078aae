from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State
from alerts.routing import Policy, Routing, matching_paths, unreachable
from alerts.routing_config import RouteConfig, routing_of
from alerts.routing_words import told_lines, tree_lines

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TREE = {
    "receivers": ["slack"],
    "group_by": ["target"],
    "routes": [
        {"match": ["severity=page"], "receivers": ["pager"], "continue": True, "repeat_interval": "1h"},
        {
            "match": ["service=~checkout|cart"],
            "receivers": ["shop"],
            "routes": [{"match": ["severity=ticket"], "group_wait": "5m", "group_by": ["..."]}],
        },
        {"match": ["severity=info"], "receivers": ["log"]},
    ],
}


def incident(severity: Severity = Severity.PAGE, **labels: str) -> Incident:
    finding = Finding(severity, Source.WATCH, "slow", labels)
    return Incident("i1", "watch/p95", State.FIRING, severity, finding, NOW, NOW)


def routing(tree=TREE) -> Routing:
    return routing_of(RouteConfig.model_validate(tree), {}, 0.0)


def told(one: Incident, tree=TREE) -> list[tuple[str, tuple[str, ...]]]:
    return [(found.route, found.policy.receivers) for found in routing(tree).told(one, ("ignored",))]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (incident(service="other"), [("route.routes[0]", ("pager",))]),
        (incident(Severity.TICKET, service="other"), [("route", ("slack",))]),
        (incident(service="cart"), [("route.routes[0]", ("pager",)), ("route.routes[1]", ("shop",))]),
        (incident(Severity.TICKET, service="cart"), [("route.routes[1].routes[0]", ("shop",))]),
        (incident(Severity.INFO, service="other"), [("route.routes[2]", ("log",))]),
        (incident(Severity.INFO, service="cart"), []),
    ],
    ids=[
        "continue and nothing more",
        "the uppermost route takes what no other does",
        "continue, then the next that fits",
        "a route below another",
        "information that is asked for",
        "information that nobody asked for",
    ],
)
def test_an_incident_is_told_by_the_first_route_that_fits_and_by_those_after_a_continue(one, expected):
    assert told(one) == expected


def test_what_a_route_does_not_say_is_as_in_the_route_above_it():
    page, _ = routing().told(incident(service="cart"), ())
    assert page.policy == Policy(("pager",), 30.0, 300.0, 3600.0)
    [ticket] = routing().told(incident(Severity.TICKET, service="cart"), ())
    assert ticket.policy == Policy(("shop",), 300.0, 300.0, 4 * 3600.0)


def test_a_group_has_the_labels_that_its_route_groups_by():
    [one] = routing().told(incident(target="bot", service="other"), ())
    assert one.labels == {"target": "bot"}
    [alone] = routing().told(incident(Severity.TICKET, service="cart"), ())
    assert alone.labels == {"incident": "i1"}


def test_without_a_tree_the_rule_names_who_is_told_each_incident_by_itself():
    [one] = Routing().told(incident(), ("on-call", "audit"))
    assert (one.route, one.policy, one.labels) == ("notify", Policy(("on-call", "audit")), {"incident": "i1"})
    assert Routing().told(incident(Severity.INFO), ("on-call",)) == ()


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([{"match": ["a=1"]}, {"match": ["a=1", "b=2"]}], {"route.routes[1]": "route.routes[0] comes first"}),
        ([{"match": ["a=1"], "continue": True}, {"match": ["a=1"]}], {}),
        ([{"match": ["a=1"]}, {"match": ["a=2"]}], {}),
        ([{}, {"match": ["a=1"]}], {"route.routes[1]": "takes all of it"}),
        ([{"match": ["a=1", "a!=1"]}], {"route.routes[0]": "nothing fits"}),
        (
            [{"match": ["a=1"], "routes": [{"match": ["a=2"]}]}],
            {"route.routes[0].routes[0]": 'nothing fits a="1" and a="2"'},
        ),
        ([{"match": ["a=1"], "routes": [{"match": ["a=~1|2"]}]}], {}),
    ],
)
def test_a_route_that_nothing_reaches_is_named_with_the_reason(routes, expected):
    tree = RouteConfig.model_validate({"receivers": ["x"], "routes": routes}).tree()
    found = dict(unreachable(tree))
    assert found.keys() == expected.keys()
    assert all(reason in found[name] for name, reason in expected.items())


def test_every_route_that_counts_as_reachable_is_reached_by_something():
    tree = routing().tree
    facts = [
        {"severity": severity, "service": service}
        for severity in ("page", "ticket", "info")
        for service in ("cart", "x")
    ]
    reached = {path[-1].name for one in facts for path in matching_paths(tree, one)}
    assert {"route", "route.routes[0]", "route.routes[1]", "route.routes[2]"} <= reached


def test_the_tree_is_shown_a_line_for_each_route():
    lines = tree_lines(routing().tree)
    assert lines[0].startswith("route: everything -> slack; together by target, after 30 s")
    assert lines[1].startswith('  route.routes[0]: severity="page" -> pager, and goes on')
    assert lines[3].startswith('    route.routes[1].routes[0]: severity="ticket" -> shop; each by itself')


def test_it_is_said_who_would_be_told_and_why():
    said = "\n".join(told_lines(routing(), incident(target="bot", service="cart"), (), NOW))
    assert "route.routes[0] tells pager" in said
    assert 'because route: everything > route.routes[0]: severity="page"' in said
    assert "together with what has target=bot" in said
    assert told_lines(routing(), incident(Severity.INFO), (), NOW) != []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"match": ["nonsense"]}, "write it like service=checkout"),
        ({"matchers": []}, "Extra inputs"),
        ({"group_wait": "2h"}, "less than or equal to 3600"),
        ({"repeat_interval": "1s"}, "greater than or equal to 60"),
    ],
)
def test_a_route_that_cannot_be_used_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        RouteConfig.model_validate(fields)
