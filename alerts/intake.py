"""Verdicts become incidents, messages and rollbacks, all in the caller's transaction."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

from . import store
from .decisions import record
from .dispatch import Dispatcher
from .finding import Label, Verdict
from .incident import AlertRule, Incident, Reason, Transition, step
from .inhibition import InhibitRule, suspected
from .rollback import RollbackRule
from .rolling_back import ask
from .routing import Routing
from .sources import inhibitors


def receive(
    session: Session,
    verdicts: Sequence[tuple[Verdict, AlertRule]],
    now: datetime,
    rollbacks: Mapping[str, RollbackRule] | None = None,
    inhibitions: Sequence[InhibitRule] = (),
    routing: Routing | None = None,
) -> tuple[Transition, ...]:
    """What each verdict did, in order. Incidents, messages and rollback decisions are saved, not committed.

    ``rollbacks`` holds the rule of every rollback that an alert rule may name. A breach on which a firing incident
    casts doubt changes nothing; one that it only explains is taken as any other, and people do not hear of it. What
    inhibits comes first, as a verdict may inhibit those after it. Without ``routing`` each rule names who is told.
    """
    keys = {verdict.key for verdict, _ in verdicts}
    dispatcher = Dispatcher(session, routing or Routing(), inhibitors(session, inhibitions), now)
    intake = _Intake(dispatcher, rollbacks or {}, keys)
    return tuple(intake.take(verdict, rule) for verdict, rule in verdicts)


class _Intake:
    """Verdicts on their way in, within one transaction."""

    def __init__(self, dispatcher: Dispatcher, rollbacks: Mapping[str, RollbackRule], keys: Set[str]) -> None:
        self._dispatcher = dispatcher
        self._session, self._now = dispatcher.session, dispatcher.now
        self._rollbacks = rollbacks
        # Only what these verdicts are about, and what could explain it: in a storm thousands are open.
        self._open = {incident.key: incident for incident in store.open_of(self._session, keys)}
        self._keys: Set[str] = keys - self._open.keys()
        self._earlier: dict[str, int] = {}

    def take(self, verdict: Verdict, rule: AlertRule) -> Transition:
        """What the verdict did."""
        before = self._open.get(verdict.key)
        if held := self._held(before, verdict):
            return held
        transition = self._stepped(before, verdict, rule)
        if transition.incident is None or not transition.incident.is_open:
            self._open.pop(verdict.key, None)
        else:
            self._open[verdict.key] = transition.incident
        return transition

    def _held(self, before: Incident | None, verdict: Verdict) -> Transition | None:
        if verdict.finding is None:
            return None
        found = suspected(verdict.key, verdict.finding, before)
        explained = self._dispatcher.inhibitors.explained(found, doubted=True)
        if explained is None:
            return None
        why = f"{Reason.INHIBITED.value}: inhibited by {explained.said}"
        record(self._session, self._now, "incident held", why, key=verdict.key)
        return Transition(before, (), Reason.INHIBITED, explained.by)

    def _stepped(self, before: Incident | None, verdict: Verdict, rule: AlertRule) -> Transition:
        session = self._session
        is_new = before is None and verdict.label is not Label.STEADY
        earlier = self._count(verdict.key) if is_new else 0
        last = store.latest_of(session, verdict.key) if earlier else None
        reopen_s = max(rule.reopen_s, self._dispatcher.routing.reopen_s)
        if reopen_s != rule.reopen_s:
            rule = replace(rule, reopen_s=reopen_s)
        transition = step(before, verdict, rule, self._now, earlier, last)
        incident = transition.incident
        if before is not None or incident is not None:
            self._record(verdict.key, transition, verdict.note)
        if incident is None:
            if before is not None:
                store.drop_incident(session, before.id)
            return transition
        store.save_incident(session, incident)
        self._dispatcher.inhibitors.knows(incident)
        pages = 0
        if _is_news(transition):
            is_new = transition.reason is Reason.FIRED
            pages = self._dispatcher.follow(incident, rule.notify, is_new=is_new)
        if verdict.wants_rollback and rule.rollback is not None and incident.is_firing:
            pages += ask(self._dispatcher, incident, rule.rollback, self._rollbacks)
        return replace(transition, pages=pages)

    def _count(self, key: str) -> int:
        """How many incidents of the key there were: asked at once for all that have none open, and good once."""
        if self._keys:
            self._earlier, self._keys = store.counts_of(self._session, self._keys), frozenset()
        known = self._earlier.pop(key, None)
        return store.count_incidents(self._session, key) if known is None else known

    def _record(self, key: str, transition: Transition, note: str) -> None:
        incident, reason = transition.incident, transition.reason
        if reason is not Reason.STILL_FIRING:
            # What is said of each look holds numbers that change: it would be another decision every time.
            why = f"{reason.value}: {note}" if note and _is_news(transition) else reason.value
            incident_id = incident.id if incident else None
            record(
                self._session,
                self._now,
                f"incident {_state(transition)}",
                why,
                key=key,
                incident_id=incident_id,
            )


def _is_news(transition: Transition) -> bool:
    return bool(transition.notifications) or transition.reason in (
        Reason.FIRED,
        Reason.RESOLVED,
        Reason.REOPENED,
    )


def _state(transition: Transition) -> str:
    return transition.incident.state.value if transition.incident else "none"
