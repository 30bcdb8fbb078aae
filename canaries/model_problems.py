"""What pydantic found wrong, in plain words and at its place in the document."""

import difflib
import json
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .problems import PLACED, Path, Problem
from .tree import Places

MAX_SHOWN_CHARS = 40
"""A longer value is not shown in a message: it may be a prompt."""

_SECRET_WORDS = ("key", "token", "secret", "password", "authorization", "headers", "credential")

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of usual size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "none_required": "empty",
    "path_type": "a path",
}
"""What a value must be, by the error that says it is of another kind."""

_CHOICES = ("literal_error", "enum")

_SENTENCES = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must list at least {min_length}",
    "too_long": "must list at most {max_length}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "union_tag_not_found": "the key {discriminator} is missing, which tells the kind",
    "union_tag_invalid": "is not one of the known kinds: {expected_tags}",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    """One pydantic error. ``branches`` are the members of unions on the way, each with its union's depth."""

    path: Path
    branches: tuple[tuple[int, str], ...]
    type: str
    context: Mapping[str, Any]
    text: str


def problems_of(
    error: ValidationError, model: type[BaseModel], tree: object, places: Places
) -> Iterator[tuple[Path, Problem]]:
    """Each problem with its path. Of a union, only those of the member that was probably meant."""
    faults = [_fault(details, tree) for details in error.errors(include_url=False, include_input=False)]
    faults = [inner for fault in _chosen(faults, tree) for inner in _unfolded(fault)]
    renamed = set(_renames(faults, model, tree))
    for fault in faults:
        # A key that is written wrongly is one problem, not one unknown and one missing key.
        if not (fault.type == "missing" and fault.path in renamed):
            yield fault.path, places.problem(fault.path, *_words(fault, model, tree))


def _fault(details: ErrorDetails, tree: object) -> _Fault:
    path: Path = ()
    branches: list[tuple[int, str]] = []
    value: Any = tree
    loc = details["loc"]
    for position, step in enumerate(loc):
        is_last = position == len(loc) - 1
        if (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
        ):
            path, value = (*path, step), value[step]  # type: ignore[index]  # either kind of step fits its value
        elif is_last and details["type"] == "missing":
            path = (*path, step)
        elif step != "[key]":
            branches.append((len(path), str(step)))
    return _Fault(path, tuple(branches), details["type"], details.get("ctx", {}), details["msg"])


def _unfolded(fault: _Fault) -> Iterator[_Fault]:
    if fault.type != PLACED:
        yield fault
        return
    for path, text in fault.context["faults"]:
        yield replace(fault, path=(*fault.path, *path), type="value_error", context={}, text=text)


def _chosen(faults: Sequence[_Fault], tree: object) -> Iterator[_Fault]:
    """The faults without unions: each union's are replaced by those of the member that fits best."""
    unions: dict[Path, list[_Fault]] = {}
    for fault in faults:
        if fault.branches:
            unions.setdefault(fault.path[: fault.branches[0][0]], []).append(fault)
        else:
            yield fault
    for path, members in unions.items():
        yield from _best(path, members, tree)


def _best(path: Path, faults: Sequence[_Fault], tree: object) -> Iterator[_Fault]:
    by_member: dict[str, list[_Fault]] = {}
    for fault in faults:
        inner = replace(fault, branches=fault.branches[1:])
        by_member.setdefault(fault.branches[0][1], []).append(inner)
    right_kind = [member for member in by_member.values() if not _is_other_kind(path, member)]
    if right_kind:
        yield from _chosen(min(right_kind, key=len), tree)
        return
    kinds = dict.fromkeys(_expected(fault) for member in by_member.values() for fault in member)
    yield _Fault(path, (), "kinds", {"kinds": tuple(kinds)}, "")


def _is_other_kind(path: Path, faults: Sequence[_Fault]) -> bool:
    return all(fault.path == path and (fault.type in _KINDS or fault.type in _CHOICES) for fault in faults)


def _expected(fault: _Fault) -> str:
    return str(fault.context["expected"]) if fault.type in _CHOICES else _KINDS[fault.type]


