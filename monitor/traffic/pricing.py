"""What a call cost, and how sure that is: by the operator's own prices, else by list price.

A cost is worked out of the tokens that the call tells. Where its spans do not tell how much of the input came from a
cache, all of it is priced as plain input, which is the most it can have cost with sellers that ask less for reads.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from math import isclose

from . import price_list, rates
from .calls import Call, CostBasis
from .config import ModelPriceConfig
from .match import fits
from .rates import Price, Rates

OWN_REMEMBERED_MAX = 4_096
"""For how many triples of provider, model and day it is remembered which of the operator's own prices holds."""

Cost = tuple[float | None, CostBasis]
"""Dollars and how sure they are; ``None`` exactly when it is ``UNPRICED``."""

_UNPRICED: Cost = (None, CostBasis.UNPRICED)


class PriceBook:
    """Prices calls: by the operator's own prices where they have one, else by list price."""

    def __init__(self, own: Sequence[ModelPriceConfig] = ()) -> None:
        """Hold the operator's own prices, as configured; without any, list prices alone count."""
        # Of several that hold, the first: of that provider before of any, then what began last, then what stands last.
        told = sorted(
            enumerate(own), key=lambda one: (one[1].provider is None, -one[1].since.toordinal(), -one[0])
        )
        self._own = [(config, _price_of(config)) for _, config in told]
        self._own_price = lru_cache(maxsize=OWN_REMEMBERED_MAX)(self._find_own)

    def price(self, call: Call) -> Call:
        """The call with its cost and the basis of it."""
        cost, basis = self.cost_of(call)
        if cost == call.cost_usd and basis is call.cost_basis:
            return call
        return replace(call, cost_usd=cost, cost_basis=basis)

    def cost_of(self, call: Call) -> Cost:
        """What the call cost in dollars and how sure that is; ``None``, ``UNPRICED`` when it cannot be told."""
        if not rates.can_be_priced(call):
            return _UNPRICED
        if self._own and (own := self._own_cost(call)) is not None:
            return own
        return _list_cost(call)

    def _own_cost(self, call: Call) -> Cost | None:
        day = int(call.started_at // 86_400)
        for model in (call.response_model, call.request_model):
            if model and (price := self._own_price(call.provider, model, day)) is not None:
                cost = rates.cost(price, call)
                return _UNPRICED if cost is None else (cost, _certain(call, model))
        return None

    def _find_own(self, provider: str | None, model: str, day: int) -> Price | None:
        on = datetime.fromtimestamp(day * 86_400, UTC).date()
        for config, price in self._own:
            if config.since <= on and fits(config.provider, provider or "") and fits(config.model, model):
                return price
        return None


LIST_PRICES = PriceBook()
"""Prices calls by list price alone."""


def price(call: Call) -> Call:
    """The call with its cost by list price and the basis of it."""
    return LIST_PRICES.price(call)


def cost_of(call: Call) -> Cost:
    """What the call cost by list price; ``None``, ``UNPRICED`` when it cannot be told."""
    return LIST_PRICES.cost_of(call)


def _list_cost(call: Call) -> Cost:
    for model in (call.response_model, call.request_model):
        if not model:
            continue
        offers = price_list.offers(call.provider, model, call.started_at)
        costs = [cost for price in offers.prices if (cost := rates.cost(price, call))]
        if costs:
            return costs[0], _basis(call, model, costs, is_told=offers.is_told)
    return _UNPRICED


def _basis(call: Call, model: str, costs: list[float], *, is_told: bool) -> CostBasis:
    if is_told:
        return _certain(call, model)
    return CostBasis.INFERRED if all(isclose(costs[0], one) for one in costs) else CostBasis.AMBIGUOUS


def _certain(call: Call, model: str) -> CostBasis:
    return CostBasis.EXACT if model == call.response_model else CostBasis.INFERRED


def _price_of(config: ModelPriceConfig) -> Price:
    told = config.input_usd_per_mtok / 1e6
    cached, written = config.cached_input_usd_per_mtok, config.cache_write_usd_per_mtok
    return Price(
        Rates(
            input=told,
            cached=told if cached is None else cached / 1e6,
            written=told if written is None else written / 1e6,
            output=config.output_usd_per_mtok / 1e6,
        )
    )
