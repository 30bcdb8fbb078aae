"""The status in sentences: the headline, what was done about an incident, times and quantities in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.finding import Severity
from dashboards.view import (
    DeliveryState,
    DeploymentStatus,
    IncidentState,
    IncidentStatus,
    NotificationStatus,
    RollbackState,
    RollbackStatus,
    TargetState,
    WatchState,
)

OFF = (WatchState.PENDING, WatchState.FIRING, WatchState.ACKNOWLEDGED)
"""The states in which a watch is beyond its threshold."""

SCALES_S = ((86_400.0, "day"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


UNWATCHED = (
    (TargetState.DOWN, "does not answer", "do not answer"),
    (
        TargetState.REFUSED,
        "is not compared: it is not what its baseline was made of",
        "are not compared: they are not what their baselines were made of",
    ),
)
"""The states in which a target is not under watch, with what to say of one and of many, the worst first."""


class Tone(StrEnum):
    """How a sentence is to be read; the page colours by it."""

    CALM = "calm"
    LEARNING = "learning"
    CAUTION = "caution"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer to "is everything at anchor?", and one sentence more."""

    tone: Tone
    text: str
    detail: str = ""


def headline(status: DeploymentStatus) -> Headline:
    """What a person must know first: the worst thing that is true, else that all is well."""
    trouble = (
        _open_incidents(status)
        or _silent_targets(status)
        or _watches_off(status)
        or _undelivered(status)
        or _problems(status)
    )
    return (
        trouble
        or _nothing_watched(status)
        or _learning(status)
        or _nothing_seen(status)
        or _at_anchor(status)
    )


def _open_incidents(status: DeploymentStatus) -> Headline | None:
    opened = [incident for incident in status.incidents if incident.is_open]
    firing = [incident for incident in opened if incident.state is IncidentState.FIRING]
    pages = [incident for incident in firing if incident.severity is Severity.PAGE]
    if pages:
        detail = pages[0].summary if len(pages) == 1 else _names(pages)
        return Headline(
            Tone.ALARM, f"Not at anchor: {counted(len(pages), 'page is', 'pages are')} firing.", detail
        )
    if firing:
        return Headline(
            Tone.CAUTION, f"{counted(len(firing), 'ticket is', 'tickets are')} open.", _names(firing)
        )
    acknowledged = [incident for incident in opened if incident.state is IncidentState.ACKNOWLEDGED]
    if acknowledged:
        text = f"{counted(len(acknowledged), 'incident is', 'incidents are')} acknowledged and not over."
        return Headline(Tone.CAUTION, text, _names(acknowledged))
    if opened:
        text = f"{counted(len(opened), 'finding is', 'findings are')} being confirmed."
        return Headline(Tone.CAUTION, text, _names(opened))
    return None


def _names(incidents: Sequence[IncidentStatus]) -> str:
    return " · ".join(incident.subject or incident.key for incident in incidents)


def _silent_targets(status: DeploymentStatus) -> Headline | None:
    for state, one, many in UNWATCHED:
        names = [target.name for target in status.targets if target.state is state]
        if names:
            text = f"{counted(len(names), 'target')} {one if len(names) == 1 else many}."
            return Headline(Tone.CAUTION, text, " · ".join(names))
    return None


def _watches_off(status: DeploymentStatus) -> Headline | None:
    off = [watch.name for watch in status.watches if watch.state in OFF]
    if not off:
        return None
    text = f"{counted(len(off), 'watch is', 'watches are')} beyond the threshold."
    return Headline(Tone.CAUTION, text, " · ".join(off))


def _undelivered(status: DeploymentStatus) -> Headline | None:
    if not status.outbox.failed:
        return None
    text = f"{counted(status.outbox.failed, 'message')} could not be delivered."
    return Headline(Tone.CAUTION, text, "Nothing is off anchor now, but a page might not reach you.")


def _problems(status: DeploymentStatus) -> Headline | None:
    if not status.problems:
        return None
    text = f"The watch itself has {counted(len(status.problems), 'problem')}."
    return Headline(Tone.CAUTION, text, status.problems[0])


def _nothing_watched(status: DeploymentStatus) -> Headline | None:
    if status.targets or status.watches:
        return None
    return Headline(
        Tone.LEARNING,
        "Nothing is under watch yet.",
        "Name a target or a watch in anchorwatch.yaml, then restart.",
    )


