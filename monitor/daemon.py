"""The daemon: the one place that joins things up."""

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import stamina
import structlog
import uvloop
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts import outbox_store
from alerts.channels import Tools, open_channels
from alerts.finding import Label, Verdict
from alerts.incident import AlertRule, NoticeKind, Transition
from alerts.intake import receive
from alerts.outbox import Delivery, Outbox, Outcome
from canaries.clock import Clock, SystemClock
from canaries.completion import Run, RunStatus
from canaries.config import TargetConfig
from canaries.features import extract
from canaries.replay import replay
from canaries.store import RunSummary
from dashboards import StatusError
from dashboards.app import build_app
from dashboards.view import Readiness

from . import DatabaseError, store
from .canary_cost import cost_usd
from .canary_verdicts import incident_keys
from .config import DATABASE_FILE, Deployment, cadence_of
from .database import Database
from .deployment import house_of, watched_of
from .pulse import absence
from .schedule import Every, Schedule, slot_s
from .self_watch import Job, SelfWatch, why
from .serving import Server, address, bind, server
from .status import Status, canary_job
from .telemetry import Metrics
from .traffic import StoreError
from .traffic.intake import FOLD_EVERY_S, Intake
from .traffic.receiver import TraceReceiver
from .watch_canaries import Settled, settle
from .watch_traffic import incident_key, look
from .watched import House

STOP_GRACE_S = 20.0
"""How long runs may go on after the signal to stop, unless it comes a second time; then they are interrupted."""

INTERRUPT_GRACE_S = 5.0
"""How long it may take to note which runs were interrupted; without the note, the next start makes it."""

FLUSH_GRACE_S = 6.0
"""How long the last messages may take when the daemon stops; what is left is kept and sent at the next start."""

STORE_PATIENCE_S = 6 * 3600.0
"""How long a run waits for a database that refuses it (locked, full) before it is given up.

It holds up the later runs of its target, which could not be stored either: one run for each target waits at most.
"""

STORE_PAUSE_MAX_S = 5.0
"""The longest pause between two tries to store a run."""

REPEAT_AFTER_S = 60.0
"""How soon after a start that was interrupted a run is started again, unless its interval is even shorter."""

IDLE_OUTBOX_S = 30.0
"""How long the outbox sleeps when nothing is due; new messages wake it at once."""

TROUBLED_OUTBOX_S = 5.0
"""How long it sleeps when it could not work."""

FORGET_EVERY_S = 3600.0
"""How often what is older than ``storage.keep`` is deleted; the first time soon after the start."""

FORGET_AFTER_S = 5.0
"""How long after the start that is."""

GAUGES_EVERY_S = 5.0
"""How often the gauges at ``/metrics`` are brought up to date."""

T = TypeVar("T")

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


def first_start(last: RunSummary | None, every_s: float, now: datetime) -> datetime:
    """When the first run of a target starts whose ``last`` run was under an earlier daemon.

    One interval after that one: a restart neither asks twice nor leaves a gap.
    """
    if last is None:
        return now
    # A run that was interrupted is made good soon; not at once, as a daemon that crashes over it comes back too.
    is_whole = last.status is RunStatus.COMPLETED
    due = last.started_at + timedelta(seconds=every_s if is_whole else min(every_s, REPEAT_AFTER_S))
    # A last run that lies ahead of now means that the clock went back.
    return min(max(due, now), now + timedelta(seconds=every_s))


