"""A small deployment: what ``benchmarks.deployment`` counts."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from alerts.evidence import Kind
from benchmarks.deployment import Case, Outcome, is_kept, pages, replicate
from benchmarks.ledgers_together import Raised


def test_alarms_follow_the_budget_that_all_targets_share() -> None:
    usual, generous = (
        replicate(Case(seed=3, targets=6, answered=1, providers=2, quarters=1, budget=budget))
        for budget in (0.25, 100.0)
    )
    assert usual.alarms <= 1
    assert 10 < generous.alarms < 100
    assert 0 < generous.traffic < generous.alarms


def page(run: int, scope: int) -> Raised:
    return Raised(run, 0, scope, Kind.PAGE)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        pytest.param([page(1, 0), page(2, 0), page(20, 0)], 1, id="one target within a day"),
        pytest.param([page(1, 0), page(1, 1)], 2, id="two targets"),
        pytest.param([page(1, 0), page(25, 0)], 2, id="one target a day later"),
        pytest.param([page(1, 0), page(20, 0), page(40, 0)], 1, id="one that goes on alarming"),
    ],
)
def test_what_alarms_at_a_target_within_a_day_is_one_page(raised: list[Raised], expected: int) -> None:
    assert pages(raised) == expected


def year(alarms: int, pages: int) -> Outcome:
    return Outcome(alarms, pages, answered=0, traffic=0)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        pytest.param([year(1, 1)] * 20, True, id="one each"),
        pytest.param([year(0, 0)] * 19 + [year(4, 2)], True, id="two in one of twenty"),
        pytest.param([year(0, 0)] * 18 + [year(4, 2)] * 2, False, id="two in two of twenty"),
        pytest.param([year(2, 1)] * 20, False, id="too many alarms"),
    ],
)
def test_a_year_is_kept_when_more_than_one_page_is_rare(outcomes: list[Outcome], kept: bool) -> None:
    assert is_kept(outcomes, 1.0) is kept
