"""Whether the promise of the page budget holds for a target, as its frozen baseline tells."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import nan

from alerts.evidence.assumptions import Assumptions, check
from canaries.baseline import Baseline, freeze
from canaries.features import RunFeatures
from canaries.scores import CANARY_PREFIX
from canaries.thinning import is_thinned

from ..watched import House

IN_FORCE = "in force"


def assumptions(baseline: Baseline) -> Assumptions:
    """What the calibration runs of a frozen baseline say of the assumptions.

    Scores that only open tickets are no part of the promise; a canary's own score is compared in blocks where that of
    the suite is.
    """
    runs = baseline.calibration_runs
    by_itself = baseline.tickets_only()
    canaries = [name for name in baseline.calibration if name.startswith(CANARY_PREFIX)]
    of_suite = [name for name in baseline.calibration if name not in by_itself and name not in canaries]
    times = [run.at_s for run in runs if run.at_s is not None]
    # To its last run, not to its freezing: a refreshed baseline is frozen days after it.
    covered_s = max(times, default=baseline.created_at.timestamp()) - baseline.created_at.timestamp()
    return check(
        {name: _values(baseline, name) for name in of_suite},
        covered_s,
        labels=[run.label for run in runs],
        regimes=[run.regime for run in runs],
        at_s=times if len(times) == len(runs) else (),
        dispersion=baseline.dispersion,
        follow=dict.fromkeys(canaries, baseline.anchor_name),
        unlabelled={name: _values(baseline, name) for name in baseline.calibration if name in by_itself},
    )


def _values(baseline: Baseline, name: str) -> list[float]:
    """The values of a score in all calibration runs, NaN where a run lacks it."""
    found = {tie: value for value, tie, label in baseline.calibration[name] if not is_thinned(label)}
    return [found.get(run.tie, nan) for run in baseline.calibration_runs]


def frozen_on(baseline: Baseline, runs: Sequence[RunFeatures], house: House, now: datetime) -> Baseline:
    """The ``baseline`` frozen on the ``runs``, its scores in blocks where runs in a row are too much alike.

    Raises BaselineError when the runs do not make one.
    """
    frozen = freeze(baseline, runs, house.tie, now)
    # Frozen with it, and not worked out again later: another version of a library might find other blocks.
    return replace(frozen, blocks=known_assumptions(house, frozen).blocks)


def known_assumptions(house: House, baseline: Baseline) -> Assumptions:
    """The same, made once for each baseline: it takes a while, and a frozen baseline never changes."""
    # Not by its id: one whose freezing was undone may be frozen again, with another run.
    key = baseline.target, baseline.contract.hash, baseline.calibration_ids
    if key not in house.assumed:
        house.assumed[key] = assumptions(baseline)
    return house.assumed[key]


def guarantee(house: House, baseline: Baseline) -> str:
    """The promise in a line: that it is in force, or why not."""
    found = known_assumptions(house, baseline)
    return IN_FORCE if found.is_in_force else f"not in force: {'; '.join(found.reasons)}"
