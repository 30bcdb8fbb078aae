"""False pages per quarter without a change: ``python -m benchmarks.false_pages --quarters 1000``.

Each quarter is a new endpoint with a baseline of a week, of four weeks where backends stick. Every alarm of every
component counts, even several in one run, which the product would report as one page. All budgets, and the peers, see
the same runs. Exit status 1 when a mean is more than 1.05 times its budget, over all targets or over those whose
assumption monitor is green, or when the monitor does not see that backends stick.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from alerts.evidence import Budgets, Kind, Observation
from benchmarks.canary_arm import HOUR_S, CanaryArm
from benchmarks.ledgers_together import alarms_together
from benchmarks.peers import PEERS, look
from benchmarks.repetitions import repeat
from benchmarks.streams import BASELINE_RUNS, RUNS_A_QUARTER, Answers, Scenario, draw_scenario

STICKY_BASELINE_RUNS = 4 * BASELINE_RUNS
"""A week holds too few changes of a backend that is kept for hours."""

BUDGETS = (1.0, 0.1)
BATCH = 10
"""Quarters whose ledgers are updated together."""

SLACK = 1.05
"""A mean may be above its budget by chance: by 5 % of it."""

RED_SHARE_MIN = 0.95
"""In how many of the targets with sticky backends the monitor has to say so."""

TICKETS = "Anchorwatch, tickets"
ROLLBACKS = "Anchorwatch, rollbacks"
FORGETFUL = "the same ledger, ranks against the calibration runs only"


@dataclass(frozen=True, slots=True)
class Case:
    """Quarters to simulate, one for each seed; the peers see those of the first ``peers`` seeds."""

    scenario: Scenario
    seeds: tuple[int, ...]
    peers: int
    baseline_runs: int
    budgets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Quarter:
    """The false alarms of every procedure in one quarter of one endpoint, and what the product said of it before.

    ``is_in_force`` is the assumption monitor's verdict, ``labels`` how many the runs are ranked within, ``block`` the
    longest block of runs.
    """

    alarms: dict[str, int]
    is_in_force: bool
    labels: int
    block: int


def pages_at(budget: float) -> str:
    """What the pages at this budget are called."""
    return f"Anchorwatch, {budget:g} pages a quarter"


def quarters_of(case: Case) -> list[Quarter]:
    """The quarters of a case, each of an endpoint of its own."""
    watched, by_peers = [], []
    for i, seed in enumerate(case.seeds):
        rng = np.random.default_rng(seed)
        baseline, later = draw_scenario(rng, case.scenario, case.baseline_runs, RUNS_A_QUARTER)
        arm = CanaryArm(baseline)
        observations = arm.follow(later)
        watched.append((arm, observations))
        by_peers.append(
            _peers(arm, observations, case.budgets[0]) | _looks(rng, baseline, later)
            if i < case.peers
            else {}
        )
    scopes = [arm.scope(observations) for arm, observations in watched]
    budgets = [Budgets(pages_per_quarter=budget) for budget in case.budgets]
    raised = Counter((one.scope, one.budgets, one.kind) for one in alarms_together(scopes, budgets, HOUR_S))
    quarters = []
    for i, (arm, observations) in enumerate(watched):
        pages = {pages_at(budget): raised[i, b, Kind.PAGE] for b, budget in enumerate(case.budgets)}
        # The same at every budget of pages: they have budgets of their own.
        others = {TICKETS: raised[i, 0, Kind.TICKET], ROLLBACKS: raised[i, 0, Kind.ROLLBACK]}
        quarters.append(_quarter(arm, observations, pages | others | by_peers[i]))
    return quarters


def _quarter(arm: CanaryArm, observations: list[Observation], alarms: dict[str, int]) -> Quarter:
    labels = {observation.label for observation in observations}
    block = max(arm.baseline.blocks.values(), default=1)
    return Quarter(alarms, arm.assumptions().is_in_force, len(labels), block)


def _peers(arm: CanaryArm, observations: list[Observation], budget: float) -> dict[str, int]:
    naive = arm.alarms(observations, Budgets(pages_per_quarter=budget), forgetful=True)
    return {FORGETFUL: sum(alarm.kind is Kind.PAGE for _, alarm in naive)}


def _looks(rng: np.random.Generator, baseline: Answers, later: Answers) -> dict[str, int]:
    looks = look(rng, baseline, later)
    return {name: int(alarmed(looks).sum()) for name, alarmed in PEERS.items()}


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean of so many counts, its standard error, and the largest."""

    mean: float
    error: float
    most: int
    quarters: int

    @classmethod
    def of(cls, counts: list[int]) -> "Summary":
        """The summary of ``counts``."""
        column = np.array(counts, dtype=float)
        if not len(column):
            return cls(float("nan"), float("nan"), 0, 0)
        error = column.std(ddof=1) / np.sqrt(len(column)) if len(column) > 1 else float("nan")
        return cls(float(column.mean()), float(error), int(column.max()), len(column))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.error:.2f}, at most {self.most}"


