"""Two-sample tests that others use, in our own words, to measure ``compare`` beside: each gives one p-value.

All permute the answers within their prompt, the log-probabilities of first tokens by evaluation of the prompt.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from canaries.completion import Completion

Floats = NDArray[np.float64]
Answers = Mapping[str, Sequence[Completion]]
"""The answers to each prompt."""

PERMUTATIONS = 400
CHARACTERS = 1_000
"""How many characters of an answer are compared by MMD-Hamming, as in the paper."""


def _permuted(sizes: tuple[int, int], rng: np.random.Generator) -> Floats:
    """1 for the first side, row 0 as it is, the others permuted."""
    first = np.zeros((PERMUTATIONS + 1, sum(sizes)))
    first[:, : sizes[0]] = 1.0
    first[1:] = rng.permuted(first[1:], axis=1)
    return first


def _p_value(statistics: Floats) -> float:
    return float((statistics >= statistics[0] - 1e-9).mean())


def mmd_hamming(base: Answers, current: Answers, rng: np.random.Generator) -> float:
    """MMD with the Hamming kernel of Gao, Liang and Guestrin (ICLR 2025): places with the same character."""
    length = min(
        CHARACTERS, max(len(a.text or "") for side in (base, current) for own in side.values() for a in own)
    )
    total = np.zeros(PERMUTATIONS + 1)
    pairs = np.zeros(3)
    sums = np.zeros((3, PERMUTATIONS + 1))
    for prompt, own in base.items():
        answers = [*own, *current[prompt]]
        places = np.full((len(answers), length), -1)
        for row, answer in zip(places, answers, strict=True):
            codes = [ord(c) for c in (answer.text or "")[:length]]
            row[: len(codes)] = codes
        kernel = np.stack([(places == row).sum(axis=1) for row in places]).astype(float)
        np.fill_diagonal(kernel, 0.0)
        first = _permuted((len(own), len(current[prompt])), rng)
        n, m = len(own), len(current[prompt])
        pairs += (n * (n - 1), n * m, m * (m - 1))
        of_first = first @ kernel
        sums[0] += (of_first * first).sum(axis=1)
        sums[1] += (of_first * (1 - first)).sum(axis=1)
        sums[2] += (((1 - first) @ kernel) * (1 - first)).sum(axis=1)
    total = sums[0] / pairs[0] - 2 * sums[1] / pairs[1] + sums[2] / pairs[2]
    return _p_value(total)


def chi_square_of_hashes(base: Answers, current: Answers, rng: np.random.Generator) -> float:
    """Pearson's chi-square of how often each answer comes on each side, summed over the prompts, permuted."""
    total = np.zeros(PERMUTATIONS + 1)
    for prompt, own in base.items():
        answers = [a.text or "" for a in (*own, *current[prompt])]
        _, kinds = np.unique(answers, return_inverse=True)
        indicator = np.eye(kinds.max() + 1)[kinds]
        first = _permuted((len(own), len(current[prompt])), rng)
        counts, expected = first @ indicator, indicator.sum(axis=0) * len(own) / len(answers)
        total += ((counts - expected) ** 2 / (expected * (1 - len(own) / len(answers)))).sum(axis=1)
    return _p_value(total)


def ks_of_length(base: Answers, current: Answers, rng: np.random.Generator) -> float:
    """Kolmogorov and Smirnov's distance between the lengths of all answers of both sides, permuted."""
    lengths, sides = [], []
    for prompt, own in base.items():
        lengths += [len(a.text or "") for a in (*own, *current[prompt])]
        sides.append(_permuted((len(own), len(current[prompt])), rng))
    first = np.concatenate(sides, axis=1)
    order = np.argsort(lengths, kind="stable")
    ends = np.flatnonzero(np.diff(np.append(np.sort(lengths), np.inf)))
    below, above = np.cumsum(first[:, order], axis=1), np.cumsum(1 - first[:, order], axis=1)
    apart = np.abs(below / below[:, -1:] - above / above[:, -1:])[:, ends]
    return _p_value(apart.max(axis=1))


def first_token_logprobs(base: Answers, current: Answers, rng: np.random.Generator) -> float:
    """The mean distance between both sides' log-probabilities of the first token, by evaluation of the prompt.

    As in Chauvin and others (2512.03816), whose samples are evaluations of their own. Answers of one evaluation have
    the same log-probabilities: ``sample`` holds the evaluation's number here.
    """
    total = np.zeros(PERMUTATIONS + 1)
    for prompt, own in base.items():
        sides = [_evaluations(own), _evaluations(current[prompt])]
        rows = [*sides[0], *sides[1]]
        tokens = sorted({token for row in rows for token in row})
        table = np.array([[row.get(token, min(row.values())) for token in tokens] for row in rows])
        first = _permuted((len(sides[0]), len(sides[1])), rng)
        apart = first @ table / len(sides[0]) - (1 - first) @ table / len(sides[1])
        total += np.abs(apart).mean(axis=1)
    return _p_value(total)


def _evaluations(answers: Sequence[Completion]) -> list[dict[str, float]]:
    return list({a.sample: dict(a.first_top or ()) for a in answers}.values())


def mean_logprob(base: Answers, current: Answers, rng: np.random.Generator) -> float:
    """The difference of the mean log-probabilities of the sampled tokens, answers weighing the same, permuted."""
    total = np.zeros(PERMUTATIONS + 1)
    for prompt, own in base.items():
        values = np.array([float(np.mean(a.logprobs or (0.0,))) for a in (*own, *current[prompt])])
        first = _permuted((len(own), len(current[prompt])), rng)
        total += first @ values / len(own) - (1 - first) @ values / len(current[prompt])
    return _p_value(np.abs(total))


PEERS: Mapping[str, Callable[[Answers, Answers, np.random.Generator], float]] = {
    "MMD-Hamming": mmd_hamming,
    "chi-square of hashes": chi_square_of_hashes,
    "KS of lengths": ks_of_length,
    "first-token log-probs": first_token_logprobs,
    "mean log-prob": mean_logprob,
}

NEED_LOGPROBS = ("first-token log-probs", "mean log-prob")
