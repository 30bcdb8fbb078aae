"""How much of a budget calls have used: dollars or tokens in an hour, a day or a month of the calendar."""

from collections.abc import Sequence
from datetime import UTC, datetime

from alerts.finding import Label, Severity

from ..windows.tallies import OTHER_VALUES
from .config import WatchConfig
from .judgement import Judgement, nothing_to_judge
from .long_looks import Spent
from .measures import Unit, show
from .sections import Period, TrafficBudgetConfig

NAMED_MAX = 5
"""How many values of the attribute a finding names, those that used most."""

PER_CENT_BELOW = 10
"""From so many times a budget on nobody reckons in per cent."""

HELD_SHARE = 0.98
"""From this share of a level on an open incident is held: a call that is counted anew may cost less than before, and
the same overspend must not be told twice."""


def period_start(period: Period, now: datetime) -> datetime:
    """When the hour, day or month began that ``now`` lies in, by the calendar in UTC."""
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if period is Period.HOUR:
        return start
    start = start.replace(hour=0)
    return start if period is Period.DAY else start.replace(day=1)


def judge_budget(watch: WatchConfig, spent: Spent, now: datetime, missing: str = "") -> Judgement:
    """What the watch says of what was ``spent`` since its period began.

    What was spent is a fact and not a sample: no bounds are needed. ``missing`` says which of it is not known yet.
    """
    budget = watch.budget
    if budget is None:
        raise ValueError(f"the watch {watch.name} has no budget")
    since = f"since {period_start(budget.every, now):%Y-%m-%d %H:%M} UTC"
    if not spent.calls:
        return nothing_to_judge(0, f"no calls {since}{missing}", budget.unit, budget.limit)
    # What is counted together because there are too many values is nobody's own.
    own = {value: amount for value, amount in spent.by_value.items() if value != OTHER_VALUES}
    most = sorted(own.items(), key=lambda item: (-item[1], item[0]))
    value = most[0][1] if most else 0.0
    over = [one for one in most if one[1] >= budget.limit]
    near = [one for one in most if budget.ticket_at and one[1] >= budget.ticket_at * budget.limit]
    is_over, is_near = bool(over), bool(near)
    reason = f"{_used(budget, over or near or most[:1])} {since}{_beside(budget, spent)}{missing}"
    return Judgement(
        Label.BREACHED if is_over or is_near else Label.STEADY,
        value,
        None,
        None,
        spent.calls,
        reason,
        # What is not known yet may be what an open incident is about: that stays as it is.
        is_doubtful=not is_near
        and not is_over
        and (bool(missing) or _would_be(budget, value, spent) or value >= HELD_SHARE * _first_level(budget)),
        threshold=budget.limit,
        unit=budget.unit,
        severity=Severity.TICKET if is_near and not is_over else None,
        evidence=_evidence(budget, over or near, spent) if is_over or is_near else (),
    )


def _used(budget: TrafficBudgetConfig, who: Sequence[tuple[str, float]]) -> str:
    limit = f"the {budget.every.value}'s {show(budget.limit, budget.unit)}"
    if not who:
        return f"no call has {budget.per}: nothing of {limit} is used"
    value, amount = who[0]
    share = _times(amount / budget.limit)
    name = f'{budget.per} "{value}" has used ' if budget.per else "calls have used "
    more = f" (and {len(who) - 1} more {budget.per} as much or nearly)" if len(who) > 1 else ""
    return f"{name}{show(amount, budget.unit)}, {share} {limit}{more}"


def _times(part: float) -> str:
    """How much of it, as people say it: ``135 % of``, ``53 times``."""
    if part < PER_CENT_BELOW:
        return f"{part * 100:.3g} % of"
    return f"{part:,.0f} times"


def _beside(budget: TrafficBudgetConfig, spent: Spent) -> str:
    """What is in no sum, so that nobody takes the sum for all there is."""
    together = spent.by_value.get(OTHER_VALUES, 0.0)
    remarks = (
        f"; {show(spent.unsure, Unit.DOLLARS)} more are of ambiguous prices and not counted"
        if spent.unsure
        else "",
        f"; {spent.unpriced} calls have no known price" if spent.unpriced else "",
        f"; {spent.unnamed} calls have no {budget.per}" if budget.per and spent.unnamed else "",
        f"; {show(together, budget.unit)} more are of {budget.per} too many to tell apart"
        if together
        else "",
    )
    return "".join(remarks)


def _first_level(budget: TrafficBudgetConfig) -> float:
    return budget.limit * (budget.ticket_at or 1.0)


def _would_be(budget: TrafficBudgetConfig, most: float, spent: Spent) -> bool:
    return bool(spent.unsure) and most + spent.unsure >= budget.limit


def _evidence(
    budget: TrafficBudgetConfig, who: Sequence[tuple[str, float]], spent: Spent
) -> tuple[tuple[str, str], ...]:
    lines = [
        (budget.per, f"{value}: {show(amount, budget.unit)}")
        for value, amount in who[:NAMED_MAX]
        if budget.per
    ]
    if budget.per and len(who) > NAMED_MAX:
        lines.append((budget.per, f"{len(who) - NAMED_MAX} more"))
    if spent.unsure:
        lines.append(("of ambiguous prices, not counted", show(spent.unsure, Unit.DOLLARS)))
    return tuple(lines)
