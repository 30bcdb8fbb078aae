"""The ledgers of many targets updated together: the alarms of single ones, several times faster.

The components of all targets are put behind one another; their accounts do not depend on each other. A test holds this
against one ledger at a time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alerts.evidence import Budgets, Kind, Observation, Ranks, open_ledger
from alerts.evidence.accounts import KINDS, Accounts, Faced, play
from alerts.evidence.ledger import QUARTER_S
from alerts.evidence.ranks import Places

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scope:
    """What one ledger stands on, and the runs it is to see: ``scores`` by run and component, NaN where there is none.

    ``weights`` are the components' shares of the budgets.
    """

    ranks: Ranks
    weights: Mapping[str, float]
    tickets_only: Collection[str]
    scores: Floats
    ties: Floats
    labels: tuple[str, ...]

    @classmethod
    def of(
        cls,
        ranks: Ranks,
        weights: Mapping[str, float],
        tickets_only: Collection[str],
        observations: Sequence[Observation],
    ) -> "Scope":
        """The scope that sees these runs."""
        rows = [[one.scores.get(name, np.nan) for name in ranks.names] for one in observations]
        ties = np.array([one.tie for one in observations])
        labels = tuple(one.label for one in observations)
        return cls(ranks, weights, tickets_only, np.array(rows, dtype=np.float64), ties, labels)

    @cached_property
    def shares(self) -> Floats:
        """The weights by component."""
        return np.array([self.weights.get(name, 0.0) for name in self.ranks.names])

    @property
    def is_plain(self) -> bool:
        """Whether all runs have one label."""
        return len(set(self.labels)) == 1


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm: at which run, at which of the budgets, in which of the scopes, and what it asks for."""

    run: int
    budgets: int
    scope: int
    kind: Kind


def alarms_together(scopes: Sequence[Scope], budgets: Sequence[Budgets], slot_s: float) -> Iterator[Raised]:
    """The alarms of all ``scopes``, which see their runs at the same times, at each of the ``budgets``."""
    # Those whose places never change come last, where they stay joined.
    order = sorted(range(len(scopes)), key=lambda number: scopes[number].is_plain)
    ordered = [scopes[number] for number in order]
    varying = [scope for scope in ordered if not scope.is_plain]
    plain = [scope.ranks.places(scope.labels[0]) for scope in ordered if scope.is_plain]
    settled = [Places.join(plain)] if plain else []

    sizes = [len(scope.ranks.names) for scope in ordered]
    owner = np.repeat(order, sizes)
    scores = np.concatenate([scope.scores for scope in ordered], axis=1)
    ties = np.stack([scope.ties for scope in ordered], axis=1)
    shares = np.concatenate([scope.shares for scope in ordered])
    drips = [np.array(one.per_quarter)[:, None] * (shares / QUARTER_S) for one in budgets]
    pages = np.array([name not in scope.tickets_only for scope in ordered for name in scope.ranks.names])
    accounts = [Accounts.join([open_ledger(scope.ranks).accounts for scope in ordered])] * len(budgets)

    places = settled[0] if settled else None
    labels: tuple[str, ...] = ()
    for run, score in enumerate(scores):
        now = tuple(scope.labels[run] for scope in varying)
        if places is None or now != labels:
            own = [scope.ranks.places(label) for scope, label in zip(varying, now, strict=True)]
            places, labels = Places.join([*own, *settled]), now
        tie, may_page = np.repeat(ties[run], sizes), pages
        for number, drip_per_s in enumerate(drips):
            played = play(
                places, accounts[number], Faced(score, tie, (run + 1) * slot_s, slot_s, drip_per_s, may_page)
            )
            accounts[number] = played.accounts
            if played.alarmed.any():
                for kind, component in np.argwhere(played.alarmed).tolist():
                    yield Raised(run, number, int(owner[component]), KINDS[kind])
