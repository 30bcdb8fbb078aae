"""What a run costs the ledger, and a backtest, in time and in bytes: ``python -m benchmarks.ledger_speed``.

Each figure stands beside the limit it has to keep; exit status 1 when one does not. Times are processor times, the
best of several repetitions, as everything else that the machine does can only make them longer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from alerts.evidence import Budgets, Ledger, Observation, Ranks, observe, open_ledger, rank
from alerts.evidence.accounts import Accounts, Faced, play
from alerts.evidence.ledger import QUARTER_S
from alerts.evidence.ranks import Places
from canaries.completion import Completion, Outcome, Run
from monitor.backtest import backtest

COMPONENTS = 52
CALIBRATION_RUNS = 336
"""Half of four weeks of hourly runs."""

PROMPTS, VOCABULARY = 25, 2_000
"""Of a backtest: the prompts of a run, and how many words there are to choose from."""

SHORT, LONG = 5, 40
"""The words of an answer."""

BASELINE_RUNS = 168

SLOT_S = 3600.0
START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement, the most it may be, and their unit."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def ratio(self) -> float:
        """The measurement as a share of its limit."""
        return self.value / self.limit


def calibrated(rng: np.random.Generator, labels: int) -> Ranks:
    """One target's components, with normal scores."""
    names = ["" if labels == 1 else f"backend {i}" for i in range(labels)]
    runs = [(float(rng.random()), names[i]) for i in rng.integers(labels, size=CALIBRATION_RUNS)]
    scores = rng.normal(size=(COMPONENTS, CALIBRATION_RUNS)).tolist()
    return rank(
        {
            f"canary:{i}": [(score, *run) for score, run in zip(row, runs, strict=True)]
            for i, row in enumerate(scores)
        }
    )


def weights(ranks: Ranks) -> dict[str, float]:
    """Every component has the same share."""
    return dict.fromkeys(ranks.names, 1 / COMPONENTS)


def run_of(rng: np.random.Generator, ranks: Ranks, number: int) -> Observation:
    """A run an hour after the last, of any label, with most of its scores."""
    values = np.where(rng.random(COMPONENTS) < 0.95, rng.normal(size=COMPONENTS), np.nan).tolist()
    return Observation(
        run_id=f"run-{number}",
        at=START + timedelta(seconds=number * SLOT_S),
        slot_s=SLOT_S,
        tie=float(rng.random()),
        scores=dict(zip(ranks.names, values, strict=True)),
        label=ranks.labels[int(rng.integers(len(ranks.labels)))],
    )


def lived(rng: np.random.Generator, ranks: Ranks, runs: int) -> Ledger:
    """A ledger that has seen so many runs."""
    ledger, shares = open_ledger(ranks), weights(ranks)
    for i in range(runs):
        ledger = observe(ranks, ledger, run_of(rng, ranks, i), shares, Budgets()).ledger
    return ledger


def best_s(work: Callable[[], object], repetitions: int, number: int = 1) -> float:
    """The shortest time of one call."""
    found = []
    for _ in range(repetitions):
        started = process_time()
        for _ in range(number):
            work()
        found.append((process_time() - started) / number)
    return min(found)


def one_target(rng: np.random.Generator, labels: int, runs: int, repetitions: int) -> list[Figure]:
    """A step, and the state, of one target."""
    ranks = calibrated(rng, labels)
    ledger, shares, now = lived(rng, ranks, runs), weights(ranks), run_of(rng, ranks, runs)
    stored = ledger.to_bytes()
    step_s = best_s(lambda: observe(ranks, ledger, now, shares, Budgets()), repetitions, 100)
    storing_s = best_s(lambda: Ledger.from_bytes(ledger.to_bytes(), ranks), repetitions, 100)
    of = f"{COMPONENTS} components, {labels} label{'s' if labels > 1 else ''}"
    return [
        Figure(f"one run: {of}", step_s * 1e3, 0.5, "ms"),
        Figure(f"state after {runs} runs: {of}", len(stored) / 1000, 10.0, "kB"),
        Figure(f"storing and reading it: {of}", storing_s * 1e3, 0.2, "ms"),
    ]


