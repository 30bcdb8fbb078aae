"""The lines of a bench's file: completions, and what only a bench knows of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import CompletionsError
from ..completion import Completion
from ..completions_file import read_rows, row_of
from .load import Asked


def line_of(asked: Asked, identity: str) -> dict[str, Any]:
    """The line of a request in the bench's file: a completion, and what only a bench knows of it."""
    ask = asked.ask
    row = row_of(asked.completion, f"{ask.target}/{ask.round}", ask.target)
    return row | {"bench": identity, "queued_s": round(asked.queued_s, 6)}


def read_lines(path: Path, identity: str) -> Iterator[tuple[str, Completion, float]]:
    """Target, completion and ``queued_s`` of each line of a bench's file.

    Raises CompletionsError when a line is none of a bench with this identity.
    """
    for number, (row, completion) in enumerate(read_rows(path), start=1):
        target, queued_s = row.get("target"), row.get("queued_s", 0.0)
        if row.get("bench") != identity:
            raise CompletionsError(
                f"{path}: answer {number} is of a bench with other prompts, targets, parameters, rate, concurrency or "
                "seed; go on with the same ones (only --requests may differ), or write to another file"
            )
        if not isinstance(target, str) or not isinstance(queued_s, int | float):
            raise CompletionsError(f"{path}: answer {number} has no target, or a queued_s that is no number")
        yield target, completion, float(queued_s)
