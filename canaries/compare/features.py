"""What is compared of the answers to each canary, whichever side they are on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..completion import Completion
from ..refusals import are_refusals
from ..suite import Expectations, Suite
from ..validators import validate
from . import scores as names
from . import texts
from .pairing import CanaryPair

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]

ENDED = ("stop", "end_turn", "stop_sequence", "eos", "tool_calls", "function_call", "tool_use")
"""Finish reasons of answers that ended by themselves, in lower case."""

SECONDS_MIN = 0.001
"""Shorter times count as this."""

Price = Callable[[Completion], float | None]
"""Dollars for an answer, where known."""


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """The log-probabilities of the likeliest first tokens: a row for each answer, a column for each token.

    ``evaluations`` are the same for answers of one side that share their row to the last digit.
    """

    logprobs: Floats
    evaluations: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class CanaryFeatures:
    """Of the answers to one canary: how alike each two are, numbers of each (NaN where not known), and ``pooled``, what
    they hold in columns that all canaries share."""

    kernels: Mapping[str, Floats]
    numbers: Mapping[str, Numbers]
    pooled: Mapping[str, Floats]
    first_tokens: FirstTokens | None


class Corpus:
    """The answers of both sides, as what is compared of them.

    ``suite`` brings expectations and scrubbers; ``price`` tells the cost of an answer, ``base_price`` that of one of
    the base where it is another.
    """

    def __init__(
        self,
        pairs: Sequence[CanaryPair],
        suite: Suite | None,
        price: Price | None,
        base_price: Price | None = None,
    ) -> None:
        self._pairs, self._price, self._base_price = pairs, price, base_price or price
        self._expected = {canary.id: canary.expectations for canary in suite.canaries} if suite else {}
        scrub = suite.scrub if suite else ()
        self._texts = [[texts.clean(answer.text or "", scrub) for answer in pair.answers] for pair in pairs]
        self._words = texts.number_words([text for own in self._texts for text in own])
        ends = np.cumsum([0, *(len(own) for own in self._texts)])
        self._members = [range(start, end) for start, end in pairwise(ends)]

    @cached_property
    def _rarity(self) -> Numbers:
        return texts.rarity(self._words, self._members)

    def of(self, number: int) -> CanaryFeatures:
        """What is compared of the canary with this ``number``."""
        pair, own = self._pairs[number], self._texts[number]
        words = [self._words.answers[i] for i in self._members[number]]
        trigrams, openings = texts.trigrams(own), texts.openings(words)
        kernels = {
            names.ANSWERS: texts.exact(own),
            names.HAMMING: texts.hamming(own),
            names.TRIGRAMS: trigrams.cosines(),
            names.WORDING: texts.phrases(words).cosines(),
            names.OPENINGS: openings.cosines(),
        }
        numbers = {
            names.RARITY: self._rarity[list(self._members[number])],
            names.VARIETY: np.array([len(set(word.tolist())) / max(1, len(word)) ** 0.5 for word in words]),
            names.LENGTH: np.array([float(len(text)) for text in own]),
            names.REFUSALS: np.array(are_refusals(own), dtype=float),
            **{name: _numbers(pair.answers, measure) for name, measure in MEASURES.items()},
        }
        if expectations := self._expected.get(pair.canary):
            numbers[names.VALIDATORS] = _numbers(pair.answers, lambda answer: _breaks(expectations, answer))
        if self._price is not None and self._base_price is not None:
            numbers[names.COST] = np.concatenate(
                [
                    _numbers(pair.answers[: pair.base], self._base_price),
                    _numbers(pair.answers[pair.base :], self._price),
                ]
            )
        known = {name: values for name, values in numbers.items() if not np.isnan(values).all()}
        pooled = {
            names.VOCABULARY: texts.vocabulary(words).pooled(),
            names.TRIGRAMS: trigrams.pooled(),
            names.OPENINGS: openings.pooled(),
        }
        return CanaryFeatures(kernels, known, pooled, _first_tokens(pair))


MEASURES: Mapping[str, Callable[[Completion], float | None]] = {
    names.UNFINISHED: lambda a: (
        None if a.finish_reason is None else float(a.finish_reason.lower() not in ENDED)
    ),
    names.MEAN_LOGPROB: lambda a: sum(a.logprobs) / len(a.logprobs) if a.logprobs else None,
    names.OUTPUT_TOKENS: lambda a: a.output_tokens,
    names.INPUT_TOKENS: lambda a: a.input_tokens,
    names.LATENCY: lambda a: a.latency_s,
    names.TTFT: lambda a: a.ttft_s,
}
"""What is read off a completion."""


def _numbers(answers: Sequence[Completion], measure: Callable[[Completion], float | None]) -> Numbers:
    return np.array(
        [np.nan if (value := measure(answer)) is None else value for answer in answers], dtype=float
    )


def _breaks(expectations: Expectations, answer: Completion) -> float:
    checks = validate(expectations, answer.text or "", answer.finish_reason, answer.tool_calls)
    return float(not all(check.passed for check in checks))


TIMES = (names.LATENCY, names.TTFT)
"""Of these the logarithms are compared, and the geometric means told: one answer that hangs must not drown the rest."""


def as_compared(name: str, values: Numbers) -> Numbers:
    """The values as they are compared."""
    return np.log(np.maximum(values, SECONDS_MIN)) if name in TIMES else values


def _first_tokens(pair: CanaryPair) -> FirstTokens | None:
    """The first tokens of all answers; ``None`` where an answer lists none."""
    tops = [answer.first_top for answer in pair.answers]
    rows = [dict(top) for top in tops if top]
    if len(rows) < len(tops):
        return None
    columns = {token: column for column, token in enumerate({token: None for row in rows for token in row})}
    logprobs = np.empty((len(rows), len(columns)), dtype=np.float32)
    seen: dict[tuple[bool, object], int] = {}
    evaluations = np.empty(len(rows), dtype=np.intp)
    for i, (row, top) in enumerate(zip(rows, tops, strict=True)):
        # A token that is not listed is at most as likely as the least likely listed one.
        logprobs[i] = min(row.values())
        logprobs[i, [columns[token] for token in row]] = list(row.values())
        evaluations[i] = seen.setdefault((bool(pair.is_current[i]), top), len(seen))
    return FirstTokens(logprobs, evaluations)
