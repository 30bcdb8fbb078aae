from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from alerts.finding import Label
from monitor.traffic.calls import Call, CostBasis, ErrorClass
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judging import judge
from monitor.traffic.watches.match import MatchConfig, matches
from monitor.traffic.windows.series import series_of
from monitor.traffic.windows.window_book import WindowBook

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
    [(0, Label.STEADY), (11, Label.STEADY), (12, Label.BREACHED), (100, Label.BREACHED)],
    ids=["none slow", "11 of 100 slow", "12 of 100 slow", "all slow"],
)
def test_p95_latency_is_breached_once_surely_more_than_a_twentieth_is_slow(
    make_call: MakeCall, slow, label
) -> None:
    calls = [make_call(duration_s=10.0 if number < slow else 1.0) for number in range(100)]
    judgement = judge(watch("latency_p95", "8s"), book(calls), NOW)
    assert (judgement.label, judgement.n) == (label, 100)
    assert judgement.low <= judgement.value


@pytest.mark.parametrize(
    ("slow", "doubtful", "reason"),
    [
        (5, False, "latency_p95 is 0.99 s over 100 calls of the last 6 minutes, not above 8 s"),
        (
            6,
            True,
            "latency_p95 is 10 s (at least 0.98 s) over 100 calls of the last 6 minutes, not surely above 8 s",
        ),
        (12, False, "latency_p95 is 10 s (at least 9.95 s) over 100 calls of the last 6 minutes, above 8 s"),
    ],
    ids=["below", "seems above", "surely above"],
)
def test_the_reason_says_how_sure_it_is(make_call: MakeCall, slow, doubtful, reason) -> None:
    calls = [make_call(duration_s=10.0 if number < slow else 1.0) for number in range(100)]
    judgement = judge(watch("latency_p95", "8s"), book(calls), NOW)
    assert (judgement.reason, judgement.is_doubtful) == (reason, doubtful)


def test_what_a_bucket_hides_makes_nothing_surer(make_call: MakeCall) -> None:
    judgement = judge(watch("latency_p50", "8s"), book([make_call(duration_s=8.01)] * 100), NOW)
    assert judgement.low < 8 < judgement.value
    assert (judgement.label, judgement.is_doubtful) == (Label.STEADY, True)


@pytest.mark.parametrize(
    ("measure", "calls", "label"),
    [
        ("latency_p95", 19, Label.NO_DATA),
        ("latency_p95", 20, Label.BREACHED),
        ("latency_p99", 99, Label.NO_DATA),
        ("latency_p99", 100, Label.BREACHED),
        ("latency_p50", 6, Label.NO_DATA),
        ("latency_p50", 7, Label.BREACHED),
    ],
)
def test_a_quantile_waits_for_calls_enough_to_be_more_than_the_largest(
    make_call, measure, calls, label
) -> None:
    rule = watch(measure, "8s", min_calls=7)
    judgement = judge(rule, book([make_call(duration_s=10.0)] * calls), NOW)
    assert judgement.label is label
    assert judgement.n == calls


def test_no_traffic_at_all_is_no_data_and_not_health() -> None:
    judgement = judge(watch("error_share", "2%"), [], NOW)
    assert (judgement.label, judgement.value, judgement.n) == (Label.NO_DATA, None, 0)
    assert judgement.reason == "0 calls to judge in the last 6 minutes, 20 are needed"


def test_the_error_share_says_which_errors(make_call: MakeCall) -> None:
    failed = [make_call(error=True, error_class=ErrorClass.RATE_LIMIT)] * 6
    failed += [make_call(error=True, error_class=ErrorClass.SERVER_ERROR)]
    judgement = judge(watch("error_share", "2%"), book([*failed, *[make_call()] * 93]), NOW)
    assert (judgement.label, judgement.value) == (Label.BREACHED, 0.07)
    assert judgement.reason == (
        "error_share is 7 % (at least 2.37 %) over 100 calls of the last 6 minutes, above 2 % "
        "(6 rate_limit, 1 server_error)"
    )


@pytest.mark.parametrize(
    ("failures", "calls", "label"),
    [
        (2, 20, Label.STEADY),
        (3, 20, Label.BREACHED),
        (6, 100, Label.STEADY),
        (7, 100, Label.BREACHED),
        (32, 1000, Label.BREACHED),
        (31, 1000, Label.STEADY),
    ],
)
def test_an_error_share_is_breached_when_chance_does_not_explain_it(
    make_call: MakeCall, failures, calls, label
) -> None:
    failed = [make_call(error=True, error_class=ErrorClass.AUTH)] * failures
    judgement = judge(watch("error_share", "2%"), book([*failed, *[make_call()] * (calls - failures)]), NOW)
    assert judgement.label is label


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


def test_where_no_call_has_a_price_it_says_why_there_is_nothing_to_judge(make_call: MakeCall) -> None:
    judgement = judge(watch("cost_per_call", "$0.02"), book([make_call()] * 30), NOW)
    assert judgement.label is Label.NO_DATA
    assert judgement.reason.endswith("20 are needed; 30 more calls have no known price")


def test_a_cost_of_ambiguous_prices_says_so(make_call: MakeCall) -> None:
    sure, unsure = (
        [make_call(cost_usd=0.03, cost_basis=basis)] * 20
        for basis in (CostBasis.INFERRED, CostBasis.AMBIGUOUS)
    )
    judgement = judge(watch("cost_per_call", "$0.02"), book([*sure, *unsure, make_call()]), NOW)
    assert judgement.reason.endswith("; of 20 calls the cost is ambiguous; 1 more calls have no known price")
    assert "ambiguous" not in judge(watch("cost_per_call", "$0.02"), book(sure), NOW).reason


def test_calls_without_a_price_are_no_data_for_a_cost_watch(make_call: MakeCall) -> None:
    assert judge(watch("cost_p95", 0.02), book([make_call()] * 50), NOW).label is Label.NO_DATA


def test_a_watch_may_look_for_too_little(make_call: MakeCall) -> None:
    rule = WatchConfig.model_validate({"name": "w", "measure": "latency_p50", "below": "100ms"})
    assert judge(rule, book([make_call(duration_s=0.2)] * 20), NOW).label is Label.STEADY
    sure = judge(rule, book([make_call(duration_s=0.01)] * 20), NOW)
    assert sure.label is Label.BREACHED
    assert "is 0.01 s (at most 0.0101 s) over 20 calls" in sure.reason


def test_a_high_quantile_of_few_calls_is_never_surely_below(make_call: MakeCall) -> None:
    rule = WatchConfig.model_validate({"name": "w", "measure": "latency_p95", "below": "100ms"})
    few = judge(rule, book([make_call(duration_s=0.01)] * 89), NOW)
    assert (few.label, few.high, few.is_doubtful) == (Label.STEADY, None, True)
    assert "too few to say how much at most" in few.reason
    assert judge(rule, book([make_call(duration_s=0.01)] * 90), NOW).label is Label.BREACHED


def test_a_mean_of_costs_that_vary_much_needs_more_calls(make_call: MakeCall) -> None:
    def calls(times: int) -> list[Call]:
        costs = [0.01, 0.01, 0.01, 0.09] * times
        return [make_call(cost_usd=cost, cost_basis=CostBasis.EXACT) for cost in costs]

    few, many = (judge(watch("cost_per_call", "$0.02"), book(calls(times)), NOW) for times in (5, 25))
    assert few.value == many.value == pytest.approx(0.03)
    assert (few.label, few.is_doubtful, many.label) == (Label.STEADY, True, Label.BREACHED)


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
