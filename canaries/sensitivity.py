"""What a baseline could not see: how small a change of the answers it finds in time, and which canaries are blind.

The *minimum detectable effect* is the smallest share of the answers that, moved to answers which were never seen, is
paged within the horizon in half of the cases. It is found by trying: recorded runs with some answers moved
(:mod:`canaries.imagined`) are scored by the baseline's own functions, and the caller lets its own rule for paging loose
on the scores. This module does not know that rule.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, exp, log
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from . import BaselineError
from .features import AnswerFeatures, RunFeatures
from .imagined import Recorded, move_count, move_share
from .scores import CANARY_PREFIX, LOGPROB_SHIFT, FrozenScores
from .thinning import thinned

if TYPE_CHECKING:
    from numpy.random import Generator  # 6 MB, which only those take who draw numbers

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
"""The shares of moved answers that are tried; between two of them the effect is read off a line."""

FOUND_SHARE = 0.5
"""A change counts as detectable when this share of the cases is paged within the horizon."""

HORIZON_S = 86_400.0
"""Within what time a change has to be paged, in seconds: a day."""

HORIZON_RUNS_MAX = 200
"""The most runs that a change may take, however close they follow each other: a day of runs every seven minutes."""

HORIZON_RUNS_MIN = 12
"""No rank of a run can page within a few runs, so the horizon has at least so many."""

SUITE_RUNS, SUITE_RUNS_MIN, SUITE_ANSWERS = 32, 16, 1600
"""On how many recorded runs a change of the suite is tried: fewer where they have more answers, so that it is quick."""

CANARY_RUNS = 24
"""On how many recorded runs a change of one canary is tried."""

COUNTS_MAX = 9
"""How many different numbers of moved answers of a canary's samples are tried."""

CONSTANT_SHARE = 0.99
"""From this share of one and the same answer on a canary counts as always answering the same."""

CONSTANT_ANSWERS_MIN = 24
"""Of fewer answers nobody can say that they are always the same."""

CONSTANT_TOKENS_MAX = 12
"""A constant answer of more tokens is many decisions, one of which a changed model may take differently."""

COARSE_SHARE = 0.5
"""A canary that needs a larger share of its answers to move sees gross changes only."""

OUTER_SHARE = 0.05
"""A run lies far out when it is beyond this share of the calibration runs on one side."""

Calibration = Mapping[str, Sequence[tuple[float, float, str]]]


