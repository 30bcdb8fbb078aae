"""The daemon: the one place that joins things up."""

import asyncio
import contextlib
import gc
import random
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx
import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

import canaries.store as canary_store
from alerts import decisions, group_store, outbox_store, rollback_store, silence_store
from alerts.channels import Channel, Tools, open_channels, picture_channels
from alerts.outbox import Delivery, Outbox
from canaries.clock import Clock, SystemClock
from dashboards import StatusError
from dashboards.front import Application, Front, Probes
from dashboards.view import Readiness

from . import DatabaseError, MonitorError, moments
from .audit.config import AuditConfig
from .audit.nightly import NightlyAudit, StoredAudits
from .audit.store import forget_audits
from .canary_flow.rounds import Rounds
from .config import DATABASE_FILE, Deployment, cadence_of
from .database import Database
from .deployment import watched_of
from .foresight.watch_sensitivity import SensitivityWatch
from .grpc_waiting import GrpcPort, listener_at
from .schedule import Every, Schedule, slot_s
from .self_watch import Job, SelfWatch, why
from .serving import Place, Server, address, bind, server
from .status import Status, canary_job
from .taking_over import first_start, take_over
from .telemetry import Metrics
from .telling.asked_route import notified
from .telling.incident_desk import Desk
from .telling.messenger import Messenger
from .telling.outside_watch import open_outside_watch
from .telling.pagerduty_replies import PagerDutyReplies, pagerduty_secrets
from .telling.pictures import Pictures, artist_of
from .telling.rollbacks import Rollbacks
from .telling.verifying import LOOK_EVERY_S, Verifying
from .telling.what_moved import WhatMoved
from .traffic import StoreError
from .traffic.checks import AnswerChecks
from .traffic.config import TlsConfig
from .traffic.intake import FOLD_EVERY_S, Intake
from .traffic.lookout.scanning import how_spans_are_read
from .traffic.pricing import price_list
from .traffic.pricing.book import PriceBook
from .traffic.receiving.body import InFlight
from .traffic.receiving.http_receiver import TraceReceiver
from .traffic.receiving.http_server import HttpServer
from .traffic.receiving.tls import renew, server_context
from .traffic.watches.marking import Marking
from .traffic_flow.watching import TrafficWatch
from .watchman.clocks import ServerClocks
from .watchman.last_resort import LastResort
from .watchman.looking import Diary
from .watchman.receivers import fingerprints
from .watchman.watchman import Watchman

if TYPE_CHECKING:
    from .audit.gathering import Blind
    from .telling.slack_buttons import SlackButtons
    from .traffic.receiving.grpc_receiver import GrpcTraceReceiver

GARBAGE_THRESHOLDS = (50_000, 20, 50)
"""After how many new objects Python looks for cycles among them, and how rarely among older and oldest ones."""

FLUSH_GRACE_S = 6.0
"""How long the last messages may take when the daemon stops; what is left is kept and sent at the next start."""

FORGET_EVERY_S = 3600.0
"""How often what is older than ``storage.keep`` is deleted; the first time soon after the start."""

FORGET_AFTER_S = 5.0
"""How long after the start that is."""

SENSITIVITY_EVERY_S = 30.0
"""How often it is looked whether a target has another baseline, or other samples, than when it was worked out."""

ROLL_UP_EVERY_S = 60.0
"""How often it is looked whether hours or days of calls can be rolled up, and old windows deleted."""

GAUGES_EVERY_S = 5.0
"""How often the gauges at ``/metrics`` are brought up to date."""

COPY_LOG_EVERY_S = 1.0
"""How often what was committed is copied into the database file."""

AUDIT_LOOK_EVERY_S = 60.0
"""How often it is looked whether the audit of a night is due; the first time soon after the start."""

CERTIFICATES_EVERY_S = 600.0
"""How often the files for TLS are read again: they are renewed while the daemon runs."""

