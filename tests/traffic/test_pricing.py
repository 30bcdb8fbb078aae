"""What a call costs, and how sure that is."""

from datetime import UTC, date, datetime
from timeit import timeit

import pytest

from monitor.traffic.calls import Call, CostBasis, Operation
from monitor.traffic.config import ModelPriceConfig
from monitor.traffic.pricing.book import LIST_PRICES, PriceBook, cost_of

from .conftest import MakeCall

NOVA = "us.amazon.nova-lite-v1:0"
HAIKU = "anthropic.claude-3-5-haiku-20241022-v1:0"
SONNET = "claude-sonnet-4-5-20250929"


@pytest.mark.parametrize(
    ("changes", "cost", "basis"),
    [
        ({}, 0.00021, CostBasis.EXACT),
        ({"response_model": None}, 0.00021, CostBasis.INFERRED),
        ({"response_model": "gpt-4o-mini-from-the-future"}, 0.00021, CostBasis.INFERRED),
        ({"provider": None}, 0.00021, CostBasis.INFERRED),
        ({"provider": "azure.ai.openai"}, 0.00021, CostBasis.EXACT),
        ({"cached_input_tokens": 400}, 0.00018, CostBasis.EXACT),
        ({"reasoning_tokens": 60}, 0.00021, CostBasis.EXACT),
        ({"provider": "anthropic", "response_model": SONNET}, 0.0045, CostBasis.EXACT),
        (
            {
                "provider": "anthropic",
                "response_model": SONNET,
                "cached_input_tokens": 600,
                "cache_write_input_tokens": 200,
            },
            # 200 plain, 600 read at a tenth, 200 written at five quarters, 100 of output
            (200 * 3 + 600 * 0.3 + 200 * 3.75 + 100 * 15) / 1e6,
            CostBasis.EXACT,
        ),
        (
            {"provider": "aws.bedrock", "response_model": None, "request_model": NOVA},
            0.000084,
            CostBasis.INFERRED,
        ),
        (
            {
                "operation": Operation.EMBEDDINGS,
                "response_model": "text-embedding-3-small",
                "output_tokens": None,
            },
            0.00002,
            CostBasis.EXACT,
        ),
        (
            {
                "operation": Operation.EMBEDDINGS,
                "response_model": "text-embedding-3-small",
                "output_tokens": 1_000,
            },
            0.00002,
            CostBasis.EXACT,
        ),
        (
            {"provider": "perplexity", "response_model": "sonar-deep-research", "reasoning_tokens": 40},
            (1_000 * 2 + 60 * 8 + 40 * 3) / 1e6,
            CostBasis.EXACT,
        ),
        ({"output_tokens": 0}, 0.00015, CostBasis.EXACT),
        ({"error": True}, 0.00021, CostBasis.EXACT),
    ],
    ids=[
        "as listed",
        "the model that answered is not told",
        "the model that answered is not listed",
        "the provider is not told",
        "azure",
        "cached tokens cost less",
        "reasoning is part of the output",
        "anthropic",
        "reads and writes of a cache",
        "bedrock",
        "embeddings",
        "embeddings that report output",
        "reasoning that is priced apart",
        "no answer",
        "a failed call that used tokens",
    ],
)
def test_a_call_costs_what_the_list_says(make_call: MakeCall, changes, cost, basis) -> None:
    assert cost_of(make_call(**changes)) == (pytest.approx(cost), basis)