def _learning(status: DeploymentStatus) -> Headline | None:
    learning = [target for target in status.targets if target.state is TargetState.COLLECTING]
    if not learning:
        return None
    collected, needed = sum(t.runs_collected for t in learning), sum(t.runs_needed for t in learning)
    detail = f"{collected} of {needed} baseline runs are in: {' · '.join(t.name for t in learning)}"
    if len(learning) == len(status.targets):
        return Headline(Tone.LEARNING, "Learning where the anchor lies.", detail)
    others = len(status.targets) - len(learning)
    text = f"{counted(others, 'target is', 'targets are')} at anchor, {len(learning)} still learning."
    return Headline(Tone.LEARNING, text, detail)


def _nothing_seen(status: DeploymentStatus) -> Headline | None:
    if status.targets or any(watch.state is not WatchState.NO_DATA for watch in status.watches):
        return None
    return Headline(Tone.LEARNING, "No traffic to watch yet.", "Point an OTLP exporter at this daemon.")


def _at_anchor(status: DeploymentStatus) -> Headline:
    quiet = sum(watch.state is WatchState.NO_DATA for watch in status.watches)
    parts = [counted(len(status.targets), "target")] if status.targets else []
    parts += [counted(len(status.watches), "watch", "watches")] if status.watches else []
    silence = f" {counted(quiet, 'watch sees', 'watches see')} no traffic." if quiet else ""
    return Headline(Tone.CALM, "Everything is at anchor.", f"{' and '.join(parts)}, nothing off.{silence}")


def done_about(
    incident: IncidentStatus, rollbacks: Sequence[RollbackStatus], now: datetime
) -> tuple[str, ...]:
    """What was done about the incident, a sentence each: who was told, and what became of the rollback."""
    told = [_told(notification, now) for notification in incident.notifications]
    asked = [_rolled_back(rollback, now) for rollback in rollbacks if rollback.incident_id == incident.id]
    if incident.state is IncidentState.PENDING and not told:
        return ("Nobody is told before it is confirmed.", *asked)
    return (*told, *asked) or ("Nobody is to be told: no receiver is named for it.",)


def _told(notification: NotificationStatus, now: datetime) -> str:
    tries = f" after {counted(notification.attempts, 'try', 'tries')}" if notification.attempts > 1 else ""
    why = f": {notification.error}" if notification.error else "."
    if notification.state is DeliveryState.SENT:
        when = f" {ago(notification.at, now)}" if notification.at else ""
        return f"{notification.receiver} was told{when}{tries}."
    if notification.state is DeliveryState.FAILED:
        return f"{notification.receiver} could not be told{tries}{why}"
    return f"A message to {notification.receiver} is waiting{tries}{why}"


ROLLBACK_WORDS = {
    RollbackState.ASKED: "waits for a person since",
    RollbackState.WAITING: "is waiting to be asked for",
    RollbackState.DELIVERED: "was asked for",
    RollbackState.REHEARSED: "was rehearsed only (dry run)",
    RollbackState.REFUSED: "was not asked for",
    RollbackState.FAILED: "could not be asked for",
}


def _rolled_back(rollback: RollbackStatus, now: datetime) -> str:
    why = f": {rollback.reason}" if rollback.reason else "."
    return f"Rollback {rollback.name} {ROLLBACK_WORDS[rollback.state]} {ago(rollback.at, now)}{why}"


def counted(count: int, one: str, many: str = "") -> str:
    """The count with its noun: ``1 page``, ``3 pages``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def span(seconds: float) -> str:
    """A length of time in its largest whole unit: ``12 s``, ``5 min``, ``3 days``."""
    size, name = next((scale for scale in SCALES_S if seconds >= scale[0]), SCALES_S[-1])
    whole = int(seconds // size)
    return f"{whole} {name}{'s' if name == 'day' and whole != 1 else ''}"


def ago(then: datetime, now: datetime) -> str:
    """When it was or will be, seen from now: ``5 min ago``, ``in 2 h``, ``just now``."""
    seconds = (now - then).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def moment(at: datetime) -> str:
    """The full time, for those who compare it with a log."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def quantity(value: float | None, unit: str) -> str:
    """A value as people say it: seconds below one as ms, shares as per cent, dollars with their sign."""
    if value is None:
        return "no data"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit == "share":
        return f"{value:.2%}"
    if unit == "USD":
        return f"${value:,.2f}" if abs(value) >= 1_000 else f"${value:.4g}"
    number = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"
    return f"{number} {unit}".rstrip()
