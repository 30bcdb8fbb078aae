"""A YAML document to a pydantic model, or all that is wrong with it at once, each problem with its place.

``${NAME}`` in a text value stands for an environment variable, ``$${`` for a plain ``${``. Keys are taken as
they are.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .duration import Duration, parse_duration
from .model_problems import problems_of
from .problems import DocumentError, Path, Problem, placed, written
from .tree import Places, Reader

__all__ = [
    "Check",
    "DocumentError",
    "Duration",
    "Path",
    "Places",
    "Problem",
    "load_document",
    "load_document_with_places",
    "parse_duration",
    "placed",
    "written",
]

M = TypeVar("M", bound=BaseModel)

Check = Callable[[Any, Places], Iterable[Problem]]
"""Finds problems that a model cannot see in one value, such as a name that is defined nowhere.

It gets the plain tree, whatever state that is in, so that its problems are reported together with all others.
"""


def load_document(text: str, source: str, model: type[M], env: Mapping[str, str]) -> M:
    """The document as ``model``. Raises DocumentError with every problem; ``source`` names the file."""
    return load_document_with_places(text, source, model, env)[0]


def load_document_with_places(
    text: str, source: str, model: type[M], env: Mapping[str, str], check: Check | None = None
) -> tuple[M, Places]:
    """The document as ``model``, and the places of its values. Raises DocumentError with every problem."""
    reader = Reader(source, env)
    tree = reader.read(text)
    if not reader.is_readable:
        raise DocumentError(reader.problems)
    tree = {} if tree is None else tree
    problems = list(reader.problems)
    value, faults = _validated(model, tree)
    if faults is not None:
        found = problems_of(faults, model, tree, reader.places)
        # What could not be read needs no second problem about its shape.
        problems += [problem for path, problem in found if not reader.is_faulty(path)]
    if check is not None:
        problems += check(tree, reader.places)
    if problems or value is None:
        raise DocumentError(problems)
    return value, reader.places


def _validated(model: type[M], tree: object) -> tuple[M | None, ValidationError | None]:
    # Returned, not raised on: the error holds the values, and would hang on ours as its context.
    try:
        return model.model_validate(tree), None
    except ValidationError as error:
        return None, error
