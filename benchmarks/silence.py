"""How often a service's own pauses are taken for silence, and how soon a dead exporter is seen: ``python -m
benchmarks.silence``.

The product's own record of minutes, rhythm and judgement, looked at every minute; rhythms are learned once a day here,
and once an hour in the product. A service is known for two weeks when the quarter begins.
"""

from collections.abc import Callable
from statistics import median
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from dashboards.view import Hearing
from monitor.traffic.silence.active_minutes import ActiveMinutes
from monitor.traffic.silence.judging import Listening, hear
from monitor.traffic.silence.rhythm import DAYS_MIN, HISTORY_S, LIMIT_MIN, Flags, Rhythm, learn
from monitor.traffic.windows.series import MINUTE_S

MONDAY = 1_772_409_600
DAY = 1_440
RATES = (30.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""Calls a minute, on average over the hours in which there are any."""

SERVICE = "shop"
Shape = Callable[[NDArray[np.int64], np.random.Generator], NDArray[np.float64]]


def poisson(minutes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The same rate at all times."""
    return np.ones(len(minutes))


def diurnal(minutes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A wave through the day, down to a twentieth at night."""
    return 1 + 0.9 * np.sin(2 * np.pi * (minutes / DAY - 0.375))


def bursty(minutes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The wave, times a lognormal rate that wanders within two hours: far more lulls than chance brings."""
    steps = len(minutes) // 10 + 1
    level, levels = 0.0, np.empty(steps)
    for step, noise in enumerate(rng.normal(size=steps)):
        level = levels[step] = 0.9 * level + (1 - 0.81) ** 0.5 * noise
    lulls: NDArray[np.float64] = np.repeat(np.exp(levels - 0.5), 10)[: len(minutes)]
    return diurnal(minutes, rng) * lulls


def office(minutes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """From eight to six on weekdays, beginning and ending up to half an hour off, and nothing else."""
    days = len(minutes) // DAY + 1
    begin, end = 8 * 60 + rng.integers(-30, 31, days), 18 * 60 + rng.integers(-30, 31, days)
    day, minute = minutes // DAY, minutes % DAY
    return ((minute >= begin[day]) & (minute < end[day]) & (day % 7 < 5)).astype(np.float64)


SHAPES: dict[str, Shape] = {"Poisson": poisson, "diurnal": diurnal, "bursty": bursty, "office hours": office}


def calls(shape: Shape, rate: float, days: int, seed: int) -> Flags:
    """Minutes with and without calls, from a Monday on."""
    rng = np.random.default_rng(seed)
    minutes = np.arange(days * DAY)
    return rng.random(len(minutes)) < -np.expm1(-rate * shape(minutes, rng))


def record(active: Flags, end: int) -> ActiveMinutes:
    """What the product has noted of the first ``end`` minutes of the stream."""
    minutes = ActiveMinutes(MONDAY + end * MINUTE_S)
    first = max(0, end - HISTORY_S // MINUTE_S)
    marked = np.flatnonzero(active[first:end]) + first
    minutes.mark((MONDAY + int(minute) * MINUTE_S, SERVICE) for minute in marked)
    return minutes


def hearing(minutes: ActiveMinutes, rhythm: Rhythm, minute: int) -> Hearing:
    """What the product says at the end of this minute of the stream."""
    now_s = float(MONDAY + (minute + 1) * MINUTE_S)
    return hear(SERVICE, minutes, rhythm, Listening(0.0), now_s).hearing


def false_findings(active: Flags) -> tuple[int, float]:
    """How often the stream was found silent after its first two weeks, and the share of days on which it was judged."""
    found = judged = 0
    days = range(int(DAYS_MIN), len(active) // DAY)
    for day in days:
        minutes = record(active, day * DAY)
        rhythm = learn(minutes.of(SERVICE), minutes.origin)
        judged += rhythm.is_judged
        if rhythm.is_judged:
            found += _false_findings_of_day(active, day, minutes, rhythm)
    return found, judged / len(days)


def _false_findings_of_day(active: Flags, day: int, minutes: ActiveMinutes, rhythm: Rhythm) -> int:
    found, was_silent = 0, False
    last = int(np.flatnonzero(active[: day * DAY])[-1])
    for minute in range(day * DAY, (day + 1) * DAY):
        if active[minute]:
            minutes.mark([(MONDAY + minute * MINUTE_S, SERVICE)])
            last, was_silent = minute, False
        elif not was_silent and minute - last >= LIMIT_MIN:
            was_silent = hearing(minutes, rhythm, minute) is Hearing.SILENT
            # A silence that began the day before was counted there.
            found += was_silent and not (last < day * DAY and minute == day * DAY)
    return found


def delay(active: Flags, after: int) -> int | None:
    """How many minutes after the call in minute ``after``, its last, the service is found silent; None: not in time."""
    minutes = record(active, after + 1)
    rhythm = learn(minutes.of(SERVICE), minutes.origin)
    for minute in range(after + 1, after + 3 * DAY):
        if hearing(minutes, rhythm, minute) is Hearing.SILENT:
            return minute - after
    return None


def _delays(active: Flags, deaths: int, seed: int) -> list[float]:
    known = np.flatnonzero(active[28 * DAY :]) + 28 * DAY
    chosen = np.random.default_rng(seed).choice(known, deaths)
    found = (delay(active, int(after)) for after in chosen)
    return sorted(float("inf") if one is None else float(one) for one in found)


def _minutes(delays: list[float], share: float) -> str:
    if not delays:
        return "-"
    value = median(delays) if share == 0.5 else delays[min(len(delays) - 1, int(share * len(delays)))]
    return (
        "not told" if value == float("inf") else f"{value:.0f} min" if value < 180 else f"{value / 60:.1f} h"
    )


def main(
    streams: Annotated[int, typer.Option(help="Quarters of each kind and rate.")] = 4,
    deaths: Annotated[int, typer.Option(help="Dead exporters of each stream.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the first stream.")] = 1,
) -> None:
    """Print false findings a quarter, and the time until a dead exporter is found, by kind of traffic and rate."""
    table = Table(
        "traffic", "calls a minute", "days judged", "false a quarter", "found after: median", "90 %"
    )
    for name, shape in SHAPES.items():
        for rate in RATES:
            false, share, delays = 0, 0.0, list[float]()
            for number in range(seed, seed + streams):
                active = calls(shape, rate, int(DAYS_MIN) + 91, number)
                found, judged = false_findings(active)
                false, share = false + found, share + judged
                delays += _delays(active, deaths, number)
            delays.sort()
            row = (
                f"{share / streams:.0%}",
                f"{false / streams:.2f}",
                _minutes(delays, 0.5),
                _minutes(delays, 0.9),
            )
            table.add_row(name, f"{rate:g}", *row)
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
