"""An incident's file in sentences: who was told and who was not, what keeps it quiet, what was just done."""

from collections.abc import Iterable

from alerts.finding import Severity
from dashboards.desk import HeldView, IncidentFile, IncidentLine, MessageLine
from dashboards.view import DeliveryState, IncidentState
from dashboards.words import moment

DONE = {
    "acknowledged": "You see to it from now on: no repeats and no escalation, until it is over or gets worse.",
    "before": "Somebody already sees to it; the first one stays on record.",
    "marked": "Kept. The precision of its rule is counted from this.",
    "silenced": "The silence stands below. What still fires when it is over is told then.",
    "approve": "Approved: the order is on its way, and people are told.",
    "reject": "Rejected: it is not sent for this incident, and people are told.",
    "lock": "Locked: it does not act until somebody unlocks it.",
    "unlock": "Unlocked: it may act again. What was held back meanwhile stays so.",
    "expired": "The silence is over. What still fires is told now.",
}
"""What is said after something was done, by the word for it that stands in the address."""


def told_answer(file: IncidentFile) -> str:
    """Whether people were told of it, whom it reached, and if nobody, why not."""
    sent = _receivers(file.messages, DeliveryState.SENT)
    failed = _receivers(file.messages, DeliveryState.FAILED) - sent
    waiting = _receivers(file.messages, DeliveryState.WAITING) - sent
    parts = [
        f"{_listed(sent)} {'was' if len(sent) == 1 else 'were'} told." if sent else "",
        f"{_listed(failed)} could not be told." if failed else "",
        f"A message to {_listed(waiting)} waits." if waiting else "",
    ]
    told = " ".join(part for part in parts if part)
    quiet = f"Now people are kept from hearing of it: {held_words(file.incident)}."
    if told:
        return f"{told} {quiet}" if file.incident.held else told
    return _untold(file)


def _untold(file: IncidentFile) -> str:
    incident = file.incident
    if incident.held:
        return f"Nobody was told: {held_words(incident)}."
    if incident.state is IncidentState.PENDING:
        return "Nobody is told before it is confirmed, and if it passes nobody ever is."
    waits = [group.due_at for group in file.groups if group.due_at is not None]
    if waits and incident.is_open:
        return f"Nobody was told yet: what belongs together is told together, at {moment(min(waits))}."
    if not any(group.receivers for group in file.groups):
        return "Nobody was told: no route or rule names anybody for it."
    return "Nobody was told; the last decision below says why."


def held_words(incident: IncidentLine) -> str:
    """What keeps people from hearing of it, each with its end."""
    return "; ".join(held_word(one) for one in incident.held)


def held_word(one: HeldView) -> str:
    """One thing that keeps people from hearing of an incident: ``silenced by silence 3f2a of ada, until ...``."""
    by = f"{one.why}: {one.by}" if " " in one.why else f"{one.why} by {one.by}"
    until = f", until {moment(one.until)} at most" if one.until else ""
    where = f" (for {', '.join(one.routes)} alone)" if one.routes else ""
    return by + until + where


def facts(incident: IncidentLine) -> tuple[str, ...]:
    """What a list says of it beside its state, a line each."""
    lines = [
        *(held_word(one) for one in incident.held),
        f"acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else "",
        f"no data since {moment(incident.no_data_since)}" if incident.no_data_since else "",
        f"over at {moment(incident.resolved_at)}" if incident.resolved_at else "",
        {True: "found right", False: "found a false alarm", None: ""}[incident.is_true],
    ]
    return tuple(line for line in lines if line)


def tone(incident: IncidentLine) -> str:
    """The colour of its state."""
    if not incident.is_open:
        return "calm"
    is_alarm = incident.state is IncidentState.FIRING and incident.severity is Severity.PAGE
    return "caution" if incident.held or not is_alarm else "alarm"


def _receivers(messages: Iterable[MessageLine], state: DeliveryState) -> set[str]:
    return {one.receiver for one in messages if one.state is state}


def _listed(names: Iterable[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last
