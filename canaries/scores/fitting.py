"""Freezing the scores on the train runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from .. import BaselineError
from ..features import RunFeatures
from ..surprise import (
    Answers,
    AnswerSurprise,
    BigramSurprise,
    LogprobShift,
    RestOfSuite,
    Spread,
    TextSurprise,
    Vocabulary,
    answer_surprise_left_out,
    bag_surprise_left_out,
    bigrams_of,
    sum_counts,
    tokens_of,
)
from .canary import FrozenCanary
from .distance import MeanEmbedding
from .frozen import PRESENT_SHARE_MIN, FrozenScores
from .measures import MEASURES, Measure
from .names import BIGRAM_SURPRISE, NEW_WORDS, SUITE_SURPRISE, TEXT_DISTANCE, TOKEN_SURPRISE

TEXT_SHARE_MIN = 0.5
"""Above this share of distinct train answers a canary is a text: its answers hardly come twice."""

TRAIN_RUNS_MIN = 4
"""A canary that fewer train runs answered is not scored; so are suites with fewer train runs."""

DISTANCE_FLOOR = 0.01
NEW_WORDS_FLOOR = 0.01
"""Added to the standard deviations of these, which lie between 0 and 1 or 2."""


@dataclass(frozen=True, slots=True)
class _TrainRun:
    """A train run's answers to one canary, and the rest of the suite without that run."""

    answers: Answers
    other_words: RestOfSuite
    other_bigrams: RestOfSuite


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
    everything = [[answer for canary in ids for answer in run.get(canary, ())] for run in runs]
    run_words, run_bigrams = [tokens_of(a) for a in everything], [bigrams_of(a) for a in everything]
    words, bigrams = Vocabulary(sum_counts(run_words)), Vocabulary(sum_counts(run_bigrams))
    rests = [
        (RestOfSuite(words, own), RestOfSuite(bigrams, own_bigrams))
        for own, own_bigrams in zip(run_words, run_bigrams, strict=True)
    ]
    canaries = []
    for canary in ids:
        rows = [_TrainRun(run[canary], *rest) for run, rest in zip(runs, rests, strict=True) if canary in run]
        canaries.append(_fit_canary(canary, expected[canary], rows, words, bigrams))
    return FrozenScores(tuple(canaries), any(answer.checks for answers in everything for answer in answers))


def _fit_canary(
    canary: str, samples: int, rows: Sequence[_TrainRun], words: Vocabulary, bigrams: Vocabulary
) -> FrozenCanary:
    runs = [row.answers for row in rows]
    everything = [answer for answers in runs for answer in answers]
    answers = Counter(answer.answer_hash for answer in everything)
    text = TextSurprise(*_bag(tokens_of(everything), len(rows)), words)
    pairs = BigramSurprise(*_bag(bigrams_of(everything), len(rows)), bigrams)
    embedding = MeanEmbedding.fit(everything)
    has_logprobs = sum(any(a.first_top for a in answers) for answers in runs) >= PRESENT_SHARE_MIN * len(runs)
    frozen = FrozenCanary(
        id=canary,
        is_text=len(answers) > TEXT_SHARE_MIN * len(everything),
        answers=AnswerSurprise(samples, answers),
        text=text,
        bigrams=pairs if all(answer.bigram_counts for answer in everything) else None,
        embedding=embedding,
        logprobs=LogprobShift.fit(runs) if has_logprobs else None,
        spreads={},
    )
    return _with_spreads(frozen, samples, rows)


def _with_spreads(canary: FrozenCanary, samples: int, rows: Sequence[_TrainRun]) -> FrozenCanary:
    runs = [row.answers for row in rows]
    words, text = Counter(canary.text.counts), canary.text
    spreads = {
        SUITE_SURPRISE: Spread.of(
            [answer_surprise_left_out(samples, Counter(canary.answers.counts), run) for run in runs]
        ),
        TOKEN_SURPRISE: Spread.of(
            [
                bag_surprise_left_out(text.scale, words, row.other_words, tokens_of(row.answers))
                for row in rows
            ]
        ),
        TEXT_DISTANCE: Spread.of([canary.embedding.left_out(run) for run in runs], DISTANCE_FLOOR),
    }
    new_words = [share for run in runs if (share := _new_words_left_out(words, run)) is not None]
    if len(new_words) >= PRESENT_SHARE_MIN * len(runs):
        spreads[NEW_WORDS] = Spread.of(new_words, NEW_WORDS_FLOOR)
    if canary.bigrams:
        pairs, scale = Counter(canary.bigrams.counts), canary.bigrams.scale
        spreads[BIGRAM_SURPRISE] = Spread.of(
            [bag_surprise_left_out(scale, pairs, row.other_bigrams, bigrams_of(row.answers)) for row in rows]
        )
    measured = {name: _measured(measure, runs) for name, measure in MEASURES.items()}
    spreads |= {name: spread for name, spread in measured.items() if spread}
    return replace(canary, spreads=spreads)


def _measured(measure: Measure, runs: Sequence[Answers]) -> Spread | None:
    values = [value for run in runs if (value := measure.of(run)) is not None]
    if len(values) < PRESENT_SHARE_MIN * len(runs):
        return None
    spread = Spread.of(values, measure.floor)
    return replace(spread, sd=1.0) if measure.is_share else spread


def _new_words_left_out(counts: Counter[str], answers: Answers) -> float | None:
    own = sum_counts(answer.token_counts for answer in answers)
    new = sum(n for token, n in own.items() if counts[token] == n)
    return new / own.total() if own else None


def _bag(counts: Counter[str], runs: int) -> tuple[float, Counter[str]]:
    """The scale and the counts of a surprise. The scale is the root of the usual number of tokens in a run."""
    return sqrt(counts.total() / runs), counts
