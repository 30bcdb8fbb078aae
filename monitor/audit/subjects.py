"""A target or a service: every measure of it beside what it is compared with. What is real is judged later."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import NamedTuple

import numpy as np

from dashboards.audit.report import Against, Change, FailedCheck, Line, Measure, Reality, Subject, SubjectKind

from ..traffic.windows.distribution import Distribution, Row
from .changes import Blocks, Moved, by_counts, by_days, by_groups, by_pairs, by_two_days, share_half
from .facts import ByBlock, ServiceFacts, Span, TargetFacts, days_before
from .tally import Tally

TAIL_CALLS_MIN = 5
"""A quantile beyond which fewer calls are expected is not compared: a p99 needs 500 of them."""

FLOORS = {True: 0.001, False: 0.02}
"""Changes below are negligible: a tenth of a point of a share, 2 % of anything else (histograms know 1 %)."""

CHECKS_MAX = 5
"""How many failed checks of a subject are named."""

_STEP = 1.02
"""How near an edge is looked for: histograms know no more."""

_Reach = tuple[float | None, float | None, float | None]
"""A value between two that it surely lies between; ``None`` where there is no such."""

QUANTILES = {
    Measure.LATENCY_P50: 0.5,
    Measure.LATENCY_P95: 0.95,
    Measure.LATENCY_P99: 0.99,
    Measure.TTFT_P95: 0.95,
}

Part = tuple[float, float]
"""What a block adds to a measure: its sum, and what that is over."""

PARTS: Mapping[Measure, Callable[[Tally], Part]] = {
    Measure.COST_PER_CALL: lambda one: (one.cost_usd, one.priced),
    Measure.INPUT_TOKENS: lambda one: (one.input_tokens, one.asked),
    Measure.OUTPUT_TOKENS: lambda one: (one.output_tokens, one.answered),
    Measure.ERRORS: lambda one: (one.failed, one.calls),
    Measure.BROKEN_ANSWERS: lambda one: (one.broken, one.checked),
    Measure.TRUNCATED: lambda one: (one.truncated, one.finished),
}

VOLUMES: Mapping[Measure, Callable[[Tally], float]] = {
    Measure.CALLS: lambda one: one.calls,
    Measure.SPEND: lambda one: one.cost_usd,
}
"""What grows with the time that is looked at, and is told by the day."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """The tallies of a subject, block by block, and how its blocks are compared."""

    now: Sequence[Tally]
    previous: Sequence[Tally]
    baseline: Sequence[Tally]
    kind: SubjectKind
    days: float
    """How long the period is."""
    is_paired: bool = False

    def of(self, part: Callable[[Tally], Part]) -> "_Measured":
        """What a measure is made of on each side."""
        return _Measured(*(_blocks(side, part) for side in (self.now, self.previous, self.baseline)))

    def moved(self, measured: "_Measured", against: Against, *, is_share: bool) -> Moved | None:
        """How surely the measure is another than before."""
        now, before, base = measured
        if against is Against.BASELINE:
            if self.kind is SubjectKind.TARGET:
                return _least_sure(by_groups(now, base), now, base, is_share=is_share)
            if now.n == 0 or self.days < 1:
                return None
            return _least_sure(by_days(now.value, base, self.days), now, base, is_share=is_share)
        moved = (by_pairs if self.is_paired else by_groups)(now, before)
        if moved is not None and self.kind is SubjectKind.SERVICE:
            moved = moved.or_less_sure(by_two_days(now.value, before.value, base, self.days))
        return _least_sure(moved, now, before, is_share=is_share)


class _Measured(NamedTuple):
    """What a measure is made of on each side, block by block."""

    now: Blocks
    previous: Blocks
    baseline: Blocks

    def before(self, against: Against) -> Blocks:
        """What it is compared with."""
        return self.previous if against is Against.PREVIOUS else self.baseline


@dataclass(frozen=True, slots=True)
class _Values:
    """Values block by block, and all of them together."""

    blocks: Row
    whole: Distribution

    @classmethod
    def of(cls, parts: Iterable[Distribution]) -> "_Values":
        """Those of these blocks."""
        blocks = Row(list(parts))
        return cls(blocks, blocks.together)

    def above(self, edge: float) -> Blocks:
        """Those above ``edge``, over all."""
        return Blocks(self.blocks.above(edge).astype(np.float64), self.blocks.n.astype(np.float64))


class _Tails(NamedTuple):
    """Latencies, or times to the first token, on each side."""

    now: _Values
    previous: _Values
    baseline: _Values

    @classmethod
    def of(cls, sides: _Sides, has: Callable[[Tally], Distribution]) -> "_Tails":
        """Those that the tallies of the sides have."""
        return cls(*(_Values.of(map(has, side)) for side in (sides.now, sides.previous, sides.baseline)))

    def before(self, against: Against) -> _Values:
        """What they are compared with."""
        return self.previous if against is Against.PREVIOUS else self.baseline

    def above(self, edge: float) -> _Measured:
        """How many are above ``edge``, over all."""
        return _Measured(*(one.above(edge) for one in self))


def _least_sure(moved: Moved | None, now: Blocks, before: Blocks, *, is_share: bool) -> Moved | None:
    if moved is None or not is_share:
        return moved
    return moved.or_less_sure(by_counts(now, before))


def _blocks(tallies: Sequence[Tally], part: Callable[[Tally], Part]) -> Blocks:
    parts = np.array([part(one) for one in tallies], dtype=np.float64).reshape(-1, 2)
    return Blocks(parts[:, 0], parts[:, 1])


def service_of(facts: ServiceFacts, span: Span) -> Subject:
    """A service, by blocks of time."""
    # Blocks without calls are blocks too: of a volume they say nothing was there, and pairs stay together.
    before, days = span.before(), days_before(span)
    known = min(facts.days, default=days.end)
    sides = _Sides(
        _filled(facts.now, span),
        _filled(facts.previous, before),
        [facts.days.get(day) or Tally() for day in days.blocks() if day >= known],
        SubjectKind.SERVICE,
        span.days,
        is_paired=span.is_of_whole_days,
    )
    lines = [_volume_line(measure, sides, span) for measure in VOLUMES] + _lines(sides)
    return Subject(
        SubjectKind.SERVICE,
        facts.service or "(no name)",
        facts.environment,
        tuple(line for line in lines if line is not None),
        _failed_checks(sides),
        tuple(one.calls for one in sides.now),
    )


def _filled(tallies: ByBlock, span: Span) -> list[Tally]:
    return [tallies.get(start) or Tally() for start in span.blocks()]


def target_of(facts: TargetFacts) -> Subject:
    """A target, by runs."""
    sides = _Sides(facts.now, facts.previous, facts.baseline, SubjectKind.TARGET, 1.0)
    return Subject(
        SubjectKind.TARGET,
        facts.name,
        f"{facts.model}, suite {facts.suite}",
        tuple(_lines(sides)),
        _failed_checks(sides),
        tuple(one.calls for one in facts.now),
    )


def _lines(sides: _Sides) -> list[Line]:
    means = [_mean_line(measure, sides) for measure in PARTS]
    latency, ttft = _Tails.of(sides, lambda one: one.latency_s), _Tails.of(sides, lambda one: one.ttft_s)
    tails = [
        _tail_line(measure, sides, ttft if measure is Measure.TTFT_P95 else latency) for measure in QUANTILES
    ]
    return [line for line in (*means, *tails) if line is not None]


def _mean_line(measure: Measure, sides: _Sides) -> Line | None:
    measured = sides.of(PARTS[measure])
    now = measured.now
    changes = {}
    for against in Against:
        before = measured.before(against)
        moved = sides.moved(measured, against, is_share=measure.is_share)
        changes[against] = _change(measure, before.value if before.n else None, round(before.n), moved)
    return _line(measure, now.value if now.n else None, round(now.n), changes)


def _volume_line(measure: Measure, sides: _Sides, span: Span) -> Line | None:
    """By the day, however long blocks are. A block that the period only touches has a partner that is cut like it."""
    amount = VOLUMES[measure]

    def total(tallies: Sequence[Tally]) -> float:
        return sum(amount(one) for one in tallies)

    def blocks(tallies: Sequence[Tally]) -> Blocks:
        return _blocks(tallies, lambda one: (amount(one) * len(tallies) / span.days, 1.0))

    now = total(sides.now) / span.days
    base = _blocks(sides.baseline, lambda one: (amount(one), 1.0))
    of_previous = (by_pairs if sides.is_paired else by_groups)(blocks(sides.now), blocks(sides.previous))
    if of_previous is not None:
        was = total(sides.previous) / span.days
        of_previous = of_previous.or_less_sure(by_two_days(now, was, base, span.days))
    of_days = by_days(now, base, span.days) if span.days >= 1 and base.n else None
    n_before, n_base = sum(one.calls for one in sides.previous), sum(one.calls for one in sides.baseline)
    before = total(sides.previous) / span.days if n_before else None
    changes = {
        Against.PREVIOUS: _change(measure, before, n_before, of_previous if n_before else None),
        Against.BASELINE: _change(measure, base.value if n_base else None, n_base, of_days),
    }
    n = sum(one.calls for one in sides.now)
    if measure is Measure.SPEND and not any(one.priced for one in (*sides.now, *sides.previous)):
        return None
    return _line(measure, now, n, changes)


def _tail_line(measure: Measure, sides: _Sides, tails: _Tails) -> Line | None:
    now = tails.now.whole
    changes = {against: _tail_change(measure, sides, against, tails) for against in Against}
    return _line(measure, at_quantile(now, QUANTILES[measure]), now.n, changes)


def _tail_change(measure: Measure, sides: _Sides, against: Against, tails: _Tails) -> Change | None:
    """How a quantile has moved: by the share of calls that are slower than both sides together, a share as any."""
    q = QUANTILES[measure]
    now, usual = tails.now.whole, tails.before(against).whole
    before, value = at_quantile(usual, q), at_quantile(now, q)
    if before is None:
        return None
    if value is None or min(now.n, usual.n) * (1 - q) < TAIL_CALLS_MIN:
        return Change(before, usual.n, Reality.UNKNOWN)
    moved = sides.moved(tails.above(_common_edge(now, usual, q)), against, is_share=True)
    if moved is None:
        return Change(before, usual.n, Reality.UNKNOWN)
    change = _change(measure, before, usual.n, Moved(value - before, 0.0, moved.p_value))
    low, high = _between(_reach(tails.now, q), _reach(tails.before(against), q))
    return change and replace(change, low=low, high=high)


def _common_edge(one: Distribution, other: Distribution, q: float) -> float:
    """The quantile of both sides together, each counting as much as the other: it is the same when they are swapped."""
    low, high = sorted(found.high for side in (one, other) if (found := side.quantile(q)) is not None)
    while high > low * _STEP:
        middle = (low * high) ** 0.5
        beyond = one.above(middle) / one.n + other.above(middle) / other.n
        low, high = (middle, high) if beyond > 2 * (1 - q) else (low, middle)
    return high


def _reach(values: _Values, q: float) -> _Reach:
    """A quantile, and between which values it surely lies, as the share beyond it varies from block to block."""
    edge = values.whole.quantile(q)
    half = share_half(values.above(edge.high if edge else 0.0))
    return (
        at_quantile(values.whole, q - half),
        at_quantile(values.whole, q),
        at_quantile(values.whole, q + half),
    )


def _between(now: _Reach, before: _Reach) -> tuple[float | None, float | None]:
    """The interval of the difference of two values from their own (Zou and Donner)."""
    low, value, high = now
    low_before, was, high_before = before
    if value is None or was is None:
        return None, None
    difference = value - was
    below = None if low is None or high_before is None else hypot(value - low, high_before - was)
    above = None if high is None or low_before is None else hypot(high - value, was - low_before)
    return (
        None if below is None else difference - below,
        None if above is None else difference + above,
    )


def at_quantile(spread: Distribution, q: float) -> float | None:
    """The quantile, where there are values, and ``q`` is one."""
    found = spread.quantile(q) if 0 < q <= 1 else None
    return found.value if found else None


def _change(measure: Measure, before: float | None, n: int, moved: Moved | None) -> Change | None:
    if before is None:
        return None
    if moved is None:
        return Change(before, n, Reality.UNKNOWN)
    size = abs(moved.difference) if measure.is_share else abs(moved.difference) / max(abs(before), 1e-12)
    # Whether it is real is judged with all others, see ``_judged``.
    reality = Reality.NEGLIGIBLE if size < FLOORS[measure.is_share] else Reality.REAL
    # Nothing that is measured can be less than nothing.
    low, high = max(moved.difference - moved.half, -before), moved.difference + moved.half
    return Change(before, n, reality, low, high, moved.p_value)


def _line(
    measure: Measure, value: float | None, n: int, changes: Mapping[Against, Change | None]
) -> Line | None:
    line = Line(measure, value, n, changes[Against.PREVIOUS], changes[Against.BASELINE])
    return line if value is not None or line.previous or line.baseline else None


def _failed_checks(sides: _Sides) -> tuple[FailedCheck, ...]:
    now, before = Tally(), Tally()
    for whole, tallies in ((now, sides.now), (before, sides.previous)):
        for one in tallies:
            for name, count in one.failed_checks.items():
                whole.failed_checks[name] = whole.failed_checks.get(name, 0) + count
    names = {*now.failed_checks, *before.failed_checks}
    found = [
        FailedCheck(name, now.failed_checks.get(name, 0), before.failed_checks.get(name, 0)) for name in names
    ]
    return tuple(sorted(found, key=lambda one: (-one.failed, -one.before, one.name))[:CHECKS_MAX])
