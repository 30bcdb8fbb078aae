from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from alerts.finding import Label
from monitor.traffic.calls import Call, CostBasis, ErrorClass
from monitor.traffic.config import MatchConfig, WatchConfig
from monitor.traffic.watches import judge, matches
from monitor.traffic.windows import WindowBook, series_of

from .conftest import NOON, MakeCall

NOW = datetime.fromtimestamp(NOON + 30, UTC)


def watch(measure: str, above: object, **more: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "w", "measure": measure, "above": above, **more})


def book(calls: Sequence[Call]) -> WindowBook:
    windows = WindowBook()
    for call in calls:
        windows.add(call, series_of(call))
    return windows


@pytest.mark.parametrize(
    ("slow", "label"),
    [(0, Label.STEADY), (5, Label.STEADY), (6, Label.BREACHED), (100, Label.BREACHED)],
    ids=["none slow", "5 of 100 slow", "6 of 100 slow", "all slow"],
)
def test_p95_latency_is_breached_once_more_than_a_twentieth_is_slow(make_call: MakeCall, slow, label) -> None:
    calls = [make_call(duration_s=10.0 if number < slow else 1.0) for number in range(100)]
    judgement = judge(watch("latency_p95", "8s"), book(calls), NOW)
    assert (judgement.label, judgement.n) == (label, 100)
    assert judgement.low <= judgement.value <= judgement.high


@pytest.mark.parametrize(
    ("measure", "calls", "label"),
    [
        ("latency_p95", 19, Label.NO_DATA),
        ("latency_p95", 20, Label.BREACHED),
        ("latency_p99", 99, Label.NO_DATA),
        ("latency_p99", 100, Label.BREACHED),
        ("latency_p50", 4, Label.NO_DATA),
        ("latency_p50", 5, Label.BREACHED),
    ],
)
def test_a_quantile_waits_for_calls_enough_to_be_more_than_the_largest(
    make_call, measure, calls, label
) -> None:
    rule = watch(measure, "8s", min_calls=5)
    judgement = judge(rule, book([make_call(duration_s=10.0)] * calls), NOW)
    assert judgement.label is label
    assert judgement.n == calls


def test_no_traffic_at_all_is_no_data_and_not_health() -> None:
    judgement = judge(watch("error_share", "2%"), [], NOW)
    assert (judgement.label, judgement.value, judgement.n) == (Label.NO_DATA, None, 0)
    assert judgement.reason == "0 calls to judge in the last 6 minutes, 20 are needed"


def test_the_error_share_says_which_errors(make_call: MakeCall) -> None:
    failed = [make_call(error=True, error_class=ErrorClass.RATE_LIMIT)] * 3
    failed += [make_call(error=True, error_class=ErrorClass.SERVER_ERROR)]
    judgement = judge(watch("error_share", "2%"), book([*failed, *[make_call()] * 96]), NOW)
    assert (judgement.label, judgement.value) == (Label.BREACHED, 0.04)
    assert judgement.reason == (
        "error_share is 4 % over 100 calls of the last 6 minutes, above 2 % (3 rate_limit, 1 server_error)"
    )


def test_a_threshold_that_is_just_met_is_not_breached(make_call: MakeCall) -> None:
    failed = [make_call(error=True, error_class=ErrorClass.AUTH)] * 2
    assert judge(watch("error_share", "2%"), book([*failed, *[make_call()] * 98]), NOW).label is Label.STEADY


def test_the_cost_per_call_is_the_mean_of_the_priced_and_tells_of_the_others(make_call: MakeCall) -> None:
    priced = [
        make_call(cost_usd=cost, cost_basis=CostBasis.EXACT) for cost in (0.01, 0.02, 0.06) for _ in range(10)
    ]
    judgement = judge(watch("cost_per_call", "$0.02"), book([*priced, *[make_call()] * 5]), NOW)
    assert (judgement.label, judgement.n) == (Label.BREACHED, 30)
    assert judgement.value == pytest.approx(0.03)
    assert judgement.reason.endswith("above $0.02; 5 more calls have no known price")


def test_calls_without_a_price_are_no_data_for_a_cost_watch(make_call: MakeCall) -> None:
    assert judge(watch("cost_p95", 0.02), book([make_call()] * 50), NOW).label is Label.NO_DATA


def test_a_watch_may_look_for_too_little(make_call: MakeCall) -> None:
    rule = WatchConfig.model_validate({"name": "w", "measure": "latency_p50", "below": "100ms"})
    assert judge(rule, book([make_call(duration_s=0.01)] * 20), NOW).label is Label.BREACHED
    assert judge(rule, book([make_call(duration_s=0.2)] * 20), NOW).label is Label.STEADY


@pytest.mark.parametrize(
    ("ended_at", "counts"),
    [(NOON - 301, False), (NOON - 300, True), (NOON + 29, True), (NOON + 60, False)],
    ids=["too old", "oldest minute", "running minute", "next minute"],
)
def test_a_watch_looks_at_the_minutes_of_its_look_back(make_call: MakeCall, ended_at, counts) -> None:
    judgement = judge(watch("latency_p50", "8s", over="5m"), book([make_call(ended_at=ended_at)] * 20), NOW)
    assert judgement.n == (20 if counts else 0)


def test_ttft_is_judged_on_the_calls_that_tell_it(make_call: MakeCall) -> None:
    calls = [make_call(ttft_s=3.0)] * 20 + [make_call()] * 80
    judgement = judge(watch("ttft_p95", "2s"), book(calls), NOW)
    assert (judgement.label, judgement.n) == (Label.BREACHED, 20)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"service": "shop"}, True),
        ({"service": "sho"}, False),
        ({"service": "sh*"}, True),
        ({"service": ["other", "shop"]}, True),
        ({"environment": "staging"}, False),
        ({"version": "1.*", "provider": "openai", "operation": "chat"}, True),
        ({"model": "gpt-4o-mini"}, True),
        ({"model": "gpt-4o-mini-2024-07-18"}, True),
        ({"model": "gpt-4o"}, False),
        ({"service": "SHOP"}, False),
    ],
    ids=str,
)
def test_match_picks_calls_by_name_list_or_pattern(make_call: MakeCall, match, fits) -> None:
    assert matches(MatchConfig.model_validate(match), series_of(make_call())) is fits
