"""The drip ledger: wealth that drips in at the rate of the false-page budget, is bet on every run, and pages
at one.

For each bet ``R <- (R + drip) * e``. A fair bet keeps the mean of ``R``, so without drift it grows by the
drip and no faster; an alarm takes at least one out. Hence expected false alarms never exceed what has dripped
in: the budget.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import orjson

from alerts.evidence.bets import (
    BET_SHARES,
    BETS,
    HIGH_BETS,
    LOW_BETS,
    RANKS,
    THRESHOLDS,
    Floats,
    Ints,
    Ranked,
    Side,
    e_values,
    is_beyond,
    orderable,
    thresholds,
)

QUARTER_S = 91.25 * 86_400
"""A quarter of a year, in seconds."""

PAGE_CALIBRATION_MIN = 24
"""Below this many calibration runs a component can open tickets only: it neither pages nor rolls back."""

STEADY_RUNS = 6
"""How many runs after the last alarm :func:`is_steady` looks at; ``docs/statistics.md`` has what other
lengths do."""

STEADY_BEYOND_MAX = 2
"""How many of those runs may lie beyond the 25 % threshold of one side; 1.5 are expected without drift."""

QUIET_DRIPS = 8.0
"""A component whose evidence is at most this many drips shows nothing: a change is looked for after that run.

Without drift a component mostly rests at 2 to 10 of its drips. In simulation, 2 dates a change some 20 runs too
early, 12 a slow one some runs too late.
"""

FORMAT = 1
"""Version of the stored ledger."""

_UNMARKED = 9
_LEVEL_25, _LEVEL_5 = 1, 2


class Kind(StrEnum):
    """What an alarm asks for. Each kind has its own budget and its own wealth."""

    PAGE = "page"
    TICKET = "ticket"
    ROLLBACK = "rollback"


KINDS = tuple(Kind)


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
    :func:`~alerts.evidence.bets.tie_break`. A component whose score is absent or NaN skips the run: no drip,
    no bet. Infinite scores count as the largest.
    """

    run_id: str
    at: datetime
    slot_s: float
    tie: float
    scores: Mapping[str, float]

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
    """All that must be kept of one scope between runs. The arrays are by component, and never written to.

    ``wealth`` is by kind, component and bet; ``at`` the time of each component's last run and ``quiet_at``
    that of the last with next to no evidence, both in unix seconds; ``marks`` are the levels of the last
    runs, newest last (see :attr:`Step.beyond`).
    """

    names: tuple[str, ...]
    n: Ints
    limits: Floats
    j: Ints
    k: Ints
    wealth: Floats
    at: Floats
    quiet_at: Floats
    marks: Ints
    last_run_id: str | None = None

    def evidence(self, kind: Kind = Kind.PAGE) -> dict[str, float]:
        """How near each component is to an alarm of this kind, from 0 to below 1."""
        return dict(zip(self.names, self.wealth[KINDS.index(kind)].sum(axis=-1).tolist(), strict=True))

    def to_json(self) -> str:
        """The ledger as JSON, from which :meth:`from_json` makes it again to the last bit."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({"format": FORMAT, **fields}, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    @classmethod
    def from_json(cls, text: str) -> "Ledger":
        """The ledger that :meth:`to_json` wrote."""
        fields = orjson.loads(text)
        if (found := fields.pop("format", None)) != FORMAT:
            raise ValueError(f"this ledger is stored in format {found}; this version reads format {FORMAT}")
        c = len(fields["names"])

        # A shape for each, because an empty list does not tell how many columns it has none of.
        def floats(name: str, *shape: int) -> Floats:
            return np.array(fields[name], dtype=np.float64).reshape(shape)

        def ints(name: str, *shape: int) -> Ints:
            return np.array(fields[name], dtype=np.int64).reshape(shape)

        return cls(
            names=tuple(fields["names"]),
            n=ints("n", c),
            limits=floats("limits", c, THRESHOLDS, 2),
            j=ints("j", c),
            k=ints("k", c, THRESHOLDS),
            wealth=floats("wealth", len(KINDS), c, BETS),
            at=floats("at", c),
            quiet_at=floats("quiet_at", len(KINDS), c),
            marks=ints("marks", c, STEADY_RUNS),
            last_run_id=fields["last_run_id"],
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What one run did.

    ``evidence`` is each component's page evidence after the step. ``beyond`` is each betting component's
    level: 0 inside, +1 beyond the upper 25 % threshold, +2 beyond the 5 %, +3 above all calibration runs;
    negative: below.
    """

    ledger: Ledger
    alarms: tuple[Alarm, ...]
    evidence: Mapping[str, float]
    beyond: Mapping[str, int]


def open_ledger(calibration: Mapping[str, Sequence[Ranked]]) -> Ledger:
    """A ledger without evidence, its thresholds frozen at the calibration runs' scores.

    Each name is a component; a NaN score is left out, as the run would be; a component without any never
    bets.
    """
    ranked = [
        [(orderable(score), tie) for score, tie in runs if not math.isnan(score)]
        for runs in calibration.values()
    ]
    c = len(ranked)
    return Ledger(
        names=tuple(calibration),
        n=np.array([len(runs) for runs in ranked], dtype=np.int64),
        limits=np.array([thresholds(runs) for runs in ranked]).reshape(c, THRESHOLDS, 2),
        j=np.zeros(c, dtype=np.int64),
        k=np.zeros((c, THRESHOLDS), dtype=np.int64),
        wealth=np.zeros((len(KINDS), c, BETS)),
        at=np.full(c, np.nan),
        quiet_at=np.full((len(KINDS), c), np.nan),
        marks=np.full((c, STEADY_RUNS), _UNMARKED, dtype=np.int64),
    )


