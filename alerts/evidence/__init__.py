"""Evidence of drift within a false-page budget: bets on the rank of each new run, and the ledger that adds
them up.

Pure: numbers in, numbers and alarms out. ``docs/statistics.md`` derives the guarantee. A ledger does not know
what a prompt is; it knows named components, each of which gives one number per run::

    ranks = rank({"suite_surprise": [(score, tie, label), ...], ...})       # the calibration runs, frozen
    ledger = open_ledger(ranks)
    step = observe(ranks, ledger, Observation(...), weights, Budgets())     # each later run, once
    step.alarms, step.ledger.to_bytes()
"""

from alerts.evidence.bets import Ranked, Side, tie_break
from alerts.evidence.ledger import (
    Alarm,
    Budgets,
    Kind,
    Ledger,
    Observation,
    Step,
    is_steady,
    observe,
    open_ledger,
)
from alerts.evidence.ranks import PAGE_CALIBRATION_MIN, UNLABELLED, Calibrated, Ranks, rank

__all__ = [
    "PAGE_CALIBRATION_MIN",
    "UNLABELLED",
    "Alarm",
    "Budgets",
    "Calibrated",
    "Kind",
    "Ledger",
    "Observation",
    "Ranked",
    "Ranks",
    "Side",
    "Step",
    "is_steady",
    "observe",
    "open_ledger",
    "rank",
    "tie_break",
]
