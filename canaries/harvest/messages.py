"""The messages of a request, in whatever form an API or a log has them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..canonical import well_formed
from ..prompt_document import MAX_MESSAGE_CHARS
from ..suite import MAX_MESSAGES, Message

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
_TEXTS = ("content", "parts", "text", "message", "contents")
_DEPTH_MAX = 6


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of one request.

    ``is_whole`` is not so where something else than text was in it, or where it does not end with a question: images,
    tools and their results. A canary of what is left would ask for something else.
    """

    messages: tuple[Message, ...]
    is_whole: bool = True


def conversation_of(document: object, depth: int = 0) -> Conversation | None:
    """The conversation in the body of a request, in a list of messages, or in a plain text; ``None``: none is in it."""
    if isinstance(document, str):
        return _conversation([("user", document, True)]) if document.strip() else None
    if depth > _DEPTH_MAX:
        return None
    if isinstance(document, list):
        nested = document[0] if len(document) == 1 and isinstance(document[0], list) else document
        return _conversation([_message(one) for one in nested])
    if not isinstance(document, dict):
        return None
    key = next((key for key in _LISTS if document.get(key)), None)
    if key is None:
        inner = (conversation_of(document[key], depth + 1) for key in _WRAPPINGS if key in document)
        return next((one for one in inner if one is not None), None)
    found = conversation_of(document[key], depth + 1)
    return None if found is None else with_system(found, _system(document))


def with_system(found: Conversation, system: object) -> Conversation:
    """The conversation with a system prompt that stands elsewhere in its request."""
    text, is_text = _text(system)
    if not text or any(one.role in ("system", "developer") for one in found.messages):
        return found
    is_bounded = len(text) <= MAX_MESSAGE_CHARS and len(found.messages) < MAX_MESSAGES
    first = Message("system", well_formed(text))
    return Conversation((first, *found.messages), found.is_whole and is_text and is_bounded)


def text_of(content: object) -> str | None:
    """The text in the content of a message; ``None`` where there is none."""
    return _text(content)[0] or None


def _system(document: Mapping[str, object]) -> object:
    config = document.get("config")
    places = [document, *([config] if isinstance(config, dict) else [])]
    return next((one[key] for one in places for key in _SYSTEMS if one.get(key)), None)


def _conversation(parts: Iterable[tuple[str, str, bool]]) -> Conversation | None:
    parts = list(parts)
    messages = tuple(Message(role, well_formed(text)) for role, text, _ in parts if text.strip())
    if not any(one.role == "user" for one in messages):
        return None
    is_bounded = len(messages) <= MAX_MESSAGES and all(
        len(one.content) <= MAX_MESSAGE_CHARS for one in messages
    )
    is_question = messages[-1].role == "user" and not any(one.role == "tool" for one in messages)
    return Conversation(messages, is_bounded and is_question and all(whole for _, _, whole in parts))


def _message(node: object) -> tuple[str, str, bool]:
    """The role, the text, and whether there is nothing else in the message."""
    if isinstance(node, str):
        return "user", node, True
    if not isinstance(node, dict):
        return "", "", False
    fields = _unwrapped(node)
    role = str(fields.get("role") or fields.get("type") or "user").lower()
    key = next((key for key in _TEXTS if fields.get(key)), None)
    text, is_text = ("", True) if key is None else _text(fields[key])
    asks = any(fields.get(key) for key in ("tool_calls", "toolCalls", "function_call"))
    return _ROLES.get(role, ""), text, is_text and not asks and role in _ROLES


def _unwrapped(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message itself, where libraries wrap it into objects of theirs."""
    inner = node.get("kwargs")
    if isinstance(inner, dict):
        kind = node.get("id")  # LangChain's, such as [..., "HumanMessage"]
        told = str(kind[-1]).removesuffix("Chunk").removesuffix("Message").lower() if kind else ""
        return {"role": told} | inner
    inner = node.get("message")
    return inner if isinstance(inner, dict) else node


def _text(content: object, depth: int = 0) -> tuple[str, bool]:
    """The text, and whether it is all there is."""
    if isinstance(content, str):
        return content, True
    if content is None:
        return "", True
    if depth > _DEPTH_MAX:
        return "", False
    if isinstance(content, list):
        parts = [_text(one, depth + 1) for one in content]
        return "".join(text for text, _ in parts), all(whole for _, whole in parts)
    if isinstance(content, dict) and content.get("type", "text") in ("text", "input_text", "output_text"):
        inner = next((content[key] for key in _TEXTS if key in content), None)
        return ("", False) if inner is None else _text(inner, depth + 1)
    return "", False
