"""A bench as people read it: the table, and what is to be known of it."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from canaries.bench.measured import SPEED_TOKENS_MIN
from canaries.bench.plan import Load
from canaries.bench.report import BenchReport, Difference, Row
from canaries.bench.statistics import Interval

if TYPE_CHECKING:
    from .bench_once import Outcomes

FOR_EVER = "timed out"
"""A time that nobody waited for the end of."""

LATE_S = 0.05
"""From this median on, requests that were due and not sent yet are told."""

LAG_S = 0.01
"""When this machine itself is so late once in twenty times, it is told: it measures itself."""


def table(found: BenchReport) -> Table:
    """The rows: a column for each target, and with several of them who is better, and by how much."""
    names = list(found.targets)
    drawn = Table("", *names)
    if len(names) > 1:
        drawn.add_column("better")
        drawn.add_column("by (95% interval)")
    for row in found.rows:
        cells = [row.measure.name, *(_cell(row, name) for name in names)]
        drawn.add_row(*cells, *((_better(row), _by(row)) if len(names) > 1 else ()))
    return drawn


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


def notes(found: BenchReport, load: Load, done: "Outcomes") -> Iterator[str]:
    """What holds of all figures."""
    if done.purse.is_empty:
        yield "Stopped at --max-spend-usd: the figures are of what was asked until then."
    if done.resumed:
        yield f"{done.resumed:,} of the requests were in the file already."
    if done.lag_p95_s > LAG_S:
        yield (
            f"This machine was busy: in one case of twenty it was {1000 * done.lag_p95_s:.0f} ms late or more, and "
            "so it was in reading answers. Lower --concurrency, or ask from a quieter machine."
        )
    if load.rate is None:
        yield (
            "Each request followed an answer, so that a slow one held the next back: users who come by themselves wait "
            "longer than these tails say (--rate measures that)."
        )
    for name, facts in found.targets.items():
        if facts.late_p50_s > LATE_S:
            yield (
                f"{name}: half of the requests were sent {facts.late_p50_s:.2g} s late or more, "
                f"{facts.late_max_s:.2g} s at most, which their times hold: all {load.concurrency} were under way "
                "(--concurrency), or this machine is too slow."
            )
    speeds = {name for row in found.rows if row.measure.unit == "1/s" for name in row.figures}
    if unknown := [name for name, facts in found.targets.items() if facts.answered and name not in speeds]:
        yield (
            f"{', '.join(unknown)}: tokens a second are not known: the endpoint does not stream, or does not count the "
            f"tokens of its streams, or no answer had more than {SPEED_TOKENS_MIN}."
        )
    if any(row.too_few for row in found.rows):
        few = [f"{row.measure.name} needs {row.measure.n_min}" for row in found.rows if row.too_few]
        yield f"Too few values to compare: {', '.join(few)} of each target."
    if len(found.targets) > 1:
        yield (
            "`better` is sure where it says so: alike targets differ so much in any row once in twenty benches "
            "(permutation tests within each prompt, Holm's adjustment over the rows)."
        )


def _cell(row: Row, name: str) -> str:
    if name not in row.figures:
        return ""
    one = row.figures[name]
    value = _number(one.value, row.measure.unit)
    if one.low is None and one.high is None:
        return value
    ends = (
        ("?" if end is None else _number(end, row.measure.unit, is_end=True)) for end in (one.low, one.high)
    )
    return f"{value} ({' to '.join(ends)})"


def _number(value: float, unit: str, *, is_end: bool = False) -> str:
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


def _better(row: Row) -> str:
    if row.winner is not None:
        return f"{row.winner}, sure"
    if row.leader is None:
        return "alike"
    return f"{row.leader}, may be chance" if row.differences else f"{row.leader}, too few to say"


def _by(row: Row) -> str:
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
