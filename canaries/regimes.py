"""Whether a target's runs come from several regimes, such as backends that differ a little, and from which each comes.

A regime does something to all answers of a run at once. That is what a test can see without knowing any regime: where
there is none, the answers of one canary tell nothing about those of the others in the same run. If there are, a mixture
of multinomials over the canaries' answers tells them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from .answer_counts import Floats, Ints, Kinds, chi2_per_df
from .features import RunFeatures

REGIMES_MAX = 4

CANARIES_MIN = 2
"""Of a single canary nothing can be said to hang together."""

PERMUTATIONS = 99
"""More than all of them: significant at one in a hundred."""

STARTS = 5
"""EM finds the nearest top of the likelihood only: it climbs from so many places."""

CLIMB_STEPS, CLIMB_STEPS_BEST = 12, 60
"""Steps of EM from each start, and from the best of them then."""

PRIOR_ANSWERS = 2.0
"""Weight of a canary's overall shares, in answers, in those of each regime: an answer that a regime never gave in the
train runs is rare there, not impossible."""


@dataclass(frozen=True, slots=True)
class Regimes:
    """A mixture of multinomials.

    ``shares[k]`` is how common regime ``k`` is, the commonest first; ``log_odds[k]`` is what an answer of each kind
    adds to the log-likelihood that a run comes from it.
    """

    kinds: Kinds
    shares: tuple[float, ...]
    log_odds: tuple[tuple[float, ...], ...]

    def of(self, runs: Sequence[RunFeatures]) -> list[int]:
        """The likeliest regime of each run; the commonest of a run without answers."""
        return self.of_table(self.kinds.table(runs))

    def of_table(self, table: Floats) -> list[int]:
        """The same of the runs of a table of these kinds."""
        scores = table @ np.array(self.log_odds).T + np.log(self.shares)
        return [int(k) for k in scores.argmax(axis=1)]

    def to_plain(self) -> dict[str, Any]:
        """The regimes as values that JSON can hold."""
        return {"known": self.kinds.known, "shares": self.shares, "log_odds": self.log_odds}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Regimes":
        """The regimes that ``to_plain`` gave."""
        kinds = Kinds({canary: tuple(answers) for canary, answers in plain["known"].items()})
        return cls(kinds, tuple(plain["shares"]), tuple(tuple(row) for row in plain["log_odds"]))


def fit_regimes(kinds: Kinds, table: Floats, rng: "np.random.Generator") -> Regimes | None:
    """The regimes that the train runs of a ``table`` come from; ``None`` where nothing shows that they are several.

    They are when the canaries' answers hang together, and a mixture is worth its parameters by Akaike's
    criterion (1974). Schwarz's would be too careful: it charges each share of each answer in full, where a prior holds
    most of them. Of two backends that differ by 15 % in each of 25 canaries it saw none in 84 runs.
    """
    canary_of = kinds.canary_of
    if len(kinds.known) < CANARIES_MIN or not hang_together(table, canary_of, rng):
        return None
    parameters_of_one = len(canary_of) - len(kinds.known) + 1
    u, s, _ = np.linalg.svd(residuals(table, canary_of), full_matrices=False)
    places = u[:, :REGIMES_MAX] * s[:REGIMES_MAX]
    best, found = climb(table, canary_of, places, 1, rng), None
    for components in range(2, REGIMES_MAX + 1):
        mixture = climb(table, canary_of, places, components, rng)
        if mixture.log_likelihood - best.log_likelihood <= parameters_of_one:
            break
        best = found = mixture
    return _frozen(kinds, found) if found else None


def _frozen(kinds: Kinds, mixture: "Mixture") -> Regimes:
    """The mixture as numbers to keep, the commonest regime first; a run without answers is from that one."""
    order = np.argsort(-mixture.shares, kind="stable")
    # A kind that no train run has is as likely in one regime as in another.
    logs = np.log(np.maximum(mixture.kinds[order], 1e-12))
    logs = (logs - logs.mean(axis=0)) * mixture.weight
    rounded = tuple(tuple(round(float(x), 4) for x in row) for row in logs)
    return Regimes(kinds, tuple(float(x) for x in mixture.shares[order]), rounded)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What EM found: how common the components are, their shares of each kind of answer, and how much one counts."""

    shares: Floats
    kinds: Floats
    weight: Floats
    log_likelihood: float