def _words(fault: _Fault, model: type[BaseModel], tree: object) -> tuple[str, str]:
    """Message and hint."""
    if fault.type == "missing":
        return "this key is required and is not there", ""
    if fault.type == "extra_forbidden":
        return "unknown key", _did_you_mean(fault.path, model, tree)
    if fault.type in _CHOICES:
        return _not(f"must be {fault.context['expected']}", fault.path, tree), _nearest_choice(fault, tree)
    if fault.type == "kinds":
        return _not(f"must be {_or(fault.context['kinds'])}", fault.path, tree), ""
    if fault.type in _KINDS:
        return _not(f"must be {_KINDS[fault.type]}", fault.path, tree), _quoting(fault, tree)
    if fault.type in _SENTENCES:
        return _not_plain(
            _SENTENCES[fault.type].format(**_plain_numbers(fault.context)), fault.path, tree
        ), ""
    if fault.type == "value_error" and "error" in fault.context:
        return _not_plain(str(fault.context["error"]), fault.path, tree), ""
    return fault.text[:1].lower() + fault.text[1:], ""


def _plain_numbers(context: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with 3 for 3.0."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in context.items()
    }


def _or(kinds: Iterable[str]) -> str:
    return " or ".join(kinds)


def _not(demand: str, path: Path, tree: object) -> str:
    shown = _shown(path, tree)
    return f"{demand}, not {shown}" if shown else demand


def _not_plain(demand: str, path: Path, tree: object) -> str:
    """The demand; with the value, where that is no list or mapping, whose kind was right."""
    return demand if isinstance(_at(path, tree), dict | list | None) else _not(demand, path, tree)


def _shown(path: Path, tree: object) -> str:
    """The value at ``path`` for a message; empty when it is long, has parts, or may be a secret."""
    value = _at(path, tree)
    if value is None:
        return "empty"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if any(word in str(step).lower() for step in path for word in _SECRET_WORDS):
        return ""
    text = json.dumps(value, ensure_ascii=False)
    has_password = "://" in text and "@" in text
    return text if len(text) <= MAX_SHOWN_CHARS and not has_password else ""


def _quoting(fault: _Fault, tree: object) -> str:
    is_plain = isinstance(_at(fault.path, tree), bool | int | float)
    return "put it in quotes" if fault.type == "string_type" and is_plain else ""


def _nearest_choice(fault: _Fault, tree: object) -> str:
    value = _at(fault.path, tree)
    choices = [part.strip(" '") for part in str(fault.context["expected"]).replace(" or ", ",").split(",")]
    return _suggestion(value, choices) if isinstance(value, str) else ""


def _did_you_mean(path: Path, model: type[BaseModel], tree: object) -> str:
    fields = sorted(_fields(path[:-1], model))
    return _suggestion(str(path[-1]), fields) or (f"known here: {', '.join(fields)}" if fields else "")


def _suggestion(word: str, choices: Sequence[str]) -> str:
    near = _near(word, choices)
    return f'did you mean "{near}"?' if near else ""


def _near(word: str, choices: Sequence[str]) -> str | None:
    plain = {choice.lower().replace("-", "_"): choice for choice in choices}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), plain, n=1)
    return plain[near[0]] if near else None


def _renames(faults: Sequence[_Fault], model: type[BaseModel], tree: object) -> Iterator[Path]:
    for fault in faults:
        if fault.type == "extra_forbidden":
            near = _near(str(fault.path[-1]), sorted(_fields(fault.path[:-1], model)))
            if near:
                yield (*fault.path[:-1], near)


def _at(path: Path, tree: Any) -> Any:
    for step in path:
        if isinstance(tree, dict):
            tree = tree.get(step)
        else:
            tree = (
                tree[step] if isinstance(tree, list) and isinstance(step, int) and step < len(tree) else None
            )
    return tree


def _fields(path: Path, model: type[BaseModel]) -> set[str]:
    """The keys that the models at ``path`` know."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return {
        field.alias or name
        for kind in kinds
        for member in _members(kind)
        if isinstance(member, type) and issubclass(member, BaseModel)
        for name, field in member.model_fields.items()
    }


def _members(kind: Any) -> Iterator[Any]:
    """The kinds that a value of an annotation may be of: unions and ``Annotated`` are looked through."""
    if get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _members(member)
    elif get_origin(kind) is not Literal:
        yield kind


def _inside(kind: Any, step: str | int) -> Iterator[Any]:
    """The annotations of what is found at ``step`` in a value of that kind."""
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, BaseModel):
            yield from (
                field.annotation for name, field in member.model_fields.items() if step in (name, field.alias)
            )
        elif get_args(member):
            yield get_args(member)[-1 if isinstance(step, str) else 0]
