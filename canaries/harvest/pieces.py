"""The pieces of a message, in whatever form an API has them: texts, pictures, calls of tools, and their results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..attachments import decoded
from ..prompt import Image, Text

IMAGE_BYTES_MAX = 300_000
"""The largest picture that is taken: it stands in the file of the proposal, which a person is to read."""

ADDRESS_CHARS_MAX = 2_000
"""The longest address of a picture that a suite can hold."""

OTHER = "something in it that a suite cannot hold, such as sound, a document or thoughts"
NO_PICTURE = "a picture that was not recorded, or whose kind no API takes"
LARGE_PICTURE = f"a picture of more than {IMAGE_BYTES_MAX:,} bytes"
BAD_CALL = "a call of a tool whose name or arguments were not recorded whole"
"""Why a request cannot become a canary."""

TEXT_KEYS = ("content", "parts", "text", "message", "contents")
_TEXTS = ("", "text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image", "blob", "uri", "file", "media")
CALLS = ("tool_call", "tool_use", "function_call")
RESULTS = ("tool_result", "tool_response", "tool_call_response", "function_call_output", "function_response")
_DEPTH_MAX = 6


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a tool, with the id that its result names, if any."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answered to the call with that id, or else to that of the tool with that name."""

    text: str
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """What cannot be carried, and why."""

    why: str


Piece = Text | Image | Called | Result | Lost


def pieces_of(content: object, depth: int = 0) -> Iterator[Piece]:
    """The pieces of the content of a message, in their order."""
    if isinstance(content, str):
        yield Text(content)
    elif content is None:
        return
    elif depth > _DEPTH_MAX:
        yield Lost(OTHER)
    elif isinstance(content, list):
        for one in content:
            yield from pieces_of(one, depth + 1)
    elif isinstance(content, dict):
        yield from _part(content, depth)
    else:
        yield Lost(OTHER)


def kind_of(node: Mapping[str, Any]) -> str:
    """What the part says it is, in one spelling; of vendors who say it by a key, that."""
    if isinstance(kind := node.get("type"), str):
        return kind.lower().replace("-", "_")
    keys = (
        ("functionCall", "function_call"),
        ("function_call", "function_call"),
        ("toolUse", "tool_use"),
        ("functionResponse", "function_response"),
        ("function_response", "function_response"),
        ("toolResult", "tool_result"),
        ("inlineData", "image"),
        ("inline_data", "image"),
        ("fileData", "image"),
        ("file_data", "image"),
        ("image", "image"),
    )
    return next((kind for key, kind in keys if isinstance(node.get(key), dict)), "")


def call_of(node: Mapping[str, Any]) -> Called | Lost:
    """The call of a tool, in whatever form it has."""
    inner = next((node[key] for key in ("function", "functionCall", "function_call", "toolUse", "tool_call")
                  if isinstance(node.get(key), dict)), node)  # fmt: skip
    if isinstance(function := inner.get("function"), dict):
        inner = {"id": inner.get("id")} | function
    name = _first(inner, "name", "toolName", "tool_name")
    given: Any = next(
        (inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), {}
    )
    try:
        # Once through JSON: logs may be written in Python, with values that no API takes.
        written = given if isinstance(given, str) else orjson.dumps(given)
        given = orjson.loads(written) if written.strip() else {}
    except (orjson.JSONDecodeError, TypeError):
        return Lost(BAD_CALL)
    if not name or not isinstance(given, dict):
        return Lost(BAD_CALL)
    id = _first(node, "call_id", "tool_call_id", "toolCallId", "toolUseId", "id") or _first(
        inner, "call_id", "toolUseId", "id"
    )
    return Called(name, given, id)


def result_of(node: Mapping[str, Any]) -> Result | Lost:
    """What a tool answered, in whatever form it is."""
    wrapped = (node.get(key) for key in ("functionResponse", "function_response", "toolResult"))
    inner = next((one for one in wrapped if isinstance(one, dict)), node)
    keys = ("content", "output", "result", "response", "text")
    given = next((inner[key] for key in keys if inner.get(key) is not None), "")
    text = _result_text(given)
    if text is None:
        return Lost(OTHER)
    id = _first(inner, "tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "call_id", "id")
    return Result(text, id, _first(inner, "name", "toolName", "tool_name"))


def _part(node: dict[str, Any], depth: int) -> Iterator[Piece]:
    kind = kind_of(node)
    if kind in CALLS:
        yield call_of(node)
    elif kind in RESULTS:
        yield result_of(node)
    elif kind in _IMAGES:
        yield _image(node)
    elif (
        kind in _TEXTS and (inner := next((node[key] for key in TEXT_KEYS if key in node), None)) is not None
    ):
        yield from pieces_of(inner, depth + 1)
    else:
        yield Lost(OTHER)


def _image(node: Mapping[str, Any]) -> Image | Lost:
    inner = next(
        (node[key] for key in ("image_url", "source", "inlineData", "inline_data", "fileData", "file_data", "image")
         if node.get(key)),
        node,
    )  # fmt: skip
    if isinstance(inner, dict):
        if isinstance(source := inner.get("source"), dict):
            inner = source
        media = str(_first(inner, "media_type", "mime_type", "mimeType", "mediaType", "modality"))
        if "/" in media and not media.startswith("image/"):
            return Lost(OTHER)
        keys = ("url", "uri", "fileUri", "file_uri", "data", "content", "bytes", "image")
        inner = next((inner[key] for key in keys if inner.get(key)), None)
    if not isinstance(inner, str):
        return Lost(NO_PICTURE)
    if inner.startswith(("http://", "https://")):
        is_sound = len(inner) <= ADDRESS_CHARS_MAX and not any(one.isspace() for one in inner)
        return Image(url=inner) if is_sound else Lost(NO_PICTURE)
    if len(inner) > 2 * IMAGE_BYTES_MAX:
        return Lost(LARGE_PICTURE)
    found = decoded(inner)
    if isinstance(found, str):
        return Lost(NO_PICTURE)
    return found if len(found.data) <= IMAGE_BYTES_MAX else Lost(LARGE_PICTURE)


def _result_text(given: object) -> str | None:
    """The text of a result; a value of another kind as JSON, ``None`` where it holds more than text."""
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        texts = [_block_text(one) for one in given]
        return None if None in texts else "".join(text for text in texts if text is not None)
    return _json(given)


def _block_text(block: object) -> str | None:
    """The text of a part of a result; Bedrock has parts that are JSON."""
    if isinstance(block, dict) and "json" in block:
        return _json(block["json"])
    pieces = list(pieces_of(block))
    texts = [one.text for one in pieces if isinstance(one, Text)]
    return "".join(texts) if len(texts) == len(pieces) else None


def _json(value: object) -> str | None:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return None


def _first(node: Mapping[str, Any], *keys: str) -> str:
    return next((found for key in keys if isinstance(found := node.get(key), str) and found), "")
