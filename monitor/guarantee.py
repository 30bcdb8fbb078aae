"""Whether the promise of the page budget holds for a target, as its frozen baseline tells."""

from collections.abc import Sequence
from datetime import datetime

from alerts.evidence.assumptions import Assumptions, check
from canaries.baseline import Baseline, freeze
from canaries.features import RunFeatures
from canaries.scores import CANARY_PREFIX
from canaries.thinning import is_thinned

from .watched import House

IN_FORCE = "in force"


def assumptions(baseline: Baseline) -> Assumptions:
    """What the calibration runs of a frozen baseline say of the assumptions."""
    looked_at = [name for name in baseline.calibration if not name.startswith(CANARY_PREFIX)]
    covered = (baseline.frozen_at or baseline.created_at) - baseline.created_at
    values = {
        name: [value for value, _, label in baseline.calibration[name] if not is_thinned(label)]
        for name in looked_at
    }
    return check(values, covered.total_seconds())


def frozen_on(baseline: Baseline, runs: Sequence[RunFeatures], house: House, now: datetime) -> Baseline:
    """The ``baseline`` frozen on the ``runs``, its scores in blocks where runs in a row are too much alike.

    Raises BaselineError when the runs do not make one.
    """
    return freeze(baseline, runs, house.tie, now)


def known_assumptions(house: House, baseline: Baseline) -> Assumptions:
    """The same, made once for each baseline: it takes a while, and a frozen baseline never changes."""
    if baseline.id not in house.assumed:
        house.assumed[baseline.id] = assumptions(baseline)
    return house.assumed[baseline.id]


def guarantee(house: House, baseline: Baseline) -> str:
    """The promise in a line: that it is in force, or why not."""
    found = known_assumptions(house, baseline)
    return IN_FORCE if found.is_in_force else f"not in force: {'; '.join(found.reasons)}"
