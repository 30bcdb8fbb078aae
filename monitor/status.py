"""What the deployment looks like now, for the pages and the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts import actions, group_store, outbox_store, rollback_store
from alerts import incident as incidents
from alerts.evidence.ledger import QUARTER_S, Ledger
from alerts.finding import Label
from alerts.inhibition import Inhibitors, suspect, suspected
from alerts.recovery import recovery_of
from alerts.rollback import Action, PastRollback
from alerts.sources import inhibitors
from canaries.baseline import BaselineStatus
from canaries.baseline_store import BaselineSummary
from canaries.clock import Clock
from canaries.completion import Outcome, RunStatus
from canaries.proofs import ProofKind
from canaries.scores import SUITE_PEAK, SUITE_SURPRISE, TOKEN_SURPRISE
from canaries.sensitivity import Sensitivity
from canaries.store import RunSummary
from dashboards import StatusError
from dashboards.view import (
    Budget,
    DeliveryState,
    DeploymentStatus,
    EvidenceLine,
    IncidentState,
    IncidentStatus,
    IngestStatus,
    LastRun,
    NotificationStatus,
    OutboxStatus,
    RollbackMode,
    RollbackState,
    RollbackStatus,
    RulePrecision,
    ScoreEvidence,
    ScorePoint,
    ServiceStatus,
    TargetState,
    TargetStatus,
    WatchState,
    WatchStatus,
)

from .canary_flow.baseline_life import baseline_of, is_comparable
from .canary_flow.canary_verdicts import proof_key
from .canary_flow.guarantee import known_assumptions
from .config import Deployment, cadence_of
from .database import Database
from .deployment import watched_of
from .problems import Problems
from .schedule import Schedule, slot_s
from .telemetry import Metrics, installed_version
from .traffic import store as traffic_store
from .traffic.silence.active_minutes import SERVICES_MAX
from .traffic.silence.judging import Extent
from .traffic.watches.measures import Unit
from .traffic.windows.series import OVERFLOW, SERIES_MAX, minute_of
from .traffic_flow.watch_silence import SilenceLook
from .traffic_flow.watch_tails import TailLook
from .traffic_flow.watch_traffic import Look, incident_key
from .watched import House
from .watchman.receivers import receivers

INCIDENTS_SHOWN = 50
"""How many of the latest incidents the status has, open or not."""

OPEN_SHOWN = 200
"""How many of the open incidents the status has, the latest ones; `alerts list` has all of them."""

RULES_SHOWN = 50
"""How many rules the status judges, the most false first."""

ROLLBACKS_SHOWN = 20
"""How many of the latest rollback decisions the status has."""

POINTS_SHOWN = 60
"""How many runs the line of a target's suite score shows."""

RUNS_LOOKED_AT = 20
"""How many of a target's latest runs are searched for one that ended as it should."""

FAILURES_SHOWN_FOR = timedelta(days=1)
"""How long a message that was given up is shown as such."""

OVERFLOW_SHOWN_FOR_S = 3_600
"""How long it is shown that calls are counted in no series of their own."""

_UNITS = {Unit.SECONDS: "s", Unit.DOLLARS: "USD"}
"""Units that the status writes in another way than a sentence does."""


class _Promise(TypedDict, total=False):
    """The fields of a target's status that its frozen baseline decides."""

    notes: tuple[str, ...]
    is_in_force: bool
    ranked_within: str
    minimum_detectable_effect: float | None
    sees: tuple[str, ...]


