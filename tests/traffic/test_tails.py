"""What a shift watch counts, and what it freezes as usual."""

import math
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from monitor.traffic.tails.baseline import (
    TailBaseline,
    collect,
    fingerprint,
    from_plain,
    open_baseline,
    passed,
    periods_needed,
    to_plain,
)
from monitor.traffic.tails.counting import (
    WATERMARK_S,
    Counted,
    Tally,
    count,
    is_due,
    limit_of,
    minutes_of,
    score,
    shift_of,
    together,
)
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.match import MatchConfig
from monitor.traffic.watches.measures import Measure
from monitor.traffic.windows.histogram import Histogram
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()
SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")


def watch(**fields: object) -> WatchConfig:
    return WatchConfig.model_validate(
        {"name": "tail", "measure": "latency_p95", "shift": {"baseline": "8h"}} | fields
    )


def histogram(*values: float) -> Histogram:
    found = Histogram()
    for value in values:
        found.add(value)
    return found


def counted(*latency_s: float, failed: int = 0) -> Counted:
    return Counted(len(latency_s) + failed, failed, histogram(*latency_s))


def hour(rng: np.random.Generator, calls: int = 100) -> Counted:
    return counted(*np.exp(0.5 * rng.normal(size=calls)).tolist())


# Counting


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_hits_are_exactly_the_calls_above_the_frozen_edge(q: float) -> None:
    values = np.exp(np.random.default_rng(1).normal(size=2_000))
    limit = histogram(*values.tolist()).quantile(q)
    assert limit is not None
    assert histogram(*values.tolist()).above(limit.high) == int((values > limit.high).sum())


def test_counts_of_parts_add_up_to_the_count_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    one, other = hour(rng), hour(rng)
    both = together(one, other)
    assert both.values.above(1.5) == one.values.above(1.5) + other.values.above(1.5)
    assert both.calls == 200


def test_what_costs_nothing_is_not_above_zero() -> None:
    assert histogram(0.0, 0.0, 0.01).above(1e-9) == 1


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Measure.LATENCY_P95, (3, 2)),
        (Measure.TTFT_P95, (2, 1)),
        (Measure.COST_P95, (1, 0)),
        (Measure.ERROR_SHARE, (4, 1)),
    ],
)
def test_each_measure_counts_its_own_calls(measure: Measure, expected: tuple[int, int]) -> None:
    window = Window(0, SHOP, calls=4, errors={"server": 1})
    window.latency_s, window.ttft_s, window.cost_usd = histogram(1, 3, 4), histogram(1, 3), histogram(0.5)
    found = count(measure, MatchConfig(), [window]).tally(measure, 2.0)
    assert (found.calls, found.hits) == expected


def test_only_calls_that_match_are_counted() -> None:
    other = SHOP._replace(service="blog")
    windows = [Window(0, SHOP, calls=3), Window(0, other, calls=5), Window(60, SHOP, calls=2)]
    assert count(Measure.ERROR_SHARE, MatchConfig(service="shop"), windows).calls == 5


def test_the_score_is_the_stabilised_share_and_grows_with_the_hits() -> None:
    assert score(Measure.LATENCY_P95, Tally(300, 15)) == pytest.approx(math.asin(math.sqrt(15.375 / 300.75)))
    found = [score(Measure.ERROR_SHARE, Tally(300, hits)) for hits in range(301)]
    assert found == sorted(set(found))


def test_the_variance_of_a_score_hardly_depends_on_the_share() -> None:
    rng = np.random.default_rng(3)
    spreads = [
        np.std([score(Measure.LATENCY_P95, Tally(300, int(k))) for k in rng.binomial(300, share, 4_000)])
        for share in (0.02, 0.05, 0.2, 0.5)
    ]
    assert max(spreads) / min(spreads) < 1.15


def test_a_mean_is_its_own_score() -> None:
    assert score(Measure.COST_PER_CALL, Tally(10, 0, 0.02)) == 0.02


def test_a_share_of_errors_needs_no_limit() -> None:
    assert limit_of(Measure.ERROR_SHARE, [counted(1.0)]) is None
    assert limit_of(Measure.LATENCY_P95, [Counted()]) is None


def test_a_period_is_due_when_late_calls_had_their_time() -> None:
    assert not is_due(0, watch(), 3600 + WATERMARK_S - 1)
    assert is_due(0, watch(), 3600 + WATERMARK_S)
    assert minutes_of(7200, watch()) == (7200, 10_740)


# The baseline


def test_a_load_that_lasts_is_seen_in_the_train_periods_too() -> None:
    rng, asked = np.random.default_rng(6), watch(shift={"baseline": "1w"})
    baseline, load = open_baseline(asked, NOON), 0.0
    while not baseline.is_ready:
        is_calm = bool(baseline.train_means)  # the periods that are ranked against show next to nothing of it
        load = 0.0 if is_calm else 0.9 * load + 0.1 * rng.normal()
        values = np.exp(load + 0.5 * rng.normal(size=100))
        baseline = collect(asked, baseline, counted(*values.tolist()), Counted())
    assert baseline.stickiness.block > 1