@dataclass(frozen=True, slots=True)
class Scored:
    """What is ranked of a run: its scores, and the label within which they are."""

    label: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs that could come, and the chance of each."""

    scored: tuple[Scored, ...]
    chances: NDArray[np.float64]

    @classmethod
    def alike(cls, scored: Sequence[Scored]) -> "Runs":
        """Runs of which each is as likely as any other."""
        return cls(tuple(scored), np.full(len(scored), 1 / len(scored)))


class PagedShare(Protocol):
    """The rule for paging, as this module needs it."""

    def __call__(self, drifted: Mapping[str, Runs]) -> Mapping[str, float]:
        """For each of several changes, the share of cases in which runs drawn from it are paged within the horizon."""


@dataclass(frozen=True, slots=True)
class BlindCanary:
    """A canary that cannot see what it is there for: why, and what would help."""

    canary: str
    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The smallest shares of moved answers that are paged within the horizon in half of the cases.

    ``suite_mde`` is of all answers, ``by_canary`` of the answers to this canary alone, seen by its own score alone (the
    scores of the suite may see it earlier). ``None``: not even a change of all of them. ``samples`` is how many of each
    canary's samples a run has at most, where these were cut.
    """

    suite_mde: float | None
    by_canary: Mapping[str, float | None]
    blind: tuple[BlindCanary, ...]
    horizon_s: float
    horizon_runs: int
    pages_per_quarter: float
    samples: int | None = None

    def sentences(self) -> tuple[str, ...]:
        """What is and what is not seen, a sentence each, the blind canaries last."""
        within = f"within {_duration(self.horizon_s)} ({self.horizon_runs} runs)"
        cut = f", with {self.samples} of its samples" if self.samples else ""
        if self.suite_mde is None:
            first = (
                f"Were all answers replaced by ones never seen, not even that would be paged {within}{cut}."
            )
        else:
            share = _percent(self.suite_mde) + (" or less" if self.suite_mde <= SHARES[0] else "")
            first = (
                f"Were {share} of all answers replaced by ones never seen, it would be paged {within} in half of "
                f"the cases{cut}."
            )
        return (
            first,
            *self._about_canaries(),
            *(f"canary {one.canary}: {one.why}; {one.advice}" for one in self.blind),
        )

    def _about_canaries(self) -> tuple[str, ...]:
        seen = {canary: mde for canary, mde in self.by_canary.items() if mde is not None}
        missed = len(self.by_canary) - len(seen)
        if not seen:
            return ("Of one canary alone, its own score would not page for any change in that time.",)
        finest, coarsest = min(seen, key=seen.__getitem__), max(seen, key=seen.__getitem__)
        span = f"{_percent(seen[finest])} ({finest})"
        if coarsest != finest:
            span += f" to {_percent(seen[coarsest])} ({coarsest})"
        rest = f"; {missed} of {len(self.by_canary)} canaries would not see any" if missed else ""
        return (f"Of one canary alone, its own score would see a change of {span} of its answers{rest}.",)


