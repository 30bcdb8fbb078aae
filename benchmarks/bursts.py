"""What bursts are worth: false pages a quarter with and without them, and the time until a change pages.

Run it with ``python -m benchmarks.bursts``; fixed seeds, some minutes. Runs are independent of each other, four
scores of a target are bet on, and when the next run comes is decided as the daemon decides it.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from alerts.evidence import Budgets, Kind, Observation, open_ledger, rank
from alerts.evidence.ledger import QUARTER_S, observe
from benchmarks.repetitions import repeat
from canaries.config import BurstConfig
from monitor.canary_flow.burst import BurstFacts, next_burst

CALIBRATION_RUNS = 168
SCORES = ("suite", "peak", "length", "tokens")
WEIGHTS = {"suite": 0.5, "peak": 0.25, "length": 0.125, "tokens": 0.125}
START = datetime(2026, 3, 2, tzinfo=UTC)
SHIFTS = (1.5, 2.5, 4.0)
"""How far a change moves the scores, in their standard deviations."""
SETTLING = timedelta(days=7)
"""How long before the change the target is watched."""
MOST = timedelta(days=30)
"""How long a change is waited for."""


@dataclass(frozen=True, slots=True)
class Case:
    """One target to watch: from when on it has changed by how much (``shift`` 0: never), with bursts or without."""

    seed: int
    every_s: float
    bursts: bool
    pages_per_quarter: float
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it: pages, runs and bursts, and the hours from the change to the first page."""

    pages: int
    runs: int
    bursts: int
    hours: float | None = None


def watch(case: Case) -> Seen:
    """One quarter without a change, or the time until a change pages."""
    rng = np.random.default_rng(case.seed)
    calibration = {
        name: [(float(rng.standard_normal()), float(rng.random()), "") for _ in range(CALIBRATION_RUNS)]
        for name in SCORES
    }
    ranks = rank(calibration)
    ledger, budgets = open_ledger(ranks), Budgets(pages_per_quarter=case.pages_per_quarter)
    changes = START + SETTLING
    end = changes + MOST if case.shift else START + timedelta(seconds=QUARTER_S)
    at, scheduled, in_a_row, runs, bursts, pages = START, START, 0, 0, 0, 0
    while at < end:
        if at >= scheduled:
            scheduled += timedelta(seconds=case.every_s)
        runs += 1
        has_changed = bool(case.shift) and at >= changes
        values = rng.standard_normal(len(SCORES)) + (case.shift if has_changed else 0.0)
        run = Observation(
            str(runs), at, case.every_s, rng.random(), dict(zip(SCORES, values.tolist(), strict=True))
        )
        step = observe(ranks, ledger, run, WEIGHTS, budgets)
        ledger = step.ledger
        if any(alarm.kind is Kind.PAGE for alarm in step.alarms):
            pages += 1
            if has_changed:
                return Seen(pages, runs, bursts, (at - changes).total_seconds() / 3600)
        facts = BurstFacts(
            evidence=max(step.evidence.values()), slot_s=case.every_s, scheduled_at=scheduled, in_a_row=in_a_row,
            is_paging=False, is_in_blocks=False, has_money=True, chance=rng.random(),
        )  # fmt: skip
        burst = next_burst(facts, BurstConfig() if case.bursts else None, at)
        in_a_row, bursts = burst.in_a_row, bursts + (burst.at is not None)
        at = burst.at or scheduled
    return Seen(pages, runs, bursts)


def false_pages(repetitions: int, every_s: float, budget: float, workers: int) -> Iterator[str]:
    """False pages a quarter, with the standard error of their mean."""
    for bursts in (False, True):
        cases = [Case(seed, every_s, bursts, budget) for seed in range(repetitions)]
        seen = repeat(watch, cases, workers, "quarters without a change")
        pages = np.array([one.pages for one in seen])
        share = sum(one.bursts for one in seen) / sum(one.runs for one in seen)
        error = pages.std(ddof=1) / np.sqrt(len(pages))
        yield (
            f"| {every_s / 60:.0f} min | {budget:g} | {'yes' if bursts else 'no'} "
            f"| {pages.mean():.2f} ± {error:.2f} | {share:.2%} |"
        )


def delays(repetitions: int, every_s: float, shift: float, workers: int) -> Iterator[str]:
    """Hours until a change pages: median and 90 %."""
    for bursts in (False, True):
        cases = [Case(seed, every_s, bursts, 0.25, shift) for seed in range(repetitions)]
        seen = repeat(watch, cases, workers, "changes")
        hours = np.array([np.inf if one.hours is None else one.hours for one in seen])
        median, late = np.quantile(hours, [0.5, 0.9], method="higher")
        yield (
            f"| {every_s / 60:.0f} min | {shift:g} sd | {'yes' if bursts else 'no'} | {median:.1f} h | {late:.1f} h |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quarters", type=int, default=200)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    print("| every | budget | bursts | false pages a quarter | bursts among runs |\n|---|---|---|---|---|")
    for line in false_pages(chosen.quarters, 3600.0, 1.0, chosen.workers):
        print(line, flush=True)
    print("\n| every | change | bursts | median | 90 % |\n|---|---|---|---|---|")
    for every_s in (3600.0, 900.0):
        for shift in SHIFTS:
            for line in delays(chosen.changes, every_s, shift, chosen.workers):
                print(line, flush=True)


if __name__ == "__main__":
    main()
