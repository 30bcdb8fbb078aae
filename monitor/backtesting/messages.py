"""The messages of a backtest beside those that were sent live: the same byte for byte, new, or gone."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from alerts.finding import Severity
from alerts.incident import NoticeKind
from alerts.message import Notification

QUARTER_DAYS = 91.25

SAME_WITHIN_S = 3600.0
"""An alarm about a key counts as the same as one that was sent live this much earlier or later at most."""

_ALARMS = (NoticeKind.FIRING, NoticeKind.ESCALATED)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A thread that told people of something for the first time: a page, or a ticket."""

    at: datetime
    key: str
    severity: Severity
    summary: str


@dataclass(frozen=True, slots=True)
class Log:
    """A list of messages, in the order of their times."""

    messages: tuple[Notification, ...]
    alarms: tuple[Alarm, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """One line of JSON for each message: all that is decided about it, and nothing of how it was delivered."""
        return tuple(map(line_of, self.messages))

    def count(self, severity: Severity) -> int:
        """How many pages there are, or tickets."""
        return sum(one.severity is severity for one in self.alarms)


@dataclass(frozen=True, slots=True)
class Compared:
    """A backtest beside the live log of the same time."""

    first: datetime
    last: datetime
    proposed: Log
    live: Log
    is_same: bool
    new: tuple[Alarm, ...]
    gone: tuple[Alarm, ...]
    runs: int = 0
    looks: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def days(self) -> float:
        """How long that was."""
        return max((self.last - self.first).total_seconds() / 86_400, 1 / 24)

    def a_quarter(self, alarms: int) -> float:
        """How many that would be in a quarter, at the rate of this time."""
        return alarms * QUARTER_DAYS / self.days


def log_of(messages: Iterable[Notification], since: datetime, until: datetime) -> Log:
    """The messages of this time, in an order that is the same however they came to be in the outbox."""
    ordered = sorted(messages, key=lambda one: (one.message.created_at, one.id))
    alarms: dict[str, Alarm] = {}
    for one in ordered:
        told = one.message
        thread = told.group_id or one.id
        if told.kind not in _ALARMS or told.severity is Severity.INFO:
            continue
        if thread not in alarms or told.severity > alarms[thread].severity:
            alarms[thread] = Alarm(told.created_at, told.key, told.severity, told.summary)
    return Log(
        tuple(one for one in ordered if since <= one.message.created_at <= until),
        tuple(one for one in alarms.values() if since <= one.at <= until),
    )


def line_of(one: Notification) -> str:
    """What was decided about a message, as a line of JSON: to whom, and the message as it is sent."""
    told = {"to": one.receiver, "message": orjson.loads(one.message.to_json())}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


def without(alarms: Sequence[Alarm], others: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """The alarms that have no like among ``others``: of the same key and as loud, at about the same time."""
    left, found = list(others), []
    for one in alarms:
        like = next((other for other in left if _is_like(one, other)), None)
        if like is None:
            found.append(one)
        else:
            left.remove(like)
    return tuple(found)


def _is_like(one: Alarm, other: Alarm) -> bool:
    apart_s = abs((one.at - other.at).total_seconds())
    return (one.key, one.severity) == (other.key, other.severity) and apart_s <= SAME_WITHIN_S


def changed_lines(compared: Compared) -> tuple[str, ...]:
    """The lines that are in one of the logs only, in the order of time: ``-`` before those of the live log."""
    live, proposed = compared.live, compared.proposed
    here, there = Counter(proposed.lines), Counter(live.lines)
    found = [
        (one.message.created_at, one.id, f"{sign} {line}")
        for sign, log, others in (("-", live, here), ("+", proposed, there))
        for one, line in zip(log.messages, log.lines, strict=True)
        if line not in others
    ]
    return tuple(line for _, _, line in sorted(found))


def to_json(compared: Compared) -> str:
    """All of it for machines."""
    plain = {
        "since": compared.first,
        "until": compared.last,
        "runs": compared.runs,
        "looks": compared.looks,
        "same": compared.is_same,
        "proposed": _plain(compared, compared.proposed),
        "live": _plain(compared, compared.live),
        "new": [_alarm(one) for one in compared.new],
        "gone": [_alarm(one) for one in compared.gone],
        "notes": compared.notes,
    }
    return orjson.dumps(plain).decode()


def _plain(compared: Compared, log: Log) -> dict[str, object]:
    pages, tickets = log.count(Severity.PAGE), log.count(Severity.TICKET)
    return {
        "pages": pages,
        "tickets": tickets,
        "pages_per_quarter": round(compared.a_quarter(pages), 2),
        "tickets_per_quarter": round(compared.a_quarter(tickets), 2),
        "messages": [orjson.loads(line) for line in log.lines],
    }


def _alarm(one: Alarm) -> dict[str, object]:
    return {"at": one.at, "key": one.key, "severity": one.severity.name, "summary": one.summary}
