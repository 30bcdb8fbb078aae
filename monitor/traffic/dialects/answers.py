"""What a provider's answer says of its call, wherever in a document the answer lies."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..calls import FinishReason
from .documents import parse
from .usage import NO_USAGE, Usage, read_usage
from .values import finish_reason, text

NODES_MAX = 400
"""How many objects of a document are looked at."""

ITEMS_MAX = 16
"""How many items of a list are looked at: the vectors of embeddings have thousands."""

_FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "finish_reasons")
_MODEL_KEYS = ("model", "model_name", "modelVersion", "model_version")
_ID_KEYS = ("id", "responseId", "response_id")
_USAGE_KEYS = ("usage", "token_usage", "usage_metadata", "usageMetadata", "tokenUsage")

_ID_MARKS = (
    "choices",
    "candidates",
    "usage",
    "token_usage",
    "usageMetadata",
    "usage_metadata",
    "object",
    "model_provider",
)
"""Beside one of these, ``id`` is that of an answer, and not of a tool call or a message."""

_MODEL_MARKS = (*_ID_MARKS, *_ID_KEYS, *_FINISH_KEYS)
"""The same for ``model``."""

_FRAMEWORK_IDS = ("lc_", "run-", "run_", "lc-", "__")
"""How the ids begin that frameworks write: LangChain's own ones, and stand-ins such as ``__fake_id__``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a document says of the answer in it; ``is_chunked``: it was put together from chunks of a stream."""

    id: str | None = None
    model: str | None = None
    finish: FinishReason | None = None
    usage: Usage = NO_USAGE
    is_chunked: bool = False


def read_answer(document: object) -> Answer:
    """The first of each fact in the document, nearest to its root; an empty answer when it holds none."""
    nodes = list(_objects(parse(document)))
    usage = Usage()
    for node in nodes:
        for key in _USAGE_KEYS:
            if isinstance(written := node.get(key), dict):
                usage = usage.filled_from(read_usage(written))
    return Answer(
        next((found for node in nodes if (found := _id(node))), None),
        next((found for node in nodes if (found := _model(node))), None),
        _finish(nodes),
        usage,
        any(str(node.get("type", "")).endswith(("GenerationChunk", "MessageChunk")) for node in nodes),
    )


def _objects(document: object) -> Iterator[Mapping[str, object]]:
    """The objects of a document, those near its root first."""
    queue = deque([document])
    seen = 0
    while queue and seen < NODES_MAX:
        node = queue.popleft()
        if isinstance(node, dict):
            seen += 1
            yield node
            queue.extend(value for value in node.values() if isinstance(value, dict | list))
        elif isinstance(node, list):
            queue.extend(item for item in node[:ITEMS_MAX] if isinstance(item, dict | list))


def _id(node: Mapping[str, object]) -> str | None:
    if not any(mark in node for mark in (*_ID_MARKS, *_MODEL_KEYS)):
        return None
    found = next((one for key in _ID_KEYS if (one := text(node.get(key)))), None)
    return None if found and found.startswith(_FRAMEWORK_IDS) else found


def _model(node: Mapping[str, object]) -> str | None:
    if not any(mark in node for mark in _MODEL_MARKS):
        return None
    return next((one for key in _MODEL_KEYS if (one := text(node.get(key)))), None)


def _finish(nodes: list[Mapping[str, object]]) -> FinishReason | None:
    told = (finish_reason(node.get(key)) for node in nodes for key in _FINISH_KEYS if key in node)
    return next((one for one in told if one), None) or _response_status(nodes)


def _response_status(nodes: list[Mapping[str, object]]) -> FinishReason | None:
    """OpenAI's Responses tell a status, and why it is not ``completed``; asked-for tools are items of the output."""
    for node in nodes:
        if "status" not in node or not ("output" in node or "incomplete_details" in node):
            continue
        details = node.get("incomplete_details")
        if isinstance(details, dict):
            return finish_reason(details.get("reason")) or FinishReason.LENGTH
        # "completed" is the state of the answer, and no reason: it may have been completed in many ways.
        if text(node.get("status")) == "incomplete":
            return FinishReason.LENGTH
        is_asking = any(one.get("type") == "function_call" for one in nodes)
        return FinishReason.TOOL_CALLS if is_asking else None
    return None


_ALWAYS = (
    (b"usage", re.compile(rb"usage(?:_metadata|Metadata)?\\*[\"']")),
    (b"Usage", re.compile(rb"Usage\\*[\"']")),
    (b"Chunk", re.compile(rb"(?:Generation|Message)Chunk\\*[\"']")),
    # Letters of a key may be written as escapes; nobody does, but then this cannot tell.
    (b"\\", re.compile(rb"\\(?:u00[4-7]|U000000[4-7]|x[4-7]|1[0-7]{2}|N\{)")),
)
_BY_FACT = {
    "response_id": (
        (b"id", re.compile(rb"[\"']id\\*[\"']")),
        (b"esponse", re.compile(rb"response(?:_i|I)d\\*[\"']")),
    ),
    "response_model": ((b"model", re.compile(rb"model(?:_name|_version|Version)?\\*[\"']")),),
    "finish_reason": (
        (b"inish", re.compile(rb"finish(?:_r|R)easons?\\*[\"']")),
        (b"stop", re.compile(rb"stop(?:_r|R)eason\\*[\"']")),
        (b"status", re.compile(rb"status\\*[\"']")),
    ),
}
Hint = tuple[bytes, re.Pattern[bytes]]
"""What a document holds that may tell a fact: some letters, which are quickly looked for, and what they stand in."""


def is_always_looked_for(letters: bytes) -> bool:
    """Whether these letters are among those that every document is searched for."""
    return any(letters == one for one, _ in _ALWAYS)


def hints_of(missing: Iterable[str] = tuple(_BY_FACT)) -> tuple[Hint, ...]:
    """What to look for in a document that may tell a missing fact, or more of the tokens than is known."""
    return (*_ALWAYS, *(hint for fact in missing for hint in _BY_FACT[fact]))
