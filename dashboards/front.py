"""What stands in front of the pages: it answers probes and Prometheus, and has the rest made when somebody asks for it.

The pages and the API take 14 MB and half a second to be loaded. Most daemons are asked for probes and metrics alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from dashboards.view import Readiness

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, a browser would not tell us that a form is our own
}
"""On every answer: a page that shows what strangers wrote (model names, errors) loads only our own files."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application and what it is called with, as ASGI names them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a probe."""

    body: bytes
    content_type: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Probes:
    """What machines ask all the time. ``render_metrics`` gives Prometheus' text format."""

    render_metrics: Callable[[], bytes]
    is_ready: Callable[[], Awaitable[Readiness]]

    async def answer(self, path: str) -> Answer | None:
        """The answer at this path; ``None`` when it is not for us to give."""
        match path:
            case "/metrics":
                return self.metrics()
            case "/healthz":
                return self.health()
            case "/readyz":
                return await self.readiness()
        return None

    def metrics(self) -> Answer:
        """The daemon's own metrics."""
        return Answer(self.render_metrics(), CONTENT_TYPE_LATEST)

    def health(self) -> Answer:
        """That the event loop turns."""
        return _json({"status": "ok"})

    async def readiness(self) -> Answer:
        """Whether the daemon can do its work, and if not, why."""
        found = await self.is_ready()
        said = {"ready": found.is_ready, "reasons": found.reasons}
        return _json(said, 200 if found.is_ready else 503)


def _json(said: dict[str, Any], status: int = 200) -> Answer:
    return Answer(orjson.dumps(said), "application/json", status)


class Front:
    """The application at the daemon's port, of which ``make`` gives the part that people see."""

    def __init__(self, probes: Probes, make: Callable[[], Application]) -> None:
        """Make nothing yet."""
        self._probes = probes
        self._make = make
        self._made: Application | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        if is_get and (answer := await self._probes.answer(scope["path"])):
            await _give(answer, send)
        else:
            pages = await self.pages()
            await pages(scope, receive, send)

    async def pages(self) -> Application:
        """The pages and the API, made now if they were not yet."""
        async with self._making:
            if self._made is None:
                # In a thread: spans come in meanwhile, and probes are answered.
                self._made = await asyncio.to_thread(self._make)
            return self._made


async def _give(answer: Answer, send: Send) -> None:
    fields = {
        "Content-Type": answer.content_type,
        "Content-Length": str(len(answer.body)),
        **SECURITY_HEADERS,
    }
    headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
