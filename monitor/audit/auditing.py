"""Facts in, audit out: every change of every subject, judged all together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dashboards.audit.report import (
    Against,
    Audit,
    Change,
    Line,
    ModelEntry,
    ModelFigures,
    Mover,
    Reality,
    Subject,
)

from .changes import ALPHA, adjusted
from .facts import Facts, ModelFacts
from .subjects import at_quantile, service_of, target_of
from .tally import Tally

MOVERS_MAX = 50
"""How many movers an audit names, those first that are worse."""

NOISE_MOVERS = 5
"""How many of those that are within noise, so that nobody takes the largest of them for news."""


def audit(facts: Facts) -> Audit:
    """The audit of these facts."""
    subjects = [target_of(one) for one in facts.targets] + [
        service_of(one, facts.span) for one in facts.services
    ]
    subjects, tests = _judged(subjects, facts.against)
    return Audit(
        at=facts.at,
        since=facts.since,
        until=facts.until,
        against=facts.against,
        subjects=tuple(subjects),
        movers=_movers(subjects, facts.against),
        models=tuple(_entry(one, facts) for one in facts.models),
        budgets=tuple(facts.budgets),
        paging=facts.paging,
        unseen=tuple(facts.unseen),
        baseline_days=max((len(one.days) for one in facts.services), default=0),
        tests=tests,
        night=facts.night,
    )


def _judged(subjects: Sequence[Subject], chosen: Against) -> tuple[list[Subject], int]:
    """The subjects with changes judged together, those against the same as one family; and how many the chosen has."""
    tests = 0
    for against in Against:
        p_values = [
            change.p_value for one in subjects for line in one.lines if (change := _tested(line, against))
        ]
        together = iter(adjusted([p for p in p_values if p is not None]))
        subjects = [
            replace(one, lines=tuple(_with_adjusted(line, against, together) for line in one.lines))
            for one in subjects
        ]
        tests = len(p_values) if against is chosen else tests
    return list(subjects), tests


def _tested(line: Line, against: Against) -> Change | None:
    change = line.change(against)
    return change if change is not None and change.p_value is not None else None


def _with_adjusted(line: Line, against: Against, together: Iterator[float]) -> Line:
    change = _tested(line, against)
    if change is None:
        return line
    p_adjusted = next(together)
    reality = change.reality if p_adjusted <= ALPHA else Reality.NOISE
    judged = replace(change, p_adjusted=p_adjusted, reality=reality)
    if against is Against.PREVIOUS:
        return replace(line, previous=judged)
    return replace(line, baseline=judged)


def _movers(subjects: Sequence[Subject], against: Against) -> tuple[Mover, ...]:
    found = [Mover(one.kind, one.name, line) for one in subjects for line in one.lines]

    def of(reality: Reality) -> list[Mover]:
        mine = [one for one in found if (change := one.line.change(against)) and change.reality is reality]
        return sorted(mine, key=lambda one: (not one.line.is_worse(against), -one.line.size(against)))

    return (*of(Reality.REAL)[:MOVERS_MAX], *of(Reality.NOISE)[:NOISE_MOVERS])


# Models


def _entry(facts: ModelFacts, all_facts: Facts) -> ModelEntry:
    is_new = facts.first_seen is not None and facts.first_seen >= all_facts.since
    return ModelEntry(
        model=facts.model,
        provider=facts.provider,
        asked_as=facts.asked_as,
        first_seen=facts.first_seen,
        last_seen=facts.last_seen,
        is_new=is_new,
        services=facts.services,
        targets=facts.targets,
        use=facts.use,
        now=_figures(facts.now),
        usual=_figures(facts.days),
        canary_checked=facts.canary_checked,
        canary_broken=facts.canary_broken,
    )


def _figures(tally: Tally) -> ModelFigures:
    def mean(total: float, n: int) -> float | None:
        return total / n if n else None

    return ModelFigures(
        calls=tally.calls,
        cost_usd=tally.cost_usd if tally.priced else None,
        cost_per_call=mean(tally.cost_usd, tally.priced),
        latency_p50=at_quantile(tally.latency_s, 0.5),
        latency_p95=at_quantile(tally.latency_s, 0.95),
        latency_p99=at_quantile(tally.latency_s, 0.99),
        ttft_p95=at_quantile(tally.ttft_s, 0.95),
        input_tokens=mean(tally.input_tokens, tally.asked),
        output_tokens=mean(tally.output_tokens, tally.answered),
        error_share=mean(tally.failed, tally.calls),
        checked=tally.checked,
        broken=tally.broken,
    )