@pytest.mark.parametrize(
    ("provider", "model", "listed"),
    [
        ("openai", "openai/gpt-4o-mini", ("openai", "gpt-4o-mini")),
        (None, "openai/gpt-4o-mini", ("openai", "gpt-4o-mini")),
        (None, "openrouter/openai/gpt-4o-mini", ("openrouter", "openai/gpt-4o-mini")),
        (None, "azure/gpt-4o-mini", ("openai", "gpt-4o-mini")),
        ("azure.ai.openai", "gpt-4o-2024-08-06", ("openai", "gpt-4o")),
        ("azure_openai", "gpt-35-turbo", ("openai", "gpt-3.5-turbo")),
        ("aws.bedrock", NOVA, ("aws", "amazon.nova-lite-v1:0")),
        ("aws.bedrock", "nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
        (None, "nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
        (None, f"bedrock/us-east-1/{HAIKU}", ("aws", HAIKU)),
        ("aws.bedrock", f"arn:aws:bedrock:eu-west-1:1:inference-profile/eu.{HAIKU}", ("aws", HAIKU)),
        ("aws.bedrock", f"us.anthropic.{SONNET}-v1:0", ("aws", f"us.anthropic.{SONNET}-v1:0")),
        ("anthropic", f"us.anthropic.{SONNET}-v1:0", ("aws", f"us.anthropic.{SONNET}-v1:0")),
        ("gcp.gemini", "models/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", ("google", "claude-sonnet-4-5")),
        ("vertex_ai_anthropic", "claude-sonnet-4-5@20250929", ("google", "claude-sonnet-4-5")),
        (None, "gemini/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("groq.chat", "llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        ("x_ai", "grok-3-latest", ("x-ai", "grok-3")),
        (
            "fireworks_ai",
            "accounts/fireworks/models/deepseek-v3p2",
            ("fireworks", "accounts/fireworks/models/deepseek-v3p2"),
        ),
        ("openai", "mistral-small-latest", ("mistral", "mistral-small-latest")),
        ("my-gateway", "mistral-small-latest", ("mistral", "mistral-small-latest")),
        ("openai_compatible", "mistral/mistral-small-latest", ("mistral", "mistral-small-latest")),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc")),
    ],
)
def test_names_are_understood_however_they_are_dressed(make_call: MakeCall, provider, model, listed) -> None:
    call = make_call(provider=provider, response_model=None, request_model=model)
    cost, basis = cost_of(call)
    assert (cost, basis) == (pytest.approx(listed_cost(call, *listed)), CostBasis.INFERRED)


def listed_cost(call: Call, provider: str, model: str) -> float:
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=call.input_tokens, output_tokens=call.output_tokens)
    at = datetime.fromtimestamp(call.started_at, UTC)
    return float(calc_price(usage, model, provider_id=provider, genai_request_timestamp=at).total_price)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_tokens": None},
        {"output_tokens": None},
        {"input_tokens": 0, "output_tokens": 0},
        {"request_model": "my-own-llm", "response_model": None},
        {"provider": "my-gateway", "request_model": "my-own-llm", "response_model": None},
        {"provider": "ollama", "request_model": "gpt-oss-120b", "response_model": None},
        {"provider": None, "request_model": "hosted_vllm/openai/gpt-oss-120b", "response_model": None},
        {"provider": "openai", "request_model": "gpt-99", "response_model": None},
        {"provider": "groq", "request_model": "claude-sonnet-4-5", "response_model": None},
        {"provider": "github.copilot", "request_model": "gpt-4o", "response_model": None},
        {"request_model": None, "response_model": None},
        {"request_model": None, "response_model": ""},
        {"cached_input_tokens": 5_000},
        {"cached_input_tokens": 600, "cache_write_input_tokens": 600},
        {"provider": "perplexity", "response_model": "sonar-deep-research", "reasoning_tokens": 101},
        {"response_model": "text-embedding-3-small"},
        {"response_model": None, "request_model": "/" * 256},
    ],
    ids=[
        "no input tokens",
        "no output tokens",
        "no tokens at all",
        "unknown model",
        "unknown model of an unknown provider",
        "a server of one's own",
        "a server of one's own, named with the model",
        "a model that its maker does not list",
        "a model that the provider does not sell",
        "a zero in the list",
        "no model",
        "empty model",
        "more from the cache than there was",
        "more from and to the cache than there was",
        "more reasoning than output",
        "an answer of a model without a price of output",
        "slashes",
    ],
)
def test_what_is_not_known_is_unpriced_and_never_zero(make_call: MakeCall, changes) -> None:
    changes = {"request_model": None, **changes} if "response_model" in changes else changes
    assert cost_of(make_call(**changes)) == (None, CostBasis.UNPRICED)


def test_providers_that_ask_different_prices_make_a_cost_ambiguous(make_call: MakeCall) -> None:
    call = make_call(provider=None, request_model="moonshotai/kimi-k2-instruct", response_model=None)
    cost, basis = cost_of(call)
    assert cost is not None
    assert basis is CostBasis.AMBIGUOUS


def test_an_ambiguous_cost_is_that_of_the_model_s_maker(make_call: MakeCall) -> None:
    call = make_call(provider=None, request_model=SONNET, response_model=None)
    assert listed_cost(call, "anthropic", SONNET) != listed_cost(call, "aws", f"us.anthropic.{SONNET}-v1:0")
    assert cost_of(call) == (pytest.approx(listed_cost(call, "anthropic", SONNET)), CostBasis.AMBIGUOUS)


def test_sellers_differ_only_as_far_as_the_call_is_concerned(make_call: MakeCall) -> None:
    # two sell it at one price, and only one of them asks less for what is read from a cache
    kimi = {"provider": None, "request_model": "moonshotai/kimi-k2-thinking", "response_model": None}
    assert cost_of(make_call(**kimi))[1] is CostBasis.INFERRED
    assert cost_of(make_call(**kimi, cached_input_tokens=500))[1] is CostBasis.AMBIGUOUS


def test_a_call_costs_what_was_asked_at_its_time(make_call: MakeCall) -> None:
    def cost(model: str, *at: int) -> float | None:
        started = datetime(*at, tzinfo=UTC).timestamp()
        return cost_of(make_call(provider="deepseek", response_model=model, started_at=started))[0]

    # by night it was half as much, from 16:30 to 00:30
    assert cost("deepseek-chat", 2025, 7, 1, 16, 29, 59) == pytest.approx(0.00038)
    assert cost("deepseek-chat", 2025, 7, 1, 16, 30) == pytest.approx(0.00019)
    assert cost("deepseek-chat", 2025, 7, 2, 0, 29, 59) == pytest.approx(0.00019)
    assert cost("deepseek-chat", 2025, 7, 2, 0, 30) == pytest.approx(0.00038)


