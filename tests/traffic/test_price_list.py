"""The rates that we remember ask what genai-prices asks, for all that it lists and at any time."""

import random
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from weakref import ref

import pytest
from genai_prices import Usage
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider

from monitor.traffic.calls import Call, CostBasis
from monitor.traffic.pricing import list_apart, price_list
from monitor.traffic.pricing.book import cost_of
from monitor.traffic.pricing.rates import cost

from .conftest import MakeCall

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def asked(call: Call, provider: Provider, model: ModelInfo) -> float:
    told = {
        "input_tokens": call.input_tokens,
        "cache_read_tokens": call.cached_input_tokens,
        "cache_write_tokens": call.cache_write_input_tokens,
        "output_tokens": call.output_tokens,
        "output_reasoning_tokens": call.reasoning_tokens,
    }
    at = datetime.fromtimestamp(call.started_at, UTC)
    usage = Usage(**{name: tokens for name, tokens in told.items() if tokens})
    return float(model.calc_price(usage, provider, genai_request_timestamp=at).total_price)


def some_call(make_call: MakeCall, chance: random.Random) -> Call:
    """A call with a mix of tokens, before and beyond the usual tiers, at some time of three years."""
    tokens, output = chance.choice([10, 5_000, 150_000, 300_000]), chance.choice([0, 77])
    return make_call(
        input_tokens=tokens,
        cached_input_tokens=chance.choice([None, 0, tokens // 3]),
        cache_write_input_tokens=chance.choice([None, tokens // 5]),
        output_tokens=output,
        reasoning_tokens=chance.choice([None, output // 2]),
        started_at=(FIRST_DAY + timedelta(days=1_095 * chance.random())).timestamp(),
    )


def test_every_listed_model_costs_what_the_list_asks(make_call: MakeCall) -> None:
    chance = random.Random(7)
    compared = 0
    for provider in providers:
        for model in provider.models:
            call = some_call(make_call, chance)
            offers = price_list.offers(provider.id, model.id, call.started_at)
            found = provider.find_model(model.id, all_providers=providers)
            if found is None or not offers.is_told or not offers.prices:
                continue
            (price,) = offers.prices
            if (ours := cost(price, call)) is not None:
                assert ours == pytest.approx(asked(call, provider, found), rel=1e-9), (
                    provider.id,
                    model.id,
                    call,
                )
                compared += 1
    assert compared > 1_500


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("openai", "gpt-5-mini-2025-08-07"),
        ("openai", "o3-mini"),
        ("anthropic", "claude-haiku-4-5-20251001"),
        ("gcp.gemini", "gemini-2.5-pro"),
        ("mistral_ai", "mistral-large-latest"),
        ("cohere", "command-r-08-2024"),
        ("deepseek", "deepseek-chat"),
        ("x_ai", "grok-3"),
        ("groq", "llama-3.3-70b-versatile"),
        ("perplexity", "sonar-pro"),
        ("aws.bedrock", "us.amazon.nova-pro-v1:0"),
        ("azure.ai.openai", "gpt-4o-mini"),
    ],
)
def test_a_priced_call_costs_what_the_list_asks(make_call: MakeCall, provider: str, model: str) -> None:
    names = {"gcp.gemini": "google", "mistral_ai": "mistral", "x_ai": "x-ai", "aws.bedrock": "aws"}
    wanted = names.get(provider, provider.partition(".")[0])
    listed = next(one for one in providers if one.id == wanted)
    found = listed.find_model(model, all_providers=providers)
    assert found is not None
    chance = random.Random(model)
    for _ in range(20):
        call = some_call(lambda **told: make_call(provider=provider, response_model=model, **told), chance)
        assert cost_of(call) == (pytest.approx(asked(call, listed, found), rel=1e-9), CostBasis.EXACT)


def test_what_is_remembered_has_a_bound(make_call: MakeCall) -> None:
    for number in range(50):
        cost_of(make_call(response_model=f"model-{number}", started_at=86_400.0 * number))
    for remembered, bound in (
        (price_list._offers, price_list.OFFERS_REMEMBERED_MAX),
        (price_list._sellers, price_list.MODELS_REMEMBERED_MAX),
        (price_list._provider, price_list.MODELS_REMEMBERED_MAX),
    ):
        assert remembered.cache_info().maxsize == bound


def test_no_price_is_fetched(make_call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for a price")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for remembered in (price_list._offers, price_list._sellers, price_list._provider):
        remembered.cache_clear()
    assert cost_of(make_call())[1] is CostBasis.EXACT


def read_apart() -> list[Provider]:
    read = list_apart.providers_read_apart()
    assert read is not None
    return [replace(one, models=list(one.models)) for one in read]


def test_another_process_reads_the_same_list() -> None:
    assert read_apart() == providers


def test_another_process_imports_nothing_from_the_folder_in_which_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert read_apart() == providers


def test_a_packed_model_is_the_same_for_whoever_asks_for_it_and_is_let_go_after_them() -> None:
    read = list_apart.providers_read_apart()
    assert read is not None
    (models,) = (one.models for one in read if one.id == "openai")
    once = models[3]
    assert models[3] is once
    assert once == next(one for one in providers if one.id == "openai").models[3]
    seen = ref(once)
    del once
    assert seen() is None


# What succeeds and says something else is as good as what fails.
@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false", "/bin/true", "/bin/echo"])
def test_where_another_process_cannot_read_the_list_it_says_so(python: str) -> None:
    assert list_apart.providers_read_apart(python) is None
