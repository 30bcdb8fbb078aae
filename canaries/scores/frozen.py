"""The scores of a suite on a target, frozen on the train runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import median, pstdev
from typing import Any

from ..features import RunFeatures
from ..surprise import Answers, Vocabulary, sum_counts, tokens_of
from .canary import BAGS, FrozenCanary
from .distance import divergence
from .measures import mean
from .names import (
    BULK_PARTS,
    CANARY_PREFIX,
    CANARY_SENTENCE,
    DIVERGENCE,
    LAYOUT_SURPRISE,
    LENGTH,
    LENGTH_SPREAD,
    LOGPROB_SHIFT,
    SENTENCES,
    SHARE_BULK,
    SHARE_CANARIES,
    SHARE_PEAK,
    SHARE_TICKETS_ONLY,
    SUITE_PEAK,
    SUITE_SURPRISE,
    SURPRISE_SPREAD,
    TICKETS_ONLY,
    VALIDATOR_FAILURES,
    WORDY_ONLY,
)

PRESENT_SHARE_MIN = 0.8
"""A score over the suite needs this share of the canaries; the missing ones are filled in."""

WHOLE_RUN_ONLY = (DIVERGENCE, SURPRISE_SPREAD, LENGTH_SPREAD, VALIDATOR_FAILURES)
"""What is measured over all answers of a run together, and says something else of a run that lacks a canary."""

WORDY_LENGTH_MIN = 3.0
"""From this mean length on, in tokens, a suite's answers are looked at as texts."""

Present = Sequence[tuple[FrozenCanary, Answers]]
"""The canaries that a run has answers of, with these."""


