"""What the tests of the alert arm share: a Slack and a webhook receiver on this machine, and golden files."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fake answers to one request."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FakeSlack:
    """Slack's Web API as far as paging needs it. ``script`` holds answers that come before the real ones."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    script: deque[tuple[str, Answer]] = field(default_factory=deque)
    messages: list[dict[str, Any]] = field(default_factory=list)
    keeps_before_failing: bool = False
    """Whether a scripted failure comes after the message has been taken, as when the answer is lost."""

    def methods(self) -> list[str]:
        return [method for method, _ in self.calls]

    async def handle(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        arguments = dict(request.query) | (await request.json() if request.can_read_body else {})
        assert request.headers["Authorization"] == "Bearer xoxb-secret"
        self.calls.append((method, arguments))
        if self.script and self.script[0][0] == method:
            _, answer = self.script.popleft()
            if self.keeps_before_failing:
                self._answer(method, arguments)
            if isinstance(answer.body, str):
                return web.Response(
                    status=answer.status, text=answer.body, content_type="text/html", headers=answer.headers
                )
            return web.json_response(answer.body, status=answer.status, headers=answer.headers)
        return web.json_response({"ok": True} | self._answer(method, arguments))

    def _answer(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method == "chat.postMessage":
            ts = f"1772452800.{len(self.messages):06d}"
            self.messages.append(arguments | {"ts": ts})
            return {"channel": "C0ONCALL", "ts": ts}
        return {"messages": self.messages} if method.startswith("conversations.") else {}


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    slack = FakeSlack()
    app = web.Application()
    app.router.add_route("*", "/api/{method}", slack.handle)
    async for url in _serve(app):
        slack.url = f"{url}/api/"
        yield slack


@dataclass(slots=True)
class FakeEndpoint:
    """A webhook receiver: keeps what came in, answers what the script says, then 204."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    script: deque[Answer] = field(default_factory=deque)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def heard(self, is_it: Callable[[bytes], bool]) -> None:
        """Wait until something has come in that is it."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: any(is_it(body) for _, body in self.requests))

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.read()))
        async with self._news:
            self._news.notify_all()
        answer = self.script.popleft() if self.script else Answer(204)
        return web.Response(status=answer.status, headers=answer.headers, text=answer.body)


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    endpoint = FakeEndpoint()
    app = web.Application()
    app.router.add_post("/rollback", endpoint.handle)
    async for url in _serve(app):
        endpoint.url = f"{url}/rollback"
        yield endpoint


@dataclass(slots=True)
class FakePagerDuty:
    """PagerDuty's Events API v2 by its published rules: what is open, by its key, and every event that was taken."""

    url: str = ""
    key: str = "0123456789abcdef0123456789ABCDEF"
    events: list[dict[str, Any]] = field(default_factory=list)
    open: dict[str, str] = field(default_factory=dict)
    script: deque[Answer] = field(default_factory=deque)

    async def handle(self, request: web.Request) -> web.Response:
        if self.script:
            answer = self.script.popleft()
            return web.Response(status=answer.status, headers=answer.headers, text=answer.body)
        event = await request.json()
        if problems := list(self._problems(event, request)):
            said = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
            return web.json_response(said, status=400)
        self.events.append(event)
        key = event["dedup_key"]
        match event["event_action"]:
            case "trigger":
                self.open.setdefault(key, "triggered")
            case "acknowledge" if key in self.open:
                self.open[key] = "acknowledged"
            case "resolve":
                self.open.pop(key, None)
        return web.json_response(
            {"status": "success", "message": "Event processed", "dedup_key": key}, status=202
        )

    def _problems(self, event: dict[str, Any], request: web.Request) -> Iterator[str]:
        if event.get("routing_key") != self.key:
            yield "Invalid routing key"
        if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            yield "'event_action' is unknown"
        if not 0 < len(event.get("dedup_key", "")) <= 255:
            yield "'dedup_key' must have 1 to 255 characters"
        if (request.content_length or 0) > 512_000:
            yield "the event is too large"
        if event.get("event_action") == "trigger":
            payload = event.get("payload", {})
            yield from (
                f"'{name}' is missing" for name in ("summary", "source", "severity") if not payload.get(name)
            )
            if len(payload.get("summary", "")) > 1024:
                yield "'summary' is longer than 1024"
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                yield "'severity' is unknown"
            datetime.fromisoformat(payload["timestamp"])


@pytest.fixture
async def pagerduty() -> AsyncIterator[FakePagerDuty]:
    pagerduty = FakePagerDuty()
    app = web.Application()
    app.router.add_post("/v2/enqueue", pagerduty.handle)
    async for url in _serve(app):
        pagerduty.url = f"{url}/v2/enqueue"
        yield pagerduty


async def _serve(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a file in ``golden/``; UPDATE_GOLDEN=1 writes the file, whose diff is then read."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text()

    return compare
