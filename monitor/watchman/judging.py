"""Whether the watch itself is as it should be: facts in, verdicts for the alert arm out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.receiver import ReceiverState, Standing
from dashboards.words import span

from .clocks import ClockFacts
from .config import WatchmanConfig
from .events import Event, Trouble

KEY = "watchman/"
"""How the keys of all these incidents begin."""

LABEL = "watchman"
"""The label that tells what is wrong with the watch."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that has to run: when it last did (or was left out on purpose), and when it is due next."""

    name: str
    what: str
    last_at: datetime | None
    due_at: datetime | None
    grace_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages wait for a receiver, and since when the first of them."""

    receiver: str
    messages: int
    since: datetime
    error: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of the data folder, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one look found."""

    duties: Sequence[Duty] = ()
    waiting: Sequence[Waiting] = ()
    disk: Disk | None = None
    clock: ClockFacts | None = None
    receivers: Sequence[Standing] = ()
    events: Mapping[Trouble, Event] = field(default_factory=dict)


def judge(facts: Facts, config: WatchmanConfig, now: datetime) -> list[Verdict]:
    """What each part of the watch deserves."""
    return [
        *(_of_duty(one, now) for one in facts.duties),
        *(_of_waiting(one, config, now) for one in facts.waiting),
        *([_of_disk(facts.disk, config)] if facts.disk else []),
        _of_clock(facts, config),
        *(_of_receiver(one, config, now) for one in facts.receivers),
        _of_event(Trouble.ABSENCE, facts.events, Severity.TICKET),
        # While it lasts nothing can be stored, so people hear of it directly; this is the record of it.
        _of_event(Trouble.DATABASE, facts.events, Severity.INFO),
    ]


def _of_duty(one: Duty, now: datetime) -> Verdict:
    key = f"{KEY}{Trouble.RUN}/{one.name}"
    if one.due_at is None or now - one.due_at <= timedelta(seconds=one.grace_s):
        return Verdict(key, Label.STEADY)
    last = f"last {_moment(one.last_at)}" if one.last_at else "never yet"
    summary = f"{one.what} did not run when it was due, at {_moment(one.due_at)}; it ran {last}."
    evidence = [("late by", span((now - one.due_at).total_seconds()))]
    if one.remark:
        evidence.append(("the last run", one.remark))
    return _breach(key, Trouble.RUN, Severity.TICKET, summary, evidence, one.labels)


def _of_waiting(one: Waiting, config: WatchmanConfig, now: datetime) -> Verdict:
    key = f"{KEY}{Trouble.OUTBOX}/{one.receiver}"
    age_s = (now - one.since).total_seconds()
    if age_s < config.ticket_after:
        return Verdict(key, Label.STEADY)
    severity = Severity.PAGE if age_s >= config.page_after else Severity.TICKET
    summary = f"Messages to {one.receiver} do not get out: the oldest waits since {_moment(one.since)}."
    evidence = [("waiting", str(one.messages)), ("oldest", span(age_s))]
    if one.error:
        evidence.append(("last answer", one.error))
    return _breach(key, Trouble.OUTBOX, severity, summary, evidence, {"receiver": one.receiver})


def _of_disk(disk: Disk, config: WatchmanConfig) -> Verdict:
    key = f"{KEY}{Trouble.DISK}"
    ticket, page = config.disk.ticket().of(disk.total), config.disk.page().of(disk.total)
    if disk.free >= max(ticket, page):
        return Verdict(key, Label.STEADY)
    is_page = disk.free < page
    limit = page if is_page else ticket
    summary = (
        f"The disk of the data folder fills: {_size(disk.free)} of {_size(disk.total)} are free. When it is full "
        "nothing can be stored: traces are refused, runs wait, and nobody is told of anything new."
    )
    evidence = [("free", _size(disk.free)), ("told below", _size(limit))]
    return _breach(key, Trouble.DISK, Severity.PAGE if is_page else Severity.TICKET, summary, evidence)


def _of_clock(facts: Facts, config: WatchmanConfig) -> Verdict:
    key = f"{KEY}{Trouble.CLOCK}"
    event, clock = facts.events.get(Trouble.CLOCK), facts.clock
    is_apart = clock is not None and abs(clock.apart_s) > config.clock_apart
    if clock is not None and is_apart:
        evidence = [(host, _apart(apart_s)) for host, apart_s in clock.hosts]
        return _breach(key, Trouble.CLOCK, Severity.TICKET, _apart_words(clock), evidence)
    if event is not None:
        return _breach(key, Trouble.CLOCK, Severity.TICKET, event.sentence, [])
    if clock is None:
        return Verdict(key, Label.STEADY, note="It was not set, and no server told its own time")
    return Verdict(
        key, Label.STEADY, note="It was not set, and agrees with those of the servers that we talk to"
    )


def _apart_words(clock: ClockFacts) -> str:
    said = f"{span(abs(clock.apart_s))} {'ahead of' if clock.apart_s < 0 else 'behind'}"
    if len(clock.hosts) == 1:
        [(host, _)] = clock.hosts
        return f"This machine's clock is {said} that of {host}, at least: one of the two is wrong."
    return (
        f"This machine's clock is {said} those of most of the {len(clock.hosts)} servers that we talk to, at least: "
        "times of calls, schedules and silences are wrong by as much."
    )


def _of_receiver(one: Standing, config: WatchmanConfig, now: datetime) -> Verdict:
    key = f"{KEY}{Trouble.RECEIVER}/{one.receiver}"
    labels = {"receiver": one.receiver}
    if one.state is ReceiverState.FAILING:
        summary = (
            f"{one.receiver} could not be reached at {_moment(one.failed_at)}, and nothing has arrived since."
        )
        evidence = [("answer", one.error), ("try it", f"anchorwatch alerts test {one.receiver}")]
        return _breach(key, Trouble.RECEIVER, Severity.TICKET, summary, evidence, labels)
    waited_s = (now - one.configured_at).total_seconds()
    if one.state is ReceiverState.UNCONFIRMED and waited_s >= config.unconfirmed_after:
        summary = (
            f"Nothing has ever arrived at {one.receiver} as it is set up since {_moment(one.configured_at)}: "
            "nobody knows whether a page would."
        )
        evidence = [("prove it", f"anchorwatch alerts test {one.receiver}")]
        return _breach(key, Trouble.RECEIVER, Severity.TICKET, summary, evidence, labels)
    return Verdict(key, Label.STEADY, note=one.said)


def _of_event(trouble: Trouble, events: Mapping[Trouble, Event], severity: Severity) -> Verdict:
    key, event = f"{KEY}{trouble}", events.get(trouble)
    if event is None:
        return Verdict(key, Label.STEADY, note="It is over")
    return _breach(key, trouble, severity, event.sentence, [("noticed", _moment(event.at))])


def _breach(
    key: str,
    trouble: Trouble,
    severity: Severity,
    summary: str,
    evidence: Sequence[tuple[str, str]],
    labels: Mapping[str, str] | None = None,
) -> Verdict:
    labels = {LABEL: trouble.value, **(labels or {})}
    return Verdict(
        key, Label.BREACHED, Finding(severity, Source.SELF_CHECK, summary, labels, tuple(evidence))
    )


def _apart(apart_s: float) -> str:
    return (
        "agrees" if not apart_s else f"{span(abs(apart_s))} {'ahead of us' if apart_s > 0 else 'behind us'}"
    )


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time"


def _size(count: int) -> str:
    return f"{count / 10**9:,.1f} GB" if count >= 10**9 else f"{count / 10**6:,.0f} MB"
