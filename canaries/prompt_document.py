"""Prompts as a suite writes them: messages, their parts, and tools."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from .attachments import Attachments, decoded
from .document import Path, placed
from .prompt import Image, Message, Part, Text, Tool, ToolCall

MAX_MESSAGE_CHARS = 200_000
"""The longest message of a canary, as far as it stands in the suite's file itself."""

MAX_FILL_CHARS = 8_000_000
"""The longest text that a part may be filled to, about two million tokens: no model reads more."""

MAX_PARTS = 100
"""The most parts of a message."""

MAX_TOOLS = 128
"""The most tools of a canary: no API takes more."""

CHOICES = ("auto", "none", "required")
"""Choices of a tool that are none by name."""

_SOURCES = ("text", "file", "image", "image_url", "image_base64")


def _sound_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    # Imported here: it takes 3 MB, and most suites have no schema.
    from .schema import schema_faults

    faults = schema_faults(schema)
    if faults:
        raise placed(faults)
    return schema


def _object_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if schema.get("type") != "object":
        raise ValueError("must have `type: object`: the arguments of a call are an object")
    return _sound_schema(schema)


def _tool_name(name: str) -> str:
    if name in CHOICES:
        raise ValueError("is a word of `tool_choice`; a tool needs another name")
    return name


Content = Annotated[str, Field(max_length=MAX_MESSAGE_CHARS)]
Schema = Annotated[dict[str, JsonValue], AfterValidator(_sound_schema)]
ToolName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"), AfterValidator(_tool_name)
]  # what all APIs take
CallId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Document(BaseModel):
    """A part of a suite's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PartDocument(Document):
    """One part of a message: a text, the text of a file, or a picture."""

    text: Content | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    image: Annotated[str, Field(min_length=1)] | None = None
    image_url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=2_000)] | None = None
    image_base64: str | None = None
    fill_chars: int | None = Field(None, ge=1, le=MAX_FILL_CHARS)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"must have exactly one of {', '.join(f'`{name}`' for name in _SOURCES)}")
        if self.fill_chars is not None and not (self.text or self.file):
            raise placed([(("fill_chars",), "is for a text with something in it: it is repeated")])
        return self

    @property
    def is_image(self) -> bool:
        """Whether it is a picture."""
        return self.text is None and self.file is None

    def part(self, files: Attachments) -> Part:
        """The part itself."""
        if self.image is not None:
            return files.image(self.image)
        if self.image_url is not None:
            return Image(url=self.image_url)
        if self.image_base64 is not None:
            found = decoded(self.image_base64)
            assert isinstance(found, Image)  # noqa: S101 -- else the suite was refused before
            return found
        text = self.text or "" if self.file is None else files.text(self.file)
        return Text(text if self.fill_chars is None else _filled(text, self.fill_chars))


def _filled(text: str, chars: int) -> str:
    """The text again and again, cut at so many characters."""
    return (text * (chars // len(text) + 1))[:chars]


Parts = Annotated[list[PartDocument], Field(min_length=1, max_length=MAX_PARTS)]


class CallDocument(Document):
    """One entry of ``tool_calls`` of an assistant's message."""

    id: CallId
    name: ToolName
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class MessageDocument(Document):
    """One entry of ``messages``."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | Parts = ""
    tool_calls: Annotated[list[CallDocument], Field(max_length=MAX_TOOLS)] = Field(default_factory=list)
    tool_call_id: CallId | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if faults := list(self._faults()):
            raise placed(faults)
        return self

    def _faults(self) -> Iterator[tuple[Path, str]]:
        if "content" not in self.model_fields_set and not self.tool_calls:
            yield ("content",), "this key is required and is not there"
        if self.tool_calls and self.role != "assistant":
            yield ("tool_calls",), "only a message of the role `assistant` calls tools"
        if (self.tool_call_id is None) == (self.role == "tool"):
            yield ("tool_call_id",), "belongs to each message of the role `tool`, and to no other"
        for index, part in enumerate(self.content if isinstance(self.content, list) else ()):
            if part.is_image and self.role != "user":
                yield ("content", index), "only a message of the role `user` holds pictures"

    def message(self, files: Attachments) -> Message:
        """The message itself."""
        found = message_of(self.role, self.content, files)
        calls = tuple(ToolCall(call.name, call.arguments, call.id) for call in self.tool_calls)
        return Message(found.role, found.content, found.parts, calls, self.tool_call_id or "")


def message_of(role: str, content: str | list[PartDocument], files: Attachments) -> Message:
    """The message with that content."""
    if isinstance(content, str):
        return Message(role, content)
    return Message.of(role, [part.part(files) for part in content])


class ToolDocument(Document):
    """One entry of ``tools``."""

    name: ToolName
    description: Annotated[str, Field(max_length=20_000)] = ""
    parameters: Annotated[dict[str, JsonValue], AfterValidator(_object_schema)] | None = None
    strict: bool = False

    def tool(self) -> Tool:
        """The tool itself."""
        if self.parameters is None:
            return Tool(self.name, self.description, strict=self.strict)
        return Tool(self.name, self.description, self.parameters, self.strict)


def _different_names(tools: list[ToolDocument]) -> list[ToolDocument]:
    seen: dict[str, int] = {}
    faults: list[tuple[Path, str]] = [
        ((index, "name"), f"is already the name of tools[{seen[tool.name]}]")
        for index, tool in enumerate(tools)
        if seen.setdefault(tool.name, index) != index
    ]
    if faults:
        raise placed(faults)
    return tools


Tools = Annotated[list[ToolDocument], Field(max_length=MAX_TOOLS), AfterValidator(_different_names)]


def unanswered(messages: Sequence[MessageDocument]) -> Iterator[tuple[Path, str]]:
    """What is wrong with how calls and the messages that answer them fit together; each with its path below."""
    open_calls: dict[str, Path] = {}
    seen: set[str] = set()
    for number, message in enumerate(messages):
        if message.role == "tool":
            if open_calls.pop(message.tool_call_id or "", None) is None:
                yield (number, "tool_call_id"), "answers no call before it that is still open"
            continue
        yield from ((path, _OPEN) for path in open_calls.values())
        open_calls = {}
        for index, call in enumerate(message.tool_calls):
            path: Path = (number, "tool_calls", index, "id")
            if call.id in seen:
                yield path, "is already the id of a call"
            seen.add(call.id)
            open_calls[call.id] = path
    yield from ((path, _OPEN) for path in open_calls.values())


_OPEN = "this call has no answer: a message of the role `tool` with this `tool_call_id` must follow"


def called_names(messages: Sequence[MessageDocument]) -> Iterator[tuple[Path, str]]:
    """The names of the tools that the messages call, each with its path."""
    for number, message in enumerate(messages):
        for index, call in enumerate(message.tool_calls):
            yield (number, "tool_calls", index, "name"), call.name
