"""The daemon: the one place that joins things up."""

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import stamina
import structlog
import uvloop
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import Session

import canaries.store as canary_store
from alerts import outbox_store
from alerts.channels import Tools, open_channels
from alerts.incident import NoticeKind, Transition
from alerts.intake import receive
from alerts.outbox import Delivery, Outbox, Outcome
from canaries.clock import Clock, SystemClock
from canaries.completion import Run
from canaries.config import TargetConfig
from canaries.replay import replay
from dashboards import StatusError
from dashboards.app import build_app
from dashboards.view import Readiness

from . import store
from .canary_cost import cost_usd
from .config import DATABASE_FILE, Deployment, cadence_of
from .database import Database
from .deployment import house_of, watched_of
from .schedule import Every, Schedule, slot_s
from .serving import Server, address, bind, server
from .status import Status, canary_job
from .telemetry import Metrics
from .traffic import StoreError
from .traffic.intake import FOLD_EVERY_S, Intake
from .traffic.receiver import TraceReceiver
from .watch_canaries import House, Settled, settle
from .watch_traffic import look

STOP_GRACE_S = 20.0
"""How long runs may go on after the signal to stop; then they are recorded as interrupted."""

FLUSH_GRACE_S = 5.0
"""How long the last messages may take when the daemon stops; what is left is kept and sent at the next start."""

STORE_ATTEMPTS = 8
"""How often a finished run is offered to a database that refuses it (locked, full) before it is given up."""

STORE_PATIENCE_S = 300.0
"""The longest that a finished run waits for the database."""

IDLE_OUTBOX_S = 30.0
"""How long the outbox sleeps when nothing is due; new messages wake it at once."""

GAUGES_EVERY_S = 5.0
"""How often the gauges at ``/metrics`` are brought up to date."""

log = structlog.get_logger()


def run_daemon(
    deployment: Deployment, data: Path, *, port: int | None = None, otlp_http_port: int | None = None
) -> int:
    """Run until SIGTERM or Ctrl-C; gives the exit code. Raises MonitorError when it cannot start."""
    config = deployment.config
    database = Database(data / DATABASE_FILE)
    try:
        database.lock_for_daemon()
        database.migrate()
        with contextlib.ExitStack() as sockets:
            pages = bind(
                config.http.host, config.http.port if port is None else port, "pages and API", "--port"
            )
            sockets.callback(pages.close)
            traces_port = config.otlp.http_port if otlp_http_port is None else otlp_http_port
            traces = bind(config.otlp.host, traces_port, "OTLP/HTTP", "--otlp-http-port")
            sockets.callback(traces.close)
            daemon = Daemon(deployment, database, SystemClock(), random.Random(), pages, traces)  # noqa: S311
            return uvloop.run(daemon.run())
    finally:
        database.close()


