"""What a run cost, and what a sample will, by list price or by the target's own."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from canaries.completion import Completion, Outcome, Run
from canaries.config import PriceConfig, TargetConfig
from canaries.prompt import Image, Tool, ToolCall
from canaries.store import TokenMeans
from canaries.suite import Canary, Expectations, Message, Suite
from monitor.spending.canary_cost import ANSWER_TOKENS, IMAGE_TOKENS, TOKENS_A_MESSAGE, cost_usd, sample_costs

AT = datetime(2026, 3, 2, tzinfo=UTC)
ANSWER = Completion(
    "a", text="x", served_model="gpt-4o-mini-2024-07-18", input_tokens=1_000_000, output_tokens=100_000, at=AT
)
PRICE = 0.15 + 0.06
"""A million tokens in and a tenth of one out, by the list price of gpt-4o-mini."""


def target(**more: Any) -> TargetConfig:
    return TargetConfig(**{"model": "gpt-4o-mini", "suite": "s.yaml"} | more)


OPENAI = target()
OURS = target(model="our-own-model", base_url="http://127.0.0.1:8000/v1")
AGREED = PriceConfig(input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)


def suite(*prompts: str, **parameters: Any) -> Suite:
    """Canaries a, b, ... with these prompts."""
    return Suite(
        "s",
        tuple(
            Canary(name, (Message("user", prompt),), parameters, None, Expectations())
            for name, prompt in zip("abc", prompts, strict=False)
        ),
    )


def cost(*completions: Completion, target: TargetConfig = OPENAI) -> float | None:
    return cost_usd(Run("r", "bot", "s", AT, completions), target, suite("p" * 400))


def test_answers_cost_their_list_price() -> None:
    assert cost(ANSWER, replace(ANSWER, sample=1)) == pytest.approx(2 * PRICE)


def test_cached_tokens_cost_less() -> None:
    assert cost(replace(ANSWER, cached_input_tokens=1_000_000)) == pytest.approx(0.075 + 0.06)


def test_a_model_that_says_no_name_costs_what_was_asked_for() -> None:
    assert cost(replace(ANSWER, served_model=None)) == pytest.approx(PRICE)


def test_the_price_of_the_target_goes_before_the_list() -> None:
    assert cost(ANSWER, target=target(price=AGREED)) == pytest.approx(1.0 + 1.0)
    assert cost(ANSWER, target=OURS.model_copy(update={"price": AGREED})) == pytest.approx(2.0)


TIMEOUT = Completion("a", outcome=Outcome.TIMEOUT, error="timed out", at=AT)


def test_a_request_that_failed_without_a_word_of_tokens_costs_nothing() -> None:
    assert cost(TIMEOUT, ANSWER) == pytest.approx(PRICE)
    assert cost(TIMEOUT) == 0.0


def test_what_is_reported_of_a_failed_request_is_counted() -> None:
    reported = replace(TIMEOUT, input_tokens=1_000_000, output_tokens=100_000)
    assert cost(reported) == pytest.approx(PRICE)


def test_a_model_without_a_known_price_has_no_cost_rather_than_none_at_all() -> None:
    assert cost(replace(ANSWER, served_model="our-own-model"), target=OURS) is None


def test_an_endpoint_that_counts_no_tokens_does_not_look_free() -> None:
    silent = replace(ANSWER, text="x" * 40, input_tokens=None, output_tokens=None)
    agreed = target(price=PriceConfig(input_usd_per_mtok=1e6, output_usd_per_mtok=0))
    assert cost(silent, target=agreed) == pytest.approx(100 + TOKENS_A_MESSAGE)
    for_answers = target(price=PriceConfig(input_usd_per_mtok=0, output_usd_per_mtok=1e6))
    assert cost(silent, target=for_answers) == pytest.approx(10)


def test_an_empty_run_costs_nothing() -> None:
    assert cost() == 0.0


# --- before a run


INPUT = target(price=PriceConfig(input_usd_per_mtok=1e6, output_usd_per_mtok=0))
OUTPUT = target(price=PriceConfig(input_usd_per_mtok=0, output_usd_per_mtok=1e6))
"""A dollar for each token of the prompt, and of the answer: costs are numbers of tokens."""


def test_a_sample_costs_what_its_canary_did_on_average() -> None:
    means = {"a": TokenMeans(10.0, 20.0)}
    assert sample_costs(suite("?"), target(price=AGREED), means, AT) == {"a": pytest.approx(10e-6 + 200e-6)}


def test_before_the_first_run_a_prompt_costs_what_its_length_suggests() -> None:
    prompts = suite("p" * 400, "\u4f60" * 100)  # a hundred letters of Chinese are no twenty-five tokens
    assert sample_costs(prompts, INPUT, {}, AT) == {"a": 100 + TOKENS_A_MESSAGE, "b": 75 + TOKENS_A_MESSAGE}


ANSWERS = {
    "nothing known": ({}, {}, ANSWER_TOKENS),
    "a limit": ({"max_tokens": 60}, {}, 60),
    "the newer limit": ({"max_completion_tokens": 70}, {}, 70),
    "a limit that is none": ({"max_tokens": None}, {}, ANSWER_TOKENS),
    "other canaries": ({}, {"b": TokenMeans(1.0, 30.0), "c": TokenMeans(1.0, 50.0)}, 40),
    "its own": ({"max_tokens": 60}, {"a": TokenMeans(None, 15.0)}, 15),
    "a limit and other canaries": ({"max_tokens": 60}, {"b": TokenMeans(1.0, 30.0)}, 60),
}


@pytest.mark.parametrize(("parameters", "means", "tokens"), ANSWERS.values(), ids=ANSWERS)
def test_before_the_first_run_an_answer_is_as_long_as_it_may_be(parameters, means, tokens) -> None:
    assert sample_costs(suite("?", **parameters), OUTPUT, means, AT) == {"a": tokens}


def test_without_a_price_there_is_no_estimate() -> None:
    assert sample_costs(suite("?"), OURS, {}, AT) is None


def test_the_list_price_is_used_where_it_is_known() -> None:
    costs = sample_costs(suite("?"), OPENAI, {"a": TokenMeans(1_000_000.0, 100_000.0)}, AT)
    assert costs == {"a": pytest.approx(PRICE)}


def test_pictures_tools_and_earlier_calls_count_before_anybody_has_counted_them() -> None:
    plain = suite("p" * 400, max_tokens=1)
    (canary,) = plain.canaries
    picture = Message("user", canary.messages[0].content, (Image("image/png", b"x"),))
    asked = Message("assistant", "", tool_calls=(ToolCall("look", {"at": "x" * 400}, "c"),))
    tool = Tool("look", "d" * 400)

    def tokens(**more: Any) -> float:
        """What the question takes, in tokens, at a price of a dollar each."""
        dear = target(price=PriceConfig(input_usd_per_mtok=1e6, output_usd_per_mtok=0))
        costs = sample_costs(replace(plain, canaries=(replace(canary, **more),)), dear, {}, AT)
        assert costs is not None
        return costs["a"]

    assert tokens(messages=(picture,)) == tokens() + IMAGE_TOKENS
    assert tokens(messages=(*canary.messages, asked)) > tokens() + 100
    assert tokens(tools=(tool,)) > tokens() + 100


@pytest.mark.parametrize(
    ("more", "usd"),
    [
        ({"provider": "azure", "base_url": "https://acme.openai.azure.com/openai/v1"}, 0.15),
        ({"provider": "gemini", "model": "gemini-2.5-flash"}, 0.30),
        ({"provider": "anthropic", "model": "claude-haiku-4-5"}, 1.00),
    ],
    ids=["azure", "gemini", "anthropic"],
)
def test_other_providers_have_their_list_prices_too(more: dict[str, Any], usd: float) -> None:
    answer = Completion("a", text="x", input_tokens=1_000_000, output_tokens=0, at=AT)
    assert cost(answer, target=target(**more)) == pytest.approx(usd)


def test_what_is_written_to_a_cache_has_its_own_price() -> None:
    claude = target(provider="anthropic", model="claude-haiku-4-5")
    answer = Completion("a", text="x", input_tokens=1_000_000, output_tokens=0, at=AT)
    assert cost(replace(answer, cache_write_input_tokens=1_000_000), target=claude) == pytest.approx(1.25)
