"""JSON schemas of a suite: checked when it is loaded, then held against answers that may be anything."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from .problems import Path

MAX_WORDS = 160
"""The longest part of the library's own message about a schema that is passed on."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def schema_faults(schema: Mapping[str, Any]) -> tuple[tuple[Path, str], ...]:
    """What is wrong with a schema, each fault with its path in it. References must stay within the schema."""
    kind = validator_for(schema, default=Draft202012Validator)
    checker = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
    faults = [(tuple(error.absolute_path), _words(error)) for error in checker.iter_errors(schema)]
    faults += list(_reference_faults(schema))
    return tuple(faults) or _endless(schema)


def broken_rule(schema: Mapping[str, Any], value: Any) -> str | None:
    """The rule of the schema that ``value`` breaks, as its path in the schema; ``None`` when it breaks none.

    Only words of the schema are given, none of the value.
    """
    try:
        error = next(_validator(schema).iter_errors(value), None)
    except RecursionError:
        return "nested too deeply"
    except Unresolvable:
        return "a reference that leads nowhere"
    return None if error is None else "/".join(str(step) for step in error.absolute_schema_path)


def _validator(schema: Mapping[str, Any]) -> Validator:
    kind = validator_for(schema, default=Draft202012Validator)
    # With a registry of its own the library never fetches a reference from the network.
    return kind(schema, registry=Registry())


def _words(error: ValidationError | SchemaError) -> str:
    return f"not a valid JSON schema: {error.message[:MAX_WORDS]}"


def _reference_faults(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for path, reference in _references(schema, ()):
        if not reference.startswith("#"):
            yield path, 'only references within the schema are followed, such as "#/$defs/name"'
            continue
        try:
            resolver.lookup(reference)
        except Unresolvable:
            yield path, "refers to nothing in this schema"


def _references(part: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in _REFERENCES and isinstance(value, str):
                yield (*path, key), value
            else:
                yield from _references(value, (*path, key))
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _references(value, (*path, index))


def _endless(schema: Mapping[str, Any]) -> tuple[tuple[Path, str], ...]:
    return (((), "refers to itself without end"),) if broken_rule(schema, None) == "nested too deeply" else ()
