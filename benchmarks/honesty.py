"""Whether the assumption monitor tells the truth: ``python -m benchmarks.honesty --baselines 200``.

Endpoints that do not change, each with a baseline of one or of four weeks: how many the monitor calls red, that is,
says that the page budget is not in force. An endpoint that sticks to its backends has to be red in four weeks, one
whose runs are independent green. With ``--quarters`` some of the endpoints are watched for a quarter, too: where the
monitor was green, the pages must keep the budget. Exit status 1 where one of these does not hold.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.canary_arm import CanaryArm
from benchmarks.false_pages import Case, Summary, pages_at, quarters_of
from benchmarks.repetitions import repeat
from benchmarks.streams import BASELINE_RUNS, Scenario, draw_scenario

WEEKS = (1, 4)

RED_SHARE_MIN, GREEN_SHARE_MIN = 0.95, 0.95
"""Of sticky four-week baselines that have to be red, and of independent and mixed ones that have to be green."""

GREEN_SCENARIOS = (Scenario.IID, Scenario.MIX)

SLACK_ERRORS = 2.0
"""Standard errors that a mean may be above the budget, by chance."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the monitor said of one baseline: the beginnings of its reasons, and the number of labels."""

    reasons: tuple[str, ...]
    labels: int
    block: int


def verdict_of(case: tuple[Scenario, int, int]) -> Verdict:
    """The verdict on a scenario's baseline of so many weeks, by its seed."""
    scenario, weeks, seed = case
    baseline, _ = draw_scenario(np.random.default_rng(seed), scenario, weeks * BASELINE_RUNS, 0)
    arm = CanaryArm(baseline)
    found = arm.assumptions()
    labels = {label for _, _, label in next(iter(arm.baseline.calibration.values())) if "=" not in label}
    reasons = tuple(dict.fromkeys(_kind(reason) for reason in found.reasons))
    return Verdict(reasons, len(labels), max(arm.baseline.blocks.values(), default=1))


def _kind(reason: str) -> str:
    """A reason without its numbers."""
    return re.sub(r"\d+(\.\d+)?", "…", reason.split("(")[0].split(" for about")[0]).strip()


@dataclass(frozen=True, slots=True)
class Found:
    """The share of red baselines of one scenario and length, why, and the pages of the green ones in a quarter."""

    scenario: Scenario
    weeks: int
    red_share: float
    labelled_share: float
    blocked_share: float
    reasons: dict[str, int]
    pages: Summary

    def is_honest(self, budget: float) -> bool:
        """Whether the verdicts are what they have to be, and green ones keep the budget."""
        if self.scenario is Scenario.STICKY and self.weeks == max(WEEKS) and self.red_share < RED_SHARE_MIN:
            return False
        if self.scenario in GREEN_SCENARIOS and 1 - self.red_share < GREEN_SHARE_MIN:
            return False
        kept = self.pages.mean - SLACK_ERRORS * self.pages.error <= budget
        return self.pages.quarters < 2 or bool(kept)


def look(
    scenario: Scenario, weeks: int, seeds: Sequence[int], quarters: int, budget: float, workers: int
) -> Found:
    """What the monitor says of a baseline for each seed, and the pages of the first ``quarters`` of them."""
    told = f"{scenario}, {weeks} weeks"
    verdicts = repeat(verdict_of, [(scenario, weeks, seed) for seed in seeds], workers, told)
    cases = [Case(scenario, (seed,), 0, weeks * BASELINE_RUNS, (budget,)) for seed in seeds[:quarters]]
    watched = [one for batch in repeat(quarters_of, cases, workers, f"{told}, pages") for one in batch]
    return Found(
        scenario,
        weeks,
        float(np.mean([bool(one.reasons) for one in verdicts])),
        float(np.mean([one.labels > 1 for one in verdicts])),
        float(np.mean([one.block > 1 for one in verdicts])),
        dict(Counter(reason for one in verdicts for reason in one.reasons).most_common()),
        Summary.of([one.alarms[pages_at(budget)] for one in watched if one.is_in_force]),
    )


def table(found: Sequence[Found], baselines: int, budget: float) -> Table:
    """The verdicts for people."""
    drawn = Table(title=f"What the assumption monitor says of {baselines} targets without a change")
    drawn.add_column("target")
    headings = (
        "baseline",
        "red",
        "with labels",
        "in blocks",
        f"pages where green (budget {budget:g})",
        "why red",
    )
    for heading in headings:
        drawn.add_column(heading)
    for one in found:
        pages = f"{one.pages} in {one.pages.quarters}" if one.pages.quarters else "—"
        why = "; ".join(f"{reason} {n}" for reason, n in one.reasons.items())
        shares = (f"{share:.1%}" for share in (one.red_share, one.labelled_share, one.blocked_share))
        drawn.add_row(one.scenario, f"{one.weeks} weeks", *shares, pages, why)
    return drawn


def plain(one: Found) -> dict[str, Any]:
    """The same for machines."""
    shares = {"red": one.red_share, "labelled": one.labelled_share, "blocked": one.blocked_share}
    pages = {"mean": one.pages.mean, "error": one.pages.error, "quarters": one.pages.quarters}
    counted = {"pages_where_green": pages} if one.pages.quarters else {}
    return {"scenario": one.scenario, "weeks": one.weeks, **shares, "reasons": one.reasons, **counted}


def main(
    baselines: Annotated[int, typer.Option(min=2, help="Baselines of each scenario and length.")] = 20,
    quarters: Annotated[int, typer.Option(min=0, help="Of these, how many are watched for a quarter.")] = 0,
    scenario: Annotated[list[Scenario] | None, typer.Option(help="All, when none is given.")] = None,
    weeks: Annotated[list[int] | None, typer.Option(help="Lengths of the baselines; 1 and 4.")] = None,
    budget: Annotated[float, typer.Option(help="Pages per quarter.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Baseline i is drawn from seed + i.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count how often the monitor is red, and the false pages where it is green."""
    seeds = range(seed, seed + baselines)
    lengths = weeks or WEEKS
    found = [look(s, w, seeds, quarters, budget, workers) for s in scenario or Scenario for w in lengths]
    if as_json:
        facts = {"baselines": baselines, "budget": budget, "seed": seed}
        print(json.dumps(facts | {"found": [plain(one) for one in found]}, indent=2))
    else:
        Console().print(table(found, baselines, budget))
    raise typer.Exit(int(not all(one.is_honest(budget) for one in found)))


if __name__ == "__main__":
    typer.run(main)
