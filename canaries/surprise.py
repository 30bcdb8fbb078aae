"""How surprising the answers to one canary are, under the answers of the train runs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, log, sqrt
from statistics import median

from .features import AnswerFeatures

SPREAD_FLOOR = 0.3
"""Added to every standard deviation, in nats (of lengths: in tokens): what never moved may move a little."""

PRIOR_TOKENS = 50.0
"""Weight of the suite's token frequencies, in tokens, beside those of the canary itself."""

LOGPROB_SPREAD_MIN = 0.01
"""By so much, in nats, a first token's log-probability may move and counts as not having moved at all: other batch
shapes and other hardware move it by a tenth of that, and coarser weights by ten times as much."""

TOP_TOKEN_SHARE_MIN = 0.5
"""A first token is followed when it is among the likeliest in this share of the train runs."""

END = ""
"""The token after an answer's last, so that an empty answer has a surprise too."""

Answers = Sequence[AnswerFeatures]


@dataclass(frozen=True, slots=True)
class Spread:
    """Where a quantity of the train runs lies and how far it moves from run to run; ``usual`` is its median."""

    mean: float
    sd: float
    usual: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float], floor: float = SPREAD_FLOOR) -> "Spread":
        """Mean and standard deviation of ``values``, at least one, with ``floor`` added to the latter."""
        mean = fsum(values) / len(values)
        sd = sqrt(fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
        return cls(mean, sd + floor, median(values))

    def standardised(self, value: float) -> float:
        """How many standard deviations ``value`` lies above the mean."""
        return (value - self.mean) / self.sd


@dataclass(frozen=True, slots=True)
class AnswerSurprise:
    """The surprise of whole answers: ``-log((times seen + 1) / (answers + 1))``, summed over the samples."""

    samples: int
    counts: Mapping[str, int]
    _costs: dict[str, float] = field(init=False, repr=False, compare=False)
    _cost_unseen: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        total = log(sum(self.counts.values()) + 1)
        object.__setattr__(self, "_costs", {answer: total - log(n + 1) for answer, n in self.counts.items()})
        object.__setattr__(self, "_cost_unseen", total)

    def __call__(self, answers: Answers) -> float:
        """The surprise of a run's answers. Missing samples count like the mean of the others."""
        costs, unseen = self._costs, self._cost_unseen
        return self.samples * sum(costs.get(a.answer_hash, unseen) for a in answers) / len(answers)


def answer_surprise_left_out(samples: int, counts: Counter[str], answers: Answers) -> float:
    """The surprise of a train run's answers under the other ones; ``counts`` are those of all train runs."""
    own = Counter(answer.answer_hash for answer in answers)
    total = log(counts.total() - own.total() + 1)
    return samples * sum(n * (total - log(counts[a] - n + 1)) for a, n in own.items()) / len(answers)


def tokens_of(answers: Iterable[AnswerFeatures]) -> Counter[str]:
    """The tokens of ``answers`` with an end each."""
    counts: Counter[str] = Counter()
    for answer in answers:
        counts.update(answer.token_counts)
        counts[END] += 1
    return counts


def bigrams_of(answers: Iterable[AnswerFeatures]) -> Counter[str]:
    """The pairs of neighbouring tokens of ``answers``."""
    return sum_counts(answer.bigram_counts for answer in answers)


def edges_of(answers: Iterable[AnswerFeatures]) -> Counter[str]:
    """The words that ``answers`` begin and end with, by their places."""
    return sum_counts(answer.edge_counts for answer in answers)


def gaps_of(answers: Iterable[AnswerFeatures]) -> Counter[str]:
    """The white space inside ``answers``."""
    return sum_counts(answer.gap_counts for answer in answers)


def sum_counts(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    """All ``parts`` together."""
    total: Counter[str] = Counter()
    for counts in parts:
        total.update(counts)
    return total


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens (or pairs) of all train answers of a suite: how surprising one is that a canary has not used yet."""

    counts: Mapping[str, int]
    costs: dict[str, float] = field(init=False, repr=False, compare=False)
    cost_unseen: float = field(init=False, repr=False, compare=False)
    total: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        total = sum(self.counts.values())
        unseen = log(total + len(self.counts) + 1)
        object.__setattr__(self, "total", total)
        object.__setattr__(self, "cost_unseen", unseen)
        object.__setattr__(self, "costs", {token: unseen - log(n + 1) for token, n in self.counts.items()})


@dataclass(frozen=True, slots=True)
class BagSurprise:
    """The surprise of what is counted of a text, its tokens or its pairs: the mean of ``-log p`` times ``scale``.

    ``p`` is the frequency among the canary's train answers, backed off to ``PRIOR_TOKENS`` of the suite's: what this
    canary never said costs less when others say it. ``scale`` is the root of the usual number of tokens in a
    run: it brings the spread from run to run back to that of single tokens, some nats, whatever the length, so that
    one ``SPREAD_FLOOR`` fits answers and texts.
    """

    scale: float
    counts: Mapping[str, int]
    vocabulary: Vocabulary
    _costs: dict[str, float] = field(init=False, repr=False, compare=False)
    _cost_more: float = field(init=False, repr=False, compare=False)
    _usual: Spread = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        total, vocabulary = sum(self.counts.values()) + PRIOR_TOKENS, self.vocabulary
        prior = PRIOR_TOKENS / (vocabulary.total + len(vocabulary.counts) + 1)
        object.__setattr__(
            self,
            "_costs",
            {t: -log((n + prior * (vocabulary.counts[t] + 1)) / total) for t, n in self.counts.items()},
        )
        object.__setattr__(self, "_cost_more", log(total / PRIOR_TOKENS))
        object.__setattr__(self, "_usual", self._usual_cost())

    def _usual_cost(self) -> Spread:
        """The surprise of a single token of the train answers."""
        n = max(1, sum(self.counts.values()))
        mean = sum(times * self._costs[token] for token, times in self.counts.items()) / n
        square = sum(times * (self._costs[token] - mean) ** 2 for token, times in self.counts.items()) / n
        return Spread(mean, sqrt(square) + SPREAD_FLOOR)

    def moments(self, bags: Sequence[Mapping[str, int]], ends: int) -> tuple[int, float, float]:
        """How many tokens these are with so many ends, the sum of their surprises and that of the squares.

        The surprises are standardised by those of single tokens of the train answers.
        """
        costs, more, mean, sd = self._costs, self._cost_more, self._usual.mean, self._usual.sd
        shared, unseen = self.vocabulary.costs, self.vocabulary.cost_unseen
        end = (costs[END] - mean) / sd if ends else 0.0
        total, first, second = ends, ends * end, ends * end * end
        for bag in bags:
            for token, n in bag.items():
                cost = costs.get(token)
                z = ((shared.get(token, unseen) + more if cost is None else cost) - mean) / sd
                total += n
                first += n * z
                second += n * z * z
        return total, first, second

    def of(self, bags: Sequence[Mapping[str, int]], ends: int) -> float:
        """The surprise of these counts and of so many ends."""
        costs, more = self._costs, self._cost_more
        shared, unseen = self.vocabulary.costs, self.vocabulary.cost_unseen
        nats, total = (costs[END] * ends if ends else 0.0), ends
        for bag in bags:
            for token, n in bag.items():
                cost = costs.get(token)
                nats += n * (shared.get(token, unseen) + more if cost is None else cost)
                total += n
        return self.scale * nats / total


@dataclass(frozen=True, slots=True)
class TextSurprise(BagSurprise):
    """The surprise of a text's tokens and of its end."""

    def __call__(self, answers: Answers) -> float:
        """The surprise of a run's texts."""
        return self.of([answer.token_counts for answer in answers], len(answers))


@dataclass(frozen=True, slots=True)
class BigramSurprise(BagSurprise):
    """The surprise of a text's pairs of neighbouring tokens: the same words in another order are another text."""

    def __call__(self, answers: Answers) -> float | None:
        """The surprise of a run's texts; ``None`` when their pairs are not known."""
        bags = [answer.bigram_counts for answer in answers if answer.bigram_counts]
        return self.of(bags, 0) if bags else None


@dataclass(frozen=True, slots=True)
class EdgeSurprise(BagSurprise):
    """The surprise of the words that texts begin and end with, which the many between them would drown."""

    def __call__(self, answers: Answers) -> float | None:
        """The surprise of a run's beginnings and ends; ``None`` when they are not known."""
        bags = [answer.edge_counts for answer in answers if answer.edge_counts]
        return self.of(bags, 0) if bags else None


@dataclass(frozen=True, slots=True)
class LayoutSurprise(BagSurprise):
    """The surprise of the white space inside texts: lists, paragraphs, code and its indents."""

    def __call__(self, answers: Answers) -> float | None:
        """The surprise of a run's layout; ``None`` for answers of single words."""
        bags = [answer.gap_counts for answer in answers if answer.gap_counts]
        return self.of(bags, 0) if bags else None


class RestOfSuite:
    """The frequencies of a suite's train answers without those of one run."""

    def __init__(self, suite: Vocabulary, run: Mapping[str, int]) -> None:
        self._suite, self._run = suite.counts, run
        kinds = len(self._suite) - sum(self._suite[token] == n for token, n in run.items())
        self._total = suite.total - sum(run.values()) + kinds + 1

    def share(self, token: str) -> float:
        """The share of a ``token``; small, but not 0, when only this run has it."""
        return (self._suite[token] - self._run[token] + 1) / self._total


def bag_surprise_left_out(scale: float, counts: Counter[str], rest: RestOfSuite, own: Counter[str]) -> float:
    """The surprise of a train run's ``own`` counts under the other ones; ``counts`` are those of all train runs."""
    total = counts.total() - own.total() + PRIOR_TOKENS
    nats = sum(-n * log((counts[t] - n + PRIOR_TOKENS * rest.share(t)) / total) for t, n in own.items())
    return scale * nats / own.total()


@dataclass(frozen=True, slots=True)
class LogprobShift:
    """How far the first token's log-probabilities are from the train runs', in standard deviations."""

    tokens: Mapping[str, Spread]

    @classmethod
    def fit(cls, runs: Sequence[Answers]) -> "LogprobShift | None":
        """Follow the first tokens that the train ``runs`` usually list; ``None`` when there are none."""
        rows = [[dict(a.first_top) for a in answers if a.first_top] for answers in runs]
        rows = [row for row in rows if row]
        listed = Counter(token for row in rows for token in {token for top in row for token in top})
        usual = sorted(token for token, n in listed.items() if n >= TOP_TOKEN_SHARE_MIN * len(rows))
        if len(rows) < 2 or not usual:
            return None
        columns = {token: [_mean_logprob(row, token) for row in rows] for token in usual}
        spreads = {token: Spread.of(values, floor=0.0) for token, values in columns.items()}
        return cls({t: Spread(s.mean, max(s.sd, LOGPROB_SPREAD_MIN)) for t, s in spreads.items()})

    def __call__(self, answers: Answers) -> float | None:
        """The shift of a run's answers, or ``None`` when they list no first tokens."""
        row = [dict(a.first_top) for a in answers if a.first_top]
        if not row:
            return None
        lowest = [min(top.values()) for top in row]
        shifts = 0.0
        for token, spread in self.tokens.items():
            mean = sum(top.get(token, low) for top, low in zip(row, lowest, strict=True)) / len(row)
            shifts += max(0.0, abs(mean - spread.mean) - LOGPROB_SPREAD_MIN) / spread.sd
        return shifts / len(self.tokens)


def _mean_logprob(row: Sequence[Mapping[str, float]], token: str) -> float:
    # A token that is not listed is at most as likely as the least likely listed one.
    return sum(top.get(token, min(top.values())) for top in row) / len(row)
