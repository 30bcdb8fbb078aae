"""What a run cost, by list price."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from canaries.completion import Completion, Outcome, Run
from canaries.config import TargetConfig
from monitor.canary_cost import cost_usd

AT = datetime(2026, 3, 2, tzinfo=UTC)
ANSWER = Completion(
    "a", text="x", served_model="gpt-4o-mini-2024-07-18", input_tokens=1_000_000, output_tokens=100_000, at=AT
)
OPENAI = TargetConfig(model="gpt-4o-mini", suite="s.yaml")
OURS = TargetConfig(model="our-own-model", suite="s.yaml", base_url="http://127.0.0.1:8000/v1")
PRICE = 0.15 + 0.06
"""A million tokens in and a tenth of one out, by the list price of gpt-4o-mini."""


def cost(*completions: Completion, target: TargetConfig = OPENAI) -> float:
    return cost_usd(Run("r", "bot", "s", AT, completions), target)


def test_answers_cost_their_list_price() -> None:
    assert cost(ANSWER, replace(ANSWER, sample=1)) == pytest.approx(2 * PRICE)


def test_cached_tokens_cost_less() -> None:
    assert cost(replace(ANSWER, cached_input_tokens=1_000_000)) == pytest.approx(0.075 + 0.06)


def test_a_model_that_says_no_name_costs_what_was_asked_for() -> None:
    assert cost(replace(ANSWER, served_model=None)) == pytest.approx(PRICE)


FREE = {
    "no tokens told": (replace(ANSWER, input_tokens=None, output_tokens=None), OPENAI),
    "a model of our own": (replace(ANSWER, served_model="our-own-model"), OURS),
    "no answer": (Completion("a", outcome=Outcome.TIMEOUT, error="timed out", at=AT), OPENAI),
}


@pytest.mark.parametrize(("completion", "target"), FREE.values(), ids=FREE)
def test_what_has_no_sure_price_counts_nothing(completion: Completion, target: TargetConfig) -> None:
    assert cost(completion, ANSWER, target=target) == pytest.approx(cost(ANSWER, target=target))
    assert cost(completion, target=target) == 0.0


def test_an_empty_run_costs_nothing() -> None:
    assert cost() == 0.0
