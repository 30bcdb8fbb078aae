"""What a measure of some windows is, and what it surely is at least and at most."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..calls import CostBasis, ErrorClass
from ..windows.exemplars import Exemplars
from ..windows.exemplars import Kind as ExemplarKind
from ..windows.histogram import Histogram, merged
from ..windows.window import Window
from . import confidence
from .marking import RESENT, RETRIED
from .measures import Kind, Measure, Unit

NAMED_MAX = 10
"""How many kinds of failures a sentence names, the most frequent ones; there are fewer classes of errors than that."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure of ``n`` calls: what they had, and the bounds for what the application does now.

    ``high`` is ``None`` when the calls are too few to say. ``remark`` is what to know beside it.
    """

    value: float
    low: float
    high: float | None
    n: int
    remark: str = ""


def measured(measure: Measure, windows: Sequence[Window]) -> Measured | None:
    """What the measure of these windows is; ``None`` without calls to judge. A rate is of a time, see ``rate``."""
    if measure.kind is Kind.SHARE:
        return _share(measure, windows)
    if measure.kind is Kind.TOKEN_SHARE:
        return _token_share(windows)
    if measure.kind is Kind.ATTEMPTS:
        return _attempts(windows)
    histogram = merged(getattr(window, measure.histogram) for window in windows)
    ambiguous, remark = 0, ""
    if measure.unit is Unit.DOLLARS:
        ambiguous, remark = _ambiguous(windows), costs_remark(windows)
    if measure.quantile is None:
        return _mean(histogram, ambiguous, remark)
    return _quantile(histogram, measure.quantile, ambiguous, remark)


def rate(measure: Measure, windows: Sequence[Window], minutes: float) -> Measured:
    """The measure's rate over so many minutes, which these windows are of."""
    calls = sum(window.calls for window in windows)
    if measure.unit is Unit.CALLS_PER_MINUTE:
        low, high = confidence.count_bounds(calls)
        return Measured(calls / minutes, low / minutes, high / minutes, calls)
    total, squares = 0.0, 0.0
    for name in ("input_tokens", "output_tokens"):
        tokens = merged(getattr(window, name) for window in windows)
        total += tokens.total
        squares += _squares(tokens)
    # Calls come by chance, each with its tokens: the sum varies with the sum of their squares (compound Poisson). Of
    # input and output of one call it is known only apart: (x + y)^2 is 2 (x^2 + y^2) at most.
    margin = confidence.Z * math.sqrt(2 * squares)
    return Measured(total / minutes, max(0.0, total - margin) / minutes, (total + margin) / minutes, calls)


def examples(measure: Measure, windows: Iterable[Window]) -> tuple[tuple[str, str], ...]:
    """Lines of evidence that lead to calls worth a look: ids of their traces."""
    kind = _EXAMPLES.get(measure.value if measure.kind is Kind.SHARE else measure.histogram)
    return () if kind is None else traces(kind, windows)


def traces(kind: ExemplarKind, windows: Iterable[Window]) -> tuple[tuple[str, str], ...]:
    """A line of evidence for each of the most telling calls of a kind."""
    best = Exemplars()
    for window in windows:
        best.merge(window.exemplars)
    lines = []
    for one in best.of(kind):
        value = {ExemplarKind.SLOWEST: f" ({one.value:.3g} s)", ExemplarKind.DEAREST: f" (${one.value:.3g})"}
        lines.append((f"{kind.value} call", f"trace {one.trace_id}{value.get(kind, '')}"))
    return tuple(lines)


_EXAMPLES = {
    "latency_s": ExemplarKind.SLOWEST,
    "ttft_s": ExemplarKind.SLOWEST,
    "cost_usd": ExemplarKind.DEAREST,
    "input_tokens": ExemplarKind.DEAREST,
    "output_tokens": ExemplarKind.DEAREST,
    "error_share": ExemplarKind.FAILED,
    **{f"{one.value}_share": ExemplarKind.FAILED for one in ErrorClass if one is not ErrorClass.OTHER},
    "other_error_share": ExemplarKind.FAILED,
}


