"""dedrift and MMD on the recorded answers that we are measured on: ``python -m benchmarks.dedrift_peer FOLDER``.

``scripts/install-dedrift.sh`` puts dedrift 0.5 into an environment of its own. It is run as its users run it: a project
with its default settings, the baseline frozen as "golden", one cycle logged and checked after another
(``--inference fixed``, its default); a check that exits with 2 is an alarm. Streams are those of
:mod:`benchmarks.recorded_drift`: each answer is used once. Beside it MMD over the last 10 runs, with the
kernel of Gao, Liang and Guestrin (2410.20247): the share of places where two answers have the same character.
"""

import gzip
import json
import math
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from alerts.evidence import Budgets
from benchmarks.recorded_drift import runs_of, split_pages, stream
from canaries.completion import Completion
from canaries.completions_file import FIRST_AT
from monitor.backtest import backtest

TOOL = Path(".tools/dedrift/bin/dedrift")
BASE, PLACEBO = ("base_long", "base_a"), "base_b"
CHECKED_DRIFT = 2
"""What ``dedrift check`` exits with when it alarms; 0 is all well, 3 that there is too little to say."""

LAST_RUNS = 10
MMD_DRAWS = 199
LEVEL = 0.05
CHARACTERS = 200
"""How much of an answer the kernel compares."""

Dealt = list[dict[str, Completion]]
"""Runs: an answer of each canary, of which all that is used is known of any server's: text, tokens, why it ended."""


@dataclass(slots=True)
class Found:
    """What one procedure said of one kind of change: delays in runs, infinite when there was no alarm."""

    delays: list[float] = field(default_factory=list)
    looks: int = 0
    alarms: int = 0

    def add(self, alarmed: Sequence[bool], runs_a_look: int = 1) -> None:
        """Note one stream's looks from the change on."""
        first = next((i for i, alarm in enumerate(alarmed, start=1) if alarm), math.inf)
        self.delays.append(first * runs_a_look)
        self.looks += len(alarmed)
        self.alarms += sum(alarmed)