def test_the_first_half_fixes_the_limit_and_the_second_is_ranked_against() -> None:
    rng, baseline = np.random.default_rng(4), open_baseline(watch(), NOON)
    for _ in range(3):
        baseline = collect(watch(), baseline, hour(rng), Counted())
    assert (baseline.limit, len(baseline.train), baseline.collected) == (None, 3, 3)
    baseline = collect(watch(), baseline, hour(rng), Counted())
    assert baseline.limit == pytest.approx(math.exp(0.5 * 1.645), rel=0.15)
    assert baseline.train == ()
    for _ in range(4):
        assert not baseline.is_ready
        baseline = collect(watch(), baseline, hour(rng), Counted())
    assert baseline.is_ready
    assert len(baseline.ranked(Measure.LATENCY_P95, {start: 0.5 for start, _ in baseline.calibration})) == 4


def test_periods_follow_each_other_and_begin_on_the_hour() -> None:
    baseline = open_baseline(watch(), NOON + 1234)
    assert baseline.next_s == NOON - 8 * 3600
    assert passed(watch(), baseline).next_s == NOON - 7 * 3600


def test_history_from_before_a_change_that_was_meant_is_left_out() -> None:
    since = datetime.fromtimestamp(NOON - 5_000, UTC)
    baseline = open_baseline(watch(shift={"baseline": "8h", "since": since}), NOON)
    assert baseline.next_s == NOON - 3_600


def test_periods_with_few_calls_do_not_count() -> None:
    baseline = open_baseline(watch(), NOON)
    after = collect(watch(), baseline, counted(*[1.0] * 19), Counted())
    assert after.collected == 0
    assert after.next_s == baseline.next_s + 3600
    assert collect(watch(), baseline, counted(*[1.0] * 20), Counted()).collected == 1


def test_beside_a_control_the_calls_of_both_fix_the_limit_and_nothing_is_ranked() -> None:
    beside = watch(shift={"control": {"version": "1.0"}, "baseline": "2h"}, match={"version": "1.1"})
    baseline = open_baseline(beside, NOON)
    for _ in range(2):
        baseline = collect(beside, baseline, counted(*[1.0] * 5), counted(*[2.0] * 100))
    assert baseline.is_ready
    assert baseline.calibration == ()
    assert baseline.limit == pytest.approx(2.0, rel=0.02)


def test_errors_beside_a_control_need_no_baseline() -> None:
    beside = watch(measure="error_share", shift={"control": {"version": "1.0"}}, match={"version": "1.1"})
    opened = open_baseline(beside, NOON + 60)
    assert opened.is_ready
    assert opened.next_s == NOON  # what went before is not judged
    assert periods_needed(beside) == 0


@pytest.mark.parametrize("periods", [0, 3, 6, 8], ids=["opened", "training", "calibrating", "ready"])
def test_a_stored_baseline_is_the_same(periods: int) -> None:
    rng, baseline = np.random.default_rng(5), open_baseline(watch(), NOON)
    for _ in range(periods):
        baseline = collect(watch(), baseline, hour(rng), Counted())
    again: TailBaseline = from_plain(orjson.loads(orjson.dumps(to_plain(baseline))))
    assert again == baseline


def test_another_format_is_refused() -> None:
    plain = to_plain(open_baseline(watch(), NOON)) | {"format": 99}
    with pytest.raises(ValueError, match="format 99"):
        from_plain(plain)


@pytest.mark.parametrize(
    ("fields", "is_same"),
    [
        ({"notify": ["oncall"]}, True),
        ({"severity": "ticket"}, True),
        ({"shift": {"baseline": "8h", "importance": 2}}, True),
        ({"measure": "latency_p99"}, False),
        ({"match": {"service": "shop"}}, False),
        ({"shift": {"baseline": "9h"}}, False),
        ({"shift": {"baseline": "8h", "every": "15m"}}, False),
        ({"shift": {"baseline": "8h", "since": "2026-03-02T00:00:00Z"}}, False),
    ],
)
def test_a_baseline_is_of_what_was_asked_for(fields: dict[str, object], is_same: bool) -> None:
    assert (fingerprint(watch(**fields)) == fingerprint(watch())) is is_same


# The configuration


def test_a_shift_watch_has_no_threshold() -> None:
    with pytest.raises(ValidationError, match="either above or below, or else shift"):
        watch(above="8s")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"shift": {"every": "7h"}}, "a day has to be a whole number of periods"),
        ({"shift": {"every": "1m"}}, "greater than or equal to 300"),
        ({"shift": {"baseline": "4h"}}, "8 periods at least"),
        ({"shift": {"baseline": "40d"}}, "less than or equal to"),
        ({"shift": {"since": "2026-03-02T00:00:00"}}, "timezone"),
        ({"over": "5m"}, "over: belongs to a threshold"),
        ({"for": "5m"}, "for: belongs to a threshold"),
        ({"measure": "cost_per_call", "shift": {"control": {"version": "1"}}}, "use cost_p95"),
        ({"shift": {"control": {}}}, "name other calls"),
        ({"shift": {"window": "1h"}}, "Extra inputs"),
    ],
)
def test_a_shift_that_cannot_be_meant_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        watch(**fields)


def test_defaults_are_an_hour_and_a_week_and_beside_a_control_a_day() -> None:
    plain, beside = shift_of(watch(shift={})), shift_of(watch(shift={"control": {"version": "1"}}))
    assert (plain.every, plain.periods, plain.importance) == (3600.0, 168, 1.0)
    assert beside.periods == 24


def test_a_watch_with_a_threshold_has_nothing_to_compare_with() -> None:
    with pytest.raises(ValueError, match="has a threshold"):
        shift_of(WatchConfig.model_validate({"name": "w", "measure": "latency_p95", "above": "8s"}))
