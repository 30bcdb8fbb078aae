"""Found canaries as the text of a suite: a new one, or more lines of one that is there."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..document import DocumentError
from ..suite import load_suite
from .search import Search, canary_of
from .ties import Tie

LAST_KEY = re.compile(r"^([A-Za-z_]\w*):", re.MULTILINE)
ENTRY = re.compile(r"^( *)- ", re.MULTILINE)


def system_of(path: Path) -> str | None:
    """The ``system`` of a suite that is there: who adds canaries to it must ask them with it."""
    if not path.exists():
        return None
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    system = tree.get("system") if isinstance(tree, dict) else None
    return system if isinstance(system, str) else None


def new_suite(name: str, ties: Sequence[Tie], wanted: Search, *, logprobs: bool, samples: int) -> str:
    """A whole suite of the ties."""
    head = (
        "# Borderline canaries: their answers are near ties of this target, so that a small change of the model moves "
        "them.\n# Another target has other ties: look for its own.\n"
    )
    entries = "".join(_entry(tie, wanted, "  ", logprobs=logprobs, samples=samples) for tie in ties)
    return f"{head}name: {name}\n\ncanaries:\n{entries}"


def longer_suite(
    path: Path, ties: Sequence[Tie], wanted: Search, env: Mapping[str, str], *, logprobs: bool, samples: int
) -> tuple[str, int]:
    """The text of the suite at ``path`` with the ties added, and how many of them were not in it before.

    Raises ValueError when its text cannot be made longer without being written anew.
    """
    before = load_suite(path, env)
    known = {canary.id for canary in before.canaries}
    new = [tie for tie in ties if _id(tie, wanted) not in known]
    text = path.read_text(encoding="utf-8")
    keys = LAST_KEY.findall(text)
    if not keys or keys[-1] != "canaries":
        raise ValueError("`canaries` must be its last key, for more to be added below")
    entries = ENTRY.findall(text[text.rindex("\ncanaries:") if "\ncanaries:" in text else 0 :])
    if not entries:
        raise ValueError("its `canaries` must stand below each other, each beginning with `- `")
    indent = entries[0]
    added = "".join(_entry(tie, wanted, indent, logprobs=logprobs, samples=samples) for tie in new)
    return f"{text.rstrip()}\n{added}" if new else text, len(new)


def write_suite(path: Path, text: str, count: int, env: Mapping[str, str]) -> None:
    """Put the text at ``path`` if it can be read as a suite of so many canaries; else raise ValueError."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    try:
        found = load_suite(beside, env)
        if len(found.canaries) != count:
            raise ValueError("its text cannot be made longer without being written anew")
        beside.replace(path)
    except DocumentError as error:
        raise ValueError("its text cannot be made longer without being written anew") from error
    finally:
        beside.unlink(missing_ok=True)


def _id(tie: Tie, wanted: Search) -> str:
    return canary_of(tie.prompt, wanted, logprobs=False).id


def _entry(tie: Tie, wanted: Search, indent: str, *, logprobs: bool, samples: int) -> str:
    shown = ", ".join(f"{json.dumps(text, ensure_ascii=False)} {count}" for text, count in tie.counts[:3])
    fields: dict[str, Any] = {
        "prompt": tie.prompt,
        "samples": samples,
        "parameters": wanted.parameters(logprobs=logprobs),
    }
    # JSON is YAML, and quotes whatever a prompt may hold; `${` would be read as a variable of the environment.
    lines = [
        f"{name}: {json.dumps(value, ensure_ascii=False).replace('${', '$${')}"
        for name, value in fields.items()
    ]
    body = "".join(f"{indent}  {line}\n" for line in lines)
    return f"{indent}- id: {_id(tie, wanted)}  # {shown}\n{body}"
