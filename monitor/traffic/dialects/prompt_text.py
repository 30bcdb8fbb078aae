"""The prompt in the span of its call, whoever wrote it down: read only for a harvest, never kept."""

from collections.abc import Iterator, Mapping

from canaries.harvest.messages import Conversation, conversation_of, with_system

from ..otlp import Span
from .documents import parse
from .tables import places
from .told import Told

MESSAGES_MAX = 101
"""How many messages and parts of a prompt are looked at: one more than a canary may have."""

_FAMILIES = (
    ("llm.input_messages.{}.", "message.content", "message.role", "message.tool_calls."),
    ("gen_ai.prompt.{}.", "content", "role", "tool_calls."),
    ("llm.prompts.{}.", "content", "role", "tool_calls."),
)
"""Attributes that number the messages of a prompt: their beginning, the text, who speaks, and what it asks for."""

_PARTS = ("message.contents.{}.message_content.", "text", "type")

_DOCUMENTS = places(
    "gen_ai.input.messages",
    "@gen_ai.client.inference.operation.details > gen_ai.input.messages",
    "ai.prompt.messages",
    "ai.prompt",
    "langfuse.observation.input",
    "request_data",
    "mlflow.spanInputs",
    "gcp.vertex.agent.llm_request",
    "gen_ai.prompt",
    "@gen_ai.content.prompt > gen_ai.prompt",
    "lmnr.span.input",
    "input.value",
)
"""Documents that hold the prompt, the most telling first."""

_SYSTEMS = places(
    "gen_ai.system_instructions",
    "@gen_ai.client.inference.operation.details > gen_ai.system_instructions",
    "langfuse.observation.metadata.instructions",
    "instructions",
)
"""The system prompt, where it stands beside the messages."""

_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
"""Events that are one message each."""


def conversation_in(span: Span) -> Conversation | None:
    """What the model was asked; ``None`` where the span does not carry it."""
    told = Told(span)
    found = _numbered(span.attributes)
    if found is None:
        found = told.find("prompt", _DOCUMENTS, _read)
    if found is None:
        found = conversation_of(list(_events(span)))
    if found is None:
        return None
    return with_system(found, told.find("system", _SYSTEMS, lambda raw: parse(raw) or raw))


def _read(raw: object) -> Conversation | None:
    document = parse(raw)
    return conversation_of(raw if document is None else document)


def _numbered(attributes: Mapping[str, object]) -> Conversation | None:
    """The messages, where each fact is an attribute of its own."""
    for prefix, content, role, tools in _FAMILIES:
        messages = []
        for number in range(MESSAGES_MAX):
            start = prefix.format(number)
            if (start + role) not in attributes and (start + content) not in attributes:
                break
            raw = attributes.get(start + content)
            parts = parse(raw) if isinstance(raw, str) and raw.startswith("[") else None
            is_asking = any(key.startswith(start + tools) for key in attributes)
            messages.append(
                {
                    "role": attributes.get(start + role, "user"),
                    "content": parts or raw or list(_parts(attributes, start)),
                    "tool_calls": is_asking,
                }
            )
        if messages:
            return conversation_of(messages)
    return None


def _parts(attributes: Mapping[str, object], start: str) -> Iterator[dict[str, object]]:
    prefix, content, kind = _PARTS
    for number in range(MESSAGES_MAX):
        part = start + prefix.format(number)
        if not any(part + name in attributes for name in (content, kind)):
            return
        yield {"type": attributes.get(part + kind, "text"), "text": attributes.get(part + content)}


def _events(span: Span) -> Iterator[dict[str, object]]:
    for event in span.events:
        if event.name in _EVENTS:
            raw = event.attributes.get("content")
            yield {
                "role": event.attributes.get("role", _EVENTS[event.name]),
                "content": parse(raw) or raw,
                "tool_calls": event.attributes.get("tool_calls"),
            }
