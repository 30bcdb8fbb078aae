"""Once a minute: who is silent, what is refused and what is lost, and what the alert arm is told of it."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Protocol

from sqlmodel import Session

import alerts.store as alert_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from dashboards.view import Hearing

from ..inhibiting.inhibitions import BROKEN, EXTENT, INGEST, NO_TRAFFIC, PARTLY, SERVICE, SILENCE, SPANS
from ..traffic.silence.active_minutes import ALL, ActiveMinutes
from ..traffic.silence.config import SilenceConfig
from ..traffic.silence.ingest_counts import IngestCounts
from ..traffic.silence.judging import (
    Extent,
    Heard,
    Intaking,
    Listening,
    SpanLoss,
    expect,
    hear,
    hear_all,
    judge_intake,
    judge_losses,
)
from ..traffic.silence.rhythm import Rhythm, learn
from ..traffic.windows.series import MINUTE_S, minute_of

KEY = "silence/"
"""How the keys of all incidents of silence begin."""

LOOK_EVERY_S = 55.0
"""A look that comes sooner after the last one says what that one said."""

KEEP_FIRING_S = 300.0
"""How long it must be over before an incident of silence ends."""

LEARN_EVERY_S = 3_600.0
"""How often rhythms are learned again, and late calls of a whole day read."""

READ_S = 2 * 3_600
"""How far back each look reads: few calls come later than that."""

READ_LATE_S = 25 * 3_600
DAY_S = 86_400

INTAKE_S = 300.0
"""How far back requests are looked at."""

LOSS_S = 900.0
"""How far back the losses of spans are looked at."""

FORGOTTEN_S = 3_600.0
"""When nobody has sent anything for so long, nobody is refused any more."""

LAG_MAX_S = 1_800.0
"""So long at most is waited for calls of a service whose calls have come late."""


class Minutes(Protocol):
    """Where it is known in which minutes there were calls."""

    async def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        """The minutes, both ends included, in which a service had calls: each with the service's name."""


@dataclass(frozen=True, slots=True)
class SilenceLook:
    """What one look said."""

    at: datetime
    intake: Intaking
    traffic: Heard
    services: tuple[Heard, ...]
    losses: tuple[SpanLoss, ...]
    is_settled: bool
    """Whether the daemon listens for so long that what it has not counted was not there."""
    left_out: int = 0
    """How many services are too many to be told apart."""

    def verdicts(
        self, session: Session, config: SilenceConfig, notify: tuple[str, ...]
    ) -> list[tuple[Verdict, AlertRule]]:
        """The verdicts that the alert arm takes, as loud as ``config`` says, those first that inhibit others.

        Open incidents of what is not looked at any more end, for nothing else would say that they are over.
        """
        severity = Severity[config.severity.upper()]
        found = [_intake_verdict(self.intake, severity), _heard_verdict(self.traffic, severity)]
        for one in self.services:
            known = config.of(one.service)
            own = Severity[known.severity.upper()] if known and known.severity else severity
            found.append(_heard_verdict(one, own))
        found += [_loss_verdict(one) for one in self.losses]
        keys = {one.key for one in found}
        for incident in alert_store.open_below(session, KEY):
            if incident.key not in keys:
                label = Label.STEADY if self.is_settled else Label.NO_DATA
                found.append(Verdict(incident.key, label, note="There is nothing to look at any more"))
        rule = AlertRule(keep_firing_s=KEEP_FIRING_S, notify=notify)
        return [(one, rule) for one in found]


