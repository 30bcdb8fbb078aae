"""From incidents to messages: incidents join their groups, and groups are told when they are due.

All in the caller's transaction: what a group was told, and the messages that tell it, are saved together or not at
all. When a group is due next is a column of its row, so a restart forgets no wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from . import group_store, outbox_store, silence_store
from .decisions import record
from .grouping import Flushed, Group, Member, Notice, Quiet, due_after, flush, group_id
from .incident import Incident
from .inhibition import Inhibitors, InhibitRule
from .message import Why, about_group, addressed
from .routing import BY_RULE, Routing, Told
from .silence import Silence
from .sources import inhibitors


@dataclass
class Dispatcher:
    """Tells of incidents within one transaction, at one moment.

    ``inhibitors`` are the open incidents that may explain others away; whoever changes an incident lets them know.
    """

    session: Session
    routing: Routing
    inhibitors: Inhibitors
    now: datetime
    _silences: tuple[Silence, ...] | None = None

    def follow(self, incident: Incident, notify: Sequence[str] = (), *, is_new: bool = False) -> int:
        """How many pages it made that the incident has changed. ``notify`` is whom its rule names.

        One that ``is_new`` fires for the first time, so it belongs to no group yet.
        """
        former = () if is_new else group_store.groups_of(self.session, incident.id)
        groups = {one.id: one for one in former}
        if incident.is_firing:
            for told in self.routing.told(incident, notify):
                group = self._joined(incident, told, list(groups.values()))
                groups[group.id] = group
            if not groups:
                self._record(incident, Why.NOT_ROUTED, "no route tells it")
        pages = 0
        for group in groups.values():
            if group.closed_at is None:
                due_at = due_after(group, incident, self.now)
                pages += self._flush_if_due(replace(group, due_at=min(due_at, group.due_at or due_at)))
        return pages

    def tell_at_once(self, incident: Incident) -> int:
        """How many pages it made that those who are to hear of the incident hear of it now, whatever they wait for."""
        groups = group_store.groups_of(self.session, incident.id)
        return sum(self._flush(one, at_once=True) for one in groups if one.closed_at is None)

    def flush_due(self) -> int:
        """How many pages the groups made that are due, the first hundred of them."""
        return sum(self._flush(group) for group in group_store.groups_due(self.session, self.now))

    def silence_of(self, incident: Incident) -> Silence | None:
        """A silence that holds the incident now, if there is one."""
        active = (one for one in self._all_silences() if one.is_active(self.now) and one.fits(incident))
        return next(active, None)

    def _joined(self, incident: Incident, told: Told, former: Sequence[Group]) -> Group:
        """The group that the incident belongs to by this route; it may be one that was over."""
        group = group_store.open_group(self.session, told.route, told.labels)
        if group is None:
            # What comes back so soon that it is the same incident goes on in the same thread.
            mine = (one for one in reversed(former) if (one.route, one.labels) == (told.route, told.labels))
            group = next(mine, None) or self._opened(incident, told)
            group = replace(group, closed_at=None, waiting_since=self.now)
        group = replace(group, policy=told.policy)
        group_store.save_group(self.session, group)
        has_joined = group_store.add_member(self.session, group.id, incident.id, self.now)
        if has_joined and told.route != BY_RULE:
            self._record(incident, Why.ROUTED, f"by {' > '.join(told.path)}", group.id)
        return group

    def _opened(self, incident: Incident, told: Told) -> Group:
        return Group(
            id=group_id(told.route, told.labels, self.now, incident.id),
            route=told.route,
            labels=told.labels,
            policy=told.policy,
            opened_at=self.now,
            waiting_since=self.now,
        )

    def _flush_if_due(self, group: Group) -> int:
        if group.due_at is not None and group.due_at <= self.now:
            return self._flush(group)
        group_store.save_group(self.session, group)
        if group.due_at is not None:
            why = f"what has changed is told at {group.due_at:%Y-%m-%d %H:%M:%S} UTC, with what joins it"
            record(self.session, self.now, Why.NOT_NOW.value, why, group_id=group.id)
        return 0

    def _flush(self, group: Group, *, at_once: bool = False) -> int:
        before = group_store.members(self.session, group.id)
        quiet = Quiet(self._all_silences(), self.routing.mute_times, self.inhibitors)
        flushed = flush(group, before, quiet, self.now, at_once=at_once)
        self._save(group, before, flushed)
        return int(flushed.is_page)

    def _save(self, before: Group, members: Iterable[Member], flushed: Flushed) -> None:
        group_store.save_group(self.session, flushed.group)
        changed = [after for was, after in zip(members, flushed.members, strict=True) if was != after]
        group_store.save_told(self.session, before.id, changed)
        for number, notice in enumerate(flushed.notices, start=before.notices + 1):
            self._tell(before, notice, number)
        for one in flushed.decisions:
            key, incident_id = (one.incident.key, one.incident.id) if one.incident else ("", None)
            record(
                self.session,
                self.now,
                one.why.value,
                one.detail,
                key=key,
                incident_id=incident_id,
                group_id=before.id,
            )

    def _tell(self, group: Group, notice: Notice, number: int) -> None:
        message = about_group(group.id, notice.kind, notice.why, notice.members, self.now, notice.detail)
        receivers = self._receivers(group, notice)
        outbox_store.enqueue(self.session, [addressed(message, receiver, number) for receiver in receivers])

    def _receivers(self, group: Group, notice: Notice) -> tuple[str, ...]:
        if notice.only_to:
            return notice.to
        told = outbox_store.receivers_told(self.session, group.id) if group.told_at is not None else ()
        # The end goes to those who know of it, whatever the route has come to say since.
        named = group.policy.receivers if notice.kind in outbox_store.ALARMS else ()
        return tuple(dict.fromkeys((*told, *named)))

    def _record(self, incident: Incident, why: Why, detail: str, group_id: str | None = None) -> None:
        record(
            self.session,
            self.now,
            why.value,
            detail,
            key=incident.key,
            incident_id=incident.id,
            group_id=group_id,
        )

    def _all_silences(self) -> tuple[Silence, ...]:
        if self._silences is None:
            self._silences = silence_store.silences(self.session, ending_after=self.now)
        return self._silences


def flush_due(
    session: Session, routing: Routing, inhibitions: Sequence[InhibitRule], now: datetime
) -> tuple[int, datetime | None]:
    """How many pages the groups made that are due now, and when the next is due. To be called until that is later."""
    if not group_store.groups_due(session, now, limit=1):
        return 0, group_store.next_due_at(session, now)
    dispatcher = Dispatcher(session, routing, inhibitors(session, inhibitions), now)
    return dispatcher.flush_due(), group_store.next_due_at(session, now)
