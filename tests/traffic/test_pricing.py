import pytest

from monitor.traffic.calls import CostBasis, Operation
from monitor.traffic.pricing import cost_of, price

from .conftest import MakeCall


@pytest.mark.parametrize(
    ("changes", "cost", "basis"),
    [
        ({}, 0.00021, CostBasis.EXACT),
        ({"response_model": None}, 0.00021, CostBasis.INFERRED),
        ({"response_model": "gpt-4o-mini-from-the-future"}, 0.00021, CostBasis.INFERRED),
        ({"provider": None}, 0.00021, CostBasis.INFERRED),
        ({"provider": "azure.ai.openai"}, 0.00021, CostBasis.EXACT),
        ({"cached_input_tokens": 400}, 0.00018, CostBasis.EXACT),
        (
            {"provider": "anthropic", "response_model": "claude-sonnet-4-5-20250929"},
            0.0045,
            CostBasis.EXACT,
        ),
        (
            {"provider": "aws.bedrock", "response_model": None, "request_model": "us.amazon.nova-lite-v1:0"},
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
    ],
    ids=[
        "as listed",
        "the model that answered is not told",
        "the model that answered is not listed",
        "the provider is not told",
        "azure",
        "cached tokens cost less",
        "anthropic",
        "bedrock",
        "embeddings",
    ],
)
def test_a_call_costs_what_the_list_says(make_call: MakeCall, changes, cost, basis) -> None:
    assert cost_of(make_call(**changes)) == (pytest.approx(cost), basis)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_tokens": None},
        {"output_tokens": None},
        {"request_model": "my-own-llm", "response_model": None},
        {"provider": "my-gateway"},
        {"request_model": None, "response_model": None},
        {"request_model": None, "response_model": ""},
        {"cached_input_tokens": 5_000},
    ],
    ids=[
        "no input tokens",
        "no output tokens",
        "unknown model",
        "unknown provider",
        "no model",
        "empty model",
        "tokens that contradict each other",
    ],
)
def test_what_is_not_known_is_unpriced_and_never_zero(make_call: MakeCall, changes) -> None:
    assert cost_of(make_call(**changes)) == (None, CostBasis.UNPRICED)


def test_providers_that_ask_different_prices_make_a_cost_ambiguous(make_call: MakeCall) -> None:
    call = make_call(provider=None, request_model="moonshotai/kimi-k2-instruct", response_model=None)
    cost, basis = cost_of(call)
    assert cost is not None
    assert basis is CostBasis.AMBIGUOUS


def test_pricing_a_call_changes_nothing_else(make_call: MakeCall) -> None:
    priced = price(make_call())
    assert make_call(cost_usd=priced.cost_usd, cost_basis=priced.cost_basis) == priced
