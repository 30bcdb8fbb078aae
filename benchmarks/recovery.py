"""How soon a component counts as steady again, and how often wrongly: ``python -m benchmarks.recovery``.

Exact, not simulated: the chances of all sequences of the last runs are followed from run to run. Runs are independent
and normal; a drift moves their mean so far that the given share of them lies beyond the upper 25 % threshold.
"""

from collections.abc import Iterator
from itertools import islice
from statistics import NormalDist
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from alerts.evidence.ledger import STEADY_BEYOND_MAX, STEADY_RUNS

INSIDE, HIGH, LOW = 0, 1, 2
WINDOWS = ((STEADY_RUNS, STEADY_BEYOND_MAX), (9, 3), (12, 4))
"""Runs looked at, and how many of them may lie beyond the 25 % threshold of a side."""

BEYOND_SHARES = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of runs beyond the upper 25 % threshold; the first is no drift."""

AFTER_RUNS = (6, 12, 24, 48)


def mark_chances(beyond_share: float) -> list[tuple[int, float, bool]]:
    """Each mark a run can get, its chance, and whether it lies inside the 5 % thresholds."""
    normal = NormalDist()
    at_25, at_5 = normal.inv_cdf(0.75), normal.inv_cdf(0.95)
    drifted = NormalDist(at_25 - normal.inv_cdf(1 - beyond_share))
    cuts = [drifted.cdf(x) for x in (-at_5, -at_25, at_25, at_5)]
    shares = np.diff([0.0, *cuts, 1.0]).tolist()
    marks = ((LOW, False), (LOW, True), (INSIDE, True), (HIGH, True), (HIGH, False))
    return [(mark, share, inside_5) for (mark, inside_5), share in zip(marks, shares, strict=True)]


def steady_by(window: int, beyond_max: int, beyond_share: float) -> Iterator[float]:
    """The chance to have counted as steady by the first run after the alarm, the second, and so on."""
    states = np.arange(3**window)
    digits = states[:, None] // 3 ** np.arange(window) % 3
    is_steady = ((digits == HIGH).sum(axis=1) <= beyond_max) & ((digits == LOW).sum(axis=1) <= beyond_max)
    waiting = np.zeros(3**window)
    waiting[0] = 1.0
    run, resolved = 0, 0.0
    while True:
        run += 1
        later = np.zeros_like(waiting)
        for mark, chance, inside_5 in mark_chances(beyond_share):
            reached = np.bincount((3 * states + mark) % 3**window, chance * waiting, len(states))
            if inside_5 and run >= window:
                resolved += float(reached[is_steady].sum())
                reached[is_steady] = 0.0
            later += reached
        waiting = later
        yield resolved


def main(
    windows: Annotated[
        int, typer.Option(min=1, max=len(WINDOWS), help="How many window lengths to show.")
    ] = 1,
) -> None:
    """Print the operating characteristics of the recovery rule."""
    for window, beyond_max in WINDOWS[:windows]:
        title = f"Chance to count as steady: {window} runs, at most {beyond_max} beyond on a side"
        drawn = Table("beyond upper 25 %", *(f"by run {after}" for after in AFTER_RUNS), title=title)
        for share in BEYOND_SHARES:
            chances = list(islice(steady_by(window, beyond_max, share), max(AFTER_RUNS)))
            drawn.add_row(f"{share:.0%}", *(f"{chances[after - 1]:.4f}" for after in AFTER_RUNS))
        Console().print(drawn)


if __name__ == "__main__":
    typer.run(main)
