"""The accounts of every component, and what one run does to all of them at once.

Only arrays, the components on the last axis. A component's accounts do not depend on another's, so the components of
many targets, put behind one another, are served by one update.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.evidence.bets import (
    LAMBDAS,
    LARGEST,
    RANKS,
    THRESHOLD_SHARES,
    THRESHOLDS,
    Bools,
    Counts,
    Floats,
    Side,
    gains,
    is_beyond,
)
from alerts.evidence.ranks import Places

Wealth = NDArray[np.float32]
Marks = NDArray[np.int8]


class Kind(StrEnum):
    """What an alarm asks for. Each kind has its own budget and its own wealth."""

    PAGE = "page"
    TICKET = "ticket"
    ROLLBACK = "rollback"


KINDS = tuple(Kind)


class Bets(NamedTuple):
    """The accounts of one kind: on each threshold, the high side first, one for each stake."""

    accounts: slice
    lambdas: Floats


# Tickets and rollbacks bet the middle stake only, which costs them less than one run: a third of the state for them.
_STAKES = {Kind.PAGE: LAMBDAS, Kind.TICKET: LAMBDAS[1:2], Kind.ROLLBACK: LAMBDAS[1:2]}
_ENDS = np.cumsum([0, *(THRESHOLDS * len(stakes) for stakes in _STAKES.values())]).tolist()

BETS = {
    kind: Bets(slice(first, last), stakes)
    for (kind, stakes), first, last in zip(_STAKES.items(), _ENDS[:-1], _ENDS[1:], strict=True)
}
"""The bets by kind, in the order of ``KINDS``."""

ACCOUNTS: int = _ENDS[-1]
"""How many accounts a component has."""

STEADY_RUNS = 6
"""How many bets after the last alarm ``is_steady`` looks at; ``docs/statistics.md`` has what other lengths do."""

QUIET_DRIPS = 8.0
"""A component whose evidence is at most this many drips shows nothing: a change is looked for after that run.

