"""What the data could have shown, and how much more of it would decide."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from .pairing import Pairing
from .shuffles import Shuffles, smallest_p_value

POWER = 0.8
"""How likely a change must be to show for it to count as detectable."""

MORE_MAX = 100_000
"""The most additional runs, or answers of each canary, that are thought about."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the data go. ``detectable`` is the smallest share of answers whose change would probably have shown;
    ``more`` is how many runs a side (or answers of each canary and side) are missing, 0 when the data can decide."""

    p_min: float
    detectable: float
    design_effect: float
    more: int

    @property
    def can_decide(self) -> bool:
        """Whether the data could show a difference that matters, if there were one."""
        return self.more == 0


def reach_of(
    pairing: Pairing, shuffles: Shuffles, design_effect: float, alpha: float, detect: float
) -> Reach:
    """What these data could show at level ``alpha``, against ``detect``, the share that must not change unseen.

    The yardstick is a property that half of the answers have, the hardest case. Answers of one run that are alike
    count less, by the design effect.
    """
    p_min = max(smallest_p_value(pairing.groups), 1 / shuffles.count)
    sizes = pairing.answers
    detectable = _detectable(sizes, design_effect, alpha)
    return Reach(p_min, detectable, design_effect, _more(pairing, design_effect, alpha, detect))


def _more(pairing: Pairing, design_effect: float, alpha: float, detect: float) -> int:
    if not pairing.pairs:
        return 1
    units = sum(len(group.is_current) for group in pairing.groups)
    # A run brings an answer to each of its canaries, and a row one to its own.
    an_addition = sum(pairing.answers) / units * len(pairing.groups)

    def is_enough(more: int) -> bool:
        base, current = (answers + more * an_addition for answers in pairing.answers)
        return (
            _detectable((base, current), design_effect, alpha) <= detect
            and smallest_p_value(pairing.groups, more) <= alpha
        )

    if is_enough(0):
        return 0
    low, high = 0, 1
    while not is_enough(high):
        low, high = high, high * 2
        if high > MORE_MAX:
            return MORE_MAX
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _detectable(sizes: tuple[float, float], design_effect: float, alpha: float) -> float:
    normal = NormalDist()
    beyond = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)
    if min(sizes) <= 0:
        return 1.0
    return min(1.0, beyond * sqrt(0.25 * design_effect * (1 / sizes[0] + 1 / sizes[1])))
