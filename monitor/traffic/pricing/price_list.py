"""What providers ask by list price: who sells a model, at which prices, and since when.

The list is the one that comes with genai-prices; nothing is fetched. Looking a model up takes it milliseconds and
pricing a call 50 us or more, so the list is looked up by an index, and what was found is remembered, as plain rates.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from . import list_apart
from .model_index import ModelIndex
from .rates import Price, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

MODELS_REMEMBERED_MAX = 4_096
"""For how many pairs of provider and model it is remembered who sells them."""

OFFERS_REMEMBERED_MAX = 8_192
"""For how many triples of provider, model and stretch of time the prices are remembered; some 10 MB."""

_LIST_NAMES = {
    "x_ai": "x-ai",
    "fireworks_ai": "fireworks",
    "fireworks.ai": "fireworks",
    "together.ai": "together",
    "togetherai": "together",
    "z.ai": "zai",
    "z_ai": "zai",
    "gcp.gen_ai": "google",
}
"""Providers whose name in the price list follows neither from their OpenTelemetry name nor from a word in it."""

_HOSTS = {"azure": "azure", "bedrock": "aws", "vertex": "google"}
"""Words that name who serves, whatever maker is named beside them: "azure_openai", "bedrock_anthropic"."""

_IMITATED = {"openai", "anthropic"}
"""Providers whose API others speak too: whoever is asked through their client is told as them."""

_SELF_HOSTED = {
    "ollama",
    "ollama_chat",
    "vllm",
    "hosted_vllm",
    "sglang",
    "tgi",
    "llama_cpp",
    "llamacpp",
    "llama.cpp",
    "llamafile",
    "lm_studio",
    "lmstudio",
    "localai",
    "mlx",
    "transformers",
    "triton",
    "xinference",
}
"""Servers that people run themselves: what others ask for the same model says nothing about them."""

_BEDROCK_VENDORS = (
    "amazon",
    "anthropic",
    "meta",
    "mistral",
    "cohere",
    "deepseek",
    "openai",
    "qwen",
    "writer",
)
"""What may stand before the dot in Bedrock's names of models; some instrumentations cut it off."""

_LIKELIEST = ("openai", "anthropic", "google", "aws", "azure", "mistral", "deepseek", "groq", "openrouter")
"""Sellers of other people's models, the likelier ones first, where nothing else tells who served a call."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What is asked for a model: the likeliest price first, none of them twice.

    ``is_told``: the call told its provider, and that provider sells the model; otherwise these are the prices of
    all who may have served it.
    """

    prices: tuple[Price, ...]
    is_told: bool


_NOTHING = Offers((), is_told=False)


def offers(provider: str | None, model: str, at: float) -> Offers:
    """The prices of the model at that time (unix seconds), from the provider or, when it is not known, from all."""
    return _offers(provider, model, stretch_of(at))


@lru_cache(maxsize=OFFERS_REMEMBERED_MAX)
def _offers(provider: str | None, model: str, since: int) -> Offers:
    sellers = _sellers(provider, model)
    if not sellers.places:
        return _NOTHING
    at = datetime.fromtimestamp(since, UTC)
    asked = [price for one in sellers.places if (price := _compiled(one.get_prices(at))) is not None]
    return Offers(tuple(dict.fromkeys(asked)), sellers.is_told)


def stretch_of(at: float) -> int:
    """When the stretch of time around ``at`` began: within it, no price of the list changes."""
    day, second = divmod(int(at), 86_400)
    changes = _changes()
    return day * 86_400 + changes[bisect_right(changes, second) - 1]


@cache
def _changes() -> tuple[int, ...]:
    """The seconds of a day at which prices change: midnight, and when somebody's cheaper hours begin or end."""
    providers = _providers()  # before the library is imported: how, it knows
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    changes = {0}
    for provider in providers:
        for model in provider.models:
            for one in () if isinstance(model.prices, ModelPrice) else model.prices:
                if isinstance(one.constraint, TimeOfDateConstraint):
                    changes |= {_second(one.constraint.start_time), _second(one.constraint.end_time)}
    return tuple(sorted(changes))


def _second(of_day: time) -> int:
    aware = of_day if of_day.tzinfo else of_day.replace(tzinfo=UTC)
    utc = datetime.combine(date(2000, 1, 2), aware).astimezone(UTC)
    return utc.hour * 3_600 + utc.minute * 60 + utc.second


# --- who sells a model


@dataclass(frozen=True, slots=True)
class _Sellers:
    places: "tuple[ModelInfo, ...]"
    is_told: bool


@lru_cache(maxsize=MODELS_REMEMBERED_MAX)
def _sellers(provider: str | None, model: str) -> _Sellers:
    """Where the list has the model, the likeliest place first."""
    reference = model.strip().lower()
    known = None if provider is None else _provider(provider)
    is_imitated = known is not None and known.id in _IMITATED
    if known is not None and not (is_imitated and _is_of_bedrock(reference)):
        if found := _find(known, reference):
            return _Sellers((found,), is_told=True)
        if not is_imitated or _claims(known, reference):
            return _Sellers((), is_told=True)
    elif provider is not None and provider.lower() in _SELF_HOSTED:
        return _Sellers((), is_told=False)
    return _Sellers(tuple(_anywhere(reference)), is_told=False)


