"""Own telemetry: the metrics at ``/metrics``, and the log on stderr."""

import logging
import sys
from collections import Counter as Counts
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from stamina.instrumentation import set_on_retry_hooks

from alerts.finding import Severity
from alerts.receiver import ReceiverState
from canaries.clock import Clock
from canaries.completion import Run
from dashboards.view import DeploymentStatus, Hearing, IncidentState, TargetState, WatchState

from .label_counters import LabelCounter
from .traffic.silence.ingest_counts import Arrived, IngestCounts
from .traffic.silence.judging import Extent
from .traffic_flow.watch_silence import SilenceLook
from .watchman.judging import Facts

NOT_DETECTABLE = 2.0
"""The minimum detectable effect that is shown where not even a change of all answers would be paged."""

OPEN_STATES = tuple(state.value for state in IncidentState if state is not IncidentState.RESOLVED)
"""The states of incidents that are counted."""


def installed_version() -> str:
    """The version of this installation."""
    try:
        return version("anchorwatch")
    except PackageNotFoundError:
        return "0+unknown"


class Metrics:
    """Every metric of one process, on a registry of its own. ``docs/metrics.md`` says what each means."""

    def __init__(self, clock: Clock) -> None:
        """Start all counters at zero."""
        self._clock = clock
        self.received: Counts[str] = Counts()
        self.last_span_at: datetime | None = None
        self.ingested = IngestCounts()
        self.registry = CollectorRegistry()
        one = self.registry
        self.runs = Counter(
            "anchorwatch_runs", "Canary runs by how they ended.", ["target", "status"], registry=one
        )
        self.completions = Counter(
            "anchorwatch_completions", "Canary requests by outcome.", ["target", "outcome"], registry=one
        )
        self.attempts = Counter(
            "anchorwatch_request_attempts", "HTTP attempts of canary requests.", ["target"], registry=one
        )
        self.run_duration = Histogram(
            "anchorwatch_run_duration_seconds",
            "Time from start to end of a canary run.",
            ["target"],
            buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900),
            registry=one,
        )
        self.score = Gauge(
            "anchorwatch_score", "Scores of the latest run.", ["target", "score"], registry=one
        )
        self.evidence = Gauge(
            "anchorwatch_evidence",
            "Evidence against the page budget; 1 pages.",
            ["target", "score"],
            registry=one,
        )
        self.baseline_runs = Gauge(
            "anchorwatch_baseline_runs", "Runs in the current baseline.", ["target", "state"], registry=one
        )
        self.guarantee = Gauge(
            "anchorwatch_guarantee_in_force",
            "1 while the page budget holds for the target.",
            ["target"],
            registry=one,
        )
        self.detectable = Gauge(
            "anchorwatch_minimum_detectable_effect",
            "Smallest share of moved answers that is paged in time in half of the cases; 2 when not even all of them.",
            ["target"],
            registry=one,
        )
        self.canary_cost = Counter(
            "anchorwatch_canary_cost_usd",
            "What the canaries cost, where the price is known.",
            ["target"],
            registry=one,
        )
        self.samples_planned = Gauge(
            "anchorwatch_canary_samples_planned",
            "Answers that the latest run asks for; 0 when the spend cap had it skipped.",
            ["target"],
            registry=one,
        )
        self.spend = Gauge(
            "anchorwatch_spend_usd_24h",
            "What the canaries did cost in the last 24 hours, where the price is known.",
            ["target"],
            registry=one,
        )
        self.spend_cap = Gauge(
            "anchorwatch_spend_cap_usd_per_day",
            "What the canaries may cost in 24 hours.",
            ["target"],
            registry=one,
        )
        self.bursts = Counter(
            "anchorwatch_bursts",
            "Runs that were planned besides the schedule, as evidence rose.",
            ["target"],
            registry=one,
        )
        self.last_run = Gauge(
            "anchorwatch_last_run_timestamp_seconds", "Start of the latest run.", ["target"], registry=one
        )
        self.misfires = Counter(
            "anchorwatch_schedule_misfires", "Scheduled starts that did not happen.", ["part"], registry=one
        )
        self.failures = Counter(
            "anchorwatch_failures",
            "Times that a part of the daemon failed by a defect and went on; the log has the details.",
            ["part"],
            registry=one,
        )
        self.database_writable = Gauge(
            "anchorwatch_database_writable",
            "1 while the daemon can write to its database.",
            registry=one,
        )
        self.spans = LabelCounter(
            "anchorwatch_spans", "Spans received, by what became of them.", ("result",), one
        )
        self.calls = LabelCounter(
            "anchorwatch_calls",
            "Production LLM calls.",
            ("service", "operation", "provider", "model", "outcome"),
            one,
        )
        self.unpriced = LabelCounter(
            "anchorwatch_unpriced_calls",
            "Calls whose price is not known.",
            ("service", "model"),
            one,
        )
        self.call_costs = LabelCounter(
            "anchorwatch_call_costs",
            "Calls that should have a cost, by how sure it is.",
            ("service", "basis"),
            one,
        )
        self.answer_checks = LabelCounter(
            "anchorwatch_answer_checks",
            "Checks of production answers by validator and result.",
            ("service", "validator", "result"),
            one,
        )
        self.otlp_requests = LabelCounter(
            "anchorwatch_otlp_requests", "Trace export requests by HTTP status.", ("code",), one
        )
        self.otlp_repeats = Counter(
            "anchorwatch_otlp_repeats",
            "Trace export requests that were sent again although they were stored.",
            registry=one,
        )
        self.late_calls = Counter(
            "anchorwatch_late_calls",
            "Production calls that ended more than two minutes before they came.",
            registry=one,
        )
        self.overflow_calls = Counter(
            "anchorwatch_overflow_calls",
            "Production calls that are counted in no series of their own, for there are too many.",
            registry=one,
        )
        self.span_losses = LabelCounter(
            "anchorwatch_span_losses",
            "Spans that lost something, or were refused one by one, by service and loss.",
            ("service", "loss"),
            one,
        )
        self.silence = Gauge(
            "anchorwatch_silence",
            "1 while silence of this kind is found: traffic, service, ingest, spans.",
            ["kind", "service"],
            registry=one,
        )
        self.service_quiet = Gauge(
            "anchorwatch_service_quiet_seconds",
            "How long ago the last minute with a call of the service ended.",
            ["service"],
            registry=one,
        )
        self.refused_share = Gauge(
            "anchorwatch_otlp_refused_share",
            "Share of the export requests of the last minutes that were refused.",
            registry=one,
        )
        self.calls_joined = Counter(
            "anchorwatch_calls_joined",
            "Calls that were counted anew because a further report of them came in another request.",
            registry=one,
        )
        self.watch_value = Gauge(
            "anchorwatch_watch_value", "Latest value of a watch.", ["watch"], registry=one
        )
        self.watch_state = Gauge(
            "anchorwatch_watch_state", "1 for a watch's state.", ["watch", "state"], registry=one
        )
        self.incidents = Gauge(
            "anchorwatch_incidents", "Open incidents.", ["state", "severity"], registry=one
        )
        self.pages = Counter("anchorwatch_pages", "Pages sent to people.", registry=one)
        self.page_budget = Gauge(
            "anchorwatch_page_budget_per_quarter",
            "False pages a quarter that the operator allows.",
            registry=one,
        )
        self.notifications = Counter(
            "anchorwatch_notifications", "Deliveries by result.", ["receiver", "result"], registry=one
        )
        self.outside = Counter(
            "anchorwatch_outside",
            "Signs of life to the dead man's switch, and exports to the Alertmanager, by result.",
            ["to", "result"],
            registry=one,
        )
        self.outbox_waiting = Gauge("anchorwatch_outbox_waiting", "Messages not delivered yet.", registry=one)
        self.outbox_oldest_age = Gauge(
            "anchorwatch_outbox_oldest_age_seconds",
            "Age of the oldest message not delivered yet.",
            registry=one,
        )
        self.disk_free = Gauge(
            "anchorwatch_disk_free_bytes", "Free room on the disk of the data folder.", registry=one
        )
        self.clock_apart = Gauge(
            "anchorwatch_clock_apart_seconds",
            "How far the clocks of most servers are ahead of ours, at least; below zero behind it.",
            registry=one,
        )
        self.receiver_confirmed = Gauge(
            "anchorwatch_receiver_confirmed",
            "1 while the receiver is known to work as it is set up.",
            ["receiver"],
            registry=one,
        )
        self.rollbacks = Counter(
            "anchorwatch_rollbacks", "Rollbacks by result.", ["rollback", "result"], registry=one
        )
        build = Gauge("anchorwatch_build_info", "1, with the version.", ["version"], registry=one)
        build.labels(installed_version()).set(1)

    def render(self) -> bytes:
        """The page at ``/metrics``, in the Prometheus text format."""
        return generate_latest(self.registry)

    def count_run(
        self, run: Run, cost_usd: float | None, scores: Mapping[str, float], evidence: Mapping[str, float]
    ) -> None:
        """Count a run that is settled, and show its scores and the page evidence after it."""
        self.runs.labels(run.target, run.status.value).inc()
        for completion in run.completions:
            self.completions.labels(run.target, completion.outcome.value).inc()
            self.attempts.labels(run.target).inc(completion.attempts)
        if run.finished_at is not None:
            self.run_duration.labels(run.target).observe((run.finished_at - run.at).total_seconds())
        self.last_run.labels(run.target).set(run.at.timestamp())
        self.canary_cost.labels(run.target).inc(cost_usd or 0.0)
        for name, value in scores.items():
            self.score.labels(run.target, name).set(value)
        for name, value in evidence.items():
            self.evidence.labels(run.target, name).set(value)

    def show(self, status: DeploymentStatus) -> None:
        """Set the gauges that say how the deployment is now."""
        for target in status.targets:
            for state in TargetState:
                is_now = target.state is state
                self.baseline_runs.labels(target.name, state.value).set(
                    target.runs_collected if is_now else 0
                )
            if target.last_run is not None:  # so that a restart leaves no gap
                self.last_run.labels(target.name).set(target.last_run.at.timestamp())
            self.guarantee.labels(target.name).set(
                target.state is TargetState.WATCHING and bool(target.is_in_force)
            )
            if target.sees:
                seen = target.minimum_detectable_effect
                self.detectable.labels(target.name).set(NOT_DETECTABLE if seen is None else seen)
        for watch in status.watches:
            for watch_state in WatchState:
                self.watch_state.labels(watch.name, watch_state.value).set(watch.state is watch_state)
            if watch.value is not None:
                self.watch_value.labels(watch.name).set(watch.value)
        open_now = Counts(
            (one.state.value, one.severity.name.lower()) for one in status.incidents if one.is_open
        )
        for state_name in OPEN_STATES:
            for severity in Severity:
                series = (state_name, severity.name.lower())
                self.incidents.labels(*series).set(open_now[series])
        self.outbox_waiting.set(status.outbox.waiting)
        self.outbox_oldest_age.set(status.outbox.oldest_age_s or 0.0)

    def show_silence(self, look: SilenceLook) -> None:
        """Set the gauges that say who is silent, and what does not get in."""
        self.silence.clear()
        self.service_quiet.clear()
        self.refused_share.set(look.intake.share)
        self.silence.labels("ingest", "").set(look.intake.extent in (Extent.PARTLY, Extent.BROKEN))
        self.silence.labels("traffic", "").set(look.traffic.hearing is Hearing.SILENT)
        for one in look.services:
            self.silence.labels("service", one.service).set(one.hearing is Hearing.SILENT)
            if one.quiet_s is not None:
                self.service_quiet.labels(one.service).set(one.quiet_s)
        for loss in look.losses:
            self.silence.labels("spans", loss.service).set(bool(loss.reason))

    def show_watch(self, facts: Facts) -> None:
        """Set the gauges that say how the watch itself is."""
        if facts.disk is not None:
            self.disk_free.set(facts.disk.free)
        self.clock_apart.set(facts.clock.apart_s if facts.clock else 0.0)
        self.receiver_confirmed.clear()
        for one in facts.receivers:
            self.receiver_confirmed.labels(one.receiver).set(one.state is ReceiverState.CONFIRMED)

    def count_spans(self, result: str, spans: int) -> None:
        """Count received spans: ``call``, ``other`` or ``rejected``."""
        self.spans.inc((result,), spans)
        self.received[result] += spans
        self.last_span_at = self._clock.now()

    def count_call(self, labels: tuple[str, ...], by: int = 1) -> None:
        """Count production calls."""
        self.calls.inc(labels, by)

    def count_unpriced(self, service: str, model: str, by: int = 1) -> None:
        """Count answered calls without a known price."""
        self.unpriced.inc((service, model), by)

    def count_cost(self, service: str, basis: str, by: int = 1) -> None:
        """Count calls that should have a cost, by how sure it is."""
        self.call_costs.inc((service, basis), by)

    def count_check(self, service: str, validator: str, result: str, by: int = 1) -> None:
        """Count checks of answers: ``passed`` or ``failed``."""
        self.answer_checks.inc((service, validator, result), by)

    def count_joined(self, by: int = 1) -> None:
        """Count calls that were counted anew with a further report of them."""
        self.calls_joined.inc(by)

    def count_request(self, code: int) -> None:
        """Count one trace export request by the status of its answer."""
        self.otlp_requests.inc((str(code),))
        self.ingested.requests[code] += 1

    def count_late(self, by: int = 1) -> None:
        """Count calls that came long after they ended."""
        self.late_calls.inc(by)

    def count_overflow(self, by: int = 1) -> None:
        """Count calls that are counted in no series of their own."""
        self.overflow_calls.inc(by)

    def count_arrived(self, arrived: Arrived) -> None:
        """Count the spans of a request, and what of them was lost."""
        self.ingested.add(arrived)
        for (service, loss), spans in arrived.lost.items():
            self.span_losses.inc((service, loss.value), spans)

    def count_repeat(self) -> None:
        """Count one trace export request that was sent again although it was stored."""
        self.otlp_repeats.inc()


def set_up_logging(*, verbose: bool = False) -> None:
    """Send the log to stderr: readable lines on a terminal, one JSON object a line elsewhere.

    A line that cannot be written (the log may lie on a disk that is full) is dropped, and never an error of the part
    that wanted to say something.
    """
    facts: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    level = logging.DEBUG if verbose else logging.INFO
    structlog.configure(
        processors=[*facts, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            foreign_pre_chain=facts,
        )
    )
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("monitor", "canaries", "alerts", "dashboards"):
        logging.getLogger(package).setLevel(level)
    # What these say of every missed start and every retry, our problems say once, with how often.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    set_on_retry_hooks(())
