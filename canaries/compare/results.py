"""What a comparison comes to, and everything that it stands on."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from .effects import Effect
from .examples import Example
from .pairing import Pairing
from .reach import Reach
from .scores import Score

PERMUTATIONS = 5_000
"""How many permutations are drawn when nobody says."""

PERMUTATIONS_MAX = 50_000
"""The most that are drawn: all of a canary's are in memory at once, some gigabytes by then."""

DETECT = 1 / 3
"""The share of answers whose change must be likely to show for ``same`` to be said, when nobody says."""


class Verdict(StrEnum):
    """What a comparison comes to. Too little data is an answer, not an exception."""

    SAME = "same"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare. With ``performance_decides`` times, tokens and cost make the verdict, too."""

    alpha: float = 0.05
    permutations: int = PERMUTATIONS
    seed: int = 0
    detect: float = DETECT
    performance_decides: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, not {self.alpha}")
        if not 0 < self.detect <= 1:
            raise ValueError(f"detect must be above 0 and at most 1, not {self.detect}")
        if not 1 <= self.permutations <= PERMUTATIONS_MAX:
            raise ValueError(
                f"permutations must be from 1 to {PERMUTATIONS_MAX:,}, not {self.permutations:,}"
            )
        if (self.permutations + 1) * self.alpha < 1:
            raise ValueError(
                f"{self.permutations} permutations cannot give a p-value of {self.alpha}: "
                f"at least {ceil(1 / self.alpha - 1e-9) - 1} can"
            )


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What one score says. ``p_value`` is adjusted for there being several, ``p_value_alone`` is not."""

    score: Score
    p_value: float
    p_value_alone: float
    effect: Effect | None
    decides: bool

    @property
    def is_negligible(self) -> bool:
        """Whether the effect, as far as its interval reaches, is too small to mean anything."""
        return self.effect is not None and max(abs(self.effect.low), abs(self.effect.high)) < self.score.floor

    @property
    def is_beyond_floor(self) -> bool:
        """Whether the effect, as far as its interval reaches, is large enough to mean something."""
        if self.effect is None:
            return False
        return self.effect.low > self.score.floor or self.effect.high < -self.score.floor


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """What the answers to one canary say. ``p_value`` is adjusted for there being several canaries."""

    canary: str
    p_value: float
    p_value_alone: float
    base: int
    current: int
    example: Example | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The verdict and everything that it stands on. ``is_negligible``: sure, but too small to mean anything."""

    verdict: Verdict
    p_value: float
    is_negligible: bool
    settings: Settings
    scores: tuple[ScoreResult, ...]
    canaries: tuple[CanaryResult, ...]
    pairing: Pairing
    permutations: int
    is_exact: bool
    reach: Reach

    @property
    def is_beyond_floor(self) -> bool:
        """Whether an effect that decides is surely larger than nothing: that sides differ does not say by how much."""
        alpha = self.settings.alpha
        return any(one.decides and one.p_value_alone <= alpha and one.is_beyond_floor for one in self.scores)

    @property
    def strongest(self) -> ScoreResult | None:
        """The deciding score that is farthest out."""
        deciding = [result for result in self.scores if result.decides]
        return min(deciding, key=lambda result: (result.p_value, result.p_value_alone), default=None)
