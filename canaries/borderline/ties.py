"""How near to a tie the first tokens of a prompt are: told from log-probabilities, or guessed from some answers."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..canonical import canonical
from ..completion import Completion

RATIO_MIN = 0.2
"""The second token must be at least so likely, compared with the first. B3IT (ICML 2026) takes the same."""

TEMPERATURE_MIN = 0.05
"""A temperature below this counts as this when log-probabilities are read: no endpoint computes more exactly."""


@dataclass(frozen=True, slots=True)
class Tie:
    """A prompt and how often it was answered with what, the commonest answer first."""

    prompt: str
    counts: tuple[tuple[str, int], ...]

    @property
    def ratio(self) -> float:
        """How likely the second answer is compared with the first, judged by the counts; 0 where there is no second."""
        return self.counts[1][1] / self.counts[0][1] if len(self.counts) > 1 else 0.0

    @property
    def answers(self) -> int:
        """How many answers were counted."""
        return sum(count for _, count in self.counts)


def tie_of(prompt: str, completions: Iterable[Completion]) -> Tie:
    """The tie that the answers among the completions make."""
    texts = Counter(canonical(one.text) for one in completions if one.text is not None)
    return Tie(prompt, tuple(sorted(texts.items(), key=lambda item: (-item[1], item[0]))))


def wavers(tie: Tie) -> bool:
    """Whether a prompt is worth asking more often: not all of its few answers are the same.

    Of three answers that is no more than a sieve. A prompt at a ratio of 1 passes it three times in four, one at 0.2
    two times in five, and one at 0.02 still once in seventeen.
    """
    return len(tie.counts) > 1


def is_borderline(tie: Tie, ratio_min: float = RATIO_MIN) -> bool:
    """Whether the answers show a near tie. They must be other ones than those that made the prompt look like it.

    Who waver among many candidates are partly those that chance made waver, and their first answers count too high.
    """
    return tie.ratio > ratio_min


def ratio_told(first_top: Sequence[tuple[str, float]] | None, temperature: float) -> float:
    """How likely the second token is compared with the first at this temperature, by log-probabilities at 1."""
    if first_top is None or len(first_top) < 2:
        return 0.0
    (_, first), (_, second) = first_top[:2]
    return math.exp((second - first) / max(temperature, TEMPERATURE_MIN))


def best(ties: Iterable[Tie], keep: int, ratio_min: float = RATIO_MIN) -> tuple[Tie, ...]:
    """The ``keep`` nearest ties of those that are near enough, the nearest first."""
    near = [tie for tie in ties if is_borderline(tie, ratio_min)]
    return tuple(sorted(near, key=lambda tie: (-tie.ratio, tie.prompt))[:keep])
