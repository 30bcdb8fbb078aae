"""The part of Slack's Web API that paging needs: channels, threads, edits, rate limits."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

MAX_BLOCKS = 50
"""Slack's own limit of blocks in a message."""
MAX_MESSAGES = 10_000
"""Messages that are kept; more is answered like a Slack that has run out of room."""


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A message as it stands in the channel now. ``thread_ts`` is the message it replies to."""

    channel: str
    ts: str
    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    attachments: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    thread_ts: str | None = None
    is_broadcast: bool = False
    edits: int = 0

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread and not in the channel too."""
        return self.thread_ts is not None and not self.is_broadcast

    def to_json(self) -> dict[str, Any]:
        """The message as Slack writes it."""
        threaded = {"thread_ts": self.thread_ts} if self.thread_ts else {}
        edited = {"edited": {"user": "U0ANCHOR", "ts": self.ts}} if self.edits else {}
        return {
            "type": "message",
            "bot_id": "B0ANCHOR",
            "text": self.text,
            "ts": self.ts,
            "blocks": list(self.blocks),
            "attachments": list(self.attachments),
            "metadata": dict(self.metadata),
            **threaded,
            **edited,
        }


class SlackError(Exception):
    """A refusal with one of Slack's error codes."""


@dataclass(slots=True)
class FakeSlack:
    """A workspace: its one bot token, and the channels that the bot is in."""

    token: str
    channels: tuple[str, ...]
    rate_limited_calls: int = 0
    """This many next calls are answered 429."""
    retry_after_s: int = 1
    _messages: dict[tuple[str, str], SlackMessage] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    _last_ts: float = 0.0

    def messages(self, channel: str | None = None) -> tuple[SlackMessage, ...]:
        """Every message, replies too, in the order of posting."""
        return tuple(m for m in tuple(self._messages.values()) if channel in (None, m.channel))

    def thread(self, ts: str) -> tuple[SlackMessage, ...]:
        """A message and its replies."""
        return tuple(m for m in self.messages() if ts in (m.ts, m.thread_ts))

    def call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What Slack answers to this method; SlackError when it refuses."""
        answers = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
        }
        if method not in answers:
            raise SlackError("unknown_method")
        return answers[method](arguments)

    def _auth_test(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"team": "Practice", "user": "anchorwatch", "user_id": "U0ANCHOR", "bot_id": "B0ANCHOR"}

    def _post(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments)
        thread_ts = arguments.get("thread_ts")
        if thread_ts is not None and (channel, thread_ts) not in self._messages:
            raise SlackError("thread_not_found")
        if len(self._messages) >= MAX_MESSAGES:
            raise SlackError("message_limit_exceeded")
        # A ts is the time of posting and the id of the message: no two are the same.
        self._last_ts = max(self.now(), self._last_ts + 1e-6)
        ts = f"{self._last_ts:.6f}"
        is_broadcast = bool(arguments.get("reply_broadcast"))
        blank = SlackMessage(channel, ts, "", thread_ts=thread_ts, is_broadcast=is_broadcast)
        message = _written(blank, arguments)
        self._messages[channel, ts] = message
        return {"channel": channel, "ts": ts, "message": message.to_json()}

    def _update(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        known = self._message(arguments)
        message = _written(replace(known, edits=known.edits + 1), arguments)
        self._messages[known.channel, known.ts] = message
        return {
            "channel": known.channel,
            "ts": known.ts,
            "text": message.text,
            "message": message.to_json(),
        }

    def _history(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments)
        newest_first = [m for m in reversed(self.messages(channel)) if not m.is_reply]
        return _read(newest_first, arguments)

    def _replies(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        known = self._message(arguments)
        return _read(self.thread(known.ts), arguments)

    def _channel(self, arguments: Mapping[str, Any]) -> str:
        channel = str(arguments.get("channel", ""))
        if channel not in self.channels:
            raise SlackError("channel_not_found")
        return channel

    def _message(self, arguments: Mapping[str, Any]) -> SlackMessage:
        known = self._messages.get((self._channel(arguments), str(arguments.get("ts", ""))))
        if known is None:
            raise SlackError("message_not_found")
        return known


def _written(message: SlackMessage, arguments: Mapping[str, Any]) -> SlackMessage:
    """The message with the content that the arguments give it, if Slack would take it."""
    text, blocks = str(arguments.get("text") or ""), tuple(arguments.get("blocks") or ())
    attachments = tuple(arguments.get("attachments") or ())
    if not (text or blocks or attachments):
        raise SlackError("no_text")
    if len(blocks) > MAX_BLOCKS or not all("type" in block for block in blocks):
        raise SlackError("invalid_blocks")
    metadata = arguments.get("metadata") or message.metadata
    return replace(message, text=text, blocks=blocks, attachments=attachments, metadata=metadata)


def _read(messages: Sequence[SlackMessage], arguments: Mapping[str, Any]) -> dict[str, Any]:
    oldest, limit = float(arguments.get("oldest", 0)), int(arguments.get("limit", 100))
    found = [message.to_json() for message in messages if float(message.ts) > oldest]
    return {"messages": found[:limit], "has_more": len(found) > limit}


def slack_app(slack: FakeSlack) -> FastAPI:
    """The workspace behind ``/api/METHOD``, for a real Slack client whose base URL points here."""
    app = FastAPI(title="Practice Slack", docs_url=None, redoc_url=None)

    @app.post("/api/{method}")
    @app.get("/api/{method}")
    async def api(method: str, request: Request) -> Response:
        if slack.rate_limited_calls > 0:
            slack.rate_limited_calls -= 1
            headers = {"Retry-After": str(slack.retry_after_s)}
            return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)
        arguments = await _arguments(request)
        bearer = request.headers.get("authorization", f"Bearer {arguments.get('token', '')}")
        if bearer != f"Bearer {slack.token}":
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        try:
            return JSONResponse({"ok": True} | slack.call(method, arguments))
        except SlackError as refusal:
            return JSONResponse({"ok": False, "error": str(refusal)})

    return app


async def _arguments(request: Request) -> dict[str, Any]:
    """The arguments, which Slack takes in the query, as JSON, or as a form whose nested values are JSON."""
    body = await request.body()
    arguments: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        arguments.update(orjson.loads(body or b"{}"))
        return arguments
    for name, value in parse_qsl(body.decode()):
        arguments[name] = orjson.loads(value) if name in ("blocks", "attachments", "metadata") else value
    return arguments