class SilenceWatch:
    """Remembers what it needs from look to look: rhythms, how late calls come, and what was counted of late."""

    def __init__(
        self, config: SilenceConfig, minutes: Minutes, counts: IngestCounts, every_s: float = 60.0
    ) -> None:
        """Look at ``minutes`` and ``counts``, about every ``every_s``; the first look reads the history."""
        self._config = config
        self._source = minutes
        self._counts = counts
        self._holidays = frozenset(config.holidays)
        self._over_s = max(INTAKE_S, 3 * every_s)
        self._pause_s = self._over_s + every_s
        self._active: ActiveMinutes | None = None
        self._rhythms: dict[str, Rhythm] = {}
        self._learned_s = 0.0
        self._since_s = 0.0
        self._last: SilenceLook | None = None
        self._lags: dict[str, tuple[float, float]] = {}
        self._counted: deque[tuple[float, IngestCounts]] = deque()

    async def look(self, now: datetime) -> SilenceLook:
        """What is silent, refused or lost now."""
        passed_s = (now - self._last.at).total_seconds() if self._last else None
        if self._last and passed_s is not None and 0 <= passed_s < LOOK_EVERY_S:
            return self._last
        now_s = now.timestamp()
        if passed_s is None or not 0 <= passed_s <= self._pause_s:
            # Nobody listened meanwhile, or the clock was set: what did not come in then says nothing.
            self._since_s = now_s
            self._counted.clear()
        active = await self._read(now_s)
        self._count(now_s)
        lately = self._gain(now_s, INTAKE_S).spans
        services = tuple(
            _with_spans(self._hear(active, name, now_s), lately[name]) for name in self._names(active)
        )
        total = hear(ALL, active, self._rhythms[ALL], self._listening(ALL), now_s)
        self._last = SilenceLook(
            now,
            self._intake(now_s),
            hear_all(total, services),
            services,
            tuple(judge_losses(self._gain(now_s, LOSS_S))),
            is_settled=now_s - self._since_s >= LOSS_S,
            left_out=len(active.left_out),
        )
        return self._last

    def _names(self, active: ActiveMinutes) -> list[str]:
        expected = (one.service for one in self._config.services if one.within is not None)
        return sorted({*active.services, *expected})

    def _hear(self, active: ActiveMinutes, service: str, now_s: float) -> Heard:
        known = self._config.of(service)
        if known and known.within is not None:
            return expect(service, known.within, active, self._listening(service), now_s)
        if self._config.ignores(service):
            return Heard(service, Hearing.IGNORED, f"{service} is not judged: the configuration says so")
        return hear(service, active, self._rhythms[service], self._listening(service), now_s)

    def _listening(self, service: str) -> Listening:
        lag_s, _ = self._lags.get(service, (0.0, 0.0))
        return Listening(self._since_s, lag_s)

    # Minutes with calls

    async def _read(self, now_s: float) -> ActiveMinutes:
        """Bring the minutes with calls up to date, and from time to time what is learned from them."""
        # What takes long with many services is done in a thread, so that nobody else is held up.
        now_minute = minute_of(now_s)
        is_due = not 0 <= now_s - self._learned_s < LEARN_EVERY_S
        if self._active is None or now_minute < self._active.origin:  # the clock went back by weeks
            self._active = ActiveMinutes(now_minute)
            for first in range(self._active.origin, now_minute + MINUTE_S, DAY_S):
                last = first + DAY_S - MINUTE_S
                found = await self._source.active_minutes(first, last)
                await asyncio.to_thread(self._active.renew, first, last, found)
        else:
            self._active.advance(now_minute)
            back_s = READ_LATE_S if is_due else READ_S
            first = now_minute - back_s
            found = await self._source.active_minutes(first, now_minute)
            self._note_lags(self._active, found, now_s)
            await asyncio.to_thread(self._active.renew, first, now_minute, found)
        new = {ALL, *self._active.services} - set(self._rhythms)
        for service in {ALL, *self._active.services} if is_due else new:
            flags = self._active.of(service)
            self._rhythms[service] = await asyncio.to_thread(
                learn, flags, self._active.origin, self._holidays
            )
        if is_due:
            self._learned_s = now_s
        return self._active

    def _note_lags(self, active: ActiveMinutes, found: set[tuple[int, str]], now_s: float) -> None:
        """Remember of each service, for a day, how late the first calls after a pause came at worst."""
        last = {name: active.last(name) for name in (ALL, *active.services)}
        first_new: dict[str, int] = {}
        for minute, service in found:
            for name in {service, ALL}:
                before = last.get(name)
                if before is not None and minute > before:
                    first_new[name] = min(minute, first_new.get(name, minute))
        for name, minute in first_new.items():
            lag_s = min(max(0.0, now_s - (minute + MINUTE_S)), LAG_MAX_S)
            known, noted_s = self._lags.get(name, (0.0, 0.0))
            if lag_s >= known or now_s - noted_s > DAY_S:
                self._lags[name] = (lag_s, now_s)

    # Requests and spans

    def _count(self, now_s: float) -> None:
        self._counted.append((now_s, self._counts.copy()))
        while self._counted[0][0] < now_s - FORGOTTEN_S - self._over_s:
            self._counted.popleft()

    def _gain(self, now_s: float, over_s: float) -> IngestCounts:
        """What was counted in the last ``over_s``."""
        return self._counts.since(self._from(now_s, over_s)[0][1])

    def _from(self, now_s: float, over_s: float) -> list[tuple[float, IngestCounts]]:
        # Looks are not on the dot.
        return [one for one in self._counted if one[0] >= now_s - over_s - LOOK_EVERY_S / 2]

    def _intake(self, now_s: float) -> Intaking:
        looks, kept = self._from(now_s, self._over_s), list(self._counted)
        whole = judge_intake(_by_look(kept), now_s - kept[0][0])
        if whole.extent is Extent.BROKEN and whole.share == 1:
            # A sender that tries every few minutes is refused just the same.
            return whole
        found = judge_intake(_by_look(looks), now_s - looks[0][0])
        is_forgotten = whole.extent is Extent.UNKNOWN and now_s - kept[0][0] >= FORGOTTEN_S
        return replace(found, extent=Extent.NONE) if is_forgotten else found


