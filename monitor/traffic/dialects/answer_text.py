"""The text of an answer in the span of its call, whoever wrote it down: read only to be checked, never kept."""

from collections.abc import Iterator, Mapping

from ..otlp import Span
from .documents import parse
from .tables import places
from .told import Told

ANSWER_MAX = 100_001
"""Of a longer answer the rest is left out: one character more than the longest that may be expected of an answer."""

MESSAGES_MAX = 16
"""How many messages or parts of an answer are looked at."""

_DEPTH_MAX = 12

_FAMILIES = (
    ("gen_ai.completion.{}.", "content", "role"),
    ("llm.completions.{}.", "content", "role"),
    ("llm.output_messages.{}.", "message.content", "message.role"),
    ("llm.choices.{}.", "completion.text", "role"),
)
"""Attributes that number the messages of an answer: their beginning, the text, and who speaks."""

_PARTS = ("llm.output_messages.{}.message.contents.{}.message_content.", "text", "type")

_NUMBERED = tuple(prefix.partition("{}")[0] for prefix, _, _ in (*_FAMILIES, _PARTS))

_TEXTS = ("ai.response.text", "ai.response.object", "gen_ai.response.text")
"""Attributes that are the text itself."""

_DOCUMENTS = places(
    "gen_ai.output.messages",
    "@gen_ai.client.inference.operation.details > gen_ai.output.messages",
    "response_data",
    "mlflow.spanOutputs",
    "gcp.vertex.agent.llm_response",
    "genkit:output",
)
"""Documents that hold the answer; what cannot be read of them is no answer."""

_DOCUMENTS_OR_TEXTS = places(
    "@gen_ai.choice > message",
    "@gen_ai.content.completion > gen_ai.completion",
    "gen_ai.completion",
    "gen_ai.content.completion",
    "langfuse.observation.output",
    "lmnr.span.output",
    "output.value",
    "haystack.component.output",
    "traceloop.entity.output",
)
"""The same, where the text may also stand as it is."""

_WRAPPINGS = (
    "choices",
    "candidates",
    "generations",
    "replies",
    "output_text",
    "output",
    "message",
    "kwargs",
    "parts",
    "content",
    "combined_chunk_content",
    "text",
    "refusal",
)
"""Where the text lies within an object, by who wrote it; the first that holds one wins."""

_MARKS = frozenset(
    {
        "additional_kwargs",
        "candidates",
        "choices",
        "combined_chunk_content",
        "finish_reason",
        "generations",
        "kwargs",
        "output_text",
        "parts",
        "replies",
        "role",
        "stopReason",
        "stop_reason",
        "tool_calls",
        "usage",
        "usage_metadata",
    }
)
"""An object with one of these holds an answer; any other may be the answer, for answers may be JSON themselves."""

_TEXT_TYPES = ("text", "output_text", "refusal")
_MESSAGE_MARKS = ("role", "message", "kwargs", "generation_info", "index", "finish_reason")
_BLOCKS = frozenset({"text", "toolUse", "toolResult", "reasoningContent"})
_NOT_SAID = (
    "reasoning",
    "thinking",
    "redacted_thinking",
    "thought",
    "tool_call",
    "tool_use",
    "function_call",
)
"""Types and roles of what is beside the answer."""

_NOT_ANSWERING = ("user", "system", "developer", "tool", "human", *_NOT_SAID)


def answer_text(span: Span) -> str | None:
    """What the model answered, cut to ``ANSWER_MAX`` characters; ``None`` where the span does not carry it."""
    found = _numbered(span.attributes)
    if found is None:
        found = next((raw for key in _TEXTS if isinstance(raw := span.attributes.get(key), str)), None)
    if found is None:
        found = Told(span).find("text", _DOCUMENTS, lambda raw: _said(parse(raw)))
    if found is None:
        found = Told(span).find("text", _DOCUMENTS_OR_TEXTS, _said_or_raw)
    return None if found is None else found[:ANSWER_MAX]


