"""Where incidents are seen to over HTTP: the deployment's ``IncidentDesk``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

import alerts.store as alert_store
from alerts import AlertError, actions, silence_store
from alerts.explain import explain
from alerts.incident import Incident, Reason
from alerts.matcher import Matcher, all_fit, facts_of, parse_matcher
from alerts.silence import Silence
from canaries.clock import Clock
from dashboards import StatusError
from dashboards.desk import DecisionLine, DeskError, ExplanationView, IncidentLine, SilenceView
from dashboards.view import IncidentState

from ..database import Database
from ..self_watch import why

LOOKED_AT_MAX = 2_000
"""How many of the latest incidents are searched for those that fit."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """Incidents and silences in the database. ``wake`` is called when somebody may have to be told."""

    database: Database
    clock: Clock
    wake: Callable[[], None]

    async def incidents(self, match: Sequence[str], everything: bool, limit: int) -> tuple[IncidentLine, ...]:
        """The open incidents that fit all matchers (or all incidents), the newest first."""
        matchers = _parsed(match)

        def work(session: Session) -> tuple[Incident, ...]:
            if everything:
                return alert_store.incidents(session, LOOKED_AT_MAX)
            return tuple(reversed(alert_store.open_incidents(session)))

        found = await self._read(work)
        fitting = (one for one in found if all_fit(matchers, facts_of(one.key, one.finding, one.severity)))
        return tuple(_incident(one) for one, _ in zip(fitting, range(limit), strict=False))

    async def explain(self, asked: str) -> ExplanationView:
        """Why people were told of an incident or a key, or not."""
        found = await self._read(lambda session: explain(session, asked))
        if found is None:
            raise DeskError(f"nothing was decided about {asked!r}", is_unknown=True)
        lines = (DecisionLine(one.at, one.what, one.why, one.last_at, one.times) for one in found.lines)
        return ExplanationView(found.key, _incident(found.incident) if found.incident else None, tuple(lines))

    async def acknowledge(self, incident: str, by: str) -> IncidentLine:
        """The incident, to which ``by`` sees from now on."""
        done = await self._change(lambda session, now: actions.acknowledge(session, incident, by, now))
        if done.incident is None or done.reason is Reason.NOT_FIRING:
            raise DeskError(done.reason.value)
        return _incident(done.incident)

    async def mark(self, incident: str, is_true: bool, by: str) -> IncidentLine:
        """The incident, of which ``by`` has said whether something was wrong."""
        return _incident(
            await self._change(lambda session, now: actions.mark(session, incident, is_true, by, now))
        )

    async def silences(self, everything: bool) -> tuple[SilenceView, ...]:
        """The silences that hold or will (or all)."""
        now = self.clock.now()
        found = await self._read(lambda session: silence_store.silences(session, None if everything else now))
        return tuple(_silence(one, now) for one in found)

    async def preview(self, matchers: Sequence[str]) -> tuple[IncidentLine, ...]:
        """The open incidents that a silence with these matchers would hold now."""
        parsed, now = _parsed(matchers), self.clock.now()
        held = await self._read(lambda session: actions.would_silence(session, parsed, now))
        return tuple(_incident(one) for one in held[:LOOKED_AT_MAX])

    async def silence(self, matchers: Sequence[str], for_s: float, comment: str, by: str) -> SilenceView:
        """The silence, which holds from now on for so long."""
        parsed = _parsed(matchers)

        def work(session: Session, now: datetime) -> Silence:
            end = now + timedelta(seconds=for_s)
            return actions.silence(session, parsed, by, comment, now, end, now)

        return _silence(await self._change(work), self.clock.now())

    async def expire(self, silence: str) -> SilenceView:
        """The silence, which is over now."""
        ended = await self._change(lambda session, now: actions.expire(session, silence, now))
        return _silence(ended, self.clock.now())

    async def _read(self, work: Callable[[Session], T]) -> T:
        try:
            return await self.database.aread(work)
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be read: {why(error)}") from error

    async def _change(self, work: Callable[[Session, datetime], T]) -> T:
        now = self.clock.now()
        try:
            changed = await self.database.awrite(lambda session: work(session, now))
        except AlertError as error:
            raise DeskError(str(error), is_unknown=isinstance(error, actions.UnknownError)) from error
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be written: {why(error)}") from error
        self.wake()
        return changed


def _parsed(texts: Sequence[str]) -> tuple[Matcher, ...]:
    try:
        return tuple(parse_matcher(text) for text in texts)
    except ValueError as error:
        raise DeskError(str(error)) from error


def _incident(one: Incident) -> IncidentLine:
    return IncidentLine(
        id=one.id,
        key=one.key,
        severity=one.severity,
        state=IncidentState(one.state.value),
        summary=one.finding.summary,
        opened_at=one.opened_at,
        labels=dict(one.labels),
        acknowledged_by=one.acknowledged_by,
        acknowledged_at=one.acknowledged_at,
        resolved_at=one.resolved_at if not one.is_open else None,
        is_true=one.is_true,
    )


def _silence(one: Silence, now: datetime) -> SilenceView:
    return SilenceView(
        id=one.id,
        state=one.state(now),
        matchers=tuple(str(matcher) for matcher in one.matchers),
        author=one.author,
        comment=one.comment,
        starts_at=one.starts_at,
        ends_at=one.ends_at,
    )
