"""A month of minutes through fifty watches: how long a backtest of alerts takes, and how much memory.

``python -m benchmarks.backtest_speed [--days 30] [--watches 50] [--services 5]``.
"""

import argparse
import random
import resource
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlmodel import Session

from monitor.backtesting.backtest_alerts import backtest_alerts
from monitor.config import DATABASE_FILE, Config, Deployment
from monitor.database import Database
from monitor.moments import Moment, MomentKind, note
from monitor.tables import MomentRow
from monitor.traffic.tables import TrafficWindowRow
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window, window_to_bytes

START = datetime(2026, 3, 2, tzinfo=UTC)
KINDS = 200
"""How many different minutes there are: to make each anew would take longer than what is measured."""


def bodies(rng: random.Random) -> list[bytes]:
    """Minutes of some calls, now and then slow or failing."""
    found = []
    for _ in range(KINDS):
        window = Window(0, Series("", "", "", "", "", "", ""))
        window.calls = rng.randint(5, 30)
        slow = 6.0 if rng.random() < 0.02 else 1.0
        failed = sum(rng.random() < 0.02 for _ in range(window.calls))
        window.errors = {"other": failed} if failed else {}
        for _ in range(window.calls - failed):
            window.latency_s.add(slow * rng.lognormvariate(0, 0.4), 1)
            window.output_tokens.add(rng.randint(50, 500), 1)
        found.append(window_to_bytes(window))
    return found


def write_past(database: Database, days: float, services: int) -> None:
    """A window for each minute and service, and a look a minute."""
    rng, first = random.Random(1), int(START.timestamp())  # noqa: S311 - no secret
    known = bodies(rng)
    database.write(lambda s: note(s, Moment(MomentKind.START, START)))
    end = first + round(days * 86_400)
    for day in range(first, end, 86_400):
        minutes = range(day, min(day + 86_400, end), 60)
        windows = [
            {
                "minute": minute, "service": f"s{n}", "environment": "production", "version": "1",
                "operation": "chat", "provider": "openai", "request_model": "m", "response_model": "m",
                "calls": 10, "body": rng.choice(known),
            }
            for minute in minutes for n in range(services)
        ]  # fmt: skip
        looks = [{"at": minute + 61.5, "kind": "look", "subject": "", "facts": ""} for minute in minutes]
        database.write(partial(_write, windows=windows, looks=looks))


def _write(session: Session, windows: list[dict[str, Any]], looks: list[dict[str, Any]]) -> None:
    session.connection().execute(insert(TrafficWindowRow), windows)
    session.connection().execute(insert(MomentRow), looks)


def deployment_of(watches: int, services: int) -> Deployment:
    """So many watches, of four kinds."""
    kinds = [
        {"measure": "latency_p95", "above": "8s", "over": "10m"},
        {"measure": "error_share", "above": "20%", "over": "5m", "severity": "ticket"},
        {"measure": "latency_p50", "above": "5s", "over": "5m", "for": "5m"},
        {"measure": "calls_per_minute", "above": "100", "over": "15m", "severity": "ticket"},
    ]
    rules = [
        {"name": f"w{n}", "match": {"service": f"s{n % services}"}, "notify": ["oncall"], "min_calls": 5}
        | kinds[n % len(kinds)]
        for n in range(watches)
    ]
    hook = {"webhook": {"url": "https://example.org/", "secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}}
    return Deployment(Config.model_validate({"watches": rules, "receivers": {"oncall": hook}}), {})


def main() -> None:
    """Write the past, go through it, and say how long that took."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--days", type=float, default=30)
    arguments.add_argument("--watches", type=int, default=50)
    arguments.add_argument("--services", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / DATABASE_FILE)
        database.migrate()
        write_past(database, options.days, options.services)
        database.close()
        deployment = deployment_of(options.watches, options.services)
        before, began = time.process_time(), time.monotonic()
        found = backtest_alerts(deployment, database.path)
        took_s, cpu_s = time.monotonic() - began, time.process_time() - before
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.looks} looks at {options.watches} watches, {len(found.proposed.messages)} messages")
    print(f"{took_s:.1f} s ({cpu_s:.1f} s of processor time), {memory_mb:.0f} MB at most")


if __name__ == "__main__":
    main()