def all_targets(
    rng: np.random.Generator, targets: int, labels: int, runs: int, repetitions: int
) -> list[Figure]:
    """One run of every target, as a single update of all their components."""
    ranks = [calibrated(rng, labels) for _ in range(4)]
    ledgers = [lived(rng, one, runs) for one in ranks]
    # Targets share a few calibrations, but not their accounts: making a thousand takes longer than measuring them.
    chosen = [i % len(ranks) for i in range(targets)]
    places = Places.join([ranks[i].places(str(rng.choice(ranks[i].labels))) for i in chosen])
    accounts = Accounts.join([ledgers[i].accounts for i in chosen])
    count = targets * COMPONENTS
    faced = Faced(
        score=rng.normal(size=count),
        tie=np.repeat(rng.random(targets), COMPONENTS),
        at=np.full(count, (START + timedelta(seconds=runs * SLOT_S)).timestamp()),
        slot_s=np.full(count, SLOT_S),
        drip_per_s=np.repeat(np.array(Budgets().per_quarter)[:, None] / count / QUARTER_S, count, axis=1),
        may_page=np.ones(count, dtype=np.bool_),
    )
    update_s = best_s(lambda: play(places, accounts, faced), repetitions)
    of = f"{targets} targets x {COMPONENTS} components, {labels} label{'s' if labels > 1 else ''}"
    return [Figure(f"one update: {of}", update_s * 1e3, 50.0, "ms")]


def answered_run(rng: np.random.Generator, words_each: int, number: int) -> Run:
    """A run of texts whose words are as unlike each other in frequency as those of a language (Zipf's law)."""
    at = START + timedelta(seconds=number * SLOT_S)
    words = np.minimum(rng.zipf(1.3, size=(PROMPTS, words_each)), VOCABULARY).tolist()
    letters = str.maketrans("0123456789", "abcdefghij")  # digits beside letters would be tokens of their own
    answers = [
        Completion(
            f"prompt-{i:02}",
            0,
            Outcome.ANSWERED,
            text=" ".join(map(str, row)).translate(letters),
            latency_s=1.0,
        )
        for i, row in enumerate(words)
    ]
    return Run(f"run-{number}", "endpoint", "suite", at, tuple(answers))


def backtested(rng: np.random.Generator, words_each: int, runs: int) -> Figure:
    """A whole backtest, its freezing and its refreshes included, by the run."""
    stream = [answered_run(rng, words_each, i) for i in range(runs)]
    whole_s = best_s(lambda: backtest(stream, BASELINE_RUNS, Budgets()), repetitions=1)
    return Figure(
        f"one run of a backtest of {runs}: {PROMPTS} answers of {words_each} words",
        whole_s / runs * 1e3,
        6.0,
        "ms",
    )


def table(figures: list[Figure]) -> Table:
    """The figures for people."""
    drawn = Table("figure", title="What a run costs")
    for heading in ("measured", "limit", "of the limit"):
        drawn.add_column(heading, justify="right")
    for one in figures:
        drawn.add_row(
            one.name, f"{one.value:.3g} {one.unit}", f"{one.limit:g} {one.unit}", f"{one.ratio:.0%}"
        )
    return drawn


def main(
    targets: Annotated[int, typer.Option(min=1, help="Targets of the update of all.")] = 1000,
    runs: Annotated[int, typer.Option(min=1, help="Runs that a ledger has seen before.")] = 1500,
    backtest_runs: Annotated[int, typer.Option(min=200, help="Runs of the backtest.")] = 2000,
    repetitions: Annotated[int, typer.Option(min=1, help="The best of so many is shown.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the scores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the time and space of a run against their limits."""
    rng = np.random.default_rng(seed)
    figures = [
        *one_target(rng, 1, runs, repetitions),
        *one_target(rng, 4, runs, repetitions),
        *all_targets(rng, targets, 1, runs, repetitions),
        *all_targets(rng, targets, 4, runs, repetitions),
        backtested(rng, SHORT, backtest_runs),
        backtested(rng, LONG, backtest_runs),
    ]
    if as_json:
        rows = [
            {"name": f.name, "value": f.value, "limit": f.limit, "unit": f.unit, "ratio": f.ratio}
            for f in figures
        ]
        print(json.dumps({"seed": seed, "figures": rows}, indent=2))
    else:
        Console().print(table(figures))
    raise typer.Exit(int(any(one.ratio > 1 for one in figures)))


if __name__ == "__main__":
    typer.run(main)