@dataclass(frozen=True, slots=True)
class Found:
    """What came out of a scenario. ``green`` are the pages of the quarters whose monitor said that all is well."""

    by_procedure: dict[str, Summary]
    green: dict[float, Summary]
    green_share: float
    labelled_share: float
    blocked_share: float

    @classmethod
    def of(cls, quarters: list[Quarter], budgets: tuple[float, ...]) -> "Found":
        """The summary of a scenario's quarters; the peers were in the first ones only."""
        names = max((one.alarms for one in quarters), key=len)
        greens = [one for one in quarters if one.is_in_force]
        return cls(
            {name: Summary.of([q.alarms[name] for q in quarters if name in q.alarms]) for name in names},
            {budget: Summary.of([q.alarms[pages_at(budget)] for q in greens]) for budget in budgets},
            len(greens) / len(quarters),
            float(np.mean([one.labels > 1 for one in quarters])),
            float(np.mean([one.block > 1 for one in quarters])),
        )

    def keeps(self, budgets: tuple[float, ...]) -> bool:
        """Whether the mean, and that of the green ones, is within each budget."""
        all_of_them = [(budget, self.by_procedure[pages_at(budget)]) for budget in budgets]
        return not any(one.mean > SLACK * budget for budget, one in (*all_of_them, *self.green.items()))


def is_reached(found: dict[Scenario, Found], budgets: tuple[float, ...]) -> bool:
    """Whether every budget is kept, and the monitor sees what it is there to see."""
    sticky = found.get(Scenario.STICKY)
    is_honest = sticky is None or 1 - sticky.green_share >= RED_SHARE_MIN
    return is_honest and all(one.keeps(budgets) for one in found.values())


def table(found: dict[Scenario, Found]) -> Table:
    """The false alarms for people."""
    drawn = Table("procedure", *found, title="False alarms per quarter without a change: mean ± s.e.")
    for name in next(iter(found.values())).by_procedure:
        drawn.add_row(name, *(str(one.by_procedure[name]) for one in found.values()))
    drawn.add_section()
    for budget in next(iter(found.values())).green:
        told = [str(one.green[budget]) if one.green[budget].quarters else "—" for one in found.values()]
        drawn.add_row(f"{budget:g} a quarter, where the monitor is green", *told)
    for name in ("green_share", "labelled_share", "blocked_share"):
        shares = [f"{getattr(one, name):.1%}" for one in found.values()]
        drawn.add_row(name.replace("_share", ", share of the targets"), *shares)
    return drawn


def plain(found: Found) -> dict[str, Any]:
    """The same for machines."""

    def told(one: Summary) -> dict[str, float]:
        return {"mean": one.mean, "error": one.error, "most": one.most, "quarters": one.quarters}

    return {
        "procedures": {name: told(one) for name, one in found.by_procedure.items()},
        "green": {f"{budget:g}": told(one) for budget, one in found.green.items() if one.quarters},
        "green_share": found.green_share,
        "labelled_share": found.labelled_share,
        "blocked_share": found.blocked_share,
    }


def main(
    quarters: Annotated[int, typer.Option(min=2, help="Endpoint-quarters of each scenario.")] = 20,
    peers: Annotated[int, typer.Option(min=0, help="Of these, how many the peers see too.")] = 20,
    scenario: Annotated[list[Scenario] | None, typer.Option(help="All, when none is given.")] = None,
    budget: Annotated[list[float] | None, typer.Option(help="Pages per quarter; 1 and 0.1.")] = None,
    baseline_runs: Annotated[int, typer.Option(min=12)] = BASELINE_RUNS,
    sticky_baseline_runs: Annotated[int, typer.Option(min=12)] = STICKY_BASELINE_RUNS,
    seed: Annotated[int, typer.Option(help="Quarter i is drawn from seed + i.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count the false alarms of simulated quarters without a change."""
    budgets = tuple(budget or BUDGETS)
    found = {}
    for one in scenario or Scenario:
        runs = sticky_baseline_runs if one is Scenario.STICKY else baseline_runs
        cases = [
            Case(
                one, tuple(range(seed + i, seed + min(i + BATCH, quarters))), max(0, peers - i), runs, budgets
            )
            for i in range(0, quarters, BATCH)
        ]
        batches = repeat(quarters_of, cases, workers, one)
        found[one] = Found.of([quarter for batch in batches for quarter in batch], budgets)
    if as_json:
        facts = {"quarters": quarters, "budgets": budgets, "seed": seed}
        print(json.dumps(facts | {"scenarios": {name: plain(one) for name, one in found.items()}}, indent=2))
    else:
        Console().print(table(found))
    raise typer.Exit(int(not is_reached(found, budgets)))


if __name__ == "__main__":
    typer.run(main)
