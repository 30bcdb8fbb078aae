"""Runs from a change to the page, by the size of the change: ``python -m benchmarks.detection_delay``.

Each repetition is a new endpoint: a baseline of a week (four weeks where backends stick), 200 runs without a change,
then up to 400 with one. The delay counts the runs with the change until the first page after it began; a page in the
very first is a delay of 1. Thin runs ask each prompt fewer times and come more often. Exit status 1 when a change of a
fifth of the answers is not found as fast as it must be.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from alerts.evidence import Budgets, Kind
from benchmarks.canary_arm import HOUR_S, CanaryArm
from benchmarks.peers import PEERS, look
from benchmarks.repetitions import repeat
from benchmarks.streams import (
    BASELINE_RUNS,
    PROMPTS,
    SAMPLES,
    Drift,
    Scenario,
    all_prompts,
    draw_scenario,
    one_prompt,
    sharpened,
)

STEADY, DRIFTED = 200, 400
"""Runs before and after the change."""

BUDGETS = (1.0, 0.25)
"""Pages per quarter; the second is the default."""

FIFTH = "20 % of mass"

DRIFTS: dict[str, Drift] = {
    "5 % of mass, all prompts": all_prompts(0.05),
    "10 % of mass": all_prompts(0.10),
    FIFTH: all_prompts(0.20),
    "50 % of mass": all_prompts(0.50),
    "one prompt of 25, 70 %": one_prompt(0.70),
    "sharpening (p^1.5)": sharpened(1.5),
}

GOALS = {
    "5 % of mass, all prompts": (8, 20),
    "10 % of mass": (4, 8),
    FIFTH: (3, 4),
    "one prompt of 25, 70 %": (8, 18),
    "sharpening (p^1.5)": (4, 5),
}
"""Runs at the first budget, hourly and 4 samples a prompt: median and 90 % point."""

SCENARIOS = {Scenario.IID: tuple(DRIFTS), Scenario.MIX: tuple(DRIFTS), Scenario.STICKY: (FIFTH,)}
"""What is measured where: under sticky backends the one change that must be found."""

WEEKS = {Scenario.STICKY: 4}
"""Of baseline, where it is not one."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How thin runs are, and how often they come."""

    samples: int
    minutes: int

    @property
    def baseline_runs(self) -> int:
        """A week of them."""
        return 7 * 24 * 60 // self.minutes

    def __str__(self) -> str:
        return f"{self.samples} every {self.minutes} min"


HOURLY = Cadence(SAMPLES, 60)
THIN = (
    Cadence(1, 15),
    Cadence(2, 15),
    Cadence(4, 15),
    Cadence(8, 15),
    Cadence(2, 30),
    HOURLY,
    Cadence(8, 120),
)
"""Samples a prompt: the first is the one to keep; then more at the same times, then more for the same money."""

THIN_SCENARIOS = (Scenario.IID, Scenario.MIX, Scenario.STICKY)
THIN_SAMPLES_MAX, THIN_MINUTES_MAX = 125, 60


@dataclass(frozen=True, slots=True)
class Case:
    """One endpoint to simulate."""

    scenario: Scenario
    drift: str
    seed: int
    baseline_runs: int = BASELINE_RUNS
    cadence: Cadence = HOURLY
    with_peers: bool = True


def ours_at(budget: float) -> str:
    """What the pages at this budget are called."""
    return f"Anchorwatch, {budget:g} pages a quarter"


def first_after_change(alarmed: Iterable[int]) -> float:
    """How many runs it took from the change; infinite when there was no alarm after it."""
    return next((float(run - STEADY + 1) for run in alarmed if run >= STEADY), math.inf)


def delays(case: Case) -> dict[str, float]:
    """The delay of every procedure at one endpoint, in runs."""
    rng = np.random.default_rng(case.seed)
    slot_s = case.cadence.minutes * 60.0
    baseline, later = draw_scenario(
        rng,
        case.scenario,
        case.baseline_runs,
        STEADY + DRIFTED,
        DRIFTS[case.drift],
        STEADY,
        case.cadence.samples,
        HOUR_S / slot_s,
    )
    arm = CanaryArm(baseline, slot_s)
    observations = arm.follow(later)
    found = {}
    for budget in BUDGETS:
        raised = arm.alarms(observations, Budgets(pages_per_quarter=budget))
        pages = (run for run, alarm in raised if alarm.kind is Kind.PAGE)
        found[ours_at(budget)] = first_after_change(pages)
    if case.with_peers:
        looks = look(rng, baseline, later)
        for name, alarmed in PEERS.items():
            found[name] = first_after_change(np.flatnonzero(alarmed(looks)).tolist())
    return found


@dataclass(frozen=True, slots=True)
class Summary:
    """Median and 90 % point of delays in runs, and the share of changes that were found."""

    median: float
    q90: float
    found: float

    @classmethod
    def of(cls, column: Iterable[float]) -> "Summary":
        """The summary of delays."""
        ordered = sorted(column)
        q90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
        return cls(median(ordered), q90, sum(map(math.isfinite, ordered)) / len(ordered))

    def __str__(self) -> str:
        return f"{self.median:g} / {self.q90:g}"

    def meets(self, goal: tuple[float, float]) -> bool:
        """Whether both are as small as the ``goal``."""
        return self.median <= goal[0] and self.q90 <= goal[1]

    def plain(self) -> dict[str, float | None]:
        """The summary for machines; what was never found is null."""
        pairs = ("median", self.median), ("q90", self.q90), ("found", self.found)
        return {name: value if math.isfinite(value) else None for name, value in pairs}


