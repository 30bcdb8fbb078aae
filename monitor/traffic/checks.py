"""Whether answers in production are what validators expect: of their texts only passed and failed is kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType

from canaries.suite import Expectations
from canaries.validators import validate

from .calls import Call, FinishReason, Operation
from .config import EvaluationConfig, ValidatorConfig
from .dialects import Report
from .dialects.answer_text import answer_text
from .dialects.evaluations import BEGINNINGS, KEYS, Evaluation, evaluations_of
from .dialects.values import score
from .labels import label_of, usual_verdict
from .otlp import Span
from .sightings import Shape
from .watches.match import MatchConfig, matches
from .windows.series import series_of

EVALUATIONS_MAX = 20
"""How many evaluations of one call are read, beside those that the operator has named an attribute for."""

NAME_MAX = 64
"""Longest name of an evaluation that is kept; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one check of an answer: ``None`` where what is told of it says neither passed nor failed."""

    name: str
    is_passed: bool | None
    value: float | str | None
    """The score or the label, where it was told."""
    source: str
    """What told it."""


@dataclass(frozen=True, slots=True)
class Validator:
    """What is expected of the answers of calls that match."""

    name: str
    match: MatchConfig
    expectations: Expectations


class AnswerChecks:
    """Checks answers in passing."""

    def __init__(
        self,
        validators: Sequence[ValidatorConfig] = (),
        evaluations: Mapping[str, EvaluationConfig] = MappingProxyType({}),
    ) -> None:
        """Take the validators of the configuration, and its lines for the scores of evaluations, by their names."""
        self._lines = evaluations
        self._attributes = [(name, one.attribute) for name, one in evaluations.items() if one.attribute]
        self._validators = [Validator(one.name, one.match, one.expect.expectations()) for one in validators]
        self.keys = KEYS.union(attribute for _, attribute in self._attributes)
        """Attributes that tell of a check: a span with one of them has to be looked at."""
        self.beginnings = BEGINNINGS
        """How the names of others begin that do."""

    def is_wanted(self, shape: Shape) -> bool:
        """Whether a validator is there for answers of calls of this shape."""
        if shape.error or shape.operation is not Operation.CHAT or not self._validators:
            return False
        series = series_of(shape)
        return any(matches(one.match, series) for one in self._validators)

    def of(self, report: Report, span: Span) -> list[tuple[str, bool]]:
        """What became of the checks of the answer that a span carries, by their names."""
        call = self.check(report.call, [span])
        passed = [(name, True) for name in call.checks_passed]
        return passed + [(name, False) for name in call.checks_failed]

    def check(self, call: Call, spans: Sequence[Span]) -> Call:
        """The call with what became of its checks. ``spans`` are those that report it, the most telling first.

        A call that failed has no answer, and one that asks for tools none yet: neither is checked.
        """
        results: dict[str, bool] = {}
        for one in self.told(call, spans):
            if one.is_passed is not None:
                results[one.name] = one.is_passed and results.get(one.name, True)
        if not results:
            return call
        return replace(
            call,
            checks_passed=tuple(name for name, is_passed in results.items() if is_passed),
            checks_failed=tuple(name for name, is_passed in results.items() if not is_passed),
        )

    def told(self, call: Call, spans: Sequence[Span]) -> Iterator[Checked]:
        """The checks of a call's answer, one by one: of those with one name the worst counts."""
        if call.error or call.operation is not Operation.CHAT:
            return
        named = (
            Evaluation(name, {key: span.attributes[key]})
            for span in spans
            for name, key in self._attributes
            if key in span.attributes
        )
        others = islice((one for span in spans for one in evaluations_of(span)), EVALUATIONS_MAX)
        for evaluation in (*named, *others):
            said = self._said(evaluation)
            if said is not None:
                yield said
        for name, is_passed in self._validated(call, spans):
            yield Checked(name, is_passed, None, "the text of the answer")

    def _said(self, evaluation: Evaluation) -> Checked | None:
        """What an evaluation says: the operator's line decides where there is one for its score, else its label."""
        name = evaluation.name[:NAME_MAX]
        line = self._lines.get(name)
        said: list[Checked] = []
        for source, value in evaluation.told.items():
            scored, label = score(value), label_of(value)
            if scored is not None:
                said.append(Checked(name, line.passes(scored) if line else None, scored, source))
            elif label is not None:
                is_passed = line.verdict(label) if line else usual_verdict(label)
                said.append(Checked(name, is_passed, label, source))
        return min(said, key=lambda one: (one.is_passed is None, isinstance(one.value, str)), default=None)

    def _validated(self, call: Call, spans: Sequence[Span]) -> Iterator[tuple[str, bool]]:
        if not self._validators or call.finish_reason is FinishReason.TOOL_CALLS:
            return
        series = series_of(call)
        mine = [one for one in self._validators if matches(one.match, series)]
        # No text is looked for before it is known that somebody wants it.
        answer = (
            next((found for span in spans if (found := answer_text(span)) is not None), None)
            if mine
            else None
        )
        if answer is None:
            return
        for one in mine:
            yield (
                one.name,
                all(check.passed for check in validate(one.expectations, answer, call.finish_reason)),
            )
