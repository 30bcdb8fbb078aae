"""The messages of a request, in whatever form an API or a log has them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..canonical import well_formed
from ..prompt import Image, Message, Text, Tool, ToolCall
from ..prompt_document import MAX_MESSAGE_CHARS, MAX_PARTS, MAX_TOOLS
from ..suite import MAX_MESSAGES
from .definitions import FOREIGN_TOOLS, Offered, offered_in
from .pieces import (
    BAD_CALL,
    CALLS,
    OTHER,
    RESULTS,
    TEXT_KEYS,
    Called,
    Lost,
    Piece,
    Result,
    call_of,
    kind_of,
    pieces_of,
    result_of,
)

TOO_LONG = "longer than a suite can hold"
NO_QUESTION = "not ending with a question or with what a tool answered"
NO_DEFINITIONS = "a call of a tool whose definition was not recorded"
UNMATCHED = "calls of tools and their results that do not fit together"
"""Why a request cannot become a canary."""

_ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_LISTS = ("messages", "contents", "input", "prompt", "inputs", "history")
_SYSTEMS = ("system", "system_instruction", "systemInstruction", "instructions", "system_prompt")
_WRAPPINGS = ("request", "body", "kwargs", "params", "args", "llm_request", "data", "config")
_DEPTH_MAX = 6

_Turn = tuple[str, Sequence[Piece]]
"""Who speaks, and what is said."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of one request, and the tools that it offers.

    ``lacks`` says why a canary cannot ask the same, where it cannot: of what is left it would ask something else.
    """

    messages: tuple[Message, ...]
    lacks: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether a canary can ask the same."""
        return self.lacks is None


def conversation_of(document: object) -> Conversation | None:
    """The conversation in the body of a request, in a list of messages, or in a plain text; ``None``: none is in it."""
    found = _found(document, 0)
    return None if found is None else with_tools(found, Offered())


def _found(document: object, depth: int) -> Conversation | None:
    if isinstance(document, str):
        return _conversation([("user", [Text(document)])]) if document.strip() else None
    if depth > _DEPTH_MAX:
        return None
    if isinstance(document, list):
        nested = document[0] if len(document) == 1 and isinstance(document[0], list) else document
        return _conversation([_turn(one) for one in nested])
    if not isinstance(document, dict):
        return None
    key = next((key for key in _LISTS if document.get(key)), None)
    if key is None:
        inner = (_found(document[key], depth + 1) for key in _WRAPPINGS if key in document)
        found = next((one for one in inner if one is not None), None)
    else:
        found = _found(document[key], depth + 1)
        found = None if found is None else with_system(found, _system(document))
    return None if found is None else _with(found, offered_in(document))


def with_system(found: Conversation, system: object) -> Conversation:
    """The conversation with a system prompt that stands elsewhere in its request."""
    pieces = list(pieces_of(system))
    text = _text(pieces)
    if not text or any(one.role in ("system", "developer") for one in found.messages):
        return found
    is_bounded = len(text) <= MAX_MESSAGE_CHARS and len(found.messages) < MAX_MESSAGES
    lacks = found.lacks or _lost(pieces) or (None if is_bounded else TOO_LONG)
    return replace(found, messages=(Message("system", well_formed(text)), *found.messages), lacks=lacks)


def with_tools(found: Conversation, offered: Offered) -> Conversation:
    """The conversation with tools that stand elsewhere; it lacks those that it calls and that are nowhere."""
    found = _with(found, offered)
    known = {tool.name for tool in found.tools}
    called = {call.name for message in found.messages for call in message.tool_calls}
    if found.lacks in (None, NO_DEFINITIONS):
        return replace(found, lacks=NO_DEFINITIONS if called - known else None)
    return found


def text_of(content: object) -> str | None:
    """The text in the content of a message; ``None`` where there is none."""
    return _text(list(pieces_of(content))) or None


def _with(found: Conversation, offered: Offered) -> Conversation:
    if offered.lost:
        return replace(found, lacks=found.lacks or FOREIGN_TOOLS)
    if found.tools or not offered.tools:
        return found
    return replace(found, tools=offered.tools, tool_choice=offered.choice)


def _text(pieces: Iterable[Piece]) -> str:
    return "".join(one.text for one in pieces if isinstance(one, Text))


def _lost(pieces: Iterable[Piece]) -> str | None:
    return next((one.why for one in pieces if isinstance(one, Lost)), None)


def _system(document: Mapping[str, object]) -> object:
    config = document.get("config")
    places = [document, *([config] if isinstance(config, dict) else [])]
    return next((one[key] for one in places for key in _SYSTEMS if one.get(key)), None)


