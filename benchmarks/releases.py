"""How often a release that changes nothing pages, and how soon one that does worse: ``python -m benchmarks.releases``.

The product's own blocks and ledger. Each week a release, of which both versions have calls for two hours; five minutes
are a period, and the chance of a failure moves with the load that both share.
"""

from collections.abc import Iterator
from statistics import median
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from alerts.evidence.bets import Side
from alerts.evidence.control import ControlLedger, observe_block
from alerts.evidence.ledger import Budgets, Kind
from monitor.traffic.tails.counting import Tally
from monitor.traffic_flow.watch_versions import block_of

EVERY_S = 300
WEEK_S = 7 * 86_400
PERIODS = 24
"""How many periods both versions have calls: two hours."""

WEEKS = 13
USUAL = 0.01
CALLS_ALIKE = 200
"""How clustered failures are, as the parameters of a beta distribution add up: counts vary about twice as much."""
WORSE = (0.015, 0.02, 0.03, 0.05, 0.1)
BUDGETS = Budgets(pages_per_quarter=0.25)


def weeks(
    rng: np.random.Generator, calls: int, first_failed: float | None, clusters: bool
) -> Iterator[list[tuple[Tally, Tally]]]:
    """The periods of each week's release; the last week's has another chance to fail when that is given."""
    for week in range(WEEKS):
        is_worse = first_failed is not None and week == WEEKS - 1
        periods = []
        for _ in range(PERIODS):
            load = rng.gamma(4.0, 0.25)  # shared by both
            theirs = min(0.5, USUAL * load)
            mine = min(0.5, (first_failed or 0.0) * load) if is_worse else theirs
            periods.append((_tally(rng, calls, mine, clusters), _tally(rng, calls, theirs, clusters)))
        yield periods


def _tally(rng: np.random.Generator, calls: int, share: float, clusters: bool) -> Tally:
    # Where failures come in clusters of one version alone, the counts vary more than a draw.
    chance = float(rng.beta(CALLS_ALIKE * share, CALLS_ALIKE * (1 - share))) if clusters and share else share
    return Tally(calls, int(rng.binomial(calls, chance)))


def pages(rng: np.random.Generator, calls: int, worse: float | None, clusters: bool = False) -> list[int]:
    """In which periods of the quarter it pages, counted through all releases."""
    ledger, since, found, at = ControlLedger(), 0.0, [], 0
    for week, periods in enumerate(weeks(rng, calls, worse, clusters)):
        for number, tallies in enumerate(periods):
            start = (week + 1) * WEEK_S + number * EVERY_S
            block = block_of("release", start, EVERY_S, since if ledger.at is None else ledger.at, tallies)
            step = observe_block(ledger, block, "error_share", 1.0, BUDGETS)
            ledger = step.ledger
            if any(one.kind is Kind.PAGE and one.side is Side.HIGH for one in step.alarms):
                found.append(at)
            at += 1
    return found


def main(
    quarters: Annotated[int, typer.Option(min=20, help="Quarters without a change.")] = 300,
    releases: Annotated[int, typer.Option(min=10, help="Worse releases of each kind.")] = 60,
    calls: Annotated[int, typer.Option(min=20, help="Calls of each version in five minutes.")] = 200,
    seed: int = 1,
) -> None:
    """Print both tables."""
    console = Console(width=100)
    table = Table(
        "failures", "false pages a quarter", title=f"{quarters} quarters of releases that change nothing"
    )
    for name, clusters in (("one by one", False), ("in clusters of one version", True)):
        rngs = (np.random.default_rng([seed, number]) for number in range(quarters))
        count = sum(len(pages(rng, calls, None, clusters)) for rng in rngs)
        table.add_row(name, f"{count / quarters:.3f} (budget {BUDGETS.per_quarter[0]:g})")
    console.print(table)
    table = Table(
        "fails",
        "paged within 2 h",
        "median periods",
        title=f"after 12 alike, one fails more than {USUAL:.1%}",
    )
    begin = (WEEKS - 1) * PERIODS
    for worse in WORSE:
        waits = []
        for number in range(releases):
            rng = np.random.default_rng([seed, 7, number])
            late = [at for at in pages(rng, calls, worse) if at >= begin]
            waits.append(late[0] - begin + 1 if late else PERIODS + 1)
        seen = sum(wait <= PERIODS for wait in waits)
        table.add_row(
            f"{worse:.1%}", f"{seen / releases:.0%}", str(median(waits)) if seen * 2 > releases else "-"
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
