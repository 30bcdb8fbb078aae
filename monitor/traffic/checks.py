"""Whether answers in production are what validators expect: of their texts only passed and failed is kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from canaries.suite import Expectations
from canaries.validators import validate

from .calls import Call, FinishReason, Operation
from .config import EvaluationConfig, ValidatorConfig
from .dialects import Report
from .dialects.answer_text import answer_text
from .dialects.values import score, text
from .otlp import Span
from .sightings import Shape
from .watches.match import MatchConfig, matches
from .windows.series import series_of

EVALUATION = "gen_ai.evaluation.result"
"""The event in which an application tells how it judged an answer itself."""

EVALUATIONS_MAX = 20
"""How many evaluations of one call are read."""

NAME_MAX = 64
"""Longest name of an evaluation that is kept; the rest is cut off."""

_VERDICTS = dict.fromkeys(("pass", "passed", "true", "yes", "ok", "success", "correct", "relevant"), True)
_VERDICTS |= dict.fromkeys(("fail", "failed", "false", "no", "failure", "incorrect", "not_relevant"), False)
"""Labels that say passed or failed. A score says neither, unless the operator has drawn the line."""


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
        self._validators = [Validator(one.name, one.match, one.expect.expectations()) for one in validators]

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
        if call.error or call.operation is not Operation.CHAT:
            return call
        results = dict(self._evaluated(spans))
        for name, is_passed in self._validated(call, spans):
            results[name] = is_passed and results.get(name, True)
        if not results:
            return call
        return replace(
            call,
            checks_passed=tuple(name for name, is_passed in results.items() if is_passed),
            checks_failed=tuple(name for name, is_passed in results.items() if not is_passed),
        )

    def _evaluated(self, spans: Sequence[Span]) -> Iterator[tuple[str, bool]]:
        """What the application says of the answer: of one name the worst."""
        events = [event for span in spans for event in span.events if event.name == EVALUATION]
        results: dict[str, bool] = {}
        for event in events[:EVALUATIONS_MAX]:
            name = (text(event.attributes.get("gen_ai.evaluation.name")) or "")[:NAME_MAX]
            is_passed = self._has_passed(name, event.attributes)
            if name and is_passed is not None:
                results[name] = is_passed and results.get(name, True)
        yield from results.items()

    def _has_passed(self, name: str, told: Mapping[str, object]) -> bool | None:
        """By the operator's line where there is one for the score, else by the label."""
        line, scored = self._lines.get(name), score(told.get("gen_ai.evaluation.score.value"))
        if line is not None and scored is not None:
            return line.passes(scored)
        return _verdict(told.get("gen_ai.evaluation.score.label"))

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


def _verdict(label: object) -> bool | None:
    word = text(label)
    return _VERDICTS.get(word.lower().replace(" ", "_").replace("-", "_")) if word else None
