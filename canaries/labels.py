"""What a run is ranked within: the regime it comes from and the part of the day, where these matter.

Ranking a run among calibration runs of its own label keeps the odds exact as long as runs of the same label are
exchangeable (Mondrian conformal prediction: Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*,
2005). Whatever the labels are, they must be a fixed function of a run: they are learned from the train runs alone.
Labels that had looked at the calibration runs would treat these unlike the later ones, which are ranked against them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer_counts import Floats, Ints, Kinds, kinds_of
from .features import RunFeatures
from .regimes import REGIMES_MAX, Regimes, fit_regimes
from .season import Arcs, cut_day, day_matters

LABEL_RUNS_MIN = 24
"""Calibration runs that a label has to expect. Below this the ledger opens tickets only: such a label is joined with
the one most like it."""

SEASON_LEVEL = 0.01
"""The chance of calling a target seasonal that is not."""

FINGERPRINTED_SHARE_MIN = 0.95
"""The share of the train runs whose answers all have to carry one fingerprint, for fingerprints to be the regimes."""


@dataclass(frozen=True, slots=True)
class Labeller:
    """Labels runs; made by ``fit_labels``.

    ``groups`` names the label of each regime, or of each fingerprint. ``arcs`` cuts the day within a label;
    ``frequencies`` is how common each final label is among the train runs, the commonest first.
    """

    groups: tuple[str, ...] = ("",)
    regimes: Regimes | None = None
    fingerprints: Mapping[str, int] = field(default_factory=dict)
    arcs: Mapping[str, Arcs] = field(default_factory=dict)
    frequencies: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels; a single empty one where all runs are ranked together."""
        return tuple(label for group in dict.fromkeys(self.groups) for label in self._cut(group))

    def label(self, run: RunFeatures) -> str:
        """The label of ``run``, empty where all runs are ranked together."""
        return self.label_all([run])[0]

    def label_all(self, runs: Sequence[RunFeatures]) -> list[str]:
        """The labels of many runs, at less cost than one by one."""
        return [self._in_season(regime, run) for regime, run in zip(self.regimes_of(runs), runs, strict=True)]

    def regimes_of(self, runs: Sequence[RunFeatures]) -> list[str]:
        """The labels of ``runs`` without the part of the day."""
        if self.fingerprints:
            # A fingerprint that the train runs did not have counts as the commonest: a run that nothing could be
            # ranked against would hide the change that came with it.
            return [self.groups[self.fingerprints.get(_fingerprint(run) or "", 0)] for run in runs]
        if self.regimes is None or not runs:
            return [self.groups[0]] * len(runs)
        return [self.groups[number] for number in self.regimes.of(runs)]

    def surprise(self, label: str) -> float:
        """How rare a label is among the train runs: ``-log`` of its share. Moves between labels show in this."""
        total = sum(self.frequencies.values()) + 1
        return log(total / (self.frequencies.get(label, 0) + 1))

    def describe(self) -> str:
        """What the labels are, as a sentence."""
        if len(self.labels) == 1:
            return "all runs are ranked together"
        groups = list(dict.fromkeys(self.groups))
        parts = []
        if len(groups) > 1:
            shares = ", ".join(f"{g} {self._share(g):.0%}" for g in groups)
            what = "system fingerprints" if self.fingerprints else "regimes learned from the answers"
            parts.append(f"{len(groups)} {what} ({shares})")
        if self.arcs:
            cuts = {cut: ", ".join(cut.name(arc) for arc in range(cut.count)) for cut in self.arcs.values()}
            parts.append(f"the part of the day in UTC ({'; '.join(cuts.values())})")
        return f"runs are ranked within {' and '.join(parts)}"

    def _share(self, group: str) -> float:
        own = sum(self.frequencies.get(label, 0) for label in self._cut(group))
        return own / max(1, sum(self.frequencies.values()))

    def _cut(self, group: str) -> list[str]:
        cut = self.arcs.get(group)
        return [_joined(group, cut.name(arc)) for arc in range(cut.count)] if cut else [group]

    def _in_season(self, group: str, run: RunFeatures) -> str:
        cut = self.arcs.get(group)
        return _joined(group, cut.name(cut.of(run.at))) if cut and run.at else group

    def to_plain(self) -> dict[str, Any]:
        """The labeller as values that JSON can hold."""
        return {
            "groups": self.groups,
            "regimes": self.regimes.to_plain() if self.regimes else None,
            "fingerprints": dict(self.fingerprints),
            "arcs": {group: asdict(cut) for group, cut in self.arcs.items()},
            "frequencies": dict(self.frequencies),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Labeller":
        """The labeller that ``to_plain`` gave."""
        return cls(
            tuple(plain["groups"]),
            Regimes.from_plain(plain["regimes"]) if plain["regimes"] else None,
            plain["fingerprints"],
            {group: Arcs(**cut) for group, cut in plain["arcs"].items()},
            plain["frequencies"],
        )


def fit_labels(train: Sequence[RunFeatures], calibration_runs: int | None = None, seed: int = 0) -> Labeller:
    """The labels that the ``train`` runs give reason for; a single empty one where they give none.

    ``calibration_runs`` is how many runs will be labelled and ranked against, by default as many as ``train``. Nothing
    else may be known of them here. ``seed`` is that of the starts of EM and of the permutations.
    """
    rng = np.random.default_rng(seed)
    expected = len(train) if calibration_runs is None else calibration_runs
    if expected < 2 * LABEL_RUNS_MIN or len(train) < 2 * LABEL_RUNS_MIN:
        return _counted(Labeller(), train)
    kinds = kinds_of(train)
    table = kinds.table(train)
    found = _by_fingerprint(train, expected) or _by_regime(kinds, table, expected, rng) or Labeller()
    quantities = [_rareness(table, kinds.canary_of), _lengths(train)]
    return _counted(_with_season(found, train, quantities, rng), train)


def _by_fingerprint(train: Sequence[RunFeatures], expected: int) -> Labeller | None:
    """Labels by the fingerprints that are served, when they are few, each is common, and a run has one."""
    served = Counter(found for run in train if (found := _fingerprint(run)))
    few = 2 <= len(served) <= REGIMES_MAX and served.total() >= FINGERPRINTED_SHARE_MIN * len(train)
    if not few or min(served.values()) / len(train) * expected < LABEL_RUNS_MIN:
        return None
    ordered = sorted(served, key=lambda name: (-served[name], name))
    return Labeller(tuple(ordered), fingerprints={name: i for i, name in enumerate(ordered)})


def _fingerprint(run: RunFeatures) -> str | None:
    """The fingerprint that all answers of a run carry, if they carry one."""
    found = {answer.system_fingerprint for answer in run.answers if answer.is_answered}
    return next(iter(found)) if len(found) == 1 else None


def _by_regime(kinds: Kinds, table: Floats, expected: int, rng: "np.random.Generator") -> Labeller | None:
    regimes = fit_regimes(kinds, table, rng)
    if regimes is None:
        return None
    counts = np.bincount(regimes.of_table(table), minlength=len(regimes.shares)) / len(table) * expected
    groups = _join_small(counts, np.array(regimes.log_odds))
    return Labeller(groups, regimes) if len(set(groups)) > 1 else None


def _join_small(counts: Floats, log_odds: Floats) -> tuple[str, ...]:
    """The label of each regime: those of too few runs join the one most like them."""
    joined = [[number] for number in range(len(counts))]
    while len(joined) > 1:
        sizes = [counts[own].sum() for own in joined]
        smallest = int(np.argmin(sizes))
        if sizes[smallest] >= LABEL_RUNS_MIN:
            break
        centre = log_odds[joined[smallest]].mean(axis=0)
        others = [own for number, own in enumerate(joined) if number != smallest]
        nearest = min(others, key=lambda own: float(((log_odds[own].mean(axis=0) - centre) ** 2).sum()))
        nearest += joined[smallest]
        joined = others
    # The commonest first, whose number a run without answers gets, too.
    names = {number: "ABCD"[i] for i, own in enumerate(sorted(joined, key=min)) for number in own}
    return tuple(names[number] for number in range(len(counts)))


def _with_season(
    found: Labeller, train: Sequence[RunFeatures], quantities: Sequence[Floats], rng: "np.random.Generator"
) -> Labeller:
    """The labeller with the day cut into arcs, where the hour matters to one of the quantities within a label."""
    timed = [run for run in train if run.at]
    if len(timed) < len(train):
        return found
    at = [run.at for run in train if run.at]
    groups = np.array(found.regimes_of(train))
    quantities = [_within(values, groups) for values in quantities]
    p_values = [day_matters(values, at, rng) for values in quantities]
    if min(p_values) > SEASON_LEVEL / len(quantities):
        return found
    values = quantities[int(np.argmin(p_values))]
    arcs = {}
    for group in dict.fromkeys(found.groups):
        own = np.flatnonzero(groups == group)
        if cut := cut_day(values[own], [at[i] for i in own]):
            arcs[group] = cut
    return Labeller(found.groups, found.regimes, found.fingerprints, arcs)


def _rareness(table: Floats, canary_of: Ints) -> Floats:
    """How rare the kinds of answers of each run are among those of all, in nats an answer."""
    given = table.sum(axis=0)
    of_canary = np.bincount(canary_of, given)
    cost = -np.log((given + 1) / (of_canary[canary_of] + 1))
    return np.asarray(table @ cost / np.maximum(table.sum(axis=1), 1.0))


def _lengths(train: Sequence[RunFeatures]) -> Floats:
    """How long the answers of each run are, each canary compared with its own mean length."""
    rows = [{c: fsum(a.length for a in own) / len(own) for c, own in run.answered().items()} for run in train]
    of_canary: dict[str, list[float]] = {}
    for row in rows:
        for canary, length in row.items():
            of_canary.setdefault(canary, []).append(length)
    usual = {canary: max(1.0, fsum(own) / len(own)) for canary, own in of_canary.items()}
    return np.array([fsum(row[c] / usual[c] for c in row) / len(row) if row else 1.0 for row in rows])


def _within(values: Floats, groups: NDArray[np.str_]) -> Floats:
    """The values less the mean of their group."""
    found = values.copy()
    for group in sorted(set(groups.tolist())):
        found[groups == group] -= values[groups == group].mean()
    return found


def _counted(found: Labeller, train: Sequence[RunFeatures]) -> Labeller:
    counts = Counter(found.label_all(train))
    frequencies = {
        label: counts[label] for label in sorted(found.labels, key=lambda one: (-counts[one], one))
    }
    return Labeller(found.groups, found.regimes, found.fingerprints, found.arcs, frequencies)


def _joined(group: str, arc: str) -> str:
    return f"{group} {arc}".lstrip()
