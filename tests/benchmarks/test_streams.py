"""The simulated endpoints are what their scenarios say."""

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.streams import (
    DAY_HOURS,
    PROMPTS,
    SAMPLES,
    Scenario,
    all_prompts,
    draw_backends,
    draw_scenario,
    one_prompt,
)


def lag1(values: np.ndarray) -> float:
    return float(np.corrcoef(values[:-1], values[1:])[0, 1])


@pytest.mark.parametrize(
    ("scenario", "share", "neighbours"),
    [(Scenario.IID, 0.0, None), (Scenario.MIX, 0.3, 0.0), (Scenario.STICKY, 0.5, 2 / 3)],
)
def test_the_second_backend_serves_its_share(
    scenario: Scenario, share: float, neighbours: float | None
) -> None:
    served_by = draw_backends(np.random.default_rng(1), scenario, 20_000)
    assert served_by.mean() == pytest.approx(share, abs=0.03)
    if neighbours is not None:
        assert lag1(served_by) == pytest.approx(neighbours, abs=0.03)


def test_a_diurnal_share_goes_up_and_down_with_the_hour_of_the_day() -> None:
    served_by = draw_backends(np.random.default_rng(2), Scenario.DIURNAL, DAY_HOURS * 500)
    by_hour = served_by.reshape(-1, DAY_HOURS).mean(axis=0)
    assert by_hour.max() == pytest.approx(0.95, abs=0.05)
    assert by_hour.min() == pytest.approx(0.05, abs=0.05)


@pytest.mark.parametrize("scenario", Scenario)
def test_every_scenario_gives_baseline_and_later_runs(scenario: Scenario) -> None:
    baseline, later = draw_scenario(np.random.default_rng(3), scenario, 30, 10)
    assert baseline.shape == (30, PROMPTS, SAMPLES)
    assert later.shape == (10, PROMPTS, SAMPLES)
    assert (baseline >= 0).all()


def test_the_same_seed_gives_the_same_answers() -> None:
    first, second = (draw_scenario(np.random.default_rng(4), Scenario.STICKY, 20, 20) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("scenario", [Scenario.IID, Scenario.MIX])
def test_drift_begins_where_it_was_asked_to(scenario: Scenario) -> None:
    def new_share(answers: np.ndarray, known: np.ndarray) -> float:
        # Answers above 800 never come back in any case.
        usual = [
            np.isin(answers[:, p], known[:, p])[answers[:, p] < 800].mean() for p in range(answers.shape[1])
        ]
        return 1.0 - float(np.mean(usual))

    baseline, later = draw_scenario(np.random.default_rng(5), scenario, 300, 400, all_prompts(0.5), 200)
    assert new_share(later[:200], baseline) < 0.1
    assert new_share(later[200:], baseline) > 0.2


def test_drift_of_one_prompt_is_in_the_same_prompt_of_both_backends() -> None:
    baseline, later = draw_scenario(np.random.default_rng(6), Scenario.MIX, 300, 300, one_prompt(1.0))
    same = [np.isin(later[:, p], baseline[:, p]).mean(axis=1) for p in range(PROMPTS)]
    moved = int(np.argmin([s.mean() for s in same]))
    assert same[moved].mean() < 0.5
    assert sorted(s.mean() for s in same)[1] > 0.5
