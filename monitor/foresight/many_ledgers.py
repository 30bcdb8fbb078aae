"""Many ledgers side by side, each under a baseline of its own, fed with runs that are drawn: for simulating.

The accounts are those that live bets with, all of them in one update; only what is drawn here is made up.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from alerts.evidence.accounts import KINDS, Accounts, Faced, Kind, Played, play
from alerts.evidence.ledger import QUARTER_S
from alerts.evidence.ranks import Places, Ranks
from canaries.sensitivity import Scored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stake:
    """What one ledger stands on: the frozen ranks, each component's share of the page budget, and who never pages."""

    ranks: Ranks
    weights: Mapping[str, float]
    tickets_only: Collection[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Drawable:
    """Runs that a ledger can meet, as arrays: ``scores`` by run and component, NaN where a run has none."""

    scores: Floats
    labels: tuple[str, ...]

    @classmethod
    def of(cls, runs: Sequence[Scored], ranks: Ranks) -> "Drawable":
        """The ``runs`` as a ledger of these ``ranks`` meets them."""
        rows = [[run.scores.get(name, np.nan) for name in ranks.names] for run in runs]
        scores = np.array(rows, dtype=np.float64).reshape(len(runs), len(ranks.names))
        largest = np.finfo(np.float64).max
        return cls(np.clip(scores, -largest, largest), tuple(run.label for run in runs))


class ManyLedgers:
    """Ledgers that bet on a run each, all at the same times."""

    def __init__(self, stakes: Sequence[Stake], slot_s: float, pages_per_quarter: float) -> None:
        self._stakes, self._slot_s = tuple(stakes), slot_s
        sizes = [len(stake.ranks.names) for stake in stakes]
        self._first = np.cumsum([0, *sizes[:-1]])
        self._owner = np.repeat(np.arange(len(sizes)), sizes)
        shares = np.array([stake.weights.get(name, 0.0) for stake in stakes for name in stake.ranks.names])
        self._drip_per_s = np.zeros((len(KINDS), len(shares)))
        self._drip_per_s[KINDS.index(Kind.PAGE)] = shares * pages_per_quarter / QUARTER_S
        self._pages = np.array(
            [name not in stake.tickets_only for stake in stakes for name in stake.ranks.names]
        )
        self._joined: dict[str, Places] = {}

    def opened(self) -> Accounts:
        """The accounts of all ledgers, without evidence."""
        return Accounts.join(
            [Accounts.opened(len(one.ranks.labels), len(one.ranks.names)) for one in self._stakes]
        )

    def step(
        self, accounts: Accounts, at: float, runs: Sequence[tuple[Drawable, int]], rng: Generator
    ) -> tuple[Accounts, Bools]:
        """The accounts after each ledger met its run, and which of the ledgers page. ``at`` is in seconds."""
        places = self._places([drawable.labels[i] for drawable, i in runs])
        faced = Faced(
            score=np.concatenate([drawable.scores[i] for drawable, i in runs]),
            tie=rng.random(len(runs))[self._owner],
            at=at,
            slot_s=self._slot_s,
            drip_per_s=self._drip_per_s,
            may_page=self._pages,
        )
        played = play(places, accounts, faced)
        return played.accounts, self._paging(played)

    def _paging(self, played: Played) -> Bools:
        return np.logical_or.reduceat(played.alarmed[KINDS.index(Kind.PAGE)], self._first)

    def _places(self, labels: Sequence[str]) -> Places:
        kinds = sorted(set(labels))
        parts = [self._of_label(label) for label in kinds]
        if len(parts) == 1:
            return parts[0]
        chosen = np.array([kinds.index(label) for label in labels])[self._owner]
        return Places(*(_chosen(parts, name, chosen) for name in Places.__slots__))

    def _of_label(self, label: str) -> Places:
        if label not in self._joined:
            self._joined[label] = Places.join([stake.ranks.places(label) for stake in self._stakes])
        return self._joined[label]


def _chosen(parts: Sequence[Places], name: str, chosen: Ints) -> NDArray[Any]:
    """Column by column the array ``name`` of the part that is chosen there."""
    stacked = np.stack([getattr(part, name) for part in parts])
    index = chosen.reshape(1, *[1] * (stacked.ndim - 2), -1)
    return np.asarray(np.take_along_axis(stacked, index, axis=0)[0])


def watched(
    ledgers: ManyLedgers,
    accounts: Accounts,
    draws: Sequence[tuple[Drawable, Ints]],
    at: float,
    slot_s: float,
    rng: Generator,
) -> tuple[Accounts, Ints]:
    """The accounts after all the runs that are drawn, and how many of them paged, by ledger."""
    pages = np.zeros(len(draws), dtype=np.int64)
    for step in range(min(len(order) for _, order in draws)):
        runs = [(drawable, int(order[step])) for drawable, order in draws]
        accounts, paging = ledgers.step(accounts, at + step * slot_s, runs, rng)
        pages += paging
    return accounts, pages


def first_pages(
    ledgers: ManyLedgers,
    accounts: Accounts,
    draws: Sequence[tuple[Drawable, Ints]],
    at: float,
    slot_s: float,
    rng: Generator,
) -> Floats:
    """How many runs each ledger takes to its first page, the paging one counted; infinite when it has none.

    ``draws`` gives each ledger its runs, and which of them come, in order. Stops once all have paged.
    """
    found = np.full(len(draws), np.inf)
    for step in range(min(len(order) for _, order in draws)):
        runs = [(drawable, int(order[step])) for drawable, order in draws]
        accounts, paging = ledgers.step(accounts, at + step * slot_s, runs, rng)
        found[paging & np.isinf(found)] = step + 1
        if np.isfinite(found).all():
            break
    return found