def _by_look(looks: Sequence[tuple[float, IngestCounts]]) -> list[Counter[int]]:
    return [later.requests - earlier.requests for (_, earlier), (_, later) in pairwise(looks)]


def _with_spans(one: Heard, spans: int) -> Heard:
    """A silent service, with what tells a dead exporter from one that has no calls to tell of."""
    if one.hearing is not Hearing.SILENT or not spans:
        return one
    line = ("spans without a call that counts", f"{spans} in the last minutes: its exporter lives")
    return replace(one, evidence=(*one.evidence, line))


def _heard_verdict(one: Heard, severity: Severity) -> Verdict:
    is_all = one.service == ALL
    key = f"{KEY}traffic" if is_all else f"{KEY}service/{one.service}"
    if one.hearing is Hearing.HELD:
        return Verdict(key, Label.NO_DATA, note=one.reason)
    if one.hearing is not Hearing.SILENT:
        return Verdict(key, Label.STEADY, note=one.reason)
    labels = {SILENCE: NO_TRAFFIC} if is_all else {SILENCE: SERVICE, "service": one.service}
    finding = Finding(severity, Source.SELF_CHECK, one.reason, labels, one.evidence)
    return Verdict(key, Label.BREACHED, finding)


def _intake_verdict(one: Intaking, severity: Severity) -> Verdict:
    key = f"{KEY}ingest"
    if one.extent is Extent.UNKNOWN:
        return Verdict(key, Label.NO_DATA, note=one.reason)
    if one.extent is Extent.NONE:
        return Verdict(key, Label.STEADY, note=one.reason)
    is_broken = one.extent is Extent.BROKEN
    labels = {SILENCE: INGEST, EXTENT: BROKEN if is_broken else PARTLY}
    loud = severity if is_broken else Severity.TICKET
    return Verdict(key, Label.BREACHED, Finding(loud, Source.SELF_CHECK, one.reason, labels, one.evidence))


def _loss_verdict(one: SpanLoss) -> Verdict:
    key = f"{KEY}spans/{one.service}"
    if not one.reason:
        return Verdict(key, Label.STEADY)
    labels = {SILENCE: SPANS, "service": one.service}
    finding = Finding(Severity.TICKET, Source.SELF_CHECK, one.reason, labels, one.evidence)
    return Verdict(key, Label.BREACHED, finding)
