"""The ledger keeps its budget, and is a value: replayed, stored and read again it is the same to the last
bit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.evidence import (
    PAGE_CALIBRATION_MIN,
    Budgets,
    Calibrated,
    Kind,
    Ledger,
    Observation,
    Ranked,
    Side,
    Step,
    is_steady,
    observe,
    open_ledger,
    rank,
)
from alerts.evidence.ledger import QUARTER_S, STEADY_RUNS

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR_S = 3600.0
HOURS_A_QUARTER = int(QUARTER_S / HOUR_S)


def calibration(n: int, seed: int = 0) -> list[Ranked]:
    rng = np.random.default_rng(seed)
    return [(float(score), float(tie)) for score, tie in zip(rng.normal(size=n), rng.random(n), strict=True)]


def opened(calibration: Mapping[str, Sequence[Ranked]]) -> Ledger:
    """A new ledger whose components have no labels."""
    return open_ledger(rank({name: unlabelled(runs) for name, runs in calibration.items()}))


def unlabelled(runs: Sequence[Ranked]) -> list[Calibrated]:
    return [(score, tie, "") for score, tie in runs]


def run(i: int, scores: dict[str, float], *, hours: float | None = None, tie: float = 0.5) -> Observation:
    at = START + timedelta(hours=i if hours is None else hours)
    return Observation(run_id=f"run-{i}", at=at, slot_s=HOUR_S, tie=tie, scores=scores)


def follow(
    ledger: Ledger,
    values: Sequence[float],
    first: int = 0,
    weight: float = 1.0,
    budgets: Budgets | None = None,
) -> list[Step]:
    """The steps of one component named ``a``, an hour apart."""
    steps: list[Step] = []
    for i, value in enumerate(values, first):
        step = observe(ledger.ranks, ledger, run(i, {"a": value}), {"a": weight}, budgets or Budgets())
        steps.append(step)
        ledger = step.ledger
    return steps


# --- the guarantee ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "later"), [(1, 4), (3, 3), (3, 4), (4, 3)])
@pytest.mark.parametrize("drip", [0.25, 0.4])
def test_over_all_orderings_wealth_and_alarms_together_expect_at_most_what_dripped_in(
    n: int, later: int, drip: float
) -> None:
    """Each ordering is a component of its own; all are equally likely, so a mean over them is an
    expectation."""
    orderings = [[float(x) for x in order] for order in permutations(range(n + later))]
    names = [str(i) for i in range(len(orderings))]
    ledger = opened(
        {name: [(x, 0.5) for x in order[:n]] for name, order in zip(names, orderings, strict=True)}
    )
    budgets = Budgets(tickets_per_quarter=drip * HOURS_A_QUARTER * len(names))
    weights = dict.fromkeys(names, 1 / len(names))
    alarms, removed = 0, 0.0
    for j in range(later):
        scores = {name: order[n + j] for name, order in zip(names, orderings, strict=True)}
        step = observe(ledger.ranks, ledger, run(j, scores), weights, budgets)
        ledger = step.ledger
        alarms += len(step.alarms)
        removed += sum(alarm.evidence for alarm in step.alarms)
        wealth = sum(ledger.evidence(Kind.TICKET).values())
        dripped = (j + 1) * drip * len(names)
        assert wealth + alarms <= dripped * (1 + 1e-12)
        assert wealth + removed <= dripped * (1 + 1e-12), "the bets are fair, and wealth is never rounded up"
        assert wealth + removed == pytest.approx(dripped, rel=1e-6), "nothing else goes in or out"
    assert alarms, "or the bound was not put to the test"


def false_pages(components: int, runs: int, *, forgetful: bool = False) -> tuple[float, float]:
    """Mean and standard error of the pages of many components that each have a budget of one page for these
    runs."""
    rng = np.random.default_rng(7)
    names = [str(i) for i in range(components)]
    ledger = opened({name: calibration(84, seed) for seed, name in enumerate(names)})
    budgets = Budgets(pages_per_quarter=components * HOURS_A_QUARTER / runs, tickets_per_quarter=0)
    weights = dict.fromkeys(names, 1 / components)
    pages = dict.fromkeys(names, 0)
    for i in range(runs):
        scores = dict(zip(names, rng.normal(size=components).tolist(), strict=True))
        step = observe(ledger.ranks, ledger, run(i, scores), weights, budgets)
        kept = ledger.accounts if forgetful else step.ledger.accounts
        ledger = replace(step.ledger, accounts=replace(step.ledger.accounts, j=kept.j, k=kept.k))
        for alarm in step.alarms:
            pages[alarm.component] += alarm.kind is Kind.PAGE
    counts = np.array(list(pages.values()))
    return float(counts.mean()), float(counts.std(ddof=1) / math.sqrt(components))


def test_pages_without_drift_stay_within_the_budget() -> None:
    mean, error = false_pages(components=500, runs=1000)
    assert mean + 2 * error < 1.0, f"{mean:.2f} +- {error:.2f} pages at a budget of 1"
    assert mean > 0.2, "a ledger that never pages keeps any budget"


def test_the_bound_breaks_when_the_later_runs_are_not_counted() -> None:
    """What an ordinary rank against a fixed calibration set would do: the reason for the Pólya form."""
    mean, error = false_pages(components=100, runs=1000, forgetful=True)
    assert mean - 2 * error > 1.0


# --- one step ---------------------------------------------------------------------------------------------


def reference_step(
    sorted_calibration: list[float],
    later: list[float],
    wealth: dict[tuple[str, int, float], float],
    drip: float,
) -> dict[tuple[str, int, float], float]:
    """The specification, bet by bet, in plain Python; ``later`` ends with the run to bet on. No ties."""
    n, j, after = len(sorted_calibration), len(later) - 1, {}
    for side, v in (("high", 1.0), ("low", 0.35)):
        for i, q in enumerate((1, math.ceil(n / 20), math.ceil(n / 4))):
            limit = sorted_calibration[n - q] if side == "high" else sorted_calibration[q - 1]
            hits = [x > limit if side == "high" else x < limit for x in later]
            pi = (q + sum(hits[:-1])) / (n + 1 + j)
            for lam in (0.3, 0.6, 0.9):
                e = 1 - lam + lam * hits[-1] / pi
                after[side, i, lam] = (wealth.get((side, i, lam), 0.0) + drip * v / (9 * 1.35)) * e
    return dict.fromkeys(after, 0.0) if sum(after.values()) >= 1 else after


def test_the_vectorised_step_is_the_plain_one() -> None:
    rng = np.random.default_rng(5)
    names, weights = ["a", "b", "c"], {"a": 0.5, "b": 0.2, "c": 0.1}
    base = {name: sorted(rng.normal(size=24 + 8 * i).tolist()) for i, name in enumerate(names)}
    ledger = opened({name: [(x, 0.5) for x in base[name]] for name in names})
    later: dict[str, list[float]] = {name: [] for name in names}
    wealth: dict[str, dict[tuple[str, int, float], float]] = {name: {} for name in names}
    pages = 0
    for i in range(120):
        drift = 2.0 if i >= 60 else 0.0
        scores = {name: float(rng.normal(drift)) for name in names if rng.random() < 0.8}
        step = observe(ledger.ranks, ledger, run(i, scores), weights, Budgets())
        ledger = step.ledger
        pages += sum(alarm.kind is Kind.PAGE for alarm in step.alarms)
        for name, score in scores.items():
            later[name].append(score)
            drip = 0.25 * HOUR_S / QUARTER_S * weights[name]
            wealth[name] = reference_step(base[name], later[name], wealth[name], drip)
        for name in names:
            # Wealth is kept in single precision, each account cut at each of the steps.
            plain = sum(wealth[name].values())
            assert plain * (1 - (i + 1) * 2**-23) <= step.evidence[name] <= plain * (1 + 1e-12)
    assert pages >= 3


def test_three_runs_beyond_everything_page_at_the_default_budget() -> None:
    steps = follow(opened({"a": calibration(84)}), [0.0, 9.0, 9.0, 9.0])
    assert Kind.PAGE not in [alarm.kind for alarm in steps[2].alarms]
    page = steps[3].alarms[0]
    assert (page.kind, page.component, page.side, page.since) == (Kind.PAGE, "a", Side.HIGH, START)
    assert page.evidence >= 1
    assert steps[3].evidence == {"a": 0.0}


def test_too_ordinary_runs_alarm_on_the_low_side() -> None:
    steps = follow(opened({"a": calibration(84)}), [-9.0] * 5)
    alarms = [alarm for step in steps for alarm in step.alarms if alarm.kind is Kind.PAGE]
    assert [alarm.side for alarm in alarms] == [Side.LOW]


def test_an_alarm_of_one_kind_leaves_the_evidence_of_the_others() -> None:
    steps = follow(opened({"a": calibration(84)}), [9.0, 9.0, 9.0], weight=0.04)
    assert [alarm.kind for alarm in steps[-1].alarms] == [Kind.TICKET]
    assert steps[-1].ledger.evidence(Kind.TICKET)["a"] == 0.0
    assert steps[-1].ledger.evidence(Kind.PAGE)["a"] > 0.0


@pytest.mark.parametrize(
    ("n", "kinds"),
    [
        pytest.param(PAGE_CALIBRATION_MIN - 1, {Kind.TICKET}, id="too few calibration runs to page"),
        pytest.param(PAGE_CALIBRATION_MIN, set(Kind), id="just enough calibration runs"),
    ],
)
def test_few_calibration_runs_open_tickets_only(n: int, kinds: set[Kind]) -> None:
    steps = follow(opened({"a": calibration(n)}), [9.0] * 12)
    assert {alarm.kind for step in steps for alarm in step.alarms} == kinds


@pytest.mark.parametrize(
    ("value", "level"),
    [(50.5, 0), (75.5, 0), (76.5, 1), (96.5, 2), (101.0, 3), (25.5, 0), (24.5, -1), (4.5, -2), (0.5, -3)],
)
def test_the_level_tells_how_far_out_a_run_lies(value: float, level: int) -> None:
    ledger = opened({"a": [(float(i), 0.5) for i in range(1, 101)]})
    assert follow(ledger, [value])[0].beyond == {"a": level}


def test_a_tied_score_lies_beyond_by_its_tie_break() -> None:
    ledger = opened({"a": [(1.0, 0.4), (1.0, 0.6)]})
    levels = [
        observe(ledger.ranks, ledger, run(0, {"a": 1.0}, tie=tie), {"a": 1.0}, Budgets()).beyond["a"]
        for tie in (0.7, 0.5, 0.3)
    ]
    assert levels == [3, 0, -3]


@pytest.mark.parametrize(
    "scores",
    [{}, {"a": math.nan}, {"unknown": 3.0}],
    ids=["absent", "not a number", "only of an unknown component"],
)
def test_a_component_without_a_score_neither_drips_nor_bets(scores: dict[str, float]) -> None:
    before = follow(opened({"a": calibration(30)}), [0.1])[-1].ledger
    step = observe(before.ranks, before, run(1, scores), {"a": 1.0}, Budgets())
    assert step.beyond == {}
    assert step.ledger.to_bytes() == replace(before, last_run_id="run-1").to_bytes()


def test_a_component_that_skipped_gets_the_drip_of_one_slot_and_no_more() -> None:
    before = follow(opened({"a": calibration(30)}), [0.0])[-1].ledger
    next_hour = observe(before.ranks, before, run(1, {"a": 0.0}), {"a": 1.0}, Budgets())
    next_week = observe(before.ranks, before, run(1, {"a": 0.0}, hours=168), {"a": 1.0}, Budgets())
    assert next_week.evidence == next_hour.evidence


@pytest.mark.parametrize(("hours", "share"), [(0.25, 0.25), (1, 1.0), (2, 1.0), (0, 0.0), (-5, 0.0)])
def test_drip_is_for_the_time_since_the_previous_run(hours: float, share: float) -> None:
    before = follow(opened({"a": calibration(30)}), [0.0])[-1].ledger
    poor = replace(before, accounts=replace(before.accounts, wealth=np.zeros_like(before.accounts.wealth)))
    full = observe(poor.ranks, poor, run(1, {"a": 0.0}, hours=1), {"a": 1.0}, Budgets()).evidence["a"]
    assert observe(poor.ranks, poor, run(1, {"a": 0.0}, hours=hours), {"a": 1.0}, Budgets()).evidence[
        "a"
    ] == pytest.approx(share * full, rel=1e-6)


def dripped_s(hours: Sequence[float], *, block: int = 1) -> float:
    """The time that drip is paid for when runs come at these hours, in seconds."""
    ledger = open_ledger(rank({"a": unlabelled(calibration(30 * block))}, {"a": block}))
    for i, at in enumerate(hours):
        ledger = observe(ledger.ranks, ledger, run(i, {"a": 0.0}, hours=at), {"a": 1.0}, Budgets()).ledger
    paid_until = float(ledger.accounts.paid_until[0])
    return (
        0.0
        if math.isnan(paid_until)
        else paid_until - (START.timestamp() + hours[block - 1] * HOUR_S) + block * HOUR_S
    )


def test_a_clock_that_was_years_ahead_costs_one_slot_and_not_years() -> None:
    ordinary = [float(hour) for hour in range(20)]
    upset = [*ordinary[:10], 90_000.0, *ordinary[10:]]
    assert dripped_s(ordinary) == 20 * HOUR_S
    assert dripped_s(upset) == 20 * HOUR_S


def test_time_is_not_paid_for_twice_when_runs_come_back_and_forth() -> None:
    assert dripped_s([0.0, 5.0, 0.0, 5.0, 0.0, 5.0, 0.0, 5.0, 0.0, 5.0, 0.0, 5.0, 0.0, 5.0]) == 6 * HOUR_S


def test_runs_that_follow_an_outage_closely_are_not_paid_for_the_outage() -> None:
    assert dripped_s([0.0, 1.0, 101.0, 101.25, 101.5]) == 3.5 * HOUR_S


times_of_runs = st.lists(
    st.one_of(st.floats(-3, 3), st.integers(-5, 5).map(float), st.floats(-1e5, 1e5)), min_size=1, max_size=40
)


@given(times_of_runs, st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_whatever_the_clocks_say_drip_is_for_the_time_that_passed_and_at_most_a_slot_a_run(
    hours: list[float], block: int
) -> None:
    bets = len(hours) // block
    paid_s = dripped_s(hours, block=block) if bets else 0.0
    # The first bet is paid its own slots: what comes on top is never more than lies between the first and latest times.
    latest = max(hours[block - 1 :: block], default=0.0) if bets else 0.0
    first = hours[block - 1] if bets else 0.0
    assert paid_s <= ((latest - first) + (block if bets else 0)) * HOUR_S + 1e-3
    assert paid_s <= bets * block * HOUR_S + 1e-3


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_tiny_calibrations_are_no_special_case(n: int) -> None:
    steps = follow(opened({"a": calibration(n)}), [9.0, -9.0, 0.0, math.inf, -math.inf])
    assert all(0 <= step.evidence["a"] < 1 for step in steps)
    assert [bool(step.beyond) for step in steps] == [n > 0] * 5


def test_an_empty_ledger_steps_and_is_stored() -> None:
    ledger = opened({})
    step = observe(ledger.ranks, ledger, run(0, {"a": 1.0}), {}, Budgets())
    assert Ledger.from_bytes(step.ledger.to_bytes(), step.ledger.ranks).names == ()


@pytest.mark.parametrize(
    "weights",
    [{"a": -0.1}, {"a": math.nan}, {"a": 0.7, "b": 0.7}],
    ids=["negative", "not a number", "more than the whole"],
)
def test_weights_that_break_the_budget_are_refused(weights: dict[str, float]) -> None:
    ledger = opened({"a": calibration(9), "b": calibration(9)})
    with pytest.raises(ValueError, match="share out one budget"):
        observe(ledger.ranks, ledger, run(0, {}), weights, Budgets())


def test_impossible_facts_are_refused_where_they_are_made() -> None:
    with pytest.raises(ValueError, match="pages_per_quarter is -1"):
        Budgets(pages_per_quarter=-1)
    with pytest.raises(ValueError, match="no time zone"):
        Observation("r", datetime(2026, 3, 2), HOUR_S, 0.5, {})  # noqa: DTZ001
    with pytest.raises(ValueError, match="slot_s is -1"):
        Observation("r", START, -1.0, 0.5, {})
    with pytest.raises(ValueError, match="a block of a is 0 runs"):
        rank({"a": []}, {"a": 0})


# --- the ledger is a value --------------------------------------------------------------------------------

score = st.one_of(st.floats(-4, 4), st.sampled_from([0.0, 1.0, math.inf, -math.inf, math.nan]))
scores_of_a_run = st.dictionaries(st.sampled_from(["a", "b", "c"]), score)
streams = st.lists(st.tuples(scores_of_a_run, st.floats(0, 1), st.floats(-3, 3)), min_size=1, max_size=25)
WEIGHTS = {"a": 0.5, "b": 0.25, "c": 0.125}


def three_components() -> Ledger:
    return opened({"a": calibration(30, 1), "b": [(float(i // 9), i / 40) for i in range(40)], "c": []})


def play(
    stream: list[tuple[dict[str, float], float, float]], *, twice: bool = False, stored: bool = False
) -> list[Step]:
    ledger, hours, steps = three_components(), 0.0, []
    for i, (scores, tie, gap) in enumerate(stream):
        hours += gap
        step = observe(
            ledger.ranks,
            ledger,
            run(i, scores, hours=hours, tie=tie),
            WEIGHTS,
            Budgets(pages_per_quarter=100.0),
        )
        ledger = Ledger.from_bytes(step.ledger.to_bytes(), ledger.ranks) if stored else step.ledger
        steps.append(step)
        if twice:
            again = observe(
                ledger.ranks, ledger, run(i, scores, hours=hours + 1, tie=tie), WEIGHTS, Budgets()
            )
            assert again.ledger is ledger
            assert not again.alarms
            assert again.evidence == step.evidence
    return steps


def facts(steps: list[Step]) -> list[object]:
    return [(step.ledger.to_bytes(), step.alarms, step.evidence, step.beyond) for step in steps]


@given(streams)
@settings(max_examples=60, deadline=None)
def test_the_same_run_twice_changes_nothing(stream: list[tuple[dict[str, float], float, float]]) -> None:
    assert facts(play(stream, twice=True)) == facts(play(stream))


@given(streams)
@settings(max_examples=60, deadline=None)
def test_stored_and_read_back_after_every_run_it_goes_on_bit_for_bit(
    stream: list[tuple[dict[str, float], float, float]],
) -> None:
    assert facts(play(stream, stored=True)) == facts(play(stream))


@given(streams, st.floats(0.01, 1.0))
@settings(max_examples=40, deadline=None)
def test_evidence_is_in_proportion_to_the_weight_until_an_alarm(
    stream: list[tuple[dict[str, float], float, float]], factor: float
) -> None:
    whole = part = three_components()
    shares = {name: factor * weight for name, weight in WEIGHTS.items()}
    alarms: tuple[object, ...] = ()
    for i, (scores, tie, _) in enumerate(stream):
        a = observe(whole.ranks, whole, run(i, scores, tie=tie), WEIGHTS, Budgets())
        b = observe(part.ranks, part, run(i, scores, tie=tie), shares, Budgets())
        whole, part, alarms = a.ledger, b.ledger, alarms + a.alarms
        if any(getattr(alarm, "kind", None) is Kind.PAGE for alarm in alarms):
            break
        for name in WEIGHTS:
            assert b.evidence[name] == pytest.approx(factor * a.evidence[name], rel=1e-5)


@given(streams)
@settings(max_examples=40, deadline=None)
def test_a_component_is_not_touched_by_the_others_skipping(
    stream: list[tuple[dict[str, float], float, float]],
) -> None:
    alone = play([({"a": s["a"]} if "a" in s else {}, tie, gap) for s, tie, gap in stream])
    assert [step.evidence["a"] for step in alone] == [step.evidence["a"] for step in play(stream)]


# --- recovery ---------------------------------------------------------------------------------------------

INSIDE, UPPER_25, UPPER_5, LOWER_25 = 50.5, 80.5, 98.5, 20.5


def steady_after(values: Sequence[float]) -> bool:
    """Whether the component is steady when these runs follow its alarm."""
    ledger = opened({"a": [(float(i), 0.5) for i in range(1, 101)]})
    alarmed = follow(ledger, [200.0, 200.0])[-1]
    assert alarmed.alarms
    steps = follow(alarmed.ledger, values, first=2, weight=0.0)
    return is_steady((steps[-1] if steps else alarmed).ledger, "a")


@pytest.mark.parametrize(
    ("values", "steady"),
    [
        pytest.param([], False, id="just alarmed"),
        pytest.param([INSIDE] * (STEADY_RUNS - 1), False, id="one run too few"),
        pytest.param([INSIDE] * STEADY_RUNS, True, id="all inside"),
        pytest.param([UPPER_25] * 2 + [LOWER_25] * 2 + [INSIDE] * 2, True, id="two beyond on each side"),
        pytest.param([UPPER_25] * 3 + [INSIDE] * 3, False, id="three above"),
        pytest.param([LOWER_25] * 3 + [INSIDE] * 3, False, id="three below"),
        pytest.param([UPPER_25] * 3 + [INSIDE] * 4, True, id="three above, of which one is forgotten"),
        pytest.param([INSIDE] * 5 + [UPPER_25], True, id="the last beyond 25 %"),
        pytest.param([INSIDE] * 5 + [UPPER_5], False, id="the last beyond 5 %"),
        pytest.param([UPPER_5] + [INSIDE] * 5, True, id="an earlier one beyond 5 %"),
    ],
)
def test_a_component_is_steady_again_when_it_looks_like_its_calibration(
    values: list[float], steady: bool
) -> None:
    assert steady_after(values) is steady


def test_runs_without_a_score_do_not_make_a_component_steady() -> None:
    assert not steady_after([INSIDE] * 5 + [math.nan] * 5)
