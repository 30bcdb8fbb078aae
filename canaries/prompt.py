"""What a canary asks: messages of text and pictures, and the tools that the model may call."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a message in words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: its bytes and their media type, or the address where the endpoint fetches it itself."""

    media_type: str = ""
    data: bytes = field(default=b"", repr=False)
    url: str = ""

    @property
    def base64(self) -> str:
        """The bytes as APIs take them within JSON."""
        return b64encode(self.data).decode()

    @property
    def address(self) -> str:
        """Where it is, or the whole of it as a ``data:`` address."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"


Part = Text | Image


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. ``parameters`` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. ``arguments`` are a JSON value, or the text as it came where it is not JSON."""

    name: str
    arguments: Any
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt.

    ``content`` is all of its text. ``parts`` holds text and pictures in their order where there is more than that
    text. An assistant's message may call tools; a tool's message answers the call with the id ``tool_call_id``.
    """

    role: str
    content: str
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @classmethod
    def of(cls, role: str, parts: Sequence[Part]) -> "Message":
        """The message that these parts make."""
        text = "".join(part.text for part in parts if isinstance(part, Text))
        is_plain = all(isinstance(part, Text) for part in parts)
        return cls(role, text, () if is_plain else tuple(parts))

    @property
    def pieces(self) -> tuple[Part, ...]:
        """Its parts; of a message in words only, its text, if there is any."""
        return self.parts or ((Text(self.content),) if self.content else ())

    @property
    def images(self) -> tuple[Image, ...]:
        """Its pictures."""
        return tuple(part for part in self.parts if isinstance(part, Image))


def calls_text(calls: Sequence[ToolCall]) -> str:
    """Calls of tools as the answer that is compared: canonical JSON of their names and arguments, in their order."""
    plain = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def calls_in(text: str) -> tuple[ToolCall, ...]:
    """The calls that ``calls_text`` made this text of; none where it did not."""
    try:
        calls = tuple(ToolCall(**call) for call in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return ()
    return calls if calls_text(calls) == text else ()
