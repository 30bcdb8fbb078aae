"""Values that are written inside a text: JSON, quoted JSON, Python literals. Read leniently, within bounds."""

import ast
from collections.abc import Sequence

import orjson

JSON_MAX = 2_000_000
"""Longest text that is read as JSON; a longer one is left alone."""

LITERAL_MAX = 20_000
"""Longest text that is read as a Python literal, which takes far longer than JSON does."""

_OPENINGS = ("{", "[", '"')


def parse(value: object) -> object:
    """What ``value`` holds: a list or a map as it is, a text as the JSON or Python literal in it, else ``None``."""
    if isinstance(value, dict | list):
        return value
    if not isinstance(value, str) or len(value) > JSON_MAX:
        return None
    written = value.strip()
    if not written.startswith(_OPENINGS):
        return None
    try:
        return orjson.loads(written)
    except orjson.JSONDecodeError:
        return _literal(written)


def dig(document: object, path: Sequence[str]) -> object:
    """What lies at ``path`` in ``document``; a number in the path counts into a list. ``None``: nothing does."""
    for step in path:
        if isinstance(document, str):
            document = parse(document)
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def _literal(written: str) -> object:
    if len(written) > LITERAL_MAX:
        return None
    try:
        # It builds constants only, and runs nothing.
        return ast.literal_eval(written)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