def _numbered(attributes: Mapping[str, object]) -> str | None:
    """The first message of the answer with a text, where each fact is an attribute of its own."""
    if not any(key.startswith(_NUMBERED) for key in attributes):
        return None
    for prefix, content, role in _FAMILIES:
        for number in range(MESSAGES_MAX):
            message = prefix.format(number)
            raw = attributes.get(message + content)
            if not isinstance(raw, str) or attributes.get(message + role) in _NOT_ANSWERING:
                continue
            if raw.strip() or not any(key.startswith(message) and "tool_calls." in key for key in attributes):
                return _unpacked(raw)
    prefix, content, kind = _PARTS
    for number in range(MESSAGES_MAX):
        parts = [prefix.format(number, part) for part in range(MESSAGES_MAX)]
        texts = [
            raw
            for part in parts
            if isinstance(raw := attributes.get(part + content), str)
            and attributes.get(part + kind) not in _NOT_SAID
        ]
        if texts:
            return "".join(texts)
    return None


def _unpacked(raw: str) -> str | None:
    """The text, also where the parts of a message stand as JSON in place of it."""
    parts = parse(raw) if raw.startswith("[") else None
    is_parts = isinstance(parts, list) and bool(parts) and all(_is_typed(one) for one in parts)
    return _said(parts) if is_parts else raw


def _is_typed(part: object) -> bool:
    """Whether this is a part of a message: it says what it is, or is one of Bedrock's blocks, of one key each."""
    if not isinstance(part, dict):
        return False
    return part.get("type") in (*_TEXT_TYPES, *_NOT_SAID) or (len(part) == 1 and not _BLOCKS.isdisjoint(part))


def _said_or_raw(raw: object) -> str | None:
    """The text in a document, or what stands there when it is none."""
    document = parse(raw)
    if isinstance(document, str):
        return document
    if document is None:
        return raw if isinstance(raw, str) and not _is_cut_off(raw) else None
    if _is_answer(document):
        return _said(document)
    return raw if isinstance(raw, str) else None


def _is_cut_off(raw: str) -> bool:
    """Whether this is the beginning of a document: exporters cut long values, and half of one says nothing."""
    opening = raw[:400].lstrip()
    return opening.startswith(("{", "[")) and any(f'"{mark}"' in opening for mark in _MARKS)


def _is_answer(document: object, depth: int = 0) -> bool:
    if isinstance(document, list) and depth < _DEPTH_MAX:
        nodes = document[:MESSAGES_MAX]
        is_parts = bool(nodes) and all(_is_typed(one) for one in nodes)
        return is_parts or any(_is_answer(one, depth + 1) for one in nodes)
    return isinstance(document, dict) and not _MARKS.isdisjoint(document)


def _said(node: object, depth: int = 0) -> str | None:
    """The text that the document holds, if any."""
    if isinstance(node, str):
        return node
    if depth >= _DEPTH_MAX:
        return None
    if isinstance(node, list):
        return _of_list(node, depth)
    if not isinstance(node, dict) or not _is_said(node):
        return None
    found = (_said(node[key], depth + 1) for key in _WRAPPINGS if key in node)
    text = next((text for text in found if text is not None), None)
    # Who asks for tools says nothing yet, however that is written.
    return None if text is not None and not text.strip() and node.get("tool_calls") else text


def _of_list(nodes: list[object], depth: int) -> str | None:
    """The parts of a message put together, or the first of several messages that has a text."""
    nodes = nodes[:MESSAGES_MAX]
    if any(_is_part(one) for one in nodes):
        texts = [text for one in nodes if _is_part(one) and (text := _said(one, depth + 1)) is not None]
        return "".join(texts) if texts else None
    return next(_texts(nodes, depth), None)


def _texts(nodes: list[object], depth: int) -> Iterator[str]:
    for one in nodes:
        if isinstance(one, dict | list) and (text := _said(one, depth + 1)) is not None:
            yield text


def _is_part(node: object) -> bool:
    if isinstance(node, str):
        return True
    if not isinstance(node, dict) or any(mark in node for mark in _MESSAGE_MARKS) or not _is_said(node):
        return False
    return node.get("type") in _TEXT_TYPES or isinstance(node.get("text"), str)


def _is_said(node: Mapping[str, object]) -> bool:
    told = (node.get("type"), node.get("role"))
    return not any(one in _NOT_ANSWERING for one in told) and node.get("thought") is not True
