"""A bench's report as JSON can say it."""

import math
from typing import Any

from .plan import Load
from .report import BenchReport, Difference, Row, TargetFacts
from .statistics import Interval


def to_plain(found: BenchReport, load: Load, *, suite: str, is_complete: bool) -> dict[str, Any]:
    """The report as plain values. What took for ever, or is not known, is null."""
    return {
        "suite": suite,
        "complete": is_complete,
        "requests": load.requests,
        "concurrency": load.concurrency,
        "rate": load.rate,
        "warm_up": load.warm_up,
        "long_tokens": load.long_tokens,
        "seed": load.seed,
        "targets": {
            name: _facts(facts) | {"figures": {row.measure.name: _figure(row, name) for row in found.rows}}
            for name, facts in found.targets.items()
        },
        "rows": [_row(row) for row in found.rows],
    }


def _facts(facts: TargetFacts) -> dict[str, Any]:
    unique, of = facts.unique_answers or (None, None)
    return {
        "requests": facts.requests,
        "answered": facts.answered,
        "errors": dict(facts.errors),
        "validator_failures": dict(facts.broken),
        "unique_outputs_per_prompt": unique,
        "answers_per_prompt": of,
        "prompts_with_several_answers": facts.prompts,
        "prompts_always_answered_alike": facts.same_always,
        "long_input_tokens": facts.long_input_tokens,
        "cost_usd": facts.cost_usd,
        "answers_per_s": facts.answers_per_s,
        "late_p50_s": facts.late_p50_s,
        "late_max_s": facts.late_max_s,
    }


def _figure(row: Row, target: str) -> dict[str, Any] | None:
    if target not in row.figures:
        return None
    return {"n": row.counts[target], **_interval(row.figures[target])}


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.measure.name,
        "unit": row.measure.unit,
        "better": "less" if row.measure.less_is_better else "more",
        "leader": row.leader,
        "winner": row.winner,
        "too_few_requests": row.too_few,
        "differences": [_difference(one) for one in row.differences],
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "first": one.first,
        "second": one.second,
        "effect": "ratio" if one.is_ratio else "difference",
        **_interval(one.effect),
        "p_value": one.p_value,
        "p_value_alone": one.p_value_alone,
        "real": one.is_real,
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    ends = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: end if end is not None and math.isfinite(end) else None for name, end in ends.items()}
