"""How alike the answers of one run are, against known answers."""

import numpy as np
import pytest

from canaries.dispersion import dispersions
from canaries.features import AnswerFeatures, RunFeatures


def runs(rows: list[list[str]]) -> list[RunFeatures]:
    return [
        RunFeatures(str(i), tuple(AnswerFeatures("c", s, answer_hash=a) for s, a in enumerate(row)))
        for i, row in enumerate(rows)
    ]


def test_independent_samples_are_not_dispersed() -> None:
    rng = np.random.default_rng(1)
    found = dispersions(runs([list(rng.choice(["yes", "no"], size=4)) for _ in range(400)]))["c"]
    assert found.chi2_per_df == pytest.approx(1.0, abs=0.25)
    assert found.intra_run == pytest.approx(0.0, abs=0.08)


def test_samples_that_repeat_within_a_run_are_fully_correlated() -> None:
    rng = np.random.default_rng(2)
    found = dispersions(runs([[str(rng.choice(["yes", "no"]))] * 4 for _ in range(400)]))["c"]
    assert found.chi2_per_df == pytest.approx(4.0, abs=0.1)
    assert found.intra_run == pytest.approx(1.0, abs=0.03)


def test_a_known_table_gives_its_chi_square() -> None:
    # Three runs of yes and three of no, two answers each: chi-square 12 (each cell is 1 expected, 1 off) on 5.
    found = dispersions(runs([["yes", "yes"]] * 3 + [["no", "no"]] * 3))["c"]
    assert found.chi2_per_df == pytest.approx(12 / 5)
    assert found.intra_run == 1.0


@pytest.mark.parametrize(
    "rows",
    [[], [["yes"]] * 50, [["yes", "yes"]] * 50, [[f"{i}", f"{i}b"] for i in range(50)]],
    ids=["no runs", "one sample", "one answer", "texts"],
)
def test_nothing_is_said_where_nothing_can_be(rows: list[list[str]]) -> None:
    assert dispersions(runs(rows)) == {}
