"""The part of Slack's Web API that paging needs: channels, threads, edits, files, scopes, rate limits."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

MAX_BLOCKS = 50
"""Slack's own limit of blocks in a message."""
MAX_MESSAGES = 10_000
"""Messages that are kept; more is answered like a Slack that has run out of room."""
MAX_FILES = 1_000
"""Files that are kept, and begun."""
FILE_BYTES_MAX = 1_000_000_000
"""Slack's own limit of a file, a gigabyte."""

SCOPES = ("chat:write", "channels:history", "files:write")
"""What the bot may do, unless said otherwise."""

NEEDED = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
}
"""The scope that each method needs."""


@dataclass(frozen=True, slots=True)
class SlackFile:
    """A file: first what was said of it, then with its ``content``."""

    id: str
    name: str
    length: int
    title: str = ""
    alt_txt: str = ""
    content: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """The file as Slack writes it where a message has one."""
        return {"id": self.id, "name": self.name, "title": self.title or self.name, "size": self.length}


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A message as it stands in the channel now. ``thread_ts`` is the message it replies to."""

    channel: str
    ts: str
    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    attachments: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: tuple["SlackFile", ...] = ()
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
        files = {"files": [one.to_json() for one in self.files]} if self.files else {}
        edited = {"edited": {"user": "U0ANCHOR", "ts": self.ts}} if self.edits else {}
        return {
            "type": "message",
            "bot_id": "B0ANCHOR",
            "text": self.text,
            "ts": self.ts,
            "blocks": list(self.blocks),
            "attachments": list(self.attachments),
            "metadata": dict(self.metadata),
            **files,
            **threaded,
            **edited,
        }


class SlackError(Exception):
    """A refusal with one of Slack's error codes, and what else the answer says."""

    def __init__(self, code: str, **more: str) -> None:
        """``more`` are further fields of the answer."""
        super().__init__(code)
        self.more = more


@dataclass(slots=True)
class FakeSlack:
    """A workspace: its one bot token, and the channels that the bot is in."""

    token: str
    channels: tuple[str, ...]
    rate_limited_calls: int = 0
    """This many next calls are answered 429."""
    retry_after_s: int = 1
    scopes: tuple[str, ...] = SCOPES
    _messages: dict[tuple[str, str], SlackMessage] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    _last_ts: float = 0.0
    _files: dict[str, SlackFile] = field(default_factory=dict)
    """Files that are begun or here, and not in a channel yet, by their ids."""
    _files_begun: int = 0

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
            "files.getUploadURLExternal": self._begin_file,
            "files.completeUploadExternal": self._complete_files,
        }
        if method not in answers:
            raise SlackError("unknown_method")
        needed = NEEDED.get(method)
        if needed is not None and needed not in self.scopes:
            raise SlackError("missing_scope", needed=needed, provided=",".join(self.scopes))
        return answers[method](arguments)

    def upload(self, file_id: str, content: bytes) -> None:
        """Take the content of a file that was begun; SlackError when there is none, or it is not that long."""
        file = self._files.get(file_id)
        if file is None or file.content or len(content) != file.length:
            raise SlackError("upload_refused")
        self._files[file_id] = replace(file, content=content)

    def _auth_test(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"team": "Practice", "user": "anchorwatch", "user_id": "U0ANCHOR", "bot_id": "B0ANCHOR"}

    def _post(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._channel(arguments)
        thread_ts = arguments.get("thread_ts")
        if thread_ts is not None and (channel, thread_ts) not in self._messages:
            raise SlackError("thread_not_found")
        ts = self._next_ts()
        is_broadcast = bool(arguments.get("reply_broadcast"))
        blank = SlackMessage(channel, ts, "", thread_ts=thread_ts, is_broadcast=is_broadcast)
        message = _written(blank, arguments)
        self._keep(message)
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

    def _begin_file(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name, length = str(arguments.get("filename") or ""), int(arguments.get("length") or 0)
        if not name or not 0 < length <= FILE_BYTES_MAX:
            raise SlackError("invalid_arguments")
        if len(self._files) >= MAX_FILES:
            raise SlackError("storage_limit_reached")
        self._files_begun += 1
        file = SlackFile(
            f"F0{self._files_begun:08d}", name, length, alt_txt=str(arguments.get("alt_txt") or "")
        )
        self._files[file.id] = file
        return {"upload_url": f"/upload/v1/{file.id}", "file_id": file.id}

    def _complete_files(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        named = arguments.get("files")
        if not isinstance(named, list) or not named:
            raise SlackError("invalid_arguments")
        channel = self._channel({"channel": arguments.get("channel_id")})
        thread_ts = arguments.get("thread_ts")
        if thread_ts is not None and (channel, thread_ts) not in self._messages:
            raise SlackError("thread_not_found")
        files = []
        for one in named:
            file = self._files.get(str(one.get("id")))
            if file is None or not file.content:
                raise SlackError("file_not_found")
            files.append(replace(file, title=str(one.get("title") or "")))
        for file in files:
            del self._files[file.id]
        self._keep(SlackMessage(channel, self._next_ts(), "", files=tuple(files), thread_ts=thread_ts))
        return {"files": [{"id": one.id, "title": one.title} for one in files]}

    def _next_ts(self) -> str:
        # A ts is the time of posting and the id of the message: no two are the same.
        self._last_ts = max(self.now(), self._last_ts + 1e-6)
        return f"{self._last_ts:.6f}"

    def _keep(self, message: SlackMessage) -> None:
        if len(self._messages) >= MAX_MESSAGES:
            raise SlackError("message_limit_exceeded")
        self._messages[message.channel, message.ts] = message

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
            answer = slack.call(method, arguments)
        except SlackError as refusal:
            return JSONResponse({"ok": False, "error": str(refusal), **refusal.more})
        if "upload_url" in answer:
            # Slack's own is at another host, and is as good as a token: whoever has it may upload.
            answer["upload_url"] = str(request.base_url).rstrip("/") + answer["upload_url"]
        return JSONResponse({"ok": True} | answer)

    @app.post("/upload/v1/{file_id}")
    async def upload(file_id: str, request: Request) -> Response:
        content = await request.body()
        try:
            slack.upload(file_id, content)
        except SlackError as refusal:
            return PlainTextResponse(str(refusal), status_code=400)
        return PlainTextResponse(f"OK - {len(content)}")

    return app


_NESTED = {"blocks", "attachments", "metadata", "files"}


async def _arguments(request: Request) -> dict[str, Any]:
    """The arguments, which Slack takes in the query, as JSON, or as a form whose nested values are JSON."""
    body = await request.body()
    arguments: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        arguments.update(orjson.loads(body or b"{}"))
        return arguments
    arguments.update(parse_qsl(body.decode()))
    for name in _NESTED & arguments.keys():
        if isinstance(arguments[name], str):
            arguments[name] = orjson.loads(arguments[name])
    return arguments
