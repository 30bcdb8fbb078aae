"""When the next run comes sooner than planned, and when it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from canaries.config import BurstConfig
from monitor.canary_flow.burst import BurstFacts, BurstReason, next_burst

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULE = BurstConfig()
RISING = BurstFacts(
    evidence=0.06,
    slot_s=3600.0,
    scheduled_at=NOW + timedelta(minutes=50),
    in_a_row=0,
    is_paging=False,
    is_in_blocks=False,
    has_money=True,
    chance=0.0,
)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 10.0), (0.5, 12.5), (0.999, 14.995)])
def test_the_next_run_comes_soon_and_never_at_a_fixed_time(chance: float, wait: float) -> None:
    burst = next_burst(replace(RISING, chance=chance), RULE, NOW)
    assert burst.at == NOW + minutes(wait)
    assert (burst.reason, burst.in_a_row) == (BurstReason.RISING, 1)


NONE = {
    "low evidence": ({"evidence": 0.05}, BurstReason.QUIET),
    "a page that is open": ({"is_paging": True}, BurstReason.PAGED),
    "blocks": ({"is_in_blocks": True}, BurstReason.IN_BLOCKS),
    "a cadence as fast": ({"slot_s": 600.0}, BurstReason.SOON_ENOUGH),
    "a scheduled run before": ({"scheduled_at": NOW + minutes(9)}, BurstReason.SOON_ENOUGH),
    "a scheduled run just after": ({"scheduled_at": NOW + minutes(11.9)}, BurstReason.SOON_ENOUGH),
    "enough of them": ({"in_a_row": 12}, BurstReason.LONG_ENOUGH),
    "no money": ({"has_money": False}, BurstReason.NO_MONEY),
}


@pytest.mark.parametrize(("change", "reason"), NONE.values(), ids=NONE)
def test_no_run_comes_sooner(change: dict[str, object], reason: BurstReason) -> None:
    burst = next_burst(replace(RISING, **change), RULE, NOW)  # type: ignore[arg-type]  # a table of all fields
    assert (burst.at, burst.reason) == (None, reason)


SOME = {
    "just above": {"evidence": 0.051},
    "a slower cadence": {"slot_s": 601.0},
    "enough time before the next": {"scheduled_at": NOW + minutes(12)},
    "no next run": {"scheduled_at": None},
    "one short of enough": {"in_a_row": 11},
}


@pytest.mark.parametrize("change", SOME.values(), ids=SOME)
def test_on_the_other_side_of_each_edge_it_does(change: dict[str, object]) -> None:
    assert next_burst(replace(RISING, **change), RULE, NOW).at == NOW + minutes(10)  # type: ignore[arg-type]


def test_bursts_that_are_off_never_come() -> None:
    assert next_burst(RISING, None, NOW).reason is BurstReason.OFF


def test_there_are_so_many_in_a_row_until_the_evidence_is_low_again() -> None:
    made, in_a_row = 0, 0
    for _ in range(40):
        burst = next_burst(replace(RISING, in_a_row=in_a_row), RULE, NOW)
        made, in_a_row = made + (burst.at is not None), burst.in_a_row
    assert made == RULE.runs_max
    low = next_burst(replace(RISING, in_a_row=in_a_row, evidence=0.01), RULE, NOW)
    assert next_burst(replace(RISING, in_a_row=low.in_a_row), RULE, NOW).at is not None
