"""Bets against a concurrent control: fair whatever the common chance is, and quick where there is a difference."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from alerts.evidence.bets import Side
from alerts.evidence.control import (
    BETS,
    LOG_ODDS,
    SETTLING,
    Block,
    ControlLedger,
    e_values,
    level_of,
    observe_block,
)
from alerts.evidence.ledger import Budgets, Kind

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR_S = 3600.0
RICH = Budgets(pages_per_quarter=1.0)


def block(hits: int, control_hits: int, calls: int = 300, control_calls: int = 300, hour: int = 0) -> Block:
    at = START + timedelta(hours=hour)
    return Block(f"b{hour}", at, HOUR_S, calls, hits, control_calls, control_hits)


def fed(*hits: tuple[int, int], ledger: ControlLedger | None = None, start: int = 0) -> list[tuple]:
    """The steps of a comparison that sees these hits of the series and of its control, hour by hour."""
    ledger, steps = ledger or ControlLedger(), []
    for hour, (mine, theirs) in enumerate(hits, start):
        step = observe_block(ledger, block(mine, theirs, hour=hour), "errors", 1.0, RICH)
        ledger = step.ledger
        steps.append(step)
    return steps


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 1), (4, 4), (3, 7), (9, 2), (6, 0)])
def test_every_bet_has_mean_one_given_the_total_whatever_the_common_chance(n_a: int, n_b: int) -> None:
    for total in range(n_a + n_b + 1):
        possible = range(max(0, total - n_b), min(total, n_a) + 1)
        mean = sum(
            float(Fraction(comb(n_a, hits) * comb(n_b, total - hits), comb(n_a + n_b, total)))
            * e_values(block(hits, total - hits, n_a, n_b))
            for hits in possible
        )
        assert mean == pytest.approx(np.ones(BETS), abs=1e-12)


def test_a_bet_is_the_likelihood_ratio_of_an_exact_count() -> None:
    """An odds ratio of 2, four against four calls, three hits of the four: counted by hand in fractions."""
    chances = {hits: Fraction(comb(4, hits) * comb(4, 4 - hits), comb(8, 4)) for hits in range(5)}
    expected = Fraction(2) ** 3 / sum(chance * Fraction(2) ** hits for hits, chance in chances.items())
    at = int(np.argmin(abs(LOG_ODDS - 0.6)))
    odds = math.exp(LOG_ODDS[at])
    as_floats = odds**3 / sum(float(chance) * odds**hits for hits, chance in chances.items())
    assert e_values(block(3, 1, 4, 4))[at] == pytest.approx(as_floats)
    assert as_floats == pytest.approx(float(expected), rel=0.1)  # e ** 0.6 is 1.82


def test_swapping_the_series_swaps_the_sides() -> None:
    half = BETS // 2
    one, other = e_values(block(31, 12, 300, 200)), e_values(block(12, 31, 200, 300))
    assert one[:half] == pytest.approx(other[half:])
    assert level_of(block(31, 12)) == -level_of(block(12, 31)) == 2


@pytest.mark.parametrize(
    "one", [block(0, 0), block(300, 300), block(5, 0, 300, 0)], ids=["no hit", "all", "alone"]
)
def test_a_block_that_leaves_nothing_to_chance_says_nothing(one: Block) -> None:
    assert e_values(one) == pytest.approx(np.ones(BETS))
    assert level_of(one) == 0


def test_millions_of_calls_are_still_numbers() -> None:
    found = e_values(block(60_000, 50_000, 1_000_000, 1_000_000))
    assert np.isfinite(found).all()
    assert found[0] > 1e50


def test_a_shared_load_that_comes_and_goes_does_not_page() -> None:
    """All of it doubles and halves, in both: the chance moves, the difference does not."""
    shared = [(15, 16), (60, 57), (140, 139), (30, 33), (8, 7), (90, 94), (20, 18)] * 20
    steps = fed(*shared)
    assert not any(step.alarms for step in steps)


def test_one_series_going_wrong_pages_within_hours_and_says_since_when() -> None:
    steps = fed(*[(15, 15)] * 24, *[(45, 15)] * 12)
    paged = next(hour for hour, step in enumerate(steps) if any(a.kind is Kind.PAGE for a in step.alarms))
    assert paged - 24 < 4
    (page,) = [alarm for alarm in steps[paged].alarms if alarm.kind is Kind.PAGE]
    assert (page.component, page.side) == ("errors", Side.HIGH)
    assert page.since is not None
    assert START + timedelta(hours=20) <= page.since <= START + timedelta(hours=24)


def test_getting_better_than_the_control_is_told_too_and_takes_longer() -> None:
    better = fed(*[(15, 60)] * 24)
    alarms = [alarm for step in better for alarm in step.alarms]
    assert {alarm.side for alarm in alarms} == {Side.LOW}


def test_false_pages_keep_the_budget_whatever_the_chance_does() -> None:
    """Forty quarters at a budget of one, the chance wandering between 1 % and 30 %."""
    generator = np.random.default_rng(5)
    hours = 40 * 2190 // 10  # every tenth block, each with ten times the drip: the same budget, in less time
    pages, ledger = 0, ControlLedger()
    chances = 0.01 + 0.29 * generator.beta(0.5, 0.5, hours)
    mine, theirs = generator.binomial(300, chances), generator.binomial(200, chances)
    for hour in range(hours):
        at = START + timedelta(hours=10 * hour)
        one = Block(f"{hour}", at, 10 * HOUR_S, 300, int(mine[hour]), 200, int(theirs[hour]))
        step = observe_block(ledger, one, "errors", 1.0, RICH)
        ledger = step.ledger
        pages += sum(alarm.kind is Kind.PAGE for alarm in step.alarms)
    assert pages <= 40 + 2 * math.sqrt(40)


def quarters_pages(own_noise: float, hours: int, generator: np.random.Generator) -> int:
    """Pages without a difference that lasts, where each series has a noise of its own beside the chance."""
    pages, ledger = 0, ControlLedger()
    chances = 0.05 * np.exp(own_noise * generator.normal(size=(hours, 2)))
    for hour, (mine, theirs) in enumerate(generator.binomial(300, chances).tolist()):
        step = observe_block(ledger, block(mine, theirs, hour=hour), "errors", 1.0, RICH)
        ledger = step.ledger
        pages += sum(alarm.kind is Kind.PAGE for alarm in step.alarms)
    return pages


def test_a_noise_that_only_one_series_has_is_learned_and_discounted() -> None:
    assert quarters_pages(0.3, 2190, np.random.default_rng(6)) <= 3


def test_discounting_begins_after_the_blocks_have_settled_and_forgets_no_block() -> None:
    steps = fed(*[(30, 15), (15, 30)] * 20)
    dispersions = [step.ledger.dispersion for step in steps]
    assert set(dispersions[:SETTLING]) == {1.0}
    assert dispersions[-1] > 2
    assert steps[-1].ledger.settled_blocks == 40 - SETTLING


def test_a_discounted_bet_has_a_mean_of_at_most_one() -> None:
    total, n_a, n_b = 5, 6, 8
    for dispersion in (1.5, 4.0):
        mean = sum(
            comb(n_a, hits)
            * comb(n_b, total - hits)
            / comb(n_a + n_b, total)
            * e_values(block(hits, total - hits, n_a, n_b)) ** (1 / dispersion)
            for hits in range(total + 1)
        )
        assert (mean <= 1 + 1e-12).all()


def test_the_same_block_twice_changes_nothing() -> None:
    first = observe_block(ControlLedger(), block(40, 10), "errors", 1.0, RICH)
    again = observe_block(first.ledger, block(40, 10), "errors", 1.0, RICH)
    assert again.ledger is first.ledger
    assert again.alarms == ()


def test_a_gap_drips_for_one_period_only() -> None:
    calm = fed((15, 15))[-1].ledger
    soon = observe_block(calm, block(0, 0, hour=1), "errors", 1.0, RICH).ledger
    late = observe_block(calm, block(0, 0, hour=400), "errors", 1.0, RICH).ledger
    assert late.evidence() == pytest.approx(soon.evidence())


def test_tickets_only_never_pages() -> None:
    ledger = ControlLedger()
    kinds = set()
    for hour in range(48):
        step = observe_block(ledger, block(90, 10, hour=hour), "errors", 1.0, RICH, tickets_only=True)
        ledger = step.ledger
        kinds |= {alarm.kind for alarm in step.alarms}
    assert kinds == {Kind.TICKET}


def test_it_is_steady_after_six_ordinary_blocks_and_not_while_it_differs() -> None:
    ledger = fed(*[(60, 15)] * 12)[-1].ledger
    assert not ledger.is_steady
    assert fed(*[(15, 15)] * 12, ledger=ledger, start=12)[-1].ledger.is_steady


def test_what_is_stored_goes_on_to_the_last_bit() -> None:
    steps = fed(*[(20, 15), (31, 12), (15, 16)] * 3)
    ledger = steps[-1].ledger
    again = ControlLedger.from_bytes(ledger.to_bytes())
    assert again == ledger

    def after(one: ControlLedger) -> ControlLedger:
        return fed((40, 10), ledger=one, start=9)[-1].ledger

    assert after(again).to_bytes() == after(ledger).to_bytes()


def test_another_format_is_refused() -> None:
    data = ControlLedger().to_bytes().replace(b'"format":1', b'"format":99')
    with pytest.raises(ValueError, match="format 99"):
        ControlLedger.from_bytes(data)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_part_of_one_budget(share: float) -> None:
    with pytest.raises(ValueError, match="part of one budget"):
        observe_block(ControlLedger(), block(1, 1), "errors", share, RICH)


def test_more_hits_than_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="hits"):
        replace(block(1, 1), hits=301)
