"""The scores of a run: numbers from functions that are frozen on the train runs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from math import sqrt
from typing import Any

from . import BaselineError
from .features import RunFeatures
from .surprise import (
    Answers,
    AnswerSurprise,
    LogprobShift,
    RestOfSuite,
    Spread,
    TextSurprise,
    Vocabulary,
    answer_surprise_left_out,
    sum_counts,
    text_surprise_left_out,
    tokens_of,
)

SUITE_SURPRISE = "suite_surprise"
SUITE_PEAK = "suite_peak"
TOKEN_SURPRISE = "token_surprise"  # noqa: S105 - a score's name
LOGPROB_SHIFT = "logprob_shift"
LENGTH = "length"
VALIDATOR_FAILURES = "validator_failures"
CANARY_PREFIX = "canary:"

SHARE_BULK, SHARE_PEAK, SHARE_CANARIES = 0.5, 0.25, 0.25
"""Inner shares of the page budget: many canaries move a little, few move much, exactly one moves."""

PRESENT_SHARE_MIN = 0.8
"""A score over the suite needs this share of the canaries; the missing ones are filled in."""

TEXT_SHARE_MIN = 0.5
"""Above this share of distinct train answers a canary is a text: its answers hardly come twice."""

TRAIN_RUNS_MIN = 4
"""A canary that fewer train runs answered is not scored; so are suites with fewer train runs."""

_SENTENCES = {
    SUITE_SURPRISE: "how rare the answers are among those of the baseline, summed over the canaries",
    SUITE_PEAK: "how far single canaries are above their usual surprise, the farthest counting most",
    TOKEN_SURPRISE: "how rare the words of the answers are among those of the baseline, over all canaries",
    LOGPROB_SHIFT: "how far the log-probabilities of the first token are from those of the baseline",
    LENGTH: "how long the answers are, compared with those of the baseline",
    VALIDATOR_FAILURES: "the share of answers that break an expectation",
}
_CANARY_SENTENCE = "how rare this canary's {what} are among those of the baseline"


@dataclass(frozen=True, slots=True)
class FrozenCanary:
    """What the train runs say about one canary."""

    id: str
    is_text: bool
    answers: AnswerSurprise
    text: TextSurprise
    answers_spread: Spread
    text_spread: Spread
    length_spread: Spread
    logprobs: LogprobShift | None

    def surprise(self, answers: Answers) -> float:
        """The canary's own score: the surprise of its tokens for a text, else that of its whole answers."""
        return self.text(answers) if self.is_text else self.answers(answers)

    @property
    def surprise_spread(self) -> Spread:
        """The usual values of ``surprise``."""
        return self.text_spread if self.is_text else self.answers_spread


Present = Sequence[tuple[FrozenCanary, Answers]]
"""The canaries that a run has answers of, with these."""