def observe(ledger: Ledger, run: Observation, weights: Mapping[str, float], budgets: Budgets) -> Step:
    """Bet on one run: the new ledger, and the alarms that it raises.

    ``weights`` are the components' shares of the whole deployment, decided before the run; an absent one is
    zero. A score that the ledger has no component for is not looked at. The same run as the last changes
    nothing.

    An older run than the last (a clock set back, a late import) bets like any other, since under
    exchangeability the order does not matter, but nothing drips: its time was paid for. The next run is timed
    from it again, so that a clock that once was years ahead does not stop the drip for years.
    """
    if run.run_id == ledger.last_run_id:
        return Step(ledger, (), ledger.evidence(), {})
    shares = _shares(ledger, weights)
    scores = np.array([orderable(run.scores.get(name, math.nan)) for name in ledger.names], dtype=np.float64)
    bets = ~np.isnan(scores) & (ledger.n > 0)
    beyond = is_beyond(ledger.limits, scores, run.tie)
    e = e_values(beyond, ledger.n, ledger.j, ledger.k)
    at = run.at.timestamp()

    drip_per_s = _drip_per_s(ledger, shares, budgets)
    drip = drip_per_s * _elapsed_s(ledger, at, run.slot_s)
    wealth = np.where(bets[:, None], (ledger.wealth + drip[..., None] * BET_SHARES) * e, ledger.wealth)
    evidence = wealth.sum(axis=-1)
    alarmed = (evidence >= 1.0) & bets
    alarms = _alarms(ledger, alarmed, wealth, evidence)
    wealth = np.where(alarmed[..., None], 0.0, wealth)

    quiet = bets & (alarmed | (evidence <= QUIET_DRIPS * drip_per_s * run.slot_s))
    level = beyond[:, :RANKS].sum(axis=1) - beyond[:, RANKS:].sum(axis=1)
    after = Ledger(
        names=ledger.names,
        n=ledger.n,
        limits=ledger.limits,
        j=ledger.j + bets,
        k=ledger.k + beyond,
        wealth=wealth,
        at=np.where(bets, at, ledger.at),
        quiet_at=np.where(quiet, at, ledger.quiet_at),
        marks=_marks(ledger.marks, level, bets, alarmed.any(axis=0)),
        last_run_id=run.run_id,
    )
    levels = {name: int(level[i]) for i, name in enumerate(ledger.names) if bets[i]}
    return Step(after, alarms, after.evidence(), levels)


def is_steady(ledger: Ledger, component: str) -> bool:
    """Whether a component looks like its calibration runs again, so that its incident may resolve.

    True when ``STEADY_RUNS`` runs are known since its last alarm, at most ``STEADY_BEYOND_MAX`` of them
    beyond the upper and as many beyond the lower 25 % threshold, and the last not beyond a 5 % one. Evidence
    cannot say this: an alarm sets it to zero, and later it rests on counts that have got used to the change.
    """
    marks = ledger.marks[ledger.names.index(component)]
    if (marks == _UNMARKED).any() or abs(int(marks[-1])) >= _LEVEL_5:
        return False
    high, low = (marks >= _LEVEL_25).sum(), (marks <= -_LEVEL_25).sum()
    return bool(max(high, low) <= STEADY_BEYOND_MAX)


def _shares(ledger: Ledger, weights: Mapping[str, float]) -> Floats:
    shares = np.array([weights.get(name, 0.0) for name in ledger.names], dtype=np.float64)
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() <= 1 + 1e-9):
        raise ValueError(
            "the weights of a scope must be zero or more and sum to at most 1: they share out one budget"
        )
    return shares


def _elapsed_s(ledger: Ledger, at: float, slot_s: float) -> Floats:
    """The time that each component's drip is for: since its previous run, at most one slot, never
    negative."""
    elapsed = np.where(np.isnan(ledger.at), slot_s, at - ledger.at)
    return np.asarray(np.clip(elapsed, 0.0, slot_s))


def _drip_per_s(ledger: Ledger, shares: Floats, budgets: Budgets) -> Floats:
    """Drip by kind and component; none to page or roll back where the calibration is too small for it."""
    per_s = np.array(budgets.per_quarter)[:, None] * shares / QUARTER_S
    tickets_only = ledger.n < PAGE_CALIBRATION_MIN
    in_force = np.array([kind is Kind.TICKET for kind in KINDS])[:, None] | ~tickets_only
    return np.where(in_force, per_s, 0.0)


def _alarms(ledger: Ledger, alarmed: np.ndarray, wealth: Floats, evidence: Floats) -> tuple[Alarm, ...]:
    """The alarms of one run: by kind, and within it the strongest evidence first."""
    found = []
    for kind, c in np.argwhere(alarmed).tolist():
        bets, quiet_at = wealth[kind, c], ledger.quiet_at[kind, c]
        found.append(
            Alarm(
                kind=KINDS[kind],
                component=ledger.names[c],
                side=Side.HIGH if bets[HIGH_BETS].sum() >= bets[LOW_BETS].sum() else Side.LOW,
                evidence=float(evidence[kind, c]),
                since=None if np.isnan(quiet_at) else datetime.fromtimestamp(quiet_at, UTC),
            )
        )
    return tuple(sorted(found, key=lambda alarm: (KINDS.index(alarm.kind), -alarm.evidence)))


def _marks(marks: Ints, level: Ints, bets: np.ndarray, alarmed: np.ndarray) -> Ints:
    """The marks with this run's behind them; none where an alarm starts the count again."""
    shifted = np.concatenate([marks[:, 1:], level[:, None]], axis=1)
    kept = np.where(bets[:, None], shifted, marks)
    return np.where(alarmed[:, None], _UNMARKED, kept)
