"""Which values of a chosen attribute calls have: new ones, ones that are gone, and how large the share of one is."""

from collections.abc import Iterable, Sequence

from alerts.finding import Label

from ..windows.tallies import OTHER_VALUES, VALUES_MAX
from ..windows.window import Window
from . import confidence
from .config import WatchConfig
from .judgement import Judgement, nothing_to_judge
from .match import fits
from .measures import Unit, show
from .measuring import share
from .sections import ValuesConfig

NAMED_MAX = 5
"""How many values a sentence names."""


def judge_values(watch: WatchConfig, now: Sequence[Window], before: Sequence[Window], span: str) -> Judgement:
    """What the watch says of the values that calls have ``now``, and had ``before``."""
    asked = watch.values
    if asked is None:
        raise ValueError(f"the watch {watch.name} does not look at values")
    counts = calls_by_value(asked.attribute, now)
    calls = sum(counts.values())
    if calls < watch.min_calls:
        unset = sum(window.calls for window in now) - calls
        beside = f"; {unset} more have no {asked.attribute}" if unset > 0 else ""
        reason = f"{calls} calls with {asked.attribute} in {span}, {watch.min_calls} are needed{beside}"
        return nothing_to_judge(calls, reason, threshold=watch.above)
    if watch.above is not None:
        return _largest(watch, asked, counts, span)
    return _changed(watch, asked, counts, calls_by_value(asked.attribute, before), span)


def calls_by_value(attribute: str, windows: Iterable[Window]) -> dict[str, int]:
    """How many calls have each value of the attribute."""
    counts: dict[str, int] = {}
    for window in windows:
        for value, tally in window.chosen.of(attribute).items():
            counts[value] = counts.get(value, 0) + tally.calls
    # What was counted and taken back leaves a value without calls.
    return {value: count for value, count in counts.items() if count > 0}


def _largest(watch: WatchConfig, asked: ValuesConfig, counts: dict[str, int], span: str) -> Judgement:
    """The share of the value that is asked for, or that of the most frequent one."""
    calls, above = sum(counts.values()), watch.above or 0.0
    if asked.value is not None:
        name = asked.value if isinstance(asked.value, str) else " or ".join(asked.value)
        hits, bounds = sum(count for value, count in counts.items() if fits(asked.value, value)), 1
    else:
        name = max(
            (value for value in counts if value != OTHER_VALUES),
            key=lambda one: (counts[one], one),
            default="",
        )
        # Any of them could have been the largest: all of their bounds have to hold.
        hits, bounds = counts.get(name, 0), len(counts)
    found = share(hits, calls, bounds=bounds)
    is_sure, seems = found.low > above, found.value > above
    certainty = "" if is_sure else "not surely " if seems else "not "
    bound = f" (at least {show(found.low, Unit.SHARE)})" if seems else ""
    reason = (
        f'{asked.attribute} is "{name}" in {show(found.value, Unit.SHARE)}{bound} of {calls} calls of {span}, '
        f"{certainty}above {show(above, Unit.SHARE)}"
    )
    label = Label.BREACHED if is_sure else Label.STEADY
    evidence = _table(counts) if is_sure else ()
    return Judgement(
        label,
        found.value,
        found.low,
        found.high,
        calls,
        reason,
        seems and not is_sure,
        above,
        evidence=evidence,
    )


def _changed(
    watch: WatchConfig, asked: ValuesConfig, counts: dict[str, int], earlier: dict[str, int], span: str
) -> Judgement:
    """Values that are new or gone; what nobody can know, because values before are not known, is not told."""
    calls = sum(counts.values())
    if sum(earlier.values()) < watch.min_calls:
        reason = f"{sum(earlier.values())} calls with {asked.attribute} before {span}, {watch.min_calls} are needed"
        return nothing_to_judge(calls, reason)
    new = _new(counts, earlier, watch.min_calls) if "new" in asked.tell else []
    gone = _gone(counts, earlier) if "gone" in asked.tell else []
    said = [f"{_names(new)} {_is(new)} new ({_calls(new, counts)})"] if new else []
    said += [f"{_names(gone)} {_is(gone)} gone ({_calls(gone, earlier)} before)"] if gone else []
    known = sum(value != OTHER_VALUES for value in counts)
    of = f"{calls} calls of {span}"
    reason = (
        f"{asked.attribute}: {'; '.join(said)}, of {of}"
        if said
        else f"{asked.attribute}: {known} values in {of}, none surely new or gone"
    )
    label = Label.BREACHED if said else Label.STEADY
    evidence = (*_table(counts), *(("before", line) for _, line in _table(earlier))) if said else ()
    return Judgement(
        label, float(len(new) + len(gone)), None, None, calls, reason, unit=Unit.VALUES, evidence=evidence
    )


def _new(counts: dict[str, int], earlier: dict[str, int], least: int) -> list[str]:
    """Values that no call had before, where chance would have brought some: what few calls lack need not be new."""
    # Where there were more values than are told apart, one that was not seen need not be new.
    if OTHER_VALUES in earlier:
        return []
    found = [value for value, count in counts.items() if value not in earlier and count >= least]
    asked = [value for value in found if value != OTHER_VALUES]
    surely = _surely_more(counts, earlier, asked)
    return sorted(surely, key=lambda one: (-counts[one], one))


def _gone(counts: dict[str, int], earlier: dict[str, int]) -> list[str]:
    """Values of which no call has been seen where chance would have left some."""
    if OTHER_VALUES in counts:
        return []
    asked = [value for value in earlier if value not in counts and value != OTHER_VALUES]
    surely = _surely_more(earlier, counts, asked)
    return sorted(surely, key=lambda one: (-earlier[one], one))


def _surely_more(counts: dict[str, int], others: dict[str, int], asked: Iterable[str]) -> list[str]:
    """Those of the values, which none of the other calls has, whose share among those was surely smaller."""
    calls, bounds = sum(counts.values()), 2 * max(1, len(counts))
    _, most = confidence.share_bounds(0, sum(others.values()), bounds=bounds)
    return [one for one in asked if confidence.share_bounds(counts[one], calls, bounds=bounds)[0] > most]


def _names(values: Sequence[str]) -> str:
    named = ", ".join(f'"{value}"' for value in values[:NAMED_MAX])
    return f"{named} and {len(values) - NAMED_MAX} more" if len(values) > NAMED_MAX else named


def _is(values: Sequence[str]) -> str:
    return "is" if len(values) == 1 else "are"


def _calls(values: Sequence[str], counts: dict[str, int]) -> str:
    return f"{sum(counts[value] for value in values)} calls"


def _table(counts: dict[str, int]) -> tuple[tuple[str, str], ...]:
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines = [("value", f"{value}: {count} calls") for value, count in by_count[:NAMED_MAX]]
    if OTHER_VALUES in counts:
        lines.append(("value", f"more than {VALUES_MAX} in a minute are counted together"))
    return tuple(lines)