def _quantile(histogram: Histogram, q: float, unsure: int, remark: str) -> Measured | None:
    """``unsure`` of the values may be anything: the bounds hold whichever they are, and whatever they should be."""
    found = histogram.quantile(q)
    if found is None:
        return None
    lowest, highest = confidence.lower_rank(found.n, q) - unsure, confidence.upper_rank(found.n, q)
    # The outer edges of the buckets: what a bucket hides makes nothing surer.
    low = histogram.at_rank(lowest).low if lowest > 0 else 0.0
    is_known = highest is not None and highest + unsure <= found.n
    high = histogram.at_rank((highest or 0) + unsure).high if is_known else None
    return Measured(found.value, low, high, found.n, remark)


def _mean(histogram: Histogram, unsure: int, remark: str) -> Measured | None:
    spread = histogram.spread
    if spread is None:
        return None
    # At worst the unsure values are the largest, and should be nothing.
    sure = histogram.with_largest_as_zero(unsure) if unsure else histogram
    least = sure.spread or spread
    low = max(0.0, least.mean - confidence.Z * least.deviation / math.sqrt(least.n))
    high = None if unsure else spread.mean + confidence.Z * spread.deviation / math.sqrt(spread.n)
    return Measured(spread.mean, low, high, spread.n, remark)


def _share(measure: Measure, windows: Sequence[Window]) -> Measured | None:
    counts = [measure.counts(window) for window in windows] if measure.counts else []
    hits, calls = sum(hits for hits, _ in counts), sum(calls for _, calls in counts)
    return share(hits, calls, _share_remark(measure, windows)) if calls else None


def share(hits: int, calls: int, remark: str = "", bounds: int = 1) -> Measured:
    """The share of hits among calls, of which there is at least one."""
    low, high = confidence.share_bounds(hits, calls, bounds)
    return Measured(hits / calls, low, high, calls, remark)


def _share_remark(measure: Measure, windows: Sequence[Window]) -> str:
    if measure is Measure.ERROR_SHARE:
        return _by_name(window.errors for window in windows)
    if measure is Measure.VALIDATOR_FAILURES:
        return _by_name(window.failed_checks for window in windows)
    return ""


def _token_share(windows: Sequence[Window]) -> Measured | None:
    tokens = merged(window.input_tokens for window in windows)
    total, squares = tokens.total, _squares(tokens)
    if not total:
        return None
    value = min(1.0, sum(window.cached_tokens for window in windows) / total)
    # Long prompts weigh more: as sure as a share of so many equal calls (Kish), each cached wholly or not at all.
    calls = max(1, math.floor(total * total / squares))
    low, _ = confidence.share_bounds(math.floor(value * calls), calls)
    _, high = confidence.share_bounds(math.ceil(value * calls), calls)
    return Measured(value, low, high, tokens.n)


def _attempts(windows: Sequence[Window]) -> Measured | None:
    calls = sum(window.calls for window in windows)
    retried, resent = (sum(window.matched.get(name, 0) for window in windows) for name in (RETRIED, RESENT))
    if not calls or retried >= calls + resent:
        return None
    again = share(retried + resent, calls + resent)
    high = None if again.high is None or again.high >= 1 else 1 / (1 - again.high)
    remark = f" ({retried} calls after one that failed, {resent} sent again by the client)"
    return Measured(1 / (1 - again.value), 1 / (1 - again.low), high, calls, remark)


def _squares(histogram: Histogram) -> float:
    """The sum of the squares of the values."""
    spread = histogram.spread
    return 0.0 if spread is None else (spread.n - 1) * spread.deviation**2 + spread.n * spread.mean**2


def _by_name(counts: Iterable[Mapping[str, int]]) -> str:
    """What was counted under which name, the most frequent first and a few of them: ``(3 format, 1 language)``."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    by_count = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count} {name}" for name, count in by_count[:NAMED_MAX]]
    if len(by_count) > NAMED_MAX:
        named.append(f"{sum(count for _, count in by_count[NAMED_MAX:])} of others")
    return f" ({', '.join(named)})" if named else ""


def _ambiguous(windows: Iterable[Window]) -> int:
    return sum(window.cost_bases.get(CostBasis.AMBIGUOUS, 0) for window in windows)


def costs_remark(windows: Sequence[Window]) -> str:
    """How far the costs can be trusted, where not all of them are known for sure."""
    ambiguous, unpriced = _ambiguous(windows), sum(window.unpriced for window in windows)
    remarks = (
        f"; of {ambiguous} calls the cost is ambiguous" if ambiguous else "",
        f"; {unpriced} more calls have no known price" if unpriced else "",
    )
    return "".join(remarks)
