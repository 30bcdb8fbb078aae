"""From minute windows to verdicts: what each watch says of production traffic now, in the alert arm's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import alerts.store as alert_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule

from ..database import Database
from ..traffic.config import LOOK_BACK_MAX_S, WatchConfig
from ..traffic.intake import Intake
from ..traffic.series import MINUTE_S
from ..traffic.watches import Judgement, judge, look_back, show


@dataclass(frozen=True, slots=True)
class Look:
    """One watch, and what it said."""

    watch: WatchConfig
    judgement: Judgement

    def verdict(self) -> Verdict:
        """The verdict that the alert arm takes."""
        key = incident_key(self.watch)
        judgement = self.judgement
        if judgement.label is not Label.BREACHED:
            return Verdict(key, judgement.label, note=judgement.reason, is_doubtful=judgement.is_doubtful)
        # A fixed threshold is the operator's own word: no further evidence is needed for the rollback it names.
        return Verdict(key, Label.BREACHED, _finding(self.watch, judgement), wants_rollback=True)

    def rule(self) -> AlertRule:
        """When it becomes an incident, and who hears of it."""
        watch = self.watch
        return AlertRule(
            for_s=watch.for_,
            keep_firing_s=watch.keep_firing_s,
            notify=tuple(watch.notify),
            rollback=watch.rollback,
        )


def incident_key(watch: WatchConfig) -> str:
    """The key of the watch's incidents."""
    return f"watch/{watch.name}"


async def look(
    intake: Intake, watches: list[WatchConfig], now: datetime, ended: Mapping[str, datetime] | None = None
) -> list[Look]:
    """What every watch with a threshold says at ``now``, on one reading of the windows.

    ``ended`` tells when the last incident of a key ended, see ``last_ends``.
    """
    watches = [watch for watch in watches if watch.shift is None]
    if not watches:
        return []
    spans = [look_back(watch, now) for watch in watches]
    windows = await intake.windows(min(first for first, _ in spans), max(last for _, last in spans))
    ended = ended or {}
    return [Look(watch, judge(watch, windows, now, ended.get(incident_key(watch)))) for watch in watches]


async def last_ends(database: Database, watches: list[WatchConfig], now: datetime) -> dict[str, datetime]:
    """When the last incident of each watch ended, as far back as any watch looks."""
    keys = [incident_key(watch) for watch in watches]
    if not keys:
        return {}
    since = now - timedelta(seconds=LOOK_BACK_MAX_S + MINUTE_S)
    return await database.aread(lambda session: alert_store.last_ends(session, keys, since))


def _finding(watch: WatchConfig, judgement: Judgement) -> Finding:
    unit = watch.measure.unit
    evidence = [("calls", str(judgement.n))]
    if judgement.value is not None:
        evidence.insert(0, (watch.measure.value, show(judgement.value, unit)))
    if judgement.low is not None and watch.above is not None:
        evidence.append(("at least", show(judgement.low, unit)))
    if judgement.high is not None and watch.below is not None:
        evidence.append(("at most", show(judgement.high, unit)))
    threshold = watch.above if watch.above is not None else watch.below
    if threshold is not None:
        evidence.append(("threshold", show(threshold, unit)))
    return Finding(
        severity=Severity.PAGE if watch.severity == "page" else Severity.TICKET,
        source=Source.WATCH,
        summary=f"{watch.name}: {judgement.reason}",
        labels={"watch": watch.name, **labels_of(watch)},
        evidence=tuple(evidence),
    )


def labels_of(watch: WatchConfig) -> dict[str, str]:
    """What the watch looks at, where that is one thing."""
    named = {"service": watch.match.service, "model": watch.match.model, "operation": watch.match.operation}
    return {name: value for name, value in named.items() if isinstance(value, str)}