@dataclass(frozen=True, slots=True)
class FrozenScores:
    """The scores of a suite on a target, as functions of a run; made by ``fit``."""

    canaries: tuple[FrozenCanary, ...]
    vocabulary: Vocabulary
    has_checks: bool
    _bulk: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exists = {
            # Where all answers are new, one more new answer tells nothing.
            SUITE_SURPRISE: not all(canary.is_text for canary in self.canaries),
            TOKEN_SURPRISE: True,
            LOGPROB_SHIFT: len(self._with_logprobs()) >= PRESENT_SHARE_MIN * len(self.canaries),
            LENGTH: True,
            VALIDATOR_FAILURES: self.has_checks,
        }
        object.__setattr__(self, "_bulk", tuple(name for name, does_exist in exists.items() if does_exist))

    def names(self) -> tuple[str, ...]:
        """The scores that exist in this baseline, in the order to show them."""
        return tuple(self.weights())

    def weights(self) -> dict[str, float]:
        """Each score's share of what the target may spend; they sum to 1."""
        shares = dict.fromkeys(self._bulk, SHARE_BULK / len(self._bulk)) | {SUITE_PEAK: SHARE_PEAK}
        return shares | {CANARY_PREFIX + c.id: SHARE_CANARIES / len(self.canaries) for c in self.canaries}

    def describe(self) -> dict[str, str]:
        """What each score tells, for people: the end of a sentence that begins with its name."""
        own = {
            CANARY_PREFIX + c.id: _CANARY_SENTENCE.format(what="words" if c.is_text else "answers")
            for c in self.canaries
        }
        sentences = _SENTENCES | own
        return {name: sentences[name] for name in self.names()}

    def score(self, run: RunFeatures) -> dict[str, float]:
        """The scores of ``run``. A score is left out when the run lacks what it needs."""
        answered = run.answered()
        present = [(canary, answered[canary.id]) for canary in self.canaries if canary.id in answered]
        own = [(canary, canary.surprise(answers)) for canary, answers in present]
        scores: dict[str, float] = {}
        if present and len(present) >= PRESENT_SHARE_MIN * len(self.canaries):
            scores = self._bulk_scores(present) | {SUITE_PEAK: self._peak(own)}
        return scores | {CANARY_PREFIX + canary.id: value for canary, value in own}

    def _with_logprobs(self) -> list[FrozenCanary]:
        return [canary for canary in self.canaries if canary.logprobs]

    def _bulk_scores(self, present: Present) -> dict[str, float]:
        values: dict[str, float | None] = {
            SUITE_SURPRISE: self._suite_surprise(present),
            TOKEN_SURPRISE: _mean([c.text_spread.standardised(c.text(answers)) for c, answers in present]),
            LOGPROB_SHIFT: self._logprob_shift(present),
            LENGTH: _mean([c.length_spread.standardised(_length(answers)) for c, answers in present]),
            VALIDATOR_FAILURES: _failing_share([a for _, answers in present for a in answers if a.checks]),
        }
        return {name: value for name in self._bulk if (value := values[name]) is not None}

    def _suite_surprise(self, present: Present) -> float:
        values = [(canary.answers_spread, canary.answers(answers)) for canary, answers in present]
        total = sum(value for _, value in values)
        if len(present) == len(self.canaries):
            return total
        # A missing canary is as surprising as the others are today.
        shift = _mean([spread.standardised(value) for spread, value in values])
        there = {canary.id for canary, _ in present}
        missing = [canary.answers_spread for canary in self.canaries if canary.id not in there]
        return total + sum(spread.mean + spread.sd * shift for spread in missing)

    def _peak(self, own: Sequence[tuple[FrozenCanary, float]]) -> float:
        shifts = [canary.surprise_spread.standardised(value) for canary, value in own]
        missing = len(self.canaries) - len(own)
        shifts += [_mean(shifts)] * missing
        return sum(shift * shift for shift in shifts if shift > 0)

    def _logprob_shift(self, present: Present) -> float | None:
        shifts = [
            shift for c, answers in present if c.logprobs and (shift := c.logprobs(answers)) is not None
        ]
        needed = PRESENT_SHARE_MIN * len(self._with_logprobs())
        return _mean(shifts) if shifts and len(shifts) >= needed else None

    def to_plain(self) -> dict[str, Any]:
        """The scores as values that JSON can hold."""
        return {
            "has_checks": self.has_checks,
            "vocabulary": self.vocabulary.counts,
            "canaries": [_canary_to_plain(canary) for canary in self.canaries],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "FrozenScores":
        """The scores that ``to_plain`` gave."""
        vocabulary = Vocabulary(plain["vocabulary"])
        canaries = tuple(_canary_from_plain(canary, vocabulary) for canary in plain["canaries"])
        return cls(canaries, vocabulary, plain["has_checks"])

    def to_json(self) -> str:
        """The scores as JSON that ``from_json`` reads back exactly, to the last bit of each number."""
        return json.dumps(self.to_plain(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "FrozenScores":
        """The scores that ``to_json`` wrote."""
        return cls.from_plain(json.loads(text))


def _canary_to_plain(canary: FrozenCanary) -> dict[str, Any]:
    logprobs = canary.logprobs
    return {
        "id": canary.id,
        "is_text": canary.is_text,
        "samples": canary.answers.samples,
        "answers": canary.answers.counts,
        "scale": canary.text.scale,
        "words": canary.text.counts,
        "answers_spread": astuple(canary.answers_spread),
        "text_spread": astuple(canary.text_spread),
        "length_spread": astuple(canary.length_spread),
        "logprobs": {token: astuple(spread) for token, spread in logprobs.tokens.items()}
        if logprobs
        else None,
    }


def _canary_from_plain(plain: Mapping[str, Any], vocabulary: Vocabulary) -> FrozenCanary:
    logprobs = plain["logprobs"]
    return FrozenCanary(
        id=plain["id"],
        is_text=plain["is_text"],
        answers=AnswerSurprise(plain["samples"], plain["answers"]),
        text=TextSurprise(plain["scale"], plain["words"], vocabulary),
        answers_spread=Spread(*plain["answers_spread"]),
        text_spread=Spread(*plain["text_spread"]),
        length_spread=Spread(*plain["length_spread"]),
        logprobs=LogprobShift({t: Spread(*spread) for t, spread in logprobs.items()}) if logprobs else None,
    )


def expected_samples(runs: Sequence[RunFeatures]) -> dict[str, int]:
    """The samples of each canary in a full run, judged by the ``runs``: for streams without a suite."""
    counts = [Counter(answer.canary for answer in run.answers) for run in runs]
    most: Counter[str] = Counter()
    for count in counts:
        most |= count
    return dict(sorted(most.items()))


def fit(train: Sequence[RunFeatures], expected: Mapping[str, int]) -> FrozenScores:
    """The scores frozen on the ``train`` runs; ``expected`` gives the samples per run of each canary.

    The usual values of a surprise are those of each train run under the other ones: a run's own answers among
    the counts would make it look more usual than any later run can be. Raises BaselineError when no canary
    was answered often enough.
    """
    runs = [run.answered() for run in train]
    runs_needed = max(TRAIN_RUNS_MIN, len(runs) / 2)
    ids = [canary for canary in sorted(expected) if sum(canary in run for run in runs) >= runs_needed]
    if not ids:
        raise BaselineError(
            f"none of the {len(expected)} canaries was answered in half of the {len(runs)} train runs and in "
            f"{TRAIN_RUNS_MIN} at least: look at the errors of the runs, then collect again"
        )
    words = [tokens_of(answer for canary in ids for answer in run.get(canary, ())) for run in runs]
    vocabulary = Vocabulary(sum_counts(words))
    rests = [RestOfSuite(vocabulary, run_words) for run_words in words]
    canaries = []
    for canary in ids:
        rows = [(run[canary], rest) for run, rest in zip(runs, rests, strict=True) if canary in run]
        canaries.append(_fit_canary(canary, expected[canary], rows, vocabulary))
    has_checks = any(answer.checks for run in runs for canary in ids for answer in run.get(canary, ()))
    return FrozenScores(tuple(canaries), vocabulary, has_checks)


def _fit_canary(
    canary: str, samples: int, rows: Sequence[tuple[Answers, RestOfSuite]], vocabulary: Vocabulary
) -> FrozenCanary:
    runs = [answers for answers, _ in rows]
    everything = [answer for answers in runs for answer in answers]
    answers, words = Counter(answer.answer_hash for answer in everything), tokens_of(everything)
    scale = sqrt(words.total() / len(rows))
    has_logprobs = sum(any(a.first_top for a in answers) for answers in runs) >= PRESENT_SHARE_MIN * len(runs)
    return FrozenCanary(
        id=canary,
        is_text=len(answers) > TEXT_SHARE_MIN * len(everything),
        answers=AnswerSurprise(samples, answers),
        text=TextSurprise(scale, words, vocabulary),
        answers_spread=Spread.of([answer_surprise_left_out(samples, answers, run) for run in runs]),
        text_spread=Spread.of([text_surprise_left_out(scale, words, rest, run) for run, rest in rows]),
        length_spread=Spread.of([_length(run) for run in runs]),
        logprobs=LogprobShift.fit(runs) if has_logprobs else None,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _length(answers: Answers) -> float:
    return sum(answer.length for answer in answers) / len(answers)


def _failing_share(answers: Answers) -> float | None:
    return _mean([not all(answer.checks.values()) for answer in answers]) if answers else None
