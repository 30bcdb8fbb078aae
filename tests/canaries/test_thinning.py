"""Runs with fewer samples than usual, and what they are ranked against."""

import pytest

from canaries.baseline import calibrate
from canaries.completion import Outcome
from canaries.features import AnswerFeatures, RunFeatures
from canaries.labels import Labeller
from canaries.scores import fit
from canaries.thinning import is_thinned, levels, samples_asked, thinned, thinned_label

EXPECTED = {"a": 4, "b": 1}


def run(n: int, samples: int = 4) -> RunFeatures:
    answers = [
        AnswerFeatures("a", i, answer_hash=f"{(n + i) % 3}", token_counts={"w": 1}) for i in range(samples)
    ]
    return RunFeatures(
        f"run-{n}", (*answers, AnswerFeatures("b", 0, answer_hash="yes", token_counts={"w": 1}))
    )


@pytest.mark.parametrize(("most", "expected"), [(1, ()), (2, (1,)), (4, (2, 1)), (5, (2, 1)), (9, (4, 2, 1))])
def test_a_run_is_thinned_by_halves_down_to_one_sample(most, expected):
    assert levels({"a": most, "b": 1}) == expected


def test_a_thinned_run_keeps_the_first_samples_of_each_canary():
    few = thinned(run(0), 2)
    assert [(a.canary, a.sample) for a in few.answers] == [("a", 0), ("a", 1), ("b", 0)]
    assert samples_asked(few, EXPECTED) == 2
    assert few.run_id == "run-0"


def test_a_sample_that_failed_was_asked_for():
    failed = RunFeatures("run", (AnswerFeatures("a", 3, Outcome.TIMEOUT),))
    assert samples_asked(failed, EXPECTED) == 4
    assert samples_asked(RunFeatures("run", ()), EXPECTED) == 0


def test_the_label_tells_that_a_run_was_thinned():
    assert thinned_label("", 2) == "samples=2"
    assert is_thinned(thinned_label("night", 1))
    assert not is_thinned("night")


def test_calibration_runs_are_there_at_every_number_of_samples():
    scores = fit([run(n) for n in range(12)], EXPECTED)
    later = [run(n) for n in range(12, 20)]
    found = calibrate(scores, Labeller(), later, lambda _: 0.5, EXPECTED)["canary:a"]
    assert len(found) == 3 * len(later)
    thin = [value for value, _, label in found if label == "samples=1"]
    assert thin == [scores.score(thinned(one, 1))["canary:a"] for one in later]


def test_a_calibration_run_that_was_thin_itself_stands_there_as_such():
    scores = fit([run(n) for n in range(12)], EXPECTED)
    found = calibrate(scores, Labeller(), [run(12, samples=2)], lambda _: 0.5, EXPECTED)["canary:a"]
    assert [label for _, _, label in found] == ["samples=2", "samples=1"]
    lacking = calibrate(scores, Labeller(), [run(12, samples=3)], lambda _: 0.5, EXPECTED)["canary:a"]
    assert [label for _, _, label in lacking] == ["", "samples=2", "samples=1"]
