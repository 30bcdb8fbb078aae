"""The drip ledger: wealth that drips in at the rate of the false-page budget, is bet on every run, and pages
at one.

For each bet ``R <- (R + drip) * e``. A fair bet keeps the mean of ``R``, so without drift it grows by the
drip and no faster; an alarm takes at least one out. Hence expected false alarms never exceed what has dripped
in: the budget.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from alerts.evidence import storage
from alerts.evidence.accounts import (
    KINDS,
    QUIET_DRIPS,
    STEADY_RUNS,
    UNMARKED,
    Accounts,
    Faced,
    Kind,
    Played,
    evidence_of,
    play,
    side_of,
)
from alerts.evidence.bets import LARGEST, Floats, Side
from alerts.evidence.ranks import PAGE_CALIBRATION_MIN, UNLABELLED, Ranks

QUARTER_S = 91.25 * 86_400
"""A quarter of a year, in seconds."""

STEADY_BEYOND_MAX = 2
"""How many of the runs that :func:`is_steady` looks at may lie beyond the 25 % threshold of one side; 1.5 are
expected without drift."""

_LEVEL_25, _LEVEL_5 = 1, 2

__all__ = [
    "KINDS",
    "PAGE_CALIBRATION_MIN",
    "QUARTER_S",
    "QUIET_DRIPS",
    "STEADY_BEYOND_MAX",
    "STEADY_RUNS",
    "Alarm",
    "Budgets",
    "Kind",
    "Ledger",
    "Observation",
    "Step",
    "is_steady",
    "observe",
    "open_ledger",
]


@dataclass(frozen=True, slots=True)
class Budgets:
    """False alarms per quarter that the whole deployment may expect of each kind."""

    pages_per_quarter: float = 0.25
    tickets_per_quarter: float = 13.0
    rollbacks_per_quarter: float = 0.02

    def __post_init__(self) -> None:
        for name, value in zip(self.__slots__, self.per_quarter, strict=True):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; it must be zero or more")

    @property
    def per_quarter(self) -> tuple[float, float, float]:
        """The budgets in the order of ``KINDS``."""
        return self.pages_per_quarter, self.tickets_per_quarter, self.rollbacks_per_quarter


@dataclass(frozen=True, slots=True)
class Observation:
    """The scores of one run.

    ``slot_s`` is the time between scheduled runs, ``tie`` the run's own
    :func:`~alerts.evidence.bets.tie_break`, ``label`` that of its backend, hour class and the like. A component
    whose score is absent or NaN skips the run: no drip, no bet. Infinite scores count as the largest.
    """

    run_id: str
    at: datetime
    slot_s: float
    tie: float
    scores: Mapping[str, float]
    label: str = UNLABELLED

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"run {self.run_id}: its time {self.at} has no time zone")
        if not (math.isfinite(self.slot_s) and self.slot_s >= 0):
            raise ValueError(f"run {self.run_id}: slot_s is {self.slot_s}; it must be zero or more seconds")


@dataclass(frozen=True, slots=True)
class Alarm:
    """A component whose evidence of one kind reached one.

    ``side`` holds most of that evidence. ``since`` is the last run at which the evidence was next to nothing:
    the change is most likely after it. ``None`` when it has been more than that since the ledger was opened.
    """

    kind: Kind
    component: str
    side: Side
    evidence: float
    since: datetime | None


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """All that must be kept of one scope between runs, beside the ranks that it was opened for."""

    ranks: Ranks
    accounts: Accounts
    last_run_id: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The components."""
        return self.ranks.names

    def evidence(self, kind: Kind = Kind.PAGE) -> dict[str, float]:
        """How near each component is to an alarm of this kind, from 0 to below 1."""
        found = evidence_of(self.accounts.wealth)[KINDS.index(kind)]
        return dict(zip(self.names, found.tolist(), strict=True))

    def to_bytes(self) -> bytes:
        """The ledger as a few kilobytes, from which :meth:`from_bytes` makes it again to the last bit."""
        return storage.pack(self.ranks, self.accounts, self.last_run_id)

    @classmethod
    def from_bytes(cls, data: bytes, ranks: Ranks) -> "Ledger":
        """The ledger that :meth:`to_bytes` wrote. ValueError if that was not one of these ranks."""
        return cls(ranks, *storage.unpack(data, ranks))


@dataclass(frozen=True, slots=True)
class Step:
    """What one run did.

    ``evidence`` is each component's page evidence after the step. ``beyond`` is the level of each component that
    bet: 0 inside, +1 beyond the upper 25 % threshold, +2 beyond the 5 %, +3 above all calibration runs; negative:
    below.
    """

    ledger: Ledger
    alarms: tuple[Alarm, ...]
    evidence: Mapping[str, float]
    beyond: Mapping[str, int]


