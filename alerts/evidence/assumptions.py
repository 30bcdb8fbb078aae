"""Whether the promise of the page budget holds for a target: what the calibration runs say of the assumption.

The ledger needs runs that are exchangeable with each other. What breaks that in practice is stickiness: a backend
that is kept for hours makes neighbouring runs alike, which shows as autocorrelation of the scores, or of the regimes
that the runs come from. The other is the calendar: hours and weekdays that differ.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import numpy as np

from .autocorrelation import WINDOW, Autocorrelation, autocorrelation, block_length, ranks_within
from .bets import Floats
from .calendar_effects import NONE, Effect, hour_effect, weekday_effect, without_hours
from .ledger import PAGE_CALIBRATION_MIN

LEVEL = 0.02
"""Chance, over all scores looked at, of calling an exchangeable target autocorrelated."""

CALENDAR_LEVEL = 0.005
"""The same of calling it seasonal by the hour, and by the weekday."""

CALENDAR_SHARE_MIN = 0.03
"""The share of a score's variance that the calendar must explain to matter."""

DISPERSED = 2.0
"""Chi-square per degree of freedom from which on a canary is said to be over-dispersed."""

CYCLE_S = 6.5 * 86_400
"""A baseline of less time has not seen every hour of the week. Half a day less than a week: the last run's own slot
and a run that was missed do not matter."""

PAGE_BLOCKS = 3
"""A page takes at least so many blocks or runs, at the default budget."""

NOT_IN_FORCE = "the guarantee is not in force for this target"


class Dispersed(Protocol):
    """What is told of a canary's answers; made elsewhere."""

    @property
    def chi2_per_df(self) -> float:
        """How much more they vary from run to run than independent samples; 1 is alike."""

    @property
    def intra_run(self) -> float:
        """The correlation of two samples of a run."""


