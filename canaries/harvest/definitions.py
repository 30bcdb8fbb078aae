"""The tools that a request offers, and which of them is to be called, in the words of any API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from ..prompt import Tool
from ..prompt_document import CHOICES, Tools

FOREIGN_TOOLS = "a tool that a suite cannot hold, such as one of the provider's own"
"""Why a request cannot become a canary."""

_DOCUMENTS: TypeAdapter[Any] = TypeAdapter(Tools)
_TOOLS = ("tools", "functions", "toolConfig", "tool_config")
_CHOICES = ("tool_choice", "toolChoice", "function_call")
_LISTS = ("functionDeclarations", "function_declarations", "tools")
_SAID = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


@dataclass(frozen=True, slots=True)
class Offered:
    """Tools, and the choice among them as a suite has it. ``lost``: there were some that cannot be carried."""

    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    lost: bool = False


def offered_in(document: Mapping[str, Any]) -> Offered:
    """The tools in the body of a request."""
    config = document.get("config")
    for place in (document, config if isinstance(config, dict) else {}):
        if (raw := next((place[key] for key in _TOOLS if place.get(key)), None)) is not None:
            choice = next((place[key] for key in _CHOICES if place.get(key)), None)
            return offered(raw, _choice_within(raw) if choice is None else choice)
    return Offered()


def offered(raw: object, choice: object = None) -> Offered:
    """The tools of a list of definitions."""
    try:
        written = orjson.dumps([*_definitions(raw)], option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError, RecursionError):
        return Offered(lost=True)
    tools = _tools(written)
    if tools is None:
        return Offered(lost=True)
    said = _choice(choice)
    return Offered(tools, said if said in (*CHOICES, *(tool.name for tool in tools)) else None)


@lru_cache(maxsize=1_000)
def _tools(written: bytes) -> tuple[Tool, ...] | None:
    """The tools, where a suite can hold all of them: most requests offer the same ones."""
    try:
        return tuple(one.tool() for one in _DOCUMENTS.validate_python(orjson.loads(written)))
    except ValidationError:
        return None


def _definitions(raw: object) -> Iterator[object]:
    """Each definition as a suite writes it, or something that no suite takes."""
    for one in raw if isinstance(raw, list) else [raw]:
        if isinstance(one, str):
            try:
                one = orjson.loads(one)
            except orjson.JSONDecodeError:
                yield one
                continue
        if not isinstance(one, dict):
            yield one
            continue
        inner = next((one[key] for key in _LISTS if key in one), None)
        if isinstance(inner, list):
            yield from _definitions(inner)
        else:
            yield _definition(one)


def _definition(one: Mapping[str, Any]) -> object:
    inner = next(
        (one[key] for key in ("function", "toolSpec", "tool_spec") if isinstance(one.get(key), dict)), one
    )
    schema = next((inner[key] for key in ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
                   if isinstance(inner.get(key), dict)), None)  # fmt: skip
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict):
        schema = schema["json"]
    if schema is None and inner is one and one.get("type", "function") != "function":
        return None  # web search and the like, of which the provider alone knows what they do
    found = {"name": inner.get("name"), "description": inner.get("description") or ""}
    if schema:
        found["parameters"] = _small_types(schema)
    return found | ({"strict": True} if inner.get("strict") is True else {})


def _small_types(schema: Any) -> Any:
    """The schema with its types as JSON Schema writes them: Gemini writes them in capitals."""
    if isinstance(schema, dict):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else _small_types(value)
            for key, value in schema.items()
        }
    return [_small_types(one) for one in schema] if isinstance(schema, list) else schema


def _choice_within(raw: object) -> object:
    return raw.get("toolChoice") or raw.get("tool_choice") if isinstance(raw, dict) else None


def _choice(said: object) -> str | None:
    if isinstance(said, str):
        return _SAID.get(said.lower(), said)
    if not isinstance(said, dict):
        return None
    inner = said.get("function") or said.get("tool") or said
    if isinstance(inner, dict) and isinstance(name := inner.get("name"), str):
        return name
    kind = said.get("type") or next((key for key in said if key in _SAID), "")
    return _SAID.get(kind) if isinstance(kind, str) else None
