"""What the train runs say about one canary."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from ..surprise import Answers, AnswerSurprise, BigramSurprise, LogprobShift, Spread, TextSurprise, Vocabulary
from .distance import MeanEmbedding
from .measures import MEASURES
from .names import (
    BIGRAM_SURPRISE,
    NEW_WORDS,
    SUITE_SURPRISE,
    TEXT_DISTANCE,
    TOKEN_SURPRISE,
)


@dataclass(frozen=True, slots=True)
class FrozenCanary:
    """What the train runs say about one canary. ``spreads`` has the usual values of each score that it takes part in."""

    id: str
    is_text: bool
    answers: AnswerSurprise
    text: TextSurprise
    bigrams: BigramSurprise | None
    embedding: MeanEmbedding
    logprobs: LogprobShift | None
    spreads: Mapping[str, Spread]

    def surprise(self, answers: Answers) -> float:
        """The canary's own score: the surprise of its tokens for a text, else that of its whole answers."""
        return self.text(answers) if self.is_text else self.answers(answers)

    @property
    def surprise_spread(self) -> Spread:
        """The usual values of ``surprise``."""
        return self.spreads[TOKEN_SURPRISE if self.is_text else SUITE_SURPRISE]

    def value(self, name: str, answers: Answers) -> float | None:
        """What the score of this name says of the canary's ``answers``; ``None`` where they do not tell."""
        if name in MEASURES:
            return MEASURES[name].of(answers)
        if name == SUITE_SURPRISE:
            return self.answers(answers)
        if name == TOKEN_SURPRISE:
            return self.text(answers)
        if name == BIGRAM_SURPRISE:
            return self.bigrams(answers) if self.bigrams else None
        if name == TEXT_DISTANCE:
            return self.embedding(answers)
        if name == NEW_WORDS:
            return self.new_words(answers)
        raise KeyError(name)

    def standardised(self, name: str, answers: Answers) -> float | None:
        """The value of a score that the canary takes part in, as it is compared over canaries."""
        value = self.value(name, answers)
        return None if value is None else self.spreads[name].standardised(value)

    def new_words(self, answers: Answers) -> float | None:
        """The share of words that are in no train answer; ``None`` when there are no words."""
        total = sum(answer.length for answer in answers)
        known = self.text.counts
        new = sum(n for a in answers for token, n in a.token_counts.items() if token not in known)
        return new / total if total else None

    def to_plain(self) -> dict[str, Any]:
        """The canary as values that JSON can hold."""
        logprobs = self.logprobs
        return {
            "id": self.id,
            "is_text": self.is_text,
            "samples": self.answers.samples,
            "answers": self.answers.counts,
            "scale": self.text.scale,
            "words": self.text.counts,
            "bigram_scale": self.bigrams.scale if self.bigrams else None,
            "bigrams": self.bigrams.counts if self.bigrams else None,
            "embedding": [self.embedding.answers, self.embedding.weights, self.embedding.within],
            "logprobs": {token: astuple(spread) for token, spread in logprobs.tokens.items()}
            if logprobs
            else None,
            "spreads": {name: astuple(spread) for name, spread in self.spreads.items()},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], words: Vocabulary, bigrams: Vocabulary) -> "FrozenCanary":
        """The canary that ``to_plain`` gave; ``words`` and ``bigrams`` are the suite's."""
        logprobs, pairs = plain["logprobs"], plain["bigrams"]
        return cls(
            id=plain["id"],
            is_text=plain["is_text"],
            answers=AnswerSurprise(plain["samples"], plain["answers"]),
            text=TextSurprise(plain["scale"], plain["words"], words),
            bigrams=None if pairs is None else BigramSurprise(plain["bigram_scale"], pairs, bigrams),
            embedding=MeanEmbedding(*plain["embedding"]),
            logprobs=LogprobShift({t: Spread(*spread) for t, spread in logprobs.items()})
            if logprobs
            else None,
            spreads={name: Spread(*spread) for name, spread in plain["spreads"].items()},
        )
