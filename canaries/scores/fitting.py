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
    EdgeSurprise,
    LayoutSurprise,
    LogprobShift,
    RestOfSuite,
    Spread,
    TextSurprise,
    Vocabulary,
    answer_surprise_left_out,
    bag_surprise_left_out,
    bigrams_of,
    edges_of,
    gaps_of,
    sum_counts,
    tokens_of,
)
from .canary import FrozenCanary
from .distance import MeanEmbedding
from .frozen import PRESENT_SHARE_MIN, FrozenScores
from .measures import MEASURES, Measure
from .names import (
    BIGRAM_SURPRISE,
    EDGE_SURPRISE,
    LAYOUT_SURPRISE,
    NEW_WORDS,
    SUITE_SURPRISE,
    TEXT_DISTANCE,
    TOKEN_SURPRISE,
)

TEXT_SHARE_MIN = 0.5
"""Above this share of distinct train answers a canary is a text: its answers hardly come twice."""

TRAIN_RUNS_MIN = 4
"""A canary that fewer train runs answered is not scored; so are suites with fewer train runs."""

DISTANCE_FLOOR = 0.01
NEW_WORDS_FLOOR = 0.01
"""Added to the standard deviations of these, which lie between 0 and 1 or 2."""


_COUNTS = (tokens_of, bigrams_of, edges_of, gaps_of)
"""What is counted of texts: their tokens, their pairs, their beginnings and ends, the white space between them."""


@dataclass(frozen=True, slots=True)
class _Suite:
    """The counts of all canaries of the train runs: of all runs, and of each run what the others have."""

    vocabularies: tuple[Vocabulary, ...]
    rests: list[tuple[RestOfSuite, ...]]

    @classmethod
    def of(cls, runs: Sequence[Answers]) -> "_Suite":
        counts = [[count(answers) for count in _COUNTS] for answers in runs]
        vocabularies = tuple(Vocabulary(sum_counts(column)) for column in zip(*counts, strict=True))
        return cls(
            vocabularies,
            [tuple(RestOfSuite(v, own) for v, own in zip(vocabularies, row, strict=True)) for row in counts],
        )


@dataclass(frozen=True, slots=True)
class _TrainRun:
    """A train run's answers to one canary, and the rest of the suite without that run."""

    answers: Answers
    rest: tuple[RestOfSuite, ...]


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
    suite = _Suite.of(everything)
    canaries = []
    for canary in ids:
        rows = [
            _TrainRun(run[canary], rest) for run, rest in zip(runs, suite.rests, strict=True) if canary in run
        ]
        canaries.append(_fit_canary(canary, expected[canary], rows, suite))
    return FrozenScores(tuple(canaries), any(answer.checks for answers in everything for answer in answers))


def _fit_canary(canary: str, samples: int, rows: Sequence[_TrainRun], suite: _Suite) -> FrozenCanary:
    runs = [row.answers for row in rows]
    everything = [answer for answers in runs for answer in answers]
    answers = Counter(answer.answer_hash for answer in everything)
    bags = [_bag(count(everything), len(rows)) for count in _COUNTS]
    words, bigrams, edges, gaps = suite.vocabularies
    has_logprobs = sum(any(a.first_top for a in answers) for answers in runs) >= PRESENT_SHARE_MIN * len(runs)
    has_layout = sum(bool(gaps_of(run)) for run in runs) >= PRESENT_SHARE_MIN * len(runs)
    frozen = FrozenCanary(
        id=canary,
        is_text=len(answers) > TEXT_SHARE_MIN * len(everything),
        answers=AnswerSurprise(samples, answers),
        text=TextSurprise(*bags[0], words),
        bigrams=BigramSurprise(*bags[1], bigrams) if all(a.bigram_counts for a in everything) else None,
        edges=EdgeSurprise(*bags[2], edges) if all(a.edge_counts for a in everything) else None,
        layout=LayoutSurprise(*bags[3], gaps) if has_layout else None,
        embedding=MeanEmbedding.fit(everything),
        logprobs=LogprobShift.fit(runs) if has_logprobs else None,
        spreads={},
    )
    return _with_spreads(frozen, samples, rows)


def _with_spreads(canary: FrozenCanary, samples: int, rows: Sequence[_TrainRun]) -> FrozenCanary:
    runs = [row.answers for row in rows]
    spreads = {
        SUITE_SURPRISE: Spread.of(
            [answer_surprise_left_out(samples, Counter(canary.answers.counts), run) for run in runs]
        ),
        TEXT_DISTANCE: Spread.of([canary.embedding.left_out(run) for run in runs], DISTANCE_FLOOR),
    }
    bags = (
        (TOKEN_SURPRISE, canary.text),
        (BIGRAM_SURPRISE, canary.bigrams),
        (EDGE_SURPRISE, canary.edges),
        (LAYOUT_SURPRISE, canary.layout),
    )
    for (name, surprise), count, i in zip(bags, _COUNTS, range(len(_COUNTS)), strict=True):
        if surprise:
            counts, own = Counter(surprise.counts), [(row.rest[i], count(row.answers)) for row in rows]
            spreads[name] = Spread.of(
                [bag_surprise_left_out(surprise.scale, counts, rest, bag) for rest, bag in own if bag]
            )
    words = Counter(canary.text.counts)
    spreads[NEW_WORDS] = Spread.of([_new_words_left_out(words, run) for run in runs], NEW_WORDS_FLOOR)
    measured = {name: _measured(measure, runs) for name, measure in MEASURES.items()}
    spreads |= {name: spread for name, spread in measured.items() if spread}
    return replace(canary, spreads=spreads)


def _measured(measure: Measure, runs: Sequence[Answers]) -> Spread | None:
    values = [value for run in runs if (value := measure.of(run)) is not None]
    if len(values) < PRESENT_SHARE_MIN * len(runs):
        return None
    spread = Spread.of(values, measure.floor)
    return replace(spread, sd=1.0) if measure.is_share else spread


def _new_words_left_out(counts: Counter[str], answers: Answers) -> float:
    own = sum_counts(answer.token_counts for answer in answers)
    new = sum(n for token, n in own.items() if counts[token] == n)
    return new / own.total() if own else 0.0


def _bag(counts: Counter[str], runs: int) -> tuple[float, Counter[str]]:
    """The scale and the counts of a surprise. The scale is the root of the usual number of tokens in a run."""
    return sqrt(counts.total() / runs), counts
