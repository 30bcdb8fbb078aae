"""What applications say of the answers that they got: evaluations on the span of the call.

A table for each way of writing them down, and one reader for all of them. What they say is given as it is written:
whether an answer has passed is for others to decide.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..otlp import Span
from .documents import parse
from .values import text

EVENT = "gen_ai.evaluation.result"
"""The event in which an application tells how it judged an answer itself."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of an answer: its name, and what is told of it by the place that tells it.

    A place is written as those of other facts are: an attribute, ``@event > attribute``, ``attribute > name``.
    """

    name: str
    told: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Alone:
    """Attributes that tell one evaluation: the name in one, what came of it in others, the most telling first."""

    name: str
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Attributes whose own names hold that of the evaluation, between a beginning and one of several endings."""

    beginning: str
    endings: tuple[str, ...] = ("",)


# The second names are those from before the convention was settled, and an addition of OpenLIT's.
OPENTELEMETRY = Alone(
    "gen_ai.evaluation.name",
    (
        "gen_ai.evaluation.score.value",
        "gen_ai.evaluation.score.label",
        "gen_ai.evaluation.score",
        "gen_ai.evaluation.label",
        "gen_ai.evaluation.passed",
    ),
)
OPENINFERENCE = Alone("evaluation.name", ("evaluation.score", "evaluation.label"))
ARIZE = Family("eval.", (".score", ".label", ".passed"))
BRAINTRUST = Family("braintrust.scores.")
BRAINTRUST_SCORES = "braintrust.scores"
"""A document with the score of each evaluation by its name."""

_ALONE = (OPENTELEMETRY, OPENINFERENCE)
_FAMILIES = (ARIZE, BRAINTRUST)
_DOCUMENTS = (BRAINTRUST_SCORES,)

KEYS = frozenset((*(key for one in _ALONE for key in (one.name, *one.told)), *_DOCUMENTS))
"""Attributes that tell of an evaluation."""

BEGINNINGS = tuple(one.beginning for one in _FAMILIES)
"""How others begin that do."""


def evaluations_of(span: Span) -> Iterator[Evaluation]:
    """The evaluations that a span tells, each with its name."""
    for event in span.events:
        if event.name == EVENT:
            yield from _alone(OPENTELEMETRY, event.attributes, f"@{EVENT} > ")
    for alone in _ALONE:
        yield from _alone(alone, span.attributes)
    for family in _FAMILIES:
        yield from _family(family, span.attributes)
    for key in _DOCUMENTS:
        document = parse(span.attributes.get(key))
        for name, told in document.items() if isinstance(document, dict) else ():
            yield Evaluation(str(name), {f"{key} > {name}": told})


def _alone(alone: Alone, attributes: Mapping[str, object], above: str = "") -> Iterator[Evaluation]:
    name = text(attributes.get(alone.name))
    told = {above + key: attributes[key] for key in alone.told if key in attributes}
    if name and told:
        yield Evaluation(name, told)


def _family(family: Family, attributes: Mapping[str, object]) -> Iterator[Evaluation]:
    names = {
        key[len(family.beginning) : len(key) - len(ending)]
        for key in attributes
        if key.startswith(family.beginning)
        for ending in family.endings
        if key.endswith(ending)
    }
    # In an order of their own: attributes may come in any.
    for name in sorted(filter(None, names)):
        keys = (family.beginning + name + ending for ending in family.endings)
        yield Evaluation(name, {key: attributes[key] for key in keys if key in attributes})
