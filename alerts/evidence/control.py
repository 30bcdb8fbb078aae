"""Evidence that a share differs from that of a concurrent control, within the same false-page budget.

A *block* is one period of two series under the same sky: ``n_a`` calls of the watched one, ``k_a`` of them hits
(errors, slow calls), and ``n_b`` with ``k_b`` of the control. Nothing is assumed about the chance of a hit, which
may be another in every block; when it is one and the same for both series, then given ``k = k_a + k_b``, however
the hits fall on the two is a draw without replacement: ``k_a`` is hypergeometric, and nothing unknown is left.
For a log odds ratio ``d`` the likelihood ratio of Fisher's noncentral hypergeometric distribution to that one,

    e = exp(d k_a) / sum_j h(j) exp(d j)        (h: the hypergeometric probabilities)

has mean exactly 1 given ``n_a``, ``n_b`` and ``k``: a fair bet. Its accounts drip and page as those of the ledger.

Calls of one period may have more in common than chance: a noisy neighbour that only one of the two has, retries that
fail together. Counts then vary more than a draw, by a factor that earlier blocks show (the mean of their squared
standardised differences, as the dispersion of a quasi-likelihood). Each ``e`` is raised to the power of one over this
factor. The factor is known before the block and at least 1, so the mean of the bet stays at most 1 (Jensen).

The k-sample E-variable of Turner, Ly and Grünwald (2021, "Generic E-variables for exact sequential k-sample tests
that allow for optional stopping") needs a guess of the common chance beforehand, and loses evidence where a shared
load moves it. The conditional form needs none; ``benchmarks/tails.py`` has both.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import orjson

from alerts.evidence.accounts import KINDS, QUIET_DRIPS, STEADY_RUNS, Kind
from alerts.evidence.bets import SIDE_SHARES, Floats, Side
from alerts.evidence.ledger import QUARTER_S, STEADY_BEYOND_MAX, Alarm, Budgets

LOG_ODDS: Floats = np.array([0.3, 0.6, 1.2, 2.4])
"""How much more likely a hit is bet to be, as log odds ratios: from a third more to eleven times."""

BETS = 2 * len(LOG_ODDS)
"""First those that the watched series has more hits than the control, then those that it has fewer."""

SETTLING = 12
"""How many blocks old a difference is before it counts as usual: what has just begun must not excuse itself."""

SURPRISE_MAX = 16.0
"""The largest squared difference that is counted: one outage does not make a series deaf for ever."""

FORMAT = 1
"""Version of the stored state."""

_OUTER_25, _OUTER_5 = 0.674, 1.645
_SIGNED: Floats = np.concatenate([LOG_ODDS, -LOG_ODDS])
_RAW = np.repeat(list(SIDE_SHARES.values()), len(LOG_ODDS))
_SHARES: Floats = np.asarray(_RAW / _RAW.sum(), dtype=np.float64)
_HIGH, _LOW = slice(0, len(LOG_ODDS)), slice(len(LOG_ODDS), BETS)


@dataclass(frozen=True, slots=True)
class Block:
    """One period: calls and hits of the watched series, and of the control. ``slot_s`` is the period's length."""

    id: str
    at: datetime
    slot_s: float
    calls: int
    hits: int
    control_calls: int
    control_hits: int

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"block {self.id}: its time {self.at} has no time zone")
        if not (0 <= self.hits <= self.calls and 0 <= self.control_hits <= self.control_calls):
            raise ValueError(f"block {self.id}: hits are from 0 to the number of calls")


@dataclass(frozen=True, slots=True)
class ControlLedger:
    """All that must be kept of one comparison between blocks.

    ``wealth`` is by kind and bet, ``quiet_at`` by kind, both times in unix seconds; ``marks`` are the levels of the
    last blocks since the last alarm, newest last: 0 like the control, 1 in the outer 25 %, 2 in the outer 5 % of
    what chance gives; negative: fewer hits than the control. ``recent`` are the squared differences of the newest
    blocks, ``settled`` the sum of the ``settled_blocks`` older ones.
    """

    wealth: tuple[tuple[float, ...], ...] = ((0.0,) * BETS,) * len(KINDS)
    at: float | None = None
    quiet_at: tuple[float | None, ...] = (None,) * len(KINDS)
    marks: tuple[int, ...] = ()
    recent: tuple[float, ...] = ()
    settled: float = 0.0
    settled_blocks: int = 0
    last_block_id: str | None = None

    @property
    def dispersion(self) -> float:
        """How many times as much as by chance the blocks vary that are old enough to tell; 1 at least."""
        # As many blocks of pure chance are added: a few blocks say little.
        return max(1.0, (self.settled + SETTLING) / (self.settled_blocks + SETTLING))

    def evidence(self, kind: Kind = Kind.PAGE) -> float:
        """How near the comparison is to an alarm of this kind, from 0 to below 1."""
        return math.fsum(self.wealth[KINDS.index(kind)])

    @property
    def is_steady(self) -> bool:
        """Whether the series looks like its control again, so that an incident may resolve.

        The rule of :func:`alerts.evidence.ledger.is_steady`, asked of the blocks themselves.
        """
        if len(self.marks) < STEADY_RUNS or abs(self.marks[-1]) >= 2:
            return False
        high, low = sum(mark > 0 for mark in self.marks), sum(mark < 0 for mark in self.marks)
        return max(high, low) <= STEADY_BEYOND_MAX

    def to_bytes(self) -> bytes:
        """The ledger as bytes, from which :meth:`from_bytes` makes it again to the last bit."""
        return orjson.dumps({"format": FORMAT, **{name: getattr(self, name) for name in self.__slots__}})

    @classmethod
    def from_bytes(cls, data: bytes) -> "ControlLedger":
        """The ledger that :meth:`to_bytes` wrote."""
        fields = orjson.loads(data)
        if (found := fields.pop("format", None)) != FORMAT:
            raise ValueError(
                f"this comparison is stored in format {found}; this version reads format {FORMAT}"
            )
        return cls(
            wealth=tuple(tuple(row) for row in fields["wealth"]),
            at=fields["at"],
            quiet_at=tuple(fields["quiet_at"]),
            marks=tuple(fields["marks"]),
            recent=tuple(fields["recent"]),
            settled=fields["settled"],
            settled_blocks=fields["settled_blocks"],
            last_block_id=fields["last_block_id"],
        )


