"""How fast the error budget of an objective burns: long and short windows together, as the SRE workbook has them.

The burn rate is the share of bad calls over the share that may be bad: at 1 the budget lasts exactly its period. An
alarm needs a long window, which says that it matters, and a short one, which says that it still goes on
(https://sre.google/workbook/alerting-on-slos/, "multiwindow, multi-burn-rate alerts").
"""

from dataclasses import dataclass
from datetime import datetime

from alerts.finding import Label, Severity

from ..windows.series import MINUTE_S, minute_of
from .config import WatchConfig
from .judgement import Judgement, after_incident, nothing_to_judge
from .long_looks import DAY_S, HOUR_S, Outcomes
from .measures import Unit
from .measuring import share
from .sections import SloConfig

MINUTES_UP_TO_S = 2 * HOUR_S
"""Windows up to this length are rounded out to whole minutes; longer ones to whole hours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A long and a short window. An alarm is due when the ``long_s`` would use up ``share`` of the error budget."""

    long_s: int
    short_s: int
    share: float
    severity: Severity

    def burn(self, period_s: float) -> float:
        """The burn rate that uses so much of the budget of this period: 14.4, 6, 3 and 1 for 30 days.

        Never less than 1: at that the budget lasts for its period.
        """
        return max(1.0, self.share * period_s / self.long_s)

    @property
    def name(self) -> str:
        """The windows as people name them: ``1h/5m``."""
        return f"{_length(self.long_s)}/{_length(self.short_s)}"


PAIRS = (
    Pair(HOUR_S, 300, 0.02, Severity.PAGE),
    Pair(6 * HOUR_S, 1_800, 0.05, Severity.PAGE),
    Pair(DAY_S, 2 * HOUR_S, 0.1, Severity.TICKET),
    Pair(3 * DAY_S, 6 * HOUR_S, 0.1, Severity.TICKET),
)
"""The windows of the workbook, the fastest first."""


@dataclass(frozen=True, slots=True)
class Burn:
    """What one pair of windows says. ``rate`` is over the long one, and surely at least ``low``.

    ``short`` is over the short one, and no more than since the last incident ended.
    """

    pair: Pair
    limit: float
    calls: int
    bad: int
    rate: float
    low: float
    short: float

    @property
    def seems(self) -> bool:
        """Whether both windows burn faster than they may."""
        return self.rate > self.limit and self.short > self.limit


def judge_slo(
    watch: WatchConfig,
    outcomes: Outcomes,
    now: datetime,
    missing: str = "",
    ended_at: datetime | None = None,
) -> Judgement:
    """What the watch says of the outcomes of its period; ``missing`` says which of them are not known yet.

    ``ended_at`` is when its last incident ended: what burns again is seen in minutes that began after that.

    With few calls one failure alone is a burn rate of any size. So an alarm also needs ``min_bad`` bad calls, and a
    burn rate that is surely beyond its limit, given how few calls there were.
    """
    slo = watch.slo
    if slo is None:
        raise ValueError(f"the watch {watch.name} has no objective")
    at = now.timestamp()
    calls, bad = outcomes.since(hour_of(at - slo.period))
    left = f"{_left(slo, calls, bad)}{missing}"
    burns = [
        burn for pair in PAIRS if (burn := _burn(slo, pair, outcomes, at, ended_at)).calls >= watch.min_calls
    ]
    if not burns:
        reason = f"too few calls for a burn rate, {watch.min_calls} are needed in 3d; {left}"
        return nothing_to_judge(calls, reason, Unit.BURN, PAIRS[0].burn(slo.period))
    sure = [one for one in burns if one.seems and one.low > one.limit and one.bad >= slo.min_bad]
    seeming = [one for one in burns if one.seems]
    # The loudest counts; where none is alarmed the fastest that can be judged is shown.
    shown = next(iter(sure or seeming), burns[0])
    reason = f"{_sentence(slo, shown, is_sure=bool(sure))}; {left}"
    return Judgement(
        Label.BREACHED if sure else Label.STEADY,
        shown.rate,
        shown.low,
        None,
        shown.calls,
        reason,
        # What is not known yet may be what an open incident is about: that stays as it is.
        is_doubtful=not sure and (bool(seeming) or bool(missing)),
        threshold=shown.limit,
        unit=Unit.BURN,
        severity=shown.pair.severity if sure and shown.pair.severity is Severity.TICKET else None,
        evidence=(*((f"burn rate {one.pair.name}", _line(one)) for one in burns), ("error budget", left))
        if sure
        else (),
    )


def hour_of(at: float) -> int:
    """The start of the hour that holds ``at``, both in unix seconds."""
    return int(at // HOUR_S) * HOUR_S


def _burn(slo: SloConfig, pair: Pair, outcomes: Outcomes, at: float, ended_at: datetime | None) -> Burn:
    calls, bad = outcomes.since(_start(at, pair.long_s))
    short = _start(at, pair.short_s)
    # Both, as after the end there may be few calls, of which one that failed says little.
    shorts = [outcomes.since(start) for start in (short, after_incident(short, ended_at))]
    found = share(bad, calls) if calls else None
    return Burn(
        pair,
        pair.burn(slo.period),
        calls,
        bad,
        found.value / slo.allowed if found else 0.0,
        found.low / slo.allowed if found else 0.0,
        min(was_bad / n / slo.allowed if n else 0.0 for n, was_bad in shorts),
    )


def _start(at: float, length_s: int) -> int:
    return minute_of(at - length_s) if length_s <= MINUTES_UP_TO_S else hour_of(at - length_s)


def _sentence(slo: SloConfig, burn: Burn, *, is_sure: bool) -> str:
    certainty = "" if is_sure else "not surely " if burn.seems else "not "
    few = ""
    if burn.seems and not is_sure:
        few = f" (at least {burn.low:.3g}; of few calls, {slo.min_bad} bad ones at least are needed)"
    return (
        f"the error budget burns {burn.rate:.3g} times as fast as it may{few}: {burn.bad} of {burn.calls} calls in "
        f"{_length(burn.pair.long_s)} were bad, {certainty}above {burn.limit:.3g} times"
    )


def _line(burn: Burn) -> str:
    return f"{burn.rate:.3g} and {burn.short:.3g}, limit {burn.limit:.3g} ({burn.bad} of {burn.calls} calls)"


def _left(slo: SloConfig, calls: int, bad: int) -> str:
    days = f"{slo.period / DAY_S:g} days"
    if not calls:
        return f"no calls in {days}"
    used, of = bad / (calls * slo.allowed), f"({bad} of {calls} calls bad)"
    if used > 1:
        return f"the error budget of {days} is used up {used:.3g} times over {of}"
    return f"{(1 - used) * 100:.3g} % of the error budget of {days} is left {of}"


def _length(seconds: int) -> str:
    for size, name in ((DAY_S, "d"), (HOUR_S, "h")):
        if seconds % size == 0:
            return f"{seconds // size}{name}"
    return f"{seconds // MINUTE_S}m"
