"""What the train runs say about one canary."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from ..surprise import (
    Answers,
    AnswerSurprise,
    BagSurprise,
    BigramSurprise,
    EdgeSurprise,
    LayoutSurprise,
    LogprobShift,
    Spread,
    TextSurprise,
    Vocabulary,
)
from .distance import MeanEmbedding
from .measures import MEASURES
from .names import (
    BIGRAM_SURPRISE,
    EDGE_SURPRISE,
    LAYOUT_SURPRISE,
    NEW_WORDS,
    SUITE_SURPRISE,
    TEXT_DISTANCE,
    TOKEN_SURPRISE,
)

BAGS = ("bigrams", "edges", "layout")
"""What is counted of texts beside their words."""


@dataclass(frozen=True, slots=True)
class FrozenCanary:
    """What the train runs say about one canary; ``spreads`` has its usual values of each score it takes part in."""

    id: str
    is_text: bool
    answers: AnswerSurprise
    text: TextSurprise
    bigrams: BigramSurprise | None
    edges: EdgeSurprise | None
    layout: LayoutSurprise | None
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
        if name == EDGE_SURPRISE:
            return self.edges(answers) if self.edges else None
        if name == LAYOUT_SURPRISE:
            return self.layout(answers) if self.layout else None
        if name == TEXT_DISTANCE:
            return self.embedding(answers)
        if name == NEW_WORDS:
            return self.new_words(answers)
        raise KeyError(name)

    def standardised(self, name: str, answers: Answers) -> float | None:
        """The value of a score that the canary takes part in, as it is compared over canaries."""
        value = self.value(name, answers)
        if value is not None:
            return self.spreads[name].standardised(value)
        # Answers of single words are not missing: nothing about their layout is unusual.
        return 0.0 if name == LAYOUT_SURPRISE else None

    def usual(self, name: str) -> float:
        """What the score usually is of this canary, as it is compared over canaries."""
        spread = self.spreads[name]
        return spread.standardised(spread.usual)

    def new_words(self, answers: Answers) -> float:
        """The share of words that are in no train answer; 0 of no words."""
        total = sum(answer.length for answer in answers)
        known = self.text.counts
        new = sum(n for a in answers for token, n in a.token_counts.items() if token not in known)
        return new / total if total else 0.0

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
            "bigrams": _bag_to_plain(self.bigrams),
            "edges": _bag_to_plain(self.edges),
            "layout": _bag_to_plain(self.layout),
            "embedding": [self.embedding.answers, self.embedding.weights, self.embedding.within],
            "logprobs": {token: astuple(spread) for token, spread in logprobs.tokens.items()}
            if logprobs
            else None,
            "spreads": {name: astuple(spread) for name, spread in self.spreads.items()},
        }

    @classmethod
    def from_plain(
        cls, plain: Mapping[str, Any], words: Vocabulary, others: Mapping[str, Vocabulary]
    ) -> "FrozenCanary":
        """The canary that ``to_plain`` gave; ``words`` are the suite's, and so are ``others``, by what they are of."""
        logprobs = plain["logprobs"]
        bags = {name: _bag_from_plain(plain[name], vocabulary) for name, vocabulary in others.items()}
        return cls(
            id=plain["id"],
            is_text=plain["is_text"],
            answers=AnswerSurprise(plain["samples"], plain["answers"]),
            text=TextSurprise(plain["scale"], plain["words"], words),
            bigrams=BigramSurprise(*bags["bigrams"]) if bags["bigrams"] else None,
            edges=EdgeSurprise(*bags["edges"]) if bags["edges"] else None,
            layout=LayoutSurprise(*bags["layout"]) if bags["layout"] else None,
            embedding=MeanEmbedding(*plain["embedding"]),
            logprobs=LogprobShift({t: Spread(*spread) for t, spread in logprobs.items()})
            if logprobs
            else None,
            spreads={name: Spread(*spread) for name, spread in plain["spreads"].items()},
        )


def _bag_to_plain(surprise: BagSurprise | None) -> tuple[float, Mapping[str, int]] | None:
    return (surprise.scale, surprise.counts) if surprise else None


def _bag_from_plain(
    plain: Sequence[Any] | None, vocabulary: Vocabulary
) -> tuple[float, Mapping[str, int], Vocabulary] | None:
    return (plain[0], plain[1], vocabulary) if plain else None
