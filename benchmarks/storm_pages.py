"""Whether pages and API stay alive in a storm: 10,000 findings in a minute, in real time, while somebody looks.

In a process of its own, what the daemon does with findings runs in one loop with what serves the pages: incidents,
groups, outbox, gauges, pages, API. Another process asks for pages four times a second each, first without a storm and
then in it. ``python -m benchmarks.storm_pages [--findings 10000] [--storm-s 60] [--calm-s 15]``.
"""

import argparse
import asyncio
import logging
import multiprocessing
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import structlog

from alerts import store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.message import Message, Thread
from alerts.outbox import Outbox
from alerts.routing_config import RouteConfig, routing_of
from canaries.clock import SystemClock
from dashboards.app import build_app
from dashboards.view import Readiness
from monitor.audit.nightly import StoredAudits
from monitor.config import DATABASE_FILE, Config, Deployment
from monitor.daemon import GAUGES_EVERY_S, PAGES
from monitor.database import Database
from monitor.schedule import Schedule
from monitor.self_watch import PULSE_EVERY_S, SelfWatch
from monitor.serving import address, bind, server
from monitor.status import Status
from monitor.telemetry import Metrics
from monitor.telling.incident_desk import Desk
from monitor.telling.messenger import Messenger
from monitor.watched import House

PATHS = ("/", "/incidents", "/api/v1/status", "/api/v1/incidents", "/metrics", "/healthz", "/readyz")
ASKED_EVERY_S = 0.25
TIMEOUT_S = 30.0

ALIVE_WITHIN_S = {"/healthz": 1.0, "/readyz": 1.0}
"""In what time a probe must be answered at the 99th percentile: Kubernetes gives up after a second."""

PAGE_WITHIN_S = 5.0
"""The same for what a person waits for."""


class Pager:
    """A receiver that takes everything, and counts it."""

    def __init__(self) -> None:
        self.arrived = 0

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """Where the message lies: nowhere."""
        self.arrived += 1
        return thread or Thread("C", str(self.arrived))


def verdict(number: int) -> Verdict:
    """What is found of one thing."""
    severity = Severity.PAGE if number % 10 == 0 else Severity.TICKET
    labels = {"prompt": str(number), "target": f"t{number % 3}"}
    finding = Finding(severity, Source.LEDGER, f"prompt {number} has moved", labels, (("evidence", "1.3"),))
    return Verdict(f"drift/{number}", Label.BREACHED, finding)


def serve(pipe: Connection, folder: str, findings: int, storm_s: float, *, is_grouped: bool) -> None:
    """What a daemon does; a storm begins at a word from the pipe."""
    logging.disable()  # a line for each finding, which nobody reads here
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(_serve(pipe, Path(folder), findings, storm_s, is_grouped=is_grouped))


