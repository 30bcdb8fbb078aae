"""Runs from a change to the page, by the size of the change: ``python -m benchmarks.detection_delay``.

Each repetition is a new endpoint: a baseline of a week, 200 runs without a change, then up to 400 with one.
The delay counts the runs with the change until the first page after it began; a page in the very first is a
delay of 1.
"""

import json
import math
from collections.abc import Iterable
from statistics import median
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from alerts.evidence import Budgets, Kind
from benchmarks import peers
from benchmarks.canary_arm import TRAIN_RUNS, Scorer, alarms
from benchmarks.streams import (
    BASELINE_RUNS,
    Drift,
    all_prompts,
    draw_endpoint,
    draw_runs,
    one_prompt,
    sharpened,
)

STEADY, DRIFTED = 200, 400
"""Runs before and after the change."""

BUDGETS = (1.0, 0.25)
"""Pages per quarter; the second is the default."""

DRIFTS: dict[str, Drift] = {
    "5 % of mass, all prompts": all_prompts(0.05),
    "10 %": all_prompts(0.10),
    "20 %": all_prompts(0.20),
    "50 %": all_prompts(0.50),
    "one prompt of 25, 70 %": one_prompt(0.70),
    "sharpening (p^1.5)": sharpened(1.5),
}
BH = "BH each hour (no budget)"


def first_after_change(alarmed: Iterable[int]) -> float:
    """How many runs it took from the change; infinite when there was no alarm after it."""
    return next((float(run - STEADY + 1) for run in alarmed if run >= STEADY), math.inf)


def delays(seed: int, drift: Drift) -> dict[str, float]:
    """The delay of every procedure at one endpoint."""
    rng = np.random.default_rng(seed)
    endpoint = draw_endpoint(rng)
    baseline = draw_runs(rng, endpoint, BASELINE_RUNS)
    later = np.concatenate([draw_runs(rng, endpoint, STEADY), draw_runs(rng, drift(rng, endpoint), DRIFTED)])
    scorer = Scorer(baseline)
    calibration, scored, weights = scorer(baseline[TRAIN_RUNS:]), scorer(later), scorer.scores.weights()
    found = {}
    for budget in BUDGETS:
        raised = alarms(calibration, scored, weights, Budgets(pages_per_quarter=budget))
        pages = (run for run, alarm in raised if alarm.kind is Kind.PAGE)
        found[f"Anchorwatch, {budget:g} pages a quarter"] = first_after_change(pages)
    rejected = peers.benjamini_hochberg(peers.p_values(rng, baseline, later))
    return found | {BH: first_after_change(np.flatnonzero(rejected).tolist())}


def summary(found: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median and 90 % point of each procedure's delays, and the share of changes that it found."""
    result = {}
    for name in found[0]:
        column = sorted(row[name] for row in found)
        q90 = column[math.ceil(0.9 * len(column)) - 1]
        share = sum(map(math.isfinite, column)) / len(column)
        result[name] = {"median": median(column), "q90": q90, "found": share}
    return result


def table(results: dict[str, dict[str, dict[str, float]]], repetitions: int) -> Table:
    """The summary for people."""
    title = f"Runs from the change to the alarm, median / 90 % of {repetitions}"
    drawn = Table("change", *next(iter(results.values())), title=title)
    for drift, result in results.items():
        drawn.add_row(drift, *(f"{cell['median']:g} / {cell['q90']:g}" for cell in result.values()))
    return drawn


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="Endpoints per kind of change.")] = 20,
    seed: Annotated[int, typer.Option(help="Endpoint i is drawn from seed + i.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; a change never found is null.")
    ] = False,
) -> None:
    """Measure how long changes of several kinds and sizes stay unnoticed."""
    stderr = Console(stderr=True)
    results = {
        name: summary([delays(seed + i, drift) for i in track(range(repetitions), name, console=stderr)])
        for name, drift in DRIFTS.items()
    }
    if as_json:
        print(json.dumps({"repetitions": repetitions, "seed": seed, "drifts": _finite(results)}, indent=2))
    else:
        Console().print(table(results, repetitions))


def _finite(
    results: dict[str, dict[str, dict[str, float]]],
) -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        drift: {
            name: {key: value if math.isfinite(value) else None for key, value in cell.items()}
            for name, cell in result.items()
        }
        for drift, result in results.items()
    }


if __name__ == "__main__":
    typer.run(main)
