"""How regularly a service makes calls, learned from its own minutes: how long a pause has to be to mean something.

Time is counted in minutes with calls that were due: an hour of the week in which every second minute has a call counts
30 of them, a night without calls none. In that time the pauses of the past weeks are sorted, and the longest of them
are continued by a power law (Hill's estimator) to the pause that would come about once a quarter. Bursts and lulls
are in those pauses; what is steadier than a power law is told a little later than it could be.
"""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ..windows.series import MINUTE_S

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HISTORY_S = 28 * 86_400
"""How far back the rhythm is learned: each hour of the week four times."""

DAYS_MIN = 14.0
"""How many days a service must be known: by one week nobody could tell whether it is like the next."""

ACTIVE_MIN = 200
"""How many minutes with calls there must be at least, to know of the pauses between them."""

QUARTER_DAYS = 91.0
FALSE_A_QUARTER = 1.0
"""How often a service with its usual rhythm may pause for longer than its limit."""

LIMIT_MIN = 10.0
"""So many minutes with calls must be due at least: exporters restart, and work ends earlier than on other days."""

PAUSE_MAX_S = 86_400.0
"""A limit that takes longer than this on average is none: such a service is too irregular to be judged."""

TAILS = (15, 30, 200)
"""How many of the longest pauses are continued: each number gives an answer."""

GRACE = 1.0
"""A pause is counted as so much longer while it is estimated: whole minutes are coarse steps for short ones."""

WEEK_MINUTES = 7 * 1_440

DAY_S = 86_400

HOURS = 168
"""The hours of a week, each of which has a rate of its own."""

RECENT_S = (3 * 3_600, 86_400)
"""Over these times before its last call it is looked whether the service calls less than it used to."""

