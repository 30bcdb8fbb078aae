"""Where rollbacks are seen to over HTTP and by the command line: the deployment's ``RollbackDesk``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlmodel import Session

from alerts import rollback_store, rolling_back
from alerts.actions import UnknownError
from alerts.channels.webhook import webhook_body
from alerts.config import RollbackConfig
from alerts.recovery import Recovery, recovery_of
from alerts.rollback import EVERY_ROLLBACK, Action, Lock, PastRollback, RollbackRule, held_back
from dashboards.rollback_desk import ConfiguredRollback, DryRun, LockLine, RollbackLine, RollbackOverview
from dashboards.view import RollbackMode

from ..status import rollback_state
from .database_desk import DatabaseDesk

Configured = Mapping[str, RollbackConfig]


def overview(session: Session, configured: Configured, limit: int, now: datetime) -> RollbackOverview:
    """What there is, what was decided (the latest), what is locked, and what was."""
    rules = rules_of(configured)
    return RollbackOverview(
        tuple(_configured(session, name, one, now) for name, one in configured.items()),
        tuple(
            rollback_line(past, recovery_of(session, past, rules, now))
            for past in rollback_store.history(session, limit=limit)
        ),
        tuple(lock_line(one) for one in rollback_store.locks(session)),
        tuple(lock_line(one) for one in rollback_store.past_locks(session, limit)),
    )


def dry_run(
    session: Session, configured: Configured, name: str, incident: str | None, now: datetime
) -> DryRun:
    """What would happen if the incident (or a made-up page) asked for the rollback now. Raises AlertError."""
    config = configured[known(configured, name)]
    found = rolling_back.rehearse(session, name, config.rule(), now, incident)
    return DryRun(
        name,
        RollbackMode(config.mode.value),
        found.decision.action.value,
        held_back(found.decision),
        found.decision.not_before,
        # Without what may be a password or a key.
        f"{config.url.scheme}://{config.url.host}:{config.url.port}{config.url.path or '/'}",
        orjson.loads(webhook_body(found.order)),
    )


def known(configured: Configured, name: str, *, or_every: bool = False) -> str:
    """The name, which is in the configuration. Raises AlertError with those that are."""
    if name in configured or (or_every and name == EVERY_ROLLBACK):
        return name
    there_are = ", ".join(sorted(configured)) or "none: the configuration has no rollbacks section"
    raise UnknownError(f"no rollback is called {name!r}; known: {there_are}")


def rollback_line(past: PastRollback, recovery: Recovery | None = None) -> RollbackLine:
    """A decision as it is shown."""
    return RollbackLine(
        rollback=past.name,
        incident=past.incident_id,
        state=rollback_state(past),
        reason=past.said,
        at=past.at,
        answer_by=past.answer_by,
        answered_at=past.answered_at,
        answered_by=past.answered_by,
        delivered_at=past.delivered_at,
        failed_at=past.failed_at,
        afterwards=recovery.said if recovery else "",
    )


def rules_of(configured: Configured) -> dict[str, RollbackRule]:
    """The rules of the guard, by name."""
    return {name: one.rule() for name, one in configured.items()}


def lock_line(lock: Lock) -> LockLine:
    """A lock as it is shown."""
    return LockLine(lock.name, lock.by, lock.at, lock.comment, lock.ended_at, lock.ended_by)


def _configured(session: Session, name: str, config: RollbackConfig, now: datetime) -> ConfiguredRollback:
    decision = rolling_back.rehearse(session, name, config.rule(), now).decision
    held = held_back(decision) if decision.action is Action.SUPPRESSED else ""
    return ConfiguredRollback(name, RollbackMode(config.mode.value), held)


@dataclass(frozen=True, slots=True)
class Rollbacks(DatabaseDesk):
    """Rollbacks of the configuration and the database. ``wake`` is called when somebody has to be told."""

    configured: Configured

    async def overview(self, limit: int) -> RollbackOverview:
        """What there is, what was decided (the latest), and what is locked."""
        now = self.clock.now()
        return await self.read(lambda session: overview(session, self.configured, limit, now))

    async def dry_run(self, rollback: str, incident: str | None) -> DryRun:
        """What would happen if the incident (or a made-up page) asked for the rollback now; nothing is changed."""
        now = self.clock.now()
        return await self.read(lambda session: dry_run(session, self.configured, rollback, incident, now))

    async def approve(self, incident: str, by: str, rollback: str | None) -> RollbackLine:
        """The rollback that the incident waited with, whose order is on its way."""
        rules = rules_of(self.configured)

        def work(session: Session, now: datetime) -> PastRollback:
            return rolling_back.approve(session, incident, by, rules, now, rollback)

        return rollback_line(await self.change(work))

    async def reject(self, incident: str, by: str, rollback: str | None) -> RollbackLine:
        """The rollback that the incident waited with, which is not sent."""

        def work(session: Session, now: datetime) -> PastRollback:
            return rolling_back.reject(session, incident, by, now, rollback)

        return rollback_line(await self.change(work))

    async def lock(self, rollback: str, by: str, comment: str) -> LockLine:
        """The lock, which holds from now on."""

        def work(session: Session, now: datetime) -> Lock:
            name = known(self.configured, rollback, or_every=True)
            return rolling_back.lock(session, name, by, comment, now)

        return lock_line(await self.change(work))

    async def unlock(self, rollback: str, by: str) -> LockLine:
        """The lock, which ``by`` has taken back now."""

        def work(session: Session, now: datetime) -> Lock:
            return rolling_back.unlock(session, rollback, by, now)

        return lock_line(await self.change(work))
