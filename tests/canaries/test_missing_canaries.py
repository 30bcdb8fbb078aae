"""A run that lacks a canary is not drift."""

import random

import pytest

from canaries.baseline import calibrate
from canaries.completion import Outcome
from canaries.features import AnswerFeatures, RunFeatures
from canaries.labels import Labeller
from canaries.scores import DIVERGENCE, VALIDATOR_FAILURES, FrozenScores, fit

CANARIES = [f"c{n}" for n in range(12)]
EXPECTED = dict.fromkeys(CANARIES, 1)
NEVER_MOVES = ("refusals", "unfinished")


def answer(canary: str, rng: random.Random) -> AnswerFeatures:
    words = {f"w{rng.randrange(30)}": 1 for _ in range(12)}
    return AnswerFeatures(
        canary, answer_hash=str(rng.random()), token_counts=words, bigram_counts={w + "+": 1 for w in words},
        length=len(words), finish_reason="stop", refused=canary == "c3", checks={"json": canary != "c5"},
    )  # fmt: skip


def run(n: int, *missing: str) -> RunFeatures:
    rng = random.Random(n)
    answers = [answer(canary, rng) for canary in CANARIES]
    failed = [AnswerFeatures(canary, outcome=Outcome.TIMEOUT) for canary in missing]
    return RunFeatures(f"r{n}", (*(a for a in answers if a.canary not in missing), *failed))


@pytest.fixture(scope="module")
def scores() -> FrozenScores:
    return fit([run(n) for n in range(24)], EXPECTED)


@pytest.mark.parametrize("missing", ["c0", "c3", "c11"])
@pytest.mark.parametrize("name", NEVER_MOVES)
def test_a_score_that_never_moved_does_not_move_when_a_canary_is_missing(
    scores: FrozenScores, name: str, missing: str
) -> None:
    usual = {
        value
        for value, _, _ in calibrate(scores, Labeller(), [run(n) for n in range(24, 40)], len, EXPECTED)[name]
    }
    assert {scores.score(run(50, missing))[name]} == usual


def test_what_is_measured_over_the_whole_run_is_left_out_of_one_that_is_not_whole(
    scores: FrozenScores,
) -> None:
    whole, partly = scores.score(run(50)), scores.score(run(50, "c0"))
    assert {DIVERGENCE, VALIDATOR_FAILURES} <= whole.keys()
    assert not {DIVERGENCE, VALIDATOR_FAILURES} & partly.keys()
    assert {"token_surprise", "suite_peak", "canary:c1"} <= partly.keys()
