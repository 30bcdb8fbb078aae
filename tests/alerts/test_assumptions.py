"""What the calibration runs say of the page budget's assumption, against known answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pytest

from alerts.evidence.assumptions import check
from alerts.evidence.autocorrelation import (
    LAG1_MAX,
    Autocorrelation,
    autocorrelation,
    block_length,
    ranks_within,
)
from alerts.evidence.ledger import PAGE_CALIBRATION_MIN


def sticky(n: int, correlation: float, seed: int) -> list[float]:
    """A series in which neighbours are correlated: AR(1)."""
    noise = np.random.default_rng(seed).normal(size=n)
    values = [noise[0]]
    for shock in noise[1:]:
        values.append(correlation * values[-1] + math.sqrt(1 - correlation**2) * shock)
    return [float(value) for value in values]


def test_independent_runs_are_what_the_promise_needs() -> None:
    found = check({"peak": sticky(84, 0.0, 1), "length": sticky(84, 0.0, 2)})
    assert found.is_in_force
    assert found.reasons == ()
    assert found.calibration_runs == 84
    assert set(found.autocorrelation) == {"peak", "length"}


def test_sticky_runs_are_called_so_with_the_score_and_its_correlation() -> None:
    found = check({"peak": sticky(84, 0.0, 1), "length": sticky(84, 0.8, 2)})
    assert not found.is_in_force
    (reason,) = found.reasons
    assert reason.startswith("neighbouring runs are alike in length (lag-1 correlation 0.")
    assert "the guarantee is not in force for this target" in reason


def test_runs_that_keep_away_from_their_neighbours_are_not_called_sticky() -> None:
    assert check({"peak": [float(n % 2) for n in range(84)]}).is_in_force


@pytest.mark.parametrize(
    ("n", "in_force"),
    [(PAGE_CALIBRATION_MIN - 1, False), (PAGE_CALIBRATION_MIN, True)],
    ids=["few", "enough"],
)
def test_too_few_calibration_runs_are_a_reason(n: int, in_force: bool) -> None:
    found = check({"peak": sticky(n, 0.0, 3)})
    assert found.is_in_force is in_force
    assert found.reasons == (() if in_force else ("only 23 calibration runs: tickets only, pages need 24",))


def test_without_any_score_the_promise_is_not_in_force() -> None:
    found = check({})
    assert (found.calibration_runs, found.is_in_force) == (0, False)


def test_exchangeable_targets_are_seldom_called_sticky() -> None:
    called = sum(
        not check({name: sticky(84, 0.0, 100 * seed + n) for n, name in enumerate("abcd")}).is_in_force
        for seed in range(40)
    )
    assert called <= 6  # 2 are expected, of more than 6 the chance is under one in a hundred


@pytest.mark.parametrize("seed", range(5))
def test_clear_stickiness_is_found_in_a_week_of_runs(seed: int) -> None:
    assert not check({"peak": sticky(84, 0.6, seed)}).is_in_force


def test_stickiness_that_hardly_matters_is_left_alone() -> None:
    values = sticky(5000, 0.07, 4)
    one = autocorrelation(values)
    assert one.lag1 < LAG1_MAX
    assert one.p_value < 0.05  # certain, but small
    assert check({"peak": values}).is_in_force


KNOWN = {
    "nothing": ([], Autocorrelation(0.0, 1.0)),
    "two runs": ([1.0, 2.0], Autocorrelation(0.0, 1.0)),
    "always the same": ([3.0] * 50, Autocorrelation(0.0, 1.0)),
}


@pytest.mark.parametrize(("values", "expected"), KNOWN.values(), ids=KNOWN)
def test_series_that_tell_nothing_are_not_called_correlated(
    values: Sequence[float], expected: Autocorrelation
) -> None:
    assert autocorrelation(values) == expected


def test_the_correlation_is_that_of_neighbours() -> None:
    # 1, 2, 3, 4 less their mean: (-1.5 * -0.5 + -0.5 * 0.5 + 0.5 * 1.5) / (1.5^2 + 0.5^2) / 2
    assert autocorrelation([1.0, 2.0, 3.0, 4.0]).lag1 == pytest.approx(0.25)
    # Of its 24 orderings, 2 have as large a correlation: itself and its reverse.
    assert autocorrelation([1.0, 2.0, 3.0, 4.0]).p_value == pytest.approx(2 / 24, abs=0.02)


def test_scale_and_place_do_not_matter() -> None:
    values = sticky(60, 0.3, 6)
    moved = autocorrelation([1e6 + 1e-3 * value for value in values])
    assert moved.lag1 == pytest.approx(autocorrelation(values).lag1, abs=1e-4)
    assert moved.p_value == pytest.approx(autocorrelation(values).p_value, abs=5e-3)


def test_the_same_runs_give_the_same_answer() -> None:
    values = {"peak": sticky(60, 0.2, 7)}
    assert check(values) == check(values)
    assert check(values, seed=1) != check(values, seed=2)  # another draw of orderings, about the same p-value


@pytest.mark.parametrize(("days", "is_in_force"), [(6.4, False), (6.6, True)])
def test_a_baseline_of_less_than_a_week_has_not_seen_every_hour(days: float, is_in_force: bool) -> None:
    found = check({"peak": sticky(84, 0.0, 1)}, covers_s=days * 86_400)
    assert found.is_in_force is is_in_force
    assert any("week" in reason for reason in found.reasons) is not is_in_force


HOUR_S = 3600.0


def hourly(n: int) -> list[float]:
    return [1.7e9 // 86_400 * 86_400 + HOUR_S * i for i in range(n)]


def served_by(n: int, kept: float, seed: int) -> list[str]:
    """Which of two backends serves each run, each kept for so many runs on average; 2 is a fair coin."""
    changes = np.random.default_rng(seed).random(n) < 1 / kept
    return ["AB"[int(k) % 2] for k in np.cumsum(changes)]


def apart(labels: Sequence[str], by: float, seed: int) -> list[float]:
    """Scores that are higher by so many standard deviations under label B."""
    noise = np.random.default_rng(seed).normal(size=len(labels))
    return [float(x + by * (label == "B")) for x, label in zip(noise, labels, strict=True)]


def test_backends_drawn_at_random_leave_the_promise_in_force() -> None:
    labels = served_by(336, 2.0, seed=1)
    found = check({"peak": apart(labels, 3.0, seed=2)}, labels=labels, at_s=hourly(336))
    assert found.is_in_force
    assert found.blocks == {}
    assert found.labels == {"A": labels.count("A"), "B": labels.count("B")}
    assert "runs are ranked within 2 labels" in found.notes[0]


def test_sticky_backends_are_red_although_the_ranks_within_them_are_independent() -> None:
    labels = served_by(336, 6.0, seed=1)
    found = check({"peak": apart(labels, 3.0, seed=2)}, labels=labels, at_s=hourly(336))
    assert not found.is_in_force
    regimes, peak = found.reasons
    assert regimes.startswith("runs stick to a regime for about ")
    assert found.regimes is not None
    assert found.regimes.kept_runs == pytest.approx(6, abs=1.5)
    assert found.regimes.expected_kept_runs == pytest.approx(2, abs=0.1)
    assert "alike in peak" in peak
    assert peak.endswith("but nobody can prove that the labels catch all of it")
    assert found.within_labels["peak"].lag1 < LAG1_MAX
    assert found.blocks == {}


def test_a_sequence_of_sticky_labels_is_red_even_when_no_score_tells_them_apart() -> None:
    labels = served_by(336, 6.0, seed=3)
    found = check({"peak": sticky(336, 0.0, 4)}, labels=labels)
    (reason,) = found.reasons
    assert reason.startswith("runs stick to a regime")


def test_what_the_labels_leave_sticky_is_compared_in_blocks() -> None:
    values = {"peak": sticky(1000, 0.4, 5), "length": sticky(1000, 0.0, 6)}
    found = check(values, follow={"canary:a": "peak", "canary:b": "length"})
    assert set(found.blocks) == {"peak", "canary:a"}
    b = found.blocks["peak"]
    assert found.blocks["canary:a"] == b > 1
    assert found.delay_floor_runs == 3 * b
    (reason,) = found.reasons
    assert f"compared in blocks of {b} runs, so that a page takes {3 * b} runs at least" in reason
    assert "tickets only" not in reason


def test_too_few_blocks_are_told_with_the_baseline_that_would_do() -> None:
    found = check({"peak": sticky(84, 0.8, 2)})
    b = found.blocks["peak"]
    assert 84 // b < PAGE_CALIBRATION_MIN
    (reason,) = found.reasons
    assert reason.endswith(f"pages need {24 * b} calibration runs, a baseline of {48 * b}")


def test_the_rarity_of_labels_is_no_part_of_the_promise_but_gets_its_blocks() -> None:
    found = check({"peak": sticky(336, 0.0, 1)}, unlabelled={"regime": [math.nan, *sticky(335, 0.7, 2)]})
    assert found.is_in_force
    assert set(found.blocks) == {"regime"}
    assert found.delay_floor_runs == 3  # it never pages


def wave(n: int, seed: int, swing: float = 1.5) -> list[float]:
    noise = np.random.default_rng(seed).normal(size=n)
    return [float(noise[i] + swing * math.sin(i / 24 * 2 * math.pi)) for i in range(n)]


def test_a_daily_wave_that_nothing_ranks_by_is_red() -> None:
    found = check({"peak": wave(336, 1)}, at_s=hourly(336))
    assert not found.is_in_force
    assert any(reason.startswith("the hour of the day explains") for reason in found.reasons)
    assert found.hour_effect["peak"].share == pytest.approx(0.53, abs=0.08)


def test_a_daily_wave_is_no_doubt_where_runs_are_ranked_by_the_hour() -> None:
    at_s = hourly(336)
    labels = [f"{int(at // HOUR_S) % 24 // 4}" for at in at_s]
    found = check({"peak": wave(336, 1)}, labels=labels, regimes=[""] * 336, at_s=at_s)
    assert found.reasons == ()
    assert "peak follows the time of day; within the labels nothing of it is left" in found.notes


def test_backends_whose_shares_follow_the_hour_are_not_called_sticky() -> None:
    rng = np.random.default_rng(7)
    share = 0.5 + 0.45 * np.sin(np.arange(336) / 24 * 2 * np.pi)
    labels = ["AB"[int(rng.random() < p)] for p in share]
    values = {"peak": apart(labels, 2.0, seed=8)}
    without_times, with_times = check(values, labels=labels), check(values, labels=labels, at_s=hourly(336))
    assert not without_times.is_in_force
    assert with_times.is_in_force
    assert with_times.regimes is not None
    assert with_times.regimes.explained_by_hour


def test_weekends_that_differ_are_red_once_they_came_twice() -> None:
    noise = np.random.default_rng(9).normal(size=28 * 24)
    values = [float(x + 2 * (i // 24 % 7 >= 5)) for i, x in enumerate(noise)]
    found = check({"peak": values}, at_s=hourly(28 * 24))
    assert any(reason.startswith("the day of the week explains") for reason in found.reasons)
    assert check({"peak": values[: 9 * 24]}, at_s=hourly(9 * 24)).weekday_effect["peak"].p_value == 1.0


def test_the_calendar_is_seldom_blamed_by_chance() -> None:
    called = sum(not check({"peak": sticky(336, 0.0, s)}, at_s=hourly(336)).is_in_force for s in range(40))
    assert called <= 4  # 1.2 are expected at most


def test_slow_wandering_is_seen_where_neighbours_hardly_show_it() -> None:
    level = np.repeat(np.random.default_rng(3).normal(size=14), 24)
    noise = np.random.default_rng(4).normal(size=336)
    found = autocorrelation((0.35 * level + noise).tolist())
    assert found.inflation > 2
    assert found.inflation_p < 0.01


@dataclass(frozen=True)
class Dispersion:
    chi2_per_df: float
    intra_run: float


def test_over_dispersion_is_told_and_is_no_doubt() -> None:
    found = check(
        {"peak": sticky(84, 0.0, 1)}, dispersion={"a": Dispersion(5.0, 0.44), "b": Dispersion(1.1, 0.01)}
    )
    assert found.is_in_force
    (note,) = found.notes
    assert note.startswith("1 of 2 canaries vary more")
    assert "most: a, chi-square/df 5.0" in note


def test_runs_that_lack_a_score_are_left_out() -> None:
    values = sticky(84, 0.0, 1)
    values[3] = values[50] = math.nan
    labels = served_by(84, 2.0, 1)
    found = check({"peak": values}, labels=labels, at_s=hourly(84))
    assert not math.isnan(found.autocorrelation["peak"].lag1)
    assert found.is_in_force


def test_labels_of_another_number_of_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="peak has 84 values for 83 runs"):
        check({"peak": sticky(84, 0.0, 1)}, labels=["A"] * 83)


def test_the_verdict_is_json() -> None:
    labels = served_by(84, 6.0, 1)
    found = check(
        {"peak": apart(labels, 2.0, 1)},
        labels=labels,
        at_s=hourly(84),
        dispersion={"a": Dispersion(2.5, 0.5)},
    )
    plain = orjson.loads(orjson.dumps(found))
    assert plain["dispersion"] == {"a": {"chi2_per_df": 2.5, "intra_run": 0.5}}
    assert len(plain["autocorrelation"]["peak"]["lags"]) == 24
    assert plain["regimes"]["kept_runs"] > 3


@pytest.mark.parametrize(
    ("values", "labels", "expected"),
    [
        ([3.0, 1.0, 2.0], ["", "", ""], [1 / 3, -1 / 3, 0.0]),
        ([1.0, 1.0, 1.0, 1.0], ["", "", "", ""], [0.0, 0.0, 0.0, 0.0]),
        ([1.0, 10.0, 2.0, 20.0], ["A", "B", "A", "B"], [-0.25, -0.25, 0.25, 0.25]),
    ],
    ids=["order", "all equal", "each label on its own"],
)
def test_ranks_are_those_within_the_label(
    values: list[float], labels: list[str], expected: list[float]
) -> None:
    assert ranks_within(np.array(values), np.array(labels)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("correlation", "least", "most"), [(0.0, 2, 2), (0.5, 6, 16), (0.8, 16, 48)])
def test_the_stickier_the_longer_the_blocks(correlation: float, least: int, most: int) -> None:
    """In theory 2, 8 and 24: there the correlation of neighbouring block means of such a series falls below 0.1."""
    chosen = [block_length(np.array(sticky(4000, correlation, seed))) for seed in range(5)]
    assert least <= np.median(chosen) <= most
