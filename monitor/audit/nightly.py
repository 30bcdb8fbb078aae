"""The nightly audit: made once each night, stored and sent in one transaction, and shown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from alerts.message import addressed
from alerts.outbox_store import enqueue
from canaries.clock import Clock
from dashboards import StatusError
from dashboards.audit.message import message_of
from dashboards.audit.report import Audit, AuditSummary

from ..config import Deployment
from ..database import Database
from . import store
from .config import AuditConfig
from .nights import Night, due, is_astray, latest

if TYPE_CHECKING:
    from .gathering import Blind

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NightlyAudit:
    """Looks whether an audit is due, and makes it. ``blind`` tells of canaries that cannot see, ``sent`` that there is
    something in the outbox.
    """

    database: Database
    deployment: Deployment
    config: AuditConfig
    clock: Clock
    blind: "Callable[[], Blind]"
    sent: Callable[[], None]

    async def look(self) -> None:
        """Make the audit that is due, if one is. When it cannot be stored, the next look makes it again."""
        now = self.clock.now()
        last = await self.database.aread(store.last_night)
        if last is None or is_astray(last, now):
            # Whoever has just asked for audits wants the first in the coming night.
            await self.database.awrite(
                lambda session: store.note_night(session, latest(self.config, now).name)
            )
            return
        night = due(self.config, last, now)
        if night is None:
            return
        found = await self.database.aread(lambda session: self._make(session, night, now))
        if await self.database.awrite(lambda session: self._keep(session, found)):
            log.info("audit", night=night.name, subjects=len(found.subjects), movers=len(found.movers))
            self.sent()

    def _make(self, session: Session, night: Night, now: datetime) -> Audit:
        # Imported here: many never make an audit, and the others one a night.
        from .auditing import audit
        from .gathering import Wanted, gather

        since = night.until - timedelta(seconds=self.config.period)
        wanted = Wanted(since, night.until, self.config.reference, night.name, self.blind())
        return audit(gather(session, self.deployment, wanted, now))

    def _keep(self, session: Session, found: Audit) -> bool:
        """Store the audit and its messages together; ``False`` when the night has been seen to meanwhile."""
        last = store.last_night(session)
        if last is not None and found.night <= last:
            return False
        store.save_audit(session, found)
        store.note_night(session, found.night)
        message = message_of(found)
        enqueue(session, [addressed(message, receiver, sequence=0) for receiver in self.config.notify])
        return True


@dataclass(frozen=True, slots=True)
class StoredAudits:
    """The audits that are stored, for the pages and the API."""

    database: Database

    async def audits(self, limit: int) -> tuple[AuditSummary, ...]:
        """The latest ones, newest first. Raises StatusError when the database cannot be read."""
        return await self._read(lambda session: store.list_audits(session, limit))

    async def audit(self, night: str) -> Audit | None:
        """The one of a night, if there is one. Raises StatusError when the database cannot be read."""
        return await self._read(lambda session: store.load_audit(session, night))

    async def _read(self, work: Callable[[Session], T]) -> T:
        try:
            return await self.database.aread(work)
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be read: {getattr(error, 'orig', error)}") from error
