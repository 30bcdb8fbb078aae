"""Shift watches over latency: ``python -m benchmarks.tails --quarters 12``.

An application makes 300 calls an hour. Latency is lognormal (sigma 0.5), slower and faster by 15 % over the day and by
8 % from hour to hour; that load is independent from hour to hour, or an AR(1) process with coefficient 0.8. A control
is another series of as many calls under the same load, or one that, as the watched series, also has 8 % of noise for
itself. After the change, a share of the calls takes three times as long. Every alarm counts, at a budget of one false
page a quarter. Exit status 1 when the product has surely more false pages than its budget.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from alerts.evidence import Budgets, Kind, observe, open_ledger
from alerts.evidence.bets import Floats, Ints
from alerts.evidence.control import LOG_ODDS, Block, ControlLedger, observe_block
from monitor.traffic.tails.baseline import Seen, TailBaseline, collect, open_baseline
from monitor.traffic.tails.counting import Counted, Tally
from monitor.traffic.tails.hour_classes import HourClasses
from monitor.traffic.tails.stickiness import Stickiness
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.windows.histogram import Histogram
from monitor.traffic_flow.tail_ranking import ranking_of

CALLS = 300
SIGMA = 0.5
DIURNAL = 0.15
NOISE = 0.08
SLOWER = 3.0
HOURS_A_QUARTER = 2190
SETTLED = 48
"""Hours without a change between the baseline and the change."""

WAITS_MAX = 400
"""Hours after which a change counts as not found."""

START = datetime(2026, 3, 2, tzinfo=UTC)
BUDGET = Budgets(pages_per_quarter=1.0)
QUANTILES = {"p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Load:
    """How calls are slowed down together from hour to hour.

    ``coefficient`` is that of the AR(1) process; ``own`` is the noise that each of the two series has for itself.
    """

    coefficient: float = 0.0
    own: float = 0.0

    def draw(self, rng: np.random.Generator, hours: int) -> Floats:
        """By how much each hour's latency is multiplied, as a logarithm."""
        noise = rng.normal(size=hours)
        for hour in range(1, hours) if self.coefficient else ():
            fresh = math.sqrt(1 - self.coefficient**2) * noise[hour]
            noise[hour] = self.coefficient * noise[hour - 1] + fresh
        day = np.log1p(DIURNAL * np.sin(2 * math.pi * np.arange(hours) / 24))
        return np.asarray(day + NOISE * noise)


def calls_of(rng: np.random.Generator, load: Floats, slow_share: Floats | float = 0.0) -> Floats:
    """The latency of every call, hours by calls, in seconds."""
    shape = (len(load), CALLS)
    is_slow = rng.random(shape) < np.broadcast_to(np.asarray(slow_share), len(load))[:, None]
    return np.asarray(np.exp(load[:, None] + SIGMA * rng.normal(size=shape)) * np.where(is_slow, SLOWER, 1.0))


def watch_of(measure: str, *, weeks: int = 1, is_beside_control: bool = False) -> WatchConfig:
    """The watch that an operator would write."""
    shift: dict[str, object] = {"since": START.isoformat()}
    if is_beside_control:
        shift["control"] = {"version": "1.4"}
    else:
        shift["baseline"] = f"{weeks}w"
    told = {"name": "tail", "measure": f"latency_{measure}", "match": {"version": "1.5"}, "shift": shift}
    return WatchConfig.model_validate(told)


def baseline_of(watch: WatchConfig, mine: Floats, control: Iterable[Floats] = ()) -> tuple[TailBaseline, int]:
    """The watch's frozen baseline, from calls hour by hour, and how many hours it took."""
    baseline = open_baseline(watch, START.timestamp())
    others: Iterator[Floats] = iter(control)
    for hours, calls in enumerate(mine, 1):
        other = next(others, None)
        baseline = collect(watch, baseline, _counted(calls), Counted() if other is None else _counted(other))
        if baseline.is_ready:
            return baseline, hours
    raise ValueError(f"{len(mine)} hours make no baseline")


def _counted(calls: Floats) -> Counted:
    values = Histogram()
    for value in calls.tolist():
        values.add(value)
    return Counted(len(calls), 0, values)