def hang_together(table: Floats, canary_of: Ints, rng: "np.random.Generator") -> bool:
    """Whether the canaries' answers of a run hang together, at a level of 1 %.

    The largest singular value of the residuals is compared with what it is after each canary's answers were shuffled
    among the runs, independently: what a regime does to all of them is then gone (Horn's parallel analysis, 1965, with
    permutations). The level is exact, and one shuffle that gives as much is enough to say no.
    """
    left = residuals(table, canary_of)
    largest = _largest_singular_value(left)
    blocks = [left[:, canary_of == canary] for canary in range(int(canary_of.max()) + 1)]
    for _ in range(PERMUTATIONS):
        shuffled = np.concatenate([block[rng.permutation(len(left))] for block in blocks], axis=1)
        if _largest_singular_value(shuffled) >= largest:
            return False
    return True


def residuals(table: Floats, canary_of: Ints) -> Floats:
    """How far each count is from what is expected of its run, in standard deviations of the canary."""
    member = np.eye(int(canary_of.max()) + 1)[canary_of]
    asked = table @ member
    share = table.sum(axis=0) / np.maximum(asked.sum(axis=0), 1.0)[canary_of]
    expected = asked[:, canary_of] * share
    found: Floats = (table - expected) / np.sqrt(np.maximum(expected, 1e-12))
    return np.asarray(found * np.sqrt(_weight(table, canary_of)))


def _weight(table: Floats, canary_of: Ints) -> Floats:
    """How many independent answers an answer of each kind counts for: the samples of one run may all be the same."""
    return np.asarray((1.0 / np.maximum(1.0, chi2_per_df(table, canary_of)))[canary_of])


def _largest_singular_value(matrix: Floats) -> float:
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return sqrt(max(float(np.linalg.eigvalsh(small)[-1]), 0.0))


def climb(
    table: Floats, canary_of: Ints, places: Floats, components: int, rng: "np.random.Generator"
) -> Mixture:
    """The likeliest mixture of so many components: EM (Dempster, Laird, Rubin 1977) from several starts.

    ``places`` are the runs' coordinates in the directions in which they differ most.
    """
    member = np.eye(int(canary_of.max()) + 1)[canary_of]
    weight = _weight(table, canary_of)
    counts = table * weight
    overall = counts.sum(axis=0) / np.maximum(counts.sum(axis=0) @ member, 1e-12)[canary_of]
    memberships = np.stack([_start(places[:, :components], components, rng) for _ in range(STARTS)])
    for _ in range(CLIMB_STEPS):
        memberships, *_ = _step(counts, member, canary_of, overall, memberships)
    best = int(_step(counts, member, canary_of, overall, memberships)[3].argmax())
    memberships, last = memberships[best : best + 1], -np.inf
    for _ in range(CLIMB_STEPS_BEST):
        memberships, shares, kinds, likelihood = _step(counts, member, canary_of, overall, memberships)
        if likelihood[0] - last < 1e-6:
            break
        last = likelihood[0]
    return Mixture(shares[0], kinds[0], weight, float(likelihood[0]))


def _start(places: Floats, components: int, rng: "np.random.Generator") -> Floats:
    """Memberships to start from: runs by the nearest of some runs that are far apart where runs differ most."""
    centres = places[_far_apart(places, components, rng)]
    near = ((places[:, None, :] - centres) ** 2).sum(axis=2).argmin(axis=1)
    return np.asarray(np.eye(components)[near] * 0.9 + 0.1 / components)


def _far_apart(points: Floats, count: int, rng: "np.random.Generator") -> list[int]:
    """Points to start clusters from, each drawn with a chance by its distance from the others (k-means++)."""
    chosen = [int(rng.integers(len(points)))]
    for _ in range(count - 1):
        distance = ((points[:, None, :] - points[chosen]) ** 2).sum(axis=2).min(axis=1)
        total = distance.sum()
        chosen.append(int(rng.choice(len(points), p=distance / total if total > 0 else None)))
    return chosen


def _step(
    counts: Floats, member: Floats, canary_of: Ints, overall: Floats, memberships: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """One step of EM of all starts at once: memberships, shares, shares of kinds, log-likelihoods before the step."""
    shares = memberships.mean(axis=1) + 1e-9
    seen = np.swapaxes(memberships, 1, 2) @ counts
    kinds = (seen + PRIOR_ANSWERS * overall) / (seen @ member + PRIOR_ANSWERS)[..., canary_of]
    joint = counts @ np.swapaxes(np.log(np.maximum(kinds, 1e-300)), 1, 2) + np.log(shares)[:, None, :]
    top = joint.max(axis=2, keepdims=True)
    odds = np.exp(joint - top)
    total = odds.sum(axis=2, keepdims=True)
    return odds / total, shares, kinds, (np.log(total) + top).sum(axis=(1, 2))