@dataclass
class Status:
    """The deployment's ``StatusView``: the database, and what only the running daemon knows.

    ``looks`` and ``silence`` are kept up to date by the daemon.
    """

    deployment: Deployment
    database: Database
    clock: Clock
    metrics: Metrics
    schedule: Schedule
    house: House
    problems: Problems
    started_at: datetime
    looks: list[Look] = field(default_factory=list)
    silence: SilenceLook | None = None
    tails: dict[str, TailLook] = field(default_factory=dict)
    sensitivity: dict[str, Sensitivity] = field(default_factory=dict)

    async def status(self) -> DeploymentStatus:
        """The deployment as it is now. Raises StatusError when the database cannot be read."""
        try:
            return await self.database.aread(self._read)
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be read: {getattr(error, 'orig', error)}") from error

    def _read(self, session: Session) -> DeploymentStatus:
        now, config = self.clock.now(), self.deployment.config
        # Never all that are open: in a storm those are thousands.
        open_now = {one.key: one for one in alert_store.open_of(session, self._keys())}
        sources = inhibitors(session, self.house.inhibitions)
        quarter = now - timedelta(seconds=QUARTER_S)
        pages = group_store.pages_since(session, quarter)
        shown = {
            one.id: one
            for one in (
                *alert_store.latest_open(session, OPEN_SHOWN),
                *alert_store.incidents(session, INCIDENTS_SHOWN),
            )
        }
        fates = outbox_store.fates(session, shown.keys())
        backlog = outbox_store.backlog(session, failed_since=now - FAILURES_SHOWN_FOR)
        received = self.metrics.received
        return DeploymentStatus(
            at=now,
            version=installed_version(),
            started_at=self.started_at,
            budget=Budget(config.budget.pages_per_quarter, pages, _rules(session, quarter)),
            targets=tuple(self._target(session, name, open_now) for name in config.targets),
            watches=(
                *(_watch(one, open_now, sources) for one in self.looks),
                *(_tail(one, open_now) for one in self.tails.values()),
            ),
            incidents=tuple(_incident(one, fates[one.id], _holder(one, sources)) for one in shown.values()),
            outbox=OutboxStatus(
                waiting=backlog.waiting,
                failed=backlog.failed,
                oldest_age_s=(now - backlog.oldest_at).total_seconds() if backlog.oldest_at else None,
            ),
            receivers=receivers(session, self.deployment, now),
            rollbacks=tuple(
                self._rollback(session, one) for one in rollback_store.history(session, limit=ROLLBACKS_SHOWN)
            ),
            ingest=IngestStatus(
                spans=received.total(),
                calls=received["call"],
                rejected=received["rejected"],
                last_span_at=self.metrics.last_span_at,
                refused_share=self.silence.intake.share if self.silence else 0.0,
                note=self._ingest_note(session, now),
            ),
            services=_services(self.silence),
            problems=self.problems.shown(now),
        )

    def _keys(self) -> set[str]:
        """The keys of the incidents that say how a watch or a target is."""
        watches = (*(one.watch for one in self.looks), *(one.watch for one in self.tails.values()))
        targets = self.deployment.config.targets
        return {incident_key(watch) for watch in watches} | {
            proof_key(name, ProofKind.ENDPOINT_DOWN) for name in targets
        }

    def _ingest_note(self, session: Session, now: datetime) -> str:
        """What is wrong with what comes in, or that nothing ever came; empty where there is nothing to say."""
        notes = []
        if self.silence and self.silence.intake.extent in (Extent.PARTLY, Extent.BROKEN):
            notes.append(self.silence.intake.reason)
        elif self.silence and self.silence.left_out:
            notes.append(
                f"{self.silence.left_out} services are too many to be judged by themselves ({SERVICES_MAX} are)."
            )
        last = minute_of(now.timestamp())
        if over := traffic_store.overflowed(session, last - OVERFLOW_SHOWN_FOR_S, last):
            notes.append(_overflow_note(over))
        is_new = self.silence is None or self.silence.traffic.quiet_s is None
        if not notes and is_new and self.metrics.last_span_at is None:
            return "Nobody has sent traces yet: there is nothing to tell silence from."
        return " ".join(notes)

    def _target(
        self, session: Session, name: str, open_now: Mapping[str, incidents.Incident]
    ) -> TargetStatus:
        target, suite = self.deployment.config.targets[name], self.deployment.suites[name]
        baseline = baseline_of(session, name, suite.name)
        runs = canary_store.recent_runs(session, name, limit=RUNS_LOOKED_AT)
        ended = next((run for run in runs if run.status is RunStatus.COMPLETED), None)
        watched = watched_of(self.deployment, name, slot_s(cadence_of(target), self.clock.now()))
        is_same = baseline is None or is_comparable(session, self.house, watched, baseline)
        is_down = proof_key(name, ProofKind.ENDPOINT_DOWN) in open_now
        points = (
            canary_store.score_series(session, baseline.id, self._line_score(session, baseline), POINTS_SHOWN)
            if baseline and baseline.status is BaselineStatus.FROZEN
            else ()
        )
        return TargetStatus(
            name=name,
            model=target.model,
            suite=suite.name,
            state=_target_state(baseline, is_same=is_same, is_down=is_down),
            runs_collected=baseline.collected_runs if baseline else 0,
            runs_needed=watched.baseline_runs,
            last_run=_last_run(ended) if ended else None,
            next_run_at=self.schedule.next_start(canary_job(name)),
            evidence=_evidence(session, self.house, name, baseline),
            baseline_id=baseline.id if baseline else None,
            baseline_frozen_at=baseline.frozen_at if baseline else None,
            suite_scores=tuple(ScorePoint(point.at, point.value) for point in points),
            **(self._promise(session, name, baseline) if is_same else REFUSED),
        )

    def _line_score(self, session: Session, baseline: BaselineSummary) -> str:
        scores = self.house.frozen_baseline(session, baseline.id).scores
        names = scores.names() if scores else ()
        return next((name for name in (SUITE_SURPRISE, TOKEN_SURPRISE) if name in names), SUITE_PEAK)

    def _promise(self, session: Session, name: str, baseline: BaselineSummary | None) -> _Promise:
        """What the baseline lets the watch promise."""
        if baseline is None or baseline.status is not BaselineStatus.FROZEN:
            return {}
        frozen, seen = self.house.frozen_baseline(session, baseline.id), self.sensitivity.get(name)
        found = known_assumptions(self.house, frozen)
        return {
            "notes": found.reasons,
            "is_in_force": found.is_in_force,
            "ranked_within": frozen.labels.describe(),
            "minimum_detectable_effect": seen.suite_mde if seen else None,
            "sees": seen.sentences() if seen else (),
        }

    def _rollback(self, session: Session, past: PastRollback) -> RollbackStatus:
        rule = self.deployment.config.rollbacks.get(past.name)
        after = recovery_of(session, past, self.house.rollbacks, self.clock.now())
        return RollbackStatus(
            name=past.name,
            mode=RollbackMode(rule.mode.value) if rule else RollbackMode.DRY_RUN,
            state=rollback_state(past),
            at=past.delivered_at or past.failed_at or past.used_at,
            reason="; ".join((past.said, after.said) if after else (past.said,)),
            incident_id=past.incident_id,
        )


