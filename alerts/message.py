"""What goes out: a message, which is a snapshot of its incident, and its row in the outbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import orjson

from .finding import Severity
from .incident import Incident, NoticeKind, State

ROLLBACK_PREFIX = "rollback/"
"""What stands before the name of a rollback where a receiver is named. Receivers themselves have no slash."""


_OF_ROLLBACK = (NoticeKind.ROLLBACK_QUESTION, NoticeKind.ROLLBACK_NEWS)

MEMBERS_SHOWN = 20
"""How many incidents of a group a message names; it counts the others."""


class Why(StrEnum):
    """Why people are told something, or not."""

    FIRST = "first"
    NEW_IN_GROUP = "new in group"
    WORSE = "worse than what people knew"
    REOPENED = "fires again"
    RESOLVED = "some of it is over"
    ALL_RESOLVED = "all of it is over"
    REPEAT = "still fires, and nobody has acknowledged it"
    ESCALATED = "nobody has acknowledged it in time"
    ACKNOWLEDGED = "somebody sees to it"
    UNACKNOWLEDGED = "nobody sees to it any more"
    FALLBACK = "another receiver could not be reached"
    DIGEST = "too many messages at a time"
    SILENCED = "silenced"
    MUTED = "muted"
    INHIBITED = "another incident explains it"
    ROUTED = "routed"
    NOT_ROUTED = "told to nobody"
    TOO_SHORT = "over too soon"
    NOT_NOW = "not now"


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One incident of a group, in a line."""

    incident_id: str
    key: str
    severity: Severity
    state: State
    summary: str

    @property
    def said(self) -> str:
        """The line that people read."""
        return f"{self.severity.name} {self.state.value}: {self.summary}"


