"""What is read off a run's answers to one canary, without asking what the baseline's were."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, log1p, sqrt

from ..features import AnswerFeatures
from ..surprise import SPREAD_FLOOR, Answers
from .names import (
    INPUT_TOKENS,
    LATENCY,
    LENGTH,
    MEAN_LOGPROB,
    OUTPUT_TOKENS,
    REFUSALS,
    TTFT,
    UNFINISHED,
    VARIETY,
)

ENDED = frozenset(
    {
        "stop",
        "end_turn",
        "stop_sequence",
        "eos",
        "eos_token",
        "complete",
        "completed",
        "finished",
        "tool_calls",
        "tool_use",
        "function_call",
    }
)
"""Finish reasons of answers that the model ended by itself, as the providers call it."""

SECONDS_MIN = 0.001
"""Shorter times count as this: an answer from a cache is fast, not infinitely so."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity of a run's answers to one canary; ``None`` where it is not known.

    ``floor`` is added to its standard deviation. A share is compared by its difference, not by standard deviations: a
    sum of answers over the canaries is what moves most when all answers become a little likelier to be cut off.
    """

    of: Callable[[Answers], float | None]
    floor: float = SPREAD_FLOOR
    is_share: bool = False


def mean(values: Sequence[float]) -> float:
    """The mean of ``values``, at least one."""
    return sum(values) / len(values)


def _mean_of(read: Callable[[AnswerFeatures], float | None]) -> Callable[[Answers], float | None]:
    def measure(answers: Answers) -> float | None:
        known = [value for answer in answers if (value := read(answer)) is not None]
        return mean(known) if known else None

    return measure


def _variety(answers: Answers) -> float:
    # Different words by the root of all words hardly depends on the length (P. Guiraud, 1954).
    total = sum(answer.length for answer in answers)
    kinds = len({token for answer in answers for token in answer.token_counts})
    return kinds / sqrt(total) if total else 0.0


def _unfinished(answer: AnswerFeatures) -> float | None:
    return None if answer.finish_reason is None else float(answer.finish_reason.lower() not in ENDED)


def _log_seconds(seconds: float | None) -> float | None:
    return None if seconds is None else log(max(seconds, SECONDS_MIN))


MEASURES: Mapping[str, Measure] = {
    LENGTH: Measure(_mean_of(lambda a: float(a.length))),
    VARIETY: Measure(_variety, floor=0.05),
    MEAN_LOGPROB: Measure(_mean_of(lambda a: a.mean_logprob), floor=0.02),
    UNFINISHED: Measure(_mean_of(_unfinished), is_share=True),
    REFUSALS: Measure(_mean_of(lambda a: float(a.refused)), is_share=True),
    INPUT_TOKENS: Measure(_mean_of(lambda a: a.input_tokens)),
    # Ratios, so logarithms: twice as slow is as far for a label as for an essay.
    OUTPUT_TOKENS: Measure(
        _mean_of(lambda a: None if a.output_tokens is None else log1p(a.output_tokens)), floor=0.05
    ),
    LATENCY: Measure(_mean_of(lambda a: _log_seconds(a.latency_s)), floor=0.05),
    TTFT: Measure(_mean_of(lambda a: _log_seconds(a.ttft_s)), floor=0.05),
}
"""The measures by the name of their score, which puts the canaries of a run together."""