def test_pricing_a_call_changes_nothing_else(make_call: MakeCall) -> None:
    priced = LIST_PRICES.price(make_call())
    assert make_call(cost_usd=priced.cost_usd, cost_basis=priced.cost_basis) == priced


def test_a_call_that_was_seen_before_is_priced_in_microseconds(make_call: MakeCall) -> None:
    calls = [
        make_call(),
        make_call(provider=None),
        make_call(provider="deepseek", response_model="deepseek-chat"),
    ]
    once = min(timeit(lambda call=call: cost_of(call), number=200) / 200 for call in calls for _ in range(5))
    assert once < 20e-6  # 70 when the list is asked each time, 1.5 on an idle core


# --- prices of one's own


def own(**told: object) -> ModelPriceConfig:
    return ModelPriceConfig.model_validate(
        {"model": "gpt-4o-mini*", "input_usd_per_mtok": 1, "output_usd_per_mtok": 10} | told
    )


@pytest.mark.parametrize(
    ("told", "changes", "cost", "basis"),
    [
        ({}, {}, 0.002, CostBasis.EXACT),
        ({"model": "gpt-4o-mini"}, {}, 0.002, CostBasis.INFERRED),
        ({"model": ["gpt-4", "gpt-4o-m?ni*"]}, {}, 0.002, CostBasis.EXACT),
        ({"model": "gpt-5*"}, {}, 0.00021, CostBasis.EXACT),
        ({}, {"provider": None}, 0.002, CostBasis.EXACT),
        ({"provider": "openai"}, {}, 0.002, CostBasis.EXACT),
        ({"provider": "azure*"}, {}, 0.00021, CostBasis.EXACT),
        ({"provider": "azure*"}, {"provider": None}, 0.00021, CostBasis.INFERRED),
        ({"model": "my-own"}, {"request_model": "my-own", "response_model": None}, 0.002, CostBasis.INFERRED),
        ({"model": "my-own"}, {"provider": "ollama", "response_model": "my-own"}, 0.002, CostBasis.EXACT),
        ({"input_usd_per_mtok": 0, "output_usd_per_mtok": 0}, {}, 0.0, CostBasis.EXACT),
        ({}, {"cached_input_tokens": 400, "cache_write_input_tokens": 100}, 0.002, CostBasis.EXACT),
        ({"cached_input_usd_per_mtok": 0.5}, {"cached_input_tokens": 400}, 0.0018, CostBasis.EXACT),
        ({"cache_write_usd_per_mtok": 2}, {"cache_write_input_tokens": 100}, 0.0021, CostBasis.EXACT),
        ({}, {"output_tokens": None}, None, CostBasis.UNPRICED),
        ({"from": "2026-03-02"}, {}, 0.002, CostBasis.EXACT),
        ({"from": "2026-03-03"}, {}, 0.00021, CostBasis.EXACT),
    ],
    ids=[
        "the model that answered",
        "the model asked for",
        "one of several patterns",
        "another model",
        "whoever answered, also nobody we know",
        "the provider",
        "another provider",
        "no provider told",
        "a model of one's own",
        "a server of one's own",
        "nothing is a price when the operator says so",
        "cached input costs what other input does",
        "unless it is told",
        "as with what is written to a cache",
        "tokens must be told all the same",
        "since the day of the call",
        "since the day after it",
    ],
)
def test_an_own_price_takes_the_place_of_the_list_s(make_call: MakeCall, told, changes, cost, basis) -> None:
    expected = None if cost is None else pytest.approx(cost)
    assert PriceBook([own(**told)]).cost_of(make_call(**changes)) == (expected, basis)


def test_of_several_own_prices_the_latest_that_had_begun_counts(make_call: MakeCall) -> None:
    book = PriceBook(
        [
            own(input_usd_per_mtok=3, **{"from": "2026-03-01"}),
            own(input_usd_per_mtok=4, **{"from": "2026-03-10"}),
            own(input_usd_per_mtok=2),
        ]
    )

    def cost(day: date) -> float | None:
        started = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        return book.cost_of(make_call(started_at=started, output_tokens=0))[0]

    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 9), date(2026, 3, 10)]
    assert [cost(day) for day in days] == pytest.approx([0.002, 0.003, 0.003, 0.004])


def test_an_own_price_of_the_provider_counts_before_one_of_all_providers(make_call: MakeCall) -> None:
    book = PriceBook(
        [own(provider="openai", input_usd_per_mtok=2), own(input_usd_per_mtok=9, **{"from": "2026-03-01"})]
    )
    assert book.cost_of(make_call(output_tokens=0)) == (pytest.approx(0.002), CostBasis.EXACT)
    assert book.cost_of(make_call(output_tokens=0, provider="x"))[0] == pytest.approx(0.009)
