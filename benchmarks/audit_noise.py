"""Nights on which nothing moved, audited: ``python -m benchmarks.audit_noise``.

20 services with 200 calls an hour, and a month of them. Nothing changes; but every service has its time of day, its
good and bad days, and hours that share a load and resemble the hour before. How many of the nights say of anything that
it really moved? With ``--moved`` latency, cost and broken answers of one service grow by so much in the last day:
how many of the nights say so?

Exit status 1 when more than one night in twenty, beyond what chance leaves open, calls noise real.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.repetitions import repeat
from dashboards.audit.report import Against, Audit
from monitor.audit.auditing import audit
from monitor.audit.facts import DAY_S, HOUR_S, Facts, ServiceFacts, days_before, span_of
from monitor.audit.tally import Tally
from monitor.traffic.windows.distribution import distribution_of

Floats = NDArray[np.float64]

SERVICES, CALLS_AN_HOUR, DAYS = 20, 200, 30
HOUR_SD, DAY_SD, RESEMBLES = 0.10, 0.05, 0.3
"""Of the logarithm of an hour's load and of a day's, and how much of an hour's load the next one has."""

FAILED, BROKEN = 0.02, 0.03
LATENCY_SD, COST_SD = 0.6, 0.8
MOVED_SERVICE = 0
UNTIL = datetime(2026, 3, 3, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """One night; ``moved`` is by how many times the first service's measures grow in the last day."""

    seed: int
    moved: float
    days: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the night called anything real, by what it was compared with, and named the service that moved."""

    previous: bool
    baseline: bool
    found: bool


def night(case: Case) -> Outcome:
    """The audit of one night."""
    rng = np.random.default_rng(case.seed)
    span = span_of(UNTIL - timedelta(days=1), UNTIL)
    services = [
        _service(rng, f"service-{n}", case, case.moved if n == MOVED_SERVICE else 1.0)
        for n in range(SERVICES)
    ]
    facts = Facts(UNTIL, UNTIL - timedelta(days=1), UNTIL, Against.PREVIOUS, span, services=services)
    found = audit(facts)
    return Outcome(_calls_real(found, Against.PREVIOUS), _calls_real(found, Against.BASELINE), _finds(found))


def _calls_real(found: Audit, against: Against) -> bool:
    return any(
        line.is_worse(against) or line.is_better(against) for one in found.subjects for line in one.lines
    )


def _finds(found: Audit) -> bool:
    return any(one.subject == f"service-{MOVED_SERVICE}" for one in found.worse())


def _service(rng: np.random.Generator, name: str, case: Case, moved: float) -> ServiceFacts:
    """A month of a service: hours of the last two days, and whole days before."""
    span, loads = span_of(UNTIL - timedelta(days=1), UNTIL), _loads(rng)
    first = span.end - DAYS * DAY_S
    days = {
        start: _calls(rng, loads[(start - first) // HOUR_S :][:24], range(24))
        for start in days_before(span).blocks()[-case.days :]
        if case.days and start >= first
    }
    hours = {
        start: _calls(
            rng,
            loads[(start - first) // HOUR_S :][:1],
            [start % DAY_S // HOUR_S],
            moved if start >= span.first else 1.0,
        )
        for start in range(span.before().first, span.end, HOUR_S)
    }
    now = {start: one for start, one in hours.items() if start >= span.first}
    previous = {start: one for start, one in hours.items() if start < span.first}
    return ServiceFacts(name, "production", now, previous, days)


def _loads(rng: np.random.Generator) -> Floats:
    shocks = rng.standard_normal(DAYS * 24)
    for hour in range(1, len(shocks)):
        shocks[hour] = RESEMBLES * shocks[hour - 1] + sqrt(1 - RESEMBLES**2) * shocks[hour]
    by_day = np.repeat(rng.standard_normal(DAYS), 24)
    return np.exp(HOUR_SD * shocks + DAY_SD * by_day)


def _calls(rng: np.random.Generator, loads: Floats, hours: Sequence[int], moved: float = 1.0) -> Tally:
    """The calls of some hours."""
    shape = 1 + 0.6 * np.sin(np.array(hours) / 24 * 2 * np.pi)
    calls = rng.poisson(CALLS_AN_HOUR * shape * loads)
    failed = rng.binomial(calls, np.minimum(1.0, FAILED * loads**3))
    answers = calls - failed
    answered = int(answers.sum())
    load = np.repeat(loads, answers)
    tally = Tally(int(calls.sum()), int(failed.sum()), answered, checked=answered, finished=answered)
    tally.asked = tally.answered = answered
    tally.broken = int(rng.binomial(answers, np.minimum(1.0, BROKEN * loads**2 * moved)).sum())
    tally.cost_nano = round(1e6 * moved * float(rng.lognormal(0, COST_SD, answered).sum()))
    tally.input_tokens = float(rng.lognormal(6, 0.5, answered).sum())
    tally.output_tokens = float(rng.lognormal(5, 0.7, answered).sum())
    tally.latency_s = distribution_of(load * moved * rng.lognormal(0, LATENCY_SD, answered))
    tally.ttft_s = distribution_of(0.3 * load * moved * rng.lognormal(0, LATENCY_SD, answered))
    return tally


def main(
    nights: Annotated[int, typer.Option(help="How many nights.")] = 200,
    moved: Annotated[float, typer.Option(help="By how many times one service's measures grow.")] = 1.0,
    days: Annotated[int, typer.Option(min=0, max=28, help="How many days before are known.")] = 28,
    seed: Annotated[int, typer.Option(help="Night i is drawn from seed + i.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Audit nights on which nothing moved, or one service did."""
    outcomes = repeat(night, [Case(seed + n, moved, days) for n in range(nights)], workers, "nights")
    shares = {
        name: sum(getattr(one, name) for one in outcomes) / nights
        for name in ("previous", "baseline", "found")
    }
    if as_json:
        typer.echo(json.dumps({"nights": nights, "moved": moved, "days": days} | shares))
    else:
        table = Table(
            "nights", "moved", "days", "real against the day before", "against the baseline", "found"
        )
        table.add_row(str(nights), f"{moved:g}", str(days), *(f"{share:.1%}" for share in shares.values()))
        Console().print(table)
    if moved == 1.0:
        bound = 0.05 + 2 * sqrt(0.05 * 0.95 / nights)
        raise typer.Exit(int(max(shares["previous"], shares["baseline"]) > bound))


if __name__ == "__main__":
    typer.run(main)
