"""Where incidents are seen to over HTTP: the deployment's ``IncidentDesk``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlmodel import Session

import alerts.store as alert_store
from alerts import actions, group_store, outbox_store, silence_store
from alerts.evidence.ledger import QUARTER_S
from alerts.explain import Explanation, explain
from alerts.grouping import Group, Member, Quiet
from alerts.incident import Incident, Reason
from alerts.inhibition import Inhibitors, InhibitRule, suspect
from alerts.kept_quiet import KeptQuiet, kept_quiet
from alerts.matcher import Matcher, all_fit, facts_of, parse_matcher
from alerts.message import Notification, Why
from alerts.routing import Routing
from alerts.routing_words import mute_time_words, told_words, tree_words, unreachable_routes
from alerts.silence import Silence
from alerts.sources import inhibitors
from dashboards.desk import (
    Asked,
    DecisionLine,
    DeskError,
    ExplanationView,
    GroupLine,
    HeldView,
    IncidentFile,
    IncidentLine,
    MessageLine,
    MuteTimeLine,
    RoutingView,
    SilenceView,
    UnreachableRoute,
    WouldTell,
)
from dashboards.view import DeliveryState, EvidenceLine, IncidentState

from ..inhibiting.inhibitions import shown
from .asked_route import incident_as_asked
from .database_desk import DatabaseDesk

LOOKED_AT_MAX = 2_000
"""How many of the latest incidents are searched for those that fit."""

OPEN_LOOKED_AT_MAX = 20_000
"""The same of the open ones."""


@dataclass(frozen=True, slots=True)
class Desk(DatabaseDesk):
    """Incidents and silences in the database. ``wake`` is called when somebody may have to be told.

    ``told_by`` and ``inhibitions`` are those by which people are told; ``notified`` gives whom the rule of these labels
    names.
    """

    told_by: Routing = field(default_factory=Routing)
    inhibitions: Sequence[InhibitRule] = ()
    notified: Callable[[Mapping[str, str]], Sequence[str]] = lambda labels: ()

    async def incidents(
        self, match: Sequence[str], everything: bool, limit: int, state: IncidentState | None = None
    ) -> tuple[IncidentLine, ...]:
        """The open incidents that fit all matchers (or all incidents, or those in a state), the newest first."""
        matchers, now = _parsed(match), self.clock.now()

        def fits(one: Incident) -> bool:
            is_wanted = state is None or one.state.value == state.value
            return is_wanted and all_fit(matchers, facts_of(one.key, one.finding, one.severity))

        def work(session: Session) -> tuple[IncidentLine, ...]:
            if everything or state is IncidentState.RESOLVED:
                found = alert_store.incidents(session, LOOKED_AT_MAX)
            else:
                some = limit if not matchers and state is None else OPEN_LOOKED_AT_MAX
                found = tuple(reversed(alert_store.latest_open(session, some)))
            quiet = self._quiet(session, now)
            return tuple(self._line(one, quiet, now) for one in islice(filter(fits, found), limit))

        return await self.read(work)

    async def incident(self, asked: str) -> IncidentFile:
        """All that is on record of the incident with this id, or of the latest one with this key."""
        now = self.clock.now()

        def work(session: Session) -> IncidentFile:
            one = actions.found(session, asked)
            quiet = self._quiet(session, now)
            groups = group_store.groups_of(session, one.id)
            explained = explain(session, one.id)
            held = self._held_by(session, one, quiet.inhibitors)
            return IncidentFile(
                at=now,
                incident=self._line(one, quiet, now),
                evidence=tuple(EvidenceLine(name, value) for name, value in one.finding.evidence),
                groups=tuple(_group(one, group_store.members(session, one.id)) for one in groups),
                messages=tuple(_message(row) for row in outbox_store.notifications(session, one.id)),
                decisions=_decisions(explained) if explained else (),
                holds=tuple(map(_incident, held)),
            )

        return await self.read(work)

    async def explain(self, asked: str) -> ExplanationView:
        """Why people were told of an incident or a key, or not."""
        found = await self.read(lambda session: explain(session, asked))
        if found is None:
            raise DeskError(f"nothing was decided about {asked!r}", is_unknown=True)
        return ExplanationView(
            found.key, _incident(found.incident) if found.incident else None, _decisions(found)
        )

    async def paged(self) -> tuple[IncidentLine, ...]:
        """The incidents that were pages this quarter, the newest first."""
        since = self.clock.now() - timedelta(seconds=QUARTER_S)
        found = await self.read(lambda session: alert_store.pages_since(session, since))
        return tuple(_incident(one) for one in reversed(found))

    async def routing(self) -> RoutingView:
        """Who is told of what, as the daemon has it."""
        tree, now = self.told_by.tree, self.clock.now()
        return RoutingView(
            routes=tuple(tree_words(tree)) if tree else (),
            mute_times=tuple(
                MuteTimeLine(name, mute_time_words(one), one.ends_at(now))
                for name, one in self.told_by.mute_times.items()
            ),
            unreachable=tuple(UnreachableRoute(*one) for one in unreachable_routes(self.told_by)),
            inhibitions=shown(self.inhibitions),
        )

    async def would_tell(self, asked: Asked) -> WouldTell:
        """Who would be told of such an incident now."""
        now, notify = self.clock.now(), self.notified(asked.labels)
        one = incident_as_asked(asked.labels, asked.severity, asked.source, asked.key, now)
        told = self.told_by.told(one, notify)

        def work(session: Session) -> tuple[HeldView, ...]:
            quiet = self._quiet(session, now)
            return tuple(_held(kept) for kept in kept_quiet(one, self.told_by, quiet, now))

        return WouldTell(tuple(told_words(way, self.told_by, now) for way in told), await self.read(work))

    async def acknowledge(self, incident: str, by: str) -> IncidentLine:
        """The incident, to which ``by`` sees from now on."""
        done = await self.change(lambda session, now: actions.acknowledge(session, incident, by, now))
        if done.incident is None or done.reason is Reason.NOT_FIRING:
            raise DeskError(done.reason.value)
        return _incident(done.incident)

    async def mark(self, incident: str, is_true: bool, by: str) -> IncidentLine:
        """The incident, of which ``by`` has said whether something was wrong."""
        return _incident(
            await self.change(lambda session, now: actions.mark(session, incident, is_true, by, now))
        )

    async def silences(self, everything: bool) -> tuple[SilenceView, ...]:
        """The silences that hold or will (or all)."""
        now = self.clock.now()
        found = await self.read(lambda session: silence_store.silences(session, None if everything else now))
        return tuple(_silence(one, now) for one in found)

    async def preview(self, matchers: Sequence[str]) -> tuple[IncidentLine, ...]:
        """The open incidents that a silence with these matchers would hold now."""
        parsed, now = _parsed(matchers), self.clock.now()
        held = await self.read(lambda session: actions.would_silence(session, parsed, now))
        return tuple(_incident(one) for one in held[:LOOKED_AT_MAX])

    async def silence(
        self,
        matchers: Sequence[str],
        for_s: float,
        comment: str,
        by: str,
        starts_at: datetime | None = None,
    ) -> SilenceView:
        """The silence, which holds for so long from then, or from now on."""
        parsed = _parsed(matchers)

        def work(session: Session, now: datetime) -> Silence:
            try:
                start = (starts_at or now).astimezone(UTC)
                end = start + timedelta(seconds=for_s)
            except OverflowError as error:
                raise actions.MalformedError("that is longer than a calendar goes") from error
            return actions.silence(session, parsed, by, comment, start, end, now)

        return _silence(await self.change(work), self.clock.now())

    async def expire(self, silence: str, by: str) -> SilenceView:
        """The silence, which ``by`` has ended now."""
        ended = await self.change(lambda session, now: actions.expire(session, silence, by, now))
        return _silence(ended, self.clock.now())

    def _quiet(self, session: Session, now: datetime) -> Quiet:
        """All that may keep people from hearing of something now."""
        return Quiet(
            silences=silence_store.silences(session, now),
            mute_times=self.told_by.mute_times,
            inhibitors=inhibitors(session, self.inhibitions),
        )

    def _held_by(self, session: Session, one: Incident, known: Inhibitors) -> list[Incident]:
        """What the incident explains away, of the latest that are open."""
        if one.key not in known:
            return []
        latest = alert_store.latest_open(session, LOOKED_AT_MAX)
        explained = ((other, known.explained(suspect(other))) for other in latest)
        return [other for other, why_held in explained if why_held and why_held.by.id == one.id]

    def _line(self, one: Incident, quiet: Quiet, now: datetime) -> IncidentLine:
        kept = kept_quiet(one, self.told_by, quiet, now)
        return replace(_incident(one), held=tuple(_held(reason) for reason in kept))


def _parsed(texts: Sequence[str]) -> tuple[Matcher, ...]:
    try:
        return tuple(parse_matcher(text) for text in texts)
    except ValueError as error:
        raise DeskError(str(error), is_malformed=True) from error


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
        fired_at=one.firing_since,
        paged_at=one.paged_at,
        no_data_since=one.no_data_since if one.is_open else None,
        reopened=one.reopened,
    )


def _held(one: KeptQuiet) -> HeldView:
    # How long another incident goes on nobody knows: the moment there is when it is looked at again.
    until = None if one.held.why is Why.INHIBITED else one.held.until
    return HeldView(one.held.why.value, one.held.by, until, one.routes)


def _group(one: Group, members: Sequence[Member]) -> GroupLine:
    due_at = one.due_at if one.closed_at is None else None
    return GroupLine(one.id, one.route, dict(one.labels), one.policy.receivers, len(members), due_at)


def _message(row: Notification) -> MessageLine:
    if row.is_waiting:
        state = DeliveryState.WAITING
    else:
        state = DeliveryState.FAILED if row.sent_at is None else DeliveryState.SENT
    return MessageLine(
        receiver=row.receiver,
        kind=row.message.kind.value,
        why=row.message.why.value if row.message.why else "",
        at=row.message.created_at,
        state=state,
        ended_at=row.sent_at or row.failed_at,
        attempts=row.attempts,
        error=row.last_error or "" if row.sent_at is None else "",
    )


def _decisions(found: Explanation) -> tuple[DecisionLine, ...]:
    return tuple(DecisionLine(one.at, one.what, one.why, one.last_at, one.times) for one in found.lines)


def _silence(one: Silence, now: datetime) -> SilenceView:
    return SilenceView(
        id=one.id,
        state=one.state(now),
        matchers=tuple(str(matcher) for matcher in one.matchers),
        author=one.author,
        comment=one.comment,
        starts_at=one.starts_at,
        ends_at=one.ends_at,
        ended_by=one.ended_by,
    )
