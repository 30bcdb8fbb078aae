"""What a run may ask for within a spend cap, what is said of it, and that a day never costs more."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.finding import Label, Severity
from monitor.spending.spend import (
    DAY_S,
    SpendFacts,
    SpendReason,
    expectation,
    has_money_for_more,
    plan_run,
    spend_verdict,
    window,
)

SLOT_S = 900.0
RUNS = 96


def facts(cap_usd: float | None = None, **more: Any) -> SpendFacts:
    """A run of two canaries with four samples each, a cent each: eight cents."""
    usual = SpendFacts(
        samples={"a": 4, "b": 4},
        sample_usd={"a": 0.01, "b": 0.01},
        cap_usd=cap_usd,
        spent_usd=0.0,
        runs_per_day=RUNS,
        slot_s=SLOT_S,
        since_last_s=SLOT_S,
    )
    return replace(usual, **more)


FULL, HALF, ONE = ({"a": n, "b": n} for n in (4, 2, 1))
FULL_DAY = 0.08 * RUNS
PLANS = {
    "no cap": (facts(spent_usd=1e6), FULL, SpendReason.NO_CAP),
    "no price": (facts(1.0, sample_usd=None), FULL, SpendReason.UNPRICED),
    "room for all": (facts(FULL_DAY + 0.01), FULL, SpendReason.FULL),
    "a little less than for all": (facts(FULL_DAY - 0.01), HALF, SpendReason.FEWER_SAMPLES),
    "half": (facts(FULL_DAY / 2 + 0.01), HALF, SpendReason.FEWER_SAMPLES),
    "a quarter": (facts(FULL_DAY / 4 + 0.01), ONE, SpendReason.FEWER_SAMPLES),
    "less than one sample each": (facts(FULL_DAY / 4 - 0.01), {}, SpendReason.SAVING),
    "that, after two slots": (
        facts(FULL_DAY / 4 - 0.01, since_last_s=2 * SLOT_S), ONE, SpendReason.FEWER_RUNS,
    ),
    "that, at the very first": (facts(0.03, since_last_s=None), ONE, SpendReason.FEWER_RUNS),
    "spent but for some": (facts(FULL_DAY * 2, spent_usd=FULL_DAY * 2 - 0.05), HALF, SpendReason.FEWER_SAMPLES),
    "spent": (facts(FULL_DAY * 2, spent_usd=FULL_DAY * 2 - 0.01), {}, SpendReason.SPENT),
    "dearer than the cap": (facts(0.01), {}, SpendReason.TOO_DEAR),
    "a cap that was lowered": (facts(1.0, spent_usd=5.0), {}, SpendReason.SPENT),
    "a long pause before it": (facts(FULL_DAY / 2 + 0.01, since_last_s=DAY_S), HALF, SpendReason.FEWER_SAMPLES),
    "a clock that went back": (facts(FULL_DAY / 4 - 0.01, since_last_s=0.0), {}, SpendReason.SAVING),
}  # fmt: skip


@pytest.mark.parametrize(("known", "samples", "reason"), PLANS.values(), ids=PLANS)
def test_a_run_has_the_most_samples_that_its_share_of_the_cap_allows(
    known: SpendFacts, samples: dict[str, int], reason: SpendReason
) -> None:
    planned = plan_run(known)
    assert (planned.samples, planned.reason) == (samples, reason)
    assert planned.is_skipped == (not samples)


def test_a_canary_with_fewer_samples_than_others_shrinks_last() -> None:
    uneven = facts(0.04 * RUNS, samples={"a": 4, "b": 1})
    assert plan_run(uneven).samples == {"a": 2, "b": 1}


def test_money_that_was_saved_up_buys_runs_and_never_more_samples() -> None:
    """Runs with other numbers of samples are ranked by themselves: a steady number is worth more."""
    rested = [plan_run(facts(FULL_DAY * 0.9, since_last_s=slots * SLOT_S)).samples for slots in (1, 2, 10)]
    assert rested == [HALF] * 3


# --- over days

PRICES = st.floats(0.0001, 0.5)


def day_after_day(cap_usd: float, sample_usd: float, days: int = 3) -> list[tuple[float, int]]:
    """Each run that is made, as its time and its samples."""
    made: list[tuple[float, int]] = []
    for slot in range(days * RUNS):
        now = slot * SLOT_S
        spent = sum(n * sample_usd for at, n in made if at > now - window(SLOT_S).total_seconds())
        known = facts(
            cap_usd,
            sample_usd={"a": sample_usd, "b": sample_usd},
            spent_usd=spent,
            since_last_s=now - made[-1][0] if made else None,
        )
        planned = plan_run(known)
        if not planned.is_skipped:
            made.append((now, planned.requests))
    return made


@given(cap_usd=st.floats(0.1, 50.0), sample_usd=PRICES)
def test_no_day_costs_more_than_the_cap(cap_usd: float, sample_usd: float) -> None:
    made = day_after_day(cap_usd, sample_usd, days=2)
    for end, _ in made:
        day = sum(n * sample_usd for at, n in made if end - DAY_S < at <= end)
        assert day <= cap_usd * (1 + 1e-9)


@given(cap_usd=st.floats(0.1, 50.0), sample_usd=PRICES)
def test_the_money_lasts_all_day(cap_usd: float, sample_usd: float) -> None:
    made = day_after_day(cap_usd, sample_usd, days=2)
    runs_a_day = min(RUNS, cap_usd // (2 * sample_usd))
    if runs_a_day == 0:
        assert made == []
        return
    # A run each slot, or, where one sample each costs more than a share, as many as the money allows, evenly.
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(made)]
    assert all(gap <= (RUNS // runs_a_day + 1) * SLOT_S for gap in gaps)


@pytest.mark.parametrize(("share", "samples"), [(1.0, 8), (0.6, 4), (0.3, 2)])
def test_the_number_of_samples_stays_the_same_for_days(share: float, samples: int) -> None:
    assert {n for _, n in day_after_day(FULL_DAY * share + 0.001, 0.01)} == {samples}


# --- bursts


def test_one_run_more_must_leave_the_scheduled_ones_their_money() -> None:
    assert not has_money_for_more(facts(FULL_DAY + 0.01))
    assert has_money_for_more(facts(FULL_DAY + 0.1))
    assert not has_money_for_more(facts(FULL_DAY + 0.1, spent_usd=FULL_DAY + 0.05))
    assert has_money_for_more(facts(FULL_DAY + 0.1, spent_usd=FULL_DAY + 0.01))
    assert has_money_for_more(facts())


@pytest.mark.parametrize(
    "known",
    [facts(1.0, sample_usd=None), facts(1.0, spent_usd=5.0), facts(0.03, since_last_s=None)],
    ids=["no price", "nothing left", "not even for each slot"],
)
def test_there_is_no_money_for_more_where_there_is_none_for_enough(known: SpendFacts) -> None:
    assert not has_money_for_more(known)


# --- what is said

SAID = {
    "fewer samples": (
        facts(FULL_DAY / 2 + 0.01),
        "bot: the spend cap bites: 4 of 8 samples are asked in a run, "
        "so the smallest change it can see has grown",
    ),
    "fewer runs": (
        facts(0.03, since_last_s=None),
        "bot: the spend cap bites: one sample of each canary costs more than a run's share of it, "
        "so only some runs are made and changes are seen later",
    ),
    "spent": (
        facts(1.0, spent_usd=5.0),
        "bot: the spend cap is reached: runs are skipped until earlier ones are a day old",
    ),
    "too dear": (
        facts(0.01),
        "bot: it is not watched: one sample of each canary is expected to cost more than its whole spend cap; "
        "raise the cap, or limit the answers with max_tokens",
    ),
    "no price": (
        facts(1.0, sample_usd=None),
        "bot: its spend cap cannot be kept, as the price of its model is not known; "
        "tell it under `price` of the target",
    ),
}


@pytest.mark.parametrize(("known", "sentence"), SAID.values(), ids=SAID)
def test_a_cap_that_bites_is_a_ticket_that_says_what_it_takes_away(known: SpendFacts, sentence: str) -> None:
    verdict = spend_verdict("bot", plan_run(known), known)
    assert (verdict.key, verdict.label) == ("spend/bot", Label.BREACHED)
    assert verdict.finding is not None
    assert (verdict.finding.severity, verdict.finding.summary) == (Severity.TICKET, sentence)


def test_a_run_that_is_saved_up_for_and_the_one_that_follows_are_one_incident() -> None:
    waiting, made = facts(FULL_DAY / 5), facts(FULL_DAY / 5, since_last_s=2 * SLOT_S)
    one, other = (spend_verdict("bot", plan_run(known), known) for known in (waiting, made))
    assert one.finding == other.finding


@pytest.mark.parametrize("known", [facts(), facts(FULL_DAY * 2)], ids=["no cap", "a wide one"])
def test_without_a_bite_there_is_nothing_to_tell(known: SpendFacts) -> None:
    assert spend_verdict("bot", plan_run(known), known).label is Label.STEADY


def test_the_evidence_tells_the_cap_what_was_spent_and_what_a_run_costs() -> None:
    known = facts(2.0, spent_usd=1.25)
    finding = spend_verdict("bot", plan_run(known), known).finding
    assert finding is not None
    assert finding.evidence == (
        ("cap", "$2.00 in 24 hours"),
        ("spent", "$1.25"),
        ("a full run", "$0.08, 96 times a day"),
    )


EXPECTED = {
    "no cap": (facts(), "about $7.68 a day at 96 runs"),
    "a wide one": (facts(10.0), "about $7.68 a day at 96 runs; cap $10.00"),
    "half": (facts(4.0), "about $7.68 a day at 96 runs; cap $4.00, which leaves 4 of 8 samples a run"),
    "very little": (
        facts(0.4),
        "about $7.68 a day at 96 runs; cap $0.40, which leaves one sample each in 20 runs a day",
    ),
    "next to nothing": (
        facts(0.01),
        "about $7.68 a day at 96 runs; cap $0.01, which is less than one sample each costs once",
    ),
    "no price": (facts(sample_usd=None), "cost not known, as the price of the model is not"),
    "a cap without a price": (
        facts(1.0, sample_usd=None),
        "cost not known, as the price of the model is not; cap $1.00, which cannot be kept: say the `price`",
    ),
}


@pytest.mark.parametrize(("known", "sentence"), EXPECTED.values(), ids=EXPECTED)
def test_what_a_day_will_cost_is_said_before_the_first_run(known: SpendFacts, sentence: str) -> None:
    assert expectation(replace(known, since_last_s=None)) == sentence
