"""What proofs tell while nothing changes, and how soon when something does: ``python -m benchmarks.proof_noise``.

Runs every 15 minutes go through ``canaries.proofs.judge``, the verdicts of ``monitor.canary_flow.watch_canaries`` and
the real life of an incident: a baseline of 168 runs, the rest of the first quarter after it. Exit status 1 when a
scenario in which nothing changes pages more often than once in four quarters.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from alerts.finding import Severity
from alerts.incident import AlertRule, Incident, NoticeKind, step
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from canaries.proofs import judge
from canaries.reference import ProofHistory, Reference
from monitor.canary_flow.canary_verdicts import proof_verdicts
from monitor.watched import Watched

BASELINE_RUNS = 168
RUNS_A_QUARTER = 8760
SLOT = timedelta(minutes=15)
START = datetime(2026, 1, 5, tzinfo=UTC)
BUDGET = 0.25
"""Pages a quarter: the default of the deployment, which proofs should stay well below."""

TOLD = ("tickets", "pages", "rollbacks")
"""What is counted; a rollback is a run that may ask for one."""

DETECTED_BY = 60
"""Runs after which a change counts as not found."""

Runs = Callable[[Random, int], RunFeatures]
"""The run of this number."""


@dataclass
class Desk:
    """Where verdicts arrive: the open incidents of a target, and what its people were told."""

    history: ProofHistory
    watched: Watched
    frozen: Reference | None = None
    runs: int = 0

    def __post_init__(self) -> None:
        self.open: dict[str, Incident] = {}

    def settle(self, run: RunFeatures) -> Counter[str]:
        """The pages and tickets that the run opens, and whether it may ask for a rollback."""
        judgement = judge(run, self.history, self.frozen, down_after=3)
        self.history, self.runs = judgement.history, self.runs + 1
        told: Counter[str] = Counter()
        for verdict in proof_verdicts(self.watched, judgement.proofs):
            transition = step(
                self.open.pop(verdict.key, None), verdict, AlertRule(), START + self.runs * SLOT
            )
            incident = transition.incident
            if incident is not None and incident.is_open:
                self.open[verdict.key] = incident
            told["pages"] += transition.is_page
            is_ticket = incident is not None and incident.severity is Severity.TICKET
            told["tickets"] += is_ticket and NoticeKind.FIRING in transition.notifications
            told["rollbacks"] += verdict.wants_rollback
        return told


def desk() -> Desk:
    """An empty desk."""
    return Desk(ProofHistory(), Watched("target", "suite", None, Contract({}, {}), SLOT.total_seconds()))


def quarter(runs: Runs, seed: int, baseline_runs: int = BASELINE_RUNS) -> Counter[str]:
    """What people are told in the first quarter of a target, the collection of its baseline included."""
    rng, at = Random(seed), desk()  # noqa: S311 - a simulation that can be repeated
    told: Counter[str] = Counter()
    for number in range(RUNS_A_QUARTER):
        told += at.settle(runs(rng, number))
        if number == baseline_runs - 1:
            at.frozen = at.history.reference
    return told


# --- scenarios in which nothing changes


def failing_checks(canaries: int, failure_rate: float, samples: int = 1, *, together: bool = False) -> Runs:
    """Runs whose answers break a check now and then; ``together``: all samples of a canary do, or none."""

    def runs(rng: Random, number: int) -> RunFeatures:
        answers = []
        for canary in range(canaries):
            shared = rng.random() >= failure_rate
            for sample in range(samples):
                passed = shared if together or sample == 0 else rng.random() >= failure_rate
                answers.append(AnswerFeatures(f"c{canary}", sample, checks={"json": passed}))
        return RunFeatures(str(number), tuple(answers))

    return runs


def fingerprints(weights: tuple[float, ...], *, per_request: bool, requests: int = 4) -> Runs:
    """Runs on a pool of backends with these weights, drawn for each run or for each request."""
    pool = [f"fp-{i}" for i in range(len(weights))]

    def runs(rng: Random, number: int) -> RunFeatures:
        drawn = (
            rng.choices(pool, weights, k=requests) if per_request else rng.choices(pool, weights) * requests
        )
        answers = [AnswerFeatures(f"c{i}", system_fingerprint=one) for i, one in enumerate(drawn)]
        return RunFeatures(str(number), tuple(answers))

    return runs


def uniform(n: int) -> tuple[float, ...]:
    """Equal weights."""
    return (1.0,) * n


SKEWED = (0.5, 0.2, 0.12, 0.08, 0.05, 0.03, 0.015, 0.005)
STEEP = tuple(1 / i**2 for i in range(1, 13))


def minority_snapshot(share: float, requests: int, since: int = BASELINE_RUNS) -> Runs:
    """Runs of which, once the baseline is frozen, another snapshot serves a share of the requests."""

    def runs(rng: Random, number: int) -> RunFeatures:
        is_new = [number >= since and rng.random() < share for _ in range(requests)]
        answers = [
            AnswerFeatures(
                f"c{i}", served_model="m-2" if new else "m-1", system_fingerprint="b" if new else "a"
            )
            for i, new in enumerate(is_new)
        ]
        return RunFeatures(str(number), tuple(answers))

    return runs


QUIET: dict[str, Runs] = {
    "50 canaries x 1, each fails 2 % of its checks": failing_checks(50, 0.02),
    "50 x 1, 1 %": failing_checks(50, 0.01),
    "50 x 1, 0.3 %": failing_checks(50, 0.003),
    "20 x 1, 1 %": failing_checks(20, 0.01),
    "20 x 1, 0.3 %": failing_checks(20, 0.003),
    "20 x 4, 1 %": failing_checks(20, 0.01, samples=4),
    "a fingerprint of 4 for each run": fingerprints(uniform(4), per_request=False),
    "of 8, from 50 % to 0.5 % of the runs": fingerprints(SKEWED, per_request=False),
    "of 12": fingerprints(uniform(12), per_request=False),
    "of 12, from 64 % to 0.4 % of the runs": fingerprints(STEEP, per_request=False),
    "a fingerprint of 12 for each request": fingerprints(uniform(12), per_request=True),
    "of 12, from 64 % to 0.4 % of the requests": fingerprints(STEEP, per_request=True),
}
"""Nothing changes: every page is a false one."""

MIXED: dict[str, Runs] = {
    "another snapshot serves 10 % of the requests, 4 requests a run": minority_snapshot(0.1, 4),
    "the same, 50 %": minority_snapshot(0.5, 4),
    "the same, 10 %, 1 request a run": minority_snapshot(0.1, 1),
    "the same, 50 %, 1 request a run": minority_snapshot(0.5, 1),
    "20 canaries x 4; 0.3 % of the time all samples of one fail": failing_checks(20, 0.003, 4, together=True),
}
"""Something did happen, or answers of a run are not independent: outside of what is promised, and shown."""


# --- detection


def runs_to(
    told: str, before: int, change: Callable[[], RunFeatures], usual: Callable[[], RunFeatures]
) -> int | None:
    """The run of a lasting change, the first being 1, that people are told by."""
    at = desk()
    for _ in range(before):
        at.settle(usual())
    at.frozen = at.history.reference
    return next((run for run in range(1, DETECTED_BY + 1) if at.settle(change())[told]), None)


def broken_check(told: str, before: int, samples: int, checks: int = 10) -> int | None:
    """Runs until people are told of one check of so many that fails for good."""

    def run(*, passed: bool) -> RunFeatures:
        ids = range(checks)
        return RunFeatures(
            "",
            tuple(
                AnswerFeatures(f"c{i}", s, checks={"json": passed or i > 0})
                for i in ids
                for s in range(samples)
            ),
        )

    return runs_to(told, before, lambda: run(passed=False), lambda: run(passed=True))


def swapped(told: str, before: int, *, model: str = "m-1") -> int | None:
    """Runs until people are told that the fingerprint was replaced, and with it the model if another is given."""

    def run(served_model: str, system_fingerprint: str) -> RunFeatures:
        answers = [
            AnswerFeatures(f"c{i}", served_model=served_model, system_fingerprint=system_fingerprint)
            for i in range(4)
        ]
        return RunFeatures("", tuple(answers))

    return runs_to(told, before, lambda: run(model, "fp-2"), lambda: run("m-1", "fp-1"))


def detection() -> dict[str, dict[str, float | None]]:
    """Of each change, the runs until a ticket, a page, and until it may ask for a rollback."""
    rows: dict[str, Callable[[str], int | None]] = {}
    for samples in (1, 2, 4):
        for before in (8, 24, 84, 168):
            name = f"1 check of 10 fails, samples: {samples}, {before} runs before"
            rows[name] = partial(broken_check, before=before, samples=samples)
    for before in (24, 168):
        rows[f"another fingerprint, {before} runs before"] = partial(swapped, before=before)
        rows[f"another model and fingerprint, {before} runs before"] = partial(
            swapped, before=before, model="m-2"
        )
    return {name: {told: runs(told) for told in TOLD} for name, runs in rows.items()}


# --- the command


def rates(runs: Runs, quarters: int, seed: int, title: str) -> dict[str, float]:
    """Mean counts a quarter, and the most pages in one."""
    turns = track(range(quarters), title, console=Console(stderr=True))
    counts = [quarter(runs, seed + i) for i in turns]
    means = {told: sum(c[told] for c in counts) / quarters for told in TOLD}
    return means | {"most pages": float(max(c["pages"] for c in counts))}


def main(
    quarters: Annotated[int, typer.Option(min=1, help="Quarters per scenario.")] = 10,
    seed: Annotated[int, typer.Option(help="Quarter i is drawn from seed + i.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; a change never found is null.")
    ] = False,
) -> None:
    """Measure how noisy proofs are, and how fast."""
    quiet = {name: rates(runs, quarters, seed, name) for name, runs in QUIET.items()}
    mixed = {name: rates(runs, quarters, seed, name) for name, runs in MIXED.items()}
    found = detection()
    if as_json:
        result = {"quarters": quarters, "seed": seed, "quiet": quiet, "mixed": mixed, "detection": found}
        print(json.dumps(result, indent=2))
    else:
        console = Console()
        console.print(_table(f"Nothing changes: a quarter, mean of {quarters}", quiet))
        console.print(_table(f"Outside of the promise: a quarter, mean of {quarters}", mixed))
        console.print(_table("Runs from a lasting change until it is told", found))
    if max(rate["pages"] for rate in quiet.values()) > BUDGET:
        raise typer.Exit(1)


def _table(title: str, rows: Mapping[str, Mapping[str, float | None]]) -> Table:
    drawn = Table("", *next(iter(rows.values())), title=title)
    for name, row in rows.items():
        drawn.add_row(name, *("never" if value is None else f"{value:g}" for value in row.values()))
    return drawn


if __name__ == "__main__":
    typer.run(main)
