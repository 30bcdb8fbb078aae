"""What the tests of the alert arm share: a Slack and a webhook receiver on this machine, and golden files."""

import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
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
                return web.Response(status=answer.status, text=answer.body, content_type="text/html")
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

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.read()))
        answer = self.script.popleft() if self.script else Answer(204)
        return web.Response(status=answer.status, headers=answer.headers)


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    endpoint = FakeEndpoint()
    app = web.Application()
    app.router.add_post("/rollback", endpoint.handle)
    async for url in _serve(app):
        endpoint.url = f"{url}/rollback"
        yield endpoint


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