def pages_by_history(watch: WatchConfig, baseline: TailBaseline, hits: Ints, seed: int) -> list[int]:
    """The hours, counted from the end of the baseline, at which the watch pages."""
    rng = np.random.default_rng([seed, 7])
    ties = {start: float(rng.random()) for start, _ in baseline.calibration}
    ranking = ranking_of(watch, baseline, ties, 1.0)
    ledger, pages = open_ledger(ranking.ranks), []
    for hour, k in enumerate(hits.tolist()):
        seen = Seen(baseline.next_s + 3600 * hour, Tally(CALLS, k))
        run = ranking.observation(seen, f"{hour}", float(rng.random()))
        step = observe(ranking.ranks, ledger, run, ranking.weights, BUDGET, ranking.tickets_only)
        ledger = step.ledger
        if any(alarm.kind is Kind.PAGE for alarm in step.alarms):
            pages.append(hour)
    return pages


def pages_beside_control(mine: Ints, control: Ints) -> list[int]:
    """The hours at which the watch beside a control pages."""
    ledger, pages = ControlLedger(), []
    for hour, (k, other) in enumerate(zip(mine.tolist(), control.tolist(), strict=True)):
        at = START + timedelta(hours=hour)
        step = observe_block(
            ledger, Block(f"{hour}", at, 3600.0, CALLS, k, CALLS, other), "tail", 1.0, BUDGET
        )
        ledger = step.ledger
        if any(alarm.kind is Kind.PAGE for alarm in step.alarms):
            pages.append(hour)
    return pages


def pages_of_turner(mine: Ints, control: Ints) -> list[int]:
    """The same with the E-variable of Turner, Ly and Grünwald: the common chance is guessed from the control's past."""
    signed = np.concatenate([LOG_ODDS, -LOG_ODDS])
    shares = np.repeat([1.0, 0.35], len(LOG_ODDS)) / (1.35 * len(LOG_ODDS))
    wealth, pages = np.zeros(len(signed)), []
    calls, hits = 40.0, 1.0
    for hour, (k, other) in enumerate(zip(mine.tolist(), control.tolist(), strict=True)):
        chance = hits / calls
        odds = chance / (1 - chance) * np.exp(signed)
        mine_chance = odds / (1 + odds)
        both = (mine_chance + chance) / 2
        log_e = k * np.log(mine_chance / both) + (CALLS - k) * np.log((1 - mine_chance) / (1 - both))
        log_e += other * np.log(chance / both) + (CALLS - other) * np.log((1 - chance) / (1 - both))
        wealth = (wealth + shares / HOURS_A_QUARTER) * np.exp(log_e)
        if wealth.sum() >= 1:
            pages.append(hour)
            wealth = np.zeros(len(signed))
        calls, hits = 0.9 * calls + CALLS, max(0.9 * hits + other, 0.1)
    return pages


def pages_of_peers(before: Floats, limit: float, q: float, later: Floats) -> dict[str, list[int]]:
    """The hours at which rules that people use page: a ratio of quantiles, and a test of the count each hour."""
    usual = np.quantile(before, q)
    ratio = np.quantile(later, q, axis=1) > 1.2 * usual
    hits = (later > limit).sum(axis=1)
    tail = _binomial_tail(CALLS, float((before > limit).mean()))
    named = {
        "quantile > 1.2 x the baseline's": ratio,
        "binomial test, p < .05": tail[hits] < 0.05,
        "binomial test, p < 1/2190": tail[hits] < 1 / HOURS_A_QUARTER,
    }
    return {name: np.flatnonzero(pages).tolist() for name, pages in named.items()}


def _binomial_tail(n: int, p: float) -> Floats:
    """The chance of so many hits or more, by number of hits."""
    k = np.arange(n + 1)
    log_choose = math.lgamma(n + 1) - np.array([math.lgamma(i + 1) + math.lgamma(n - i + 1) for i in k])
    chance = np.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p))
    return np.asarray(chance[::-1].cumsum()[::-1])


def pages(
    name: str, load: Load, hours: int, seed: int, slow_share: float = 0.0, weeks: int = 1
) -> dict[str, list[int]]:
    """The hours at which each procedure pages, in one application; calls are slow from hour ``SETTLED`` on."""
    rng, q = np.random.default_rng(seed), QUANTILES[name]
    history = weeks * 168
    all_hours = load.draw(rng, history + hours)
    slow = np.where(np.arange(len(all_hours)) >= history + SETTLED, slow_share, 0.0)
    own = load.own * rng.normal(size=(2, len(all_hours)))
    mine, control = calls_of(rng, all_hours + own[0], slow), calls_of(rng, all_hours + own[1])
    before, later = mine[:history], mine[history:]

    watch = watch_of(name, weeks=weeks)
    baseline, _ = baseline_of(watch, before)
    limit = baseline.limit or 0.0
    hits = (later > limit).sum(axis=1)
    single = replace(baseline, stickiness=Stickiness())
    pooled = replace(single, hours=HourClasses())

    beside, _ = baseline_of(watch_of(name, is_beside_control=True), before, control)
    common = beside.limit or 0.0
    counts = (later > common).sum(axis=1), (control[history:] > common).sum(axis=1)
    return {
        "history": pages_by_history(watch, baseline, hits, seed),
        "history, blind to stickiness": pages_by_history(watch, single, hits, seed),
        "history, all hours together": pages_by_history(watch, pooled, hits, seed),
        "control": pages_beside_control(*counts),
        "control, Turner-Ly-Grünwald": pages_of_turner(*counts),
        **pages_of_peers(before, limit, q, later),
    }