def horizon_runs(slot_s: float) -> int:
    """How many runs a change has to be paged within, when they are ``slot_s`` apart."""
    return min(max(HORIZON_RUNS_MIN, int(HORIZON_S // slot_s)), HORIZON_RUNS_MAX)


@dataclass(frozen=True, slots=True)
class Setting:
    """Under what a sensitivity holds: seconds between runs, the target's budget, and samples where they are cut."""

    slot_s: float
    pages_per_quarter: float
    samples: int | None = None


def measure(
    scores: FrozenScores,
    calibration: Calibration,
    runs: Sequence[RunFeatures],
    label: Callable[[RunFeatures], str],
    paged_share: PagedShare,
    setting: Setting,
    rng: "Generator",
) -> Sensitivity:
    """How small a change the frozen ``scores`` see, tried on calibration ``runs``.

    ``label`` gives the label within which a run is ranked. Raises BaselineError when there is no run to try it on.
    """
    runs = [run for run in runs if run.answered_share > 0]
    if not runs:
        raise BaselineError(
            "the answers of the baseline's runs are not stored any more: nothing can be tried on them"
        )
    recorded = Recorded.of(runs)
    if setting.samples is not None:
        runs = [thinned(run, setting.samples) for run in runs]
    most = SUITE_ANSWERS * len(runs) // sum(len(run.answers) for run in runs)
    few = _spread_out(runs, max(SUITE_RUNS_MIN, min(SUITE_RUNS, most)))
    suite = _suite_mde(scores, few, recorded, label, paged_share, rng)
    drifts = {
        canary: _CanaryDrift.of(scores, _spread_out(runs, CANARY_RUNS), canary, recorded, label, rng)
        for canary in _canaries(scores)
    }
    by_canary = _canary_mdes(drifts, paged_share)
    blind = [
        _blindness(
            canary, recorded.answers.get(canary, ()), drift, calibration, by_canary[canary], suite, scores
        )
        for canary, drift in drifts.items()
    ]
    return Sensitivity(
        suite_mde=suite,
        by_canary=by_canary,
        blind=tuple(one for one in blind if one is not None),
        horizon_s=horizon_runs(setting.slot_s) * setting.slot_s,
        horizon_runs=horizon_runs(setting.slot_s),
        pages_per_quarter=setting.pages_per_quarter,
        samples=setting.samples,
    )


def _suite_mde(
    scores: FrozenScores,
    runs: Sequence[RunFeatures],
    recorded: Recorded,
    label: Callable[[RunFeatures], str],
    paged_share: PagedShare,
    rng: "Generator",
) -> float | None:
    def found(asked: Mapping[str, float]) -> Mapping[str, float]:
        drifted = {
            name: Runs.alike(
                [Scored(label(run), scores.score(run)) for run in move_share(runs, share, recorded, rng)]
            )
            for name, share in asked.items()
        }
        return paged_share(drifted)

    return _smallest(("suite",), found)["suite"]


@dataclass(frozen=True, slots=True)
class _CanaryDrift:
    """One canary's own score by the number of its answers that are moved, in each of some runs."""

    samples: int
    by_count: Mapping[int, tuple[Scored, ...]]

    @classmethod
    def of(
        cls,
        scores: FrozenScores,
        runs: Sequence[RunFeatures],
        canary: str,
        recorded: Recorded,
        label: Callable[[RunFeatures], str],
        rng: "Generator",
    ) -> "_CanaryDrift":
        rows = [(label(run), run.answered()[canary]) for run in runs if canary in run.answered()]
        samples = max((len(answers) for _, answers in rows), default=0)
        counts = sorted({round(m) for m in np.linspace(0, samples, min(samples + 1, COUNTS_MAX)).tolist()})

        def scored(name: str, answers: Sequence[AnswerFeatures], count: int) -> Scored:
            run = RunFeatures("", move_count(answers, count, recorded, rng))
            own = CANARY_PREFIX + canary
            return Scored(name, {own: scores.score(run)[own]})

        return cls(
            samples, {m: tuple(scored(name, answers, m) for name, answers in rows) for m in counts if rows}
        )

    def at(self, share: float) -> Runs:
        """The runs to expect when this share of the answers is moved, each answer by itself."""
        tried = np.array(list(self.by_count))
        chances = dict.fromkeys(self.by_count, 0.0)
        for m in range(self.samples + 1):
            nearest = int(tried[np.abs(tried - m).argmin()])
            chances[nearest] += comb(self.samples, m) * share**m * (1 - share) ** (self.samples - m)
        scored = [one for row in self.by_count.values() for one in row]
        each = [chances[m] / len(row) for m, row in self.by_count.items() for _ in row]
        return Runs(tuple(scored), np.array(each) / sum(each))


def _canary_mdes(drifts: Mapping[str, _CanaryDrift], paged_share: PagedShare) -> dict[str, float | None]:
    known = tuple(canary for canary, drift in drifts.items() if drift.by_count)
    found = _smallest(
        known, lambda asked: paged_share({name: drifts[name].at(share) for name, share in asked.items()})
    )
    return {canary: found.get(canary) for canary in drifts}


def _smallest(
    names: Sequence[str], found: Callable[[Mapping[str, float]], Mapping[str, float]]
) -> dict[str, float | None]:
    """For each name the smallest share that is found in half of the cases, by halving ``SHARES``."""
    low, high = dict.fromkeys(names, -1), dict.fromkeys(names, len(SHARES))
    seen: dict[str, dict[int, float]] = {name: {} for name in names}
    while open_ := [name for name in names if high[name] - low[name] > 1]:
        middle = {name: (low[name] + high[name]) // 2 for name in open_}
        for name, share in found({name: SHARES[i] for name, i in middle.items()}).items():
            seen[name][middle[name]] = share
            (high if share >= FOUND_SHARE else low)[name] = middle[name]
    return {name: _between(low[name], high[name], seen[name]) for name in names}


def _between(low: int, high: int, seen: Mapping[int, float]) -> float | None:
    """Where the line between two tried shares crosses ``FOUND_SHARE``, on the scale of logarithms."""
    if high == len(SHARES):
        return None
    if low < 0:
        return SHARES[0]
    part = (FOUND_SHARE - seen[low]) / (seen[high] - seen[low])
    return float(f"{exp(log(SHARES[low]) + part * (log(SHARES[high]) - log(SHARES[low]))):.2g}")


def _blindness(
    canary: str,
    answers: Sequence[AnswerFeatures],
    drift: _CanaryDrift,
    calibration: Calibration,
    mde: float | None,
    suite_mde: float | None,
    scores: FrozenScores,
) -> BlindCanary | None:
    if not drift.by_count:
        return BlindCanary(
            canary, "none of the calibration runs has an answer", "look at the errors of its requests"
        )
    if _is_constant(answers) and not (
        LOGPROB_SHIFT in scores.names() and any(one.first_top for one in answers)
    ):
        return BlindCanary(
            canary,
            f"always gives the same short answer ({len(answers)} times), so a changed model may well give it too",
            "ask a more open question, or a borderline one that it answers now one way, now another; or ask for "
            "log-probabilities, which move first",
        )
    beyond = _far_out(canary, drift, calibration)
    if beyond < FOUND_SHARE:
        return BlindCanary(
            canary,
            "its answers vary so much that noise would hide a change: with all of them moved, "
            f"{_percent(beyond)} of runs lie beyond the outer {_percent(OUTER_SHARE)}",
            "ask for shorter answers or labels, lower the temperature, take more samples, or ask for log-probabilities",
        )
    # Where nothing at all is found in time it is the cadence or the budget, not this canary.
    if suite_mde is not None and (mde is None or mde > COARSE_SHARE):
        return BlindCanary(
            canary,
            "sees gross changes only: "
            + (
                "not even all its answers moved"
                if mde is None
                else f"{_percent(mde)} of its answers must move"
            ),
            "take more samples or more frequent runs, or ask for shorter answers",
        )
    return None


def _is_constant(answers: Sequence[AnswerFeatures]) -> bool:
    (_, most), *_ = Counter(one.answer_hash for one in answers).most_common(1)
    tokens = sum(one.length for one in answers) / len(answers)
    return (
        len(answers) >= CONSTANT_ANSWERS_MIN
        and most >= CONSTANT_SHARE * len(answers)
        and tokens <= CONSTANT_TOKENS_MAX
    )


def _far_out(canary: str, drift: _CanaryDrift, calibration: Calibration) -> float:
    """The share of runs far out when all answers of the canary are moved, on the side where more are.

    Ties are broken by chance, so they are half beyond.
    """
    known = calibration.get(CANARY_PREFIX + canary, ())
    high, low = 0.0, 0.0
    moved = drift.by_count[max(drift.by_count)]
    for run in moved:
        usual = sorted(value for value, _, name in known if name == run.label) or sorted(
            v for v, _, _ in known
        )
        outer = max(1, round(OUTER_SHARE * len(usual)))
        value = run.scores[CANARY_PREFIX + canary]
        if usual:
            high += _beyond(value, usual[-outer])
            low += _beyond(-value, -usual[outer - 1])
    return max(high, low) / len(moved)


def _beyond(value: float, limit: float) -> float:
    return 1.0 if value > limit else 0.5 if value == limit else 0.0


def _canaries(scores: FrozenScores) -> tuple[str, ...]:
    return tuple(
        name.removeprefix(CANARY_PREFIX) for name in scores.names() if name.startswith(CANARY_PREFIX)
    )


def _spread_out(runs: Sequence[RunFeatures], most: int) -> Sequence[RunFeatures]:
    """At most so many of the ``runs``, from all of their time."""
    if len(runs) <= most:
        return runs
    return [runs[i] for i in np.linspace(0, len(runs) - 1, most).round().astype(int).tolist()]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _duration(seconds: float) -> str:
    units = (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0))
    unit, length = next(((unit, length) for unit, length in units if seconds >= 2 * length), ("s", 1.0))
    return f"{seconds / length:.3g} {unit}"
