"""The figures of a bench in words."""

import math
from collections.abc import Iterator

from .report import BenchReport, Difference, Row
from .statistics import Interval

FOR_EVER = "timed out"
"""A time that nobody waited for the end of."""


def facts_of(found: BenchReport) -> Iterator[str]:
    """A sentence or two of each target: what its table does not hold."""
    for name, facts in found.targets.items():
        parts = [f"{facts.answered:,} of {facts.requests:,} requests answered"]
        if facts.answers_per_s is not None:
            parts.append(f"{facts.answers_per_s:.3g} a second")
        if facts.unique_answers is not None:
            unique, of = facts.unique_answers
            parts.append(
                f"{unique:.3g} different texts among {of:.3g} answers to a prompt; {facts.same_always} of "
                f"{facts.prompts} prompts always had the same"
            )
        if facts.long_input_tokens is not None:
            parts.append(f"long prompts had {facts.long_input_tokens:,.0f} tokens")
        if facts.cost_usd is not None:
            parts.append(f"cost ${facts.cost_usd:.3g}")
        for what, counts in (("errors", facts.errors), ("broken", facts.broken)):
            if counts:
                parts.append(f"{what}: " + ", ".join(f"{key} {n}" for key, n in sorted(counts.items())))
        yield f"{name}: {'; '.join(parts)}"


def cell(row: Row, name: str) -> str:
    """The figure of a target, with its interval; nothing where it has none."""
    if name not in row.figures:
        return ""
    one = row.figures[name]
    value = number(one.value, row.measure.unit)
    if one.low is None and one.high is None:
        return value
    ends = (
        ("?" if end is None else number(end, row.measure.unit, is_end=True)) for end in (one.low, one.high)
    )
    return f"{value} ({' to '.join(ends)})"


def number(value: float, unit: str, *, is_end: bool = False) -> str:
    """A figure in its unit, which the end of an interval does without."""
    if math.isinf(value):
        return FOR_EVER
    if math.isnan(value):
        return ""
    if unit == "%":
        return f"{100 * value:.3g}" + ("" if is_end else " %")
    if unit == "$":
        return f"{value:.3g}" if is_end else f"${value:.3g}"
    if unit == "s":
        return f"{value:.3g}" + ("" if is_end else " s")
    return f"{value:.3g}"


def better(row: Row) -> str:
    """Who has the best figure, and whether that is sure."""
    if row.winner is not None:
        return f"{row.winner}, sure"
    if row.leader is None:
        return "alike"
    return f"{row.leader}, may be chance" if row.differences else f"{row.leader}, too few to say"


def by(row: Row) -> str:
    """By how much the targets differ."""
    return "; ".join(_effect(one, several=len(row.differences) > 1) for one in row.differences)


def _effect(one: Difference, *, several: bool) -> str:
    sign = "/" if one.is_ratio else "-"
    pair = f"{one.first} {sign} {one.second}: " if several else ""
    size = _ends(one.effect, one.is_ratio)
    return f"{pair}{size}, p = {one.p_value:.2g}"


def _ends(effect: Interval, is_ratio: bool) -> str:
    def written(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return "?"
        return f"{value:.3g}x" if is_ratio else f"{100 * value:+.2g}"

    if effect.low is None and effect.high is None:
        return written(effect.value)
    return f"{written(effect.value)} ({written(effect.low)} to {written(effect.high)})"
