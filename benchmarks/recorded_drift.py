"""Delay and false pages on recorded answers: ``python -m benchmarks.recorded_drift BASE... --changed FILE``.

Streams of hourly runs are made of the files' answers, one of each canary a run, in a shuffled order. Each answer is
used once: drawing with replacement would make a change of the pool look like drift. Where the base has answers to
spare, they are a further "change", the placebo: a test that finds it has found the pool.
"""

import gzip
import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from alerts.evidence import Budgets
from canaries.completion import Completion, Run
from canaries.completions_file import FIRST_AT
from monitor.backtest import Backtest, backtest

Pool = Mapping[str, Sequence[str | Completion]]
"""The answers to each canary."""

PLACEBO = "the base again"

T = TypeVar("T")


class Fields(StrEnum):
    """What the answers bring along."""

    TEXT = "text"
    FINISH = "finish"
    LOGPROBS = "logprobs"


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one change over all shuffles; delays are in runs, its first being 1, without those not found."""

    change: str
    shuffles: int
    delays: tuple[int, ...]
    scores: Mapping[str, int]

    @property
    def median(self) -> float:
        """The median delay; infinite when the change was not found in half of the shuffles."""
        return median([*self.delays, *[math.inf] * (self.shuffles - len(self.delays))])


def read_pool(
    paths: Sequence[Path], field: str, fields: Fields = Fields.TEXT, one_canary: str | None = None
) -> dict[str, list[Completion]]:
    """The answers of all files by canary, whose name is in ``field``, or all of ``one_canary``."""
    pool: dict[str, list[Completion]] = {}
    for path in paths:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            for line in lines:
                row = json.loads(line)
                canary = one_canary or row[field]
                pool.setdefault(canary, []).append(_completion(canary, row, fields))
    return pool


def _completion(canary: str, row: Mapping[str, Any], fields: Fields) -> Completion:
    if fields is Fields.TEXT:
        return Completion(canary, text=row["text"])
    answer = Completion(canary, text=row["text"], finish_reason=row.get("finish_reason"))
    if fields is Fields.FINISH:
        return answer
    top = row.get("first_top") or row.get("first_top20") or ()
    return replace(
        answer,
        logprobs=tuple(row.get("logprobs") or ()) or None,
        first_top=tuple((str(token), logprob) for token, logprob in top) or None,
    )


def runs_of(pool: Mapping[str, Sequence[T]], rng: random.Random) -> Iterator[dict[str, T]]:
    """The pool's answers dealt out to runs, one of each canary, until one canary has none left."""
    shuffled = [rng.sample(answers, len(answers)) for answers in pool.values()]
    for answers in zip(*shuffled, strict=False):
        yield dict(zip(pool, answers, strict=True))


def stream(base: Pool, changed: Pool | None, same: int, changed_runs: int, seed: int) -> list[Run]:
    """``same`` runs of the base, then ``changed_runs`` of the changed pool; of the base again without one."""
    rng = random.Random(seed)  # noqa: S311 - a shuffle, not a secret
    dealt = [*runs_of(base, rng)]
    rest = dealt[same:] if changed is None else [*runs_of(changed, rng)]
    return [
        Run(f"run-{i}", "recorded", "recorded", FIRST_AT + timedelta(hours=i), _completions(answers))
        for i, answers in enumerate(dealt[:same] + rest[:changed_runs])
    ]


def _completions(answers: Mapping[str, str | Completion]) -> tuple[Completion, ...]:
    return tuple(
        Completion(canary, text=answer) if isinstance(answer, str) else answer
        for canary, answer in answers.items()
    )


def split_pages(result: Backtest, same: int) -> tuple[list[int], list[int]]:
    """The pages before the change, and those after it as runs since the change, its first run being 1."""
    at = [int(page.run.removeprefix("run-")) - same + 1 for page in result.pages]
    return [run for run in at if run <= 0], [run for run in at if run > 0]


def leading_score(result: Backtest, same: int) -> str | None:
    """What the first page after the change was about."""
    return next((page.score for page in result.pages if int(page.run.removeprefix("run-")) >= same), None)


def main(
    base: Annotated[list[Path], typer.Argument(help="Completions of the unchanged model, JSON lines.")],
    changed: Annotated[
        list[Path], typer.Option(help="Completions of a changed model; may be given several times.")
    ],
    canary_field: Annotated[str, typer.Option(help="The field that names the canary.")] = "canary",
    one_canary: Annotated[
        str | None,
        typer.Option(help="Take all answers as those to one canary of this name, one a run."),
    ] = None,
    fields: Annotated[
        Fields, typer.Option(help="What is known of an answer, each with what is before it.")
    ] = Fields.TEXT,
    baseline_runs: Annotated[int, typer.Option(min=12)] = 168,
    calm_runs: Annotated[int, typer.Option(min=0, help="Unchanged runs after the baseline.")] = 60,
    changed_runs: Annotated[int, typer.Option(min=1)] = 32,
    shuffles: Annotated[int, typer.Option(min=1)] = 10,
    budget: Annotated[float, typer.Option(help="Pages per quarter.")] = 0.25,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Page delays, and pages without a change, over shuffled streams of recorded answers."""
    same = baseline_runs + calm_runs
    pool = read_pool(base, canary_field, fields, one_canary)
    spare = min(len(answers) for answers in pool.values()) >= same + changed_runs
    changes: dict[str, Pool | None] = {PLACEBO: None} if spare else {}
    changes |= {_name(path): read_pool([path], canary_field, fields, one_canary) for path in changed}
    calm_pages, rows = 0, []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("shuffles", total=len(changes) * shuffles)
        for number, (name, other) in enumerate(changes.items()):
            delays: list[int] = []
            scores: Counter[str] = Counter()
            for seed in range(shuffles):
                runs = stream(pool, other, same, changed_runs, seed)
                result = backtest(runs, baseline_runs, Budgets(pages_per_quarter=budget))
                early, late = split_pages(result, same)
                # The runs before the change are the same for every change.
                calm_pages += len(early) if number == 0 else 0
                delays += late[:1]
                scores.update(filter(None, [leading_score(result, same)]))
                progress.advance(task)
            rows.append(Found(name, shuffles, tuple(sorted(delays)), dict(scores.most_common())))
    if as_json:
        calm = {"runs": calm_runs * shuffles, "pages": calm_pages}
        print(json.dumps({"calm": calm, "changes": [asdict(row) for row in rows]}))
    else:
        Console().print(_table(rows), f"without a change: {calm_pages} pages in {calm_runs * shuffles} runs")


def _table(rows: Sequence[Found]) -> Table:
    table = Table("change", "found", "median runs to the page", "from", "to", "first score")
    for row in rows:
        first, last = (str(row.delays[0]), str(row.delays[-1])) if row.delays else ("", "")
        middle = f"{row.median:g}" if math.isfinite(row.median) else "not found"
        scores = ", ".join(f"{name} {n}" for name, n in [*row.scores.items()][:3])
        table.add_row(row.change, f"{len(row.delays)} of {row.shuffles}", middle, first, last, scores)
    return table


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


if __name__ == "__main__":
    typer.run(main)