@dataclass(frozen=True, slots=True)
class FrozenScores:
    """The scores of a suite on a target, as functions of a run; made by ``fit``.

    A score exists when the train runs had what it needs: log-probabilities, expectations, times. One that was the same
    in all train runs exists, too, and gets its share: no refusals, no answer cut off, ever, is the baseline against
    which the first ones stand out the most. Until then its runs are ties, and its bets those of a coin.
    """

    canaries: tuple[FrozenCanary, ...]
    has_checks: bool
    _words: Vocabulary = field(init=False, repr=False, compare=False)
    _bulk: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _tickets_only: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", self.canaries[0].text.vocabulary)
        object.__setattr__(self, "_bulk", tuple(name for name in BULK_PARTS if self._exists(name)))
        object.__setattr__(self, "_tickets_only", tuple(name for name in TICKETS_ONLY if self._exists(name)))

    def _exists(self, name: str) -> bool:
        if name in WORDY_ONLY and self._usual_length() < WORDY_LENGTH_MIN:
            return False
        if name == SUITE_SURPRISE:  # where all answers are new, one more new answer tells nothing
            return not all(canary.is_text for canary in self.canaries)
        if name == VALIDATOR_FAILURES:
            return self.has_checks
        if name in (DIVERGENCE, SURPRISE_SPREAD):
            return True
        if name == LENGTH_SPREAD:
            return sum(canary.answers.samples for canary in self.canaries) > 1
        if (
            name == LAYOUT_SURPRISE
        ):  # labels beside texts have no layout, and do not take away that of the texts
            return bool(self._taking_part(name))
        return len(self._taking_part(name)) >= PRESENT_SHARE_MIN * len(self.canaries)

    def _usual_length(self) -> float:
        return mean([canary.spreads[LENGTH].mean for canary in self.canaries])

    def _taking_part(self, name: str) -> list[FrozenCanary]:
        if name == LOGPROB_SHIFT:
            return [canary for canary in self.canaries if canary.logprobs]
        return [canary for canary in self.canaries if name in canary.spreads]

    def names(self) -> tuple[str, ...]:
        """The scores that exist in this baseline, in the order to show them."""
        return tuple(self.weights())

    def tickets_only(self) -> frozenset[str]:
        """The scores that open tickets and never page."""
        return frozenset(self._tickets_only)

    def weights(self) -> dict[str, float]:
        """Each score's share of what the target may spend; they sum to 1."""
        tickets = dict.fromkeys(self._tickets_only, SHARE_TICKETS_ONLY)
        rest = 1 - sum(tickets.values())
        part = rest * SHARE_BULK / sum(BULK_PARTS[name] for name in self._bulk)
        shares = {name: part * BULK_PARTS[name] for name in self._bulk} | {SUITE_PEAK: rest * SHARE_PEAK}
        own = rest * SHARE_CANARIES / len(self.canaries)
        return shares | tickets | {CANARY_PREFIX + canary.id: own for canary in self.canaries}

    def describe(self) -> dict[str, str]:
        """What each score tells, for people: the end of a sentence that begins with its name."""
        own = {
            CANARY_PREFIX + c.id: CANARY_SENTENCE.format(what="words" if c.is_text else "answers")
            for c in self.canaries
        }
        sentences = {**SENTENCES, **own}
        return {name: sentences[name] for name in self.names()}

    def score(self, run: RunFeatures) -> dict[str, float]:
        """The scores of ``run``. A score is left out when the run lacks what it needs."""
        present = self._present(run)
        own = [(canary, canary.surprise(answers)) for canary, answers in present]
        scores: dict[str, float] = {}
        if self._are_enough(present):
            found = {name: self._suite_score(name, present) for name in (*self._bulk, *self._tickets_only)}
            scores = {name: value for name, value in found.items() if value is not None}
            scores[SUITE_PEAK] = self._peak(own)
        return scores | {CANARY_PREFIX + canary.id: value for canary, value in own}

    def suite_score(self, name: str, run: RunFeatures) -> float | None:
        """One score over the suite, as ``score`` gives it; ``None`` when the run lacks what it needs."""
        present = self._present(run)
        return self._suite_score(name, present) if self._are_enough(present) else None

    def _present(self, run: RunFeatures) -> Present:
        answered = run.answered()
        return [(canary, answered[canary.id]) for canary in self.canaries if canary.id in answered]

    def _are_enough(self, present: Present) -> bool:
        return len(present) >= max(1, PRESENT_SHARE_MIN * len(self.canaries))

    def _suite_score(self, name: str, present: Present) -> float | None:
        if name == SUITE_SURPRISE:
            return self._suite_surprise(present)
        if name == LOGPROB_SHIFT:
            return self._logprob_shift(present)
        if name in WHOLE_RUN_ONLY:
            return self._of_whole_run(name, present) if len(present) == len(self.canaries) else None
        taking_part = self._taking_part(name)
        values = {c.id: c.standardised(name, answers) for c, answers in present if name in c.spreads}
        if sum(value is not None for value in values.values()) < PRESENT_SHARE_MIN * len(taking_part):
            return None
        found = []
        for canary in taking_part:
            value = values.get(canary.id)
            # A missing canary counts as it usually is: left out, it would move even a score that never moved.
            found.append(canary.usual(name) if value is None else value)
        # One slow answer says nothing of a service; one odd answer may say all of a model.
        return median(found) if name in TICKETS_ONLY else mean(found)

    def _logprob_shift(self, present: Present) -> float | None:
        shifts = [
            shift for c, answers in present if c.logprobs and (shift := c.logprobs(answers)) is not None
        ]
        needed = PRESENT_SHARE_MIN * len(self._taking_part(LOGPROB_SHIFT))
        return mean(shifts) if shifts and len(shifts) >= needed else None

    def _suite_surprise(self, present: Present) -> float:
        values = [(canary.spreads[SUITE_SURPRISE], canary.answers(answers)) for canary, answers in present]
        total = sum(value for _, value in values)
        if len(present) == len(self.canaries):
            return total
        # A missing canary is as surprising as the others are today.
        shift = mean([spread.standardised(value) for spread, value in values])
        there = {canary.id for canary, _ in present}
        missing = [canary.spreads[SUITE_SURPRISE] for canary in self.canaries if canary.id not in there]
        return total + sum(spread.mean + spread.sd * shift for spread in missing)

    def _of_whole_run(self, name: str, present: Present) -> float | None:
        if name == DIVERGENCE:
            return self._divergence(present)
        if name == SURPRISE_SPREAD:
            return _surprise_spread(present)
        answers = [answer for _, own in present for answer in own]
        return _length_spread(answers) if name == LENGTH_SPREAD else _failing_share(answers)

    def _divergence(self, present: Present) -> float:
        bag = tokens_of(a for _, answers in present for a in answers)
        return divergence(bag, self._words.counts, self._words.total)

    def _peak(self, own: Sequence[tuple[FrozenCanary, float]]) -> float:
        shifts = [canary.surprise_spread.standardised(value) for canary, value in own]
        missing = len(self.canaries) - len(own)
        shifts += [mean(shifts)] * missing
        return sum(shift * shift for shift in shifts if shift > 0)

    def to_plain(self) -> dict[str, Any]:
        """The scores as values that JSON can hold."""
        return {"has_checks": self.has_checks, "canaries": [canary.to_plain() for canary in self.canaries]}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "FrozenScores":
        """The scores that ``to_plain`` gave."""
        words = Vocabulary(sum_counts(canary["words"] for canary in plain["canaries"]))
        others = {
            name: Vocabulary(sum_counts(canary[name][1] for canary in plain["canaries"] if canary[name]))
            for name in BAGS
        }
        canaries = tuple(FrozenCanary.from_plain(canary, words, others) for canary in plain["canaries"])
        return cls(canaries, plain["has_checks"])

    def to_json(self) -> str:
        """The scores as JSON that ``from_json`` reads back exactly, to the last bit of each number."""
        return json.dumps(self.to_plain(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "FrozenScores":
        """The scores that ``to_json`` wrote."""
        return cls.from_plain(json.loads(text))


def _surprise_spread(present: Present) -> float:
    """The standard deviation of the words' surprise over the whole run, each by the usual words of its canary.

    Cutting off the unlikely tokens, a higher temperature or coarser weights change the tail of what a model says
    before they change the rest, and all canaries alike: so the words of all are one sample.
    """
    moments = [c.text.moments([a.token_counts for a in answers], len(answers)) for c, answers in present]
    total, first, second = (sum(column) for column in zip(*moments, strict=True))
    return sqrt(max(0.0, second / total - (first / total) ** 2))


def _length_spread(answers: Answers) -> float | None:
    return pstdev([float(answer.length) for answer in answers]) if len(answers) > 1 else None


def _failing_share(answers: Answers) -> float | None:
    checked = [answer for answer in answers if answer.checks]
    return mean([not all(answer.checks.values()) for answer in checked]) if checked else None
