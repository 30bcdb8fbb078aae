"""Error budgets: how fast they burn, and when that is worth waking somebody."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from alerts.finding import Label, Severity
from monitor.traffic.calls import ErrorClass
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judgement import Judgement
from monitor.traffic.watches.long_looks import Outcomes, bad_calls
from monitor.traffic.watches.measures import Unit
from monitor.traffic.watches.sections import GoodConfig
from monitor.traffic.watches.slo import PAIRS, judge_slo
from monitor.traffic.windows.series import series_of
from monitor.traffic.windows.window import Window

from .conftest import NOON, MakeCall

DAY_S, HOUR_S = 86_400, 3_600
NOW = datetime.fromtimestamp(NOON + 30, UTC)


def watch(**fields: object) -> WatchConfig:
    slo = {"objective": "99.5%", **{key: fields.pop(key) for key in ("period", "min_bad") if key in fields}}
    return WatchConfig.model_validate({"name": "w", "slo": slo, **fields})


def outcomes(*stretches: tuple[float, float, int, float]) -> Outcomes:
    """Calls from so many hours ago to so many, so many an hour, with a share of bad ones; minute by minute."""
    found = Outcomes()
    for since_h, until_h, calls_per_hour, bad in stretches:
        for minute in range(int(NOON - since_h * HOUR_S), int(NOON - until_h * HOUR_S), 60):
            per_minute = calls_per_hour / 60
            before = int((minute - NOON) / 60)
            calls = int((before + 1) * per_minute // 1 - before * per_minute // 1)
            was = (before * per_minute // 1) * bad // 1
            found.add(minute, calls, int(((before + 1) * per_minute // 1) * bad // 1 - was))
    return found


def said(rule: WatchConfig, *stretches: tuple[float, float, int, float]) -> Judgement:
    return judge_slo(rule, outcomes(*stretches), NOW)


def test_the_pairs_are_those_of_the_workbook() -> None:
    limits = [(one.name, round(one.burn(30 * DAY_S), 3), one.severity) for one in PAIRS]
    assert limits == [
        ("1h/5m", 14.4, Severity.PAGE),
        ("6h/30m", 6.0, Severity.PAGE),
        ("1d/2h", 3.0, Severity.TICKET),
        ("3d/6h", 1.0, Severity.TICKET),
    ]


@pytest.mark.parametrize(
    ("stretches", "label", "severity", "limit"),
    [
        ([(48, 0, 6_000, 0.0)], Label.STEADY, None, 14.4),
        ([(48, 1, 6_000, 0.0), (1, 0, 6_000, 0.1)], Label.BREACHED, None, 14.4),
        ([(48, 6, 6_000, 0.0), (6, 0, 6_000, 0.04)], Label.BREACHED, None, 6.0),
        ([(48, 24, 6_000, 0.0), (24, 0, 6_000, 0.018)], Label.BREACHED, Severity.TICKET, 3.0),
        ([(80, 0, 6_000, 0.0065)], Label.BREACHED, Severity.TICKET, 1.0),
        ([(48, 1, 6_000, 0.0), (1, 0.2, 6_000, 0.2), (0.2, 0, 6_000, 0.0)], Label.STEADY, None, 14.4),
    ],
    ids=["good", "fast", "slow", "day", "three days", "it has stopped"],
)
def test_each_pair_tells_of_its_own_burn_rate(stretches, label, severity, limit) -> None:
    judgement = said(watch(), *stretches)
    assert (judgement.label, judgement.severity, judgement.unit) == (label, severity, Unit.BURN)
    assert judgement.threshold == pytest.approx(limit)


def test_what_is_left_of_the_error_budget_is_always_shown() -> None:
    judgement = said(watch(), (10 * 24, 0, 600, 0.002))
    assert judgement.label is Label.STEADY
    assert "60 % of the error budget of 30 days is left" in judgement.reason
    assert "is used up 4 times over" in said(watch(), (10 * 24, 0, 600, 0.02)).reason


@pytest.mark.parametrize("bad", [1, 3])
def test_a_few_failures_of_a_few_calls_tell_nobody(bad: int) -> None:
    found = Outcomes({int(NOON) - 60: (25, bad)})
    judgement = judge_slo(watch(), found, NOW)
    assert (judgement.label, judgement.is_doubtful) == (Label.STEADY, True)
    assert "of few calls, 5 bad ones at least are needed" in judgement.reason


@pytest.mark.parametrize(("bad", "label"), [(4, Label.STEADY), (9, Label.BREACHED)])
def test_few_calls_page_once_it_is_sure(bad: int, label: Label) -> None:
    found = Outcomes({int(NOON) - 60: (30, bad)})
    assert judge_slo(watch(), found, NOW).label is label
    assert judge_slo(watch(min_bad=10), found, NOW).label is Label.STEADY


def test_too_few_calls_say_so() -> None:
    judgement = judge_slo(watch(), Outcomes({int(NOON) - 60: (19, 19)}), NOW)
    assert judgement.label is Label.NO_DATA
    assert "too few calls for a burn rate, 20 are needed" in judgement.reason


def test_a_breach_shows_every_pair() -> None:
    judgement = said(watch(), (48, 1, 6_000, 0.0), (1, 0, 6_000, 0.1))
    assert [name for name, _ in judgement.evidence] == [
        *(f"burn rate {one.name}" for one in PAIRS),
        "error budget",
    ]


def test_while_something_is_not_read_yet_it_is_not_known_to_be_steady() -> None:
    found = outcomes((2, 0, 6_000, 0.0))
    assert judge_slo(watch(), found, NOW, "; 3 hours of it are still to be read").is_doubtful
    assert not judge_slo(watch(), found, NOW).is_doubtful


def test_a_shorter_period_has_a_smaller_budget_and_burns_it_sooner() -> None:
    assert said(watch(period="7d"), (24, 0, 6_000, 0.0)).threshold == pytest.approx(14.4 * 7 / 30)
    assert [round(one.burn(7 * DAY_S), 2) for one in PAIRS] == [3.36, 1.4, 1, 1]


# Which calls are good


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({}, 3),
        ({"latency_below": "2s"}, 3 + 2),
        ({"no_error": False, "latency_below": "2s"}, 3),
        ({"ttft_below": "500ms"}, 3 + 1),
    ],
    ids=["no error", "no error and fast", "fast", "no error and soon"],
)
def test_each_call_is_bad_once(make_call: MakeCall, good: dict[str, object], bad: int) -> None:
    calls = [
        make_call(),
        make_call(duration_s=5.0),
        make_call(duration_s=5.0, ttft_s=1.0),
        make_call(error=True, error_class=ErrorClass.TIMEOUT, duration_s=30.0),
        make_call(error=True, error_class=ErrorClass.RATE_LIMIT, duration_s=0.1),
        make_call(error=True, error_class=ErrorClass.AUTH, duration_s=10.0),
    ]
    window = Window(int(NOON), series_of(calls[0]))
    for call in calls:
        window.add(call)
    assert bad_calls(GoodConfig.model_validate(good), window) == bad


@pytest.mark.parametrize(
    ("slo", "problem"),
    [
        ({"objective": "100%"}, "below 100%"),
        ({"objective": 99.5}, "measured in share"),
        ({"objective": "20%"}, "from 50%"),
        ({"objective": "99%", "good": {"no_error": False}}, "every call is good then"),
        ({"objective": "99%", "good": {"latency_below": "2s", "ttft_below": "1s"}}, "write two watches"),
        ({"objective": "99%", "period": "90d"}, "2592000"),
        ({"objective": "99%", "min_bad": 1}, "greater than or equal to 2"),
    ],
    ids=["all", "no share", "low", "all good", "two limits", "too long", "one failure"],
)
def test_what_cannot_be_meant_is_refused(slo: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        WatchConfig.model_validate({"name": "w", "slo": slo})


def test_what_long_windows_still_hold_of_an_incident_that_ended_is_no_second_page() -> None:
    found = Outcomes()
    for minute in range(-120, 0):
        found.add(int(NOON) + minute * 60, 20, 20 if -40 <= minute < -20 else 0)
    ended = datetime.fromtimestamp(NOON - 5 * 60, UTC)
    assert judge_slo(watch(), found, NOW).label is Label.BREACHED
    assert judge_slo(watch(), found, NOW, ended_at=ended).label is Label.STEADY
    found.add(int(NOON) - 60, 20, 20)
    assert judge_slo(watch(), found, NOW, ended_at=ended).label is Label.BREACHED


def test_after_an_incident_a_short_window_is_not_judged_by_the_few_calls_since() -> None:
    found = Outcomes()
    for minute in range(-480, 0):
        found.add(int(NOON) + minute * 60, 20, 20 if minute < -420 else 0)
    found.add(int(NOON) - 60, 1, 1)
    ended = datetime.fromtimestamp(NOON - 3 * 60, UTC)
    assert judge_slo(watch(), found, NOW).label is Label.STEADY
    assert judge_slo(watch(), found, NOW, ended_at=ended).label is Label.STEADY
