"""Runs are ranked among their own kind, or in blocks; what that needs to keep the budget, and to survive a restart."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

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
    Ranks,
    Step,
    is_steady,
    observe,
    open_ledger,
    rank,
)
from alerts.evidence.accounts import Accounts, Faced, play
from alerts.evidence.ledger import QUARTER_S
from alerts.evidence.ranks import Places

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR_S = 3600.0
HOURS_A_QUARTER = int(QUARTER_S / HOUR_S)


def calibration(n: int, label: str = "", *, seed: int = 0, mean: float = 0.0) -> list[Calibrated]:
    rng = np.random.default_rng(seed)
    scores, ties = rng.normal(mean, size=n).tolist(), rng.random(n).tolist()
    return [(score, tie, label) for score, tie in zip(scores, ties, strict=True)]


def run(i: int, scores: Mapping[str, float], label: str = "", hours: float | None = None) -> Observation:
    at = START + timedelta(hours=i if hours is None else hours)
    return Observation(f"run-{i}", at, HOUR_S, (i * 0.618) % 1.0, scores, label)


def follow(
    ledger: Ledger,
    runs: Iterable[tuple[float, str]],
    *,
    first: int = 0,
    tickets_only: Collection[str] = (),
    budgets: Budgets | None = None,
) -> list[Step]:
    """The steps of one component named ``a``, an hour apart; each run is a score and a label."""
    steps: list[Step] = []
    for i, (score, label) in enumerate(runs, first):
        observation = run(i, {"a": score}, label)
        step = observe(ledger.ranks, ledger, observation, {"a": 1.0}, budgets or Budgets(), tickets_only)
        steps.append(step)
        ledger = step.ledger
    return steps


def kinds(steps: Iterable[Step]) -> set[Kind]:
    return {alarm.kind for step in steps for alarm in step.alarms}


# --- labels -----------------------------------------------------------------------------------------------


def test_a_run_is_ranked_among_the_calibration_runs_of_its_label() -> None:
    days, nights = calibration(40, "day"), calibration(40, "night", mean=100.0)
    ledger = open_ledger(rank({"a": [*days, *nights]}))
    levels = [step.beyond["a"] for step in follow(ledger, [(0.0, "day"), (100.0, "night"), (100.0, "day")])]
    assert levels == [0, 0, 3]


@pytest.mark.parametrize(
    ("calibrated", "beyond"),
    [
        pytest.param([*calibration(30), *calibration(30, "day")], {"a": 3}, id="unlabelled runs stand in"),
        pytest.param(calibration(30, "day"), {}, id="nothing to rank it among: it skips"),
    ],
)
def test_a_run_of_an_unknown_label(calibrated: list[Calibrated], beyond: dict[str, int]) -> None:
    before = open_ledger(rank({"a": calibrated}))
    step = follow(before, [(9.0, "never seen")])[0]
    assert step.beyond == beyond
    assert bool(step.evidence["a"]) is bool(beyond)


def test_evidence_adds_up_across_labels() -> None:
    both = rank({"a": [*calibration(84, "day"), *calibration(84, "night", seed=1)]})
    one = [(9.0, "day")] * 3
    turns = [(9.0, "day"), (9.0, "night"), (9.0, "day"), (9.0, "night"), (9.0, "day")]
    assert Kind.PAGE in kinds(follow(open_ledger(both), one))
    assert Kind.PAGE in kinds(follow(open_ledger(both), turns))


@pytest.mark.parametrize("label", ["rare", "common"])
def test_a_label_with_few_calibration_runs_opens_tickets_only(label: str) -> None:
    calibrated = [
        *calibration(PAGE_CALIBRATION_MIN, "common"),
        *calibration(PAGE_CALIBRATION_MIN - 1, "rare"),
    ]
    steps = follow(open_ledger(rank({"a": calibrated})), [(9.0, label)] * 15)
    assert kinds(steps) == ({Kind.TICKET} if label == "rare" else set(Kind))


def test_a_label_with_few_calibration_runs_bets_what_others_brought_in_and_adds_nothing() -> None:
    calibrated = [*calibration(84, "common"), *calibration(10, "rare")]
    ranks = rank({"a": calibrated})
    assert {step.evidence["a"] for step in follow(open_ledger(ranks), [(9.0, "rare")] * 12)} == {0.0}
    inside = follow(open_ledger(ranks), [(0.0, "common"), (0.0, "rare")])
    assert 0 < inside[1].evidence["a"] < inside[0].evidence["a"]


def test_a_change_that_makes_all_runs_look_like_a_rare_kind_still_pages() -> None:
    ranks = rank({"a": [*calibration(84, "common"), *calibration(PAGE_CALIBRATION_MIN - 4, "rare")]})
    before = follow(open_ledger(ranks), [(0.0, "common")] * 30)[-1].ledger
    steps = follow(before, [(9.0, "rare")] * 8, first=30)
    assert Kind.PAGE in kinds(steps)


def test_a_component_for_tickets_only_never_pages_nor_rolls_back() -> None:
    ranks = rank({"a": calibration(84)})
    steps = follow(open_ledger(ranks), [(9.0, "")] * 12, tickets_only={"a"})
    assert kinds(steps) == {Kind.TICKET}
    assert {step.evidence["a"] for step in steps} == {0.0}
    assert kinds(follow(open_ledger(ranks), [(9.0, "")] * 12, tickets_only={"b"})) == set(Kind)


def test_steadiness_counts_bets_of_all_labels_together() -> None:
    calibrated = [*calibration(84, "day"), *calibration(84, "night", mean=100.0)]
    alarmed = follow(open_ledger(rank({"a": calibrated})), [(9.0, "day")] * 4)[-1].ledger
    quiet = [(0.0, "day"), (100.0, "night")] * 3
    assert not is_steady(alarmed, "a")
    assert is_steady(follow(alarmed, quiet, first=4)[-1].ledger, "a")


class Count(NamedTuple):
    """Mean and standard error of the false pages of many components, each with a budget of one page."""

    mean: float
    error: float


def false_pages(
    baseline: np.ndarray,
    later: np.ndarray,
    labels: Sequence[str],
    later_labels: Sequence[str],
    block: int = 1,
) -> Count:
    """``baseline`` and ``later`` are scores by run and component; all components share the labels of the runs."""
    components = baseline.shape[1]
    names = [str(i) for i in range(components)]
    calibrated = {
        name: [(score, 0.5, label) for score, label in zip(column.tolist(), labels, strict=True)]
        for name, column in zip(names, baseline.T, strict=True)
    }
    ranks = rank(calibrated, dict.fromkeys(names, block))
    ledger, shares = open_ledger(ranks), dict.fromkeys(names, 1 / components)
    budgets = Budgets(
        pages_per_quarter=components * HOURS_A_QUARTER / len(later),
        tickets_per_quarter=0,
        rollbacks_per_quarter=0,
    )
    pages = dict.fromkeys(names, 0)
    for i, (row, label) in enumerate(zip(later.tolist(), later_labels, strict=True)):
        step = observe(ranks, ledger, run(i, dict(zip(names, row, strict=True)), label), shares, budgets)
        ledger = step.ledger
        for alarm in step.alarms:
            pages[alarm.component] += 1
    counts = np.array(list(pages.values()))
    return Count(float(counts.mean()), float(counts.std(ddof=1) / math.sqrt(components)))


def test_sticky_backends_keep_the_budget_within_their_labels_and_only_there() -> None:
    rng = np.random.default_rng(11)
    # A backend is kept for 30 runs, and has scores of its own.
    backend = np.repeat(rng.integers(2, size=40), 30)
    scores = rng.normal(size=(len(backend), 300)) + 2.0 * backend[:, None]
    labels, cut = [f"backend {b}" for b in backend], 360
    told = false_pages(scores[:cut], scores[cut:], labels[:cut], labels[cut:])
    untold = false_pages(scores[:cut], scores[cut:], [""] * cut, [""] * (len(labels) - cut))
    assert 0.1 < told.mean < 1.0 - 2 * told.error
    assert untold.mean - 2 * untold.error > 1.0, "or the scenario does not need labels"


def test_runs_that_stick_together_keep_the_budget_in_blocks_and_only_there() -> None:
    rng = np.random.default_rng(12)
    scores = np.repeat(rng.normal(size=(340, 200)), 4, axis=0) + 0.1 * rng.normal(size=(1360, 200))
    cut = 360
    none, later = [""] * cut, [""] * (len(scores) - cut)
    blocks = false_pages(scores[:cut], scores[cut:], none, later, block=4)
    single = false_pages(scores[:cut], scores[cut:], none, later)
    assert 0.1 < blocks.mean < 1.0 - 2 * blocks.error
    assert single.mean - 2 * single.error > 1.0, "or the scenario does not need blocks"


# --- blocks -----------------------------------------------------------------------------------------------


def blocks_of(length: int, count: int = 30) -> Ledger:
    return open_ledger(rank({"a": calibration(count * length, "any")}, {"a": length}))


def test_a_block_bets_once_on_the_mean_of_its_runs() -> None:
    ledger = open_ledger(rank({"a": [(float(i // 2), 0.5, "") for i in range(200)]}, {"a": 2}))
    steps = follow(ledger, [(1000.0, "x"), (-900.0, "y"), (98.0, ""), (0.0, ""), (99.0, ""), (1001.0, "")])
    assert [step.beyond for step in steps] == [{}, {"a": 0}, {}, {"a": 0}, {}, {"a": 3}]
    assert steps[-1].ledger.accounts.j.tolist() == [[3]]
    assert ledger.ranks.calibration_runs() == {"a": 200}


def test_a_run_without_a_score_makes_a_block_wait() -> None:
    scores = [0.0, math.nan, 0.0, math.nan, math.nan, 0.0]
    steps = follow(blocks_of(3), [(score, "") for score in scores])
    assert [bool(step.beyond) for step in steps] == [False] * 5 + [True]


def test_a_block_drips_for_the_time_since_the_last_one_and_at_most_its_own_slots() -> None:
    def evidence(hours: Sequence[float]) -> float:
        ledger = follow(blocks_of(2), [(0.0, ""), (0.0, "")])[-1].ledger
        for i, at in enumerate(hours, 2):
            ledger = observe(ledger.ranks, ledger, run(i, {"a": 0.0}, hours=at), {"a": 1.0}, Budgets()).ledger
        return float(ledger.accounts.paid_until[0]) - START.timestamp()

    assert evidence([2.0, 3.0]) == 3 * HOUR_S
    assert evidence([1.5, 2.0]) == 2 * HOUR_S
    assert evidence([90.0, 91.0]) == 3 * HOUR_S


def test_a_block_counts_as_calibrated_by_its_blocks_not_by_its_runs() -> None:
    few = follow(blocks_of(4, PAGE_CALIBRATION_MIN - 1), [(9.0, "")] * 60)
    enough = follow(blocks_of(4, PAGE_CALIBRATION_MIN), [(9.0, "")] * 60)
    assert kinds(few) == {Kind.TICKET}
    assert Kind.PAGE in kinds(enough)


# --- stored and read again --------------------------------------------------------------------------------

NAMES = ["plain", "labelled", "block", "never"]
WEIGHTS = {"plain": 0.3, "labelled": 0.3, "block": 0.2, "never": 0.1}
RANKS = rank(
    {
        "plain": calibration(30),
        "labelled": [*calibration(30, "x"), *calibration(12, "y", seed=1)],
        "block": calibration(90, seed=2),
        "never": [],
    },
    {"block": 3},
)

score = st.one_of(st.floats(-4, 4), st.sampled_from([0.0, 9.0, math.inf, -math.inf, math.nan]))
streams = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(NAMES), score),
        st.sampled_from(["", "x", "y", "z"]),
        st.floats(-3, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)
Stream = list[tuple[dict[str, float], str, float, bool]]


def play_all(stream: Stream, ranks: Ranks = RANKS, cuts: Collection[int] = ()) -> list[Step]:
    """The steps of a stream; before each run in ``cuts`` the process ends, and another reads what was stored."""
    ledger, hours, steps = open_ledger(ranks), 0.0, []
    for i, (scores, label, gap, only_tickets) in enumerate(stream):
        if i in cuts:
            ledger = Ledger.from_bytes(ledger.to_bytes(), ranks)
        hours += gap
        observation = run(i, scores, label, hours)
        budgets = Budgets(pages_per_quarter=100.0, rollbacks_per_quarter=50.0)
        step = observe(ranks, ledger, observation, WEIGHTS, budgets, {"plain"} if only_tickets else ())
        if i in cuts:  # it had died before it could say that this run was done
            assert observe(ranks, step.ledger, observation, WEIGHTS, budgets).ledger is step.ledger
        ledger = step.ledger
        steps.append(step)
    return steps


def facts(steps: list[Step]) -> list[object]:
    return [(step.ledger.to_bytes(), step.alarms, step.evidence, step.beyond) for step in steps]


@given(streams, st.sets(st.integers(0, 24)))
@settings(max_examples=100, deadline=None)
def test_cut_anywhere_stored_and_read_again_it_goes_on_bit_for_bit(stream: Stream, cuts: set[int]) -> None:
    assert facts(play_all(stream, cuts=cuts)) == facts(play_all(stream))


@given(streams, st.integers(0, 24))
@settings(max_examples=60, deadline=None)
def test_the_future_does_not_change_the_past(stream: Stream, cut: int) -> None:
    assert facts(play_all(stream[:cut])) == facts(play_all(stream))[:cut]


@given(streams)
@settings(max_examples=60, deadline=None)
def test_components_for_tickets_never_page(stream: Stream) -> None:
    for (_, _, _, only_tickets), step in zip(stream, play_all(stream), strict=True):
        loud = {alarm.component for alarm in step.alarms if alarm.kind is not Kind.TICKET}
        assert not (only_tickets and "plain" in loud)


@given(streams)
@settings(max_examples=60, deadline=None)
def test_many_targets_updated_at_once_are_each_updated_as_if_alone(stream: Stream) -> None:
    """Two copies of a target, the second with all scores mirrored, so that both differ."""
    budgets, rates = Budgets(pages_per_quarter=100.0), np.zeros((3, 2 * len(NAMES)))
    ledgers = [open_ledger(RANKS), open_ledger(RANKS)]
    together = Accounts.join([one.accounts for one in ledgers])
    rates[:] = np.array(budgets.per_quarter)[:, None] * (
        np.array([WEIGHTS[n] for n in NAMES] * 2) / QUARTER_S
    )
    hours = 0.0
    for i, (scores, label, gap, _) in enumerate(stream):
        hours += gap
        faced = [run(i, {name: sign * x for name, x in scores.items()}, label, hours) for sign in (1, -1)]
        ledgers = [
            observe(RANKS, ledger, one, WEIGHTS, budgets).ledger
            for ledger, one in zip(ledgers, faced, strict=True)
        ]
        values = np.array([one.scores.get(name, math.nan) for one in faced for name in NAMES])
        places = Places.join([RANKS.places(label)] * 2)
        largest = np.finfo(np.float64).max
        put = Faced(
            np.clip(values, -largest, largest),
            faced[0].tie,
            faced[0].at.timestamp(),
            HOUR_S,
            rates,
            np.ones(2 * len(NAMES), dtype=np.bool_),
        )
        together = play(places, together, put).accounts
    apart = Accounts.join([one.accounts for one in ledgers])
    for name in Accounts.__slots__:
        assert getattr(together, name).tobytes() == getattr(apart, name).tobytes(), name


def a_target(labels: int, runs: int, seed: int = 0) -> Ledger:
    """52 components that have seen so many runs, at times that differ from component to component."""
    rng = np.random.default_rng(seed)
    of = [f"label {i % labels}" if labels > 1 else "" for i in range(200)]
    names = [f"component-{i}" for i in range(52)]
    ranks = rank(
        {name: [(x, 0.5, label) for x, label in zip(rng.normal(size=200), of, strict=True)] for name in names}
    )
    ledger = open_ledger(ranks)
    for i in range(runs):
        present = [name for name in names if rng.random() < 0.8]
        scores = dict(zip(present, rng.normal(size=len(present)).tolist(), strict=True))
        ledger = observe(
            ranks, ledger, run(i, scores, of[i % 200]), dict.fromkeys(names, 1 / 52), Budgets()
        ).ledger
    return ledger


@pytest.mark.parametrize("labels", [1, 4])
def test_a_target_of_52_components_is_stored_in_ten_kilobytes(labels: int) -> None:
    ledger = a_target(labels, runs=1200)
    assert len(ledger.to_bytes()) <= 10_000
    assert Ledger.from_bytes(ledger.to_bytes(), ledger.ranks).to_bytes() == ledger.to_bytes()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(lambda data: b'{"format":1,"names":[]}', "format 1", id="the first format"),
        pytest.param(lambda data: data[:3] + b"\x09" + data[4:], "format 9", id="a format to come"),
        pytest.param(lambda data: b"", "not a stored ledger", id="nothing"),
        pytest.param(lambda data: b"\x00" * 500, "not a stored ledger", id="zeros"),
        pytest.param(lambda data: data[:-1], "checksum", id="cut short"),
        pytest.param(lambda data: data + b"\x00", "checksum", id="too long"),
        pytest.param(
            lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "checksum", id="one bit flipped"
        ),
    ],
)
def test_bytes_that_are_no_ledger_of_this_version_are_refused(
    change: Callable[[bytes], bytes], complaint: str
) -> None:
    data = play_all([({"plain": 1.0}, "", 1.0, False)])[-1].ledger.to_bytes()
    with pytest.raises(ValueError, match=complaint):
        Ledger.from_bytes(change(data), RANKS)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(rank({"a": calibration(30, seed=1)}), id="other scores"),
        pytest.param(rank({"b": calibration(30)}), id="another name"),
        pytest.param(rank({"a": calibration(30, "x")}), id="another label"),
        pytest.param(rank({"a": calibration(30)}, {"a": 2}), id="blocks"),
    ],
)
def test_a_ledger_is_refused_with_the_ranks_of_another_calibration(other: Ranks) -> None:
    ledger = open_ledger(rank({"a": calibration(30)}))
    with pytest.raises(ValueError, match="another calibration"):
        Ledger.from_bytes(ledger.to_bytes(), other)
    with pytest.raises(ValueError, match="another calibration"):
        observe(other, ledger, run(0, {"a": 0.0}), {"a": 1.0}, Budgets())


def test_equal_calibrations_have_equal_ranks() -> None:
    ledger = follow(open_ledger(rank({"a": calibration(30)})), [(9.0, "")])[-1].ledger
    again = rank({"a": calibration(30)})
    assert Ledger.from_bytes(ledger.to_bytes(), again).evidence() == ledger.evidence()


def test_wealth_is_cut_never_rounded_up() -> None:
    ledger = open_ledger(rank({"a": calibration(30)}))
    exact = 0.0
    for i in range(200):
        ledger = observe(ledger.ranks, ledger, run(i, {"a": 0.0}), {"a": 1.0}, Budgets()).ledger
        exact = (exact + 0.25 * HOUR_S / QUARTER_S / (9 * 1.35)) * (1 - 0.3)
        held = float(ledger.accounts.wealth[0, 0])
        assert held <= exact * (1 + 1e-12)
        assert held >= exact * (1 - 4 * 2**-23)