def _conversation(turns: Sequence[_Turn]) -> Conversation | None:
    script = _Script()
    for role, pieces in turns:
        script.add(role, pieces)
    messages = tuple(script.messages)
    if not any(one.role == "user" for one in messages):
        asked = next((why for role, pieces in turns if role == "user" and (why := _lost(pieces))), None)
        return None if asked is None else Conversation(messages, asked)
    is_bounded = len(messages) <= MAX_MESSAGES and all(
        len(one.content) <= MAX_MESSAGE_CHARS
        and len(one.parts) <= MAX_PARTS
        and len(one.tool_calls) <= MAX_TOOLS
        for one in messages
    )
    lacks = next((why for _, pieces in turns if (why := _lost(pieces)) is not None), script.fault)
    if lacks is None and script.open:
        lacks = UNMATCHED
    if lacks is None and messages[-1].role not in ("user", "tool"):
        lacks = NO_QUESTION
    return Conversation(messages, lacks or (None if is_bounded else TOO_LONG))


class _Script:
    """Messages put together from turns as a suite wants them.

    Calls have ids of our own, counted from 1: those of production are other ones each time. Results stand in messages
    of their own, before what else was said in their turn.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.fault: str | None = None
        self.open: dict[str, tuple[str, str]] = {}
        self._count = 0

    def add(self, role: str, pieces: Sequence[Piece]) -> None:
        """Take one more turn."""
        for one in pieces:
            if isinstance(one, Result):
                self._answer(one)
        said = [one for one in pieces if isinstance(one, Text | Image)]
        calls = tuple(self._call(one) for one in pieces if isinstance(one, Called))
        if not _text(said).strip():
            said = [one for one in said if isinstance(one, Image)]
        if not said and not calls:
            return
        last = self.messages[-1] if self.messages else None
        if last is not None and last.tool_calls and calls and not said and len(self.open) > len(calls):
            # Some APIs write each call of a turn on its own.
            self.messages[-1] = replace(last, tool_calls=(*last.tool_calls, *calls))
            return
        if len(self.open) > len(calls):
            self.fault = UNMATCHED
        is_foreign = (calls and role != "assistant") or (
            role != "user" and any(isinstance(one, Image) for one in said)
        )
        if not role or role == "tool" or is_foreign:
            self.fault = self.fault or OTHER
        parts = [Text(well_formed(one.text)) if isinstance(one, Text) else one for one in said]
        self.messages.append(replace(Message.of(role, parts), tool_calls=calls))

    def _call(self, one: Called) -> ToolCall:
        self._count += 1
        id = f"call-{self._count}"
        self.open[id] = (one.id, one.name)
        return ToolCall(one.name, one.arguments, id)

    def _answer(self, one: Result) -> None:
        """Answer the open call with the result's id; where it names none, the first of its name or at all."""
        fitting = (id for id, (told, name) in self.open.items()
                   if (told == one.id if one.id and told else not one.name or name == one.name))  # fmt: skip
        id = next(fitting, None)
        if id is None:
            self.fault = UNMATCHED
            return
        del self.open[id]
        self.messages.append(Message("tool", well_formed(one.text), tool_call_id=id))


def _turn(node: object) -> _Turn:
    if isinstance(node, str):
        return "user", [Text(node)]
    if not isinstance(node, dict):
        return "", [Lost(OTHER)]
    fields = _unwrapped(node)
    if (kind := kind_of(fields)) in (*CALLS, *RESULTS) and "role" not in fields:
        return ("assistant", [call_of(fields)]) if kind in CALLS else ("tool", [result_of(fields)])
    role = _ROLES.get(str(fields.get("role") or fields.get("type") or "user").lower(), "")
    key = next((key for key in TEXT_KEYS if fields.get(key)), None)
    pieces: list[Piece] = [] if key is None else list(pieces_of(fields[key]))
    if role == "tool" and not any(isinstance(one, Result) for one in pieces):
        pieces = [Lost(lost) if (lost := _lost(pieces)) else result_of(fields | {"content": _text(pieces)})]
    asked = next((fields[key] for key in ("tool_calls", "toolCalls") if fields.get(key)), None)
    if asked is None and isinstance(fields.get("function_call"), dict):
        asked = [fields["function_call"]]
    if asked is not None:
        are_calls = isinstance(asked, list) and all(isinstance(one, dict) for one in asked)
        pieces += map(call_of, asked) if are_calls else [Lost(BAD_CALL)]
    return role, pieces or ([] if role else [Lost(OTHER)])


def _unwrapped(node: Mapping[str, Any]) -> dict[str, Any]:
    """The message itself, where libraries wrap it into objects of theirs."""
    inner = node.get("kwargs")
    if isinstance(inner, dict):
        kind = node.get("id")  # LangChain's, such as [..., "HumanMessage"]
        told = str(kind[-1]).removesuffix("Chunk").removesuffix("Message").lower() if kind else ""
        return {"role": told} | inner
    inner = node.get("message")
    return inner if isinstance(inner, dict) else dict(node)
