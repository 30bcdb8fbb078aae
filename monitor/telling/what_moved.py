"""What moved and when, of an incident that people are told of: the chart that goes with its first message."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts.finding import Source
from alerts.incident import Incident
from alerts.message import Message
from canaries.baseline import BaselineStatus
from dashboards.charts import Chart

from ..canary_flow.baseline_life import baseline_of
from ..config import Deployment
from ..drift import incident_key as drift_key
from ..drift import subject
from ..traffic import store as traffic_store
from ..traffic.roll_ups import Resolution
from ..traffic.watches.config import Looks, WatchConfig
from ..traffic.watches.judging import judge, needs
from ..traffic.watches.match import matches
from ..traffic.watches.measures import Unit, show
from ..traffic.windows.series import MINUTE_S, minute_of
from ..traffic.windows.window import Window
from ..traffic_flow.watch_traffic import incident_key as watch_key
from ..watched import House

RUNS_SHOWN = 60
"""How many runs the picture of a score shows."""

POINTS = 60
"""How many values of a watch are worked out."""

SPANS = 12
"""How many times as long as its look-back a watch is shown; an hour at least."""

SPAN_MIN_S, SPAN_MAX_S = 3_600, 86_400
"""How much time the picture of a watch shows."""

WINDOWS_MAX = 20_000
"""How many windows are read for a picture: the oldest are left out when there are more."""

USUAL = 0.9
"""The share of the baseline's runs that lie in the band."""


@dataclass(frozen=True, slots=True)
class WhatMoved:
    """What there is to draw of the incidents of a deployment."""

    deployment: Deployment
    house: House

    def chart(self, session: Session, message: Message) -> Chart | None:
        """The chart of what the message is about first; ``None`` where there is no line to draw.

        There is one of a score that drifts and of a watch with a threshold on a measure or a share.
        """
        incident = alert_store.incident(session, message.incident_id) if message.incident_id else None
        if incident is None:
            return None
        if incident.finding.source is Source.LEDGER:
            return self._score(session, incident)
        watches = {watch_key(one): one for one in self.deployment.config.watches}
        watch = watches.get(incident.key)
        if watch is None or watch.bets is not None or watch.looks not in (Looks.MEASURE, Looks.SHARE):
            return None
        return watch_chart(session, watch, incident, message.created_at)

    def _score(self, session: Session, incident: Incident) -> Chart | None:
        """The leading score over the last runs, with where the baseline's runs lie."""
        target, score = incident.labels.get("target", ""), subject(incident.finding)
        suite = self.deployment.suites.get(target)
        if suite is None or incident.key != drift_key(target):
            return None
        baseline = baseline_of(session, target, suite.name)
        if baseline is None or baseline.status is not BaselineStatus.FROZEN:
            return None
        points = canary_store.score_series(session, baseline.id, score, RUNS_SHOWN)
        if not points:
            return None
        frozen = self.house.frozen_baseline(session, baseline.id)
        usual = sorted(value for value, _, _ in frozen.calibration.get(score, ()) if value == value)
        return Chart(
            title=f"{target} has drifted: {score}",
            subtitle=f"{frozen.describe().get(score, 'a score')}; a point is a run",
            axis=f"{score} (score of a run)",
            points=[(one.at, one.value) for one in points],
            moment=_moment(incident),
            moment_said=_told(incident),
            band=_band(usual),
            band_said=f"where {USUAL:.0%} of {len(usual)} runs of the baseline lie",
            dots=True,
        )


def watch_chart(session: Session, watch: WatchConfig, incident: Incident, now: datetime) -> Chart | None:
    """What the watch saw, from one look-back to the next, up to ``now``; ``None`` where it saw nothing."""
    span_s = min(max(SPAN_MIN_S, SPANS * watch.over), SPAN_MAX_S)
    step_s = ceil(span_s / POINTS / MINUTE_S) * MINUTE_S
    moments = [now - timedelta(seconds=step_s * back) for back in reversed(range(int(span_s // step_s) + 1))]
    windows = _windows(session, watch, needs(watch, moments[0])[0], minute_of(now.timestamp()))
    values = _values(watch, windows, moments)
    limit = watch.above if watch.above is not None else watch.below
    unit = watch.measure.unit
    if limit is None or all(value is None for value in values):
        return None
    calls = ", ".join(f"{name} {value}" for name, value in incident.labels.items() if name != "watch")
    return Chart(
        title=f"{watch.name}: {watch.measure.value}",
        subtitle=f"of the {_minutes(watch.over)} before each moment" + (f"; {calls}" if calls else ""),
        axis=f"{watch.measure.value} ({'% of calls' if unit is Unit.SHARE else unit.value})",
        points=list(zip(moments, values, strict=True)),
        moment=_moment(incident),
        moment_said=_told(incident),
        limit=limit,
        limit_said=f"threshold: {'above' if watch.above is not None else 'below'} {show(limit, unit)}",
        is_share=unit is Unit.SHARE,
    )


def _values(watch: WatchConfig, windows: Sequence[Window], moments: Sequence[datetime]) -> list[float | None]:
    """What the watch saw at each moment, of windows that are in the order of time."""
    starts, values = [one.minute for one in windows], []
    for at in moments:
        first, last = needs(watch, at)
        mine = windows[bisect_left(starts, first) : bisect_right(starts, last)]
        values.append(judge(watch, mine, at).value)
    return values


def _windows(session: Session, watch: WatchConfig, first: int, last: int) -> list[Window]:
    """The newest stored windows of the calls that the watch looks at, in the order of time."""
    known = traffic_store.ids_by_series(session, Resolution.MINUTE, first, last + MINUTE_S)
    ids = sorted(one for series, found in known.items() if matches(watch.match, series) for one in found)
    ids = ids[-WINDOWS_MAX:]
    pages = (ids[at : at + traffic_store.IDS_MAX] for at in range(0, len(ids), traffic_store.IDS_MAX))
    windows = [one for page in pages for one in traffic_store.windows_of(session, Resolution.MINUTE, page)]
    return sorted(windows, key=lambda one: one.minute)


def _band(usual: Sequence[float]) -> tuple[float, float] | None:
    if len(usual) < 2:
        return None
    outside = int(len(usual) * (1 - USUAL) / 2)
    return usual[outside], usual[-1 - outside]


def _moment(incident: Incident) -> datetime:
    return incident.firing_since or incident.opened_at


def _told(incident: Incident) -> str:
    return f"{incident.severity.name.lower()} at {_moment(incident).astimezone(UTC):%H:%M}"


def _minutes(seconds: float) -> str:
    minutes = ceil(seconds / MINUTE_S)
    return "minute" if minutes == 1 else f"{minutes} minutes"