RECENT_DUE = 1.0
"""So many minutes with calls are granted to the recent past: too few to tell are as usual."""

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The usual share of minutes with calls by hour of the week, and how many due ones may pass without any.

    ``problem`` tells why there is no limit, where there is none. On a day of ``holidays`` so much is due as at the same
    hour of the quietest day of the week.
    """

    shares: Floats
    limit: float
    days: float
    problem: str = ""
    holidays: frozenset[date] = frozenset()

    @property
    def is_judged(self) -> bool:
        """Whether a pause can be too long."""
        return not self.problem

    def due(self, first_minute: int, end_minute: int) -> float:
        """How many minutes with calls are usual from one minute to another, which is not counted itself."""
        minutes = np.arange(first_minute, end_minute, MINUTE_S)
        hours = minutes // 3_600 % HOURS
        due = np.where(_is_among(self.holidays, minutes), _quietest(self.shares)[hours], self.shares[hours])
        return float(due.sum())


def learn(active: Flags, origin: int, holidays: frozenset[date] = frozenset()) -> Rhythm:
    """The rhythm of minutes with and without calls, the first of which begins at ``origin`` in unix seconds.

    What came after the last call is not looked at: it may be the silence that is to be found. Nor are ``holidays``,
    dates in UTC, taken for days like others.
    """
    calls = np.flatnonzero(active)
    days = float(calls[-1] - calls[0] + 1) * MINUTE_S / 86_400 if len(calls) else 0.0
    if days < DAYS_MIN:
        return _unfit(days, f"it is known for {int(days)} days, and {DAYS_MIN:g} are needed")
    if len(calls) < ACTIVE_MIN:
        return _unfit(
            days, f"its calls are too rare: {len(calls)} minutes with calls, {ACTIVE_MIN} are needed"
        )
    active = active[calls[0] : calls[-1] + 1]
    minutes = origin + MINUTE_S * np.arange(calls[0], calls[-1] + 1)
    hours, is_holiday = minutes // 3_600 % HOURS, _is_among(holidays, minutes)
    shares = _shares(active[~is_holiday], hours[~is_holiday])
    passed = np.concatenate(([0.0], np.cumsum(_shares_of_other_weeks(active, hours, is_holiday))))
    limit = max(LIMIT_MIN, _limit(np.diff(passed[calls - calls[0]]), days))
    mean = float(shares.mean())
    if limit * MINUTE_S > PAUSE_MAX_S * mean:
        return _unfit(days, "its calls are too irregular: even pauses of a day would be nothing unusual")
    return Rhythm(shares, limit, days, holidays=holidays)


def recent_share(rhythm: Rhythm, active: Flags, origin: int, last: int) -> float:
    """How many of the usual minutes with calls there were before the minute ``last``, 1 at most.

    A service that has come to make fewer calls pauses longer, and is not silent for that.
    """
    found = 1.0
    for span_s in RECENT_S:
        first = max(origin, last + MINUTE_S - span_s)
        seen = active[(first - origin) // MINUTE_S : (last - origin) // MINUTE_S + 1].sum()
        found = min(found, (float(seen) + RECENT_DUE) / (rhythm.due(first, last + MINUTE_S) + RECENT_DUE))
    return found


def _unfit(days: float, problem: str) -> Rhythm:
    return Rhythm(np.zeros(HOURS), math.inf, days, problem)


def _is_among(holidays: frozenset[date], minutes: Integers) -> Flags:
    """Which of the minutes, told by their starts in unix seconds, lie on one of the days."""
    found: Flags = np.isin(minutes // DAY_S, [day.toordinal() - _EPOCH for day in holidays])
    return found


def _quietest(shares: Floats) -> Floats:
    """For each hour of the week what is usual at that hour of its quietest day."""
    return np.tile(shares.reshape(7, 24).min(axis=0), 7)


def _shares(active: Flags, hours: Integers) -> Floats:
    """The share of minutes with calls by hour of the week, each with the quietest of its neighbours.

    Work that begins half an hour later, or a clock that is put forward, is so no silence.
    """
    minutes = np.bincount(hours, minlength=HOURS)
    shares = np.bincount(hours, active.astype(np.float64), HOURS) / np.maximum(minutes, 1)
    return np.minimum(shares, np.minimum(np.roll(shares, 1), np.roll(shares, -1)))


def _shares_of_other_weeks(active: Flags, hours: Integers, is_holiday: Flags) -> Floats:
    """What was due in each minute by the rhythm of the weeks before and after its own.

    By its own week a lull would be usual at its hour, and the pauses in it would look shorter than the next will.
    """
    weeks = np.arange(len(active)) // WEEK_MINUTES
    due = np.empty(len(active))
    for week in range(int(weeks[-1]) + 1):
        mine, others = weeks == week, (weeks != week) & ~is_holiday
        shares = _shares(active[others], hours[others])
        due[mine] = np.where(is_holiday[mine], _quietest(shares)[hours[mine]], shares[hours[mine]])
    return due


def _limit(pauses: Floats, days: float) -> float:
    """The pause that would be exceeded about ``FALSE_A_QUARTER`` times a quarter."""
    # The longest of each week are left out of the estimate: they may be earlier silences, or times that nobody
    # listened, and one of them must not make us deaf for a month. What is left is weighted as if they were there.
    longest, left_out = np.sort(pauses)[::-1] + GRACE, int(days // 7)
    rates = [tail * QUARTER_DAYS / days / FALSE_A_QUARTER for tail in TAILS]
    # A few pauses may be of another kind than the many; the longer answer is the safer one.
    limits = [_exceeded(longest, tail, left_out, rate) for tail, rate in zip(TAILS, rates, strict=True)]
    return max(limits) - GRACE


def _exceeded(longest: Floats, tail: int, left_out: int, times: float) -> float:
    """The pause that one in ``times`` of the ``tail`` longest exceeds, when these go on as a power law."""
    tail = min(tail, len(longest) // 2)
    logs, ranks = np.log(longest[left_out : tail + 1]), np.arange(left_out + 1, tail + 1)
    exponent = float((ranks * -np.diff(logs)).sum()) / len(ranks)
    return float(longest[tail]) * math.exp(min(exponent * math.log(times), 50.0))
