"""Delay and false pages on recorded answers: ``python -m benchmarks.recorded_drift BASE... --changed FILE``.

Streams of hourly runs are made of the files' answers, one of each canary a run, in a shuffled order. Each answer is
used once: drawing with replacement would make a change of the pool look like drift.
"""

import gzip
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from alerts.evidence import Budgets
from canaries.completion import Completion, Run
from canaries.completions_file import FIRST_AT
from monitor.backtest import Backtest, backtest

Pool = Mapping[str, Sequence[str]]
"""The answers to each canary."""


def read_pool(paths: Sequence[Path], field: str) -> dict[str, list[str]]:
    """The answers of all files by canary, whose name is in ``field``."""
    pool: dict[str, list[str]] = {}
    for path in paths:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            for line in lines:
                row = json.loads(line)
                pool.setdefault(row[field], []).append(row["text"])
    return pool


def runs_of(pool: Pool, rng: random.Random) -> Iterator[dict[str, str]]:
    """The pool's answers dealt out to runs, one of each canary, until one canary has none left."""
    shuffled = [rng.sample(answers, len(answers)) for answers in pool.values()]
    for answers in zip(*shuffled, strict=False):
        yield dict(zip(pool, answers, strict=True))


def stream(base: Pool, changed: Pool, same: int, changed_runs: int, seed: int) -> list[Run]:
    """``same`` runs of the base, then ``changed_runs`` of the changed pool."""
    rng = random.Random(seed)  # noqa: S311 - a shuffle, not a secret
    dealt = [*runs_of(base, rng)][:same] + [*runs_of(changed, rng)][:changed_runs]
    return [
        Run(f"run-{i}", "recorded", "recorded", FIRST_AT + timedelta(hours=i), _completions(answers))
        for i, answers in enumerate(dealt)
    ]


def _completions(answers: Mapping[str, str]) -> tuple[Completion, ...]:
    return tuple(Completion(canary, text=text) for canary, text in answers.items())


def main(
    base: Annotated[list[Path], typer.Argument(help="Completions of the unchanged model, JSON lines.")],
    changed: Annotated[
        Path, typer.Option(help="Completions of the changed model; another batch is a placebo.")
    ],
    canary_field: Annotated[str, typer.Option(help="The field that names the canary.")] = "canary",
    baseline_runs: Annotated[int, typer.Option(min=12)] = 168,
    calm_runs: Annotated[int, typer.Option(min=0, help="Unchanged runs after the baseline.")] = 60,
    changed_runs: Annotated[int, typer.Option(min=1)] = 32,
    shuffles: Annotated[int, typer.Option(min=1)] = 10,
    budget: Annotated[float, typer.Option(help="Pages per quarter.")] = 0.25,
) -> None:
    """Page delays, and pages that came too early, over shuffled streams of recorded answers."""
    same = baseline_runs + calm_runs
    pools = read_pool(base, canary_field), read_pool([changed], canary_field)
    table = Table("shuffle", "pages before the change", "runs from the change to the first page")
    delays: list[float] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for seed in progress.track(range(shuffles), description="shuffles"):
            result = backtest(
                stream(*pools, same, changed_runs, seed), baseline_runs, Budgets(pages_per_quarter=budget)
            )
            early, late = split_pages(result, same)
            delays.append(late[0] if late else float("inf"))
            table.add_row(str(seed), str(len(early)), str(late[0]) if late else "no page")
    Console().print(table, f"median: {median(delays)}")


def split_pages(result: Backtest, same: int) -> tuple[list[int], list[int]]:
    """The pages before the change, and those after it as runs since the change, its first run being 1."""
    at = [int(page.run.removeprefix("run-")) - same + 1 for page in result.pages]
    return [run for run in at if run <= 0], [run for run in at if run > 0]


if __name__ == "__main__":
    typer.run(main)
