"""Buttons in Slack, with Slack's real client: by Socket Mode, and by requests that Slack signs."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from aiohttp import WSMsgType, web
from slack_sdk.models.blocks import ButtonElement

from alerts import group_store, outbox_store, rollback_store, silence_store, store
from alerts.channels.slack_blocks import slack_blocks
from alerts.channels.slack_buttons import buttons
from alerts.config import ReceiverConfig
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, NoticeKind, State
from alerts.intake import receive
from alerts.matcher import KEY, Matcher, Operator
from alerts.message import Message
from alerts.rollback import Mode, RollbackRule
from alerts.rolling_back import lock
from alerts.wishes import Press, Wish, grant
from dashboards.app import build_app
from monitor.database import Database
from monitor.self_watch import SelfWatch
from monitor.telemetry import Metrics
from monitor.telling.slack_buttons import SlackButtons

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ASKED = {"deploy": RollbackRule(Mode.ASK)}
USER = {"id": "U0ADA0001", "username": "ada"}


class FakeSlack:
    """Slack as far as buttons need it: it hands out a socket, tells of what is pressed, and takes replies."""

    def __init__(self) -> None:
        self.url = ""
        self.refusal = ""
        self.acknowledged: list[str] = []
        self.changed: list[dict[str, Any]] = []
        self.replies: asyncio.Queue[str] = asyncio.Queue()
        self.connected = asyncio.Event()
        self._socket: web.WebSocketResponse | None = None

    async def open(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer xapp-1"
        if self.refusal:
            return web.json_response({"ok": False, "error": self.refusal})
        return web.json_response({"ok": True, "url": self.url.replace("http", "ws") + "/socket"})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.connected.set()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.acknowledged.append(message.json()["envelope_id"])
        return socket

    async def reply(self, request: web.Request) -> web.Response:
        said = await request.json()
        if said["replace_original"]:
            self.changed.append(said)
        else:
            self.replies.put_nowait(said["text"])
        return web.Response(text="ok")

    async def press(self, payload: dict[str, Any]) -> None:
        async with asyncio.timeout(20):
            await self.connected.wait()
        assert self._socket is not None
        await self._socket.send_json(
            {"envelope_id": "e1", "type": "interactive", "accepts_response_payload": True, "payload": payload}
        )

    async def told(self) -> str:
        async with asyncio.timeout(20):
            return await self.replies.get()


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    fake, app = FakeSlack(), web.Application()
    app.router.add_post("/api/apps.connections.open", fake.open)
    app.router.add_get("/socket", fake.socket)
    app.router.add_post("/reply", fake.reply)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    yield fake
    await runner.cleanup()


class Office:
    """A deployment with incidents, and the people in Slack."""

    def __init__(self, database: Database, clock: Any, slack: FakeSlack, client: httpx.AsyncClient) -> None:
        self.database, self.clock, self.slack = database, clock, slack
        self.self_watch = SelfWatch(database, clock, Metrics(clock), lambda now: None)
        self.woken = 0
        config = {
            "token": "xoxb-1",
            "channel": "C1",
            "app_token": "xapp-1",
            "signing_secret": SECRET,
            "base_url": f"{slack.url}/api/",
        }
        receivers = {"oncall": ReceiverConfig.model_validate({"slack": config})}
        self.buttons = SlackButtons(database, clock, client, self.self_watch, receivers, self._wake, ASKED)

    def _wake(self) -> None:
        self.woken += 1

    async def fire(self, key: str = "watch/p95/checkout") -> Incident:
        finding = Finding(Severity.PAGE, Source.WATCH, "p95 is above 8 s.", {"service": "checkout"})
        verdict = Verdict(key, Label.BREACHED, finding, wants_rollback=True)
        rule, now = AlertRule(notify=("oncall",), rollback="deploy"), self.clock.now()
        [transition] = await self.database.awrite(
            lambda session: receive(session, [(verdict, rule)], now, ASKED)
        )
        assert transition.incident is not None
        return transition.incident

    async def incident(self, incident_id: str) -> Incident:
        found = await self.database.aread(lambda session: store.incident(session, incident_id))
        assert found is not None
        return found

    async def told(self) -> list[Message]:
        return [row.message for row in await self.database.aread(outbox_store.notifications)]

    def payload(self, wish: str, subject: str) -> dict[str, Any]:
        return {
            "type": "block_actions",
            "user": USER,
            "response_url": f"{self.slack.url}/reply",
            "actions": [{"block_id": "anchorwatch", "action_id": wish, "value": subject, "type": "button"}],
        }


@pytest.fixture
async def office(database: Database, clock: Any, slack: FakeSlack) -> AsyncIterator[Office]:
    async with httpx.AsyncClient() as client:
        yield Office(database, clock, slack, client)


@pytest.fixture
async def listening(office: Office) -> AsyncIterator[None]:
    task = asyncio.create_task(office.buttons.serve())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("listening")
async def test_who_presses_acknowledge_is_the_one_who_sees_to_it(office: Office) -> None:
    incident = await office.fire()
    await office.slack.press(office.payload("acknowledge", incident.id))
    assert await office.slack.told() == "Acknowledged by ada in Slack."
    assert office.slack.acknowledged == ["e1"]
    seen = await office.incident(incident.id)
    assert (seen.state, seen.acknowledged_by) == (State.ACKNOWLEDGED, "ada in Slack")
    assert office.woken == 1


@pytest.mark.usefixtures("listening")
async def test_what_cannot_be_done_is_told_to_who_pressed(office: Office) -> None:
    await office.slack.press(office.payload("acknowledge", "no-such-incident"))
    assert "That did not work: there is no incident 'no-such-incident'" in await office.slack.told()
    assert office.woken == 0


async def test_a_connection_that_slack_refuses_is_a_problem_on_the_page(
    office: Office, slack: FakeSlack
) -> None:
    slack.refusal = "not_allowed_token_type"
    app = office.buttons.receivers["oncall"].slack
    assert app is not None
    assert app.app_token is not None
    assert await office.buttons._open("oncall", app, app.app_token) is None
    [problem] = office.self_watch.problems.shown(office.clock.now())
    assert "Buttons of the receiver oncall do not work: Slack says not_allowed_token_type" in problem


@pytest.mark.parametrize(
    ("wish", "lasts_s"), [("silence_1h", 3600.0), ("silence_1d", 86_400.0)], ids=["an hour", "a day"]
)
async def test_a_silence_is_of_what_the_message_was_about(office: Office, wish: str, lasts_s: float) -> None:
    incident = await office.fire()
    await office.buttons.pressed(office.payload(wish, incident.id))
    assert (await office.slack.told()).startswith("Silenced by ada in Slack until 2026-03-0")
    [silence] = await office.database.aread(silence_store.silences)
    assert silence.fits(incident)
    assert not silence.fits(await office.fire("watch/p99/checkout"))
    assert (silence.ends_at - silence.starts_at).total_seconds() == lasts_s


@pytest.mark.parametrize(("wish", "is_true"), [("mark_true", True), ("mark_false", False)])
async def test_people_say_whether_a_page_was_right(office: Office, wish: str, is_true: bool) -> None:
    incident = await office.fire()
    await office.buttons.pressed(office.payload(wish, incident.id))
    assert (await office.incident(incident.id)).is_true is is_true


@pytest.mark.parametrize(
    "change",
    [
        {"type": "view_submission"},
        {"actions": []},
        {"actions": [{"block_id": "other", "action_id": "acknowledge", "value": "x"}]},
        {"actions": [{"block_id": "anchorwatch", "action_id": "drop_tables", "value": "x"}]},
        {"user": {}},
    ],
    ids=["no button", "nothing pressed", "of another app", "unknown", "of nobody"],
)
async def test_what_is_none_of_our_buttons_does_nothing(office: Office, change: dict[str, Any]) -> None:
    incident = await office.fire()
    await office.buttons.pressed(office.payload("acknowledge", incident.id) | change)
    assert (await office.incident(incident.id)).state is State.FIRING
    assert office.slack.replies.empty()


@pytest.mark.parametrize(
    ("wish", "said", "orders"),
    [
        ("approve_rollback", "Approved by ada in Slack: the order is on its way.", 1),
        ("reject_rollback", "Rejected by ada in Slack: it is not sent for this incident.", 0),
    ],
    ids=["approve", "reject"],
)
async def test_a_rollback_is_answered_once_and_the_second_hears_who_was_faster(
    office: Office, wish: str, said: str, orders: int
) -> None:
    incident = await office.fire()
    [question] = [one for one in await office.told() if one.kind is NoticeKind.ROLLBACK_QUESTION]
    offered = buttons(question)
    assert offered is not None
    values = {one.action_id: one.value for one in offered.elements if isinstance(one, ButtonElement)}
    assert set(values) == {"approve_rollback", "reject_rollback"}
    await office.buttons.pressed(office.payload(wish, str(values[wish])))
    assert await office.slack.told() == said
    for again in values:
        late = office.payload(again, str(values[again])) | {"user": {"id": "U0BOB0001", "username": "bob"}}
        await office.buttons.pressed(late)
        assert "waits for nobody: ada in Slack " in await office.slack.told()
    assert sum(one.kind is NoticeKind.ROLLBACK for one in await office.told()) == orders
    [past] = await office.database.aread(rollback_store.history)
    assert (past.incident_id, past.answered_by) == (incident.id, "ada in Slack")


@pytest.mark.parametrize("wish", ["approve_rollback", "reject_rollback"])
async def test_who_answered_stands_in_place_of_the_buttons_for_everybody(office: Office, wish: str) -> None:
    incident = await office.fire()
    [question] = [one for one in await office.told() if one.kind is NoticeKind.ROLLBACK_QUESTION]
    message = {"text": "ROLL BACK?", "blocks": slack_blocks(question, with_buttons=True)}
    pressed = office.payload(wish, f"{incident.id}/deploy") | {"message": message}
    await office.buttons.pressed(pressed)
    [changed] = office.slack.changed
    kinds = [block["type"] for block in message["blocks"]]
    assert [block["type"] for block in changed["blocks"]] == [
        "context" if kind == "actions" else kind for kind in kinds
    ]
    [line] = changed["blocks"][kinds.index("actions")]["elements"]
    assert line["type"] == "plain_text"
    assert line["text"].startswith(f"Rollback 'deploy': ada in Slack {wish.partition('_')[0]}")


async def test_buttons_stay_while_something_holds_the_rollback_back(office: Office) -> None:
    incident = await office.fire()
    now = office.clock.now()
    await office.database.awrite(lambda session: lock(session, "deploy", "eve", "freeze", now))
    message = {"text": "ROLL BACK?", "blocks": [{"type": "actions", "block_id": "anchorwatch"}]}
    pressed = office.payload("approve_rollback", f"{incident.id}/deploy") | {"message": message}
    await office.buttons.pressed(pressed)
    assert "it is locked by eve" in await office.slack.told()
    assert office.slack.changed == []


Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def post(office: Office) -> AsyncIterator[Post]:
    """Post to the daemon as Slack does: a form with one field, signed."""
    app = build_app(None, lambda: b"", None, None, slack=office.buttons)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=app)

    async def send(
        payload: dict[str, Any], secret: str = SECRET, age_s: int = 0, extra: str = ""
    ) -> httpx.Response:
        body = urlencode({"payload": orjson.dumps(payload).decode()}).encode()
        timestamp = str(int(office.clock.now().timestamp()) - age_s)
        signed = hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={signed}",
        }
        return await client.post("/api/slack/actions", content=body + extra.encode(), headers=headers)

    async with httpx.AsyncClient(transport=transport, base_url="http://anchorwatch") as client:
        yield send


async def test_a_signed_request_is_heeded(office: Office, post: Post) -> None:
    incident = await office.fire()
    answer = await post(office.payload("acknowledge", incident.id))
    assert answer.status_code == 200
    assert (await office.incident(incident.id)).state is State.ACKNOWLEDGED


@pytest.mark.parametrize(
    "forged",
    [{"secret": "another"}, {"age_s": 301}, {"age_s": -301}, {"extra": "&x=1"}],
    ids=["other secret", "old", "from the future", "changed"],
)
async def test_a_request_that_slack_has_not_signed_now_is_refused(
    office: Office, post: Post, forged: dict[str, Any]
) -> None:
    incident = await office.fire()
    answer = await post(office.payload("acknowledge", incident.id), **forged)
    assert answer.status_code == 401
    assert (await office.incident(incident.id)).state is State.FIRING


async def test_a_request_without_end_is_refused(post: Post) -> None:
    assert (await post({"type": "x" * 300_000})).status_code == 413


@pytest.mark.parametrize("wish", [Wish.ACKNOWLEDGE, Wish.SILENCE_HOUR])
async def test_what_joined_after_the_message_was_sent_is_neither_seen_nor_silenced(office, wish):
    told, fresh = await office.fire(), await office.fire("watch/p95/search")
    [first, *_], now = await office.told(), office.clock.now()
    press = Press(wish, first.group_id, "ada")

    def work(session):
        group_store.add_member(session, first.group_id, fresh.id, now)
        grant(session, press, now)
        return [one.matchers for one in silence_store.silences(session)]

    silenced = await office.database.awrite(work)
    assert (await office.incident(fresh.id)).state is State.FIRING
    if wish is Wish.ACKNOWLEDGE:
        assert (await office.incident(told.id)).state is State.ACKNOWLEDGED
    else:
        assert silenced == [(Matcher(KEY, Operator.IS, told.key),)]