async def _serve(pipe: Connection, folder: Path, findings: int, storm_s: float, *, is_grouped: bool) -> None:
    clock, database = SystemClock(), Database(folder / DATABASE_FILE)
    database.migrate()
    tree = RouteConfig(receivers=["pager"], group_by=["target"]) if is_grouped else None
    metrics, house = Metrics(clock), House(b"secret", routing=routing_of(tree, {}, 0.0))
    watch = SelfWatch(database, clock, metrics, lambda now: None)
    messenger, pager = Messenger(database, clock, metrics, watch, house), Pager()
    rng = random.Random(1)  # noqa: S311 - spreads retries, no secret
    outbox = Outbox(database, {"pager": pager}, clock.now, rng, messenger.delivered, limits={"pager": 60})
    schedule = Schedule(watch.missed)
    status = Status(
        Deployment(Config(), {}), database, clock, metrics, schedule, house, watch.problems, clock.now()
    )

    async def readiness() -> Readiness:
        return watch.readiness()

    desk = Desk(database, clock, messenger.wake, house.routing, house.inhibitions)
    app = build_app(status, metrics.render, readiness, StoredAudits(database), desk, clock=clock)
    listener = bind("127.0.0.1", 0, PAGES)

    async def gauges() -> None:
        while True:
            metrics.show(await status.status())
            await asyncio.sleep(GAUGES_EVERY_S)

    async def pulse() -> None:
        while True:
            await watch.beat()
            await asyncio.sleep(PULSE_EVERY_S)

    tasks = [
        asyncio.create_task(one)
        for one in (server(app).serve(sockets=[listener]), messenger.deliver(outbox), gauges(), pulse())
    ]
    loop = asyncio.get_running_loop()
    pipe.send(address(listener))
    await loop.run_in_executor(None, pipe.recv)
    began, batches = time.monotonic(), round(storm_s)
    for batch in range(batches):
        first, last = batch * findings // batches, (batch + 1) * findings // batches
        rule = AlertRule(notify=("pager",))
        looks = [(verdict(number), rule) for number in range(first, last)]
        now = clock.now()
        work = partial(receive, verdicts=looks, now=now, inhibitions=house.inhibitions, routing=house.routing)
        messenger.tell(await database.awrite(work))
        await asyncio.sleep(max(0.0, began + batch + 1 - time.monotonic()))
    took_s = time.monotonic() - began
    opened = len(await database.aread(store.open_incidents))
    pipe.send((took_s, opened, pager.arrived))
    await loop.run_in_executor(None, pipe.recv)
    for task in tasks:
        task.cancel()


def ask(url: str, path: str, until: list[float]) -> list[float]:
    """How long each answer took until it is time to stop; a failure counts as the time-out."""
    took = []
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        while time.monotonic() < until[0]:
            began = time.monotonic()
            try:
                is_fine = client.get(path).status_code == 200
            except httpx.HTTPError:
                is_fine = False
            seconds = time.monotonic() - began
            took.append(seconds if is_fine else TIMEOUT_S)
            time.sleep(max(0.0, ASKED_EVERY_S - seconds))
    return took


def look(url: str, until: list[float]) -> Mapping[str, list[float]]:
    """The answers to everything, asked side by side."""
    with ThreadPoolExecutor(len(PATHS)) as pool:
        asked = {path: pool.submit(ask, url, path, until) for path in PATHS}
        return {path: one.result() for path, one in asked.items()}


def at(share: float, values: Sequence[float]) -> float:
    """The value at this share of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Look, blow, look, and say what it did to those who look."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--findings", type=int, default=10_000)
    arguments.add_argument("--storm-s", type=float, default=60.0)
    arguments.add_argument("--calm-s", type=float, default=15.0)
    arguments.add_argument("--grouped", action="store_true", help="with a route that groups by target")
    options = arguments.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(
            target=serve,
            args=(theirs, folder, options.findings, options.storm_s),
            kwargs={"is_grouped": options.grouped},
            daemon=True,
        )
        process.start()
        url = ours.recv()
        calm = look(url, [time.monotonic() + options.calm_s])
        ours.send("blow")
        until = [time.monotonic() + 3600]
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look, url, until)
            took_s, opened, arrived = ours.recv()
            until[0] = 0.0
            storm = looking.result()
        after = look(url, [time.monotonic() + options.calm_s])
        ours.send("end")
        process.join(10)
    print(f"{opened} findings in {took_s:.1f} s, {arrived} messages arrived")
    print(f"{'':22}{'calm':>22}{'in the storm':>22}{'with all of it open':>22}")
    print(f"{'':22}" + f"{'p50':>11}{'p99':>11}" * 3 + "   answers")
    for path in PATHS:
        cells = [
            f"{at(share, one[path]) * 1000:8.0f} ms" for one in (calm, storm, after) for share in (0.5, 0.99)
        ]
        print(f"{path:22}{''.join(cells)}   {len(storm[path])}")
    assert opened == options.findings, "a finding was lost"
    for path in PATHS:
        limit_s = ALIVE_WITHIN_S.get(path, PAGE_WITHIN_S)
        assert at(0.99, storm[path]) <= limit_s, f"{path} took longer than {limit_s:g} s"


if __name__ == "__main__":
    main()
