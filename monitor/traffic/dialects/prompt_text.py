"""The prompt in the span of its call, whoever wrote it down: read only for a harvest, never kept."""

from collections.abc import Iterator, Mapping

from canaries.harvest.definitions import offered
from canaries.harvest.messages import Conversation, conversation_of, with_system, with_tools

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

_PARTS = "message.contents.{}.message_content."
_PICTURE = "image.image.url"
_CALL_WORDS = (
    ("tool_call.id", "tool_call.function.name", "tool_call.function.arguments"),
    ("id", "name", "arguments"),
)
"""How the call of a tool says its id, its name and its arguments."""

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

_TOOLS = places("gen_ai.tool.definitions", "@gen_ai.client.inference.operation.details > gen_ai.tool.definitions",
                "ai.prompt.tools")  # fmt: skip
_CHOICES = places("gen_ai.request.tool_choice", "ai.prompt.toolChoice")
"""Tools, and the choice among them, where they stand beside the messages."""

_NUMBERED_TOOLS = (("llm.tools.{}.", "tool.json_schema"), ("llm.request.functions.{}.", ""))
"""Attributes that number the tools: the whole of one, or each fact of it."""

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
    found = with_system(found, told.find("system", _SYSTEMS, lambda raw: parse(raw) or raw))
    tools = told.find("tools", _TOOLS, parse) or list(_tools(span.attributes))
    choice = told.find("tool choice", _CHOICES, lambda raw: parse(raw) or raw)
    return with_tools(found, offered(tools, choice)) if tools else found


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
            id = attributes.get(start + role.removesuffix("role") + "tool_call_id")
            messages.append(
                {
                    "role": attributes.get(start + role, "user"),
                    "content": parts or raw or list(_parts(attributes, start)),
                    "tool_calls": list(_calls(attributes, start + tools)),
                    "tool_call_id": id,
                }
            )
        if messages:
            return conversation_of(messages)
    return None


def _parts(attributes: Mapping[str, object], start: str) -> Iterator[dict[str, object]]:
    for number in range(MESSAGES_MAX):
        part = start + _PARTS.format(number)
        if (picture := attributes.get(part + _PICTURE)) is not None:
            yield {"type": "image_url", "image_url": picture}
        elif any(part + name in attributes for name in ("text", "type")):
            yield {"type": attributes.get(part + "type", "text"), "text": attributes.get(part + "text")}
        else:
            return


def _calls(attributes: Mapping[str, object], start: str) -> Iterator[dict[str, object]]:
    if not any(key.startswith(start) for key in attributes):
        return
    for number in range(MESSAGES_MAX):
        call = f"{start}{number}."
        words = next((one for one in _CALL_WORDS if call + one[1] in attributes), None)
        if words is None:
            if number == 0:
                yield {}  # a call of which nobody knows what it was
            return
        id, name, arguments = (attributes.get(call + word) for word in words)
        yield {"id": id, "name": name, "arguments": arguments}


def _tools(attributes: Mapping[str, object]) -> Iterator[object]:
    for start, whole in _NUMBERED_TOOLS:
        for number in range(MESSAGES_MAX):
            tool = start.format(number)
            if whole and tool + whole in attributes:
                yield attributes[tool + whole]
            elif not whole and tool + "name" in attributes:
                facts = {word: attributes.get(tool + word) for word in ("name", "description", "parameters")}
                yield facts | {"parameters": parse(facts["parameters"])}
            else:
                break


def _events(span: Span) -> Iterator[dict[str, object]]:
    for event in span.events:
        if event.name in _EVENTS:
            raw = event.attributes.get("content")
            yield {
                "role": event.attributes.get("role", _EVENTS[event.name]),
                "content": parse(raw) or raw,
                "tool_calls": parse(event.attributes.get("tool_calls")),
                "tool_call_id": event.attributes.get("id"),
            }
