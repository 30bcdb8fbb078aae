"""When a group of incidents is told of, and why; or why not now. Pure.

A group is what people hear of as one thing: the incidents that one route tells and that share its labels, from the
first to the end of the last. It waits a little for others to join, tells changes no more often than its interval, and
says how it ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b

from .finding import Severity
from .incident import Incident, NoticeKind, State
from .inhibition import Inhibitors, suspect
from .message import Why
from .routing import Policy
from .silence import MuteTime, Silence, muted_until

LOOK_AGAIN_S, LOOK_AGAIN_MAX_S = 30.0, 300.0
"""How soon a group is looked at again of which something is inhibited: nothing tells it that the other has ended."""

LOOK_AGAIN_SHARE = 0.1
"""The same as a share of the time for which what is inhibited fires: some of it does so for weeks."""

LONGEST_WAIT_S = 86_400.0
"""How far ahead a group is due at most. One that says later was written by a clock that ran ahead."""


@dataclass(frozen=True, slots=True)
class Group:
    """Incidents that people hear of together. Its ``id`` is that of their thread, at every receiver, to the end.

    ``waiting_since`` is when the first of those came that nobody has heard of yet; ``told_severity`` the loudest that
    people were told; ``unacknowledged_since`` when they were told of what nobody has acknowledged yet, and ``steps``
    how many of the policy's steps of escalation were taken since. A group that woke somebody did so at ``paged_at``.
    """

    id: str
    route: str
    labels: Mapping[str, str]
    policy: Policy
    opened_at: datetime
    waiting_since: datetime
    due_at: datetime | None = None
    told_at: datetime | None = None
    told_severity: Severity | None = None
    notices: int = 0
    unacknowledged_since: datetime | None = None
    steps: int = 0
    paged_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """An incident of a group, and as what people were last told of it there, if they were."""

    incident: Incident
    joined_at: datetime
    told: State | None = None
    told_severity: Severity | None = None
    told_at: datetime | None = None

    @property
    def is_known(self) -> bool:
        """Whether people know that it fires."""
        return self.told in (State.FIRING, State.ACKNOWLEDGED)


@dataclass(frozen=True, slots=True)
class Quiet:
    """All that may keep people from hearing of something."""

    silences: Sequence[Silence] = ()
    mute_times: Mapping[str, MuteTime] = field(default_factory=dict)
    inhibitors: Inhibitors = field(default_factory=Inhibitors)


@dataclass(frozen=True, slots=True)
class Held:
    """Why an incident is not told of for now, and until when at most."""

    why: Why
    by: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be said of a group now. ``to`` are further receivers, who hear of it as of something new.

    With ``only_to`` nobody but those hears it.
    """

    kind: NoticeKind
    why: Why
    members: tuple[Incident, ...]
    to: tuple[str, ...] = ()
    only_to: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision for the record; without an incident it is about the whole group."""

    why: Why
    detail: str
    incident: Incident | None = None


@dataclass(frozen=True, slots=True)
class Flushed:
    """The group and its members after a look at them, what is to be said, and every decision with its reason."""

    group: Group
    members: tuple[Member, ...]
    notices: tuple[Notice, ...]
    decisions: tuple[Decided, ...]
    is_page: bool = False
    """Whether it wakes somebody who was not woken by this group before."""


def group_id(route: str, labels: Mapping[str, str], opened_at: datetime, first: str) -> str:
    """The id of a group: the same for its whole life, and another one for the next of the same labels."""
    facts = (
        route,
        *(f"{name}={value}" for name, value in sorted(labels.items())),
        opened_at.isoformat(),
        first,
    )
    return blake2b("\n".join(facts).encode(), digest_size=8).hexdigest()


def due_after(group: Group, incident: Incident, now: datetime) -> datetime:
    """When the group has to be looked at because this member of it has changed: not for every one that joins."""
    if group.told_severity is None:
        return _since(group.waiting_since, group.policy.group_wait_s, now)
    if incident.is_firing and incident.severity > group.told_severity:
        return now
    return _since(group.told_at, group.policy.group_interval_s, now)


def flush(
    group: Group, members: Sequence[Member], quiet: Quiet, now: datetime, *, at_once: bool = False
) -> Flushed:
    """Say what people hear of the group now, why, and when to look again; ``at_once`` waits for nothing.

    The caller saves the group and the members together with the messages: what was decided twice is sent twice.
    """
    held = {
        one.incident.id: reason
        for one in members
        if one.incident.is_firing
        and (reason := what_holds(one.incident, group.policy, quiet, now)) is not None
    }
    group = _not_ahead(group, now)
    look = _Look(group, tuple(members), held, now, at_once)
    notices = look.notices()
    after = look.after(notices)
    woken = look.wakes(notices)
    told = replace(after, paged_at=now) if woken and after.paged_at is None else after
    members_after, closed_at = look.members_after(notices), look.closed_at(notices)
    due_at = _Look(told, members_after, held, now).due_at() if closed_at is None else None
    final = replace(told, due_at=due_at, closed_at=closed_at)
    decisions = (*look.untold(), *look.decisions(notices))
    return Flushed(final, members_after, notices, decisions, is_page=woken and group.paged_at is None)


def _not_ahead(group: Group, now: datetime) -> Group:
    # A time that lies ahead of now means that the clock went back: the wait starts again, from now, and only once.
    return replace(
        group,
        waiting_since=min(group.waiting_since, now),
        told_at=group.told_at and min(group.told_at, now),
        unacknowledged_since=group.unacknowledged_since and min(group.unacknowledged_since, now),
    )


def what_holds(incident: Incident, policy: Policy, quiet: Quiet, now: datetime) -> Held | None:
    """What keeps people from hearing of an incident by a route of this policy; nothing where nothing does."""
    if explained := quiet.inhibitors.explained(suspect(incident)):
        return Held(Why.INHIBITED, explained.said, _look_again_at(incident, now))
    active = [one for one in quiet.silences if one.is_active(now) and one.fits(incident)]
    if active:
        last = max(active, key=lambda one: one.ends_at)
        said = f"silence {last.id} of {last.author}" + (f" ({last.comment})" if last.comment else "")
        return Held(Why.SILENCED, said, last.ends_at)
    muted = muted_until(policy.mute_times, quiet.mute_times, now)
    return Held(Why.MUTED, f"mute time {muted[0]}", muted[1]) if muted else None


def _look_again_at(incident: Incident, now: datetime) -> datetime:
    fires_s = (now - (incident.firing_since or now)).total_seconds()
    return now + timedelta(seconds=min(max(LOOK_AGAIN_S, LOOK_AGAIN_SHARE * fires_s), LOOK_AGAIN_MAX_S))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a group: who is where, and what follows."""

    group: Group
    members: tuple[Member, ...]
    held: Mapping[str, Held]
    now: datetime
    at_once: bool = False

    # Who is where

    def _fresh(self) -> list[Member]:
        """Those that fire and that people may hear of, but have not."""
        return [one for one in self.members if self._may_tell(one) and not one.is_known]

    def _worse(self) -> list[Member]:
        return [
            one
            for one in self.members
            if self._may_tell(one) and one.is_known and one.incident.severity > (one.told_severity or 0)
        ]

    def _known(self) -> list[Member]:
        return [one for one in self.members if one.is_known]

    def _over(self) -> list[Member]:
        return [one for one in self._known() if not one.incident.is_firing]

    def _newly_acknowledged(self) -> list[Member]:
        return [
            one
            for one in self._known()
            if one.incident.state is State.ACKNOWLEDGED and one.told is not State.ACKNOWLEDGED
        ]

    def _given_up(self) -> list[Member]:
        """Those of which people know that somebody sees to them, which nobody does any more."""
        return [one for one in self._unacknowledged() if one.told is State.ACKNOWLEDGED]

    def _unacknowledged(self) -> list[Member]:
        return [one for one in self._known() if self._may_tell(one) and one.incident.state is State.FIRING]

    def _may_tell(self, member: Member) -> bool:
        return member.incident.is_firing and member.incident.id not in self.held

    # What is said

    def notices(self) -> tuple[Notice, ...]:
        """What is said now: at most one change, an acknowledgement, and a step of escalation."""
        notices = [notice for notice in (self._change(), self._acknowledgement()) if notice is not None]
        if not notices:
            notices += [notice for notice in (self._escalation(), self._repeat()) if notice is not None][:1]
        return tuple(notices)

    def _change(self) -> Notice | None:
        found = self._kind_of_change()
        if found is None or (self.now < self._change_due(found[1]) and not self.at_once):
            return None
        kind, why = found
        return Notice(kind, why, self._shown())

    def _kind_of_change(self) -> tuple[NoticeKind, Why] | None:
        fresh, known, over, worse = self._fresh(), self._known(), self._over(), self._worse()
        if fresh and not known:
            is_back = all(one.told is State.RESOLVED for one in fresh)
            return NoticeKind.FIRING, Why.REOPENED if is_back else Why.FIRST
        loudest = max((one.incident.severity for one in (*fresh, *worse)), default=None)
        if loudest is not None and loudest > (self.group.told_severity or 0):
            return NoticeKind.ESCALATED, Why.WORSE
        if worse:
            return NoticeKind.UPDATED, Why.WORSE
        if fresh:
            return NoticeKind.UPDATED, Why.NEW_IN_GROUP
        if self._given_up():
            return NoticeKind.UPDATED, Why.UNACKNOWLEDGED
        if over:
            is_all = len(over) == len(known)
            return (NoticeKind.RESOLVED, Why.ALL_RESOLVED) if is_all else (NoticeKind.UPDATED, Why.RESOLVED)
        return None

    def _change_due(self, why: Why) -> datetime:
        """When a change may be told: what is worse than all that people know of waits for nothing."""
        if why in (Why.FIRST, Why.REOPENED):
            return _since(self.group.waiting_since, self.group.policy.group_wait_s, self.now)
        if why in (Why.WORSE, Why.UNACKNOWLEDGED):
            return self.now
        return _since(self.group.told_at, self.group.policy.group_interval_s, self.now)

    def _acknowledgement(self) -> Notice | None:
        seen = self._newly_acknowledged()
        if not seen:
            return None
        people = dict.fromkeys(one.incident.acknowledged_by for one in seen)
        return Notice(
            NoticeKind.ACKNOWLEDGED,
            Why.ACKNOWLEDGED,
            tuple(one.incident for one in seen),
            detail=f"Acknowledged by {', '.join(people)}",
        )

    def _escalation(self) -> Notice | None:
        due = self._escalation_due()
        if due is None or self.now < due:
            return None
        step = self.group.policy.escalation[self.group.steps]
        waited = f"Nobody has acknowledged it for {step.after_s / 60:g} min"
        return Notice(
            NoticeKind.FIRING, Why.ESCALATED, self._shown(), to=step.receivers, only_to=True, detail=waited
        )

    def _escalation_due(self) -> datetime | None:
        steps, since = self.group.policy.escalation, self.group.unacknowledged_since
        if since is None or self.group.steps >= len(steps) or not self._unacknowledged():
            return None
        return _since(since, steps[self.group.steps].after_s, self.now)

    def _repeat(self) -> Notice | None:
        due = self._repeat_due()
        return Notice(NoticeKind.REPEATED, Why.REPEAT, self._shown()) if due and due <= self.now else None

    def _repeat_due(self) -> datetime | None:
        interval_s = self.group.policy.repeat_interval_s
        if interval_s is None or not self._unacknowledged():
            return None
        return _since(self.group.told_at, interval_s, self.now)

    def _shown(self) -> tuple[Incident, ...]:
        """All that the message is about: what people know of or hear of now, the loudest that fires first."""
        shown = [one.incident for one in self.members if one.is_known or self._may_tell(one)]
        return tuple(
            sorted(shown, key=lambda one: (not one.is_firing, -one.severity, one.opened_at, one.key))
        )

    # What follows

    def members_after(self, notices: Iterable[Notice]) -> tuple[Member, ...]:
        """The members with what people have now been told of them."""
        said = {incident.id for notice in notices for incident in notice.members if not notice.only_to}
        return tuple(self._told(one) if one.incident.id in said else one for one in self.members)

    def _told(self, member: Member) -> Member:
        return replace(
            member,
            told=member.incident.state,
            told_severity=max(member.incident.severity, member.told_severity or member.incident.severity),
            told_at=self.now,
        )

    def after(self, notices: Sequence[Notice]) -> Group:
        """The group with what has now been said."""
        group = self.group
        is_change = any(one.why not in (Why.ESCALATED, Why.ACKNOWLEDGED) for one in notices)
        loudest = max(
            (one.severity for notice in notices for one in notice.members if one.is_firing), default=None
        )
        told_severity = max((one for one in (group.told_severity, loudest) if one is not None), default=None)
        is_over = any(one.kind is NoticeKind.RESOLVED for one in notices)
        steps = group.steps + sum(one.why is Why.ESCALATED for one in notices)
        later = _Look(group, self.members_after(notices), self.held, self.now)
        waits = bool(later._unacknowledged())
        return replace(
            group,
            told_at=self.now if is_change else group.told_at,
            told_severity=None if is_over else told_severity,
            notices=group.notices + len(notices),
            unacknowledged_since=(group.unacknowledged_since or self.now) if waits else None,
            steps=steps if waits else 0,
        )

    def wakes(self, notices: Iterable[Notice]) -> bool:
        """Whether one of the notices is an alarm about a page."""
        alarms = (NoticeKind.FIRING, NoticeKind.ESCALATED)
        return any(
            notice.kind in alarms
            and any(one.severity is Severity.PAGE for one in notice.members if one.is_firing)
            for notice in notices
        )

    def closed_at(self, notices: Iterable[Notice]) -> datetime | None:
        """Now, when nothing of it fires and people know that."""
        after = self.members_after(notices)
        is_over = all(not one.incident.is_open and not one.is_known for one in after)
        return self.now if is_over else None

    def due_at(self) -> datetime:
        """When the group has to be looked at again; what was due has been said."""
        times = [self.now + timedelta(seconds=LONGEST_WAIT_S)]
        found = self._kind_of_change()
        times += [self._change_due(found[1])] if found else []
        times += [due for due in (self._escalation_due(), self._repeat_due()) if due is not None]
        times += [reason.until for reason in self.held.values()]
        return max(min(times), self.now)

    # For the record

    def untold(self) -> tuple[Decided, ...]:
        """Why people do not hear of some: of those that are held, and those that ended too soon."""
        return tuple(
            Decided(reason.why, _held_words(reason), one.incident)
            for one in self.members
            if (reason := self.held.get(one.incident.id)) is not None and not one.is_known
        ) + tuple(
            Decided(Why.TOO_SHORT, "it was over before anybody was to be told", one.incident)
            for one in self.members
            if one.told is None and not one.incident.is_open
        )

    def decisions(self, notices: Sequence[Notice]) -> tuple[Decided, ...]:
        """What was said, or what is waited for."""
        found = self._kind_of_change()
        if notices or found is None:
            return tuple(Decided(one.why, _counted(one)) for one in notices)
        due = _moment(self._change_due(found[1]))
        return (Decided(Why.NOT_NOW, f"what has changed is told at {due}, with what joins it"),)


def _since(start: datetime | None, wait_s: float, now: datetime) -> datetime:
    return min(start or now, now) + timedelta(seconds=wait_s)


def _held_words(held: Held) -> str:
    if held.why is Why.INHIBITED:
        # Without the moment of the next look, which is another one each time: the same answer is kept once.
        return f"inhibited by {held.by}, while it fires"
    return f"held by {held.by}, until {_moment(held.until)} at most"


def _counted(notice: Notice) -> str:
    firing = sum(one.is_firing for one in notice.members)
    over = len(notice.members) - firing
    parts = [f"{firing} firing" if firing else "", f"{over} over" if over else "", notice.detail]
    return ", ".join(part for part in parts if part)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
