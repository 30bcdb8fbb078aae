"""Baselines: how runs are split, what makes two runs comparable, and that what is frozen stays as it is."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus, freeze, retire, split
from canaries.completion import Outcome
from canaries.config import TargetConfig
from canaries.contract import Contract, contract_of, describe_change
from canaries.features import AnswerFeatures, RunFeatures
from canaries.suite import Canary, Expectations, Message, Suite

NOW = datetime(2026, 3, 2, 12, 0, 0, 123_457, tzinfo=UTC)


def canary(id: str, **changes: Any) -> Canary:
    parts = {"messages": (Message("user", f"Prompt of {id}"),), "parameters": {}, "samples": None}
    return Canary(**{"id": id, **parts, "expectations": Expectations(), **changes})


def suite(*canaries: Canary, **changes: Any) -> Suite:
    return Suite(
        **{"name": "support", "canaries": canaries, "scrub": (), "parameters": {}, "samples": None, **changes}
    )


def target(**changes: Any) -> TargetConfig:
    return TargetConfig(**{"model": "gpt-4o", "suite": "support.yaml", **changes})


def contract(**changes: Any) -> Contract:
    return contract_of(suite(canary("a"), canary("b")), target(**changes))


def runs(n: int, served: str = "m-1") -> list[RunFeatures]:
    def answer(run: int, id: str) -> AnswerFeatures:
        word = "yes" if run % 3 else f"no{run}"
        return AnswerFeatures(
            id, 0, Outcome.ANSWERED, f"#{word}", {word: 1, "thirds": 3}, length=1 + run % 2,
            checks={"json": True}, served_model=served, system_fingerprint="fp",
            first_top=(("yes", -run / 3), ("no", -7.1)),
        )  # fmt: skip

    return [RunFeatures(f"run-{n}", (answer(n, "a"), answer(n, "b"))) for n in range(n)]


def tie(run_id: str) -> float:
    return int(run_id.removeprefix("run-")) / 7


def collecting() -> Baseline:
    return Baseline("bot-1", "bot", "support", contract(), created_at=NOW)


# --- splitting


@pytest.mark.parametrize(
    ("n", "train", "calibration"),
    [
        (12, 6, 6),
        (16, 8, 8),
        (24, 8, 16),
        (40, 16, 24),
        (48, 24, 24),
        (49, 25, 24),
        (168, 84, 84),
        (672, 336, 336),
    ],
)
def test_runs_are_split_in_order_of_time(n: int, train: int, calibration: int) -> None:
    first, then = split(range(n + 5), n)
    assert (list(first), list(then)) == (list(range(train)), list(range(train, n)))
    assert len(then) == calibration


@pytest.mark.parametrize(
    ("there", "n"), [(100, 11), (39, 40)], ids=["too few to freeze", "fewer than asked for"]
)
def test_a_split_of_too_few_runs_is_refused(there: int, n: int) -> None:
    with pytest.raises(BaselineError, match=str(n)):
        split(range(there), n)


# --- what makes runs comparable

SAME: dict[str, Callable[[], Contract]] = {
    "the order of canaries": lambda: contract_of(suite(canary("b"), canary("a")), target()),
    "a schedule": lambda: contract(every="1h"),
    "streaming": lambda: contract(stream=False),
    "a key": lambda: contract(api_key="sk-other"),
    "a slash after the address": lambda: contract(base_url="https://api.openai.com/v1/"),
    "where one sample is asked for": lambda: contract(samples=1),
}

CHANGES: dict[str, tuple[Callable[[], Contract], str]] = {
    "model": (lambda: contract(model="gpt-5"), 'target.model: "gpt-4o" -> "gpt-5"'),
    "address": (
        lambda: contract(base_url="https://eu.example.com/v1"),
        'target.base_url: "https://api.openai.com/v1" -> "https://eu.example.com/v1"',
    ),
    "log-probabilities": (lambda: contract(logprobs=5), "target.logprobs: not set -> 5"),
    "seed": (lambda: contract(seed=7), "target.seed: not set -> 7"),
    "scrubbing": (
        lambda: contract_of(suite(canary("a"), canary("b"), scrub=("uuid",)), target()),
        'suite.scrub: [] -> ["uuid"]',
    ),
    "samples of the suite": (
        lambda: contract_of(suite(canary("a"), canary("b"), samples=2), target()),
        "canaries 'a', 'b': samples: 1 -> 2",
    ),
    "one prompt": (
        lambda: contract_of(suite(canary("a"), canary("b", messages=(Message("user", "Other"),))), target()),
        "canary 'b': messages changed",
    ),
    "an expectation": (
        lambda: contract_of(
            suite(canary("a"), canary("b", expectations=Expectations(max_length=9))), target()
        ),
        "canary 'b': expectations changed",
    ),
    "a parameter of all": (
        lambda: contract(parameters={"temperature": 0.7}),
        "canaries 'a', 'b': parameters.temperature: not set -> 0.7",
    ),
    "a canary more": (
        lambda: contract_of(suite(canary("a"), canary("b"), canary("c")), target()),
        "canary 'c': added",
    ),
    "a canary less": (lambda: contract_of(suite(canary("a")), target()), "canary 'b': removed"),
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME.keys())
def test_what_does_not_change_answers_does_not_change_the_contract(other: Callable[[], Contract]) -> None:
    assert other().hash == contract().hash
    assert describe_change(contract(), other()) == ()


@pytest.mark.parametrize(("other", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_changes_the_hash_and_is_told_in_words(other: Callable[[], Contract], words: str) -> None:
    assert other().hash != contract().hash
    assert describe_change(contract(), other()) == (words,)


def test_it_does_not_matter_who_sets_a_parameter() -> None:
    hot = {"temperature": 1.0}
    by_target = contract(parameters=hot)
    by_suite = contract_of(
        suite(canary("a"), canary("b"), parameters=hot), target(parameters={"temperature": 0})
    )
    by_canary = contract_of(suite(canary("a", parameters=hot), canary("b", parameters=hot)), target())
    assert by_target.hash == by_suite.hash == by_canary.hash


def test_a_change_of_many_canaries_is_one_sentence() -> None:
    def many(n: int, system: str) -> Contract:
        canaries = [
            canary(f"c{i}", messages=(Message("system", system if i < n else "x"),)) for i in range(9)
        ]
        return contract_of(suite(*canaries), target())

    assert describe_change(many(9, "x"), many(9, "y")) == ("all 9 canaries: messages changed",)
    assert describe_change(many(5, "x"), many(5, "y")) == (
        "canaries 'c0', 'c1', 'c2' and 2 more: messages changed",
    )


def test_a_contract_holds_no_prompt_and_no_long_value() -> None:
    long = "a secret instruction, which is longer than a setting ever is: " + "x" * 20
    secret = suite(
        canary("a", messages=(Message("user", "my secret prompt"),), parameters={"grammar": long}),
        canary("b", expectations=Expectations(matches=("my secret answer",))),
    )
    assert "secret" not in contract_of(secret, target(api_key="sk-secret")).to_json()


def test_a_long_value_is_said_to_have_changed_and_not_shown() -> None:
    one, other = contract(parameters={"stop": "x" * 70}), contract(parameters={"stop": "y" * 70})
    assert describe_change(one, other) == ("canaries 'a', 'b': parameters.stop changed",)
    assert describe_change(contract(), other) == ("canaries 'a', 'b': parameters.stop added",)


def test_a_contract_survives_json() -> None:
    full = contract(parameters={"temperature": 0.1, "stop": ["a"]}, seed=3)
    assert Contract.from_json(full.to_json()) == full
    assert full.expected_samples() == {"a": 1, "b": 1}


# --- freezing


def test_freezing_keeps_what_later_runs_are_compared_with() -> None:
    frozen = freeze(collecting(), runs(40), tie, NOW)
    assert frozen.status is BaselineStatus.FROZEN
    assert frozen.frozen_at == NOW
    assert frozen.train_ids == tuple(f"run-{n}" for n in range(16))
    assert frozen.calibration_ids == tuple(f"run-{n}" for n in range(16, 40))
    assert frozen.scores is not None
    assert frozen.calibration.keys() == set(frozen.scores.names())
    assert frozen.calibration["length"][0] == (
        frozen.scores.score(runs(40)[16])["length"],
        tie("run-16"),
        "",
    )
    assert (frozen.known_models, frozen.known_fingerprints) == (("m-1",), ("fp",))
    assert frozen.never_failed == ("a/json", "b/json")


def test_scores_are_fitted_on_the_train_runs_only() -> None:
    first, later = runs(20)[:8], runs(20)[8:]
    other = [replace(run, answers=tuple(replace(a, answer_hash="#x") for a in run.answers)) for run in later]
    one, two = (
        freeze(collecting(), [*first, *later], tie, NOW),
        freeze(collecting(), [*first, *other], tie, NOW),
    )
    assert one.scores == two.scores
    assert one.calibration != two.calibration


def test_a_run_without_an_answer_to_a_canary_leaves_a_gap_in_its_calibration_only() -> None:
    partial = [
        *runs(19),
        RunFeatures("run-19", (runs(1)[0].answers[0], AnswerFeatures("b", outcome=Outcome.TIMEOUT))),
    ]
    calibration = freeze(collecting(), partial, tie, NOW).calibration
    assert len(calibration["canary:a"]) == 12
    assert len(calibration["canary:b"]) == len(calibration["length"]) == 11


def test_a_frozen_baseline_survives_json_to_the_last_bit() -> None:
    frozen = freeze(collecting(), runs(40), tie, NOW)
    again = Baseline.from_json(frozen.to_json())
    assert again == frozen
    assert again.to_json() == frozen.to_json()
    assert again.scores is not None
    assert frozen.scores is not None
    assert again.scores.score(runs(60)[50]) == frozen.scores.score(runs(60)[50])


def test_a_collecting_baseline_survives_json() -> None:
    assert Baseline.from_json(collecting().to_json()) == collecting()


def test_only_a_collecting_baseline_with_enough_runs_can_be_frozen() -> None:
    frozen = freeze(collecting(), runs(12), tie, NOW)
    with pytest.raises(BaselineError, match="bot-1 is frozen"):
        freeze(frozen, runs(12), tie, NOW)
    with pytest.raises(BaselineError, match="at least 12 runs, not 11"):
        freeze(collecting(), runs(11), tie, NOW)


def test_a_baseline_is_retired_once() -> None:
    retired = retire(collecting(), NOW + timedelta(days=1))
    assert (retired.status, retired.retired_at) == (BaselineStatus.RETIRED, NOW + timedelta(days=1))
    with pytest.raises(BaselineError, match="retired already"):
        retire(retired, NOW)


def test_a_baseline_of_another_version_is_read_without_the_scores_that_nobody_can_read() -> None:
    frozen = freeze(collecting(), runs(40), tie, NOW)
    plain = json.loads(frozen.to_json())
    plain["contract"]["shared"]["anchorwatch.features"] = 1
    plain["scores"] = {"vocabulary": {}}
    old = Baseline.from_json(json.dumps(plain))
    assert (old.id, old.status, old.scores, dict(old.calibration)) == (
        frozen.id,
        BaselineStatus.FROZEN,
        None,
        {},
    )
    assert describe_change(old.contract, frozen.contract) == ("anchorwatch.features: 1 -> 2",)


def test_calibration_runs_are_scored_as_a_baseline_that_was_read_again_scores_later_ones() -> None:
    """A label that is now and then a sentence, beside texts: its white space is no layout of its own."""

    def run(n: int) -> RunFeatures:
        gaps = {" ": 3} if n % 3 == 0 else {}
        label = AnswerFeatures(
            "a", answer_hash=f"{n % 3}", token_counts={"yes": 1}, gap_counts=gaps, length=1
        )
        words = {f"w{(n + i) % 9}": 1 for i in range(5)}
        text = AnswerFeatures(
            "b", answer_hash=f"{n}", token_counts=words, gap_counts={"\n": 1 + n % 2}, length=5
        )
        return RunFeatures(f"run-{n}", (label, text))

    stored = [run(n) for n in range(40)]
    frozen = freeze(collecting(), stored, tie, NOW)
    again = Baseline.from_json(frozen.to_json())
    for name, values in frozen.calibration.items():
        assert [value for value, _, _ in values] == [again.score(one)[name] for one in stored[16:]]
