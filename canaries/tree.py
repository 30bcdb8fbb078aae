"""YAML text to plain values, with the place of each: strict where YAML is generous.

Scalars follow the core schema of YAML 1.2: only ``true`` and ``false`` are booleans (a label ``no`` stays
text), dates stay text, and there are no custom tags. Keys are always text.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from .problems import Path, Problem, written

MAX_CHARS = 2_000_000
"""The longest document that is read."""

MAX_NODES = 100_000
"""The most values a document may hold, each use of an alias counted: an alias bomb ends here."""

MAX_DEPTH = 60
"""How deep values may be nested."""

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}\n]{0,200})(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST_SECRET = 4
"""A shorter value of a variable is not hidden in messages: hiding every ``1`` would make them unreadable."""

_TAG = "tag:yaml.org,2002:"
_RESOLVED = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"(?:[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400})$"), list("-+0123456789")),
    (
        "float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
        list("-+.0123456789"),
    ),
    ("merge", re.compile(r"<<$"), ["<"]),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser, with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- PyYAML's own class-level table


for _name, _pattern, _first in _RESOLVED:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first)


class Places:
    """Where each value of a document stands, to make a problem of what is found wrong with it later."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._marks: dict[Path, tuple[int, int]] = {(): (1, 1)}
        self._secrets: dict[str, str] = {}

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        """The problem ``message`` at ``path``, or at the nearest place above it that the document has.

        Values that came from the environment are written as the name of their variable.
        """
        known = path
        while known not in self._marks:
            known = known[:-1]
        line, column = self._marks[known]
        return Problem(
            self.source, line, column, written(path), self._redacted(message), self._redacted(hint)
        )

    def mark(self, path: Path, mark: yaml.Mark, *, is_key: bool = False) -> None:
        """Remember the place of ``path``; the place of its key is the better one."""
        if is_key or path not in self._marks:
            self._marks[path] = (mark.line + 1, mark.column + 1)

    def hide(self, value: str, variable: str) -> None:
        """Never show ``value``, which came from ``variable``."""
        if len(value) >= _SHORTEST_SECRET:
            self._secrets[value] = "${" + variable + "}"

    def _redacted(self, text: str) -> str:
        for value in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(value, self._secrets[value])
        return text


class Reader:
    """Reads one document; ``problems`` and ``places`` are filled on the way."""

    def __init__(self, source: str, env: Mapping[str, str]) -> None:
        self.places = Places(source)
        self.problems: list[Problem] = []
        self.is_readable = True
        self._faulty: set[Path] = set()
        self._env = env
        self._nodes = 0

    def read(self, text: str) -> Any:
        """The document as plain dicts, lists and scalars; ``None`` when there is nothing to read."""
        if len(text) > MAX_CHARS:
            self._unreadable(f"the file is longer than {MAX_CHARS:,} characters")
            return None
        node = self._compose(text)
        return None if node is None else self._value(node, ())

    def is_faulty(self, path: Path) -> bool:
        """Whether the value at ``path``, or one around it, could not be read as it was meant."""
        return any(path[:length] in self._faulty for length in range(1, len(path) + 1))

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            loader = _Loader(text)
            return loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            self._syntax(error, text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            column = error.position - text.rfind("\n", 0, error.position)
            self._unreadable(f"the character U+{error.character:04X} is not allowed in YAML", line, column)
        except RecursionError:
            self._unreadable(f"values are nested deeper than {MAX_DEPTH} levels")
        return None

    def _unreadable(self, message: str, line: int = 1, column: int = 1, hint: str = "") -> None:
        self.is_readable = False
        self.problems.append(Problem(self.places.source, line, column, "", message, hint))

    def _syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        context = f" ({error.context})" if error.context else ""
        has_variable = "${" in "".join(text.split("\n")[line - 1 : line])
        hint = 'put quotes around text with "${...}" in it' if has_variable else ""
        self._unreadable(f"not valid YAML: {error.problem or 'cannot be read'}{context}", line, column, hint)

    def _fault(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(self.places.problem(path, message, hint))
        self._faulty.add(path)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        self.places.mark(path, node.start_mark)
        if self._nodes > MAX_NODES:
            if self._nodes == MAX_NODES + 1:
                self._fault(
                    path, f"the document holds more than {MAX_NODES:,} values, aliases counted each time"
                )
            return None
        if len(path) > MAX_DEPTH:
            self._fault(path, f"values are nested deeper than {MAX_DEPTH} levels")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        # Merge keys first, so that the place of a key which the mapping has itself is its own.
        for key_node, value_node in sorted(node.value, key=lambda entry: not _is_merge(entry[0])):
            if _is_merge(key_node):
                merged = {**self._merged(value_node, path), **merged}
            elif isinstance(key_node, yaml.ScalarNode):
                self._entry(own, key_node, value_node, path)
            else:
                self._fault((*path, "?"), "a key must be plain text")
        return {**merged, **own}

    def _entry(
        self, own: dict[str, Any], key_node: yaml.ScalarNode, value_node: yaml.Node, path: Path
    ) -> None:
        key: str = key_node.value
        inner = (*path, key)
        if key in own:
            first = self.places.problem(inner, "").line
            message = f"this key is here twice; the first is on line {first}"
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            self.problems.append(
                Problem(self.places.source, line, column, written(inner), message, "keep one of them")
            )
            return
        self.places.mark(inner, key_node.start_mark, is_key=True)
        own[key] = self._value(value_node, inner)

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """What ``<<: *anchor`` brings in; the first of several anchors wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                merged = {**self._value(part, path), **merged}
            else:
                self._fault((*path, "<<"), "must refer to a mapping")
        return merged

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind = node.tag.removeprefix(_TAG)
        text: str = node.value
        if kind == "str":
            return self._substituted(text, path)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind in ("int", "float"):
            return self._number(kind, text, path)
        self._fault(path, f'the tag "{node.tag.replace(_TAG, "!!")}" has no meaning here', "remove it")
        return None

    def _number(self, kind: str, text: str, path: Path) -> Any:
        try:
            number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if kind == "int" else float(text)
        except ValueError:  # an explicit tag on something else: !!int hello
            self._fault(path, f"is not a number of the kind !!{kind}")
            return None
        if isinstance(number, float) and not math.isfinite(number):
            self._fault(path, "is too large a number")
            return None
        return number

    def _substituted(self, text: str, path: Path) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match[1]
            if not match[2] or not _NAME.fullmatch(name):
                self._fault(
                    path,
                    '"${" must be followed by the name of a variable and "}"',
                    'write "$${" for a plain "${"',
                )
            elif name not in self._env:
                self._fault(
                    path,
                    f"the environment variable {name} is not set",
                    'set it, or write "$${" for a plain "${"',
                )
            else:
                self.places.hide(self._env[name], name)
                return self._env[name]
            return match[0]

        return _VARIABLE.sub(replace, text) if "${" in text else text


def _is_merge(node: yaml.Node) -> bool:
    return bool(node.tag == _TAG + "merge")
