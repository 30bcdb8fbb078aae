"""From minute windows to verdicts: what each watch says of production traffic now, in the alert arm's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import alerts.store as alert_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule

from ..database import Database
from ..traffic.watches.budgets import judge_budget
from ..traffic.watches.config import Looks, WatchConfig
from ..traffic.watches.judgement import Judgement
from ..traffic.watches.judging import judge, needs
from ..traffic.watches.long_looks import Spent, is_long, merge, sums_of
from ..traffic.watches.match import matches
from ..traffic.watches.measures import show
from ..traffic.watches.measuring import traces
from ..traffic.watches.sections import LOOK_BACK_MAX_S
from ..traffic.watches.slo import judge_slo
from ..traffic.windows.exemplars import Kind
from ..traffic.windows.series import MINUTE_S, minute_of
from ..traffic.windows.window import Window
from .long_history import LongHistory, LongWindows, running_from


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
            return Verdict(
                key,
                judgement.label,
                note=judgement.reason,
                is_doubtful=judgement.is_doubtful,
                labels=_all_labels(self.watch),
            )
        # A fixed threshold is the operator's own word: no further evidence is needed for the rollback it names. What is
        # quieter than the watch comes before its threshold.
        is_beyond = judgement.severity is None
        return Verdict(key, Label.BREACHED, _finding(self.watch, judgement), wants_rollback=is_beyond)

    def rule(self) -> AlertRule:
        """When it becomes an incident, and who hears of it."""
        watch = self.watch
        return AlertRule(
            for_s=watch.for_,
            keep_firing_s=watch.keep_firing_s,
            notify=tuple(watch.notify),
            rollback=watch.rollback,
            on_no_data=watch.on_no_data,
        )


def incident_key(watch: WatchConfig) -> str:
    """The key of the watch's incidents."""
    return f"watch/{watch.name}"


async def look(
    windows: LongWindows,
    watches: Sequence[WatchConfig],
    now: datetime,
    history: LongHistory | None = None,
    ended: Mapping[str, datetime] | None = None,
) -> list[Look]:
    """What every watch that needs no evidence says at ``now``, on one reading of the windows.

    ``history`` is of the watches that look further back than windows are read; they say nothing without it.
    ``ended`` tells when the last incident of a key ended, see ``last_ends``.
    """
    history = history or LongHistory(())
    asked = [one for one in watches if one.bets is None and (one in history.watches or not is_long(one))]
    if not asked:
        return []
    await history.read(windows, now)
    spans = [_span(watch, now) for watch in asked]
    found = await windows.windows(min(first for first, _ in spans), max(last for _, last in spans))
    ended = ended or {}
    return [
        Look(
            watch,
            _judge_long(watch, found, now, history, ended.get(incident_key(watch)))
            if is_long(watch)
            else judge(watch, found, now, ended.get(incident_key(watch))),
        )
        for watch in asked
    ]


async def last_ends(database: Database, watches: Sequence[WatchConfig], now: datetime) -> dict[str, datetime]:
    """When the last incident of each watch ended, as far back as any watch looks."""
    keys = [incident_key(watch) for watch in watches]
    if not keys:
        return {}
    since = now - timedelta(seconds=LOOK_BACK_MAX_S + MINUTE_S)
    return await database.aread(lambda session: alert_store.last_ends(session, keys, since))


def _span(watch: WatchConfig, now: datetime) -> tuple[int, int]:
    at = now.timestamp()
    return (running_from(at), minute_of(at)) if is_long(watch) else needs(watch, now)


def _judge_long(
    watch: WatchConfig,
    windows: Sequence[Window],
    now: datetime,
    history: LongHistory,
    ended_at: datetime | None,
) -> Judgement:
    """What is added up already and what is still running, judged together."""
    first = max(running_from(now.timestamp()), history.first(watch, now))
    running = [one for one in windows if first <= one.minute <= minute_of(now.timestamp())]
    sums, missing = history.before_running(watch, now), history.missing(watch, now)
    merge(sums, sums_of(watch, running, by_hour=False))
    if isinstance(sums, Spent):
        judgement = judge_budget(watch, sums, now, missing)
    else:
        judgement = judge_slo(watch, sums, now, missing, ended_at)
    return _with_traces(watch, judgement, running)


def _with_traces(watch: WatchConfig, judgement: Judgement, windows: Sequence[Window]) -> Judgement:
    """The judgement with calls of the last hours that are worth a look, when it is one that people are told."""
    # Which calls are those of one user, say, is not kept.
    if judgement.label is not Label.BREACHED or (watch.budget is not None and watch.budget.per is not None):
        return judgement
    kinds = [Kind.DEAREST] if watch.budget is not None else _bad_kinds(watch)
    mine = [one for one in windows if matches(watch.match, one.series)]
    return replace(
        judgement, evidence=(*judgement.evidence, *(line for kind in kinds for line in traces(kind, mine)))
    )


def _bad_kinds(watch: WatchConfig) -> list[Kind]:
    good = watch.slo.good if watch.slo else None
    is_slow = good is not None and (good.latency_below is not None or good.ttft_below is not None)
    return [
        *([Kind.FAILED] if good is not None and good.no_error else []),
        *([Kind.SLOWEST] if is_slow else []),
    ]


def _finding(watch: WatchConfig, judgement: Judgement) -> Finding:
    unit = judgement.unit
    evidence = [("calls", str(judgement.n))]
    if judgement.value is not None and watch.looks in (Looks.MEASURE, Looks.SHARE):
        evidence.insert(0, (watch.measure.value, show(judgement.value, unit)))
    if judgement.low is not None and watch.above is not None:
        evidence.append(("at least", show(judgement.low, unit)))
    if judgement.high is not None and watch.below is not None:
        evidence.append(("at most", show(judgement.high, unit)))
    if judgement.threshold is not None:
        evidence.append(("threshold", show(judgement.threshold, unit)))
    return Finding(
        severity=judgement.severity or (Severity.PAGE if watch.severity == "page" else Severity.TICKET),
        source=Source.WATCH,
        summary=f"{watch.name}: {judgement.reason}",
        labels=_all_labels(watch),
        evidence=(*evidence, *judgement.evidence),
    )


def _all_labels(watch: WatchConfig) -> dict[str, str]:
    return {"watch": watch.name, **labels_of(watch)}


def labels_of(watch: WatchConfig) -> dict[str, str]:
    """What the watch looks at, where that is one thing."""
    named = {"service": watch.match.service, "model": watch.match.model, "operation": watch.match.operation}
    return {name: value for name, value in named.items() if isinstance(value, str)}
