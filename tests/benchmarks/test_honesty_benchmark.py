"""The honesty benchmark asks the product's own monitor, and fails when it is wrong."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.false_pages import Summary
from benchmarks.honesty import Found, verdict_of
from benchmarks.streams import Scenario

NO_PAGES = Summary(float("nan"), float("nan"), 0, 0)


def test_independent_runs_are_green_and_four_weeks_of_sticky_ones_red() -> None:
    assert verdict_of((Scenario.IID, 1, 1)).reasons == ()
    assert "runs stick to a regime" in verdict_of((Scenario.STICKY, 4, 1)).reasons


CASES = {
    "sticky, found": (Scenario.STICKY, 4, 0.95, NO_PAGES, True),
    "sticky, missed": (Scenario.STICKY, 4, 0.94, NO_PAGES, False),
    "sticky, a week is too short to tell": (Scenario.STICKY, 1, 0.5, NO_PAGES, True),
    "independent, green": (Scenario.IID, 1, 0.05, NO_PAGES, True),
    "independent, cried wolf": (Scenario.IID, 1, 0.06, NO_PAGES, False),
    "mixed, cried wolf": (Scenario.MIX, 4, 0.06, NO_PAGES, False),
    "green and within the budget": (Scenario.DIURNAL, 4, 0.0, Summary(1.1, 0.1, 3, 100), True),
    "green and above it": (Scenario.DIURNAL, 4, 0.0, Summary(1.3, 0.1, 3, 100), False),
}


@pytest.mark.parametrize(("scenario", "weeks", "red", "pages", "honest"), CASES.values(), ids=CASES)
def test_what_counts_as_honest(
    scenario: Scenario, weeks: int, red: float, pages: Summary, honest: bool
) -> None:
    assert Found(scenario, weeks, red, 0.0, 0.0, {}, pages).is_honest(budget=1.0) is honest
