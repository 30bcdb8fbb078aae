"""From the database and the configuration to the facts of an audit. It reads, and takes seconds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from sqlmodel import Session

import alerts.store as alert_store
from alerts.actions import records_of
from alerts.evidence.ledger import QUARTER_S
from alerts.incident import Incident
from canaries.sensitivity import BlindCanary
from canaries.store import spent_usd
from dashboards.audit.report import Against, BudgetLine, FalseRule, Paging, ShortPage

from ..config import Deployment
from ..traffic.watches.budgets import period_start
from ..traffic.watches.config import WatchConfig
from ..traffic.watches.long_looks import Spent
from ..traffic.watches.match import fits
from ..traffic.windows.tallies import OTHER_VALUES
from .canary_sums import TargetSums, read_target
from .facts import DAY_S, Facts, ModelFacts, ServiceFacts, Span, TargetFacts, moment, span_of
from .traffic_sums import ModelKey, ModelSums, Progress, TrafficSums, read_spending, read_traffic
from .unseen import unseen_canaries, unseen_traffic

SHORT_S = 600.0
"""A page whose finding was over so soon was hardly worth it: its rule wants a longer `for`, or another threshold."""

Blind = Mapping[str, Sequence[BlindCanary]]
"""The canaries of each target that cannot see what they are there for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which audit: of what time, against what, and of which night, if it is a nightly one."""

    since: datetime
    until: datetime
    against: Against = Against.PREVIOUS
    night: str = ""
    blind: Blind = field(default_factory=dict)


def gather(
    session: Session,
    deployment: Deployment,
    wanted: Wanted,
    now: datetime,
    progress: Progress = lambda windows: None,
) -> Facts:
    """The facts of an audit, from what is stored now."""
    span = span_of(wanted.since, wanted.until)
    traffic = read_traffic(session, span, progress)
    targets = {
        name: read_target(session, name, deployment.suites[name].name, span)
        for name in deployment.config.targets
    }
    services = _services(traffic)
    return Facts(
        at=now,
        since=moment(span.first),
        until=moment(span.end),
        against=wanted.against,
        span=span,
        services=services,
        targets=[_target(deployment, name, sums) for name, sums in targets.items()],
        models=_models(deployment, traffic, targets),
        budgets=_budgets(session, deployment, span, progress),
        paging=_paging(session, deployment, span),
        unseen=[*unseen_canaries(targets, wanted.blind), *unseen_traffic(traffic, services)],
        night=wanted.night,
    )


def _target(deployment: Deployment, name: str, sums: TargetSums) -> TargetFacts:
    target, suite = deployment.config.targets[name], deployment.suites[name]
    return TargetFacts(name, target.model, suite.name, sums.now, sums.previous, sums.baseline)


def _services(traffic: TrafficSums) -> list[ServiceFacts]:
    keys = sorted({*traffic.now, *traffic.previous})
    return [
        ServiceFacts(*key, traffic.now.get(key, {}), traffic.previous.get(key, {}), traffic.days.get(key, {}))
        for key in keys
    ]


# Models


def _models(
    deployment: Deployment, traffic: TrafficSums, targets: Mapping[str, TargetSums]
) -> list[ModelFacts]:
    """The models with calls in the period or on the days before, and those that canaries met; the busiest first."""
    found = {key: sums for key, sums in traffic.models.items() if sums.now.calls or sums.days.calls}
    asked = {name: [one for one, sums in targets.items() if name in sums.models] for name in _met(targets)}
    known = {model for _, model in found}
    for name in asked:
        if name not in known:
            found["", name] = ModelSums()
    facts = [_model(deployment, key, sums, targets, asked.get(key[1], [])) for key, sums in found.items()]
    return sorted(facts, key=lambda one: (-one.now.calls, -one.days.calls, one.model, one.provider))


def _met(targets: Mapping[str, TargetSums]) -> list[str]:
    return sorted({name for sums in targets.values() for name in sums.models if name})


def _model(
    deployment: Deployment,
    key: ModelKey,
    sums: ModelSums,
    targets: Mapping[str, TargetSums],
    by: Sequence[str],
) -> ModelFacts:
    provider, model = key
    met = [targets[name].models[model] for name in by]
    return ModelFacts(
        model=model or "(no name)",
        provider=provider,
        asked_as=tuple(sorted(sums.asked_as - {model})),
        first_seen=None if sums.first_s is None else moment(sums.first_s),
        last_seen=None if sums.last_s is None else moment(sums.last_s),
        services=tuple(sorted(filter(None, sums.services))),
        targets=tuple(by),
        use=_use(deployment, key, sums),
        now=sums.now,
        days=sums.days,
        canary_checked=sum(one.checked for one in met),
        canary_broken=sum(one.broken for one in met),
    )


def _use(deployment: Deployment, key: ModelKey, sums: ModelSums) -> str:
    """What the operator noted: of the first note that fits."""
    provider, model = key
    for note in deployment.config.models:
        names = {model, *sums.asked_as}
        if fits(note.provider, provider) and any(fits(note.model, name) for name in names):
            return note.use
    return ""


# Money


def _budgets(session: Session, deployment: Deployment, span: Span, progress: Progress) -> list[BudgetLine]:
    """The budgets of production as they stood when the period ended, and the spend caps of canaries in it."""
    until = moment(span.end)
    # A period that ends at midnight is about the day that is over, not about the one that begins.
    inside = until - timedelta(seconds=60)
    watches = [
        (watch, int(period_start(watch.budget.every, inside).timestamp()))
        for watch in deployment.config.watches
        if watch.budget is not None
    ]
    spent = read_spending(session, watches, span.end, progress) if watches else []
    lines = [_budget(watch, found) for (watch, _), found in zip(watches, spent, strict=True)]
    return lines + _caps(session, deployment, span)


def _budget(watch: WatchConfig, spent: Spent) -> BudgetLine:
    budget = watch.budget
    assert budget is not None  # noqa: S101 - only those are asked for
    own = {value: amount for value, amount in spent.by_value.items() if value != OTHER_VALUES}
    who = max(own, key=lambda value: (own[value], value), default="")
    remarks = [f"{spent.unpriced:,} calls have no known price"] if spent.unpriced else []
    if spent.unsure:
        remarks.append(f"${spent.unsure:,.2f} more are of ambiguous prices")
    return BudgetLine(
        watch.name,
        budget.every.value,
        own.get(who, 0.0),
        budget.limit,
        "USD" if budget.usd else "tokens",
        f"{budget.per} {who}" if budget.per and who else "",
        "; ".join(remarks),
    )


def _caps(session: Session, deployment: Deployment, span: Span) -> list[BudgetLine]:
    lines = []
    for name, target in deployment.config.targets.items():
        cap = target.spend_cap_usd_per_day
        if cap is None:
            continue
        used = _canaries_cost(session, name, span)
        lines.append(BudgetLine(f"canaries of {name}", "day", used, cap, "USD"))
    return lines


def _canaries_cost(session: Session, target: str, span: Span) -> float:
    since, until = moment(span.end - DAY_S), moment(span.end)
    return spent_usd(session, target, since) - spent_usd(session, target, until)


# Pages


def _paging(session: Session, deployment: Deployment, span: Span) -> Paging:
    """The pages of the period, those of the quarter that ends with it, which were over at once and which false."""
    before, quarter = span.before(), span.end - QUARTER_S
    paged = [
        one
        for one in alert_store.pages_since(session, moment(min(quarter, before.first)))
        if one.paged_at is not None and one.paged_at.timestamp() < span.end
    ]
    now = [one for one in paged if _at(one) >= span.first]
    by_rule = Counter(one.key for one in now)
    return Paging(
        pages=len(now),
        previous=sum(before.first <= _at(one) < before.end for one in paged),
        quarter=sum(_at(one) >= quarter for one in paged),
        budget=deployment.config.budget.pages_per_quarter,
        by_rule=tuple(by_rule.most_common()),
        short=_short(now),
        open_now=sum(one.is_open for one in now),
        false_rules=_false_rules([one for one in paged if _at(one) >= quarter]),
    )


def _false_rules(pages: Sequence[Incident]) -> tuple[FalseRule, ...]:
    return tuple(
        FalseRule(one.rule, one.wrong, one.right, one.pages)
        for one in records_of(pages)
        if one.keeps_being_false
    )


def _short(pages: Sequence[Incident]) -> tuple[ShortPage, ...]:
    lasted: dict[str, list[float]] = {}
    for one in pages:
        if one.resolved_at is not None:
            over = one.steady_since or one.resolved_at
            lasted.setdefault(one.key, []).append(max(0.0, over.timestamp() - _at(one)))
    of = Counter(one.key for one in pages)
    found = [
        ShortPage(key, len(short), of[key], median(short))
        for key, all_s in lasted.items()
        if (short := [seconds for seconds in all_s if seconds <= SHORT_S])
    ]
    return tuple(sorted(found, key=lambda one: (-one.short, one.rule)))


def _at(incident: Incident) -> float:
    return incident.paged_at.timestamp() if incident.paged_at else 0.0