def _anywhere(reference: str) -> "list[ModelInfo]":
    """The model at all who list it by this name; who is named in front of it, as in "openai/gpt-4o", comes first."""
    first, slash, rest = reference.partition("/")
    if slash and first in _SELF_HOSTED:
        return []
    if _is_of_bedrock(reference):
        named, rest = _provider("aws"), reference
    else:
        named = _provider(first) if slash else None
    found = [place] if named and (place := _find(named, rest)) else []
    # A host's word says where the call went; a maker's may be part of the name that all its sellers use.
    if found and named and named.id in _HOSTS.values():
        return found
    for spelling in _spellings(reference):
        sellers = list(_index().sellers(spelling))
        sellers.sort(key=lambda seller: _unlikelihood(seller[0], spelling))
        if found or sellers:
            return found + [place for one, place in sellers if one is not named]
    # Last, as it is the boldest reading: a name of Bedrock's without the vendor.
    bedrock = _provider("aws")
    return [place] if bedrock and (place := _find(bedrock, reference)) else []


def _unlikelihood(provider: "Provider", reference: str) -> tuple[bool, int]:
    place = _LIKELIEST.index(provider.id) if provider.id in _LIKELIEST else len(_LIKELIEST)
    return not _claims(provider, reference), place


def _claims(provider: "Provider", reference: str) -> bool:
    """Whether the provider makes the model, who is then the likeliest to have served it: its pattern says so."""
    return provider.model_match is not None and provider.model_match.is_match(reference)


def _is_of_bedrock(reference: str) -> bool:
    """Whether the name has Bedrock's form: "us.amazon.nova-lite-v1:0", also in an ARN."""
    *before, _ = reference.rpartition("/")[2].split(".")
    return any(one in _BEDROCK_VENDORS for one in before)


def _find(provider: "Provider", reference: str) -> "ModelInfo | None":
    for spelling in _spellings(reference):
        if found := _index().find(provider, spelling):
            return found
    if provider.id == "aws":
        dotted = (f"{vendor}.{reference.rpartition('/')[2]}" for vendor in _BEDROCK_VENDORS)
        return next((found for one in dotted if (found := _bedrock_index().find(provider, one))), None)
    return None


def _spellings(reference: str) -> Iterator[str]:
    """The name as it is, then without what stands before its first and before its last slash.

    "openrouter/openai/gpt-4o" is a gateway's word before a name with a maker, "models/gemini-2.5-flash" a path.
    """
    yield from dict.fromkeys(
        one for one in (reference, reference.partition("/")[2], reference.rpartition("/")[2]) if one
    )


@lru_cache(maxsize=MODELS_REMEMBERED_MAX)
def _provider(name: str) -> "Provider | None":
    """The provider in the list; ``None`` when the list has none of that name."""
    providers = _providers()  # before the library is imported: how, it knows
    from genai_prices.data_snapshot import find_provider_by_id

    lowered = name.strip().lower()
    if "compatible" in lowered or "like" in lowered:  # "openai_compatible", "openai_like": not OpenAI
        return None
    if host := next((listed for word, listed in _HOSTS.items() if word in lowered), None):
        return find_provider_by_id(providers, host)
    for one in (lowered, lowered.partition(".")[0]):  # "groq.chat": the API behind the dot
        if found := find_provider_by_id(providers, _LIST_NAMES.get(one, one)):
            return found
    return None


_spares_memory = False


def spare_memory() -> None:
    """Have the list read by another process, and stay packed: for a process that goes on for long."""
    global _spares_memory
    _spares_memory = True


@cache
def _providers() -> "list[Provider]":
    if _spares_memory and (found := list_apart.providers_read_apart()):
        return found
    # Imported here because it takes half a second, which only those who have calls to price should wait.
    from genai_prices.data import providers

    return providers


@cache
def _index() -> ModelIndex:
    return ModelIndex(_providers())


@cache
def _bedrock_index() -> ModelIndex:
    # Of its own, as it is asked for one name with every vendor in front.
    return ModelIndex([one for one in _providers() if one.id == "aws"])


# --- what it costs


def _compiled(listed: "ModelPrice") -> Price | None:
    """The price as plain rates; ``None`` when the list does not say what input costs.

    Nobody serves tokens for nothing: a zero is a hole in the list.
    """
    from genai_prices.types import TieredPrices

    base = _rates_at(listed, 0)
    if base is None:
        return None
    tiered = [rate for one in _TOKEN_RATES if isinstance(rate := getattr(listed, one), TieredPrices)]
    starts = sorted({tier.start for rate in tiered for tier in rate.tiers})
    steps = [(start, rates) for start in starts if (rates := _rates_at(listed, start + 1)) is not None]
    return Price(base, tuple(steps))


_TOKEN_RATES = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok", "output_reasoning_mtok")


def _rates_at(listed: "ModelPrice", input_tokens: int) -> Rates | None:
    """What a call with so many input tokens pays, for all of its tokens; ``None`` without a price of input."""
    asked, cached, written, given, reasoning = (
        _dollars(getattr(listed, name), input_tokens, 1_000_000) for name in _TOKEN_RATES
    )
    if not asked:
        return None
    return Rates(
        input=asked,
        cached=asked if cached is None else cached,
        written=asked if written is None else written,
        output=given or None,
        reasoning=reasoning,
        request=_dollars(listed.requests_kcount, input_tokens, 1_000) or 0.0,
    )


def _dollars(rate: "Decimal | TieredPrices | None", input_tokens: int, per: int) -> float | None:
    """Dollars for one: beyond a tier's start, all tokens pay the tier's rate."""
    from genai_prices.types import TieredPrices

    if isinstance(rate, TieredPrices):
        rate = next((one.price for one in reversed(rate.tiers) if input_tokens > one.start), rate.base)
    return None if rate is None else float(rate) / per
