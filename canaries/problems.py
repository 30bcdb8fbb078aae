"""What is wrong with a document, in words and with its place, and how a validator says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from . import CanaryError

Path = tuple[str | int, ...]
"""The way to a value in a document: keys and list positions."""

MAX_PROBLEMS_SHOWN = 50
"""How many problems the text of a DocumentError lists; ``problems`` holds all of them."""

PLACED = "placed"
"""The type of the pydantic error that ``placed`` makes."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a document. Sorts by place; ``line`` and ``column`` count from 1."""

    source: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        subject = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.source}:{self.line}:{self.column}  {subject}{self.message}{hint}"


class DocumentError(CanaryError):
    """A document cannot be used; the text lists its problems, each with its place, and holds no secret."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        lines = [str(problem) for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        if len(self.problems) > MAX_PROBLEMS_SHOWN:
            lines.append(f"and {len(self.problems) - MAX_PROBLEMS_SHOWN} problems more")
        super().__init__("\n".join(lines))


def placed(faults: Iterable[tuple[Path, str]]) -> PydanticCustomError:
    """An error for a validator to raise about parts of its value: each fault has its path below it."""
    return PydanticCustomError(PLACED, "has faults inside", {"faults": tuple(faults)})


def written(path: Path) -> str:
    """The path as people write it: ``canaries[2].expect.matches``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
