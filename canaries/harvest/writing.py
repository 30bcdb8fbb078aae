"""Documents as YAML that our reader gives back exactly: its numbers and variables are not those of other readers."""

import re
from typing import Any

import yaml

WIDTH = 100
"""Where lines end, as far as texts allow it."""

# What is a word in every version of YAML; all other texts are quoted.
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[a-z][a-z_-]*$")


class _Dumper(yaml.SafeDumper):
    """PyYAML's, with lists set in below their keys and no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text or len(text) > WIDTH - 20 else None if _PLAIN.match(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(document: Any) -> str:
    """The document as YAML; texts stay what they are, also where they look like a number or a variable."""
    return yaml.dump(
        _escaped(document), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=WIDTH, indent=2
    )


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    return [_escaped(one) for one in value] if isinstance(value, list | tuple) else value
