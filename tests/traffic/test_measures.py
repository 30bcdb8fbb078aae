"""Measures by name, their thresholds, and how sure they are."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from alerts.finding import Label
from monitor.traffic.calls import Call, CostBasis, ErrorClass, FinishReason
from monitor.traffic.watches import confidence
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judgement import Judgement
from monitor.traffic.watches.judging import judge, look_back, needs
from monitor.traffic.watches.marking import RESENT, RETRIED
from monitor.traffic.watches.measures import MEASURES, Kind, Unit, measure_named, show
from monitor.traffic.windows.histogram import Histogram
from monitor.traffic.windows.series import series_of
from monitor.traffic.windows.window_book import WindowBook

from .conftest import NOON, MakeCall

NOW = datetime.fromtimestamp(NOON + 30, UTC)


def watch(measure: str, **more: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "w", "measure": measure, **more})


def said(rule: WatchConfig, calls: Sequence[Call], now: datetime = NOW) -> Judgement:
    book = WindowBook()
    for call in calls:
        book.add(call, series_of(call))
    return judge(rule, book, now)


@pytest.mark.parametrize(
    "quantity", ["latency", "ttft", "cost", "input_tokens", "output_tokens", "tokens_per_s"]
)
@pytest.mark.parametrize("statistic", ["p50", "p95", "p99", "mean"])
def test_every_quantity_has_every_statistic(quantity: str, statistic: str) -> None:
    measure = measure_named(f"{quantity}_{statistic}")
    assert measure.kind is (Kind.MEAN if statistic == "mean" else Kind.QUANTILE)
    assert measure.histogram


def test_the_mean_cost_keeps_its_name() -> None:
    assert measure_named("cost_mean") is measure_named("cost_per_call")


def test_every_class_of_errors_has_a_share() -> None:
    named = {f"{one.value}_share" for one in ErrorClass if one is not ErrorClass.OTHER}
    assert named | {"error_share", "other_error_share"} <= set(MEASURES)


@pytest.mark.parametrize(
    ("measure", "written", "threshold"),
    [
        ("input_tokens_p95", "20k", 20_000),
        ("output_tokens_mean", 800, 800),
        ("tokens_per_s_p50", 25, 25),
        ("calls_per_minute", "600", 600),
        ("tokens_per_minute", "1.5M", 1_500_000),
        ("attempts_per_call", 1.2, 1.2),
        ("cached_share", "40%", 0.4),
        ("latency_mean", "2s", 2),
    ],
)
def test_a_threshold_is_in_the_measures_unit(measure: str, written: object, threshold: float) -> None:
    assert watch(measure, above=written).above == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("measure", "written"),
    [("input_tokens_p95", "2s"), ("calls_per_minute", "6k"), ("latency_p95", "2k"), ("cached_share", "40")],
)
def test_a_threshold_in_another_unit_is_refused(measure: str, written: object) -> None:
    with pytest.raises(ValidationError, match="is measured in"):
        watch(measure, above=written)


def test_a_misspelt_measure_is_told_which_was_meant() -> None:
    with pytest.raises(ValidationError, match='did you mean "calls_per_minute"'):
        watch("calls_per_min", above=1)


def test_an_unknown_measure_is_told_which_there_are() -> None:
    with pytest.raises(ValidationError, match=r"latency, ttft, cost.*tokens_per_minute, attempts_per_call"):
        watch("vibes", above=1)


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (1_250.4, Unit.TOKENS, "1,250 tokens"),
        (12.3, Unit.TOKENS_PER_S, "12.3 tokens per second"),
        (1.25, Unit.ATTEMPTS, "1.25 attempts per call"),
        (1_234.5, Unit.DOLLARS, "$1,234.50"),
        (0.0204, Unit.DOLLARS, "$0.0204"),
    ],
)
def test_values_are_written_as_people_do(value: float, unit: Unit, written: str) -> None:
    assert show(value, unit) == written


# Distributions


def test_the_speed_of_answers_is_judged_where_they_are_slow(make_call: MakeCall) -> None:
    slow = [make_call(output_tokens=10, duration_s=1.0)] * 50
    judgement = said(watch("tokens_per_s_p50", below=20), slow)
    assert (judgement.label, judgement.unit) == (Label.BREACHED, Unit.TOKENS_PER_S)
    assert "below 20 tokens per second" in judgement.reason


def test_a_mean_latency_is_breached_when_it_is_surely_beyond(make_call: MakeCall) -> None:
    calls = [make_call(duration_s=value) for value in (2.0, 4.0) for _ in range(50)]
    assert said(watch("latency_mean", above="2.5s"), calls).label is Label.BREACHED
    doubtful = said(watch("latency_mean", above="2.9s"), calls)
    assert (doubtful.label, doubtful.is_doubtful) == (Label.STEADY, True)


def test_a_breach_of_latency_leads_to_the_slowest_calls(make_call: MakeCall) -> None:
    calls = [make_call(duration_s=10.0 + number, trace_id=f"{number:032x}") for number in range(30)]
    evidence = said(watch("latency_p50", above="8s"), calls).evidence
    assert evidence == tuple(("slowest call", f"trace {n:032x} ({10 + n} s)") for n in (29, 28, 27))


def test_a_breach_of_cost_leads_to_the_dearest_and_one_of_errors_to_the_failed(make_call: MakeCall) -> None:
    dear = [make_call(cost_usd=0.5, cost_basis=CostBasis.EXACT)] * 30
    failed = [make_call(error=True, error_class=ErrorClass.AUTH)] * 30
    assert {name for name, _ in said(watch("cost_p50", above="$0.1"), dear).evidence} == {"dearest call"}
    for measure in ("error_share", "auth_share"):
        evidence = said(watch(measure, above="2%"), failed).evidence
        assert {name for name, _ in evidence} == {"failed call"}, measure


# Costs that are not sure


@pytest.mark.parametrize("measure", ["cost_p50", "cost_per_call"])
@pytest.mark.parametrize(
    ("ambiguous", "label"), [(0, Label.BREACHED), (10, Label.BREACHED), (60, Label.STEADY)], ids=str
)
def test_ambiguous_costs_page_nobody_by_their_value(
    make_call: MakeCall, measure: str, ambiguous: int, label: Label
) -> None:
    sure = [make_call(cost_usd=0.03, cost_basis=CostBasis.EXACT)] * (100 - ambiguous)
    unsure = [make_call(cost_usd=0.03, cost_basis=CostBasis.AMBIGUOUS)] * ambiguous
    judgement = said(watch(measure, above="$0.02"), [*sure, *unsure])
    assert judgement.label is label
    assert judgement.is_doubtful is (label is Label.STEADY)


def test_the_largest_values_as_zeros_leave_the_rest() -> None:
    histogram = Histogram()
    for value in (1.0, 2.0, 3.0, 100.0):
        histogram.add(value)
    less = histogram.with_largest_as_zero(2)
    assert (less.n, less.at_rank(2).value) == (4, 0.0)
    assert less.total == pytest.approx(3.0, rel=0.5)
    assert histogram.total == 106.0


# Shares


@pytest.mark.parametrize(
    ("measure", "changes"),
    [
        ("truncated_share", {"finish_reason": FinishReason.LENGTH}),
        ("content_filter_share", {"finish_reason": FinishReason.CONTENT_FILTER}),
        ("rate_limit_share", {"error": True, "error_class": ErrorClass.RATE_LIMIT}),
        ("timeout_share", {"error": True, "error_class": ErrorClass.TIMEOUT}),
        ("other_error_share", {"error": True}),
    ],
)
def test_a_share_counts_its_own_calls_only(
    make_call: MakeCall, measure: str, changes: dict[str, object]
) -> None:
    ordinary = [make_call(finish_reason=FinishReason.STOP)] * 50
    other = [make_call(error=True, error_class=ErrorClass.AUTH)] * 50
    assert said(watch(measure, above="2%"), [*ordinary, *other]).value == 0
    judgement = said(watch(measure, above="2%"), [*ordinary, *[make_call(**changes)] * 50])
    assert (judgement.label, judgement.value) == (Label.BREACHED, 0.5)


def test_calls_that_do_not_tell_why_they_stopped_are_not_known_to_be_whole(make_call: MakeCall) -> None:
    judgement = said(watch("truncated_share", above="2%"), [make_call()] * 50)
    assert (judgement.label, judgement.n) == (Label.NO_DATA, 0)


def test_coverage_of_prices_can_page(make_call: MakeCall) -> None:
    priced = [make_call(cost_usd=0.01, cost_basis=CostBasis.EXACT)] * 80
    judgement = said(watch("unpriced_share", above="5%"), [*priced, *[make_call()] * 20])
    assert (judgement.label, judgement.value) == (Label.BREACHED, 0.2)


def test_the_cached_share_is_of_tokens(make_call: MakeCall) -> None:
    cold = [make_call(input_tokens=9_000, cached_input_tokens=0)] * 100
    warm = [make_call(input_tokens=1_000, cached_input_tokens=1_000)] * 100
    judgement = said(watch("cached_share", below="40%"), [*cold, *warm])
    assert (judgement.label, judgement.value) == (Label.BREACHED, 0.1)
    assert judgement.low < 0.1 < judgement.high


def test_one_long_prompt_makes_a_cached_share_unsure(make_call: MakeCall) -> None:
    one = make_call(input_tokens=1_000_000, cached_input_tokens=0)
    rest = [make_call(input_tokens=1_000, cached_input_tokens=900)] * 100
    judgement = said(watch("cached_share", below="40%"), [one, *rest])
    assert judgement.value < 0.1
    assert (judgement.label, judgement.is_doubtful) == (Label.STEADY, True)


def test_attempts_per_call_tell_a_retry_storm(make_call: MakeCall) -> None:
    storm = [make_call(matched=(RETRIED,))] * 40 + [make_call(matched=(RESENT, RESENT))] * 10
    judgement = said(watch("attempts_per_call", above=1.5), [*storm, *[make_call()] * 50])
    # 120 attempts for 60 calls that were meant.
    assert (judgement.label, judgement.value) == (Label.BREACHED, pytest.approx(2.0))
    assert "40 calls after one that failed, 20 sent again by the client" in judgement.reason
    calm = said(watch("attempts_per_call", above=1.5), [make_call()] * 100)
    assert (calm.label, calm.value) == (Label.STEADY, 1.0)


# Rates


def minutes_of_calls(make_call: MakeCall, per_minute: int, minutes: range) -> list[Call]:
    return [make_call(ended_at=NOON + 60 * minute) for minute in minutes for _ in range(per_minute)]


@pytest.mark.parametrize(
    ("per_minute", "label"), [(80, Label.STEADY), (105, Label.STEADY), (130, Label.BREACHED)], ids=str
)
def test_a_rate_of_calls_is_breached_when_it_is_surely_above(make_call: MakeCall, per_minute, label) -> None:
    calls = minutes_of_calls(make_call, per_minute, range(-5, 1))
    judgement = said(watch("calls_per_minute", above=100), calls, datetime.fromtimestamp(NOON + 59, UTC))
    assert judgement.label is label
    assert judgement.value == pytest.approx(per_minute, rel=0.01)


def test_a_rate_of_tokens_counts_input_and_output(make_call: MakeCall) -> None:
    calls = minutes_of_calls(make_call, 50, range(-5, 1))
    judgement = said(watch("tokens_per_minute", above="40k"), calls, datetime.fromtimestamp(NOON + 59, UTC))
    assert judgement.value == pytest.approx(50 * 1_100, rel=0.01)
    assert (judgement.label, judgement.low < judgement.value) == (Label.BREACHED, True)


def test_a_low_rate_waits_for_late_calls_and_for_proof_that_somebody_listened(make_call: MakeCall) -> None:
    rule = watch("calls_per_minute", below=50, over="5m")
    first, last = look_back(rule, NOW)
    assert (first, last) == (NOON - 420, NOON - 180)
    assert needs(rule, NOW) == (first - 300, last)
    busy = minutes_of_calls(make_call, 80, range(-12, -7))
    quiet = minutes_of_calls(make_call, 10, range(-7, -2))
    assert said(rule, [*busy, *quiet]).label is Label.BREACHED
    assert said(rule, quiet).label is Label.NO_DATA  # nobody may have listened before
    long_ago = minutes_of_calls(make_call, 80, range(-60, -50))  # read for another watch
    assert said(rule, [*long_ago, *quiet]).label is Label.NO_DATA
    assert said(rule, busy).label is Label.NO_DATA  # silence, which is told by itself
    assert said(rule, minutes_of_calls(make_call, 80, range(-12, -2))).label is Label.STEADY


@pytest.mark.parametrize("n", [0, 1, 5, 50, 9_999, 10_001, 10**6])
def test_bounds_of_counts_hold_the_count(n: int) -> None:
    low, high = confidence.count_bounds(n)
    assert low <= n <= high
    assert high - low < 7 * math.sqrt(n + 2) + 5


def test_bounds_of_counts_are_those_of_garwood() -> None:
    # Half of the chi-square quantiles with 2n and 2n + 2 degrees of freedom, from tables.
    low, high = confidence.count_bounds(10)
    assert (low, high) == (pytest.approx(4.130, abs=0.01), pytest.approx(20.145, abs=0.01))


def test_a_rate_at_its_threshold_seldom_seems_surely_above() -> None:
    rng = random.Random(3)
    draws = [sum(rng.random() < 0.05 for _ in range(2_000)) for _ in range(400)]
    wrong = sum(confidence.count_bounds(draw)[0] > 100 for draw in draws)
    assert wrong <= 12  # 1 % of 400, and what chance gives on top


def test_more_bounds_together_are_wider() -> None:
    assert confidence.share_bounds(5, 100, bounds=20)[0] < confidence.share_bounds(5, 100)[0]
