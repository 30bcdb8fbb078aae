"""How long an audit takes, and how much memory: ``python -m benchmarks.audit_speed``.

Writes a month of production calls into a database of its own: 4,000 series of 200 services, days for four weeks,
hours for two days, and every minute of what is not rolled up or lies at the edges of the period. Each series has calls
in every minute, of the number that is asked for. Then the audit of the last 24 hours to half past six is made in a
process of its own, as the command makes it. The database stays in the folder that is named, to be read again.

    python -m benchmarks.audit_speed /tmp/month --series 4000 --calls 3
"""

import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from sqlmodel import Session

from dashboards.audit.report import Audit
from monitor.audit.auditing import audit
from monitor.audit.facts import DAY_S, HOUR_S
from monitor.audit.gathering import Wanted, gather
from monitor.config import DATABASE_FILE, Config, Deployment
from monitor.database import Database
from monitor.traffic import store
from monitor.traffic.roll_ups import Resolution
from monitor.traffic.windows.histogram import Histogram, buckets_of, nano
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window, window_to_bytes

UNTIL = datetime(2026, 3, 3, 6, 30, tzinfo=UTC)
END = int(UNTIL.timestamp())
HOURS_ROLLED = (END - 600) // HOUR_S * HOUR_S
DAYS_ROLLED = HOURS_ROLLED // DAY_S * DAY_S
DAYS, SERVICES = 28, 200

BODIES = 200
"""How many different windows of a length there are; series and times take turns with them."""

EDGES = tuple(
    (first, first + HOUR_S // 2)
    for first in (END - 2 * DAY_S, END - DAY_S - HOUR_S // 2, END - DAY_S, END - HOUR_S // 2)
)
"""The half hours that only minutes can tell of, as the period begins and ends at half past."""


def write_month(database: Database, series: int, calls: int) -> int:
    """Write the month; gives how many windows that are."""
    rng = np.random.default_rng(7)
    names = [_series(number) for number in range(series)]
    written = 0
    minutes = [minute for first, end in EDGES for minute in range(first, end, 60)]
    for resolution, starts in (
        (Resolution.DAY, range(DAYS_ROLLED - DAYS * DAY_S, DAYS_ROLLED, DAY_S)),
        (Resolution.HOUR, range(DAYS_ROLLED - 2 * DAY_S, HOURS_ROLLED, HOUR_S)),
        (Resolution.MINUTE, minutes),
    ):
        bodies = [_body(rng, calls * int(resolution) // 60) for _ in range(BODIES)]
        for start in track(starts, resolution.name.lower(), console=Console(stderr=True)):
            rows = [
                store.New(start, name, count, body)
                for number, name in enumerate(names)
                for count, body in [bodies[(number * 31 + start // int(resolution)) % BODIES]]
            ]
            _write(database, store.Changes(resolution, rows, ()))
            written += len(rows)

    database.write(_note_rolled)
    return written


def _write(database: Database, changes: store.Changes) -> None:
    database.write(lambda session: store.write(session, changes))


def _note_rolled(session: Session) -> None:
    store.note_rolled(session, Resolution.HOUR, HOURS_ROLLED)
    store.note_rolled(session, Resolution.DAY, DAYS_ROLLED)


def _series(number: int) -> Series:
    service, kind = number % SERVICES, number // SERVICES
    model = f"model-{(service + kind) % 40}"
    return Series(
        f"service-{service}", "production", f"{kind % 4}", "chat", "openai", model, f"{model}-{kind // 4}"
    )


def _body(rng: np.random.Generator, calls: int) -> tuple[int, bytes]:
    window = Window(0, Series(*[""] * 7))
    window.calls = int(rng.poisson(calls)) + 1
    failed = int(rng.binomial(window.calls, 0.02))
    answered = window.calls - failed
    for histogram, centre, spread in (
        (window.latency_s, 1.0, 0.6),
        (window.ttft_s, 0.3, 0.5),
        (window.cost_usd, 0.002, 0.7),
        (window.input_tokens, 500.0, 0.5),
        (window.output_tokens, 150.0, 0.7),
        (window.tokens_per_s, 60.0, 0.4),
    ):
        _add(histogram, centre * rng.lognormal(0, spread, answered))
    window.errors = {"rate_limit": failed} if failed else {}
    window.cost_bases = {"exact": answered}
    window.finish_reasons = {"stop": answered}
    window.checked, window.unsound = answered, int(rng.binomial(answered, 0.02))
    window.failed_checks = {"json": window.unsound} if window.unsound else {}
    return window.calls, window_to_bytes(window)


def _add(histogram: Histogram, values: np.ndarray) -> None:
    buckets, counts = np.unique(buckets_of(values), return_counts=True)
    histogram.add_counts(dict(zip(buckets.tolist(), counts.tolist(), strict=True)), int(nano(values).sum()))


def _audited(database: Database) -> Audit:
    deployment = Deployment(Config(), {})
    wanted = Wanted(UNTIL - timedelta(days=1), UNTIL)
    return audit(database.read(lambda session: gather(session, deployment, wanted, UNTIL)))


def main(
    folder: Annotated[Path, typer.Argument(help="Where the database is, or is made.")],
    series: Annotated[int, typer.Option(help="How many series, of 200 services.")] = 4_000,
    calls: Annotated[int, typer.Option(help="Calls of a series in a minute.")] = 3,
    read: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Write the month where it is not there yet, make the audit, and print what it took."""
    path = folder / DATABASE_FILE
    if read:
        before = time.process_time()
        found = _audited(Database(path))
        took, memory = time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        calls_told = sum(sum(one.calls_by_block) for one in found.subjects)
        print(json.dumps({"cpu_s": round(took, 2), "mb": round(memory), "calls": calls_told}))
        return
    if not path.exists():
        database = Database(path)
        database.migrate()
        print(f"{write_month(database, series, calls):,} windows, {path.stat().st_size / 1e6:,.0f} MB")
    command = [sys.executable, "-m", "benchmarks.audit_speed", str(folder), "--read"]
    subprocess.run(command, check=True)  # noqa: S603 - this very program


if __name__ == "__main__":
    typer.run(main)