@dataclass(frozen=True, slots=True)
class ControlStep:
    """What one block did. ``level`` is its mark; 0 for a block that was known already."""

    ledger: ControlLedger
    alarms: tuple[Alarm, ...]
    level: int = 0


def observe_block(
    ledger: ControlLedger,
    block: Block,
    component: str,
    share: float,
    budgets: Budgets,
    *,
    tickets_only: bool = False,
) -> ControlStep:
    """Bet on one block: the new ledger, and the alarms that it raises in the name of ``component``.

    ``share`` is the comparison's part of the whole deployment's budgets, decided before the block. The same block
    as the last changes nothing; an older one bets and nothing drips, as in the ledger of ranks.
    """
    if block.id == ledger.last_block_id:
        return ControlStep(ledger, ())
    if not 0 <= share <= 1:
        raise ValueError(
            f"the share of {component} is {share}; it must be from 0 to 1: it is part of one budget"
        )
    at = block.at.timestamp()
    drip_per_s = [
        budget * share / QUARTER_S if kind is Kind.TICKET or not tickets_only else 0.0
        for kind, budget in zip(KINDS, budgets.per_quarter, strict=True)
    ]
    elapsed_s = block.slot_s if ledger.at is None else min(max(at - ledger.at, 0.0), block.slot_s)
    drip = np.array(drip_per_s)[:, None] * elapsed_s * _SHARES
    wealth = (np.array(ledger.wealth) + drip) * e_values(block) ** (1.0 / ledger.dispersion)
    evidence = wealth.sum(axis=1)
    alarms = tuple(
        Alarm(kind, component, _side(wealth[i]), float(evidence[i]), _moment(ledger.quiet_at[i]))
        for i, kind in enumerate(KINDS)
        if evidence[i] >= 1.0
    )
    wealth[evidence >= 1.0] = 0.0
    level = level_of(block, ledger.dispersion)
    after = replace(
        _settled(ledger, block),
        wealth=tuple(tuple(row) for row in wealth.tolist()),
        at=at,
        quiet_at=tuple(
            at if was >= 1.0 or was <= QUIET_DRIPS * per_s * block.slot_s else before
            for was, per_s, before in zip(evidence, drip_per_s, ledger.quiet_at, strict=True)
        ),
        marks=() if alarms else (*ledger.marks, level)[-STEADY_RUNS:],
        last_block_id=block.id,
    )
    return ControlStep(after, alarms, level)


def e_values(block: Block) -> Floats:
    """What each bet multiplies its wealth by; every one has mean 1 when hits are as likely in both series."""
    hits, log_chance = _possible(block)
    # Centred: for millions of calls, exp(d k) itself is too large a number.
    tilted = (hits - block.hits)[:, None] * _SIGNED + log_chance[:, None]
    top = tilted.max(axis=0)
    return np.asarray(np.exp(-(top + np.log(np.exp(tilted - top).sum(axis=0)))))


def level_of(block: Block, dispersion: float = 1.0) -> int:
    """How far the block is from what chance gives: 0, or 1 in the outer 25 %, 2 in the outer 5 % of a side.

    Positive: more hits than the control. By the normal approximation, which is good enough to say that it is over.
    """
    difference = _difference(block) / math.sqrt(dispersion)
    level = 2 if abs(difference) >= _OUTER_5 else 1 if abs(difference) >= _OUTER_25 else 0
    return level if difference > 0 else -level


def _difference(block: Block) -> float:
    """How many standard deviations the hits of the watched series lie above what a draw gives on average."""
    k, n_a, n_b = block.hits + block.control_hits, block.calls, block.control_calls
    n = n_a + n_b
    if n < 2:
        return 0.0
    variance = n_a * n_b * k * (n - k) / (n * n * (n - 1))
    return (block.hits - n_a * k / n) / math.sqrt(variance) if variance else 0.0


def _settled(ledger: ControlLedger, block: Block) -> ControlLedger:
    """The ledger with this block's difference; the one that is old enough now counts as usual."""
    recent = (*ledger.recent, min(_difference(block) ** 2, SURPRISE_MAX))
    if len(recent) <= SETTLING:
        return replace(ledger, recent=recent)
    return replace(
        ledger,
        recent=recent[1:],
        settled=ledger.settled + recent[0],
        settled_blocks=ledger.settled_blocks + 1,
    )


def _possible(block: Block) -> tuple[Floats, Floats]:
    """The hits that the watched series can have of all of them, each with its log chance when nothing differs."""
    k, n_a, n_b = block.hits + block.control_hits, block.calls, block.control_calls
    hits = np.arange(max(0, k - n_b), min(k, n_a) + 1, dtype=np.float64)
    j = hits[:-1]
    ratios = np.log((k - j) * (n_a - j)) - np.log((j + 1) * (n_b - k + j + 1))
    log_chance = np.concatenate([[0.0], np.cumsum(ratios)])
    log_chance -= log_chance.max()
    return hits, log_chance - np.log(np.exp(log_chance).sum())


def _side(bets: Floats) -> Side:
    return Side.HIGH if bets[_HIGH].sum() >= bets[_LOW].sum() else Side.LOW


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