Found = dict[str, dict[str, Summary]]
"""By change, and by procedure."""


def summaries(rows: list[dict[str, float]]) -> dict[str, Summary]:
    """The summary of each procedure."""
    return {name: Summary.of(row[name] for row in rows) for name in rows[0]}


def table(scenario: Scenario, found: Found, repetitions: int) -> Table:
    """The delays of one scenario for people."""
    title = f"{scenario}: runs from the change to the alarm, median / 90 % of {repetitions}"
    drawn = Table("procedure", *found, title=title)
    goals = [f"{GOALS[drift][0]} / {GOALS[drift][1]}" if drift in GOALS else "" for drift in found]
    drawn.add_row("goal, at 1 page a quarter", *goals)
    for name in next(iter(found.values())):
        drawn.add_row(name, *(str(column[name]) for column in found.values()))
    return drawn


def thin_table(found: dict[Cadence, dict[Scenario, dict[str, Summary]]], repetitions: int) -> Table:
    """The delays of thin runs for people: what matters of them is samples and minutes."""
    title = (
        f"{FIFTH} moves: samples and minutes from the change to the page, median / 90 % of {repetitions}; goal "
        f"{THIN_SAMPLES_MAX} samples and {THIN_MINUTES_MAX} min at the first cadence"
    )
    drawn = Table("samples a prompt", "pages a quarter", *THIN_SCENARIOS, title=title)
    for cadence, by_scenario in found.items():
        for budget in BUDGETS:
            cells = [_thin_cell(cadence, one[ours_at(budget)]) for one in by_scenario.values()]
            drawn.add_row(str(cadence), f"{budget:g}", *cells)
    return drawn


def _thin_cell(cadence: Cadence, one: Summary) -> str:
    samples, minutes = _cost(cadence, one.median)
    samples_90, minutes_90 = _cost(cadence, one.q90)
    return f"{samples:g} / {samples_90:g} samples, {minutes:g} / {minutes_90:g} min"


def _cost(cadence: Cadence, runs: float) -> tuple[float, float]:
    return runs * PROMPTS * cadence.samples, runs * cadence.minutes


def measure(scenario: Scenario, repetitions: int, seed: int, workers: int) -> Found:
    """The delays of every change that is measured in this scenario."""
    runs = WEEKS.get(scenario, 1) * BASELINE_RUNS
    return {
        drift: summaries(
            repeat(
                delays,
                [Case(scenario, drift, seed + i, runs) for i in range(repetitions)],
                workers,
                f"{scenario}: {drift}",
            )
        )
        for drift in SCENARIOS[scenario]
    }


def measure_thin(
    cadence: Cadence, repetitions: int, seed: int, workers: int
) -> dict[Scenario, dict[str, Summary]]:
    """The delays of a change of a fifth at this cadence, in runs."""
    return {
        scenario: summaries(
            repeat(
                delays,
                [
                    Case(scenario, FIFTH, seed + i, cadence.baseline_runs, cadence, with_peers=False)
                    for i in range(repetitions)
                ],
                workers,
                f"{cadence}, {scenario}",
            )
        )
        for scenario in THIN_SCENARIOS
    }


def is_fast_enough(
    found: dict[Scenario, Found], thin: dict[Cadence, dict[Scenario, dict[str, Summary]]]
) -> bool:
    """Whether what must be found fast is."""
    ours = ours_at(BUDGETS[0])
    hourly = [by_drift[FIFTH][ours] for by_drift in found.values() if FIFTH in by_drift]
    cost = [_cost(THIN[0], one[ours].median) for one in thin.get(THIN[0], {}).values()]
    return all(one.meets(GOALS[FIFTH]) for one in hourly) and all(
        samples <= THIN_SAMPLES_MAX and minutes <= THIN_MINUTES_MAX for samples, minutes in cost
    )


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="Endpoints per kind of change.")] = 20,
    hourly: Annotated[bool, typer.Option(help="Measure hourly runs, 4 samples a prompt.")] = True,
    thin: Annotated[bool, typer.Option(help="Measure thin runs.")] = True,
    seed: Annotated[int, typer.Option(help="Endpoint i is drawn from seed + i.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; a change never found is null.")
    ] = False,
) -> None:
    """Measure how long changes of several kinds and sizes stay unnoticed."""
    found = {one: measure(one, repetitions, seed, workers) for one in (SCENARIOS if hourly else ())}
    thinner = {one: measure_thin(one, repetitions, seed, workers) for one in (THIN if thin else ())}
    if as_json:
        print(json.dumps({"repetitions": repetitions, "seed": seed} | _plain(found, thinner), indent=2))
    else:
        for scenario, by_drift in found.items():
            Console().print(table(scenario, by_drift, repetitions))
        if thinner:
            Console().print(thin_table(thinner, repetitions))
    raise typer.Exit(int(not is_fast_enough(found, thinner)))


def _plain(
    found: dict[Scenario, Found], thin: dict[Cadence, dict[Scenario, dict[str, Summary]]]
) -> dict[str, Any]:
    return {
        "drifts": {
            scenario: {
                drift: {name: one.plain() for name, one in row.items()} for drift, row in by_drift.items()
            }
            for scenario, by_drift in found.items()
        },
        "thin_runs": {
            str(cadence): {
                scenario: {name: one.plain() for name, one in row.items()} for scenario, row in rows.items()
            }
            for cadence, rows in thin.items()
        },
    }


if __name__ == "__main__":
    typer.run(main)