class Project:
    """A dedrift project in a folder, told of one cycle after another through its command."""

    def __init__(self, tool: Path, folder: Path) -> None:
        self._tool, self.folder = tool.absolute(), folder
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def with_baseline(cls, tool: Path, folder: Path, cycles: Sequence[Dealt]) -> "Project":
        """A new project whose golden baseline are these cycles."""
        project = cls(tool, folder)
        project._call("init", ".")
        project.log(0, cycles)
        project._call("baseline", "set", *(_cycle_id(i) for i in range(len(cycles))))
        return project

    def copy(self, folder: Path) -> "Project":
        """Another project that knows the same."""
        shutil.copytree(self.folder, folder)
        return Project(self._tool, folder)

    def log(self, first: int, cycles: Sequence[Dealt]) -> None:
        """Note ``cycles``, the first of which has the number ``first``."""
        records = self.folder / "cycles.jsonl"
        rows = (row for i, cycle in enumerate(cycles, start=first) for row in _records(i, cycle))
        records.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self._call("log", records.name, "--finalize-cycles")

    def alarms(self) -> bool:
        """Whether a check of the newest cycle alarms."""
        return self._call("check", "--inference", "fixed", allowed=(0, CHECKED_DRIFT, 3)) == CHECKED_DRIFT

    def _call(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> int:
        ran = subprocess.run(  # noqa: S603 - the tool that was asked for
            [self._tool, *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if ran.returncode not in allowed:
            raise RuntimeError(
                f"dedrift {arguments[0]} ended with {ran.returncode}: {ran.stderr or ran.stdout}"
            )
        return ran.returncode


def _cycle_id(number: int) -> str:
    return f"cycle-{number:05d}"


def _records(number: int, cycle: Dealt) -> list[dict[str, Any]]:
    """A cycle as dedrift's records; the runs in it are the repetitions of each canary."""
    at = (FIRST_AT + timedelta(hours=number)).isoformat()
    config = {"model": "m", "prompt_hash": "p", "tool_schema_hash": "t", "agent_version": "1"}
    return [
        {
            "id": f"{number}/{canary}/{repetition}",
            "ts": at,
            "source": "canary",
            "canary_id": canary,
            "cycle_id": _cycle_id(number),
            "repetition": repetition,
            "input": {"text": canary, "metadata": {"family": "happy_path"}},
            "output": {"text": answer.text},
            "tokens_out": answer.output_tokens,
            "config": config,
        }
        for repetition, run in enumerate(cycle, start=1)
        for canary, answer in run.items()
    ]


def in_cycles(runs: Dealt, repetitions: int) -> list[Dealt]:
    """The runs, so many to a cycle; what is left over is left out."""
    bounds = pairwise(range(0, len(runs) + 1, repetitions))
    return [runs[start:end] for start, end in bounds]


class Discrepancy:
    """The p-value of MMD between a stream's baseline and its last runs, by permuting each canary's samples."""

    def __init__(self, runs: Dealt, baseline_runs: int, seed: int) -> None:
        self._baseline, self._rng = baseline_runs, np.random.default_rng(seed)
        self._kernels = [_kernel([run[canary].text or "" for run in runs]) for canary in runs[0]]

    def alarms(self, last: int) -> bool:
        """Whether the 10 runs that end with run ``last`` differ from the baseline at 0.05."""
        chosen = np.r_[0 : self._baseline, last - LAST_RUNS + 1 : last + 1]
        statistics = np.zeros(1 + MMD_DRAWS)
        for kernel in self._kernels:
            statistics += _mmd(kernel[np.ix_(chosen, chosen)], self._baseline, self._rng)
        return bool(np.mean(statistics >= statistics[0] - 1e-12) < LEVEL)


def _kernel(texts: Sequence[str]) -> NDArray[np.float64]:
    codes = np.zeros((len(texts), CHARACTERS), dtype=np.int32)
    for row, text in zip(codes, texts, strict=True):
        row[: len(text[:CHARACTERS])] = [ord(character) for character in text[:CHARACTERS]]
    return np.stack([(codes == row).mean(axis=1) for row in codes])


def _mmd(kernel: NDArray[np.float64], baseline: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The squared discrepancy, and that of random splits behind it. The diagonal is the same in all of them."""
    total = len(kernel)
    weights = np.concatenate(
        [np.full(baseline, 1 / baseline), np.full(total - baseline, -1 / (total - baseline))]
    )
    rows = np.stack([weights, *(rng.permutation(weights) for _ in range(MMD_DRAWS))])
    return np.asarray(((rows @ kernel) * rows).sum(axis=1))


@dataclass(frozen=True, slots=True)
class Streams:
    """How the recorded answers are laid out in time: so many runs of each part."""

    baseline_runs: int
    calm_runs: int
    changed_runs: int
    repetitions: int

    def same(self) -> int:
        """The runs before the change."""
        return self.baseline_runs + self.calm_runs


Pools = Mapping[str, Mapping[str, Sequence[Completion]]]
"""The answers of each file by canary."""

Results = dict[str, dict[str, Found]]
"""By change, and by procedure."""

DEDRIFT, MMD, OURS = "dedrift 0.5, fixed", "MMD of the last 10 runs", "Anchorwatch"
NULL = "no change"


def read_pools(folder: Path) -> Pools:
    """The answers of all files of a folder but those at temperature 0, which are the same text again and again."""
    pools: dict[str, dict[str, list[Completion]]] = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        name = path.name.removesuffix(".jsonl.gz")
        if name.startswith("greedy"):
            continue
        with gzip.open(path, "rt") as lines:
            for row in map(json.loads, lines):
                answers = pools.setdefault("base" if name in BASE else name, {})
                canary = row["prompt_id"]
                answers.setdefault(canary, []).append(
                    Completion(
                        canary,
                        text=row["text"],
                        finish_reason=row["finish_reason"],
                        output_tokens=len(row["token_ids"]),
                    )
                )
    return pools


def measure(
    pools: Pools, seed: int, streams: Streams, tool: Path | None, budget: float | None, results: Results
) -> None:
    """Add one shuffle's looks to the ``results``: those before the change once, then every change."""
    with tempfile.TemporaryDirectory(prefix="anchorwatch-dedrift-") as folder:
        project: Project | None = None
        for name in pools:
            if name == "base":
                continue
            rng = random.Random(seed)  # noqa: S311 - a shuffle, not a secret
            same = [*runs_of(pools["base"], rng)][: streams.same()]
            changed = [*runs_of(pools[name], rng)][: streams.changed_runs]
            runs: Dealt = [*same, *changed]
            found = results.setdefault(name, {})
            if tool is not None:
                if project is None:
                    project = _calm(tool, Path(folder), runs, streams, results)
                _dedrift(project.copy(Path(folder) / name), runs, streams, name == PLACEBO, found)
            discrepancy = Discrepancy(runs, streams.baseline_runs, seed)
            looks = [discrepancy.alarms(i) for i in range(streams.same(), len(runs))]
            found.setdefault(MMD, Found()).add(looks)
            if len(results[NULL].setdefault(MMD, Found()).delays) <= seed:
                calm = range(streams.baseline_runs + LAST_RUNS - 1, streams.same())
                results[NULL][MMD].add([discrepancy.alarms(i) for i in calm])
            if budget is not None:
                _ours(pools, name, seed, streams, budget, results)


def _calm(tool: Path, folder: Path, runs: Dealt, streams: Streams, results: Results) -> Project:
    """A project that has seen the runs before the change, whose looks are null looks."""
    cycles = in_cycles(runs[: streams.same()], streams.repetitions)
    golden = streams.baseline_runs // streams.repetitions
    project = Project.with_baseline(tool, folder / "calm", cycles[:golden])
    alarms = []
    for number in range(golden, len(cycles)):
        project.log(number, [cycles[number]])
        alarms.append(project.alarms())
    results[NULL].setdefault(DEDRIFT, Found()).add(alarms, streams.repetitions)
    return project


def _dedrift(
    project: Project, runs: Dealt, streams: Streams, is_placebo: bool, found: dict[str, Found]
) -> None:
    number = streams.same() // streams.repetitions
    alarms: list[bool] = []
    for cycle in in_cycles(runs[streams.same() :], streams.repetitions):
        project.log(number + len(alarms), [cycle])
        alarms.append(project.alarms())
        # The first alarm is the delay; of a placebo every look counts.
        if alarms[-1] and not is_placebo:
            break
    found.setdefault(DEDRIFT, Found()).add(alarms, streams.repetitions)
    shutil.rmtree(project.folder)


def _ours(pools: Pools, name: str, seed: int, streams: Streams, budget: float, results: Results) -> None:
    recorded = stream(pools["base"], pools[name], streams.same(), streams.changed_runs, seed)
    result = backtest(recorded, streams.baseline_runs, Budgets(pages_per_quarter=budget))
    early, late = split_pages(result, streams.same())
    own = len(recorded) - streams.same()
    results[name].setdefault(OURS, Found()).add([i in late for i in range(1, own + 1)])
    if len(results[NULL].setdefault(OURS, Found()).delays) <= seed:
        results[NULL][OURS].add([i - streams.calm_runs in early for i in range(1, streams.calm_runs + 1)])


def table(results: Results, procedures: Sequence[str], title: str) -> Table:
    """The results for people: false alarms where nothing changed, else the delay and how often it was found."""
    drawn = Table("change", *procedures, title=title)
    for change, found in results.items():
        is_null = change in (NULL, PLACEBO)
        drawn.add_row(change, *(_cell(found[name], is_null) for name in procedures))
    return drawn


def _cell(found: Found, is_null: bool) -> str:
    if is_null:
        return f"{found.alarms} of {found.looks} looks alarm"
    known = sorted(delay for delay in found.delays if math.isfinite(delay))
    if not known:
        return f"not found (0 of {len(found.delays)})"
    middle = median(found.delays)
    told = f"{middle:g}" if math.isfinite(middle) else "—"
    return f"{told} ({known[0]:g} to {known[-1]:g}), {len(known)} of {len(found.delays)}"


def main(
    folder: Annotated[Path, typer.Argument(help="Recorded answers: base_*.jsonl.gz and changed versions.")],
    tool: Annotated[Path, typer.Option(help="The dedrift command.")] = TOOL,
    shuffles: Annotated[int, typer.Option(min=1)] = 3,
    baseline_runs: Annotated[int, typer.Option(min=12)] = 168,
    calm_runs: Annotated[int, typer.Option(min=10, help="Unchanged runs after the baseline.")] = 60,
    changed_runs: Annotated[int, typer.Option(min=1)] = 32,
    repetitions: Annotated[int, typer.Option(min=1, help="Runs in each of dedrift's cycles.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="These changes only.")] = None,
    dedrift: Annotated[bool, typer.Option(help="Run dedrift: 2 s a look.")] = True,
    ours: Annotated[bool, typer.Option(help="Run Anchorwatch on the same streams.")] = True,
    budget: Annotated[float, typer.Option(help="Our pages per quarter.")] = 0.25,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Alarms without a change and delays with one, in runs: median (range), found in so many of the streams."""
    if dedrift and not tool.exists():
        raise typer.BadParameter(f"there is no {tool}: run scripts/install-dedrift.sh")
    streams = Streams(baseline_runs, calm_runs, changed_runs, repetitions)
    pools = read_pools(folder)
    if only:
        pools = {name: pools[name] for name in ("base", *only)}
    results: Results = {NULL: {}}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for seed in progress.track(range(shuffles), description="shuffles"):
            measure(pools, seed, streams, tool if dedrift else None, budget if ours else None, results)
    procedures = [name for name, on in ((OURS, ours), (DEDRIFT, dedrift), (MMD, True)) if on]
    if as_json:
        print(json.dumps(_plain(results), indent=2))
    else:
        Console().print(
            table(results, procedures, f"{shuffles} streams, dedrift with {repetitions} repetition(s)")
        )
    raise typer.Exit(int(ours and dedrift and is_behind(results)))


def is_behind(results: Results) -> bool:
    """Whether dedrift finds some change more often, or ours is never in it."""
    return any(
        sum(map(math.isfinite, found[DEDRIFT].delays)) > sum(map(math.isfinite, found[OURS].delays))
        for change, found in results.items()
        if change not in (NULL, PLACEBO)
    )


def _plain(results: Results) -> dict[str, Any]:
    return {
        change: {
            name: {
                "delays": [delay if math.isfinite(delay) else None for delay in found.delays],
                "looks": found.looks,
                "alarms": found.alarms,
            }
            for name, found in by_procedure.items()
        }
        for change, by_procedure in results.items()
    }


if __name__ == "__main__":
    typer.run(main)
