"""What a shift watch says in words: which share of calls is beyond the limit, what is usual, and since when."""

from datetime import UTC, datetime

from alerts.finding import Finding, Label, Severity, Source, Verdict

from ..drift import Drifting, DriftMemory
from ..traffic.tails.baseline import Seen, TailBaseline, periods_needed
from ..traffic.tails.counting import is_mean, shift_of
from ..traffic.watches.config import WatchConfig
from ..traffic.watches.measures import Kind, Measure, Unit, show
from .watch_traffic import incident_key, labels_of

DISPERSED = 1.5
"""Counts beside a control that vary more than this many times as much as by chance are worth a word."""


def shift_verdict(
    watch: WatchConfig,
    baseline: TailBaseline,
    seen: Seen,
    memory: DriftMemory,
    dispersion: float = 1.0,
    examples: tuple[tuple[str, str], ...] = (),
) -> Verdict:
    """What the watch says after a period that was bet on."""
    key, sentence = incident_key(watch), describe(watch, baseline, seen)
    if not memory.drifting:
        return Verdict(key, Label.STEADY, note=sentence)
    drifting = max(memory.drifting.values(), key=lambda one: (one.severity, one.evidence))
    finding = Finding(
        severity=Severity(drifting.severity),
        source=Source.WATCH,
        summary=f"{watch.name} has shifted{_since(drifting)}: {sentence}",
        labels={"watch": watch.name, **labels_of(watch)},
        evidence=(
            *_lines(watch, baseline, seen, drifting),
            ("guarantee", guarantee(baseline, dispersion)),
            *examples,
        ),
    )
    return Verdict(key, Label.BREACHED, finding, wants_rollback=memory.wants_rollback)


def collecting_verdict(watch: WatchConfig, baseline: TailBaseline) -> Verdict:
    """What the watch says while there is nothing to compare with yet."""
    note = f"It collects its baseline: {baseline.collected} of {periods_needed(watch)} periods"
    return Verdict(incident_key(watch), Label.STEADY, note=note)


def silent_verdict(watch: WatchConfig, seen: Seen, *, is_lost: bool = False) -> Verdict:
    """What the watch says of a period with too few calls: nothing, or when it ``is_lost`` that it knows of nothing."""
    note = (
        f"{seen.mine.calls} {watch.measure.calls} to judge {_when(watch, seen)}, {watch.min_calls} are needed"
    )
    if seen.control is not None:
        note += f"; its control has {seen.control.calls}"
    if is_lost:
        note += "; there have been too few for so long that whether it is still so is not known"
        return Verdict(incident_key(watch), Label.STEADY, note=note)
    return Verdict(incident_key(watch), Label.NO_DATA, note=note)


def describe(watch: WatchConfig, baseline: TailBaseline, seen: Seen) -> str:
    """One sentence about the period: what was seen, and what was to be expected."""
    unit = watch.measure.unit
    if is_mean(watch.measure):
        mean, usual = show(seen.mine.mean, unit), show(baseline.usual_mean, unit)
        verb = "cost" if unit is Unit.DOLLARS else "took" if unit is Unit.SECONDS else "had"
        return f"{seen.mine.calls} calls {_when(watch, seen)} {verb} {mean} each on average, usually {usual}"
    calls = watch.measure.calls
    of = f"{_percent(seen.mine.share)} of {seen.mine.calls} {calls} {_when(watch, seen)} {_what(watch, baseline)}"
    if seen.control is not None:
        return f"{of}, {_percent(seen.control.share)} of {seen.control.calls} {calls} of its control"
    return f"{of}, usually {_percent(baseline.usual_share)}"


def guarantee(baseline: TailBaseline, dispersion: float = 1.0) -> str:
    """Whether the page budget holds for the watch, in a line; ``dispersion`` is that of the blocks beside a control."""
    if dispersion > DISPERSED:
        return f"counts vary {dispersion:.1f} times as much as chance gives: evidence is discounted by that"
    found = baseline.stickiness
    if found.block == 1:
        return "in force"
    return (
        f"neighbouring periods are alike (lag-1 correlation {found.lag1:.2f}): single periods open tickets only, and "
        f"pages need blocks of {found.block}; a control that shares the load would be faster"
    )


def _what(watch: WatchConfig, baseline: TailBaseline) -> str:
    measure = watch.measure
    if measure.kind is Kind.SHARE:
        return measure.hits
    quantile = measure.quantile or 0.0
    return f"{beyond(measure, baseline.limit or 0.0)} (the baseline's p{quantile * 100:.0f})"


def beyond(measure: Measure, limit: float) -> str:
    """What a call did that is beyond the limit of a quantile: ``took longer than 8 s``."""
    return _BEYOND[measure.histogram].format(show(limit, measure.unit))


_BEYOND = {
    "latency_s": "took longer than {}",
    "ttft_s": "took longer than {} to their first token",
    "cost_usd": "cost more than {}",
    "input_tokens": "had more input than {}",
    "output_tokens": "had more output than {}",
    "tokens_per_s": "were faster than {}",
}
"""What calls did that are beyond a limit, by the histogram that it is of."""


def _lines(
    watch: WatchConfig, baseline: TailBaseline, seen: Seen, drifting: Drifting
) -> list[tuple[str, str]]:
    against = (
        f"{len(baseline.calibration)} calibration periods"
        if seen.control is None
        else "its control, call by call"
    )
    lines = [(watch.measure.value, f"{drifting.side}, against {against}{_since(drifting)}")]
    lines.append(("calls", str(seen.mine.calls)))
    if not is_mean(watch.measure):
        lines.append(("beyond the limit" if baseline.limit is not None else "failed", str(seen.mine.hits)))
    if seen.control is not None:
        lines.append(("control", f"{seen.control.hits} of {seen.control.calls} calls"))
    if baseline.hours.classes > 1:
        lines.append(("ranked within", f"{baseline.hours.classes} classes of hours that are alike"))
    return lines


def _when(watch: WatchConfig, seen: Seen) -> str:
    start = datetime.fromtimestamp(seen.start_s, UTC)
    end = datetime.fromtimestamp(seen.start_s + shift_of(watch).every, UTC)
    return f"from {start:%H:%M} to {end:%H:%M} UTC"


def _since(drifting: Drifting) -> str:
    return f", after {datetime.fromisoformat(drifting.since):%Y-%m-%d %H:%M} UTC" if drifting.since else ""


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
