"""The API's own description, read from its OpenAPI document, as values that a template can show."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEPTH_MAX = 6
"""A schema nested deeper than this is named and not opened."""

NO_CONTENT: Mapping[str, Mapping[str, Any]] = {"": {}}
"""What an answer without a body holds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an answer: its name, its type in words, and the fields inside it."""

    name: str
    kind: str
    note: str = ""
    inside: tuple["Field", ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation may answer."""

    status: str
    description: str
    content_type: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a machine may ask: what it may say with it, as it is typed with curl, and what is answered."""

    method: str
    path: str
    summary: str
    description: str
    answers: tuple[Answer, ...]
    parameters: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    example: str = ""


def operations(openapi: Mapping[str, Any]) -> tuple[Operation, ...]:
    """Every operation of the document, in its order."""
    schemas = openapi.get("components", {}).get("schemas", {})
    return tuple(
        Operation(
            method=method.upper(),
            path=path,
            summary=operation.get("summary", ""),
            description=operation.get("description", ""),
            answers=tuple(_answers(operation["responses"], schemas)),
            parameters=tuple(_parameters(operation, schemas)),
            body=_fields(_body(operation), schemas, DEPTH_MAX),
            example=_example(method, path, operation, schemas),
        )
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )


def _parameters(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Field]:
    for one in operation.get("parameters", ()):
        must = " (needed)" if one.get("required") else ""
        note = one.get("description") or _note(one["schema"], schemas)
        yield Field(one["name"], _kind(one["schema"], schemas) + must, note)


def _body(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema


def _example(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """The operation as somebody types it who has the daemon on this machine; empty where nobody gave an example."""
    asked = []
    for one in operation.get("parameters", ()):
        values = one.get("examples") or one["schema"].get("examples") or ()
        if one["in"] == "path" and values:
            path = path.replace(f"{{{one['name']}}}", str(values[0]))
        elif one["in"] == "query" and values:
            asked.append(f"--data-urlencode '{one['name']}={values[0]}'")
    sent_schema = _opened(_body(operation), schemas)
    body = sent_schema.get("examples")
    if "{" in path or (method == "post" and not body):
        return ""
    query = f" --get {' '.join(asked)}" if asked else ""
    sent = f" --json '{_written(body[0], sent_schema)}'" if body else ""
    return f"curl localhost:8700{path}{query}{sent}"


def _written(example: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    # In the order of the fields: the document has lost that of the example.
    named = {name: example[name] for name in schema.get("properties", {}) if name in example}
    return json.dumps(named, ensure_ascii=False)


def _answers(responses: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Answer]:
    for status, response in sorted(responses.items()):
        content_type, content = next(iter(response.get("content", NO_CONTENT).items()))
        fields = _fields(content.get("schema", {}), schemas, DEPTH_MAX)
        yield Answer(status, response.get("description", ""), content_type, fields)


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> tuple[Field, ...]:
    inner = _opened(schema, schemas)
    if depth == 0:
        return ()
    return tuple(
        Field(name, _kind(part, schemas), _note(part, schemas), _fields(part, schemas, depth - 1))
        for name, part in inner.get("properties", {}).items()
    )


def _opened(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the object inside: behind a reference, in a list, or the part that is not null."""
    if "$ref" in schema:
        found: Mapping[str, Any] = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return _opened(found, schemas)
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return _opened(schema["items"], schemas)
    for part in schema.get("anyOf", ()):
        if part.get("type") != "null":
            return _opened(part, schemas)
    return schema


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(part, schemas) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    inner = _opened(schema, schemas)
    if "enum" in inner:
        return " | ".join(str(value) for value in inner["enum"])
    if isinstance(inner.get("additionalProperties"), Mapping):
        return f"map to {_kind(inner['additionalProperties'], schemas)}"
    return str(inner.get("format") or inner.get("type") or "anything")


def _note(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    inner = _opened(schema, schemas)
    text = str(schema.get("description") or inner.get("description") or "")
    return text.replace("``", "")