REFUSED: _Promise = {"notes": ("Not what its baseline was made of.",), "is_in_force": False}
"""What can be promised of a target that is not what its baseline was made of."""


def _overflow_note(calls: int) -> str:
    return (
        f'{calls:,} call{"" if calls == 1 else "s"} of the last hour are counted under "{OVERFLOW.service}", where no '
        f"watch of one service or model sees them: more than {SERIES_MAX:,} series of service, environment, version, "
        "operation, provider and models are active at a time. Look for a service.version or a model name that is "
        "another one for each process or request, and have it sent without that part."
    )


def canary_job(target: str) -> str:
    """The id of a target's job in the schedule."""
    return f"canaries/{target}"


def rollback_state(past: PastRollback) -> RollbackState:
    """What became of a rollback."""
    if past.is_open:
        return RollbackState.ASKED
    if past.action is not Action.SEND:
        return RollbackState.REHEARSED if past.action is Action.DRY_RUN else RollbackState.REFUSED
    if past.delivered_at is not None:
        return RollbackState.DELIVERED
    return RollbackState.FAILED if past.failed_at is not None else RollbackState.WAITING


def _target_state(baseline: BaselineSummary | None, *, is_same: bool, is_down: bool) -> TargetState:
    if is_down:
        return TargetState.DOWN
    if not is_same:
        return TargetState.REFUSED
    is_frozen = baseline is not None and baseline.status is BaselineStatus.FROZEN
    return TargetState.WATCHING if is_frozen else TargetState.COLLECTING


def _last_run(run: RunSummary) -> LastRun:
    requests = sum(run.outcomes.values())
    answered = run.outcomes.get(Outcome.ANSWERED.value, 0)
    return LastRun(run.started_at, answered / requests if requests else 0.0, run.outcomes)


