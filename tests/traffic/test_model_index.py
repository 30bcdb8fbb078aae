"""The index finds what genai-prices finds, and asks few models to find it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from genai_prices.data import providers
from genai_prices.types import ClauseStartsWith, ModelInfo, Provider

from monitor.traffic.pricing.model_index import ModelIndex

INDEX = ModelIndex(providers)


def pieces(clause: object) -> Iterator[str]:
    """The texts in a pattern, which names that nearly fit are made of."""
    for name in ("equals", "starts_with", "ends_with", "contains", "regex"):
        if (text := getattr(clause, name, None)) is not None:
            yield text.strip("^$").replace(r"\d{8}", "20251211").replace(r"\d{4}-\d{2}-\d{2}", "2025-12-11")
    for one in getattr(clause, "or_", None) or getattr(clause, "and_", None) or ():
        yield from pieces(one)


def names() -> list[str]:
    """Every text of every pattern, some of them with something before, after or instead."""
    chance = random.Random(5)
    told = sorted({text for one in providers for model in one.models for text in pieces(model.match)})
    changed = [
        chance.choice(["", "x", "openai/", "us."])
        + text
        + chance.choice(["-20251211", "-2025-12-11", ":0", "-x"])
        for text in chance.sample(told, 300)
    ]
    return [
        *chance.sample(told, 500),
        *changed,
        *(text.upper() for text in told[:50]),
        "-20251332",
        "",
        "x" * 256,
    ]


def test_every_provider_is_found_the_model_that_the_list_finds() -> None:
    chance, found = random.Random(6), 0
    for name in names():
        for provider in chance.sample(providers, 6):
            wanted = provider.find_model(name, all_providers=providers)
            assert INDEX.find(provider, name) is wanted, (provider.id, name)
            found += wanted is not None
    assert found > 90


def test_all_sellers_of_a_model_are_found_in_the_order_of_the_list() -> None:
    for name in names()[::7]:
        wanted = [(one.id, model) for one in providers if (model := one.find_model(name))]
        assert [(one.id, model) for one, model in INDEX.sellers(name)] == wanted, name


def test_a_name_that_nobody_lists_has_hardly_any_model_asked() -> None:
    asked = []

    @dataclass
    class Counted(ClauseStartsWith):
        def is_match(self, text: str) -> bool:
            asked.append(text)
            return super().is_match(text)

    models = [ModelInfo(f"model-{i}", Counted(f"model-{i}-")) for i in range(1_000)]
    acme = Provider("acme", "Acme", "acme", models=models)
    index = ModelIndex([acme])
    assert index.find(acme, "made-up-7") is None
    assert asked == []
    assert index.find(acme, "model-7-mini") is models[7]
    assert asked == ["model-7-mini"]