STOPPED_BY = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask the daemon to stop."""

PAGES = Place("pages and API", "--port", "http")
OTLP_HTTP = Place("OTLP/HTTP", "--otlp-http-port", "otlp", "http_port")
OTLP_GRPC = Place(
    "OTLP/gRPC", "--otlp-grpc-port", "otlp", "grpc_port", ", or take none over gRPC with --no-otlp-grpc"
)
"""What listens, and where it is told where."""

log = structlog.get_logger()


def run_daemon(
    deployment: Deployment,
    data: Path,
    *,
    port: int | None = None,
    otlp_http_port: int | None = None,
    otlp_grpc_port: int | Literal["off"] | None = None,
) -> int:
    """Run until SIGTERM or Ctrl-C; gives the exit code. Raises MonitorError when it cannot start."""
    config = deployment.config
    database = Database(data / DATABASE_FILE)
    try:
        database.lock_for_daemon()
        database.migrate_apart()
        price_list.spare_memory()
        with _signals_as_before(), contextlib.ExitStack() as sockets:
            grpc_port = config.otlp.grpc_port if otlp_grpc_port is None else otlp_grpc_port
            wanted = [
                (config.http.host, config.http.port if port is None else port, PAGES),
                (
                    config.otlp.host,
                    config.otlp.http_port if otlp_http_port is None else otlp_http_port,
                    OTLP_HTTP,
                ),
            ]
            if grpc_port != "off":
                wanted.append((config.otlp.host, grpc_port, OTLP_GRPC))
            pages, traces, *over_grpc = _listeners(sockets, wanted)
            rng = random.Random()  # noqa: S311 - for jitter
            tls = _tls(deployment)
            daemon = Daemon(deployment, database, SystemClock(), rng, pages, traces, tls, *over_grpc)
            # Calls are remembered by the ten thousand: looking through all of them for cycles as often as Python would
            # by itself takes a quarter of the time of counting them.
            gc.set_threshold(*GARBAGE_THRESHOLDS)
            # What is there by now stays: two hundred thousand objects of modules, through which a look takes as long as
            # nobody should wait for an answer. What is garbage among them is not to stay with them.
            gc.collect()
            gc.freeze()
            return uvloop.run(daemon.run())
    finally:
        database.close()


@contextlib.contextmanager
def _signals_as_before() -> Iterator[None]:
    """Give whoever called us their signal handlers back: a closed loop of uvloop leaves its own, which do nothing."""
    before = {number: signal.getsignal(number) for number in STOPPED_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listeners(
    sockets: contextlib.ExitStack, wanted: Sequence[tuple[str, int, Place]]
) -> list[socket.socket]:
    """A socket for each place, closed with ``sockets``. Raises MonitorError that tells all that cannot be had."""
    found, problems = [], []
    for host, port, place in wanted:
        try:
            found.append((listener_at if place is OTLP_GRPC else bind)(host, port, place))
            sockets.callback(found[-1].close)
        except MonitorError as error:
            problems.append(str(error))
    if problems:
        raise MonitorError("\n".join(problems))
    return found


def _tls(deployment: Deployment) -> ssl.SSLContext | None:
    tls = deployment.config.otlp.tls
    return server_context(tls, deployment.folder) if tls else None


@dataclass
class Daemon:
    """Everything of one deployment, in one event loop."""

    deployment: Deployment
    database: Database
    clock: Clock
    rng: random.Random
    pages: socket.socket
    traces: socket.socket
    traces_tls: ssl.SSLContext | None = None
    over_grpc: socket.socket | None = None

    async def run(self) -> int:
        """Start everything, wait for the signal, and stop everything in order; gives the exit code."""
        self._stopping = asyncio.Event()
        self._interrupt: Callable[[], None] = lambda: None
        for signal_number in STOPPED_BY:
            asyncio.get_running_loop().add_signal_handler(signal_number, self._ask_to_stop)
        otlp, folder = self.deployment.config.otlp, self.deployment.folder
        self._grpc = GrpcPort(self.over_grpc, otlp, folder) if self.over_grpc else None
        # Two clients: an endpoint that hangs must not take the connections of those who are to be told. How many
        # requests there are at a time is for the targets to say: waiting for a connection would look like latency.
        # What they trust is read once, as it takes 2 MB.
        trusted = httpx.create_ssl_context()
        every_one = httpx.Limits(max_connections=None)
        asking = httpx.AsyncClient(verify=trusted, follow_redirects=False, limits=every_one)
        telling = httpx.AsyncClient(verify=trusted, follow_redirects=False)
        async with asking, telling:
            try:
                await self._open(asking, telling)
            except SQLAlchemyError as error:
                raise DatabaseError(f"{self.database.path}: cannot be used: {why(error)}") from error
            return await self._serve()

    def _ask_to_stop(self) -> None:
        self._interrupt()
        self._stopping.set()

    async def _open(self, asking: httpx.AsyncClient, telling: httpx.AsyncClient) -> None:
        """Read what the last process left, and join everything up."""
        config = self.deployment.config
        now = self.clock.now()
        self.metrics = Metrics(self.clock)
        self.metrics.page_budget.set(config.budget.pages_per_quarter)
        self._self = SelfWatch(self.database, self.clock, self.metrics, self._clock_was_set)
        self._schedule = Schedule(self._self.missed)
        self._house = await self.database.awrite(
            lambda session: take_over(session, self.deployment, self._self.problem, self._self.happened, now)
        )
        self._outside = open_outside_watch(
            config, self.database, self.clock, self.metrics, self._self, telling
        )
        self._messenger = Messenger(
            self.database, self.clock, self.metrics, self._self, self._house, self._outside.tell
        )
        prices, checks = PriceBook(config.prices), AnswerChecks(config.validators, config.evaluations)
        marking = Marking(config.watches)
        self._intake = Intake(
            self.database,
            self.clock,
            self.metrics,
            prices,
            checks,
            marking=marking,
            keep=config.storage.keep_windows(),
        )
        self._watching = TrafficWatch(
            self.deployment,
            self.database,
            self._intake.at_looks,
            self.metrics.ingested,
            self._house,
            self._self.defect,
        )
        if recovered := await self._intake.recover():
            log.info("calls counted again from the journal", calls=recovered)
        self._public_url = str(config.http.public_url) if config.http.public_url else None
        tools = Tools(telling, self.clock.now, self._public_url)
        channels = open_channels(config.receivers, config.rollbacks, tools)
        self._pictures = Pictures(
            picture_channels(config.receivers),
            artist_of(self.database, WhatMoved(self.deployment, self._house)),
            self.clock,
            self._self,
        )
        self._outbox = Outbox(
            self.database,
            channels,
            self.clock.now,
            self.rng,
            self._delivered,
            limits={name: one.max_per_minute for name, one in config.receivers.items()},
            fallbacks=config.fallbacks(),
            fingerprints=fingerprints(config, self._house.secret),
        )
        self._buttons = self._open_buttons(telling)
        self._replies = self._open_replies()
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
        self._rounds = await self._open_rounds(asking, now)
        self._sensitivity = SensitivityWatch(self.database, self._house, self._rounds.watched)
        self._interrupt = self._rounds.interrupt
        self._watchman = self._open_watchman(channels, now)
        for client in (asking, telling):
            self._watchman.clocks.watch(client)
        await self._plan(now)

    def _delivered(self, delivery: Delivery) -> None:
        self._messenger.delivered(delivery)
        self._pictures.offer(delivery)

    def _open_buttons(self, telling: httpx.AsyncClient) -> "SlackButtons | None":
        receivers = self.deployment.config.receivers
        if not any(one.slack is not None and one.slack.has_buttons for one in receivers.values()):
            return None
        # Imported here: Slack's client takes 8 MB.
        from .telling.slack_buttons import SlackButtons

        wake, rules = self._messenger.wake, self._house.rollbacks
        return SlackButtons(self.database, self.clock, telling, self._self, receivers, wake, rules)

    def _verifying(self) -> Verifying:
        wake, rules = self._messenger.wake, self._house.rollbacks
        return Verifying(self.database, self.clock, rules, self._rounds.replay_now, wake)

    def _open_replies(self) -> PagerDutyReplies | None:
        secrets = pagerduty_secrets(self.deployment.config.receivers)
        return PagerDutyReplies(self.database, self.clock, secrets, self._messenger.wake) if secrets else None

    async def _open_rounds(self, asking: httpx.AsyncClient, now: datetime) -> Rounds:
        watched = {
            name: watched_of(self.deployment, name, slot_s(cadence_of(target), now))
            for name, target in self.deployment.config.targets.items()
        }
        rounds = Rounds(
            self.deployment,
            self.database,
            self.clock,
            self.rng,
            asking,
            self._schedule,
            self.metrics,
            self._self,
            self._house,
            watched,
            self._messenger.tell,
        )
        await rounds.look_ahead()
        return rounds

    def _open_watchman(self, channels: Mapping[str, Channel], now: datetime) -> Watchman:
        told = self.deployment.config.told_of_the_watch()
        return Watchman(
            self.deployment,
            self.database,
            self.clock,
            self._self,
            self.metrics,
            self._house,
            self.database.path.parent,
            ServerClocks(self.clock),
            Diary(now, self._rounds.left_out),
            LastResort(self._self, self.clock, self._house.routing, told, channels),
            self._messenger.tell,
        )

    async def _plan(self, now: datetime) -> None:
        config = self.deployment.config
        for name, target in config.targets.items():
            cadence = cadence_of(target)
            # The jitter is within the run, where it is known how long it is; not in the schedule as well.
            first = (
                await self._first_start(name, cadence.seconds, now) if isinstance(cadence, Every) else None
            )
            self._schedule.add(canary_job(name), cadence, partial(self._rounds.round, name), first)
        jobs: list[tuple[str, float, Job]] = [
            ("windows", FOLD_EVERY_S, self._fold),
            ("roll-ups", ROLL_UP_EVERY_S, self._roll_up),
            ("write-ahead log", COPY_LOG_EVERY_S, self.database.copy_log),
            ("gauges", GAUGES_EVERY_S, self._show),
            ("sensitivity", SENSITIVITY_EVERY_S, self._measure),
            ("watches", config.watch_every, self._look),
            ("rollbacks", LOOK_EVERY_S, self._verifying().look),
        ]
        if config.heartbeat:
            jobs.append(("heartbeat", config.heartbeat.every, self._outside.beat))
        if config.otlp.tls and self.traces_tls:
            follow = partial(self._renew, self.traces_tls, config.otlp.tls)
            jobs.append(("certificates", CERTIFICATES_EVERY_S, follow))
        for name, every_s, work in jobs:
            self._schedule.add(name, Every(every_s), self._self.attended(name, work))
        forget = self._self.attended("old records", self._forget)
        soon = now + timedelta(seconds=FORGET_AFTER_S)
        self._schedule.add("old records", Every(FORGET_EVERY_S), forget, soon)
        if config.audit is not None:
            look = self._self.attended("audit", self._nightly_audit(config.audit).look)
            self._schedule.add("audit", Every(AUDIT_LOOK_EVERY_S), look, soon)

    def _nightly_audit(self, config: AuditConfig) -> NightlyAudit:
        def blind() -> "Blind":
            return {name: seen.blind for name, seen in self._sensitivity.found.items()}

        return NightlyAudit(self.database, self.deployment, config, self.clock, blind, self._messenger.wake)

    async def _first_start(self, name: str, every_s: float, now: datetime) -> datetime:
        runs = await self.database.aread(lambda session: canary_store.recent_runs(session, name, limit=1))
        return first_start(runs[0] if runs else None, every_s, now)

    def _clock_was_set(self, now: datetime) -> None:
        self._schedule.follow_clock(now)
        self._watchman.clocks.forget()

    async def _serve(self) -> int:
        """Run every part until the signal, or until one of them ends; gives the exit code."""
        front = Front(Probes(self.metrics.render, self._readiness), self._pages)
        if self._buttons or self._replies:
            await front.pages()  # Slack and PagerDuty wait three seconds for an answer
        otlp, is_news = self.deployment.config.otlp, self._self.is_news
        in_flight = InFlight(otlp.max_in_flight_bytes)
        receiver = TraceReceiver(self._intake, otlp, self.metrics, is_news=is_news, in_flight=in_flight)
        pages, traces = server(front), HttpServer(receiver, self.traces_tls)
        tasks = {
            "pages": asyncio.create_task(pages.serve(sockets=[self.pages]), name="pages"),
            "traces": asyncio.create_task(traces.serve(self.traces), name="traces"),
        }
        if self._grpc:
            tasks["traces over gRPC"] = asyncio.create_task(
                self._grpc.serve(partial(self._grpc_receiver, in_flight)), name="traces over gRPC"
            )
        tasks["outbox"] = asyncio.create_task(self._messenger.deliver(self._outbox), name="outbox")
        if self._pictures.channels:
            tasks["pictures"] = asyncio.create_task(self._pictures.serve(), name="pictures")
        if self._buttons:
            tasks["buttons"] = asyncio.create_task(self._buttons.serve(), name="buttons")
        if self.deployment.config.alertmanager:
            tasks["alertmanager"] = asyncio.create_task(self._outside.export(), name="alertmanager")
        tasks["pulse"] = asyncio.create_task(self._self.pulse(), name="pulse")
        tasks["watchman"] = asyncio.create_task(self._watchman.watch(), name="watchman")
        self._schedule.start()
        self._announce()
        stopping = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({stopping, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task.get_name() for task in done if task is not stopping]
        for name in failed:
            # Half a watch is worse than none that says so: the supervisor starts us again.
            log.error("a part of the daemon ended", part=name, exc_info=tasks[name].exception())
        stopping.cancel()
        await self._stop(pages, traces, tasks)
        return 1 if failed else 0

    def _grpc_receiver(self, in_flight: InFlight) -> "GrpcTraceReceiver":
        from .traffic.receiving.grpc_receiver import GrpcTraceReceiver

        otlp, is_news = self.deployment.config.otlp, self._self.is_news
        return GrpcTraceReceiver(self._intake, otlp, self.metrics, is_news=is_news, in_flight=in_flight)

    def _pages(self) -> Application:
        # Imported here: it takes 14 MB, and most daemons are asked for their probes and metrics alone.
        from dashboards.app import build_app

        token = self.deployment.config.http.token
        return build_app(
            self._status,
            self.metrics.render,
            self._readiness,
            StoredAudits(self.database),
            Desk(
                self.database,
                self.clock,
                self._messenger.wake,
                self._house.routing,
                self._house.inhibitions,
                partial(notified, self.deployment.config),
            ),
            token.get_secret_value() if token else None,
            self._buttons,
            Rollbacks(self.database, self.clock, self._messenger.wake, self.deployment.config.rollbacks),
            self.clock,
            self._public_url,
            self._replies,
        )

    async def _stop(self, pages: Server, traces: HttpServer, tasks: Mapping[str, asyncio.Task[None]]) -> None:
        log.info("stopping", runs_in_flight=self._rounds.in_flight)
        self._self.is_stopping = True
        self._schedule.pause()
        traces.stop()
        if self._grpc:
            self._grpc.stop()
        await self._rounds.end()
        self._schedule.stop()
        self._messenger.close()
        ending = {tasks[name] for name in ("traces", "traces over gRPC", "outbox") if name in tasks}
        await asyncio.wait(ending, timeout=FLUSH_GRACE_S)
        for name in ("outbox", "pulse", "watchman", "alertmanager", "pictures", "buttons"):
            if name in tasks:
                tasks[name].cancel()
        with contextlib.suppress(StoreError):  # what is not folded is in the journal, for the next start
            await self._intake.fold()
        pages.should_exit = True
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        log.info("stopped")

    def _announce(self) -> None:
        log.info(
            "watching",
            targets=len(self.deployment.config.targets),
            watches=len(self.deployment.config.watches),
            spans_are_read=how_spans_are_read,
        )
        scheme = "https" if self.traces_tls else "http"
        places = {"pages and API": address(self.pages), "OTLP/HTTP": address(self.traces, scheme)}
        if self._grpc:
            places["OTLP/gRPC"] = self._grpc.address
        for what, place in places.items():
            print(f"{what}: {place}", flush=True)  # noqa: T201 - data for whoever started us

    # Traffic

    async def _look(self) -> None:
        """Judge what is silent, then every watch, and let the alert arm know."""
        now = self.clock.now()
        looked = await self._watching.look(now)
        if looked.silence:
            self.metrics.show_silence(looked.silence)
        self._status.looks, self._status.silence = looked.looks, looked.silence
        self._messenger.tell(looked.transitions)
        for one in await self._watching.look_at_tails(now):
            self._status.tails[one.watch.name] = one
            self._messenger.tell(one.transitions)
        self._watchman.diary.looked_at = now

    async def _fold(self) -> None:
        await self._intake.fold()

    async def _roll_up(self) -> None:
        await self._intake.roll_up()

    async def _renew(self, context: ssl.SSLContext, tls: TlsConfig) -> None:
        """Follow certificates that were renewed; one that cannot be used is told, and the last one goes on."""
        try:
            renew(context, tls, self.deployment.folder)
            if self._grpc:
                self._grpc.renew()
        except MonitorError as error:
            self._self.problem(f"A renewed certificate cannot be used, and the last one goes on: {error}.")

    # Old records

    async def _forget(self) -> None:
        """Delete what is older than the configuration says, a little at a time: others write in between."""
        before = self.clock.now() - timedelta(seconds=self.deployment.config.storage.keep)
        records = (
            canary_store.forget_runs,
            outbox_store.forget,
            group_store.forget,
            silence_store.forget,
            rollback_store.forget_locks,
            decisions.forget,
            moments.forget,
            forget_audits,
        )
        for forget in records:
            while await self.database.awrite(partial(forget, before=before)):
                pass

    # The watch itself

    async def _show(self) -> None:
        with contextlib.suppress(StatusError):  # the page says so
            self.metrics.show(await self._status.status())

    async def _measure(self) -> None:
        """Bring up to date how small a change would be seen: another baseline or fewer samples see other things."""
        await self._sensitivity.look(self._rounds.samples)
        self._status.sensitivity = dict(self._sensitivity.found)

    async def _readiness(self) -> Readiness:
        return self._self.readiness()