def _evidence(
    session: Session, house: House, target: str, baseline: BaselineSummary | None
) -> tuple[ScoreEvidence, ...]:
    saved = alert_store.load_ledger(session, target, baseline.id) if baseline else None
    if saved is None or baseline is None:
        return ()
    ranks = house.ranks(house.frozen_baseline(session, baseline.id))
    evidence = Ledger.from_bytes(saved.state, ranks).evidence()
    return tuple(ScoreEvidence(name, value) for name, value in evidence.items())


def _services(look: SilenceLook | None) -> tuple[ServiceStatus, ...]:
    if look is None:
        return ()
    losses = {one.service: one.reason for one in look.losses if one.reason}
    return tuple(
        ServiceStatus(
            one.service,
            one.hearing,
            one.quiet_s,
            ". ".join(filter(None, (one.reason, losses.get(one.service)))),
        )
        for one in look.services
    )


def _holder(one: incidents.Incident, sources: Inhibitors) -> str:
    """The key of the firing incident for which an open one is held; empty where there is none."""
    explained = sources.explained(suspect(one)) if one.is_open else None
    return explained.by.key if explained else ""


def _watch(one: Look, open_now: Mapping[str, incidents.Incident], sources: Inhibitors) -> WatchStatus:
    watch, judgement = one.watch, one.judgement
    incident, reason = open_now.get(incident_key(watch)), judgement.reason
    found = one.verdict().finding
    explained = sources.explained(suspected(incident_key(watch), found, incident)) if found else None
    if explained is not None:
        reason = f"held while {explained.by.key} fires: {reason}"
    if incident is not None:
        state = WatchState(incident.state.value)
    elif explained is not None:
        state = WatchState.INHIBITED
    else:
        state = WatchState.NO_DATA if judgement.label is Label.NO_DATA else WatchState.STEADY
    return WatchStatus(
        name=watch.name,
        state=state,
        threshold=judgement.threshold or 0.0,
        unit=_UNITS.get(judgement.unit, judgement.unit.value),
        value=judgement.value,
        n=judgement.n,
        reason=reason,
    )


def _tail(one: TailLook, open_now: Mapping[str, incidents.Incident]) -> WatchStatus:
    """A watch without a threshold: its evidence is what counts, and it fires at one."""
    incident = open_now.get(incident_key(one.watch))
    state = WatchState(incident.state.value) if incident is not None else WatchState.STEADY
    return WatchStatus(
        name=one.watch.name, state=state, threshold=1.0, value=one.evidence, unit="evidence", reason=one.said
    )


def _rules(session: Session, since: datetime) -> tuple[RulePrecision, ...]:
    records = actions.rule_records(session, since)[:RULES_SHOWN]
    return tuple(RulePrecision(one.rule, one.pages, one.right, one.wrong, one.precision) for one in records)


def _incident(
    one: incidents.Incident, fates: Sequence[outbox_store.Fate], inhibited_by: str
) -> IncidentStatus:
    return IncidentStatus(
        id=one.id,
        key=one.key,
        severity=one.severity,
        state=IncidentState(one.state.value),
        summary=one.finding.summary,
        started_at=one.opened_at,
        fired_at=one.firing_since,
        resolved_at=one.resolved_at,
        subject=one.labels.get("target") or one.labels.get("watch") or one.labels.get("service") or one.key,
        inhibited_by=inhibited_by,
        acknowledged_by=one.acknowledged_by,
        acknowledged_at=one.acknowledged_at,
        no_data_since=one.no_data_since if one.is_open else None,
        reopened=one.reopened,
        is_true=one.is_true,
        evidence=tuple(EvidenceLine(name, value) for name, value in one.finding.evidence),
        notifications=tuple(_notification(row) for row in fates),
    )


def _notification(row: outbox_store.Fate) -> NotificationStatus:
    if row.sent_at is not None:
        state = DeliveryState.SENT
    else:
        state = DeliveryState.FAILED if row.failed_at is not None else DeliveryState.WAITING
    return NotificationStatus(
        receiver=row.receiver,
        state=state,
        at=row.sent_at or row.failed_at or row.claimed_at,
        attempts=row.attempts,
        error=row.last_error or "" if state is not DeliveryState.SENT else "",
    )
