"""The statistics of a comparison: in the data as they are, and under every permutation.

Each score is looked at in up to three ways. *Within*: the distance between both sides of each canary, summed over the
canaries in its own standard deviations, so that a canary that hardly ever varies counts as much as one that always
does. *Shift*: the difference of the means, summed with its sign, which sees what moves all canaries alike. *Across*:
the distance between both sides over all canaries together, which needs but one answer of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import scores as names
from .evidence import combined, surprise
from .features import CanaryFeatures, FirstTokens, as_compared
from .pairing import Bools, CanaryPair
from .scores import SCORES
from .shuffles import Shuffles, dealt, weights

Floats = NDArray[np.float32]
Surprises = NDArray[np.float64]

LOGPROB_TOLERANCE = 0.02
"""By so much, in nats, a first token's log-probability may move and counts as not having moved at all: other batch
shapes move it by half of that, and coarser weights by ten times as much."""

NOTHING = 1e-9
"""Smaller differences between permutations are rounding errors."""

WITHIN, SHIFT, ACROSS = "within", "shift", "across"

NUMBER_SHARES = {WITHIN: 0.15, SHIFT: 0.85}
"""How the weight of a number is divided over how it is looked at: what moves one mostly moves it in all canaries."""

TEXT_SHARES = {WITHIN: 0.8, ACROSS: 0.2}
"""The same of texts: what moves the answers to one prompt mostly moves those to another in another way."""

PEAK_WEIGHT = 1.0
"""The weight of the one canary that is farthest out, beside the weights of the scores."""

SPREAD_TOO = (names.LENGTH, names.MEAN_LOGPROB)
"""Numbers of which not only the mean is compared within a canary, but the whole distribution: a limit shows there."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the permutations say, as surprises: a row for each score or canary, the observed one in column 0.

    ``canaries`` are the numbers of those that can tell anything: one answer a side, for one, cannot.
    """

    scores: tuple[str, ...]
    by_score: Surprises
    canaries: tuple[int, ...]
    by_canary: NDArray[np.float32]
    omnibus: Surprises
    design_effect: float


class Gathering:
    """Takes one canary after the other, and holds what they add up to."""

    def __init__(self, shuffles: Shuffles, decides: Callable[[str], bool], rng: np.random.Generator) -> None:
        self._shuffles, self._decides, self._rng = shuffles, decides, rng
        self._sums: dict[tuple[str, str], Floats] = {}
        self._seen = 0
        self._canaries: dict[int, NDArray[np.float32]] = {}
        self._design: dict[str, list[float]] = {}

    def add(self, pair: CanaryPair, features: CanaryFeatures) -> None:
        """Look at one canary under every permutation."""
        sides = self._shuffles.of(pair.group)[:, pair.units]
        contrast = contrasts(sides)
        within: dict[str, Floats] = {}
        for name, kernel in features.kernels.items():
            centred = centre(kernel)
            within[name] = quadratic(contrast, centred)
            self._note_design_effect(name, centred, within[name])
        for name, values in features.numbers.items():
            within[name] = self._number(name, as_compared(name, values), sides, contrast)
        if features.first_tokens is not None:
            within[names.FIRST_LOGPROBS] = self._first_tokens(pair, features.first_tokens, sides)
        for name, columns in features.pooled.items():
            around = (columns - columns.mean(axis=0, dtype=np.float64)).astype(np.float32)
            self._sum(name, ACROSS, contrast @ around)
        for name, values_within in within.items():
            self._sum(name, WITHIN, standard(values_within))
        self._note_canary(within)

    def _number(self, name: str, values: NDArray[np.float64], sides: Bools, contrast: Floats) -> Floats:
        known = ~np.isnan(values)
        filled = np.where(known, values, np.nanmean(values))
        spread = filled.std()
        if spread < 1e-9 * max(1.0, float(np.abs(filled).max())):
            return np.zeros(len(sides), dtype=np.float32)
        scaled = ((filled - filled[known].mean()) / spread).astype(np.float32)
        if not known.all():
            contrast = contrasts(sides, known)
        shift = contrast @ scaled
        self._sum(name, SHIFT, shift)
        return quadratic(contrast, spread_kernel(scaled)) if name in SPREAD_TOO else shift**2

    def _first_tokens(self, pair: CanaryPair, first: FirstTokens, sides: Bools) -> Floats:
        own = evaluation_sides(pair, first, self._shuffles.count, self._rng)
        difference, size = weights(sides if own is None else own)
        moved = np.maximum(0, np.abs(difference @ first.logprobs) - LOGPROB_TOLERANCE)
        return np.asarray((moved**2).mean(axis=1) * size)

    def _sum(self, name: str, way: str, values: Floats) -> None:
        key = (name, way)
        if key in self._sums:
            self._sums[key] += values
        else:
            self._sums[key] = values

    def _note_canary(self, within: dict[str, Floats]) -> None:
        """What all the deciding scores say of one canary."""
        rows = {name: row for name, row in within.items() if self._decides(name) and varies(row)}
        if rows:
            found = combined(surprise(np.stack(list(rows.values()))), [SCORES[name].weight for name in rows])
            self._canaries[self._seen] = surprise(found[None])[0].astype(np.float32)
        self._seen += 1

    def _note_design_effect(self, name: str, kernel: Floats, values: Floats) -> None:
        """How much farther apart permuted sides are than sides of independent answers would be."""
        expected = float(np.trace(kernel)) / max(1, len(kernel) - 1)
        if expected > NOTHING:
            self._design.setdefault(name, []).append(float(values.mean()) / expected)

    def statistics(self) -> Statistics:
        """What the canaries add up to."""
        looks = self._looks()
        scores = tuple(name for name in SCORES if name in looks)
        nothing = np.zeros(self._shuffles.count)
        by_canary = np.stack([nothing.astype(np.float32), *self._canaries.values()])[1:]
        peak = Look(surprise(by_canary.max(axis=0, initial=0.0)[None])[0], PEAK_WEIGHT)
        deciding = [look for name in scores if self._decides(name) for look in looks[name]]
        by_score = [surprise(together(looks[name])[None])[0] if looks[name] else nothing for name in scores]
        design = [float(np.mean(ratios)) for ratios in self._design.values()]
        return Statistics(
            scores=scores,
            by_score=np.stack(by_score) if by_score else np.zeros((0, self._shuffles.count)),
            canaries=tuple(self._canaries),
            by_canary=by_canary,
            omnibus=together([*deciding, peak]),
            design_effect=max(1.0, *design) if design else 1.0,
        )

    def _looks(self) -> dict[str, list["Look"]]:
        """Each score's looks at the data, without those that say nothing: the others share its weight."""
        looks: dict[str, dict[str, Surprises]] = {}
        for (name, way), total in self._sums.items():
            looks.setdefault(name, {})
            values = (total**2).sum(axis=1) if way == ACROSS else total**2 if way == SHIFT else total
            if varies(values):
                looks[name][way] = surprise(values[None])[0]
        weighed = {}
        for name, ways in looks.items():
            shares = NUMBER_SHARES if (name, SHIFT) in self._sums else TEXT_SHARES
            whole = sum(shares[way] for way in ways)
            weighed[name] = [
                Look(row, SCORES[name].weight * shares[way] / whole) for way, row in ways.items()
            ]
        return weighed


