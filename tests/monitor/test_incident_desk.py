"""Seeing to incidents over HTTP: what it does, and who may do it."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from alerts import store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, State
from alerts.intake import receive
from dashboards.app import build_app
from dashboards.audit.report import Audit, AuditSummary
from dashboards.view import Budget, DeploymentStatus, Readiness
from monitor.telling.incident_desk import Desk


class Bare:
    """A status without anything in it."""

    async def status(self) -> DeploymentStatus:
        now = datetime(2026, 3, 2, tzinfo=UTC)
        return DeploymentStatus(now, "1", now, Budget(0.25))

    async def is_ready(self) -> Readiness:
        return Readiness()

    async def audits(self, limit: int) -> tuple[AuditSummary, ...]:
        return ()

    async def audit(self, night: str) -> Audit | None:
        return None


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def ask(database, clock, woken) -> Callable[..., httpx.AsyncClient]:
    """A client of the application, from this machine unless said otherwise."""

    def ask(
        peer: str = "127.0.0.1", host: str = "localhost:8700", token: str | None = None
    ) -> httpx.AsyncClient:
        view, desk = Bare(), Desk(database, clock, lambda: woken.append("woken"))
        app = build_app(view, lambda: b"", view.is_ready, view, desk, token)
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")

    return ask


@pytest.fixture
def incident_id(database, clock) -> str:
    finding = Finding(Severity.PAGE, Source.WATCH, "chat is slow", {"service": "chat"})
    verdict = Verdict("watch/chat", Label.BREACHED, finding)
    rule = AlertRule(notify=("oncall",))
    database.write(lambda session: receive(session, [(verdict, rule)], clock.now()))
    [incident] = database.read(store.open_incidents)
    return incident.id


async def test_an_incident_is_acknowledged_and_marked(ask, incident_id, database, woken):
    async with ask() as client:
        seen = await client.post(f"/api/v1/incidents/{incident_id}/acknowledge", json={"by": "ada"})
        assert (seen.status_code, seen.json()["state"], seen.json()["acknowledged_by"]) == (
            200,
            "acknowledged",
            "ada",
        )
        marked = await client.post(
            f"/api/v1/incidents/{incident_id}/mark", json={"by": "ada", "is_true": False}
        )
        assert marked.json()["is_true"] is False
        [listed] = (await client.get("/api/v1/incidents", params={"match": "service=chat"})).json()
        assert (listed["id"], listed["severity"]) == (incident_id, "page")
        assert (await client.get("/api/v1/incidents", params={"match": "service=shop"})).json() == []
    assert database.read(store.open_incidents)[0].state is State.ACKNOWLEDGED
    assert woken == ["woken", "woken"]


async def test_a_silence_is_previewed_made_listed_and_ended(ask, incident_id):
    async with ask() as client:
        held = await client.post("/api/v1/silences/preview", json={"matchers": ["service=chat"]})
        assert [one["id"] for one in held.json()] == [incident_id]
        made = await client.post(
            "/api/v1/silences",
            json={"matchers": ["service=chat"], "for": "2h", "by": "ada", "comment": "moving"},
        )
        assert (made.status_code, made.json()["state"], made.json()["ends_at"]) == (
            200,
            "active",
            "2026-03-02T14:00:00Z",
        )
        [listed] = (await client.get("/api/v1/silences")).json()
        assert listed == made.json()
        ended = await client.post(f"/api/v1/silences/{listed['id']}/expire", json={"by": "bob"})
        assert (ended.json()["state"], ended.json()["ended_by"]) == ("expired", "bob")
        assert (await client.get("/api/v1/silences")).json() == []
        assert len((await client.get("/api/v1/silences", params={"all": True})).json()) == 1


async def test_an_explanation_is_json_and_a_page(ask, incident_id):
    async with ask() as client:
        found = (await client.get("/api/v1/explain", params={"incident": "watch/chat"})).json()
        assert found["incident"]["id"] == incident_id
        assert found["decisions"][0]["why"] == "wrong for as long as the rule wants"
        page = await client.get("/explain", params={"incident": incident_id})
        assert page.status_code == 200
        assert "wrong for as long as the rule wants" in page.text


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "told"),
    [
        ("POST", "/api/v1/incidents/gone/acknowledge", {"by": "ada"}, 404, "there is no incident 'gone'"),
        ("POST", "/api/v1/silences/gone/expire", {}, 422, "Field required"),
        ("POST", "/api/v1/silences/gone/expire", {"by": "ada"}, 404, "there is no silence 'gone'"),
        ("GET", "/api/v1/explain?incident=gone", None, 404, "nothing was decided about 'gone'"),
        ("GET", "/api/v1/incidents?match=nonsense", None, 400, "write it like service=checkout"),
        ("POST", "/api/v1/silences", {"matchers": ["a!=b"], "by": "ada"}, 400, "fit everything that lacks"),
        ("POST", "/api/v1/silences", {"matchers": ["a=b"], "by": "ada", "for": "9999999d"}, 400, "calendar"),
        (
            "POST",
            "/api/v1/silences",
            {"matchers": ["a=b"], "by": "ada", "for": "1h", "starts_at": "0001-01-01T00:00:00+05:00"},
            400,
            "calendar",
        ),
        (
            "POST",
            "/api/v1/silences",
            {"matchers": ["a=b"], "by": "ada", "for": "400d"},
            400,
            "366 days at most",
        ),
        ("POST", "/api/v1/silences", {"matchers": ["a=b"], "by": "ada", "for": "soon"}, 422, "no duration"),
        ("POST", "/api/v1/silences", {"matchers": ["a=b"], "by": ""}, 422, "at least 1 character"),
    ],
)
async def test_what_cannot_be_done_says_what_would_be_right(ask, method, path, body, code, told):
    async with ask() as client:
        answer = await client.request(method, path, json=body)
    assert (answer.status_code, told in answer.text) == (code, True)


BY = {"by": "ada"}


@pytest.mark.parametrize(
    ("client", "headers", "code"),
    [
        ({}, {}, 200),
        ({"peer": "::1", "host": "[::1]:8700"}, {}, 200),
        ({}, {"origin": "http://localhost:8700"}, 200),
        ({"peer": "192.0.2.7"}, {}, 403),
        ({"host": "evil.example.com"}, {}, 403),
        ({}, {"origin": "https://evil.example.com"}, 403),
        ({}, {"origin": "null"}, 403),
        ({"token": "a-long-token-of-ours"}, {}, 401),
        ({"token": "a-long-token-of-ours"}, {"authorization": "Bearer wrong"}, 401),
        (
            {"token": "a-long-token-of-ours"},
            {"authorization": "Bearer wröng".encode().decode("latin-1")},
            401,
        ),
        (
            {"token": "a-long-token-of-ours", "peer": "192.0.2.7", "host": "watch.example.com"},
            {"authorization": "Bearer a-long-token-of-ours"},
            200,
        ),
    ],
    ids=[
        "this machine",
        "this machine by IPv6",
        "a page of ours",
        "another machine",
        "a name of a stranger that leads here",
        "a page of a stranger",
        "a page of nobody",
        "no token where there is one",
        "a wrong token",
        "a token that is not ASCII",
        "the token from anywhere",
    ],
)
async def test_who_may_change_things(ask, incident_id, client, headers, code):
    async with ask(**client) as one:
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await one.post(f"/api/v1/incidents/{incident_id}/acknowledge", json=BY, headers=sent)
    assert answer.status_code == code


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_form_of_a_stranger_changes_nothing(ask, incident_id, database, kind):
    async with ask() as client:
        path = f"/api/v1/incidents/{incident_id}/acknowledge"
        answer = await client.post(path, content=b'{"by": "x"}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert database.read(store.open_incidents)[0].state is State.FIRING


async def test_the_reference_shows_what_can_be_done(ask):
    async with ask() as client:
        page = await client.get("/api/docs")
    assert "/api/v1/silences" in page.text