def open_ledger(ranks: Ranks) -> Ledger:
    """A ledger without evidence. A component without calibration runs never bets."""
    return Ledger(ranks, Accounts.opened(len(ranks.labels), len(ranks.names)))


def observe(
    ranks: Ranks,
    ledger: Ledger,
    run: Observation,
    weights: Mapping[str, float],
    budgets: Budgets,
    tickets_only: Collection[str] = (),
) -> Step:
    """Bet on one run: the new ledger, and the alarms that it raises.

    ``weights`` are the components' shares of the whole deployment, decided before the run; an absent one is
    zero. A score that the ledger has no component for is not looked at. The same run as the last changes
    nothing.

    A component is ranked among the calibration runs of the run's label; among the unlabelled ones where it has none
    of it, and if it has none of these either, it skips. Under a label with less than ``PAGE_CALIBRATION_MIN`` of them
    nothing drips in for pages and rollbacks, but what other labels brought in is bet. A component of
    ``tickets_only`` bets on tickets alone: it never pages.

    An older run than the last (a clock set back, a late import) bets like any other, since under
    exchangeability the order does not matter, but nothing drips: its time was paid for.
    """
    if ledger.ranks is not ranks and ledger.ranks.digest != ranks.digest:
        raise ValueError(
            "this ledger was opened for another calibration: its counts mean nothing to these ranks"
        )
    if run.run_id == ledger.last_run_id:
        return Step(ledger, (), ledger.evidence(), {})
    names, places = ranks.names, ranks.places(run.label)
    drip_per_s = np.array(budgets.per_quarter)[:, None] * (_shares(names, weights) / QUARTER_S)
    faced = Faced(
        score=_scores(names, run.scores),
        tie=run.tie,
        at=run.at.timestamp(),
        slot_s=run.slot_s,
        drip_per_s=drip_per_s,
        may_page=np.array([name not in tickets_only for name in names], dtype=np.bool_),
    )
    played = play(places, ledger.accounts, faced)
    alarms = _alarms(ledger, played) if played.alarmed.any() else ()
    levels = zip(names, played.level.tolist(), played.has_bet.tolist(), strict=True)
    return Step(
        ledger=Ledger(ranks, played.accounts, run.run_id),
        alarms=alarms,
        evidence=dict(zip(names, played.evidence[0].tolist(), strict=True)),
        beyond={name: level for name, level, has_bet in levels if has_bet},
    )


def is_steady(ledger: Ledger, component: str) -> bool:
    """Whether a component looks like its calibration runs again, so that its incident may resolve.

    True when ``STEADY_RUNS`` bets are known since its last alarm, at most ``STEADY_BEYOND_MAX`` of them
    beyond the upper and as many beyond the lower 25 % threshold, and the last not beyond a 5 % one. Evidence
    cannot say this: an alarm sets it to zero, and later it rests on counts that have got used to the change.
    """
    marks = ledger.accounts.marks[:, ledger.names.index(component)]
    if (marks == UNMARKED).any() or abs(int(marks[-1])) >= _LEVEL_5:
        return False
    high, low = (marks >= _LEVEL_25).sum(), (marks <= -_LEVEL_25).sum()
    return bool(max(high, low) <= STEADY_BEYOND_MAX)


def _scores(names: tuple[str, ...], scores: Mapping[str, float]) -> Floats:
    found = np.array([scores.get(name, math.nan) for name in names], dtype=np.float64)
    return np.clip(found, -LARGEST, LARGEST)


def _shares(names: tuple[str, ...], weights: Mapping[str, float]) -> Floats:
    shares = np.array([weights.get(name, 0.0) for name in names], dtype=np.float64)
    if not ((shares >= 0).all() and shares.sum() <= 1 + 1e-9):
        raise ValueError(
            "the weights of a scope must be zero or more and sum to at most 1: they share out one budget"
        )
    return shares


def _alarms(ledger: Ledger, played: Played) -> tuple[Alarm, ...]:
    """The alarms of one run: by kind, and within it the strongest evidence first."""
    found = []
    reached = evidence_of(played.peak)
    for kind, c in np.argwhere(played.alarmed).tolist():
        quiet_at = ledger.accounts.quiet_at[kind, c]
        found.append(
            Alarm(
                kind=KINDS[kind],
                component=ledger.names[c],
                side=side_of(played.peak[:, c], KINDS[kind]),
                evidence=float(reached[kind, c]),
                since=None if np.isnan(quiet_at) else datetime.fromtimestamp(quiet_at, UTC),
            )
        )
    return tuple(sorted(found, key=lambda alarm: (KINDS.index(alarm.kind), -alarm.evidence)))
