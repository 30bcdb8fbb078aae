"""What a request holds besides one text, on its way into a canary: its texts one by one, and how a suite writes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..prompt import Image, Message, Text, Tool

SAID_BY_PEOPLE = ("title", "description", "default", "enum", "const", "examples")
"""What of a schema is redacted: the rest of it is its form."""

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """Messages, and the tools that they may call."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None

    @property
    def texts(self) -> list[str]:
        """All that may hold personal data, in an order that ``with_texts`` knows."""
        found: list[str] = []

        def note(text: str) -> str:
            found.append(text)
            return text

        self._changed(note)
        return found

    def with_texts(self, texts: Sequence[str]) -> "Asked":
        """The same with other texts."""
        left = iter(texts)
        return self._changed(lambda _: next(left))

    @property
    def addresses(self) -> list[str]:
        """Where its pictures are."""
        return [image.url for one in self.messages for image in one.images if image.url]

    def _changed(self, change: Change) -> "Asked":
        return Asked(
            tuple(_message(one, change) for one in self.messages),
            tuple(
                replace(
                    one,
                    description=change(one.description),
                    parameters=_schema(one.parameters, change, is_said=False),
                )
                for one in self.tools
            ),
            self.tool_choice,
        )

    def tree(self, without: int = 0) -> dict[str, Any]:
        """What a suite says of it, ``without`` so many of the first messages."""
        messages = self.messages[without:]
        first = messages[0]
        is_prompt = len(messages) == 1 and first.role == "user"
        asked: dict[str, Any] = (
            {"prompt": _content(first)}
            if is_prompt
            else {"messages": [_message_tree(one) for one in messages]}
        )
        if self.tools:
            asked["tools"] = [_tool_tree(one) for one in self.tools]
        return asked | ({"tool_choice": self.tool_choice} if self.tool_choice else {})


def _message(message: Message, change: Change) -> Message:
    calls = tuple(replace(call, arguments=_value(call.arguments, change)) for call in message.tool_calls)
    if not message.parts:
        return replace(message, content=change(message.content), tool_calls=calls)
    parts = [
        Text(change(part.text))
        if isinstance(part, Text)
        else replace(part, url=change(part.url))
        if part.url
        else part
        for part in message.parts
    ]
    return replace(Message.of(message.role, parts), tool_calls=calls, tool_call_id=message.tool_call_id)


def _value(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _value(one, change) for key, one in value.items()}
    return [_value(one, change) for one in value] if isinstance(value, list) else value


def _schema(value: Any, change: Change, *, is_said: bool) -> Any:
    """The schema with what people said in it changed."""
    if isinstance(value, str):
        return change(value) if is_said else value
    if isinstance(value, Mapping):
        return {
            key: _schema(one, change, is_said=is_said or key in SAID_BY_PEOPLE) for key, one in value.items()
        }
    return [_schema(one, change, is_said=is_said) for one in value] if isinstance(value, list) else value


def _content(message: Message) -> str | list[dict[str, str]]:
    return [_part(part) for part in message.parts] if message.parts else message.content


def _part(part: Text | Image) -> dict[str, str]:
    if isinstance(part, Text):
        return {"text": part.text}
    return {"image_url": part.url} if part.url else {"image_base64": part.base64}


def _message_tree(message: Message) -> dict[str, Any]:
    tree: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        tree["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls
        ]
    return tree | ({"tool_call_id": message.tool_call_id} if message.tool_call_id else {})


def _tool_tree(tool: Tool) -> dict[str, Any]:
    tree: dict[str, Any] = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        tree["description"] = tool.description
    return tree | ({"strict": True} if tool.strict else {})
