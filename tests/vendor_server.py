"""A small server that answers as the vendors' public documentation says, for our providers and their own clients alike.

The address says who is played (``/anthropic/v1/messages``), the model says which recorded shape is the answer
(``text``, ``tools``, ...) or which error (``error:rate``). What was asked stays in ``requests``. The shapes follow the
vendors' API references of November 2026; the types of the vendors' own clients are held against them.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn

SHAPES = Path(__file__).parent / "canaries/providers/shapes"
KEY = "test-key-0123456789"

KEY_HEADERS = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "azure": "api-key"}
"""The header of the key, where it is not a bearer token."""

APIS = {"anthropic": "messages", "gemini": "generate_content", "openai_responses": "responses"}
"""The API of each provider, where it is not the chat API."""


@cache
def shapes(name: str) -> dict[str, Any]:
    """The recorded shapes of an API, or the errors by provider."""
    return json.loads((SHAPES / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Asked:
    provider: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass
class VendorServer:
    url: str = ""
    requests: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (part := await receive()).get("more_body") or part.get("body"):
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        _, provider, *rest = scope["path"].split("/")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = Asked(provider, "/".join(rest), scope["query_string"].decode(), headers, json.loads(body))
        self.requests.append(asked)
        status, more, chunks = answer(asked)
        await send({"type": "http.response.start", "status": status, "headers": list(more.items())})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def answer(asked: Asked) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    """Status, headers and body."""
    fault = refusal(asked)
    if fault is not None:
        return (
            400,
            {b"content-type": b"application/json"},
            [json.dumps({"error": {"message": fault}}).encode()],
        )
    scenario = scenario_of(asked)
    if scenario.startswith("error:"):
        error = shapes("errors")[asked.provider][scenario.removeprefix("error:")]
        headers = {b"content-type": b"application/json"}
        headers |= {name.encode(): value.encode() for name, value in error["headers"].items()}
        return error["status"], headers, [json.dumps(error["body"]).encode()]
    api = APIS.get(asked.provider, "chat")
    found = shapes(api)[scenario]
    own = {b"x-litellm-model-id": b"deployment-7"} if asked.provider == "litellm" else {}
    if is_stream(asked):
        return 200, {b"content-type": b"text/event-stream", **own}, list(events(asked, api, found["stream"]))
    whole = dressed(asked, found["whole"])
    return 200, {b"content-type": b"application/json", **own}, [json.dumps(whole).encode()]


def events(asked: Asked, api: str, parts: list[dict[str, Any]]) -> Iterator[bytes]:
    """The stream, each event in a chunk of its own."""
    if asked.provider == "openrouter":
        yield b": OPENROUTER PROCESSING\n\n"
    if asked.provider == "azure":
        empty = {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": [],
        }
        yield b"data: " + json.dumps(empty).encode() + b"\n\n"
    for part in parts:
        if api == "chat" and part.get("usage") and not asked.body.get("stream_options"):
            continue
        name = f"event: {part['type']}\n".encode() if "type" in part else b""
        yield name + b"data: " + json.dumps(dressed(asked, part)).encode() + b"\n\n"
    if api == "chat":
        yield b"data: [DONE]\n\n"


def dressed(asked: Asked, part: dict[str, Any]) -> dict[str, Any]:
    """The shape with what a compatible server adds to it or leaves out."""
    if asked.provider == "openrouter":
        return {**part, "provider": "Together", "system_fingerprint": None}
    if asked.provider in ("vllm", "litellm"):
        return {**part, "system_fingerprint": None}
    if asked.provider == "ollama":
        return {**part, "system_fingerprint": "fp_ollama"}
    return part


def scenario_of(asked: Asked) -> str:
    if asked.provider == "gemini":
        return asked.path.rpartition("/")[2].partition(":")[0].replace("~", ":")
    if asked.provider == "azure":
        return asked.path.split("/")[2].replace("~", ":")
    return asked.body["model"].replace("~", ":")


def is_stream(asked: Asked) -> bool:
    if asked.provider == "gemini":
        return asked.path.endswith(":streamGenerateContent") and asked.query == "alt=sse"
    return bool(asked.body.get("stream"))


def refusal(asked: Asked) -> str | None:
    """What the documentation says is refused, and would only come to light at the vendor."""
    header = KEY_HEADERS.get(asked.provider, "authorization")
    # Anthropic's client sends a bearer token since the API version of October 2026, and the API takes both.
    shown = asked.headers.get(header) or (
        asked.provider == "anthropic" and asked.headers.get("authorization")
    )
    if (shown or "").removeprefix("Bearer ") != KEY:
        return f"no key in {header}"
    body = asked.body
    if asked.provider == "anthropic":
        version = asked.headers.get("anthropic-version")
        if version not in ("2023-06-01", "2026-10-21"):
            return "anthropic-version: header is required"
        if version == "2026-10-21" and {"temperature", "top_p", "top_k"} & body.keys():
            return "temperature: Extra inputs are not permitted"
        if "max_tokens" not in body:
            return "max_tokens: Field required"
        if any(one["role"] not in ("user", "assistant") for one in body["messages"]):
            return "messages: Unexpected role"
    if asked.provider == "ollama" and {"tool_choice", "max_completion_tokens"} & body.keys():
        return "unknown field"
    if asked.provider == "azure" and not asked.query.startswith("api-version="):
        return "Resource not found"
    return None


@contextmanager
def serving() -> Iterator[VendorServer]:
    """The server, on a free port, until the end of the block."""
    app = VendorServer()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    started = threading.Event()
    begin = server.startup

    async def startup(sockets: Any = None) -> None:
        await begin(sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread.start()
    assert started.wait(20)
    app.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield app
    finally:
        server.should_exit = True
        thread.join(20)
