"""How far the texts of a run are from those of the train runs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import fsum, log, sqrt

from ..features import AnswerFeatures
from ..surprise import END, Answers

WEIGHT_DIGITS = 5
"""To how many digits the mean embedding is kept: a score is the sum of some hundred of its numbers."""

ANSWERS_WITH_IT_MIN = 2
"""What fewer train answers have is left out of the mean embedding: half of all tokens, and next to none of it."""

Bag = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MeanEmbedding:
    """The train answers to a canary as the mean of their embeddings, to measure how far other answers are from them.

    An answer is embedded as the roots of the shares of its tokens, its end and its pairs of neighbouring tokens, a
    vector of length one; the product of two is their Bhattacharyya coefficient. The distance of two sets of answers is
    the maximum mean discrepancy with this kernel, squared and without bias (Gretton and others, "A kernel two-sample
    test", 2012): likeness within the one, plus within the other, minus twice the likeness between them.
    """

    answers: int
    weights: Mapping[str, float]
    within: float

    @classmethod
    def fit(cls, answers: Answers) -> "MeanEmbedding":
        """The mean embedding of the train ``answers``, at least one."""
        total: dict[str, float] = {}
        having: Counter[str] = Counter()
        for answer in answers:
            for token, weight in embedded(answer):
                total[token] = total.get(token, 0.0) + weight
                having[token] += 1
        n = len(answers)
        # Sums in sorted order, so that the order of the runs does not show in the last bit.
        square = fsum(weight * weight for weight in total.values())
        weights = {
            token: round(total[token] / n, WEIGHT_DIGITS)
            for token in sorted(total)
            if having[token] >= ANSWERS_WITH_IT_MIN
        }
        return cls(n, weights, (square - n) / (n * (n - 1)) if n > 1 else 0.0)

    def __call__(self, answers: Answers) -> float:
        """The squared distance of ``answers`` from the train answers; it can be a little below 0."""
        return self._distance(answers, sum(self._likeness(answer) for answer in answers) / len(answers))

    def _likeness(self, answer: AnswerFeatures) -> float:
        """The product of the answer's embedding with the mean one: ``embedded``, unrolled, as every run needs it."""
        get = self.weights.get
        total = get(END, 0.0)
        for bag in (answer.token_counts, answer.bigram_counts):
            for token, n in bag.items():
                total += get(token, 0.0) if n == 1 else get(token, 0.0) * sqrt(n)
        return total * _one(answer)

    def left_out(self, answers: Answers) -> float:
        """The distance of ``answers``, which are some of the train answers, from the others."""
        own = _summed(answers)
        others = self.answers - len(answers)
        if others < 1:
            return self(answers)
        between = sum(
            weight * max(0.0, self.answers * self.weights[token] - weight)
            for token, weight in own.items()
            if token in self.weights
        )
        return self._distance(answers, between / (len(answers) * others))

    def _distance(self, answers: Answers, between: float) -> float:
        k = len(answers)
        if k == 1:  # alone, it is as like itself as the train answers are like each other
            return 2 * (self.within - between)
        alike = (fsum(weight * weight for weight in _summed(answers).values()) - k) / (k * (k - 1))
        return alike + self.within - 2 * between


def embedded(answer: AnswerFeatures) -> Iterator[tuple[str, float]]:
    """The embedding of an answer: what it has, and how much of it."""
    one = _one(answer)
    yield END, one
    for bag in (answer.token_counts, answer.bigram_counts):
        for token, n in bag.items():
            yield token, one if n == 1 else one * sqrt(n)


def _one(answer: AnswerFeatures) -> float:
    """The weight of what an answer has once."""
    pairs = answer.length + 1 if answer.bigram_counts else 0
    return 1 / sqrt(answer.length + 1 + pairs)


def _summed(answers: Answers) -> dict[str, float]:
    total: dict[str, float] = {}
    for answer in answers:
        for token, weight in embedded(answer):
            total[token] = total.get(token, 0.0) + weight
    return total


def divergence(bag: Bag, reference: Bag, reference_total: int) -> float:
    """The Jensen-Shannon divergence of two bags of words, from 0 (alike) to ln 2 (nothing in common).

    J. Lin, "Divergence measures based on the Shannon entropy", 1991. Only the words of ``bag``, which has one at least,
    are looked at: the others of the ``reference`` add the same each.
    """
    total = sum(bag.values())
    nats, shared = 0.0, 0.0
    for token, n in bag.items():
        p, q = n / total, reference.get(token, 0) / reference_total
        middle = (p + q) / 2
        nats += p * log(p / middle)
        if q:
            nats += q * log(q / middle)
            shared += q
    return (nats + (1 - shared) * log(2)) / 2
