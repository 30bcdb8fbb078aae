"""What a bench may spend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..completion import Outcome
from .load import Asked
from .plan import Ask


@dataclass(slots=True)
class Purse:
    """What a bench may still spend: what a request may cost is set aside, until it is known what it did cost.

    ``estimates`` are the dollars for one request by target and canary; ``None`` for a target without a known price.
    """

    cap_usd: float | None
    estimates: Mapping[str, Mapping[str, float] | None]
    spent_usd: float = 0.0
    is_empty: bool = False
    under_way_usd: float = 0.0

    def may_ask(self, ask: Ask) -> bool:
        """Whether there is money for the request, which is then set aside."""
        estimate = self._estimate(ask)
        if self.cap_usd is not None and self.spent_usd + self.under_way_usd + estimate > self.cap_usd:
            self.is_empty = True
        if not self.is_empty:
            self.under_way_usd += estimate
        return not self.is_empty

    def paid(self, asked: Asked, cost_usd: float | None) -> None:
        """Take note of what a request cost. One that timed out may have been charged in full."""
        estimate = self._estimate(asked.ask)
        self.under_way_usd -= estimate
        unknown = estimate if asked.completion.outcome in (Outcome.ANSWERED, Outcome.TIMEOUT) else 0.0
        self.spent_usd += unknown if cost_usd is None else cost_usd

    def total_usd(self, asks: Mapping[str, Sequence[Ask]]) -> float:
        """What all these requests may cost."""
        return sum(self._estimate(ask) for ones in asks.values() for ask in ones)

    def _estimate(self, ask: Ask) -> float:
        return (self.estimates[ask.target] or {}).get(ask.canary.id, 0.0)
