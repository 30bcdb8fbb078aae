"""A bench as people read it: the table, and what is to be known of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from canaries.bench.measured import SPEED_TOKENS_MIN
from canaries.bench.plan import Load
from canaries.bench.report import BenchReport
from canaries.bench.words import better, by, cell

if TYPE_CHECKING:
    from .bench_once import Outcomes

LATE_S = 0.05
"""From this median on, requests that were due and not sent yet are told."""

LAG_S = 0.01
"""When this machine itself is so late once in twenty times, it is told: it measures itself."""


def table(found: BenchReport) -> Table:
    """The rows: a column for each target, and with several of them who is better, and by how much."""
    names = list(found.targets)
    drawn = Table("", *names)
    if len(names) > 1:
        drawn.add_column("better")
        drawn.add_column("by (95% interval)")
    for row in found.rows:
        cells = [row.measure.name, *(cell(row, name) for name in names)]
        drawn.add_row(*cells, *((better(row), by(row)) if len(names) > 1 else ()))
    return drawn


def notes(found: BenchReport, load: Load, done: "Outcomes") -> Iterator[str]:
    """What holds of all figures."""
    if done.is_interrupted:
        yield "Interrupted: these are the figures so far."
    if done.purse.is_empty:
        yield "Stopped at --max-spend-usd: the figures are of what was asked until then."
    if done.resumed:
        yield f"{done.resumed:,} of the requests were in the file already."
    if done.lag_p95_s > LAG_S:
        yield (
            f"This machine was busy: in one case of twenty it was {1000 * done.lag_p95_s:.0f} ms late or more, and "
            "so it was in reading answers. Lower --concurrency, or ask from a quieter machine."
        )
    if load.rate is None:
        yield (
            "Each request followed an answer, so that a slow one held the next back: users who come by themselves wait "
            "longer than these tails say (--rate measures that)."
        )
    for name, facts in found.targets.items():
        if facts.late_p50_s > LATE_S:
            yield (
                f"{name}: half of the requests were sent {facts.late_p50_s:.2g} s late or more, "
                f"{facts.late_max_s:.2g} s at most, which their times hold: all {load.concurrency} were under way "
                "(--concurrency), or this machine is too slow."
            )
    speeds = {name for row in found.rows if row.measure.unit == "1/s" for name in row.figures}
    if unknown := [name for name, facts in found.targets.items() if facts.answered and name not in speeds]:
        yield (
            f"{', '.join(unknown)}: tokens a second are not known: the endpoint does not stream, or does not count the "
            f"tokens of its streams, or no answer had more than {SPEED_TOKENS_MIN}."
        )
    if any(row.too_few for row in found.rows):
        few = [f"{row.measure.name} needs {row.measure.n_min}" for row in found.rows if row.too_few]
        yield f"Too few values to compare: {', '.join(few)} of each target."
    if len(found.targets) > 1:
        yield (
            "`better` is sure where it says so: alike targets differ so much in any row once in twenty benches "
            "(permutation tests within each prompt, Holm's adjustment over the rows)."
        )
