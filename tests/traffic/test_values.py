"""Values of a chosen attribute: new, gone, and too large a share."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from alerts.finding import Label
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.judgement import Judgement
from monitor.traffic.watches.judging import judge, needs
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.tallies import OTHER_VALUES, Tally
from monitor.traffic.windows.window import Window

from .conftest import NOON

NOW = datetime.fromtimestamp(NOON + 30, UTC)
PROMPT = "app.prompt.version"
SHOP = Series("shop", "production", "1.0", "chat", "openai", "m", "m")


def watch(above: str | None = None, **values: object) -> WatchConfig:
    threshold = {"above": above} if above else {}
    return WatchConfig.model_validate({"name": "w", "values": {"attribute": PROMPT, **values}, **threshold})


def window(minute: float, **counts: int) -> Window:
    return of_values(minute, counts)


def of_values(minute: float, counts: Mapping[str, int], untold: int = 0) -> Window:
    found = Window(int(minute), SHOP, sum(counts.values()) + untold)
    for value, calls in counts.items():
        found.chosen._at(PROMPT, value).merge(Tally(calls=calls))
    return found


def said(rule: WatchConfig, *windows: Window) -> Judgement:
    return judge(rule, windows, NOW)


BEFORE, LATELY = NOON - 3_600, NOON - 60


def test_a_value_that_was_not_there_before_is_told_by_name() -> None:
    judgement = said(watch(tell=["new"]), window(BEFORE, v1=900), window(LATELY, v1=60, v2=25))
    assert judgement.label is Label.BREACHED
    assert judgement.reason == 'app.prompt.version: "v2" is new (25 calls), of 85 calls of the last 6 minutes'
    assert ("value", "v2: 25 calls") in judgement.evidence


def test_a_new_value_needs_as_many_calls_as_the_watch() -> None:
    assert (
        said(watch(tell=["new"]), window(BEFORE, v1=900), window(LATELY, v1=60, v2=19)).label is Label.STEADY
    )


@pytest.mark.parametrize(
    ("before", "label"),
    [(20, Label.STEADY), (900, Label.BREACHED)],
    ids=["a daemon that has hardly begun", "chance would have brought some"],
)
def test_a_value_that_few_calls_before_lack_need_not_be_new(before: int, label: Label) -> None:
    judgement = said(watch(tell=["new"]), window(BEFORE, v1=before), window(LATELY, v1=180, v2=20))
    assert judgement.label is label


def test_a_value_is_new_until_the_look_back_has_passed_over_it() -> None:
    rule = watch(tell=["new"])
    assert said(rule, window(BEFORE, v1=900, v2=1), window(LATELY, v1=60, v2=25)).label is Label.STEADY


@pytest.mark.parametrize(
    ("before", "calls", "label"),
    [(450, 60, Label.BREACHED), (90, 60, Label.STEADY), (90, 120, Label.BREACHED)],
    ids=["half of the calls", "a tenth, too few calls now to say", "a tenth, and calls enough"],
)
def test_a_value_is_gone_when_chance_would_have_left_some(before: int, calls: int, label: Label) -> None:
    found = said(watch(tell=["gone"]), window(BEFORE, v1=900 - before, v2=before), window(LATELY, v1=calls))
    assert found.label is label
    assert ('"v2" is gone' in found.reason) is (label is Label.BREACHED)


def test_a_call_that_was_taken_back_leaves_no_value() -> None:
    judgement = said(watch(tell=["gone"]), window(BEFORE, v1=450, v2=450), window(LATELY, v1=60, v2=0))
    assert '"v2" is gone' in judgement.reason


def test_what_may_be_among_the_other_values_is_neither_new_nor_gone() -> None:
    rule = watch(tell=["new", "gone"])
    many = of_values(BEFORE, {"v1": 500, OTHER_VALUES: 500})
    assert said(rule, many, window(LATELY, v1=60, v2=40)).label is Label.STEADY
    assert said(
        rule, window(BEFORE, v1=500, v2=500), of_values(LATELY, {"v1": 50, OTHER_VALUES: 50})
    ).label is (Label.STEADY)


def test_without_calls_before_nothing_is_new() -> None:
    judgement = said(watch(tell=["new"]), window(LATELY, v1=60))
    assert (judgement.label, judgement.n) == (Label.NO_DATA, 60)
    assert "0 calls with app.prompt.version before" in judgement.reason


def test_calls_without_the_attribute_are_told() -> None:
    judgement = said(watch(tell=["new"]), of_values(LATELY, {"v1": 5}, untold=50))
    assert judgement.reason.endswith("20 are needed; 50 more have no app.prompt.version")


def test_windows_are_read_as_far_back_as_values_are_compared_with() -> None:
    first, last = needs(watch(tell=["new"], before="6h"), NOW)
    assert last - first == 6 * 3_600 + 300
    assert needs(watch("50%"), NOW)[0] == last - 300


@pytest.mark.parametrize(("v2", "label"), [(60, Label.BREACHED), (40, Label.STEADY)])
def test_the_share_of_one_value_is_judged_by_its_bounds(v2: int, label: Label) -> None:
    judgement = said(watch("40%", value="v2"), window(LATELY, v1=100 - v2, v2=v2))
    assert (judgement.label, judgement.value) == (label, v2 / 100)


def test_the_share_of_any_value_is_that_of_the_largest_and_surer_for_being_picked() -> None:
    judgement = said(watch("40%"), window(LATELY, v1=30, v2=60, v3=10))
    assert judgement.label is Label.BREACHED
    assert judgement.reason.startswith('app.prompt.version is "v2" in 60 % (at least ')
    assert judgement.low < said(watch("40%", value="v2"), window(LATELY, v1=40, v2=60)).low


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"values": {"attribute": "a"}}, "tells of new or gone values"),
        ({"values": {"attribute": "a", "tell": ["new"]}, "above": "5%"}, "tells of new or gone values"),
        ({"values": {"attribute": "a", "tell": ["new"], "value": "x"}}, "value goes with `above`"),
        ({"values": {"attribute": "a", "tell": ["new"], "before": "1d"}}, "reach back a day at most"),
        ({"values": {"attribute": "a"}, "below": "5%"}, "`above` or `tell`"),
        ({"values": {"attribute": "a", "tell": ["old"]}}, "'new' or 'gone'"),
    ],
    ids=["nothing", "both", "value without above", "too far", "below", "unknown"],
)
def test_what_cannot_be_meant_is_refused(rule: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        WatchConfig.model_validate({"name": "w", **rule})
