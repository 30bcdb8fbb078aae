import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from alerts import DeliveryError
from alerts.channels.retry_after import retry_after_s
from alerts.channels.webhook import MAX_BODY_BYTES, RollbackChannel, WebhookChannel, webhook_body
from alerts.config import RollbackConfig, WebhookConfig
from alerts.finding import Severity
from alerts.incident import NoticeKind, State
from alerts.message import Message

from .conftest import Answer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
ORDER = Message(
    id="msg_1",
    kind=NoticeKind.ROLLBACK,
    summary="support-bot answers differently than in its baseline.",
    created_at=AT,
    incident_id="2b26878b897629cd",
    key="drift/support-bot",
    severity=Severity.PAGE,
    state=State.FIRING,
    since=AT,
    labels={"target": "support-bot"},
    evidence=(("evidence", "1.31 of 1"),),
    rollback="deploys",
)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


def channel_to(
    url: str, client: httpx.AsyncClient, now=lambda: datetime.now(UTC), timeout=5.0
) -> WebhookChannel:
    return WebhookChannel(WebhookConfig(url=url, secret=SECRET, timeout=timeout), client, now)


async def test_an_order_verifies_and_says_what_to_roll_back(endpoint, client):
    assert await channel_to(endpoint.url, client).deliver(ORDER, None, is_repeat=False) is None
    [(headers, body)] = endpoint.requests
    payload = Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == payload["id"] == "msg_1"
    assert payload["type"] == "anchorwatch.rollback"
    assert payload["incident"] == "2b26878b897629cd"
    assert (payload["rollback"], payload["mode"], payload["target"]) == ("deploys", "live", "support-bot")
    assert payload["evidence"] == [{"name": "evidence", "value": "1.31 of 1"}]


async def test_what_was_changed_on_the_way_does_not_verify(endpoint, client):
    await channel_to(endpoint.url, client).deliver(ORDER, None, is_repeat=False)
    [(headers, body)] = endpoint.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"support-bot", b"billing-bot"), headers)


async def test_a_repeat_has_the_same_id_and_body_and_a_time_of_its_own(endpoint, client, clock):
    channel = channel_to(endpoint.url, client, clock.now)
    await channel.deliver(ORDER, None, is_repeat=False)
    clock.advance(60)
    await channel.deliver(ORDER, None, is_repeat=True)
    (first, first_body), (second, second_body) = endpoint.requests
    assert first_body == second_body
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "retry_after"),
    [
        (301, {"Location": "/elsewhere"}, False, None),
        (400, {}, False, None),
        (401, {}, False, None),
        (410, {}, True, None),
        (429, {"Retry-After": "120"}, False, 120.0),
        (503, {"Retry-After": "Mon, 02 Mar 2026 12:06:00 GMT"}, False, 60.0),
        (500, {"Retry-After": "soon"}, False, None),
    ],
    ids=[
        "redirect",
        "bad request",
        "unauthorized",
        "gone",
        "rate limit",
        "overload until a date",
        "unusable wait",
    ],
)
async def test_everything_but_2xx_failed(endpoint, client, status, headers, permanent, retry_after):
    endpoint.script.append(Answer(status=status, headers=headers))
    with pytest.raises(DeliveryError, match=str(status)) as failure:
        await channel_to(endpoint.url, client, lambda: AT).deliver(ORDER, None, is_repeat=False)
    assert (failure.value.permanent, failure.value.retry_after_s) == (permanent, retry_after)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_every_2xx_arrived(endpoint, client, status):
    endpoint.script.append(Answer(status=status, headers={}))
    await channel_to(endpoint.url, client).deliver(ORDER, None, is_repeat=False)


async def test_an_unreachable_endpoint_is_worth_another_try(client):
    with pytest.raises(DeliveryError, match="could not be reached") as failure:
        await channel_to("http://127.0.0.1:9/", client).deliver(ORDER, None, is_repeat=False)
    assert not failure.value.permanent


async def test_an_endpoint_that_does_not_answer_is_left_after_the_timeout():
    async def forever(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(forever)) as client:
        channel = channel_to("http://deploys.example.com/", client, timeout=0.01)
        with pytest.raises(DeliveryError, match=r"0\.01 s"):
            await channel.deliver(ORDER, None, is_repeat=False)


@pytest.mark.parametrize(
    ("mode", "kind", "says"),
    [
        ("dry-run", NoticeKind.ROLLBACK, "set to dry-run"),
        ("ask", NoticeKind.ROLLBACK, "set to ask"),
        ("live", NoticeKind.TEST, "takes no messages but the order"),
        ("live", NoticeKind.FIRING, "takes no messages but the order"),
    ],
    ids=[
        "an order that waited while the mode was changed",
        "an order that nobody approved",
        "a test",
        "a page",
    ],
)
async def test_a_deploy_system_gets_live_orders_only(endpoint, client, mode, kind, says):
    config = RollbackConfig(url=endpoint.url, secret=SECRET, mode=mode)
    channel = RollbackChannel(config, client, lambda: AT)
    with pytest.raises(DeliveryError, match=says) as refusal:
        await channel.deliver(replace(ORDER, kind=kind), None, is_repeat=False)
    assert refusal.value.permanent
    assert endpoint.requests == []


async def test_a_live_order_reaches_the_deploy_system(endpoint, client):
    config = RollbackConfig(url=endpoint.url, secret=SECRET, mode="live")
    await RollbackChannel(config, client, lambda: AT).deliver(ORDER, None, is_repeat=False)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("character", ["x", "€", "\0", '"', "😀"])
def test_a_body_stays_below_its_limit_whatever_it_holds(character):
    long = character * 1000
    message = replace(
        ORDER,
        summary=long * 9,
        note=long * 9,
        evidence=tuple((f"{i}", long) for i in range(40)),
        labels={f"label {i}": long for i in range(40)},
    )
    body = webhook_body(message)
    assert len(body) < MAX_BODY_BYTES
    payload = orjson.loads(body)
    assert payload["left_out"] == 80 - len(payload["evidence"]) - len(payload["labels"]) > 0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("12", 12.0),
        ("-5", 0.0),
        ("1.5", None),
        ("Mon, 02 Mar 2026 12:06:00 GMT", 60.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("tomorrow", None),
    ],
)
def test_how_long_a_receiver_asks_us_to_wait(header, expected):
    assert retry_after_s(header, AT) == expected


def test_a_date_without_a_zone_is_utc():
    at = AT + timedelta(seconds=30)
    assert retry_after_s(at.strftime("%a, %d %b %Y %H:%M:%S -0000"), AT) == 30.0


@pytest.mark.parametrize("mode", ["ask", "live"])
async def test_an_approved_order_says_who_approved_it(endpoint, client, mode):
    config = RollbackConfig(url=endpoint.url, secret=SECRET, mode=mode)
    order = replace(ORDER, approved_by="ada")
    await RollbackChannel(config, client, lambda: AT).deliver(order, None, is_repeat=False)
    assert orjson.loads(endpoint.requests[0][1])["approved_by"] == "ada"


def test_a_question_names_the_rollback_that_it_is_about():
    question = replace(ORDER, kind=NoticeKind.ROLLBACK_QUESTION)
    body = orjson.loads(webhook_body(question))
    assert (body["type"], body["rollback"]) == ("anchorwatch.rollback_question", "deploys")
    assert "mode" not in body
