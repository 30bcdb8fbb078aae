"""What people do to incidents: see to them, silence them, say afterwards whether they were right.

Every function takes the session of the caller's transaction and never commits. The groups that it is about become due
at once; whoever tells groups that are due then tells them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from . import AlertError, group_store, silence_store, store
from .decisions import record, taken
from .incident import Incident, Reason, Transition
from .incident import acknowledge as acknowledged
from .incident import unacknowledge as unacknowledged
from .matcher import Matcher
from .silence import Silence, silence_id, silence_problem

ACKNOWLEDGE, UNACKNOWLEDGE = "acknowledge", "unacknowledge"
"""What stands on record when somebody has acknowledged something, or has taken it back."""

FALSE_PAGES_MIN = 3
FALSE_SHARE = 0.5
"""A rule keeps being false with so many pages marked false, and at least this share of those that were marked."""

NAME_LENGTH_MAX = 200
"""How long the name of a person may be, and a comment five times that."""


class UnknownError(AlertError):
    """There is no such incident, silence, rollback or lock."""


class MalformedError(AlertError):
    """What is asked for could never be done, whatever there is."""


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """How often a rule woke somebody, and how often people said that it was right or false to."""

    rule: str
    pages: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float | None:
        """The share of right ones among those that somebody has judged; nothing where nobody has."""
        judged = self.right + self.wrong
        return self.right / judged if judged else None

    @property
    def keeps_being_false(self) -> bool:
        """Whether people keep saying that it woke them for nothing."""
        return self.wrong >= FALSE_PAGES_MIN and self.wrong >= FALSE_SHARE * (self.right + self.wrong)


def acknowledge(session: Session, incident_id: str, by: str, now: datetime) -> Transition:
    """What it did that ``by`` sees to this incident. Raises AlertError when there is no such incident, or no name."""
    incident = found(session, incident_id)
    transition = acknowledged(incident, person(by), now)
    if transition.reason is Reason.ACKNOWLEDGED and transition.incident is not None:
        store.save_incident(session, transition.incident)
        group_store.look_again(session, now, incident.id)
    why = f"{transition.reason.value}: {by}"
    record(session, now, ACKNOWLEDGE, why, key=incident.key, incident_id=incident.id)
    return transition


def unacknowledge(session: Session, incident_id: str, by: str, now: datetime) -> Transition:
    """What it did that nobody sees to this incident any more, as ``by`` says. Raises AlertError when there is none."""
    incident = found(session, incident_id)
    transition = unacknowledged(incident, now)
    if transition.reason is Reason.UNACKNOWLEDGED and transition.incident is not None:
        store.save_incident(session, transition.incident)
        group_store.look_again(session, now, incident.id)
    why = f"{transition.reason.value}: {person(by)}"
    record(session, now, UNACKNOWLEDGE, why, key=incident.key, incident_id=incident.id)
    return transition


def mark(session: Session, incident_id: str, is_true: bool, by: str, now: datetime) -> Incident:
    """The incident, of which somebody has said whether something was wrong. Raises AlertError when there is none."""
    incident = found(session, incident_id)
    marked = replace(incident, is_true=is_true)
    store.save_incident(session, marked)
    why = f"by {person(by)}: {'something was wrong' if is_true else 'nothing was wrong'}"
    record(session, now, "marked", why, key=incident.key, incident_id=incident.id)
    return marked


def silence(
    session: Session,
    matchers: Sequence[Matcher],
    author: str,
    comment: str,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> Silence:
    """The silence that now holds, or will from ``starts_at``. Raises AlertError with what is wrong with it."""
    chosen, name = tuple(matchers), author.strip()[:NAME_LENGTH_MAX]
    if problem := silence_problem(chosen, name, starts_at, ends_at):
        raise MalformedError(problem)
    if ends_at <= now:
        raise MalformedError("a silence must end after now")
    new_id = silence_id(chosen, name, starts_at, now)
    comment = comment.strip()[: 5 * NAME_LENGTH_MAX]
    added = Silence(new_id, chosen, name, comment, starts_at, ends_at, now)
    silence_store.save_silence(session, added)
    group_store.look_again(session, now)
    return added


def expire(session: Session, silence_id: str, by: str, now: datetime) -> Silence:
    """The silence, which ``by`` ends now. Raises AlertError when there is none, it was over, or there is no name."""
    who = person(by)
    known = silence_store.silence(session, silence_id)
    if known is None:
        raise UnknownError(
            f"there is no silence {silence_id!r}; `anchorwatch alerts silence list` shows them"
        )
    if known.ends_at <= now:
        ending = f"{known.ended_by} ended it" if known.ended_by else "it was over"
        raise AlertError(
            f"silence {silence_id} holds no more: {ending} at {known.ends_at:%Y-%m-%d %H:%M} UTC"
        )
    ended = replace(known, starts_at=min(known.starts_at, now), ends_at=now, ended_by=who)
    silence_store.save_silence(session, ended)
    group_store.look_again(session, now)
    return ended


def would_silence(session: Session, matchers: Iterable[Matcher], now: datetime) -> tuple[Incident, ...]:
    """The open incidents that a silence with these matchers would hold now."""
    asked = Silence("", tuple(matchers), "", "", now, now, now)
    return tuple(incident for incident in store.open_incidents(session) if asked.fits(incident))


def rule_records(session: Session, since: datetime) -> tuple[RuleRecord, ...]:
    """How right each rule was that woke somebody since then, the most false first."""
    return records_of(store.pages_since(session, since))


def records_of(pages: Iterable[Incident]) -> tuple[RuleRecord, ...]:
    """How right each rule was that made these pages, the most false first. A rule is two parts of the key."""
    records: dict[str, RuleRecord] = {}
    for incident in pages:
        rule = "/".join(incident.key.split("/")[:2])
        known = records.get(rule, RuleRecord(rule))
        records[rule] = replace(
            known,
            pages=known.pages + 1,
            right=known.right + (incident.is_true is True),
            wrong=known.wrong + (incident.is_true is False),
        )
    return tuple(sorted(records.values(), key=lambda one: (-one.wrong, -one.pages, one.rule)))


def found(session: Session, incident_id: str) -> Incident:
    """The incident with this id, or the latest one with this key. Raises AlertError when there is none."""
    incident = store.incident(session, incident_id) or store.latest_of(session, incident_id)
    if incident is None:
        raise UnknownError(
            f"there is no incident {incident_id!r}: name one by its id or its key; `anchorwatch alerts list --all`"
        )
    return incident


def person(by: str) -> str:
    """The name of who does something. Raises AlertError when there is none."""
    if not by.strip():
        raise MalformedError("say who does it, so that the others know whom to ask")
    return by.strip()[:NAME_LENGTH_MAX]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody said that they see to an incident, or with ``is_back`` that nobody does any more."""

    key: str
    incident_id: str
    by: str
    at: datetime
    is_back: bool = False


def acknowledgements(session: Session) -> tuple[Acknowledged, ...]:
    """Who has acknowledged what, and taken it back, in the order in which they did."""
    found = [
        Acknowledged(one.key, one.incident_id, by, one.first_at, is_back=what == UNACKNOWLEDGE)
        for what, done in ((ACKNOWLEDGE, Reason.ACKNOWLEDGED), (UNACKNOWLEDGE, Reason.UNACKNOWLEDGED))
        for one in taken(session, what)
        if one.incident_id is not None and (by := one.why.removeprefix(f"{done.value}: ")) != one.why
    ]
    return tuple(sorted(found, key=lambda one: one.at))