@dataclass
class Daemon:
    """Everything of one deployment, in one event loop."""

    deployment: Deployment
    database: Database
    clock: Clock
    rng: random.Random
    pages: socket.socket
    traces: socket.socket

    async def run(self) -> int:
        """Start everything, wait for the signal, and stop everything in order; gives the exit code."""
        self._stopping = asyncio.Event()
        self._grace: asyncio.Timeout | None = None
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signal_number, self._ask_to_stop)
        # Two clients: an endpoint that hangs must not take the connections of those who are to be told. How many
        # requests there are at a time is for the targets to say: waiting for a connection would look like latency.
        asking = httpx.AsyncClient(follow_redirects=False, limits=httpx.Limits(max_connections=None))
        telling = httpx.AsyncClient(follow_redirects=False)
        async with asking, telling:
            try:
                await self._open(asking, telling)
            except SQLAlchemyError as error:
                raise DatabaseError(f"{self.database.path}: cannot be used: {why(error)}") from error
            return await self._serve()

    def _ask_to_stop(self) -> None:
        if self._grace is not None:
            log.info("asked a second time: runs are interrupted")
            self._grace.reschedule(asyncio.get_running_loop().time())
        self._stopping.set()

    async def _open(self, asking: httpx.AsyncClient, telling: httpx.AsyncClient) -> None:
        """Read what the last process left, and join everything up."""
        config = self.deployment.config
        now = self.clock.now()
        self.metrics = Metrics(self.clock)
        self.metrics.page_budget.set(config.budget.pages_per_quarter)
        self._self = SelfWatch(self.database, self.clock, self.metrics, self._clock_was_set)
        self._schedule = Schedule(self._self.missed)
        self._house = await self.database.awrite(self._take_over)
        self._watched = {
            name: watched_of(self.deployment, name, slot_s(cadence_of(target), now))
            for name, target in config.targets.items()
        }
        self._client = asking
        self._runs: set[asyncio.Task[None]] = set()
        self._mail = asyncio.Event()
        self._is_closing = False
        self._intake = Intake(self.database, self.clock, self.metrics)
        if recovered := await self._intake.recover():
            log.info("calls counted again from the journal", calls=recovered)
        public_url = str(config.http.public_url) if config.http.public_url else None
        tools = Tools(telling, self.clock.now, public_url)
        channels = open_channels(config.receivers, config.rollbacks, tools)
        self._outbox = Outbox(self.database, channels, self.clock.now, self.rng, self._delivered)
        self._status = Status(
            self.deployment,
            self.database,
            self.clock,
            self.metrics,
            self._schedule,
            self._house,
            self._self.problems,
            now,
        )
        await self._plan(now)

    def _take_over(self, session: Session) -> House:
        now = self.clock.now()
        if gap := absence(store.alive_at(session), now):
            self._self.problem(gap)
        store.save_alive(session, now)
        if interrupted := canary_store.mark_interrupted(session, now):
            self._self.problem("Runs were interrupted when the last daemon ended; the log names them.")
            log.info("interrupted when the last daemon ended", runs=interrupted)
        outbox_store.release_claims(session)
        self._close_orphans(session, now)
        if again := outbox_store.requeue_pages(session):
            log.info("alarms that had been given up are sent again", messages=again)
        return house_of(self.deployment, store.deployment_secret(session))

    def _close_orphans(self, session: Session, now: datetime) -> None:
        """End the incidents of what is not under watch any more: nothing would ever say that they are over."""
        config = self.deployment.config
        keys = {key for target in config.targets for key in incident_keys(target)}
        keys |= {incident_key(watch) for watch in config.watches}
        orphans = [one.key for one in alert_store.open_incidents(session) if one.key not in keys]
        note = "It is not in the configuration any more"
        receive(session, [(Verdict(key, Label.STEADY, note=note), AlertRule()) for key in orphans], now)

    async def _plan(self, now: datetime) -> None:
        config = self.deployment.config
        for name, target in config.targets.items():
            cadence = cadence_of(target)
            # The jitter is within the run, where it is known how long it is; not in the schedule as well.
            first = (
                await self._first_start(name, cadence.seconds, now) if isinstance(cadence, Every) else None
            )
            self._schedule.add(canary_job(name), cadence, partial(self._round, name), first)
        jobs: list[tuple[str, float, Job]] = [
            ("windows", FOLD_EVERY_S, self._fold),
            ("gauges", GAUGES_EVERY_S, self._show),
        ]
        if config.watches:
            jobs.append(("watches", config.watch_every, self._look))
        for name, every_s, work in jobs:
            self._schedule.add(name, Every(every_s), self._self.attended(name, work))
        forget = self._self.attended("old records", self._forget)
        soon = now + timedelta(seconds=FORGET_AFTER_S)
        self._schedule.add("old records", Every(FORGET_EVERY_S), forget, soon)

    async def _first_start(self, name: str, every_s: float, now: datetime) -> datetime:
        runs = await self.database.aread(lambda session: canary_store.recent_runs(session, name, limit=1))
        return first_start(runs[0] if runs else None, every_s, now)

    def _clock_was_set(self, now: datetime) -> None:
        self._schedule.follow_clock(now)

    async def _serve(self) -> int:
        """Run every part until the signal, or until one of them ends; gives the exit code."""
        app = build_app(self._status, self.metrics.render, self._readiness)
        receiver = TraceReceiver(
            self._intake, self.deployment.config.otlp, self.metrics, is_news=self._self.is_news
        )
        servers = {"pages": (server(app), self.pages), "traces": (server(receiver), self.traces)}
        tasks = {
            name: asyncio.create_task(one.serve(sockets=[listener]), name=name)
            for name, (one, listener) in servers.items()
        }
        tasks["outbox"] = asyncio.create_task(self._deliver(), name="outbox")
        tasks["pulse"] = asyncio.create_task(self._self.pulse(), name="pulse")
        self._schedule.start()
        self._announce()
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({stopping, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task.get_name() for task in done if task is not stopping]
        for name in failed:
            # Half a watch is worse than none that says so: the supervisor starts us again.
            log.error("a part of the daemon ended", part=name, exc_info=tasks[name].exception())
        stopping.cancel()
        await self._stop({name: one for name, (one, _) in servers.items()}, tasks)
        return 1 if failed else 0

    async def _stop(self, servers: Mapping[str, Server], tasks: Mapping[str, asyncio.Task[None]]) -> None:
        log.info("stopping", runs_in_flight=len(self._runs))
        self._self.is_stopping = True
        self._schedule.pause()
        servers["traces"].should_exit = True
        await self._end_runs()
        self._schedule.stop()
        self._is_closing = True
        self._mail.set()
        await asyncio.wait({tasks["traces"], tasks["outbox"]}, timeout=FLUSH_GRACE_S)
        tasks["outbox"].cancel()
        tasks["pulse"].cancel()
        with contextlib.suppress(StoreError):  # what is not folded is in the journal, for the next start
            await self._intake.fold()
        servers["pages"].should_exit = True
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        log.info("stopped")

    async def _end_runs(self) -> None:
        """Let the runs end; after the grace, note them as interrupted."""
        if not self._runs:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S) as self._grace:
                await asyncio.wait(self._runs)
        self._grace = None
        if not self._runs:
            return
        for run in self._runs:
            run.cancel()
        with contextlib.suppress(TimeoutError, SQLAlchemyError):
            async with asyncio.timeout(INTERRUPT_GRACE_S):
                await asyncio.wait(self._runs)
                now = self.clock.now()
                # All of them in one go: a database that is locked makes each write wait.
                await self.database.awrite(lambda session: canary_store.mark_interrupted(session, now))

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
            log.warning("a run was interrupted", run=run_id)
            self.metrics.runs.labels(name, "interrupted").inc()
            raise
        except SQLAlchemyError as error:
            self.metrics.runs.labels(name, "not_stored").inc()
            self._self.problem(f"A run of {name} could not be stored and is lost: {why(error)}.")
            await self._give_up(run_id)
        except Exception:
            self.metrics.runs.labels(name, "failed").inc()
            self._self.defect(f"a run of {name}")
            await self._give_up(run_id)
        finally:
            self._runs.discard(task)

    async def _ask_and_settle(self, name: str, run_id: str) -> None:
        target, suite = self.deployment.config.targets[name], self.deployment.suites[name]
        watched, started_at = self._watched[name], self.clock.now()
        # Before the target is asked: answers cost money, and nothing is paid for that cannot be kept.
        await self._stored(name, lambda s: canary_store.start_run(s, run_id, name, suite.name, started_at))
        run = await replay(suite, target, name, run_id, self.clock, self.rng, self._client)
        # In a thread, and before the transaction: an expectation may take long over a strange answer.
        features = await asyncio.to_thread(extract, run, suite, self._house.secret)
        settled = await self._stored(
            name, lambda s: settle(s, watched, self._house, run, features, self.clock.now())
        )
        self._report(target, run, settled)

    async def _stored(self, name: str, work: Callable[[Session], T]) -> T:
        """What ``work`` gives once the database takes it; waits for that for ``STORE_PATIENCE_S``."""
        async for attempt in stamina.retry_context(
            on=OperationalError, attempts=None, timeout=STORE_PATIENCE_S, wait_max=STORE_PAUSE_MAX_S
        ):
            with attempt:
                try:
                    return await self.database.awrite(work)
                except OperationalError as error:
                    self._self.problem(f"A run of {name} waits for the database: {why(error)}.")
                    raise
        raise AssertionError("stamina ends with a result or an error")

    async def _give_up(self, run_id: str) -> None:
        now = self.clock.now()
        with contextlib.suppress(SQLAlchemyError):  # the next start notes it
            await self.database.awrite(lambda session: canary_store.interrupt_run(session, run_id, now))

    def _report(self, target: TargetConfig, run: Run, settled: Settled) -> None:
        # People first: their messages are stored, and only wait for somebody to send them.
        self._tell(settled.transitions)
        if settled.has_frozen:
            log.info("baseline frozen", target=run.target)
        for note in settled.notes:
            self._self.problem(note)
        self.metrics.count_run(run, cost_usd(run, target), settled.scores, settled.evidence)

    def _tell(self, transitions: Iterable[Transition]) -> None:
        """Count and log what the transitions mean; their messages are in the outbox already."""
        for transition in transitions:
            incident = transition.incident
            if incident is None:
                continue
            self._mail.set()
            if transition.is_page:
                self.metrics.pages.inc()
            if transition.notifications:
                log.info("incident", key=incident.key, state=incident.state, reason=transition.reason)

    # Traffic

    async def _look(self) -> None:
        """Judge every watch, and let the alert arm know."""
        now = self.clock.now()
        looks = await look(self._intake, self.deployment.config.watches, now)
        verdicts = [(one.verdict(), one.rule()) for one in looks]
        # When this is refused, the next look judges the same windows again: nothing is lost but time.
        transitions = await self.database.awrite(
            lambda session: receive(session, verdicts, now, self._house.rollbacks)
        )
        self._status.looks = looks
        self._tell(transitions)

    async def _fold(self) -> None:
        await self._intake.fold()

    # Old records

    async def _forget(self) -> None:
        """Delete what is older than the configuration says, a little at a time: others write in between."""
        before = self.clock.now() - timedelta(seconds=self.deployment.config.storage.keep)
        for forget in (canary_store.forget_runs, outbox_store.forget):
            while await self.database.awrite(partial(forget, before=before)):
                pass

    # Messages

    async def _deliver(self) -> None:
        """Drain the outbox whenever something is due; when the daemon stops, once more and to its end."""
        while True:
            self._mail.clear()
            wait_s = await self._drain()
            if self._is_closing and not self._mail.is_set():
                return
            with contextlib.suppress(TimeoutError):
                # Never without a pause: a clock that jumps must not make this loop spin.
                async with asyncio.timeout(max(wait_s, 0.05)):
                    await self._mail.wait()

    async def _drain(self) -> float:
        """Send what is due; gives the seconds until there is something to do again."""
        try:
            due = await self._outbox.drain()
        except SQLAlchemyError as error:
            self._self.problem(f"The outbox waits for the database: {why(error)}.")
            return TROUBLED_OUTBOX_S
        except Exception:
            self._self.defect("the outbox")
            return TROUBLED_OUTBOX_S
        wait_s = IDLE_OUTBOX_S if due is None else (due - self.clock.now()).total_seconds()
        return min(wait_s, IDLE_OUTBOX_S)

    def _delivered(self, delivery: Delivery) -> None:
        row = delivery.notification
        self.metrics.notifications.labels(row.receiver, delivery.outcome.value).inc()
        if delivery.error:
            log.warning("delivery failed", receiver=row.receiver, error=delivery.error, message=row.id)
        if delivery.outcome is Outcome.FAILED:
            self._self.problem(f"A message to {row.receiver} was given up: {delivery.error}")
        if (
            delivery.next_attempt_at is None
            and row.message.rollback
            and row.message.kind is NoticeKind.ROLLBACK
        ):
            self.metrics.rollbacks.labels(row.message.rollback, delivery.outcome.value).inc()
        self._mail.set()

    # The watch itself

    async def _show(self) -> None:
        with contextlib.suppress(StatusError):  # the page says so
            self.metrics.show(await self._status.status())

    async def _readiness(self) -> Readiness:
        return self._self.readiness()
