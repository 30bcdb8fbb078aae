"""Budgets of dollars and tokens over periods of the calendar, and who used them."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from alerts.finding import Label, Severity
from alerts.incident import step
from monitor.traffic.calls import CostBasis
from monitor.traffic.watches.budgets import judge_budget, period_start
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judgement import Judgement
from monitor.traffic.watches.long_looks import SPENDERS_MAX, Spent, sums_of
from monitor.traffic.watches.marking import ambiguous_of
from monitor.traffic.watches.sections import Period
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.tallies import OTHER_VALUES, Tally
from monitor.traffic.windows.window import Window
from monitor.traffic_flow.watch_traffic import Look

from .conftest import NOON

NOW = datetime(2026, 3, 2, 12, 34, 56, tzinfo=UTC)
SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")


def watch(**budget: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "w", "budget": {"usd": 100, "every": "day", **budget}})


def spent(rule: WatchConfig, *windows: Window) -> Spent:
    found = sums_of(rule, windows, by_hour=True)
    assert isinstance(found, Spent)
    return found


def said(rule: WatchConfig, *windows: Window, missing: str = "") -> Judgement:
    return judge_budget(rule, spent(rule, *windows), NOW, missing)


def costing(usd: float, basis: str = "exact") -> Window:
    window = Window(int(NOON), SHOP, 10, cost_bases={basis: 10})
    window.cost_usd.add(usd)
    return window


def of_users(**usd: float) -> Window:
    window = Window(int(NOON), SHOP, len(usd))
    for user, amount in usd.items():
        window.chosen._at("user.id", user).merge(Tally(1, tokens=1_000, cost_nano=round(amount * 1e9)))
    return window


@pytest.mark.parametrize(
    ("period", "start"),
    [
        (Period.HOUR, datetime(2026, 3, 2, 12, tzinfo=UTC)),
        (Period.DAY, datetime(2026, 3, 2, tzinfo=UTC)),
        (Period.MONTH, datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_periods_are_those_of_the_calendar(period: Period, start: datetime) -> None:
    assert period_start(period, NOW) == start


@pytest.mark.parametrize(
    ("usd", "label", "severity"),
    [
        (79.0, Label.STEADY, None),
        (80.0, Label.BREACHED, Severity.TICKET),
        (99.9, Label.BREACHED, Severity.TICKET),
        (100.0, Label.BREACHED, None),
    ],
)
def test_it_is_told_when_it_is_used_up_and_as_a_ticket_before(usd: float, label: Label, severity) -> None:
    judgement = said(watch(), costing(usd))
    assert (judgement.label, judgement.severity, judgement.threshold) == (label, severity, 100.0)
    assert f"{usd:.3g} % of the day's $100 since 2026-03-02 00:00 UTC" in judgement.reason


def test_what_is_used_up_many_times_is_told_in_times() -> None:
    assert "calls have used $1,234.00, 12 times the day's $100 since" in said(watch(), costing(1234.0)).reason


def test_without_a_ticket_before_it_is_told_once() -> None:
    assert said(watch(ticket_at=None), costing(99)).label is Label.STEADY
    assert said(watch(ticket_at="50%"), costing(60)).severity is Severity.TICKET


def test_costs_of_ambiguous_prices_are_told_and_in_no_sum() -> None:
    judgement = said(watch(), costing(70), costing(60, "ambiguous"))
    assert (judgement.label, judgement.is_doubtful) == (Label.STEADY, True)
    assert judgement.value == pytest.approx(70)
    assert "$60 more are of ambiguous prices and not counted" in judgement.reason


def test_of_a_minute_of_a_series_in_which_some_prices_are_ambiguous_nothing_is_sure() -> None:
    mixed = costing(90)
    mixed.cost_bases["ambiguous"] = 1
    judgement = said(watch(), mixed, costing(30))
    assert judgement.value == pytest.approx(30)
    assert "$90 more" in judgement.reason


def test_calls_without_a_price_are_told() -> None:
    window = costing(10)
    window.cost_bases[CostBasis.UNPRICED] = 7
    assert "7 calls have no known price" in said(watch(), window).reason


def test_a_budget_of_each_user_names_who_used_it_up() -> None:
    rule = watch(usd=20, per="user.id")
    judgement = said(rule, of_users(alice=15, bob=2, carol=16.5), of_users(alice=12))
    assert (judgement.label, judgement.severity) == (Label.BREACHED, None)
    assert judgement.reason.startswith('user.id "alice" has used $27, 135 % of the day\'s $20')
    assert judgement.evidence == (("user.id", "alice: $27"),)
    near = said(rule, of_users(bob=2, carol=16.5))
    assert near.severity is Severity.TICKET
    assert near.evidence == (("user.id", "carol: $16.5"),)


def test_a_users_ambiguous_dollars_are_not_held_against_them() -> None:
    window = of_users(alice=25)
    window.chosen._at(ambiguous_of("user.id"), "alice").merge(Tally(1, cost_nano=10 * 10**9))
    judgement = said(watch(usd=20, per="user.id", ticket_at=None), window)
    assert (judgement.label, judgement.value, judgement.is_doubtful) == (Label.STEADY, 15.0, True)


def test_what_is_counted_together_is_nobodys_own() -> None:
    judgement = said(watch(usd=20, per="user.id"), of_users(**{OTHER_VALUES: 500.0, "alice": 1.0}))
    assert (judgement.label, judgement.value) == (Label.STEADY, 1.0)
    assert judgement.reason.endswith("; $500 more are of user.id too many to tell apart")


def test_tokens_can_have_a_budget() -> None:
    rule = WatchConfig.model_validate({"name": "w", "budget": {"tokens": "2k", "every": "hour"}})
    window = Window(int(NOON), SHOP, 2)
    window.input_tokens.add(1_500)
    window.output_tokens.add(700)
    judgement = said(rule, window)
    assert (judgement.label, judgement.value) == (Label.BREACHED, 2_200)
    assert "calls have used 2,200 tokens, 110 % of the hour's 2,000 tokens" in judgement.reason


def test_no_calls_are_no_data_and_what_is_unread_is_told() -> None:
    judgement = said(watch(), missing="; 3 hours of it are still to be read")
    assert judgement.label is Label.NO_DATA
    assert judgement.reason.endswith("3 hours of it are still to be read")


def test_while_something_is_not_read_yet_it_is_not_known_to_be_steady() -> None:
    assert said(watch(), costing(1), missing="; 3 hours of it are still to be read").is_doubtful
    assert not said(watch(), costing(1)).is_doubtful


def test_the_sums_of_values_are_bounded() -> None:
    found = Spent()
    for number in range(SPENDERS_MAX + 10):
        found.add(f"user-{number}", 1.0)
    assert len(found.by_value) == SPENDERS_MAX + 1
    assert found.by_value[OTHER_VALUES] == 10


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"budget": {"every": "day"}}, "either usd or tokens"),
        ({"budget": {"usd": 1, "tokens": 1, "every": "day"}}, "either usd or tokens"),
        ({"budget": {"usd": "5%", "every": "day"}}, "usd is measured in dollars"),
        ({"budget": {"usd": 1, "every": "week"}}, "'hour', 'day' or 'month'"),
        ({"budget": {"usd": 1, "every": "day", "ticket_at": "100%"}}, "below all of it"),
        ({"budget": {"usd": 1, "every": "day"}, "above": 3}, "says itself when it is wrong"),
        ({"budget": {"usd": 1, "every": "day"}, "over": "1h"}, "has its own periods"),
        (
            {"budget": {"usd": 1, "every": "day"}, "measure": "error_share", "above": "1%"},
            "looks at one thing",
        ),
        ({"severity": "page"}, "looks at one thing: measure, share, budget, values, slo, served_model"),
    ],
    ids=[
        "nothing",
        "both",
        "share",
        "week",
        "ticket at the end",
        "threshold",
        "look-back",
        "two things",
        "none",
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        WatchConfig.model_validate({"name": "w", **fields})


def told(rule: WatchConfig, *sums: tuple[datetime, float]) -> list[tuple[str, str]]:
    """What people are told, as dollars add up; each time with how loudly."""
    incident, heard = None, []
    for now, usd in sums:
        said = Look(rule, judge_budget(rule, spent(rule, costing(usd)), now))
        transition = step(incident, said.verdict(), said.rule(), now)
        incident = transition.incident if transition.incident and transition.incident.is_open else None
        if transition.incident:
            severity = transition.incident.severity.name.lower()
            heard += [(one.value, severity) for one in transition.notifications]
    return heard


MARCH, APRIL = datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOLD_ONCE = [("firing", "ticket"), ("escalated", "page")]


@pytest.mark.parametrize(
    ("sums", "heard"),
    [
        ([70, 79, 81, 85, 99, 101, 120, 150], TOLD_ONCE),
        ([81, 79.9, 80.1, 101, 99.9, 100.1, 99, 102], TOLD_ONCE),
        ([90, 101, 101, 101], TOLD_ONCE),
    ],
    ids=["all month", "calls counted anew cost less", "nothing more is spent"],
)
def test_a_month_tells_once_of_each_level(sums: list[float], heard: list[tuple[str, str]]) -> None:
    rule = watch(every="month")
    assert told(rule, *((MARCH + number * 30 * MINUTE, usd) for number, usd in enumerate(sums))) == heard


def test_without_a_ticket_a_month_pages_once() -> None:
    rule = watch(every="month", ticket_at=None)
    sums = [99, 100.1, 99.9, 99.9, 99.9, 100.2]
    assert told(rule, *((MARCH + number * 30 * MINUTE, usd) for number, usd in enumerate(sums))) == [
        ("firing", "page")
    ]


def test_the_next_period_tells_anew_however_soon() -> None:
    rule = watch(every="month")
    found = told(rule, (APRIL - MINUTE, 130), (APRIL + MINUTE, 2), (APRIL + 3 * MINUTE, 101))
    assert found == [("firing", "page"), ("resolved", "page"), ("firing", "page")]
