"""False pages per quarter without a change: ``python -m benchmarks.false_pages --quarters 200``.

Each quarter is a new endpoint with a baseline of a week. Every alarm of every component counts, even several
in one run, which the product would report as one page. Exit status 1 when the mean is above the budget.
"""

import json
from collections import Counter
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from alerts.evidence import Budgets, Kind
from benchmarks import peers
from benchmarks.canary_arm import TRAIN_RUNS, Scorer, alarms
from benchmarks.streams import BASELINE_RUNS, RUNS_A_QUARTER, draw_endpoint, draw_runs

LEDGER = "Anchorwatch, pages"
TICKETS = "Anchorwatch, tickets"
ROLLBACKS = "Anchorwatch, rollbacks"
FORGETFUL = "the same ledger, ranks against the calibration runs only"
BH = "Benjamini-Hochberg over the prompts, each hour"
ANY = "any prompt p < 0.05"


def quarter(seed: int, budgets: Budgets) -> dict[str, int]:
    """The false alarms of every procedure in one quarter of one endpoint."""
    rng = np.random.default_rng(seed)
    endpoint = draw_endpoint(rng)
    baseline, later = draw_runs(rng, endpoint, BASELINE_RUNS), draw_runs(rng, endpoint, RUNS_A_QUARTER)
    scorer = Scorer(baseline)
    calibration, scored, weights = scorer(baseline[TRAIN_RUNS:]), scorer(later), scorer.scores.weights()
    kinds = Counter(alarm.kind for _, alarm in alarms(calibration, scored, weights, budgets))
    naive = Counter(alarm.kind for _, alarm in alarms(calibration, scored, weights, budgets, forgetful=True))
    p = peers.p_values(rng, baseline, later)
    return {
        LEDGER: kinds[Kind.PAGE],
        TICKETS: kinds[Kind.TICKET],
        ROLLBACKS: kinds[Kind.ROLLBACK],
        FORGETFUL: naive[Kind.PAGE],
        BH: int(peers.benjamini_hochberg(p).sum()),
        ANY: int(peers.any_prompt(p).sum()),
    }


def summary(counts: list[dict[str, int]]) -> dict[str, dict[str, float]]:
    """Mean, standard error and largest count of each procedure, and its mean as a multiple of ours."""
    ours = np.mean([row[LEDGER] for row in counts])
    result = {}
    for name in counts[0]:
        column = np.array([row[name] for row in counts])
        error = column.std(ddof=1) / np.sqrt(len(column)) if len(column) > 1 else float("nan")
        ratio = column.mean() / ours if ours else float("inf")
        result[name] = {"mean": column.mean(), "error": error, "most": int(column.max()), "ratio": ratio}
    return result


def table(result: dict[str, dict[str, float]], quarters: int, budgets: Budgets) -> Table:
    """The summary for people."""
    budget = dict(zip((LEDGER, TICKETS, ROLLBACKS), budgets.per_quarter, strict=True))
    title = f"False alarms per quarter, {quarters} quarters without a change"
    drawn = Table("procedure", title=title)
    for heading in ("budget", "mean", "± s.e.", "most in a quarter", "× ours"):
        drawn.add_column(heading, justify="right")
    for name, row in result.items():
        numbers = (f"{row['mean']:.2f}", f"{row['error']:.2f}", f"{row['most']:.0f}", f"{row['ratio']:.1f}")
        drawn.add_row(name, f"{budget[name]:g}" if name in budget else "none", *numbers)
    return drawn


def main(
    quarters: Annotated[int, typer.Option(min=2, help="How many endpoint-quarters to simulate.")] = 20,
    budget: Annotated[float, typer.Option(help="Pages per quarter.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Quarter i is drawn from seed + i.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the false alarms of simulated quarters without a change."""
    budgets = Budgets(pages_per_quarter=budget)
    stderr = Console(stderr=True)
    counts = [quarter(seed + i, budgets) for i in track(range(quarters), "Quarters", console=stderr)]
    result = summary(counts)
    if as_json:
        facts = {"quarters": quarters, "budget": budget, "seed": seed, "procedures": result}
        print(json.dumps(facts, indent=2))
    else:
        Console().print(table(result, quarters, budgets))
    raise typer.Exit(int(result[LEDGER]["mean"] > budget))


if __name__ == "__main__":
    typer.run(main)
