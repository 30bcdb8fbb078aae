"""How often a watch pages near its threshold, and how soon after a jump: ``python -m benchmarks.watch_noise``.

The product's own windows, judgement and incident rule, fed with lognormal latencies; looked at every minute.
"""

import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from statistics import NormalDist, median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from alerts.incident import Incident, step
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judging import judge
from monitor.traffic.windows.series import MINUTE_S, Series
from monitor.traffic.windows.window import Window
from monitor.traffic_flow.watch_traffic import Look

THRESHOLD_S = 8.0
SIGMA = 0.5
"""Standard deviation of the logarithm of a latency."""

LEVELS = (0.8, 0.9, 1.0, 1.1, 1.3)
"""Where the p95 lies, in thresholds."""

JUMP = 2.0
START = datetime(2026, 3, 2, tzinfo=UTC)
CALLS = Series("shop", "", "", "chat", "", "", "")


def minutes(p95_of_minute: Callable[[int], float], calls: int, rng: random.Random) -> Iterator[Window]:
    """One window a minute with ``calls`` calls each; the p95 of a minute is given in thresholds."""
    z95 = NormalDist().inv_cdf(0.95)
    for number in count():
        center = math.log(p95_of_minute(number) * THRESHOLD_S) - SIGMA * z95
        window = Window(int(START.timestamp()) + number * MINUTE_S, CALLS, calls=calls)
        for _ in range(calls):
            window.latency_s.add(rng.lognormvariate(center, SIGMA))
        yield window


def pages(watch: WatchConfig, traffic: Iterator[Window]) -> Iterator[bool]:
    """For each minute of traffic, looked at as it ends, whether the watch pages."""
    incident: Incident | None = None
    seen: list[Window] = []
    for window in traffic:
        seen = [*seen[-math.ceil(watch.over / MINUTE_S) :], window]
        now = START + timedelta(seconds=window.minute - START.timestamp() + MINUTE_S - 1)
        look = Look(watch, judge(watch, seen, now))
        transition = step(incident, look.verdict(), look.rule(), now)
        incident = transition.incident if transition.incident and transition.incident.is_open else None
        yield transition.is_page


def pages_a_day(watch: WatchConfig, level: float, days: int, calls: int, seed: int) -> float:
    """How often it pages while the p95 stays at ``level`` thresholds."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    paging = pages(watch, minutes(lambda _: level, calls, rng))
    return sum(next(paging) for _ in range(days * 1440)) / days


def minutes_to_page(watch: WatchConfig, before: float, calls: int, seed: int) -> int:
    """How many minutes after the p95 jumped from ``before`` to twice that it pages; 1 is the minute of the jump."""
    jumps_at = math.ceil(watch.over / MINUTE_S) + 1
    rng = random.Random(seed)  # noqa: S311 - a simulation
    levels = minutes(lambda minute: before * (JUMP if minute >= jumps_at else 1.0), calls, rng)
    paged = (minute for minute, is_page in enumerate(pages(watch, levels)) if is_page and minute >= jumps_at)
    return next(paged) - jumps_at + 1


def rule_of(keep_firing_for: str | None = None) -> WatchConfig:
    """A watch on p95 with the defaults; the look-back is 5 minutes."""
    return WatchConfig.model_validate(
        {"name": "w", "measure": "latency_p95", "above": THRESHOLD_S, "keep_firing_for": keep_firing_for}
    )


def main(
    days: Annotated[int, typer.Option(help="Days at each level.")] = 10,
    jumps: Annotated[int, typer.Option(help="Jumps at each level.")] = 100,
    calls: Annotated[int, typer.Option(help="Calls a minute.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the first stream.")] = 1,
) -> None:
    """Print pages a day with the p95 at some levels, and minutes to the page when it doubles from there."""
    table = Table(
        "p95 in thresholds",
        "pages a day",
        "keep_firing_for: 0",
        f"minutes to page at x{JUMP:g}: median",
        "90 %",
    )
    for level in LEVELS:
        steady = pages_a_day(rule_of(), level, days, calls, seed)
        hasty = pages_a_day(rule_of("0s"), level, days, calls, seed)
        if level >= 1.0:
            table.add_row(f"{level:g}", f"{steady:.1f}", f"{hasty:.1f}", "", "")
            continue
        delays = sorted(minutes_to_page(rule_of(), level, calls, seed + one) for one in range(jumps))
        row = (f"{steady:.1f}", f"{hasty:.1f}", f"{median(delays):g}", str(delays[int(0.9 * jumps)]))
        table.add_row(f"{level:g}", *row)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