@dataclass(frozen=True, slots=True)
class Row:
    """What one procedure did in one case: pages a quarter without a change, and hours to the first page after one."""

    measure: str
    load: str
    procedure: str
    pages_a_quarter: float
    error: float
    delays_h: dict[str, tuple[float, float]]


LOADS = {
    "independent": Load(),
    "AR(1) = .8": Load(0.8),
    "AR(1) = .8, and 8 % that is not shared": Load(0.8, 0.08),
}


def rows_of(
    name: str, load: str, quarters: int, repetitions: int, shares: tuple[float, ...], weeks: int = 1
) -> list[Row]:
    """One row for each procedure."""
    quiet = [pages(name, LOADS[load], HOURS_A_QUARTER, seed, weeks=weeks) for seed in range(quarters)]
    changed = {
        share: [
            pages(name, LOADS[load], SETTLED + WAITS_MAX, 10_000 + seed, share, weeks)
            for seed in range(repetitions)
        ]
        for share in shares
    }
    rows = []
    for procedure in quiet[0]:
        counts = np.array([len(one[procedure]) for one in quiet], dtype=float)
        error = counts.std(ddof=1) / math.sqrt(len(counts)) if len(counts) > 1 else math.nan
        delays = {
            f"{share:.0%}": _delays([one[procedure] for one in found]) for share, found in changed.items()
        }
        rows.append(Row(name, load, procedure, float(counts.mean()), float(error), delays))
    return rows


def _delays(found: list[list[int]]) -> tuple[float, float]:
    """The median and the 90 % point of the hours from the change to the first page after it."""
    waits = sorted(
        next((hour - SETTLED + 1 for hour in hours if hour >= SETTLED), math.inf) for hours in found
    )
    if not waits:
        return math.nan, math.nan
    return waits[(len(waits) - 1) // 2], waits[math.ceil(0.9 * len(waits)) - 1]


def _is_covered(row: Row) -> bool:
    """Whether the product does it and promises something: what two series do not share is no chance they have alike."""
    return row.procedure in ("history", "control") and not LOADS[row.load].own


def main(
    quarters: Annotated[int, typer.Option(help="Quarters without a change, each of a new application.")] = 12,
    repetitions: Annotated[int, typer.Option(help="Changes, for each share of slow calls.")] = 40,
    measures: Annotated[str, typer.Option(help="p95, p99 or both, with a comma.")] = "p95,p99",
    weeks: Annotated[int, typer.Option(help="Weeks of history in the baseline.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Print the false pages and the delays of each procedure."""
    rows = [
        row
        for name in measures.split(",")
        for load in LOADS
        for row in rows_of(name, load, quarters, repetitions, (0.05, 0.02, 0.01), weeks)
    ]
    if as_json:
        typer.echo(json.dumps([{field: getattr(row, field) for field in row.__slots__} for row in rows]))
    else:
        _print(rows, quarters, repetitions)
    if any(row.pages_a_quarter - 2 * row.error > 1.0 for row in rows if _is_covered(row)):
        raise typer.Exit(1)


def _print(rows: list[Row], quarters: int, repetitions: int) -> None:
    table = Table(
        title=f"{quarters} quarters; hours to the page (median / 90 %) of {repetitions} changes; budget 1 a quarter"
    )
    for column in ("measure", "load", "procedure", "false pages a quarter"):
        table.add_column(column)
    for share in rows[0].delays_h:
        table.add_column(f"{share} of calls 3x slower")
    for row in rows:
        waits = [f"{median:g} / {most:g}" for median, most in row.delays_h.values()]
        table.add_row(
            row.measure, row.load, row.procedure, f"{row.pages_a_quarter:.2f} ± {row.error:.2f}", *waits
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
