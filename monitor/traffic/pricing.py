"""What a call cost, by list price, and how sure that is."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from .calls import Call, CostBasis, Operation

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

MODELS_REMEMBERED_MAX = 4_096
"""For how many pairs of provider and model the place in the price list is remembered."""

_PRICE_LIST_NAMES = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "x_ai": "x-ai",
}
"""Providers whose name in the price list does not follow from their OpenTelemetry name."""


@dataclass(frozen=True, slots=True)
class _Entry:
    provider: "Provider"
    model: "ModelInfo"


def price(call: Call) -> Call:
    """The call with its cost and the basis of it."""
    cost, basis = cost_of(call)
    return replace(call, cost_usd=cost, cost_basis=basis)


def cost_of(call: Call) -> tuple[float | None, CostBasis]:
    """What the call cost in dollars and how sure that is; ``None``, ``UNPRICED`` when it cannot be told."""
    if call.input_tokens is None or (call.output_tokens is None and call.operation is Operation.CHAT):
        return None, CostBasis.UNPRICED
    for model in (call.response_model, call.request_model):
        if model is None:
            continue
        costs = [cost for entry in _entries(call.provider, model) if (cost := _cost(entry, call)) is not None]
        if costs:
            return costs[0], _basis(call, model, costs)
    return None, CostBasis.UNPRICED


def _basis(call: Call, model: str, costs: list[float]) -> CostBasis:
    if call.provider is None:
        return CostBasis.INFERRED if len(set(costs)) == 1 else CostBasis.AMBIGUOUS
    return CostBasis.EXACT if model == call.response_model else CostBasis.INFERRED


@lru_cache(maxsize=MODELS_REMEMBERED_MAX)
def _entries(provider: str | None, model: str) -> tuple[_Entry, ...]:
    """Where the price list has the model, the likeliest place first."""
    reference = model.lower()
    if provider is not None:
        known = _provider(provider)
        found = known and known.find_model(reference, all_providers=_providers())
        return (_Entry(known, found),) if known and found else ()
    entries = [(one, one.find_model(reference)) for one in _providers()]
    # A model's maker is the likeliest to have served it: its pattern claims the name.
    by_likelihood = sorted(entries, key=lambda entry: not _claims(entry[0], reference))
    return tuple(_Entry(one, found) for one, found in by_likelihood if found)


def _claims(provider: "Provider", reference: str) -> bool:
    return provider.model_match is not None and provider.model_match.is_match(reference)


def _cost(entry: _Entry, call: Call) -> float | None:
    # Imported here because it takes half a second, which only those who have calls to price should wait.
    from genai_prices import Usage

    usage = Usage(
        input_tokens=call.input_tokens,
        cache_read_tokens=call.cached_input_tokens,
        cache_write_tokens=call.cache_write_input_tokens,
        output_tokens=call.output_tokens,
    )
    at = datetime.fromtimestamp(call.started_at, UTC)
    try:
        result = entry.model.calc_price(usage, entry.provider, genai_request_timestamp=at)
    except (ValueError, LookupError):  # token counts that contradict each other, no price at that time
        return None
    # Nobody serves tokens for nothing: a zero is a hole in the price list.
    return float(result.total_price) or None


@cache
def _providers() -> "list[Provider]":
    from genai_prices.data import providers

    return providers


@lru_cache(maxsize=MODELS_REMEMBERED_MAX)
def _provider(name: str) -> "Provider | None":
    from genai_prices.data_snapshot import find_provider_by_id

    return find_provider_by_id(_providers(), _PRICE_LIST_NAMES.get(name, name))