@dataclass
class Daemon:
    """Everything of one deployment, in one event loop."""

    deployment: Deployment
    database: Database
    clock: Clock
    rng: random.Random
    pages: socket.socket
    traces: socket.socket
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.clock)

    async def run(self) -> int:
        """Start everything, wait for the signal, and stop everything in order; gives the exit code."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stop.set)
        async with httpx.AsyncClient(follow_redirects=False) as client:
            await self._open(client)
            return await self._serve_until(stop)

    async def _open(self, client: httpx.AsyncClient) -> None:
        """Read what the last process left, and join everything up."""
        config = self.deployment.config
        self._client = client
        now = self.clock.now()
        self._house = await self.database.awrite(self._take_over)
        self._watched = {
            name: watched_of(self.deployment, name, slot_s(cadence_of(target), now))
            for name, target in config.targets.items()
        }
        self._runs: set[asyncio.Task[None]] = set()
        self._mail = asyncio.Event()
        self._intake = Intake(self.database, self.clock, self.metrics)
        if recovered := await self._intake.recover():
            log.info("calls counted again from the journal", calls=recovered)
        public_url = str(config.http.public_url) if config.http.public_url else None
        tools = Tools(client, self.clock.now, public_url)
        channels = open_channels(config.receivers, config.rollbacks, tools)
        self._outbox = Outbox(self.database, channels, self.clock.now, self.rng, self._delivered)
        self._schedule = Schedule(self._missed)
        self._status = Status(
            self.deployment, self.database, self.clock, self.metrics, self._schedule, self._house, now
        )
        self.metrics.page_budget.set(config.budget.pages_per_quarter)
        await self._plan(now)

    def _take_over(self, session: Session) -> House:
        for run_id in canary_store.mark_interrupted(session, self.clock.now()):
            log.warning("a run was interrupted when the last daemon ended", run=run_id)
        outbox_store.release_claims(session)
        return house_of(self.deployment, store.deployment_secret(session))

    async def _plan(self, now: datetime) -> None:
        config = self.deployment.config
        for name, target in config.targets.items():
            cadence = cadence_of(target)
            # The jitter is within the run, where it is known how long it is; not in the schedule as well.
            first = (
                await self._first_start(name, cadence.seconds, now) if isinstance(cadence, Every) else None
            )
            self._schedule.add(canary_job(name), cadence, partial(self._round, name), first)
        if config.watches:
            self._schedule.add("watches", Every(config.watch_every), self._look)
        self._schedule.add("windows", Every(FOLD_EVERY_S), self._fold)
        self._schedule.add("gauges", Every(GAUGES_EVERY_S), self._show)

    async def _first_start(self, name: str, every_s: float, now: datetime) -> datetime:
        """One interval after the last run: a restart neither asks twice nor leaves a gap."""
        runs = await self.database.aread(lambda session: canary_store.recent_runs(session, name, limit=1))
        due = runs[0].started_at + timedelta(seconds=every_s) if runs else now
        # A last run that lies ahead of now means that the clock went back.
        return min(max(due, now), now + timedelta(seconds=every_s))

    async def _serve_until(self, stop: asyncio.Event) -> int:
        app = build_app(self._status, self.metrics.render, self._readiness)
        servers = {
            "pages": (server(app), self.pages),
            "traces": (
                server(TraceReceiver(self._intake, self.deployment.config.otlp, self.metrics)),
                self.traces,
            ),
        }
        tasks = {
            name: asyncio.create_task(one.serve(sockets=[listener]), name=name)
            for name, (one, listener) in servers.items()
        }
        tasks["outbox"] = asyncio.create_task(self._deliver(), name="outbox")
        self._schedule.start()
        self._announce()
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopping, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task.get_name() for task in done if task is not stopping]
        for name in failed:
            # Half a watch is worse than none that says so: the supervisor starts us again.
            log.error("a part of the daemon ended", part=name, exc_info=tasks[name].exception())
        stopping.cancel()
        await self._stop([one for one, _ in servers.values()], tasks)
        return 1 if failed else 0

    async def _stop(self, servers: list[Server], tasks: Mapping[str, asyncio.Task[None]]) -> None:
        log.info("stopping", runs_in_flight=len(self._runs))
        self._schedule.pause()
        servers[1].should_exit = True
        if self._runs:
            _, late = await asyncio.wait(self._runs, timeout=STOP_GRACE_S)
            for run in late:
                run.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._schedule.stop()
        await asyncio.wait({tasks["traces"]}, timeout=STOP_GRACE_S)
        tasks["outbox"].cancel()
        with contextlib.suppress(TimeoutError, OperationalError):
            async with asyncio.timeout(FLUSH_GRACE_S):
                await self._outbox.drain()
        with contextlib.suppress(StoreError):  # what is not folded is in the journal, for the next start
            await self._intake.fold()
        servers[0].should_exit = True
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        log.info("stopped")

    def _announce(self) -> None:
        for what, listener in (("pages and API", self.pages), ("OTLP/HTTP", self.traces)):
            print(f"{what}: {address(listener)}", flush=True)  # noqa: T201 - data for whoever started us
        log.info("watching", targets=len(self._watched), watches=len(self.deployment.config.watches))

    # Canaries

    async def _round(self, name: str) -> None:
        """One run of a target: asked, and settled whatever comes of it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the schedule runs jobs as tasks
        self._runs.add(task)
        run_id = f"{name}-{self.clock.now():%Y%m%dT%H%M%S}-{self.rng.getrandbits(32):08x}"
        try:
            await self._ask_and_settle(name, run_id)
        except asyncio.CancelledError:
            await self.database.awrite(lambda s: canary_store.interrupt_run(s, run_id, self.clock.now()))
            self.metrics.runs.labels(name, "interrupted").inc()
            raise
        except SQLAlchemyError as error:
            self.metrics.runs.labels(name, "not_stored").inc()
            self._problem(f"A run of {name} could not be stored and is lost: {getattr(error, 'orig', error)}")
        except Exception:
            self.metrics.runs.labels(name, "failed").inc()
            log.exception("a run failed", run=run_id)
            self._problem(f"A run of {name} failed by a defect; the log has the details.")
        finally:
            self._runs.discard(task)

    async def _ask_and_settle(self, name: str, run_id: str) -> None:
        target, suite = self.deployment.config.targets[name], self.deployment.suites[name]
        started_at = self.clock.now()
        await self.database.awrite(
            lambda session: canary_store.start_run(session, run_id, name, suite.name, started_at)
        )
        run = await replay(suite, target, name, run_id, self.clock, self.rng, self._client)
        async for attempt in stamina.retry_context(
            on=OperationalError, attempts=STORE_ATTEMPTS, timeout=STORE_PATIENCE_S
        ):
            with attempt:
                settled = await self.database.awrite(
                    lambda session: settle(session, self._watched[name], self._house, run, self.clock.now())
                )
        self._report(target, run, settled)

    def _report(self, target: TargetConfig, run: Run, settled: Settled) -> None:
        self.metrics.count_run(run, cost_usd(run, target), settled.scores, settled.evidence)
        if settled.has_frozen:
            log.info("baseline frozen", target=run.target)
        self._tell(settled.transitions)

    def _tell(self, transitions: Iterable[Transition]) -> None:
        for transition in transitions:
            if transition.is_page:
                self.metrics.pages.inc()
            if transition.notifications and transition.incident is not None:
                incident = transition.incident
                log.info("incident", key=incident.key, state=incident.state, reason=transition.reason)
        self._mail.set()

    # Traffic

    async def _look(self) -> None:
        """Judge every watch, and let the alert arm know."""
        now = self.clock.now()
        looks = await look(self._intake, self.deployment.config.watches, now)
        verdicts = [(one.verdict(), one.rule()) for one in looks]
        try:
            transitions = await self.database.awrite(
                lambda session: receive(session, verdicts, now, self._house.rollbacks)
            )
        except OperationalError as error:
            # The next look judges the same windows again: nothing is lost but time.
            self._problem(f"The watches could not be stored: {error.orig}")
            return
        self._status.looks = looks
        self._tell(transitions)

    async def _fold(self) -> None:
        try:
            await self._intake.fold()
        except StoreError as error:
            self._problem(f"Traffic windows wait for the database: {error}")

    # Messages

    async def _deliver(self) -> None:
        """Drain the outbox whenever something is due, for as long as the daemon lives."""
        while True:
            self._mail.clear()
            try:
                due = await self._outbox.drain()
            except OperationalError as error:
                self._problem(f"The outbox waits for the database: {error.orig}")
                due = None
            wait_s = IDLE_OUTBOX_S if due is None else (due - self.clock.now()).total_seconds()
            with contextlib.suppress(TimeoutError):
                # Never without a pause: a clock that jumps must not make this loop spin.
                async with asyncio.timeout(min(max(wait_s, 0.05), IDLE_OUTBOX_S)):
                    await self._mail.wait()

    def _delivered(self, delivery: Delivery) -> None:
        row = delivery.notification
        self.metrics.notifications.labels(row.receiver, delivery.outcome.value).inc()
        if delivery.error:
            log.warning("delivery failed", receiver=row.receiver, error=delivery.error, message=row.id)
        if delivery.outcome is Outcome.FAILED:
            self._problem(f"A message to {row.receiver} was given up: {delivery.error}")
        if (
            delivery.next_attempt_at is None
            and row.message.rollback
            and row.message.kind is NoticeKind.ROLLBACK
        ):
            self.metrics.rollbacks.labels(row.message.rollback, delivery.outcome.value).inc()
        self._mail.set()

    # The watch itself

    def _missed(self, job: str, why: str) -> None:
        self.metrics.misfires.labels(job).inc()
        self._problem(f"{job} did not start when it was due: {why}.")

    def _problem(self, sentence: str) -> None:
        log.warning("problem", what=sentence)
        self._status.problems.append(f"{self.clock.now():%Y-%m-%d %H:%M:%S} UTC: {sentence}")

    async def _show(self) -> None:
        with contextlib.suppress(StatusError):  # the page says so, and so does /readyz
            self.metrics.show(await self._status.status())

    async def _readiness(self) -> Readiness:
        loop = asyncio.get_running_loop()
        problem = await loop.run_in_executor(None, self.database.check)
        return Readiness((f"the database cannot be written: {problem}",) if problem else ())
