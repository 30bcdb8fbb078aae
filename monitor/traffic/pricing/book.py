"""What a call cost, and how sure that is: by the operator's own prices, else by list price.

A cost is worked out of the tokens that the call tells. Where its spans do not tell how much of the input came from a
cache, all of it is priced as plain input, which is the most it can have cost with sellers that ask less for reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from math import inf, isclose, nan
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..calls import BASIS_NUMBERS, Call, CostBasis, Operation
from ..config import ModelPriceConfig
from ..kinds import Kinds
from ..lookout.scanning import scanner
from ..rows import Floats, Integers, Marks, Rows
from ..sightings import Shape, call_of
from ..watches.match import fits
from . import price_list, rates
from .rates import Price, Rates

OWN_REMEMBERED_MAX = 4_096
"""For how many triples of provider, model and day it is remembered which of the operator's own prices holds."""

Cost = tuple[float | None, CostBasis]
"""Dollars and how sure they are; ``None`` exactly when it is ``UNPRICED``."""

_UNPRICED: Cost = (None, CostBasis.UNPRICED)
_UNPRICED_NUMBER = BASIS_NUMBERS[CostBasis.UNPRICED]


class PriceBook:
    """Prices calls: by the operator's own prices where they have one, else by list price."""

    def __init__(self, own: Sequence[ModelPriceConfig] = (), scanner: ModuleType | None = scanner) -> None:
        """Hold the operator's own prices, as configured; without any, list prices alone count.

        ``scanner`` is the one in C, if there is.
        """
        self._scanner = scanner
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

    def costs_of(self, rows: Rows) -> tuple[Floats, Integers]:
        """What each call of the rows cost, not a number where that is not known, and how sure that is, by number.

        The same as ``cost_of`` says of each, at once for all calls for whose shapes one plain price holds.
        """
        first, last = (
            price_list.stretch_of(float(at) / 1e9) for at in (rows.start_ns.min(), rows.start_ns.max())
        )
        # Where prices change in between, each call needs a look of its own.
        tariffs = self._tariffs(rows.kinds, first if first == last else None)
        costs, bases, left = self._plain_costs(rows, tariffs)
        for place in left:
            cost, basis = self.cost_of(call_of(rows.sighting(place)))
            costs[place], bases[place] = np.nan if cost is None else cost, BASIS_NUMBERS[basis]
        return costs, bases

    def _plain_costs(self, rows: Rows, tariffs: npt.NDArray[Any]) -> tuple[Floats, Integers, Sequence[int]]:
        """What calls cost at rates that hold for their shapes, how sure that is, and who needs a closer look."""
        if self._scanner is not None:
            costs, bases, left = self._scanner.costs(rows.records, tariffs, _UNPRICED_NUMBER)
            return np.frombuffer(costs), np.frombuffer(bases, np.int64), left
        tariff = tariffs[rows.kind]
        costs, is_left = _plain_costs(rows, tariff)
        bases = np.where(np.isnan(costs), _UNPRICED_NUMBER, tariff["basis"])
        return costs, bases, np.flatnonzero(is_left).tolist()

    def _tariffs(self, kinds: Kinds, stretch: int | None) -> npt.NDArray[Any]:
        """The rates that hold in a stretch of time, by the numbers of shapes; without one, none is that simple."""
        if stretch is None:
            return np.full(len(kinds), _packed(_NOT_PLAIN))

        def packed(shape: Shape) -> Any:
            return _packed(self._find_tariff(shape, stretch) or _NOT_PLAIN, shape)

        return kinds.column(self, packed, _PACKED, version=stretch)

    def _find_tariff(self, shape: Shape, stretch: int) -> "_Tariff | None":
        """The rates that hold for all calls of a shape in a stretch of time, where it is that simple."""
        models = [model for model in (shape.response_model, shape.request_model) if model]
        for model in models if self._own else ():
            if (own := self._own_price(shape.provider, model, stretch // 86_400)) is not None:
                return _plain_tariff(own, shape, _certain(shape, model))
        for model in models:
            offers = price_list.offers(shape.provider, model, stretch)
            if offers.prices:
                basis = _certain(shape, model) if offers.is_told else CostBasis.INFERRED
                return _plain_tariff(offers.prices[0], shape, basis) if len(offers.prices) == 1 else None
        return _NO_TARIFF

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


def _certain(call: Call | Shape, model: str) -> CostBasis:
    return CostBasis.EXACT if model == call.response_model else CostBasis.INFERRED


@dataclass(frozen=True, slots=True)
class _Tariff:
    """Rates that hold up to so many input tokens, and how sure they are."""

    rates: Rates
    basis: CostBasis
    tokens_max: float = inf


_NO_TARIFF = _Tariff(Rates(nan, nan, nan, nan), CostBasis.UNPRICED)
"""What calls cost that nobody has a price for."""


def _plain_tariff(price: Price, shape: Shape, basis: CostBasis) -> _Tariff | None:
    base = price.base
    has_output = base.output is not None or shape.operation is Operation.EMBEDDINGS
    first_step = min((start for start, _ in price.steps), default=inf)
    return _Tariff(base, basis, first_step) if base.reasoning is None and has_output else None


_NOT_PLAIN = _Tariff(Rates(nan, nan, nan, nan), CostBasis.UNPRICED, -1)
"""Stands where each call needs a look of its own."""

_PACKED = np.dtype(
    [(name, "f8") for name in ("input", "cached", "written", "output", "request", "tokens_max")]
    + [("basis", "i8"), ("is_embedding", "?")],
    align=True,
)
"""A tariff as a row: those of all shapes are columns."""


def _packed(tariff: _Tariff, shape: Shape | None = None) -> Any:
    # Without a shape it stands for those of embeddings, too, which cost something without output.
    is_embedding = shape is None or shape.operation is Operation.EMBEDDINGS
    rates = tariff.rates
    row = (
        rates.input,
        rates.cached,
        rates.written,
        rates.output or 0.0,
        rates.request,
        tariff.tokens_max,
        BASIS_NUMBERS[tariff.basis],
        is_embedding,
    )
    return np.array(row, _PACKED)


def _plain_costs(rows: Rows, tariff: npt.NDArray[Any]) -> tuple[Floats, Marks]:
    """What calls cost at rates that hold for their shapes, and which of them need a closer look."""
    given, told = rows.column("input_tokens"), rows.column("output_tokens")
    is_plain = given <= tariff["tokens_max"]
    output = np.maximum(told, 0)
    cached = np.maximum(rows.column("cached_input_tokens"), 0)
    written = np.maximum(rows.column("cache_write_input_tokens"), 0)
    asked = (given - cached - written) * tariff["input"]
    asked = asked + cached * tariff["cached"] + written * tariff["written"]
    costs = asked + output * tariff["output"] + tariff["request"]
    can_be = (given >= 0) & (tariff["is_embedding"] | (told >= 0)) & (cached + written <= given)
    # What costs nothing may be sold by somebody else at a price: that is for ``cost_of`` to say.
    is_left = can_be & (~is_plain | (costs == 0))
    return np.where(can_be & is_plain & (costs != 0), costs, nan), is_left


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
