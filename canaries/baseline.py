"""Baselines: runs that were frozen to compare later runs with."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from . import BaselineError
from .contract import Contract
from .dispersion import Dispersion, dispersions
from .features import FEATURES_VERSION, RunFeatures
from .labels import Labeller, fit_labels
from .reference import Reference
from .scores import SUITE_SURPRISE, TOKEN_SURPRISE, FrozenScores, fit
from .thinning import levels, samples_asked, thinned, thinned_label

RUNS_MIN = 12
"""A baseline of fewer runs cannot be frozen: there is nothing to rank a run against."""

CALIBRATION_RUNS_GOOD = 24
"""With fewer calibration runs even certain drift takes many runs to prove: small baselines calibrate more."""

TRAIN_RUNS_GOOD = 8
"""What calibration leaves for training, at least, and never less than a quarter."""

ANCHOR = "anchor"
"""The score against the first baseline of a line: a change so slow that each refresh takes it for usual shows here."""

REGIME = "regime"
"""The score that tells how rare a run's label is: moves between regimes that are known show here."""

REGIME_SHARE = 0.05
"""Its share of what a target may spend, where runs have labels. It only ever opens tickets."""

ANCHOR_SHARE = 0.05
"""The anchor's share of what a target may spend, once a baseline has been refreshed."""

Calibration = Mapping[str, tuple[tuple[float, float, str], ...]]
"""For each score its values in the calibration runs, in order of time: each with the number that breaks ties, and with
the label within which it is ranked. A run is there once more for each number of samples that it could be thinned to."""

T = TypeVar("T")