@dataclass(frozen=True, slots=True)
class Regimes:
    """The regimes that the calibration runs come from: how many runs each has, and how these follow one another.

    ``kept_runs`` is how many runs in a row are of one regime, on average; ``expected_kept_runs`` about what it would be
    if the runs came in any order. ``explained_by_hour`` says that they follow each other by the time of day only.
    """

    runs: Mapping[str, int]
    kept_runs: float
    expected_kept_runs: float
    autocorrelation: Autocorrelation
    hour_effect: Effect = NONE
    explained_by_hour: bool = False


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Whether the guarantee is in force for a target, and if not, why.

    ``autocorrelation`` and the effects of the calendar are those of the scores as they are; ``within_labels`` is the
    autocorrelation of their ranks among the runs of the same label, which is what the ledger bets on. ``labels`` tells
    how many calibration runs each label has. ``blocks`` are the components to compare in blocks of so many runs: from a
    change to a page of the slowest of them it takes at least ``delay_floor_runs``. ``notes`` are worth knowing, and no
    reason for doubt.
    """

    calibration_runs: int
    autocorrelation: Mapping[str, Autocorrelation]
    is_in_force: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    within_labels: Mapping[str, Autocorrelation] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    regimes: Regimes | None = None
    hour_effect: Mapping[str, Effect] = field(default_factory=dict)
    weekday_effect: Mapping[str, Effect] = field(default_factory=dict)
    dispersion: Mapping[str, Dispersed] = field(default_factory=dict)
    blocks: Mapping[str, int] = field(default_factory=dict)
    delay_floor_runs: int = PAGE_BLOCKS


@dataclass(frozen=True, slots=True)
class _Levels:
    """What each single test may spend, so that all of them together seldom call a target what it is not."""

    stickiness: float
    calendar: float

    @classmethod
    def of(cls, scores: int) -> "_Levels":
        # Two tests of each score as it is and two within labels, and two of the regimes.
        return cls(LEVEL / (4 * scores + 2), CALENDAR_LEVEL / max(1, scores))

    def matters(self, effect: Effect) -> bool:
        """Whether the calendar has an effect, more than can be chance and enough to matter."""
        return effect.share >= CALENDAR_SHARE_MIN and effect.p_value <= self.calendar


@dataclass(frozen=True, slots=True)
class _Score:
    """What was found of one score: as it is, and of its ranks within labels."""

    name: str
    values: Floats
    raw: Autocorrelation
    within: Autocorrelation
    hour: Effect = NONE
    weekday: Effect = NONE
    hour_within: Effect = NONE
    weekday_within: Effect = NONE
    less_hours: Autocorrelation | None = None

    @classmethod
    def of(
        cls, name: str, values: Floats, labels: Sequence[str], at_s: Sequence[float], seed: int
    ) -> "_Score":
        there = ~np.isnan(values)
        own = values[there]
        ranks = ranks_within(own, np.array(labels or [""] * len(values))[there])
        raw, within = autocorrelation(own, seed), autocorrelation(ranks, seed)
        if not at_s:
            return cls(name, own, raw, within)
        at = np.asarray(at_s, dtype=np.float64)[there]
        return cls(
            name,
            own,
            raw,
            within,
            hour=hour_effect(own, at, seed),
            weekday=weekday_effect(own, at, seed),
            hour_within=hour_effect(ranks, at, seed),
            weekday_within=weekday_effect(ranks, at, seed),
            less_hours=autocorrelation(without_hours(own, at), seed),
        )

    def is_alike(self, levels: _Levels) -> bool:
        """Whether runs near one another are alike, and not for the time of day only."""
        follows_hours = (
            levels.matters(self.hour)
            and self.less_hours is not None
            and not self.less_hours.is_alike(levels.stickiness)
        )
        return self.raw.is_alike(levels.stickiness) and not follows_hours

    def block(self, levels: _Levels) -> int:
        """How many runs to compare together; 1 where single ones are not alike within labels."""
        return block_length(self.values) if self.within.is_sticky(levels.stickiness) else 1

    def reasons(self, levels: _Levels, is_labelled: bool) -> list[str]:
        """Why the score is no ground for the promise."""
        found = []
        is_alike_within = self.within.is_alike(levels.stickiness)
        if self.is_alike(levels) or is_alike_within:
            shown = self.raw if self.raw.is_alike(levels.stickiness) else self.within
            text = f"{_alike(self.name, shown, levels)}: {NOT_IN_FORCE}"
            if is_labelled and not is_alike_within:
                text += "; ranked within labels they are not, but nobody can prove that the labels catch all of it"
            found.append(text + _cost_of(self.block(levels), len(self.values)))
        for what, effect in (
            ("hour of the day", self.hour_within),
            ("day of the week", self.weekday_within),
        ):
            if levels.matters(effect):
                found.append(
                    f"the {what} explains {effect.share:.0%} of {self.name} (p {effect.p_value:.4f}), and runs are not "
                    f"ranked by it: {NOT_IN_FORCE}"
                )
        return found


def check(
    calibration: Mapping[str, Sequence[float]],
    covers_s: float = math.inf,
    seed: int = 0,
    *,
    labels: Sequence[str] = (),
    regimes: Sequence[str] = (),
    at_s: Sequence[float] = (),
    dispersion: Mapping[str, Dispersed] | None = None,
    follow: Mapping[str, str] | None = None,
    unlabelled: Mapping[str, Sequence[float]] | None = None,
) -> Assumptions:
    """What the calibration runs' scores, in order of time, say of the assumption.

    Only the scores that are passed are looked at. ``covers_s`` is how much time the whole baseline covers, ``seed``
    that of the permutations.

    With ``labels`` (what each run is ranked within), ``regimes`` (the labels without the time of day; by default the
    labels) or ``at_s`` (when each run began, in unix seconds) every score needs a value for each run, NaN where the run
    lacks it. ``follow`` names components that are not looked at, and for each the score whose blocks it takes;
    ``unlabelled`` gives the values of components that are ranked without labels and no part of the promise, such as the
    rarity of the label itself: they get blocks of their own.
    """
    n = max((len(values) for values in calibration.values()), default=0)
    _must_fit(calibration, labels, regimes, at_s)
    levels = _Levels.of(len(calibration))
    scores = [
        _Score.of(name, np.asarray(values, dtype=np.float64), labels, at_s, seed)
        for name, values in calibration.items()
    ]
    kept = _regimes(regimes or labels, at_s, levels, seed)
    blocks = {score.name: b for score in scores if (b := score.block(levels)) > 1}
    blocks |= {one: blocks[leader] for one, leader in (follow or {}).items() if leader in blocks}
    delay_floor_runs = PAGE_BLOCKS * max(blocks.values(), default=1)
    for name, values in (unlabelled or {}).items():
        own = np.asarray(values, dtype=np.float64)
        own = own[~np.isnan(own)]
        if autocorrelation(own, seed).is_sticky(levels.stickiness):
            blocks[name] = block_length(own)
    is_labelled = len(set(labels)) > 1
    reasons = [*_too_little(n, covers_s), *_sticky_regimes(kept, levels)]
    for score in scores:
        reasons += score.reasons(levels, is_labelled)
    return Assumptions(
        n,
        {score.name: score.raw for score in scores},
        not reasons,
        tuple(reasons),
        (*_labelled(labels), *_hourly(scores, kept, levels), *_dispersed(dispersion or {})),
        {score.name: score.within for score in scores},
        dict(sorted(Counter(labels).items())),
        kept,
        {score.name: score.hour for score in scores} if at_s else {},
        {score.name: score.weekday for score in scores} if at_s else {},
        dispersion or {},
        blocks,
        delay_floor_runs,
    )


def _must_fit(calibration: Mapping[str, Sequence[float]], *others: Sequence[object]) -> None:
    for name, values in calibration.items():
        for other in others:
            if other and len(other) != len(values):
                raise ValueError(
                    f"{name} has {len(values)} values for {len(other)} runs: give NaN where a run lacks it"
                )


def _regimes(regimes: Sequence[str], at_s: Sequence[float], levels: _Levels, seed: int) -> Regimes | None:
    counts = Counter(regimes)
    if len(counts) < 2:
        return None
    n = len(regimes)
    kept_runs = n / sum(1 for _ in groupby(regimes))
    expected = 1 / (1 - sum((count / n) ** 2 for count in counts.values()))
    kinds = sorted(counts)
    columns = np.array([[float(name == kind) for kind in kinds] for name in regimes])
    raw = autocorrelation(columns, seed)
    runs = {kind: counts[kind] for kind in kinds}
    if not at_s:
        return Regimes(runs, kept_runs, expected, raw)
    at = np.asarray(at_s, dtype=np.float64)
    hour = min((hour_effect(column, at, seed) for column in columns.T), key=lambda effect: effect.p_value)
    less_hours = autocorrelation(without_hours(columns, at), seed)
    explained = levels.matters(hour) and not less_hours.is_alike(levels.stickiness)
    return Regimes(runs, kept_runs, expected, raw, hour, explained)


def _sticky_regimes(regimes: Regimes | None, levels: _Levels) -> list[str]:
    if not regimes or regimes.explained_by_hour or not regimes.autocorrelation.is_alike(levels.stickiness):
        return []
    found = regimes.autocorrelation
    return [
        f"runs stick to a regime for about {regimes.kept_runs:.0f} runs (lag-1 correlation {found.lag1:.2f}, p "
        f"{found.p_value:.4f}): {NOT_IN_FORCE}; runs are ranked within {len(regimes.runs)} regimes, but nobody can "
        "prove that these catch all of it"
    ]


def _alike(name: str, found: Autocorrelation, levels: _Levels) -> str:
    if found.is_sticky(levels.stickiness):
        return f"neighbouring runs are alike in {name} (lag-1 correlation {found.lag1:.2f}, p {found.p_value:.4f})"
    return (
        f"{name} wanders: its mean over {WINDOW} runs varies {found.inflation:.1f} times as much as that of "
        f"independent runs (p {found.inflation_p:.4f})"
    )


def _cost_of(block: int, runs: int) -> str:
    """What comparing a score in blocks costs, as the end of a reason."""
    if block == 1:
        return ""
    text = f"; it is compared in blocks of {block} runs, so that a page takes {PAGE_BLOCKS * block} runs at least"
    if runs // block >= PAGE_CALIBRATION_MIN:
        return text
    needed = PAGE_CALIBRATION_MIN * block
    return (
        f"{text}, and with {runs // block} calibration blocks it opens tickets only: pages need {needed} calibration "
        f"runs, a baseline of {2 * needed}"
    )


def _too_little(n: int, covers_s: float) -> list[str]:
    found = []
    if n < PAGE_CALIBRATION_MIN:
        found.append(f"only {n} calibration runs: tickets only, pages need {PAGE_CALIBRATION_MIN}")
    if covers_s < CYCLE_S:
        found.append(
            f"the baseline covers {covers_s / 86_400:.1f} days: it has not seen a whole week, whose nights and "
            "weekends may look like drift"
        )
    return found


def _labelled(labels: Sequence[str]) -> list[str]:
    counts = Counter(labels)
    if len(counts) < 2:
        return []
    told = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
    found = [f"runs are ranked within {len(counts)} labels (calibration runs: {told})"]
    few = sorted(name for name, n in counts.items() if n < PAGE_CALIBRATION_MIN)
    if few:
        found.append(
            f"tickets only for runs of {', '.join(few)}: pages need {PAGE_CALIBRATION_MIN} calibration runs of a label"
        )
    return found


def _hourly(scores: Sequence[_Score], regimes: Regimes | None, levels: _Levels) -> list[str]:
    """What follows the time of day and is not in the way, as the labels take it out."""
    found = [
        score.name for score in scores if levels.matters(score.hour) and not levels.matters(score.hour_within)
    ]
    if regimes and regimes.explained_by_hour:
        found.insert(0, "how common the regimes are")
    return [f"{name} follows the time of day; within the labels nothing of it is left" for name in found]


def _dispersed(dispersion: Mapping[str, Dispersed]) -> list[str]:
    many = [name for name, found in dispersion.items() if found.chi2_per_df > DISPERSED]
    if not many:
        return []
    worst = max(many, key=lambda name: dispersion[name].chi2_per_df)
    found = dispersion[worst]
    return [
        f"{len(many)} of {len(dispersion)} canaries vary more from run to run than independent samples do (most: "
        f"{worst}, chi-square/df {found.chi2_per_df:.1f}, correlation of a run's samples {found.intra_run:.2f}): a "
        "test that counts samples would cry wolf, one that ranks runs does not"
    ]
