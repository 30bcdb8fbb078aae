"""Rollbacks over HTTP and on the command line: seen, rehearsed, answered, locked."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from alerts import outbox_store, rollback_store, store
from alerts.config import RollbackConfig
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, NoticeKind
from alerts.intake import receive
from alerts.rollback import Mode, RollbackRule
from dashboards.app import build_app
from monitor.cli import main
from monitor.config import DATABASE_FILE
from monitor.database import Database
from monitor.telling.rollbacks import Rollbacks

from .test_incident_desk import Bare

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://user:password@deploy.example.com/rollback?key=abc"
CONFIG = f"rollbacks: {{deploy: {{url: '{URL}', secret: {SECRET}, mode: ask}}}}\n"
BY = {"by": "ada"}


def ask_to_roll_back(database: Database, now: datetime) -> str:
    """The id of an incident whose rollback waits for a person."""
    finding = Finding(Severity.PAGE, Source.WATCH, "chat is slow", {"service": "chat"})
    verdict = Verdict("watch/chat", Label.BREACHED, finding, wants_rollback=True)
    rule, rules = AlertRule(notify=("oncall",), rollback="deploy"), {"deploy": RollbackRule(Mode.ASK)}
    database.write(lambda session: receive(session, [(verdict, rule)], now, rules))
    [incident] = database.read(store.open_incidents)
    return incident.id


def orders(database: Database) -> int:
    rows = database.read(outbox_store.notifications)
    return sum(row.message.kind is NoticeKind.ROLLBACK for row in rows)


# --- over HTTP


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def client(database, clock, woken) -> httpx.AsyncClient:
    configured = {"deploy": RollbackConfig.model_validate({"url": URL, "secret": SECRET, "mode": "ask"})}
    view = Bare()
    desk = Rollbacks(database, clock, lambda: woken.append("woken"), configured)
    app = build_app(view, lambda: b"", view.is_ready, view, rollbacks=desk)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8700")


async def test_a_rollback_is_approved_once_and_the_second_hears_by_whom(client, database, clock, woken):
    incident = ask_to_roll_back(database, clock.now())
    async with client:
        seen = (await client.get("/api/v1/rollbacks")).json()
        assert [(one["incident"], one["state"]) for one in seen["decisions"]] == [(incident, "asked")]
        done = await client.post(f"/api/v1/incidents/{incident}/rollback/approve", json=BY)
        assert (done.status_code, done.json()["state"], done.json()["answered_by"]) == (200, "waiting", "ada")
        late = await client.post(f"/api/v1/incidents/{incident}/rollback/reject", json={"by": "bob"})
        assert (late.status_code, "ada approved it at 2026-" in late.json()["detail"]) == (409, True)
        after = (await client.get("/api/v1/rollbacks")).json()
        [configured] = after["configured"]
        assert configured["held_back"].startswith(
            "the last rollback was too short a time ago; it rests until"
        )
    assert (orders(database), woken) == (1, ["woken"])


async def test_a_lock_over_http_holds_an_approval_until_it_is_taken_back(client, database, clock):
    incident = ask_to_roll_back(database, clock.now())
    async with client:
        locked = await client.post("/api/v1/rollbacks/*/lock", json={**BY, "comment": "freeze"})
        assert (locked.status_code, locked.json()["rollback"]) == (200, "*")
        held = await client.post(f"/api/v1/incidents/{incident}/rollback/approve", json=BY)
        assert (held.status_code, "it is locked by ada" in held.json()["detail"]) == (409, True)
        assert (await client.get("/api/v1/rollbacks")).json()["locks"] == [locked.json()]
        clock.advance(60)
        ended = (await client.post("/api/v1/rollbacks/*/unlock", json={"by": "bob"})).json()
        assert ended == locked.json() | {"ended_by": "bob", "ended_at": "2026-03-02T12:01:00Z"}
        after = (await client.get("/api/v1/rollbacks")).json()
        assert (after["locks"], after["past_locks"]) == ([], [ended])
        assert (
            await client.post(f"/api/v1/incidents/{incident}/rollback/approve", json=BY)
        ).status_code == 200
    assert orders(database) == 1


async def test_a_rehearsal_shows_the_order_without_secrets_and_changes_nothing(client, database, clock):
    incident = ask_to_roll_back(database, clock.now())
    async with client:
        for asked, action in (({}, "suppressed"), ({"incident": incident}, "suppressed")):
            found = (await client.get("/api/v1/rollbacks/deploy/dry-run", params=asked)).json()
            assert found["action"] == action
        await client.post(f"/api/v1/incidents/{incident}/rollback/reject", json=BY)
        found = (await client.get("/api/v1/rollbacks/deploy/dry-run")).json()
    assert (found["action"], found["url"]) == ("ask", "https://deploy.example.com:443/rollback")
    assert (found["body"]["type"], found["body"]["rollback"]) == ("anchorwatch.rollback", "deploy")
    assert len(database.read(rollback_store.history)) == 1
    assert orders(database) == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "told"),
    [
        ("POST", "/api/v1/incidents/gone/rollback/approve", BY, 404, "there is no incident 'gone'"),
        ("GET", "/api/v1/rollbacks/gone/dry-run", None, 404, "no rollback is called 'gone'; known: deploy"),
        ("POST", "/api/v1/rollbacks/gone/lock", BY, 404, "no rollback is called 'gone'"),
        ("POST", "/api/v1/rollbacks/deploy/unlock", BY, 404, "is not locked by itself; locked: nothing"),
        ("POST", "/api/v1/rollbacks/deploy/lock", {"by": ""}, 422, "at least 1 character"),
    ],
)
async def test_what_cannot_be_done_says_what_would_be_right(client, method, path, body, code, told):
    async with client:
        answer = await client.request(method, path, json=body)
    assert (answer.status_code, told in answer.text) == (code, True)


@pytest.mark.parametrize(
    "path", ["incidents/x/rollback/approve", "incidents/x/rollback/reject", "rollbacks/*/lock"]
)
async def test_a_form_of_a_stranger_changes_nothing(client, path):
    async with client:
        answer = await client.post(
            f"/api/v1/{path}", content="by=eve", headers={"content-type": "text/plain"}
        )
    assert answer.status_code == 415


# --- on the command line


@pytest.fixture
def say(tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG)

    def say(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "rollback", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out + said.err

    return say


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """A database in which a rollback waits for a person; gives the id of its incident."""
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()
    incident = ask_to_roll_back(database, datetime.now(UTC))
    database.close()
    return incident


def test_a_rollback_is_listed_approved_and_stays_decided(say, waiting, tmp_path):
    code, said = say("list")
    assert (code, waiting in said, "a person has to approve it by" in said) == (0, True, True)
    code, said = say("approve", "watch/chat", "--by", "ada")
    assert (code, "ada approved it at" in said, "the daemon sends the order" in said) == (0, True, True)
    code, said = say("reject", waiting, "--by", "bob")
    assert (code, "waits for nobody: ada approved it" in said) == (2, True)
    found = json.loads(say("list", "--json")[1])
    assert [one["state"] for one in found["decisions"]] == ["waiting"]
    assert found["configured"][0]["rollback"] == "deploy"


def test_a_rollback_is_rejected_for_machines(say, waiting):
    code, said = say("reject", waiting, "--by", "bob", "--json")
    assert (code, json.loads(said)["state"], json.loads(said)["answered_by"]) == (0, "refused", "bob")
    assert json.loads(say("list", "--json")[1])["configured"][0]["held_back"] == ""


def test_locks_are_set_shown_and_taken_back_one_by_one(say, waiting):
    assert say("lock", "--by", "eve", "--comment", "freeze")[0] == 0
    assert say("lock", "deploy", "--by", "ada")[0] == 0
    assert "every rollback is locked by eve" in say("list")[1]
    code, said = say("approve", waiting)
    assert (code, "it is locked by ada" in said) == (2, True)
    code, said = say("unlock", "deploy")
    assert (code, "still: every rollback is locked by eve" in said) == (0, True)
    assert "it is locked by eve since" in say("approve", waiting)[1]
    assert say("unlock", "--by", "bob")[0] == 0
    assert say("approve", waiting)[0] == 0
    said = say("list")[1]
    assert "every rollback was locked by eve from 20" in said
    assert "UTC, unlocked by bob: freeze" in said


def test_everything_can_be_locked_while_the_configuration_is_broken(say, waiting, tmp_path):
    (tmp_path / "anchorwatch.yaml").write_text("rollbacks: nonsense\n")
    assert say("lock", "--by", "eve")[0] == 0


def test_a_rehearsal_says_what_would_happen_and_shows_the_order(say, waiting):
    code, said = say("dry-run", "deploy", "--incident", waiting)
    assert (code, "would not be sent now: this incident has had its rollback decision" in said) == (0, True)
    assert "POST https://deploy.example.com:443/rollback, signed by Standard Webhooks" in said
    assert "password" not in said
    assert json.loads(say("dry-run", "deploy", "--json")[1])["action"] == "suppressed"
    code, said = say("dry-run", "other")
    assert (code, "no rollback is called 'other'; known: deploy" in said) == (2, True)
