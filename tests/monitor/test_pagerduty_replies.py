"""What people do in PagerDuty is done here too: by its signed webhooks, each event once."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from alerts import actions, group_store, outbox_store, store
from alerts.channels.pagerduty import DEDUP_PREFIX, events
from alerts.channels.pagerduty_replies import reply_of
from alerts.config import ReceiverConfig
from alerts.decisions import decisions
from alerts.dispatch import flush_due
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, State
from alerts.intake import receive
from alerts.routing import Routing
from dashboards.app import build_app
from monitor.telling.pagerduty_replies import PagerDutyReplies, pagerduty_secrets

SECRET = "q5BSXyfTbpSmUoDpYnpdiBWVkgeHJmXt"
ADA = {"id": "PLH1HKV", "summary": "Ada Lovelace", "type": "user_reference"}
KEY = "0123456789abcdef0123456789abcdef"


def payload(
    kind: str, key: str, event_id: str = "01DA8DZB8OI8GYNRNSNJMTXYRT", agent: Any = ADA
) -> dict[str, Any]:
    """An event as the published examples have it."""
    data = {"id": "PGR0VU2", "type": "incident", "number": 2, "status": "triggered", "incident_key": key}
    return {
        "event": {
            "id": event_id,
            "event_type": kind,
            "resource_type": "incident",
            "occurred_at": "2026-03-02T12:00:10.169Z",
            "agent": agent,
            "client": None,
            "data": data,
        }
    }


def signed(body: bytes, *secrets: str) -> str:
    digests = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join(f"v1={digest}" for digest in digests)


class Office:
    """An incident that a PagerDuty service knows of, and PagerDuty's side of it."""

    def __init__(self, database: Any, clock: Any) -> None:
        self.database, self.clock, self.woken = database, clock, 0

    def wake(self) -> None:
        self.woken += 1

    def fire(self, service: str = "chat") -> Incident:
        finding = Finding(Severity.PAGE, Source.WATCH, f"{service} is slow", {"service": service})
        verdict = Verdict(f"watch/{service}", Label.BREACHED, finding)
        [done] = self.database.write(
            lambda session: receive(session, [(verdict, AlertRule(notify=("pager",)))], self.clock.now())
        )
        return done.incident

    def dedup_key(self) -> str:
        """The key under which PagerDuty knows the latest alarm."""
        message = self.database.read(outbox_store.notifications)[-1].message
        return str(next(events(message))["dedup_key"])

    def incident(self, incident_id: str) -> Incident:
        return self.database.read(lambda session: store.incident(session, incident_id))

    def told(self) -> list[str]:
        self.database.write(lambda session: flush_due(session, Routing(), (), self.clock.now()))
        return [row.message.kind.value for row in self.database.read(outbox_store.notifications)]


@pytest.fixture
def office(database, clock) -> Office:
    return Office(database, clock)


Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def post(office):
    """Post an event to the daemon as PagerDuty does."""
    config = {"pagerduty": {"routing_key": KEY, "webhook_secret": SECRET}}
    secrets = pagerduty_secrets({"pager": ReceiverConfig.model_validate(config)})
    desk = PagerDutyReplies(office.database, office.clock, secrets, office.wake)
    app = build_app(None, lambda: b"", None, None, pagerduty=desk)

    async def send(sent: Any, signature: str | None = None, body: bytes | None = None) -> httpx.Response:
        content = body if body is not None else orjson.dumps(sent)
        headers = {"content-type": "application/json"}
        signature = signed(content, SECRET) if signature is None else signature
        if signature:
            headers["X-PagerDuty-Signature"] = signature
        return await client.post("/api/pagerduty/events", content=content, headers=headers)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://anchorwatch"
    ) as client:
        yield send


async def test_who_acknowledges_in_pagerduty_sees_to_it_here(office, post):
    incident = office.fire()
    answer = await post(payload("incident.acknowledged", office.dedup_key()))
    assert answer.status_code == 202
    seen = office.incident(incident.id)
    assert (seen.state, seen.acknowledged_by) == (State.ACKNOWLEDGED, "Ada Lovelace in PagerDuty")
    assert office.told() == ["firing", "acknowledged"]
    assert office.woken == 1


async def test_what_joined_the_alarm_and_was_not_told_yet_is_seen_by_nobody(office, post):
    told, key = office.fire(), office.dedup_key()
    fresh = office.fire("other")
    group_id, now = key.removeprefix(DEDUP_PREFIX), office.clock.now()
    office.database.write(lambda session: group_store.add_member(session, group_id, fresh.id, now))
    await post(payload("incident.acknowledged", key))
    assert [office.incident(one.id).state for one in (told, fresh)] == [State.ACKNOWLEDGED, State.FIRING]


async def test_an_event_that_comes_again_does_nothing(office, post):
    incident = office.fire()
    acknowledged = payload("incident.acknowledged", office.dedup_key(), "E1")
    await post(acknowledged)
    await post(payload("incident.unacknowledged", office.dedup_key(), "E2", agent=None))
    assert (await post(acknowledged)).status_code == 202
    assert office.incident(incident.id).state is State.FIRING
    assert office.woken == 2
    said = office.database.read(lambda session: decisions(session, "", None, [office.dedup_key()[12:]]))
    assert [one.what for one in said if one.what.startswith("PagerDuty")] == [
        "PagerDuty event E1",
        "PagerDuty event E2",
    ]


