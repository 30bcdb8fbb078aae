"""What may be expected of the answers to a canary, concluded from those that were recorded."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..canonical import MAX_REGEX_CHARS
from ..suite import ExpectDocument
from ..validators import validate

LABEL_WORDS_MAX, LABELS_MAX = 3, 12
LABEL_CHARS_MAX = 60
"""Answers of so few words, and so short, are labels, where a cluster has so few different ones."""

LABEL_ANSWERS_MIN = 5
"""From fewer answers nobody can tell which labels there are."""

LENGTH_FACTOR, LENGTH_MIN = 3, 500
"""How much longer than the longest recorded answer one may be, and what is always allowed."""

KEYS_MAX = 30
"""Of a JSON answer with more keys only the kind is expected."""

PATTERNS_MAX = 3
"""The most words that every answer is expected to have."""

_PLACEHOLDER = re.compile(r"<[a-z][a-z0-9-]*-\d+>")
_FACT = re.compile(r"(?<![\w.,])\d[\d.,:/]*\d(?![\w])|(?<![\w.])\d(?![\w.])|\b[A-Z]{2,}[A-Z0-9_-]*\b")
_JSON_TYPES: Mapping[type, str] = {
    bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"
}  # fmt: skip


def suggested(question: str, answers: Sequence[str], cluster_answers: Sequence[str] = ()) -> dict[str, Any]:
    """What to expect, as it is written under ``expect``; the recorded ``answers`` to the prompt all meet it.

    ``cluster_answers`` are of prompts about the same. Without an answer nothing is known but that there is one.
    """
    expect: dict[str, Any] = {"not_empty": True}
    answers = [one for one in answers if one.strip()]
    if not answers:
        return expect
    expect |= _shape(answers, cluster_answers)
    if "labels" not in expect and "json" not in expect and "json_schema" not in expect:
        expect |= _facts(question, answers)
    expect["no_refusal"] = True
    longest = max(len(one) for one in (*answers, *cluster_answers))
    expect["max_length"] = _round(max(LENGTH_FACTOR * longest, LENGTH_MIN))
    return {name: value for name, value in expect.items() if _is_met({name: value}, answers)}


def _is_met(expect: Mapping[str, Any], answers: Sequence[str]) -> bool:
    expectations = ExpectDocument.model_validate(expect).expectations()
    return all(check.passed for answer in answers for check in validate(expectations, answer))


def _shape(answers: Sequence[str], cluster_answers: Sequence[str]) -> dict[str, Any]:
    """What form the answers have: JSON with its keys, or one of a few labels."""
    values = [_object(answer) for answer in answers]
    if all(value is not None for value in values):
        return _schema([value for value in values if isinstance(value, dict)], len(values))
    if all(answer.strip().startswith(("```json", "{", "[{")) for answer in answers):
        return {"json": "repairable"}
    labels = Counter(_label(one) for one in (*answers, *cluster_answers))
    are_short = all(len(one) <= LABEL_CHARS_MAX for one in (*answers, *cluster_answers))
    are_short = are_short and all(one and len(one.split()) <= LABEL_WORDS_MAX for one in labels)
    are_few = len(labels) <= min(LABELS_MAX, labels.total() // 2) and labels.total() >= LABEL_ANSWERS_MIN
    is_redacted = any(map(_PLACEHOLDER.search, labels))
    return {"labels": sorted(labels)} if are_short and are_few and not is_redacted else {}


def _object(answer: str) -> dict[str, Any] | list[Any] | None:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _schema(values: Sequence[dict[str, Any]], answers: int) -> dict[str, Any]:
    """The keys that all answers have, with their types where these are always the same."""
    if len(values) < answers:
        return {"json": True}
    common = [key for key in values[0] if all(key in value for value in values)]
    if not common or len(common) > KEYS_MAX:
        return {"json": True}
    kinds = {key: {_JSON_TYPES.get(type(value[key])) for value in values} for key in common}
    typed = {key: {"type": kind} for key, (kind, *more) in kinds.items() if kind and not more}
    schema: dict[str, Any] = {"type": "object", "required": common}
    return {"json_schema": schema | ({"properties": typed} if typed else {})}


def _facts(question: str, answers: Sequence[str]) -> dict[str, Any]:
    """Words that the answers should have: a short answer itself, or numbers and names in all of several answers."""
    short = _label(answers[0])
    if len({_label(one).casefold() for one in answers}) == 1 and 0 < len(short.split()) <= LABEL_WORDS_MAX:
        return {"matches": _pattern(short)} if not _PLACEHOLDER.search(answers[0]) else {}
    if len(answers) < 2:
        return {}
    plain = [_PLACEHOLDER.sub(" ", one[:MAX_REGEX_CHARS]) for one in answers]
    shared = [
        fact
        for fact in dict.fromkeys(_FACT.findall(plain[0]))
        if all(fact in _FACT.findall(one) for one in plain)
    ]
    news = [fact for fact in shared if fact not in question]
    return {"matches": [_pattern(fact) for fact in news[:PATTERNS_MAX]]} if news else {}


def _pattern(text: str) -> str:
    escaped = re.escape(text).replace(r"\ ", r"\s+")
    return rf"(?i)(?<!\w){escaped}(?!\w)"


def _label(answer: str) -> str:
    return answer.strip().strip(".!\"'*`").strip()


def _round(number: int) -> int:
    """The number, up to the next hundred; above a thousand to the next thousand."""
    step = 100 if number <= 1_000 else 1_000
    return -(-number // step) * step