class Look(NamedTuple):
    """One way of looking at a score under every permutation, and what it weighs."""

    surprises: Surprises
    weight: float


def together(looks: Sequence[Look]) -> Surprises:
    """Several looks as one."""
    return combined(np.stack([look.surprises for look in looks]), [look.weight for look in looks])


def contrasts(sides: Bools, known: Bools | None = None) -> Floats:
    """Weights of the answers whose sum is the difference of the means, on a scale that the sizes do not change."""
    difference, size = weights(sides, known)
    return np.asarray(difference * np.sqrt(size)[:, None])


def quadratic(contrast: Floats, kernel: Floats) -> Floats:
    """The squared distance between both sides' means in the space of the kernel."""
    return np.asarray(np.einsum("ij,ij->i", contrast @ kernel, contrast))


def centre(kernel: Floats) -> Floats:
    """The kernel around the mean of all answers: what all have in common leaves no rounding errors behind."""
    exact = kernel.astype(np.float64)
    rows = exact.mean(axis=0)
    return np.asarray(exact - rows[:, None] - rows[None, :] + rows.mean(), dtype=np.float32)


def spread_kernel(values: Floats) -> Floats:
    """The kernel of the energy distance of numbers, which sees any difference of their distributions."""
    out = np.abs(values)
    return np.asarray(out[:, None] + out[None, :] - np.abs(values[:, None] - values[None, :]))


def varies(values: Floats) -> bool:
    """Whether the permutations differ at all; where not, the statistic says nothing."""
    low, high = float(values.min()), float(values.max())
    return high - low > max(NOTHING, 1e-5 * max(abs(low), abs(high)))


def standard(values: Floats) -> Floats:
    """In standard deviations from the mean of the permutations; zeros where they do not vary."""
    return np.asarray((values - values.mean()) / values.std()) if varies(values) else np.zeros_like(values)


def evaluation_sides(
    pair: CanaryPair, first: FirstTokens, count: int, rng: np.random.Generator
) -> Bools | None:
    """The sides of the answers when whole evaluations of the prompt are permuted; ``None`` to permute as the rest is.

    Answers that share their first token's log-probabilities to the last digit come from one evaluation of the prompt,
    or from an endpoint that gives the same ones always. Where a side has several, some shared, it is the former.
    """
    if len(np.unique(pair.units)) < len(pair.units):
        return None  # whole runs are permuted, and their evaluations with them
    sizes = [
        np.unique(first.evaluations[pair.is_current == side], return_counts=True)[1] for side in (False, True)
    ]
    if not any(len(size) > 1 and size.max() > 1 for size in sizes):
        return None
    kinds, at = np.unique(first.evaluations, return_index=True)
    return dealt(pair.is_current[at], count - 1, rng)[:, np.searchsorted(kinds, first.evaluations)]
