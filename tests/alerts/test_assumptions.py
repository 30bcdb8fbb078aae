"""What the calibration runs say of the page budget's assumption, against known answers."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from alerts.evidence.assumptions import LAG1_MAX, Autocorrelation, autocorrelation, check
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
