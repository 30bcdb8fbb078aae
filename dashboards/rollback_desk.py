"""What people see of rollbacks over HTTP and do about them: the values of its JSON, and who does it.

``monitor`` implements ``RollbackDesk``. What holds an order holds what its deploy system would get, and no secret.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from dashboards.view import RollbackMode, RollbackState


@dataclass(frozen=True, slots=True)
class LockLine:
    """A lock: ``rollback`` is what it is on, ``*`` for every rollback. ``ended_by`` took it back at ``ended_at``."""

    rollback: str
    by: str
    at: datetime
    comment: str
    ended_at: datetime | None = None
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class ConfiguredRollback:
    """A rollback of the configuration, and what holds it back now (nothing: empty)."""

    rollback: str
    mode: RollbackMode
    held_back: str


@dataclass(frozen=True, slots=True)
class RollbackLine:
    """One decision. ``answer_by`` is until when a person can (or could) answer, ``answered_by`` who did."""

    rollback: str
    incident: str
    state: RollbackState
    reason: str
    at: datetime
    answer_by: datetime | None = None
    answered_at: datetime | None = None
    answered_by: str = ""
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    afterwards: str = ""
    """Whether it helped, once an order was taken."""


@dataclass(frozen=True, slots=True)
class RollbackOverview:
    """Rollbacks that there are, what was decided about them (the newest first), and what is locked.

    ``past_locks`` are those that somebody took back, the last of them first.
    """

    configured: tuple[ConfiguredRollback, ...]
    decisions: tuple[RollbackLine, ...]
    locks: tuple[LockLine, ...]
    past_locks: tuple[LockLine, ...] = ()


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would happen if the rollback was asked for now: ``action`` is send, ask, dry_run or suppressed.

    ``body`` is what ``url`` would get, signed.
    """

    rollback: str
    mode: RollbackMode
    action: str
    reason: str
    not_before: datetime | None
    url: str
    body: dict[str, Any]


class RollbackDesk(Protocol):
    """Where rollbacks are seen to. Everything raises ``DeskError`` with what is wrong, and ``StatusError``."""

    async def overview(self, limit: int) -> RollbackOverview:
        """What there is, what was decided (the latest), and what is locked."""
        ...

    async def dry_run(self, rollback: str, incident: str | None) -> DryRun:
        """What would happen if the incident (or a made-up page) asked for the rollback now; nothing is changed."""
        ...

    async def approve(self, incident: str, by: str, rollback: str | None) -> RollbackLine:
        """The rollback that the incident waited with, whose order is on its way."""
        ...

    async def reject(self, incident: str, by: str, rollback: str | None) -> RollbackLine:
        """The rollback that the incident waited with, which is not sent."""
        ...

    async def lock(self, rollback: str, by: str, comment: str) -> LockLine:
        """The lock, which holds from now on."""
        ...

    async def unlock(self, rollback: str, by: str) -> LockLine:
        """The lock, which ``by`` has taken back now."""
        ...
