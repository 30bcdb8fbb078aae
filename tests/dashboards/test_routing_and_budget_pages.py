"""Who would be told, and how right the pages were: the pages of both, and what the API says of the first."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from alerts import silence_store
from alerts.finding import Severity
from alerts.inhibition import InhibitRule, matching
from alerts.matcher import parse_matchers
from alerts.routing_config import MuteTimeConfig, RouteConfig, routing_of
from alerts.silence import Silence
from dashboards.app import build_app
from dashboards.desk import IncidentLine
from dashboards.view import Budget, IncidentState, RulePrecision
from monitor.inhibiting.inhibitions import inhibitions_of
from monitor.telling.incident_desk import Desk

TREE: dict[str, Any] = {
    "receivers": ["slack"],
    "group_by": ["target"],
    "routes": [
        {
            "match": ["severity=page"],
            "receivers": ["pager"],
            "escalate": [{"after": "15m", "notify": "lead"}],
        },
        {"match": ["service=~batch-.*"], "receivers": ["mail"], "mute_times": ["nights"]},
        {"match": ["service=batch-x", "severity=page"]},
    ],
}
INHIBITIONS = inhibitions_of(
    {"bot": ["gateway"], "gateway": []},
    {},
    [InhibitRule(matching(service="*"), matching(severity="ticket"), ("service",), name="louder")],
    ["identity"],
)
NIGHTS = MuteTimeConfig(weekdays=["monday-friday"], times=["11:00-13:00", "22:00-24:00"])


@pytest.fixture
def client(database, clock, view) -> httpx.AsyncClient:
    routing = routing_of(RouteConfig.model_validate(TREE), {"nights": NIGHTS}, 600.0)
    return client_of(Desk(database, clock, lambda: None, routing, INHIBITIONS), view)


def client_of(desk: Any, view: Any) -> httpx.AsyncClient:
    app = build_app(view, lambda: b"", view.is_ready, view, desk)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8700")


async def shown(client: httpx.AsyncClient, path: str, code: int = 200, **asked: str) -> str:
    answer = await client.get(path, params=asked)
    assert answer.status_code == code
    return " ".join(answer.text.split())


async def test_what_explains_what_away_stands_below_the_tree(client):
    page = await shown(client, "/routes")
    for said in (
        "While an endpoint does not answer, it is no model that has changed",
        "Meanwhile nothing comes of what is held: no incident, no rollback.",
        "While nothing comes through gateway, what is found of bot says nothing.",
        "<td>service=~&#34;.*&#34;</td><td>severity=&#34;ticket&#34;</td><td>service</td>",
        "One of your own. Meanwhile people do not hear of what is held",
        "failing checks follow from that. <em>Switched off.</em>",
    ):
        assert said in page
    answer = (await client.get("/api/v1/routing")).json()
    ways = {one["name"]: one["ways"] for one in answer["inhibitions"]}
    assert list(ways) == [
        "ingest_broken", "no_traffic", "service_silent", "endpoint_down", "depends_on", "louder", "identity",
    ]  # fmt: skip
    assert ways["identity"] == []
    assert ways["louder"] == [
        {"while_fires": 'service=~".*"', "holds": 'severity="ticket"', "same": "service"}
    ]


async def test_the_tree_stands_there_with_its_mute_times_and_what_nothing_reaches(client):
    page = await shown(client, "/routes")
    for said in (
        "pager, after 15 min lead",
        "service=~&#34;batch-.*&#34;",
        "together by target, after 30 s, changes every 5 min at most, again every 4 h",
        "monday, tuesday, wednesday, thursday, friday 11:00-13:00, 22:00-24:00 (UTC)",
        "holds now, until 2026-03-02 13:00:00 UTC",
        "Nothing ever reaches route.routes[2]: route.routes[0] comes first and takes all of it",
    ):
        assert said in page


async def test_who_would_be_told_is_said_with_when_and_why_and_what_keeps_it_quiet(client, database, clock):
    now = clock.now()
    matchers = parse_matchers("service=batch-x")
    silence = Silence("5ab", matchers, "ada", "", now, now + timedelta(hours=1), now)
    database.write(lambda session: silence_store.save_silence(session, silence))
    page = await shown(client, "/routes", labels="service=batch-x", severity="ticket")
    assert "<strong>mail</strong>" in page
    assert "route: everything &gt; route.routes[1]" in page
    assert "Not now: silenced by silence 5ab of ada, until 2026-03-02 13:00:00 UTC at most." in page
    other = await shown(client, "/routes", labels="service=shop, target=bot", severity="page")
    assert "<strong>pager, after 15 min lead</strong>" in other
    assert "together with what has target=bot" in other
    assert "Not now" not in other
    assert "Nobody is told: information" in await shown(client, "/routes", labels="", severity="info")


async def test_machines_are_told_the_same(client):
    asked = {"labels": ["service=batch-x", "target=bot"], "severity": "ticket"}
    answer = (await client.get("/api/v1/routing/told", params=asked)).json()
    assert [(one["route"], one["tells"]) for one in answer["told"]] == [("route.routes[1]", "mail")]
    assert answer["held"] == [
        {"why": "muted", "by": "mute time nights", "until": "2026-03-02T13:00:00Z", "routes": []}
    ]
    tree = (await client.get("/api/v1/routing")).json()
    assert [one["depth"] for one in tree["routes"]] == [0, 1, 1, 1]


async def test_what_cannot_be_asked_says_what_can(client):
    for asked, told in (
        ({"labels": "nonsense"}, "write it like service=checkout"),
        ({"labels": "service!=chat"}, "is no label; write it like service=checkout"),
        ({"labels": "", "severity": "loud"}, "one of page, ticket, info"),
        ({"labels": "", "source": "rumour"}, "one of ledger, proof, watch, self_check"),
    ):
        assert told in await shown(client, "/routes", 400, **asked)
        answer = await client.get("/api/v1/routing/told", params=asked)
        assert (answer.status_code, told in answer.json()["detail"]) == (400, True)


async def test_without_a_tree_the_rule_of_the_labels_names_who_is_told(database, clock, view):
    def notified(labels):
        return ("bots",) if labels.get("target") == "bot" else ()

    client = client_of(Desk(database, clock, lambda: None, notified=notified), view)
    page = await shown(client, "/routes", labels="target=bot")
    assert "There is no tree" in page
    assert "<strong>bots</strong>" in page
    assert "its target or watch says so in notify" in page


class Woken:
    """A quarter with three pages."""

    def __init__(self, at: Any) -> None:
        self.at = at

    async def paged(self) -> tuple[IncidentLine, ...]:
        return tuple(
            IncidentLine(
                f"i-{n}",
                f"drift/{n}",
                Severity.PAGE,
                IncidentState.RESOLVED,
                f"bot {n} drifts",
                self.at,
                is_true=n,
                paged_at=self.at,
            )
            for n in (True, False, None)
        )


async def test_the_budget_is_in_the_open_with_each_rule_and_each_page(view, rich, clock):
    rules = (RulePrecision("drift/bot", 3, 1, 1, 0.5), RulePrecision("watch/chat", 1))
    view.shown = type(rich)(clock.now(), "1", clock.now(), Budget(0.25, 2, rules))
    page = await shown(client_of(Woken(clock.now()), view), "/budget")
    for said in (
        "<dd>2<small>",
        "<dt>Found right</dt><dd>1</dd>",
        "<dt>Found false</dt><dd>1<small>budget 0.25 a quarter</small>",
        "50 % of 2 judged",
        "nobody has judged it",
        "bot None drifts",
        "nobody has said",
        "false alarm",
    ):
        assert said in page
