"""Rollbacks on the pages: what waits is seen, looked at before it is approved, rejected, locked."""

from typing import Any

import httpx
import pytest

from alerts import rollback_store, store
from alerts.config import RollbackConfig
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.rollback import Mode, RollbackRule
from dashboards.app import build_app
from monitor.telling.incident_desk import Desk
from monitor.telling.rollbacks import Rollbacks

CONFIG = {
    "url": "https://user:password@deploy.example.com/rollback?key=abc",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "mode": "ask",
}
OURS = {"origin": "http://localhost:8700", "sec-fetch-site": "same-origin"}


@pytest.fixture
def client(database, clock, view) -> httpx.AsyncClient:
    configured = {"deploy": RollbackConfig.model_validate(CONFIG)}
    app = build_app(
        view,
        lambda: b"",
        view.is_ready,
        view,
        Desk(database, clock, lambda: None),
        rollbacks=Rollbacks(database, clock, lambda: None, configured),
        clock=clock,
    )
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8700", headers=OURS)


@pytest.fixture
def incident(database, clock) -> str:
    """The id of one whose rollback waits for a person."""
    finding = Finding(Severity.PAGE, Source.WATCH, "chat is slow", {"service": "chat"})
    verdict = Verdict("watch/chat", Label.BREACHED, finding, wants_rollback=True)
    rule = AlertRule(notify=("oncall",), rollback="deploy")
    rules = {"deploy": RollbackRule(Mode.ASK)}
    database.write(lambda session: receive(session, [(verdict, rule)], clock.now(), rules))
    [opened] = database.read(store.open_incidents)
    return opened.id


async def sent(client: httpx.AsyncClient, deed: str, **fields: str) -> str:
    answer = await client.post(f"/rollbacks/{deed}", data=fields)
    shown = await client.send(answer.next_request) if answer.next_request else answer
    return " ".join(shown.text.split())


async def test_what_waits_is_looked_at_and_then_approved(client, incident, database):
    about = {"incident": incident, "rollback": "deploy"}
    async with client:
        assert (
            "waits for a person until 2026-03-02 12:30:00 UTC"
            in (await client.get(f"/incidents/{incident}")).text
        )
        look = (await client.get("/rollbacks/approve", params=about)).text
        for said in ("https://deploy.example.com:443/rollback", "chat is slow", "Approve: roll back"):
            assert said in look
        assert "password" not in look
        assert "key=abc" not in look
        done = await sent(client, "approve", by="ada", **about)
        assert "Approved: the order is on its way" in done
        assert "Waits for a person" not in done
        late = await sent(client, "reject", by="bob", **about)
        assert "Ada approved it at 2026" in late or "ada approved it at 2026" in late
    [past] = database.read(rollback_store.history)
    assert past.answered_by == "ada"


async def test_what_waits_is_rejected(client, incident, database):
    async with client:
        await client.post("/you", data={"name": "ada", "next": ""})
        assert "<button>Reject</button>" in (await client.get("/rollbacks")).text
        done = await sent(client, "reject", incident=incident, rollback="deploy")
    assert "Rejected: it is not sent" in done
    assert "Waits for a person" not in done


@pytest.mark.parametrize(
    ("name", "said"), [("deploy", "locked by ada: freeze"), ("*", "Every rollback is locked by ada")]
)
async def test_a_lock_holds_an_approval_until_it_is_taken_back(client, incident, name, said):
    about: dict[str, Any] = {"incident": incident, "rollback": "deploy"}
    async with client:
        assert said in await sent(client, "lock", rollback=name, comment="freeze", by="ada")
        assert "locked by ada" in await sent(client, "approve", **about)
        assert "What was locked" not in (await client.get("/rollbacks")).text
        unlocked = await sent(client, "unlock", rollback=name, by="bob")
        assert "Unlocked: it may act again" in unlocked
        assert "What was locked" in unlocked
        assert "<td>ada</td> <td>bob</td> <td>freeze</td>" in unlocked
        assert "Approved" in await sent(client, "approve", **about)


async def test_what_cannot_be_done_says_what_would_be_right(client):
    async with client:
        for deed, fields, code, told in (
            ("approve", {"incident": "gone", "rollback": "deploy", "by": "ada"}, 404, "There is no incident"),
            ("lock", {"rollback": "gone", "by": "ada"}, 404, "No rollback is called"),
            ("lock", {"rollback": "deploy", "by": " "}, 400, "Say who does it"),
            ("explode", {"by": "ada"}, 404, "There is no such thing"),
        ):
            answer = await client.post(f"/rollbacks/{deed}", data=fields)
            assert (answer.status_code, told in answer.text) == (code, True), deed


async def test_a_form_of_a_stranger_sends_no_rollback(client, incident, database):
    strange = {"origin": "https://evil.example.com", "sec-fetch-site": "cross-site"}
    about = {"incident": incident, "rollback": "deploy", "by": "eve"}
    async with client:
        answer = await client.post("/rollbacks/approve", data=about, headers=strange)
    assert answer.status_code == 403
    [past] = database.read(rollback_store.history)
    assert past.is_open
