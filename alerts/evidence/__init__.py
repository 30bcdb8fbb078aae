"""Evidence of drift within a false-page budget: bets on the rank of each new run, and the ledger that adds
them up.

Pure: numbers in, numbers and alarms out. ``docs/statistics.md`` derives the guarantee. A ledger does not know
what a prompt is; it knows named components, each of which gives one number per run::

    ledger = open_ledger({"suite_surprise": [(score, tie), ...], ...})      # the calibration runs
    step = observe(ledger, Observation(...), weights, Budgets())            # each later run, once
    step.alarms, step.ledger
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

__all__ = [
    "Alarm",
    "Budgets",
    "Kind",
    "Ledger",
    "Observation",
    "Ranked",
    "Side",
    "Step",
    "is_steady",
    "observe",
    "open_ledger",
    "tie_break",
]
