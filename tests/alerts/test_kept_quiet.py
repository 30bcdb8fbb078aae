"""What is said to keep an incident quiet is what the look at its groups goes by, route by route."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Finding, Severity, Source
from alerts.grouping import Quiet
from alerts.incident import Incident, State
from alerts.kept_quiet import kept_quiet
from alerts.matcher import parse_matchers
from alerts.message import Why
from alerts.routing import Routing
from alerts.routing_config import MuteTimeConfig, RouteConfig, routing_of
from alerts.silence import Silence

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FINDING = Finding(Severity.PAGE, Source.WATCH, "chat is slow", {"service": "chat"})
CHAT = Incident("i-1", "watch/chat", State.FIRING, Severity.PAGE, FINDING, NOW, NOW)
SILENCE = Silence(
    "5ab", parse_matchers("service=chat"), "ada", "", NOW - timedelta(hours=1), NOW + timedelta(hours=1), NOW
)
ROUTING = routing_of(
    RouteConfig.model_validate(
        {
            "receivers": ["slack"],
            "routes": [
                {"match": ["severity=page"], "mute_times": ["noon"], "continue": True},
                {"match": ["service=chat"], "receivers": ["pager"]},
            ],
        }
    ),
    {"noon": MuteTimeConfig(times=["11:00-13:00"])},
    0.0,
)


@pytest.mark.parametrize(
    ("incident", "routing", "silences", "expected"),
    [
        (CHAT, Routing(), (), []),
        (CHAT, Routing(), (SILENCE,), [(Why.SILENCED, ())]),
        (CHAT, Routing(), (replace(SILENCE, ends_at=NOW),), []),
        (CHAT, ROUTING, (), [(Why.MUTED, ("route.routes[0]",))]),
        (CHAT, ROUTING, (SILENCE,), [(Why.SILENCED, ())]),
        (replace(CHAT, state=State.PENDING), Routing(), (SILENCE,), [(Why.SILENCED, ())]),
        (replace(CHAT, state=State.RESOLVED), Routing(), (SILENCE,), []),
    ],
    ids=[
        "nothing",
        "a silence",
        "a silence that is over",
        "a mute time of one route of two",
        "a silence holds every route",
        "what is pending",
        "what is over",
    ],
)
def test_what_keeps_an_incident_quiet(incident, routing, silences, expected):
    quiet = Quiet(silences, routing.mute_times)
    found = kept_quiet(incident, routing, quiet, NOW)
    assert [(one.held.why, one.routes) for one in found] == expected