Without drift a component mostly rests at 2 to 10 of its drips. In simulation, 2 dates a change some 20 runs too
early, 12 a slow one some runs too late.
"""

UNMARKED = 9

# What lies below 24 bits of a double's 53: cut off, it is a single, and never a larger number than before.
_SINGLE_BITS = np.int64(-1 << 29)
_SMALLEST_SINGLE = float(np.finfo(np.float32).tiny)

_CHUNK = 8192
"""Components whose accounts are worked on at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """What must be kept of the components between runs.

    ``j`` and ``k`` are by label, ``wealth`` by account: those of pages first, then tickets, then rollbacks.
    ``at`` is the time of each component's last bet, ``paid_until`` the time up to which drip was paid, ``quiet_at``
    by kind the time of the last bet with next to no evidence; all in unix seconds. ``marks`` are the levels of the last
    bets, newest last. ``partial`` is the mean so far of a block that is not complete, ``gathered`` the runs in it.
    """

    j: Counts
    k: Counts
    wealth: Wealth
    at: Floats
    paid_until: Floats
    quiet_at: Floats
    marks: Marks
    partial: Floats
    gathered: Counts

    @staticmethod
    def opened(labels: int, components: int) -> "Accounts":
        """Accounts without evidence."""
        return Accounts(
            j=np.zeros((labels, components), dtype=np.int32),
            k=np.zeros((labels, THRESHOLDS, components), dtype=np.int32),
            wealth=np.zeros((ACCOUNTS, components), dtype=np.float32),
            at=np.full(components, np.nan),
            paid_until=np.full(components, np.nan),
            quiet_at=np.full((len(KINDS), components), np.nan),
            marks=np.full((STEADY_RUNS, components), UNMARKED, dtype=np.int8),
            partial=np.zeros(components),
            gathered=np.zeros(components, dtype=np.int32),
        )

    @staticmethod
    def join(accounts: Sequence["Accounts"]) -> "Accounts":
        """The accounts of several targets behind one another; where a target has fewer labels, the rest stay zero."""
        labels = max(len(one.j) for one in accounts)

        def padded(counts: Counts) -> Counts:
            return np.pad(counts, [(0, labels - len(counts)), *[(0, 0)] * (counts.ndim - 1)])

        columns = {field.name: [getattr(one, field.name) for one in accounts] for field in fields(Accounts)}
        columns |= {name: [padded(counts) for counts in columns[name]] for name in ("j", "k")}
        return Accounts(**{name: np.concatenate(arrays, axis=-1) for name, arrays in columns.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Faced:
    """What a run puts before each component: ``score`` is NaN where it has none.

    ``tie``, ``at`` and ``slot_s`` are one number for a single run and arrays for runs of several targets.
    ``drip_per_s`` is by kind; ``may_page`` is false for components that are for tickets only: their page and rollback
    accounts are neither fed nor bet.
    """

    score: Floats
    tie: Floats | float
    at: Floats | float
    slot_s: Floats | float
    drip_per_s: Floats
    may_page: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """The accounts after a run. ``evidence`` and ``alarmed`` are by kind, ``peak`` the wealth before alarms reset it.

    ``level`` is meant where ``has_bet`` is true: 0 inside, +1 beyond the upper 25 % threshold, +2 beyond the 5 %,
    +3 above all calibration runs; negative: below.
    """

    accounts: Accounts
    evidence: Floats
    alarmed: Bools
    peak: Wealth
    level: Marks
    has_bet: Bools


def play(places: Places, before: Accounts, run: Faced) -> Played:
    """Let every component that has a score bet on it, or on the block that it completes."""
    score, has_bet, partial, gathered = _due(places, before, run.score)
    in_row = places.row == np.arange(len(before.j))[:, None]
    j, k = _counts(places, before)
    beyond = is_beyond(places.limit, places.limit_tie, score, run.tie)
    beyond &= has_bet
    gain = np.where(has_bet, gains(beyond, places.q, places.n, j, k), 0.0)

    cap_s: Floats = np.asarray(run.slot_s * places.block, dtype=np.float64)
    dt = np.where(has_bet, _unpaid_s(before, run.at, cap_s), 0.0)
    is_loud = run.may_page & has_bet
    by_kind, fed = np.array([is_loud, has_bet, is_loud]), is_loud & places.feeds_pages
    drip = np.where(np.array([fed, has_bet, fed]), run.drip_per_s * dt, 0.0)
    peak = _wagered(before.wealth, gain, np.where(run.may_page, gain, 0.0), drip)
    evidence = evidence_of(peak)
    alarmed = (evidence >= 1.0) & by_kind
    quiet = by_kind & (alarmed | (evidence <= QUIET_DRIPS * run.drip_per_s * cap_s))
    level = beyond[:RANKS].sum(axis=0, dtype=np.int8) - beyond[RANKS:].sum(axis=0, dtype=np.int8)

    has_alarm = bool(alarmed.any())
    after = Accounts(
        j=before.j + (in_row & has_bet),
        k=before.k + (in_row[:, None] & beyond),
        wealth=_reset(peak, alarmed) if has_alarm else peak,
        at=np.where(has_bet, run.at, before.at),
        paid_until=np.where(has_bet, _paid_until(before, run.at, dt), before.paid_until),
        quiet_at=np.where(quiet, run.at, before.quiet_at),
        marks=_marked(before.marks, level, has_bet, alarmed),
        partial=partial,
        gathered=gathered,
    )
    return Played(
        after, np.where(alarmed, 0.0, evidence) if has_alarm else evidence, alarmed, peak, level, has_bet
    )


def evidence_of(wealth: Wealth) -> Floats:
    """The evidence by kind and component: what its accounts hold together.

    Account by account, which is the same order on every machine.
    """
    found = np.empty((len(KINDS), wealth.shape[1]))
    for row, bets in zip(found, BETS.values(), strict=True):
        np.add.reduce(wealth[bets.accounts], axis=0, dtype=np.float64, out=row)
    return found


def _due(places: Places, before: Accounts, score: Floats) -> tuple[Floats, Bools, Floats, Counts]:
    """The scores to bet on, where there is one, and what is left of blocks that are not complete."""
    has_score = ~np.isnan(score) & places.has_rank
    if places.block.max(initial=1) == 1:
        return score, has_score, before.partial, before.gathered
    # The shares of the largest floats may add up to a little more than there is: see ``block_of``.
    with np.errstate(over="ignore"):
        mean = np.where(has_score, before.partial + score / places.block, before.partial)
    mean = np.clip(mean, -LARGEST, LARGEST)
    gathered = before.gathered + has_score
    is_due = has_score & (gathered >= places.block)
    return mean, is_due, np.where(is_due, 0.0, mean), np.where(is_due, 0, gathered).astype(np.int32)


def _counts(places: Places, before: Accounts) -> tuple[Counts, Counts]:
    """The later runs so far under the label that each component is ranked within, and how many lay beyond."""
    if len(before.j) <= 1:
        return before.j.reshape(-1), before.k.reshape(THRESHOLDS, -1)
    row = places.row[None]
    return np.take_along_axis(before.j, row, 0)[0], np.take_along_axis(before.k, row[None], 0)[0]


def _unpaid_s(before: Accounts, at: Floats | float, cap_s: Floats) -> Floats:
    """The time that each component's drip is for: since its last bet, at most ``cap_s``, and never paid twice.

    Two clocks, because each alone can be fooled. Time since the last bet alone would be paid again when runs come back
    and forth. Time since what was paid for alone would let runs that follow an outage closely be paid for the outage.
    ``paid_until`` moves by what is paid, not to ``at``: a clock that once was years ahead costs one slot, not years.
    """
    since = np.minimum(at - before.at, at - before.paid_until)
    return np.asarray(np.where(np.isnan(before.at), cap_s, np.clip(since, 0.0, cap_s)))


def _paid_until(before: Accounts, at: Floats | float, dt: Floats) -> Floats:
    return np.asarray(np.where(np.isnan(before.paid_until), at, before.paid_until + dt))


def _wagered(wealth: Wealth, gain: Floats, page_gain: Floats, drip: Floats) -> Wealth:
    """The wealth after drip and bets: ``R <- (R + drip) * e``, cut to a single, and never rounded up."""
    after = np.empty_like(wealth)
    for start in range(0, wealth.shape[1], _CHUNK):
        chunk = slice(start, start + _CHUNK)
        held = wealth[:, chunk].astype(np.float64)
        for row, (kind, bets) in zip(drip, BETS.items(), strict=True):
            own = held[bets.accounts].reshape(THRESHOLDS, len(bets.lambdas), -1)
            own += (THRESHOLD_SHARES / len(bets.lambdas))[:, None, None] * row[chunk]
            won = gain if kind is Kind.TICKET else page_gain
            own *= 1.0 + bets.lambdas[:, None] * won[:, None, chunk]
        bits = held.view(np.int64)
        bits &= _SINGLE_BITS
        held *= held >= _SMALLEST_SINGLE
        after[:, chunk] = held
    return after


def side_of(peak: Wealth, kind: Kind) -> Side:
    """The side that most of one component's evidence of this kind is on."""
    high, low = np.split(peak[BETS[kind].accounts], 2)
    return Side.HIGH if high.sum() >= low.sum() else Side.LOW


def _reset(peak: Wealth, alarmed: Bools) -> Wealth:
    after = peak.copy()
    for is_reset, bets in zip(alarmed, BETS.values(), strict=True):
        after[bets.accounts, is_reset] = 0.0
    return after


def _marked(marks: Marks, level: Marks, has_bet: Bools, alarmed: Bools) -> Marks:
    """The marks with this bet's behind them; none where an alarm starts the count again."""
    shifted = np.concatenate([marks[1:], level[None]])
    kept = np.where(has_bet, shifted, marks)
    return np.where(alarmed.any(axis=0), np.int8(UNMARKED), kept)