@dataclass(frozen=True, slots=True)
class Thread:
    """Where the first message of an incident lies at a receiver, so that later ones can join it."""

    channel: str
    message: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of what a message is about. ``title`` says in a line what it shows, also to who cannot see it."""

    png: bytes
    title: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: its title and its lines."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is sent: everything a channel shows. ``id`` stays the same over retries and restarts.

    ``note`` is one more sentence, about this message rather than the incident. ``rollback`` names the
    rollback that a message of kind ``ROLLBACK``, ``ROLLBACK_QUESTION`` or ``ROLLBACK_NEWS`` is about, ``approved_by``
    who said that an order may go out. A report has ``sections``, and in ``page`` where among our pages it can be read
    whole.

    ``group_id`` is the same for all messages of one thread, from the first to the one that says that all is over: it
    is what another system should know the alarm by. The incident and its facts are those of the loudest member;
    ``members`` are all of the group, with ``members_more`` that are counted only. ``why`` says why this message is
    sent. ``tried`` are receivers who were to have it and could not be reached.
    """

    id: str
    kind: NoticeKind
    summary: str
    created_at: datetime
    incident_id: str | None = None
    key: str = ""
    severity: Severity = Severity.INFO
    state: State | None = None
    since: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[tuple[str, str], ...] = ()
    note: str = ""
    rollback: str | None = None
    approved_by: str = ""
    group_id: str | None = None
    why: Why | None = None
    members: tuple[MemberLine, ...] = ()
    members_more: int = 0
    tried: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    page: str = ""

    @property
    def member_count(self) -> int:
        """How many incidents it is about."""
        return len(self.members) + self.members_more

    def address(self, public_url: str | None) -> str:
        """Where it is seen to among our pages, which are at ``public_url``; empty where nobody has said that."""
        page = self.page or (incident_page(self.incident_id) if self.incident_id else "")
        return f"{public_url.rstrip('/')}/{page}" if public_url and page else public_url or ""

    @property
    def member_lines(self) -> tuple[str, ...]:
        """The incidents of a group as people read them, the loudest first; none where it is about one."""
        if self.member_count < 2:
            return ()
        more = (f"and {self.members_more} more",) if self.members_more else ()
        return (*(member.said for member in self.members), *more)

    @property
    def headline(self) -> str:
        """A few words that say how bad it is and what is wrong."""
        if self.kind is NoticeKind.TEST:
            return "TEST"
        if self.kind is NoticeKind.REPORT:
            return self.key
        if self.kind in (NoticeKind.ROLLBACK, NoticeKind.ROLLBACK_NEWS):
            return f"ROLLBACK: {self.key}"
        if self.kind is NoticeKind.ROLLBACK_QUESTION:
            return f"ROLL BACK? {self.key}"
        if self.kind is NoticeKind.DIGEST:
            return f"{self.severity.name} DIGEST: {self.key}"
        others = f" and {self.member_count - 1} more" if self.member_count > 1 else ""
        return f"{self.severity.name} {self.kind.value.upper()}: {self.key}{others}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person reads below the headline."""
        if self.kind is NoticeKind.ROLLBACK_QUESTION:
            return (self.note, self.summary)
        if self.kind in (NoticeKind.ROLLBACK_NEWS, NoticeKind.ACKNOWLEDGED):
            return (self.note,)
        if self.kind is NoticeKind.RESOLVED:
            return (self.note, f"It was: {self.summary}")
        return (self.summary, self.note) if self.note else (self.summary,)

    def to_json(self) -> str:
        """The snapshot that the outbox keeps."""
        return orjson.dumps(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "Message":
        """The message that ``to_json`` wrote."""
        fields: dict[str, Any] = orjson.loads(text)
        return cls(
            **fields
            | {
                "kind": NoticeKind(fields["kind"]),
                "severity": Severity(fields["severity"]),
                "state": fields["state"] and State(fields["state"]),
                "created_at": datetime.fromisoformat(fields["created_at"]),
                "since": fields["since"] and datetime.fromisoformat(fields["since"]),
                "evidence": tuple((name, value) for name, value in fields["evidence"]),
                "why": fields.get("why") and Why(fields["why"]),
                "members": tuple(_member_line(member) for member in fields.get("members", ())),
                "tried": tuple(fields.get("tried", ())),
                # Messages of earlier versions have none.
                "sections": tuple(
                    Section(one["title"], tuple(one["lines"])) for one in fields.get("sections", ())
                ),
            }
        )


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of the outbox: a message on its way to one receiver.

    ``attempts`` are those since it was last due anew, ``given_up`` how often it was given up before that.
    """

    id: str
    receiver: str
    message: Message
    attempts: int = 0
    next_attempt_at: datetime | None = None
    claimed_at: datetime | None = None
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    last_error: str | None = None
    given_up: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether it still has to go out."""
        return self.sent_at is None and self.failed_at is None


def incident_page(incident_id: str) -> str:
    """The page of an incident, seen from where our pages begin."""
    return f"incidents/{incident_id}"


def about_incident(
    incident: Incident, kind: NoticeKind, now: datetime, *, note: str = "", rollback: str | None = None
) -> Message:
    """The message that says ``kind`` about an incident as it is now; ``addressed`` gives it its id."""
    return Message(
        id="",
        kind=kind,
        summary=incident.finding.summary,
        created_at=now,
        incident_id=incident.id,
        key=incident.key,
        severity=incident.severity,
        state=incident.state,
        since=incident.firing_since or incident.opened_at,
        labels=dict(incident.labels),
        # Evidence belongs to what is wrong; news of a rollback stands in the thread that has it.
        evidence=() if kind in _OF_ROLLBACK else incident.finding.evidence,
        note=f"{note or incident.note or 'Steady again'}. It lasted {_lasted(incident)}."
        if kind is NoticeKind.RESOLVED
        else note,
        rollback=rollback,
    )


def about_group(
    group_id: str, kind: NoticeKind, why: Why, incidents: Sequence[Incident], now: datetime, note: str = ""
) -> Message:
    """The message that says ``kind`` about a group, of which ``incidents`` come in the order to show them."""
    lead, count = incidents[0], len(incidents)
    common = [(name, value) for name, value in lead.labels.items() if _all_have(incidents, name, value)]
    ending = ""
    if kind is NoticeKind.RESOLVED and count > 1:
        ending = f"All {count} are over"
    message = about_incident(lead, kind, now, note=note or ending or _said_of(why, lead))
    return replace(
        message,
        group_id=group_id,
        why=why,
        severity=max(one.severity for one in incidents if one.is_firing == lead.is_firing),
        labels=dict(common),
        members=tuple(
            MemberLine(one.id, one.key, one.severity, one.state, one.finding.summary)
            for one in incidents[:MEMBERS_SHOWN]
        ),
        members_more=max(0, count - MEMBERS_SHOWN),
    )


def _all_have(incidents: Sequence[Incident], name: str, value: str) -> bool:
    return all(one.labels.get(name) == value for one in incidents)


def _said_of(why: Why, lead: Incident) -> str:
    if why is Why.REOPENED:
        return f"It fires again, soon after it was over ({lead.reopened + 1} times in all)."
    if why is Why.UNACKNOWLEDGED:
        return "It still fires, and nobody sees to it any more."
    if why is Why.REPEAT:
        return "It still fires, and nobody has acknowledged it."
    return ""


def receiver_test(receiver: str, now: datetime, *, is_scheduled: bool = False) -> Message:
    """The message that shows that ``receiver`` works."""
    test = "the scheduled test" if is_scheduled else "a test"
    return Message(
        id="",
        kind=NoticeKind.TEST,
        summary=f"This is {test} of the receiver {receiver!r}. Nothing is wrong.",
        created_at=now,
    )


def report(
    title: str, summary: str, detail: str, sections: tuple[Section, ...], page: str, of: datetime
) -> Message:
    """The message that is a report ``of`` a moment: the same moment gives the same message, sent at most once each."""
    return Message(
        id="",
        kind=NoticeKind.REPORT,
        key=title,
        summary=summary,
        note=detail,
        created_at=of,
        sections=sections,
        page=page,
    )


def addressed(message: Message, receiver: str, sequence: int) -> Notification:
    """The outbox row for one receiver. The same facts give the same id, so that a replay adds nothing."""
    subject = message.incident_id or message.created_at.isoformat()
    group = (message.group_id,) if message.group_id else ()
    facts = (*group, subject, message.kind.value, str(sequence), receiver, message.note)
    # No dot in the id: the webhook signature is over "id.timestamp.body".
    message_id = "msg_" + blake2b("\n".join(facts).encode(), digest_size=12).hexdigest()
    return Notification(id=message_id, receiver=receiver, message=replace(message, id=message_id))


def _member_line(fields: Mapping[str, Any]) -> MemberLine:
    return MemberLine(**{**fields, "severity": Severity(fields["severity"]), "state": State(fields["state"])})


def _lasted(incident: Incident) -> str:
    since = incident.firing_since or incident.opened_at
    seconds = int(max(0.0, (incident.updated_at - since).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
