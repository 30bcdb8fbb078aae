"""A deployment with some of everything, and the application over a view that shows what it was given."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path
from typing import cast

import httpx
import pytest
from fastapi import FastAPI

from alerts.finding import Severity
from dashboards.app import build_app
from dashboards.audit.report import Audit, AuditSummary
from dashboards.audit.words import summary
from dashboards.desk import IncidentDesk, IncidentFile, IncidentLine, RoutingView, SilenceView
from dashboards.rollback_desk import RollbackDesk, RollbackOverview
from dashboards.view import (
    Budget,
    DeliveryState,
    DeploymentStatus,
    EvidenceLine,
    Hearing,
    IncidentState,
    IncidentStatus,
    IngestStatus,
    LastRun,
    NotificationStatus,
    OutboxStatus,
    Readiness,
    RollbackMode,
    RollbackState,
    RollbackStatus,
    ScoreEvidence,
    ScorePoint,
    ServiceStatus,
    TargetState,
    TargetStatus,
    WatchState,
    WatchStatus,
)
from monitor.database import Database

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def before(**lengths: float) -> datetime:
    return NOW - timedelta(**lengths)


def series(base: float, jump: float = 0.0) -> tuple[ScorePoint, ...]:
    """Forty hourly values that wander around ``base``; the last six jump."""
    return tuple(
        ScorePoint(
            before(hours=40 - i), base + 0.4 * sin(i * 2.4) + 0.2 * sin(i * 0.7) + (jump if i >= 34 else 0.0)
        )
        for i in range(40)
    )


STEADY = TargetStatus(
    name="triage",
    model="gpt-4o-mini",
    suite="triage",
    state=TargetState.WATCHING,
    runs_collected=168,
    runs_needed=168,
    last_run=LastRun(before(minutes=12), 0.975, {"answered": 39, "rate_limit": 1}),
    next_run_at=NOW + timedelta(minutes=3),
    evidence=(
        ScoreEvidence("suite_surprise", 0.03),
        ScoreEvidence("suite_peak", 0.01),
        ScoreEvidence("length", 0.12),
    ),
    baseline_id="b-2",
    baseline_frozen_at=before(days=31),
    suite_scores=series(3.0),
)

ADRIFT = TargetStatus(
    name="support-bot",
    model="gpt-4o-2026-01-10",
    suite="support",
    state=TargetState.WATCHING,
    runs_collected=168,
    runs_needed=168,
    last_run=LastRun(before(minutes=4), 1.0, {"answered": 40}),
    next_run_at=NOW + timedelta(minutes=11),
    evidence=(
        ScoreEvidence("suite_surprise", 0.31),
        ScoreEvidence("suite_peak", 0.87),
        ScoreEvidence("token_surprise", 0.55),
        ScoreEvidence("logprob_shift", 0.08),
        ScoreEvidence("length", 0.02),
        ScoreEvidence("validator_failures", 0.0),
    ),
    baseline_id="b-1",
    baseline_frozen_at=before(days=9),
    suite_scores=series(2.0, jump=4.0),
    notes=(
        "The budget's promise is not in force: runs resemble the run before them (autocorrelation 0.23).",
    ),
)

COLLECTING = TargetStatus(
    name="summaries",
    model="claude-haiku-4-5",
    suite="summaries",
    state=TargetState.COLLECTING,
    runs_collected=61,
    runs_needed=168,
    last_run=LastRun(before(minutes=7), 1.0, {"answered": 12}),
    next_run_at=NOW + timedelta(minutes=8),
)

REFUSED = TargetStatus(
    name="router",
    model="mistral-small-latest",
    suite="router",
    state=TargetState.REFUSED,
    runs_collected=168,
    runs_needed=168,
    last_run=LastRun(before(hours=2), 1.0, {"answered": 20}),
    notes=(
        "Not compared: canary 'route-billing': messages changed. Retire the baseline to collect a new one: "
        "anchorwatch baseline retire router",
    ),
)

DOWN = TargetStatus(
    name="embedder-eu",
    model="qwen3-8b",
    suite="smoke",
    state=TargetState.DOWN,
    runs_collected=40,
    runs_needed=40,
    last_run=LastRun(before(minutes=1), 0.0, {"connection": 10, "timeout": 2}),
    next_run_at=NOW + timedelta(minutes=14),
)

DRIFT = IncidentStatus(
    id="i-1",
    key="drift/support-bot",
    severity=Severity.PAGE,
    state=IncidentState.FIRING,
    summary="support-bot answers differently since about 11:20: two runs beyond every calibration run.",
    started_at=before(minutes=34),
    fired_at=before(minutes=19),
    subject="support-bot",
    evidence=(
        EvidenceLine("suite_surprise", "6.1, calibration runs had 1.4 to 2.7"),
        EvidenceLine("strangest canary", "refund-window"),
        EvidenceLine("served model", "gpt-4o-2026-01-10, as before"),
    ),
    notifications=(
        NotificationStatus("oncall", DeliveryState.SENT, before(minutes=18), attempts=2),
        NotificationStatus("platform", DeliveryState.WAITING, attempts=3, error="Slack answered 429"),
    ),
)

CHANGED = IncidentStatus(
    id="i-2",
    key="proof/triage/fingerprint",
    severity=Severity.TICKET,
    state=IncidentState.ACKNOWLEDGED,
    summary="triage is served with a new system fingerprint.",
    started_at=before(hours=5),
    fired_at=before(hours=5),
    subject="triage-notes",
    evidence=(EvidenceLine("fingerprint", "fp_91ac, before fp_07be"),),
    notifications=(NotificationStatus("oncall", DeliveryState.SENT, before(hours=5), attempts=1),),
)

PENDING = IncidentStatus(
    id="i-3",
    key="watch/chat-p95/checkout",
    severity=Severity.PAGE,
    state=IncidentState.PENDING,
    summary="chat-p95 is above its threshold for 2 of 5 minutes.",
    started_at=before(minutes=2),
    subject="chat-p95",
)

RESOLVED = IncidentStatus(
    id="i-4",
    key="proof/embedder-eu/down",
    severity=Severity.PAGE,
    state=IncidentState.RESOLVED,
    summary="embedder-eu did not answer for 3 runs.",
    started_at=before(days=2, hours=3),
    fired_at=before(days=2, hours=2),
    resolved_at=before(days=2),
    subject="embedder-eu",
)

ROLLBACKS = (
    RollbackStatus(
        "revert-prompt",
        RollbackMode.DRY_RUN,
        RollbackState.REHEARSED,
        before(minutes=18),
        "",
        incident_id="i-1",
    ),
    RollbackStatus(
        "pin-model",
        RollbackMode.LIVE,
        RollbackState.FAILED,
        before(days=6),
        "https://deploy.internal/hooks answered 503 five times",
    ),
)

WATCHES = (
    WatchStatus("chat-p95", WatchState.PENDING, 4.0, "s", 4.62, 812, "above for 2 of 5 minutes"),
    WatchStatus("errors", WatchState.STEADY, 0.02, "share", 0.0041, 812, "below"),
    WatchStatus(
        "cost-per-call", WatchState.STEADY, 0.01, "USD", 0.00214, 790, "below; 22 calls are unpriced"
    ),
    WatchStatus("batch-p99", WatchState.NO_DATA, 30.0, "s", None, 0, "no call for 3 hours"),
)

QUIET = DeploymentStatus(
    at=NOW, version="0.1.0", started_at=before(days=12), budget=Budget(0.25, 0), targets=(STEADY,)
)

RICH = DeploymentStatus(
    at=NOW,
    version="0.1.0",
    started_at=before(days=12, hours=4),
    budget=Budget(0.25, 1),
    targets=(ADRIFT, STEADY, COLLECTING, REFUSED, DOWN),
    watches=WATCHES,
    incidents=(RESOLVED, PENDING, CHANGED, DRIFT),
    outbox=OutboxStatus(waiting=1, failed=0, oldest_age_s=64.0),
    rollbacks=ROLLBACKS,
    ingest=IngestStatus(spans=48_201, calls=23_977, rejected=12, last_span_at=before(seconds=3)),
    services=(
        ServiceStatus("checkout", Hearing.SILENT, 1_260.0, "checkout is silent: no call for 21 min"),
        ServiceStatus("search", Hearing.HEARD, 3.0, "search makes calls"),
        ServiceStatus("cron", Hearing.NOT_JUDGED, None, "cron is not judged: its calls are too rare"),
    ),
    problems=("triage: 2 runs were missed since yesterday because the one before was still going.",),
)


@dataclass
class FakeView:
    """Shows the status it holds, or fails with the error it holds."""

    shown: DeploymentStatus = RICH
    error: Exception | None = None
    readiness: Readiness = field(default_factory=Readiness)
    nights: tuple[Audit, ...] = ()

    async def status(self) -> DeploymentStatus:
        if self.error is not None:
            raise self.error
        return self.shown

    async def audits(self, limit: int) -> tuple[AuditSummary, ...]:
        if self.error is not None:
            raise self.error
        return tuple(map(summary, self.nights[:limit]))

    async def audit(self, night: str) -> Audit | None:
        return next((one for one in self.nights if one.night == night), None)

    async def is_ready(self) -> Readiness:
        return self.readiness


class QuietDesk:
    """Nothing was decided about anything."""

    async def incidents(self, *asked: object) -> tuple[IncidentLine, ...]:
        return ()

    async def incident(self, asked: str) -> IncidentFile:
        line = IncidentLine(
            asked, "drift/bot", Severity.PAGE, IncidentState.FIRING, "bot drifts", before(hours=1)
        )
        return IncidentFile(NOW, line, (), (), (), ())

    async def paged(self) -> tuple[IncidentLine, ...]:
        return ()

    async def routing(self) -> RoutingView:
        return RoutingView(())

    async def silences(self, everything: bool) -> tuple[SilenceView, ...]:
        return ()


class NoRollbacks:
    """No rollback is configured, and none was ever asked for."""

    async def overview(self, limit: int) -> RollbackOverview:
        return RollbackOverview((), (), ())


@pytest.fixture
def rich() -> DeploymentStatus:
    return RICH


@pytest.fixture
def quiet() -> DeploymentStatus:
    return QUIET


@pytest.fixture
def view() -> FakeView:
    return FakeView()


@pytest.fixture
def web_app(view: FakeView) -> FastAPI:
    metrics = b"# HELP up Lives.\n# TYPE up gauge\nup 1.0\n"
    return build_app(
        view,
        lambda: metrics,
        view.is_ready,
        view,
        cast(IncidentDesk, QuietDesk()),
        rollbacks=cast(RollbackDesk, NoRollbacks()),
    )


@pytest.fixture
def browser(web_app: FastAPI) -> Callable[[], httpx.AsyncClient]:
    transport = httpx.ASGITransport(web_app, raise_app_exceptions=False)
    return lambda: httpx.AsyncClient(transport=transport, base_url="http://anchorwatch.test")


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, made once."""
    empty = Database(tmp_path_factory.mktemp("empty") / "anchorwatch.sqlite")
    empty.migrate()
    empty.close()
    return empty.path


@pytest.fixture
def database(empty_file: Path, tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own, without the second that its migrations take."""
    database = Database(Path(shutil.copy(empty_file, tmp_path / "anchorwatch.sqlite")))
    yield database
    database.close()
