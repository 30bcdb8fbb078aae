"""The scores of a comparison by name: what each sees, what counts as nothing, and whether it can decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ANSWERS = "answers"
HAMMING = "characters"
TRIGRAMS = "trigrams"
WORDING = "wording"
OPENINGS = "openings"
VOCABULARY = "vocabulary"
RARITY = "rarity"
VARIETY = "variety"
LENGTH = "length"
UNFINISHED = "unfinished"
REFUSALS = "refusals"
VALIDATORS = "validator_failures"
FIRST_LOGPROBS = "first_logprobs"
MEAN_LOGPROB = "mean_logprob"
OUTPUT_TOKENS = "output_tokens"
INPUT_TOKENS = "input_tokens"
COST = "cost"
LATENCY = "latency"
TTFT = "ttft"
ERRORS = "errors"


class Unit(StrEnum):
    """What an effect is measured in."""

    DISTANCE = "distance"
    """From 0, the answers of both sides are as alike as those of one, to 1, they have nothing in common."""
    SHARE = "share"
    """The difference of two shares."""
    RATIO = "ratio"
    """The current mean over the base's, less one."""
    NATS = "nats"
    """The difference of two mean log-probabilities."""
    NATS_APART = "nats apart"
    """The mean distance between log-probabilities, whichever is higher."""
    DEVIATIONS = "deviations"
    """The difference of two means in standard deviations of single answers."""


@dataclass(frozen=True, slots=True)
class Score:
    """What is known of a score beforehand.

    ``floor`` is the effect below which a difference means nothing to anyone, however sure it is. ``weight`` is its
    part of the whole, divided over how it is looked at: scores of the same texts see much the same.
    """

    name: str
    unit: Unit
    floor: float
    weight: float
    sees: str
    is_of_answers: bool = True


SCORES: Mapping[str, Score] = {
    score.name: score
    for score in (
        Score(ANSWERS, Unit.DISTANCE, 0.005, 0.5, "whether the same answers come back"),
        Score(HAMMING, Unit.DISTANCE, 0.001, 1.0, "the character at each place of the answers"),
        Score(TRIGRAMS, Unit.DISTANCE, 0.001, 3.0, "runs of three characters"),
        Score(WORDING, Unit.DISTANCE, 0.001, 0.5, "words and pairs of words"),
        Score(OPENINGS, Unit.DISTANCE, 0.002, 1.0, "the first words of the answers"),
        Score(VOCABULARY, Unit.DISTANCE, 0.001, 1.0, "words, over all canaries together"),
        Score(RARITY, Unit.NATS, 0.02, 3.0, "how rare the words are among those of the other answers"),
        Score(VARIETY, Unit.DEVIATIONS, 0.05, 0.5, "how many different words an answer of its length has"),
        Score(LENGTH, Unit.RATIO, 0.02, 2.0, "how long the answers are, in characters"),
        Score(UNFINISHED, Unit.SHARE, 0.01, 1.0, "answers that did not end by themselves"),
        Score(REFUSALS, Unit.SHARE, 0.01, 1.0, "answers that begin like a refusal"),
        Score(VALIDATORS, Unit.SHARE, 0.005, 1.0, "answers that break an expectation of the suite"),
        Score(FIRST_LOGPROBS, Unit.NATS_APART, 0.005, 3.0, "log-probabilities of the likeliest first tokens"),
        Score(MEAN_LOGPROB, Unit.NATS, 0.01, 3.0, "how likely the model found the tokens that it wrote"),
        Score(OUTPUT_TOKENS, Unit.RATIO, 0.02, 1.0, "tokens charged for the answers", is_of_answers=False),
        Score(INPUT_TOKENS, Unit.RATIO, 0.005, 1.0, "tokens charged for the prompts", is_of_answers=False),
        Score(COST, Unit.RATIO, 0.02, 1.0, "dollars an answer", is_of_answers=False),
        Score(LATENCY, Unit.RATIO, 0.05, 1.0, "seconds until the answer was complete", is_of_answers=False),
        Score(TTFT, Unit.RATIO, 0.05, 1.0, "seconds until the first token", is_of_answers=False),
        Score(ERRORS, Unit.SHARE, 0.01, 1.0, "requests without an answer", is_of_answers=False),
    )
}
"""In the order in which they are shown. Those that are not of the answers are told, and decide only when asked to."""
