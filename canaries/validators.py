"""Whether an answer is what its canary expects. Answers may be anything: every look at one is bounded."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .canonical import MAX_REGEX_CHARS, nfc
from .prompt import ToolCall
from .suite import Expectations, ExpectedCall, IdRule, JsonRule

MAX_JSON_CHARS = 100_000
"""A longer answer is not read as JSON: its check fails and says so."""

MAX_REPAIR_CHARS = 4_000
"""A longer answer is not repaired: the time that json-repair takes can grow with the square of it."""

REFUSAL_OPENINGS = (
    "i can't",
    "i cannot",
    "i can not",
    "i'm not able to",
    "i am not able to",
    "i'm unable to",
    "i am unable to",
    "i won't",
    "i will not",
    "i must decline",
    "i have to decline",
    "i'd rather not",
    "i'm sorry, but",
    "i am sorry, but",
    "i'm sorry, i can",
    "i am sorry, i can",
    "i'm sorry. i can",
    "sorry, but i can",
    "sorry, i can",
    "i apologize, but",
    "i apologise, but",
    "unfortunately, i can",
    "unfortunately, i'm unable",
    "unfortunately, i am unable",
    "as an ai",
    "my apologies, but",
    "it is not appropriate for me",
    "it's not appropriate for me",
)
"""How a refusal begins, in English and in lower case.

The limit of it: a refusal in another language, or one that comes later in the answer, is not seen; and what only
begins like one ("I can't recommend it enough") counts as one. It is good for seeing the rate change.
"""

REFUSAL_REASONS = ("content_filter", "refusal")
"""Finish reasons with which the provider itself says that it refused."""


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one expectation holds. ``note`` says more; it holds nothing of the answer."""

    name: str
    passed: bool
    note: str = ""


def validate(
    expectations: Expectations,
    text: str,
    finish_reason: str | None = None,
    tool_calls: Sequence[ToolCall] = (),
) -> tuple[Check, ...]:
    """One check for each expectation, always the same ones for the same canary, in a fixed order.

    ``tool_calls`` are those of the answer; its ``text`` is then what ``calls_text`` makes of them.
    """
    checks = list(_text_checks(expectations, text))
    if expectations.json is not None:
        checks += _json_checks(expectations, text, finish_reason)
    if expectations.tool_calls is not None:
        checks += _call_checks(expectations.tool_calls, tool_calls)
    if expectations.no_refusal:
        checks.append(Check("no_refusal", not is_refusal(text, finish_reason)))
    return tuple(checks)


def is_refusal(text: str, finish_reason: str | None = None) -> bool:
    """Whether the answer opens like a refusal, or the provider says that it is one."""
    if finish_reason in REFUSAL_REASONS:
        return True
    opening = text[:200].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("*", "").lower()
    return opening.lstrip(" \t\r\n\"'_#>-").startswith(REFUSAL_OPENINGS)


def _text_checks(expectations: Expectations, text: str) -> Iterator[Check]:
    seen = text[:MAX_REGEX_CHARS]
    note = "" if len(text) <= MAX_REGEX_CHARS else f"looked at the first {MAX_REGEX_CHARS:,} characters"
    if expectations.not_empty:
        yield Check("not_empty", bool(text.strip()))
    for name, pattern in _named("matches", expectations.matches):
        yield Check(name, re.search(pattern, seen) is not None, note)
    for name, pattern in _named("must_not_match", expectations.must_not_match):
        yield Check(name, re.search(pattern, seen) is None, note)
    if expectations.labels:
        yield Check("labels", _label(text) in {_label(label) for label in expectations.labels})
    if expectations.ids is not None:
        yield _ids_check(expectations.ids, seen, note)
    if expectations.max_length is not None:
        is_within = len(text) <= expectations.max_length
        yield Check("max_length", is_within, "" if is_within else f"{len(text):,} characters")


def _named(name: str, patterns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A name for each pattern: ``matches``, or ``matches[0]``, ``matches[1]`` where there are several."""
    for index, pattern in enumerate(patterns):
        yield (name if len(patterns) == 1 else f"{name}[{index}]"), pattern


def _label(text: str) -> str:
    """What counts of a label: not its case, nor the white space and punctuation around it."""
    seen = nfc(text[:MAX_REGEX_CHARS])
    counted = [index for index, character in enumerate(seen) if character.isalnum()]
    return seen[counted[0] : counted[-1] + 1].casefold() if counted else ""


def _ids_check(rule: IdRule, seen: str, note: str) -> Check:
    found = [match[0] for match in re.finditer(rule.pattern, seen) if match[0]]
    wrong = sum(re.fullmatch(rule.allowed, text) is None for text in found)
    if wrong:
        return Check("ids", False, f"{wrong} of {len(found)} ids are not allowed")
    return Check("ids", True, note or ("" if found else "no id in it"))


def _json_checks(expectations: Expectations, text: str, finish_reason: str | None) -> Iterator[Check]:
    value, note = _parsed(text)
    is_json = note == ""
    if not is_json and len(text) <= MAX_REPAIR_CHARS:
        repaired = _repaired(text)
        if repaired is not None:
            note = "parses only after repair"
            if expectations.json is JsonRule.REPAIRABLE:
                is_json, value = True, repaired
    if finish_reason == "length" and note:
        note += "; the answer was cut at its token limit"
    yield Check("json", is_json, note)
    if expectations.json_schema is not None:
        rule = _broken_rule(expectations.json_schema, value) if is_json else "not JSON"
        yield Check("json_schema", rule is None, f"breaks {rule}" if is_json and rule else rule or "")


def _call_checks(expected: Sequence[ExpectedCall], calls: Sequence[ToolCall]) -> Iterator[Check]:
    """Whether the expected tools were called, in their order, and with arguments that fit."""
    is_same = [call.name for call in calls] == [one.name for one in expected]
    counts = f"{len(calls)} calls, {len(expected)} expected"
    note = "" if is_same else counts if len(calls) != len(expected) else "other tools, or in another order"
    yield Check("tool_calls", is_same, note)
    if not expected:
        return
    pairs = zip(expected, calls, strict=False)
    broken = [rule for one, call in pairs if (rule := _broken_rule(one.arguments, call.arguments))]
    note = f"breaks {broken[0]}" if broken else ""
    yield Check("tool_arguments", is_same and not broken, note if is_same else "not the expected calls")


def _parsed(text: str) -> tuple[Any, str]:
    """The value, or why there is none."""
    if len(text) > MAX_JSON_CHARS:
        return None, f"longer than {MAX_JSON_CHARS:,} characters"
    try:
        return json.loads(text, parse_constant=_refuse), ""
    except RecursionError:
        return None, "nested too deeply"
    except ValueError:
        return None, "not JSON"


def _broken_rule(schema: Mapping[str, Any], value: Any) -> str | None:
    # Imported here: it takes 3 MB, and most suites have no schema.
    from .schema import broken_rule

    return broken_rule(schema, value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _repaired(text: str) -> dict[str, Any] | list[Any] | None:
    """What json-repair makes of the text, when that is an object or a list with something in it."""
    # Imported here: few answers are broken, and a daemon without canaries never sees one.
    import json_repair

    try:
        value = json_repair.loads(text, skip_json_loads=True)
    except (RecursionError, ValueError):
        return None
    return value if isinstance(value, dict | list) and value else None
