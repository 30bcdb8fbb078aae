"""The benchmarks measure what they say; their figures are made by hand, as they take minutes."""

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from alerts.evidence import Budgets
from benchmarks import peers
from benchmarks.detection_delay import BH, delays
from benchmarks.false_pages import ANY, FORGETFUL, LEDGER, quarter
from benchmarks.recovery import steady_by
from benchmarks.streams import all_prompts, draw_endpoint, draw_runs, sharpened


def test_a_quarter_without_change_pages_seldom_where_single_looks_page_all_the_time() -> None:
    counts = quarter(seed=0, budgets=Budgets(pages_per_quarter=1.0))
    assert counts[LEDGER] <= 3
    assert counts[FORGETFUL] > counts[LEDGER]
    assert counts[ANY] > 500


def test_a_fifth_of_the_answers_changing_pages_within_four_runs() -> None:
    found = delays(seed=1, drift=all_prompts(0.2))
    assert max(found.values()) <= 4


def test_sharpening_is_found_by_the_ledger_and_by_no_one_sided_test() -> None:
    found = delays(seed=1, drift=sharpened(1.5))
    assert found.pop(BH) > 100
    assert max(found.values()) <= 6


def test_the_peers_p_values_are_honest_at_one_look() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(10):
        endpoint = draw_endpoint(rng)
        p = peers.p_values(rng, draw_runs(rng, endpoint, 168), draw_runs(rng, endpoint, 100))
        shares.append((p < 0.05).mean())
    assert 0.02 < np.mean(shares) < 0.055


def test_benjamini_hochberg_finds_what_its_definition_says() -> None:
    p = np.array([[0.02, 0.02, 0.9, 0.9], [0.02, 0.9, 0.9, 0.9], [0.05, 0.05, 0.05, 0.05], [0.0125, 1, 1, 1]])
    assert peers.benjamini_hochberg(p).tolist() == [True, False, True, True]


def test_the_chance_of_recovery_is_that_of_simulated_runs() -> None:
    exact = [chance for chance, _ in zip(steady_by(6, 2, beyond_share=0.5), range(12), strict=False)]
    rng = np.random.default_rng(2)
    runs = rng.normal(0.6745, size=(20_000, 12))
    by_12 = np.zeros(len(runs), dtype=bool)
    for end in range(6, 13):
        window = runs[:, end - 6 : end]
        high, low = (window > 0.6745).sum(axis=1), (window < -0.6745).sum(axis=1)
        by_12 |= (high <= 2) & (low <= 2) & (np.abs(window[:, -1]) < 1.6449)
    assert exact[4] == 0.0
    assert exact[11] == pytest.approx(by_12.mean(), abs=0.015)
