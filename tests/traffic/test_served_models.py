"""Whether the model that answers is the one that was asked for."""

from datetime import UTC, datetime

import pytest

from alerts.finding import Label
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judgement import Judgement
from monitor.traffic.watches.judging import judge
from monitor.traffic.watches.served_models import stands_for
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window

from .conftest import NOON

NOW = datetime.fromtimestamp(NOON + 30, UTC)


@pytest.mark.parametrize(
    ("asked", "served", "is_same"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", True),
        ("claude-sonnet-4", "claude-sonnet-4@20250514", True),
        ("mistral-large", "mistral-large-2407", True),
        ("gemini-1.5-pro", "gemini-1.5-pro-002", True),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", True),
        ("GPT-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06", False),
        ("gpt-4o-2024-05-13", "gpt-4o", False),
        ("gpt-4", "gpt-4-turbo-2024-04-09", False),
        ("gpt-4", "gpt-4-1106-preview", False),
        ("llama-3", "llama-3-70b", False),
        ("one/model", "other/model", False),
        ("support-prod", "gpt-4o-2024-08-06", False),
    ],
)
def test_a_name_stands_for_itself_and_its_dated_versions(asked: str, served: str, is_same: bool) -> None:
    assert stands_for(asked, served, {}) is is_same


@pytest.mark.parametrize(
    ("served", "is_same"),
    [("gpt-4o", True), ("gpt-4o-2024-08-06", True), ("o3-mini", True), ("gpt-4o-mini", False)],
)
def test_an_alias_stands_for_what_the_operator_says(served: str, is_same: bool) -> None:
    assert stands_for("support-prod", served, {"support-prod": ["gpt-4o", "o3-*"]}) is is_same


def watch(**fields: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "swap", "served_model": {}, **fields})


def said(rule: WatchConfig, *counts: tuple[str, str, int]) -> Judgement:
    windows = [
        Window(int(NOON) - 60, Series("shop", "", "", "chat", "openai", asked, served), calls)
        for asked, served, calls in counts
    ]
    return judge(rule, windows, NOW)


def test_a_swap_names_both_models_and_the_share() -> None:
    judgement = said(watch(), ("gpt-4o", "gpt-4o-2024-08-06", 75), ("gpt-4o", "gpt-4o-mini", 25))
    assert (judgement.label, judgement.value) == (Label.BREACHED, 0.25)
    assert judgement.reason == (
        "25 % of 100 calls of the last 6 minutes were answered by another model than the one asked for: "
        "gpt-4o-mini instead of gpt-4o"
    )
    assert ("asked for gpt-4o", "gpt-4o-mini answered 25 calls") in judgement.evidence


def test_the_models_that_were_asked_for_are_steady() -> None:
    judgement = said(watch(), ("gpt-4o", "gpt-4o-2024-08-06", 75))
    assert (judgement.label, judgement.value) == (Label.STEADY, 0.0)


def test_a_share_that_is_allowed_is_judged_by_its_bounds() -> None:
    rule = watch(above="10%")
    few, many = (("gpt-4o", "gpt-4o-mini", count) for count in (12, 40))
    assert said(rule, ("gpt-4o", "gpt-4o", 88), few).is_doubtful
    assert said(rule, ("gpt-4o", "gpt-4o", 60), many).label is Label.BREACHED


def test_calls_that_do_not_tell_both_say_nothing() -> None:
    judgement = said(watch(), ("gpt-4o", "", 100), ("", "gpt-4o", 100))
    assert (judgement.label, judgement.n) == (Label.NO_DATA, 0)