class BaselineStatus(StrEnum):
    """The life of a baseline. A target has at most one that is not retired for a suite."""

    COLLECTING = "collecting"
    FROZEN = "frozen"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """What is known of a calibration run beside its scores.

    ``tie`` orders it among runs with the same value and tells it from the others, ``at_s`` is its start in unix
    seconds, ``label`` what it is ranked within, ``regime`` the same without the part of the day.
    """

    tie: float
    at_s: float | None
    label: str
    regime: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """Runs of a suite on a target to compare later runs with, once it is frozen; then it never changes.

    ``blocks`` says of a score how many runs in a row are averaged to be compared, where single ones are too much alike.
    ``anchor_id`` is the first baseline of a line of refreshed ones, which later runs are compared with for ever.
    """

    id: str
    target: str
    suite: str
    contract: Contract
    created_at: datetime
    status: BaselineStatus = BaselineStatus.COLLECTING
    frozen_at: datetime | None = None
    retired_at: datetime | None = None
    train_ids: tuple[str, ...] = ()
    calibration_ids: tuple[str, ...] = ()
    scores: FrozenScores | None = None
    labels: Labeller = field(default_factory=Labeller)
    calibration: Calibration = field(default_factory=dict)
    calibration_runs: tuple[CalibrationRun, ...] = ()
    dispersion: Mapping[str, Dispersion] = field(default_factory=dict)
    blocks: Mapping[str, int] = field(default_factory=dict)
    reference: Reference | None = None
    anchor_id: str | None = None

    @property
    def known_models(self) -> tuple[str, ...]:
        """The models that served the baseline's runs."""
        return self.reference.models if self.reference else ()

    @property
    def known_fingerprints(self) -> tuple[str, ...]:
        """The system fingerprints of the baseline's runs."""
        return self.reference.fingerprints if self.reference else ()

    @property
    def never_failed(self) -> tuple[str, ...]:
        """The checks, as ``canary/check``, that passed in every sample of the baseline's runs."""
        return self.reference.never_failed if self.reference else ()

    @property
    def anchor_name(self) -> str:
        """The score that later runs are compared with this baseline by when it is an anchor."""
        return SUITE_SURPRISE if SUITE_SURPRISE in self.calibration else TOKEN_SURPRISE

    def anchor_score(self, run: RunFeatures) -> dict[str, float]:
        """The anchor's score of ``run``; nothing when the run lacks what it needs."""
        score = self._frozen().suite_score(self.anchor_name, run)
        return {} if score is None else {ANCHOR: score}

    @property
    def has_regimes(self) -> bool:
        """Whether runs are ranked within labels, between which they can move."""
        return REGIME in self.calibration

    def score(self, run: RunFeatures) -> dict[str, float]:
        """The scores of ``run``, but for those that it lacks the answers for. Raises BaselineError unless frozen."""
        scores = self._frozen().score(run)
        return scores | {REGIME: self.labels.surprise(self.labels.label(run))} if self.has_regimes else scores

    def weights(self) -> dict[str, float]:
        """Each score's share of what the target may spend; they sum to 1."""
        weights = self._frozen().weights()
        if not self.has_regimes:
            return weights
        return {name: share * (1 - REGIME_SHARE) for name, share in weights.items()} | {REGIME: REGIME_SHARE}

    def tickets_only(self) -> frozenset[str]:
        """The scores that open tickets and never page."""
        return self._frozen().tickets_only() | {REGIME}

    def describe(self) -> dict[str, str]:
        """What each score tells, for people: the end of a sentence that begins with its name."""
        own = {
            ANCHOR: "how rare the answers are among those of the first baseline",
            REGIME: "how rare its regime or part of the day is among the runs of the baseline",
        }
        return self._frozen().describe() | own

    def _frozen(self) -> FrozenScores:
        if self.scores is None:
            raise BaselineError(f"baseline {self.id} is {self.status.value}: it has no scores yet")
        return self.scores

    def label(self, run: RunFeatures) -> str:
        """The label within which ``run`` is ranked; empty where all runs are ranked together."""
        return _label(self.labels.label(run), run, self.contract.expected_samples())

    def to_json(self) -> str:
        """The baseline as JSON that ``from_json`` reads back exactly, to the last bit of each number."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)} | {
            "contract": asdict(self.contract),
            "scores": self.scores.to_plain() if self.scores else None,
            "labels": self.labels.to_plain(),
            "reference": self.reference.to_plain() if self.reference else None,
            "calibration_runs": [astuple(run) for run in self.calibration_runs],
            "dispersion": {canary: astuple(one) for canary, one in self.dispersion.items()},
        }
        return json.dumps(plain, separators=(",", ":"), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str) -> "Baseline":
        """The baseline that ``to_json`` wrote."""
        plain: dict[str, Any] = json.loads(text)
        times = {name: plain[name] for name in ("created_at", "frozen_at", "retired_at")}
        made_by = plain["contract"]["shared"].get("anchorwatch.features", FEATURES_VERSION)
        if made_by != FEATURES_VERSION:
            # Scores of another version cannot be read, nor compared with: its contract says so to whoever asks.
            plain |= {"scores": None, "calibration": {}}
        return cls(
            **plain
            | {name: datetime.fromisoformat(time) if time else None for name, time in times.items()}
            | {
                "contract": Contract(**plain["contract"]),
                "status": BaselineStatus(plain["status"]),
                "train_ids": tuple(plain["train_ids"]),
                "calibration_ids": tuple(plain["calibration_ids"]),
                "scores": FrozenScores.from_plain(plain["scores"]) if plain["scores"] else None,
                "labels": Labeller.from_plain(plain["labels"]) if "labels" in plain else Labeller(),
                "calibration": {
                    name: tuple((value, tie, label) for value, tie, label in found)
                    for name, found in plain["calibration"].items()
                },
                "calibration_runs": tuple(CalibrationRun(*run) for run in plain.get("calibration_runs", ())),
                "dispersion": {c: Dispersion(*one) for c, one in plain.get("dispersion", {}).items()},
                "reference": Reference.from_plain(plain["reference"]) if plain["reference"] else None,
            }
        )


def split(runs: Sequence[T], n: int) -> tuple[Sequence[T], Sequence[T]]:
    """The train and the calibration runs among the first ``n`` of ``runs``, which are in order of time.

    Half and half; of few runs calibration gets more, up to ``CALIBRATION_RUNS_GOOD``: 84 and 84 of 168, 16 and 24
    of 40. Raises BaselineError for fewer than ``RUNS_MIN``, or when there are fewer than ``n``.
    """
    if n < RUNS_MIN:
        raise BaselineError(f"a baseline needs at least {RUNS_MIN} runs, not {n}: let more runs be collected")
    if len(runs) < n:
        raise BaselineError(f"a baseline of {n} runs was asked for, and there are {len(runs)}")
    n_calibration = max(n // 2, min(CALIBRATION_RUNS_GOOD, n - max(TRAIN_RUNS_GOOD, n // 4)))
    return runs[: n - n_calibration], runs[n - n_calibration : n]


def calibrate(
    scores: FrozenScores,
    labels: Labeller,
    runs: Sequence[RunFeatures],
    tie: Callable[[str], float],
    expected: Mapping[str, int],
) -> Calibration:
    """What later runs are ranked against: the scores of the calibration ``runs``, each within its label.

    ``tie`` gives the number that orders a run, by its id, among runs with the same value; ``expected`` the samples of a
    full run, by canary.
    """
    ranked: dict[str, list[tuple[float, float, str]]] = {name: [] for name in scores.names()}
    labelled = labels.label_all(runs)
    for run in runs:
        fewer = (samples for samples in levels(expected) if samples < samples_asked(run, expected))
        for one in (run, *(thinned(run, samples) for samples in fewer)):
            # A thinned run is labelled by what is left of it, as it will be when money runs short.
            within = _label(labels.label(one), one, expected)
            for name, value in scores.score(one).items():
                ranked[name].append((value, tie(run.run_id), within))
    if len(labels.labels) > 1:
        ranked[REGIME] = [
            (labels.surprise(label), tie(run.run_id), "") for run, label in zip(runs, labelled, strict=True)
        ]
    return {name: tuple(found) for name, found in ranked.items()}


def _calibration_runs(
    labels: Labeller, runs: Sequence[RunFeatures], tie: Callable[[str], float]
) -> tuple[CalibrationRun, ...]:
    found = zip(runs, labels.label_all(runs), labels.regimes_of(runs), strict=True)
    return tuple(
        CalibrationRun(tie(run.run_id), run.at.timestamp() if run.at else None, label, regime)
        for run, label, regime in found
    )


def _label(label: str, run: RunFeatures, expected: Mapping[str, int]) -> str:
    asked = samples_asked(run, expected)
    # Only so many as a run is thinned to on purpose: one that lacks an answer or two is ranked with the others.
    return thinned_label(label, asked) if asked in levels(expected) else label


def freeze(
    baseline: Baseline, runs: Sequence[RunFeatures], tie: Callable[[str], float], now: datetime
) -> Baseline:
    """The ``baseline`` frozen on all ``runs``, which are in order of time.

    Raises BaselineError when it is not collecting, or the runs are too few or have too few answers.
    """
    if baseline.status is not BaselineStatus.COLLECTING:
        raise BaselineError(
            f"baseline {baseline.id} is {baseline.status.value}: only one that collects can be frozen"
        )
    train, calibration = split(runs, len(runs))
    expected = baseline.contract.expected_samples()
    # As they will be read for every later run: calibration runs must be scored by the very same functions.
    scores = FrozenScores.from_json(fit(train, expected).to_json())
    labels = fit_labels(train, len(calibration))
    reference = Reference()
    for run in runs:
        reference = reference.learn(run)
    return replace(
        baseline,
        status=BaselineStatus.FROZEN,
        frozen_at=now,
        train_ids=tuple(run.run_id for run in train),
        calibration_ids=tuple(run.run_id for run in calibration),
        scores=scores,
        labels=labels,
        calibration_runs=_calibration_runs(labels, calibration, tie),
        dispersion=dispersions(calibration),
        calibration=calibrate(scores, labels, calibration, tie, expected),
        reference=reference,
    )


def retire(baseline: Baseline, now: datetime) -> Baseline:
    """The ``baseline`` put aside: later runs are not compared with it any more."""
    if baseline.status is BaselineStatus.RETIRED:
        raise BaselineError(f"baseline {baseline.id} is retired already")
    return replace(baseline, status=BaselineStatus.RETIRED, retired_at=now)