async def test_what_nobody_sees_to_any_more_is_told_and_can_be_acknowledged_again(office, post):
    incident = office.fire()
    await post(payload("incident.acknowledged", office.dedup_key(), "E1"))
    office.told()
    await post(payload("incident.unacknowledged", office.dedup_key(), "E2", agent=None))
    assert office.incident(incident.id).acknowledged_by == ""
    assert office.told()[2:] == ["updated"]
    news = office.database.read(outbox_store.notifications)[-1].message
    assert "nobody sees to it any more" in news.note
    await post(payload("incident.acknowledged", office.dedup_key(), "E3"))
    assert office.told()[3:] == ["acknowledged"]


async def test_a_time_limit_there_takes_nothing_from_who_sees_to_it_elsewhere(office, post):
    incident = office.fire()
    key, now = office.dedup_key(), office.clock.now()
    office.database.write(lambda session: actions.acknowledge(session, incident.id, "bob", now))
    await post(payload("incident.unacknowledged", key, agent=None))
    assert office.incident(incident.id).acknowledged_by == "bob"


async def test_who_resolves_there_has_seen_what_still_fires(office, post):
    incident = office.fire()
    key = office.dedup_key()
    await post(payload("incident.resolved", key, "E1"))
    assert office.incident(incident.id).state is State.ACKNOWLEDGED
    await post(payload("incident.reopened", key, "E2"))
    assert office.incident(incident.id).state is State.FIRING


@pytest.mark.parametrize("kind", ["incident.acknowledged", "incident.resolved"])
@pytest.mark.parametrize(
    "agent", [None, {"summary": "Anchorwatch", "type": "events_api_v2_inbound_integration_reference"}]
)
async def test_the_echo_of_our_own_events_and_time_limits_acknowledge_nothing(office, post, kind, agent):
    incident = office.fire()
    answer = await post(payload(kind, office.dedup_key(), agent=agent))
    assert (answer.status_code, office.incident(incident.id).state) == (202, State.FIRING)


@pytest.mark.parametrize(
    "change",
    [
        {"event_type": "incident.priority_updated"},
        {"event_type": "pagey.ping", "data": {"message": "Hello from your friend Pagey!", "type": "ping"}},
        {"data": {"incident_key": "anchorwatch/gone"}},
        {"data": {"incident_key": "another system's"}},
        {"data": {"incident_key": None}},
        {"data": None},
        {"id": ""},
        {"id": "x" * 101},
        {"agent": "nonsense"},
    ],
    ids=["other", "ping", "unknown", "not ours", "no key", "no data", "no id", "long id", "no agent"],
)
async def test_what_is_none_of_ours_is_taken_and_does_nothing(office, post, change):
    incident = office.fire()
    sent = payload("incident.acknowledged", office.dedup_key())
    sent["event"] |= change
    assert (await post(sent)).status_code == 202
    assert office.incident(incident.id).state is State.FIRING
    assert office.woken == 0


async def test_while_secrets_change_one_signature_of_several_suffices(office, post):
    incident = office.fire()
    body = orjson.dumps(payload("incident.acknowledged", office.dedup_key()))
    await post(None, signed(body, "the next secret of ours", SECRET), body)
    assert office.incident(incident.id).state is State.ACKNOWLEDGED


async def test_a_header_with_spaces_after_its_commas_is_read_too(office, post):
    office.fire()
    body = orjson.dumps(payload("incident.acknowledged", office.dedup_key()))
    await post(None, signed(body, "the next secret of ours", SECRET).replace(",", ", "), body)
    assert office.woken == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda body: "",
        lambda body: signed(body, "another secret"),
        lambda body: signed(body, SECRET).replace("v1=", "v0="),
        lambda body: signed(body + b" ", SECRET),
        lambda body: signed(body, SECRET).removeprefix("v1="),
        lambda body: "v1=ü,v1=",
    ],
    ids=["none", "other secret", "other version", "changed body", "no version", "nonsense"],
)
async def test_what_is_not_signed_is_refused_and_does_nothing(office, post, forge):
    incident = office.fire()
    body = orjson.dumps(payload("incident.acknowledged", office.dedup_key()))
    signature = forge(body)
    answer = await post(None, signature.encode("latin-1") if signature else "", body)
    assert (answer.status_code, office.incident(incident.id).state) == (401, State.FIRING)


async def test_what_is_signed_and_no_json_is_refused(post):
    assert (await post(None, body=b"[]")).status_code == 401
    assert (await post(None, body=b"nonsense")).status_code == 401


async def test_a_request_without_end_is_refused(post):
    assert (await post({"x": "y" * 300_000})).status_code == 413


async def test_what_cannot_be_stored_is_to_be_sent_again(office, post):
    office.fire()
    key = office.dedup_key()
    office.database.write(lambda session: session.connection().exec_driver_sql("DROP TABLE alert_decision"))
    answer = await post(payload("incident.acknowledged", key))
    assert answer.status_code == 503


def test_the_secret_of_the_configuration_is_checked_and_not_shown():
    assert pagerduty_secrets({}) == ()
    with pytest.raises(ValueError, match="at least 16") as error:
        ReceiverConfig.model_validate({"pagerduty": {"routing_key": KEY, "webhook_secret": "short-one"}})
    assert "short-one" not in str(error.value)


def test_names_are_kept_short():
    reply = reply_of(payload("incident.acknowledged", "anchorwatch/x", agent=ADA | {"summary": "A" * 500}))
    assert reply is not None
    assert reply.by == "A" * 150 + " in PagerDuty"
