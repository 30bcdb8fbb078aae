"""Proofs: found at once, held as long as they are true, and silent when a run tells nothing."""

import pytest

from canaries.completion import Outcome
from canaries.features import AnswerFeatures, RunFeatures
from canaries.proofs import Judgement, Loudness, Proof, judge
from canaries.reference import KNOWN_VALUES_MAX, ProofHistory, Reference

DOWN_AFTER = 3


def run(
    *,
    models: tuple[str | None, ...] = ("m-1",),
    fingerprints: tuple[str | None, ...] = ("fp-1",),
    passed: tuple[bool, ...] | None = None,
    check: str = "json",
) -> RunFeatures:
    """A run with a sample for each model, fingerprint and check given; shorter lists repeat their last value."""
    n = max(len(models), len(fingerprints), len(passed or ()))

    def at(values: tuple[str | None, ...], i: int) -> str | None:
        return values[min(i, len(values) - 1)]

    answers = [
        AnswerFeatures(
            "order",
            i,
            served_model=at(models, i),
            system_fingerprint=at(fingerprints, i),
            checks={check: passed[min(i, len(passed) - 1)]} if passed else {},
        )
        for i in range(n)
    ]
    return RunFeatures("run", tuple(answers))


def failed(*outcomes: Outcome) -> RunFeatures:
    return RunFeatures(
        "run", tuple(AnswerFeatures("order", i, outcome) for i, outcome in enumerate(outcomes))
    )


def after(*runs: RunFeatures, history: ProofHistory | None = None) -> ProofHistory:
    history = history or ProofHistory()
    for each in runs:
        history = judge(each, history, None, DOWN_AFTER).history
    return history


def look(each: RunFeatures, history: ProofHistory, frozen: Reference | None = None) -> Judgement:
    return judge(each, history, frozen, DOWN_AFTER)


def of(judgement: Judgement, key: str) -> Proof | None:
    return next((proof for proof in judgement.proofs if proof.key == key), None)


def is_breached(judgement: Judgement, key: str) -> bool | None:
    proof = of(judgement, key)
    return proof.is_breached if proof else None


def reference(*runs: RunFeatures) -> Reference:
    learned = Reference()
    for each in runs:
        learned = learned.learn(each)
    return learned


# --- served model


def test_the_first_served_model_is_the_known_one() -> None:
    assert is_breached(look(run(models=("gpt-4o-2024-08-06",)), ProofHistory()), "served_model") is False


@pytest.mark.parametrize("models", [("m-2",), ("m-1", "m-2")], ids=["all answers", "one answer"])
def test_a_served_model_never_seen_is_a_page_from_the_second_run_on(models: tuple[str, ...]) -> None:
    proof = of(look(run(models=models), after(run())), "served_model")
    assert proof is not None
    assert proof.is_breached
    assert proof.severity_hint is Loudness.PAGE
    assert "m-2" in proof.summary
    assert ("served before", "m-1") in proof.evidence


def test_while_collecting_a_new_model_restarts_the_collection_and_is_known_from_then_on() -> None:
    judgement = look(run(models=("m-2",)), after(run(), run()))
    assert judgement.restarts_collection
    assert judgement.history.reference.runs == 0
    for back_and_forth in ("m-2", "m-1"):
        later = look(run(models=(back_and_forth,)), judgement.history)
        assert is_breached(later, "served_model") is False
        assert not later.restarts_collection


def test_against_a_frozen_baseline_a_new_model_stays_a_page_until_it_is_gone() -> None:
    frozen, history = reference(run()), ProofHistory()
    for _ in range(3):
        judgement = look(run(models=("m-2",)), history, frozen)
        assert is_breached(judgement, "served_model") is True
        assert not judgement.restarts_collection
        history = judgement.history
    assert is_breached(look(run(), history, frozen), "served_model") is False


def test_what_is_not_reported_tells_nothing() -> None:
    silent = run(models=(None,), fingerprints=(None,))
    judgement = look(silent, ProofHistory(), reference(run()))
    assert of(judgement, "served_model") is None
    assert of(judgement, "fingerprint") is None


def test_an_endpoint_that_only_now_names_its_model_has_not_changed_it() -> None:
    assert is_breached(look(run(), ProofHistory(), reference(run(models=(None,)))), "served_model") is False


# --- fingerprint

STEADY = (run(), run(), run())


@pytest.mark.parametrize(
    ("before", "now", "loudness"),
    [
        pytest.param(STEADY, ("fp-2",), Loudness.PAGE, id="replaced after three steady runs"),
        pytest.param(STEADY[:2], ("fp-2",), Loudness.TICKET, id="replaced after two runs"),
        pytest.param(STEADY, ("fp-1", "fp-2"), Loudness.TICKET, id="new beside a known one"),
        pytest.param(
            (*STEADY, *STEADY, run(fingerprints=("fp-0",)), run(), run()),
            ("fp-2",), Loudness.TICKET, id="another one was new two runs ago",
        ),
        pytest.param(
            (*STEADY, run(fingerprints=("fp-0",)), run(), run(), run()),
            ("fp-2",), Loudness.PAGE, id="another one was new three runs ago",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
def test_a_new_fingerprint_is_as_loud_as_it_is_certain(
    before: tuple[RunFeatures, ...], now: tuple[str, ...], loudness: Loudness, is_frozen: bool
) -> None:
    frozen = reference(*before) if is_frozen else None
    proof = of(look(run(fingerprints=now), after(*before), frozen), "fingerprint")
    assert proof is not None
    assert proof.is_breached
    assert proof.severity_hint is loudness
    assert not proof.restarts_collection


def test_known_fingerprints_may_come_and_go() -> None:
    before = after(*STEADY, run(fingerprints=("fp-2",)), *STEADY)
    assert is_breached(look(run(fingerprints=("fp-2",)), before), "fingerprint") is False


def test_fingerprints_that_change_with_every_run_tell_nothing() -> None:
    history = after(*(run(fingerprints=(f"fp-{n}",)) for n in range(6)))
    assert is_breached(look(run(fingerprints=("fp-new",)), history), "fingerprint") is False


def test_the_values_that_are_remembered_have_a_bound() -> None:
    many = tuple(f"v{n}" for n in range(KNOWN_VALUES_MAX + 50))
    history = after(run(models=many, fingerprints=many))
    assert len(history.reference.models) == len(history.reference.fingerprints) == KNOWN_VALUES_MAX
    judgement = look(run(models=("new",), fingerprints=("new",)), history)
    assert is_breached(judgement, "served_model") is False
    assert is_breached(judgement, "fingerprint") is False


# --- endpoint down


def test_an_endpoint_is_down_after_so_many_runs_without_any_answer_and_up_with_the_first() -> None:
    history, seen = after(run()), []
    for each in (failed(Outcome.TIMEOUT), failed(Outcome.SERVER), failed(Outcome.CONNECTION), run()):
        judgement = look(each, history)
        seen.append(is_breached(judgement, "endpoint_down"))
        history = judgement.history
    assert seen == [False, False, True, False]


def test_runs_with_some_answers_are_not_down() -> None:
    partly = RunFeatures("run", (*run().answers, *failed(Outcome.TIMEOUT, Outcome.TIMEOUT).answers[1:]))
    assert after(failed(Outcome.TIMEOUT), failed(Outcome.TIMEOUT), partly).down_runs == 0


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ((Outcome.AUTH, Outcome.AUTH), "refuses our credentials"),
        ((Outcome.RATE_LIMIT, Outcome.RATE_LIMIT), "rate limit"),
        ((Outcome.AUTH, Outcome.TIMEOUT), "does not answer"),
    ],
    ids=["credentials", "rate limit", "several"],
)
def test_the_reason_why_nothing_answers_is_told(outcomes: tuple[Outcome, ...], words: str) -> None:
    history = after(failed(*outcomes), failed(*outcomes))
    proof = of(look(failed(*outcomes), history), "endpoint_down")
    assert proof is not None
    assert words in proof.summary
    assert proof.evidence[0] == ("runs without an answer", "3")
    assert {name for name, _ in proof.evidence[1:]} == {f"{o.value} in the last run" for o in outcomes}


def test_a_run_without_answers_says_nothing_about_anything_else() -> None:
    judgement = look(failed(Outcome.TIMEOUT), after(*STEADY), reference(*STEADY))
    assert [proof.key for proof in judgement.proofs] == ["endpoint_down"]


def test_a_run_that_asked_nothing_proves_nothing() -> None:
    history = after(failed(Outcome.TIMEOUT))
    assert look(RunFeatures("run", ()), history) == Judgement((), history)


# --- validators

EIGHT = tuple(run(passed=(True, True)) for _ in range(8))
KEY = "validator/order/json"


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
def test_a_check_that_never_failed_and_now_fails_in_every_sample_is_a_page_until_it_passes(
    is_frozen: bool,
) -> None:
    frozen = reference(*EIGHT) if is_frozen else None
    history, seen = after(*EIGHT), []
    for passed in ((False, False), (False, False), (True, False), (True, True)):
        judgement = look(run(passed=passed), history, frozen)
        seen.append(is_breached(judgement, KEY))
        history = judgement.history
    assert seen == [True, True, False, False]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(EIGHT, (True, False), id="one sample still passes"),
        pytest.param(EIGHT[:7], (False, False), id="known from seven runs only"),
        pytest.param((*EIGHT, run(passed=(True, False))), (False, False), id="it failed once before"),
        pytest.param((), (False, False), id="never seen before"),
    ],
)
@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
def test_a_failing_check_is_no_proof(
    before: tuple[RunFeatures, ...], now: tuple[bool, ...], is_frozen: bool
) -> None:
    frozen = reference(*before) if is_frozen else None
    assert is_breached(look(run(passed=now), after(*before), frozen), KEY) is False


def test_a_single_failing_sample_is_confirmed_by_the_next_run() -> None:
    frozen, history, seen = reference(*EIGHT), ProofHistory(), []
    for passed in (False, True, False, False, False):
        judgement = look(run(passed=(passed,)), history, frozen)
        seen.append(is_breached(judgement, KEY))
        history = judgement.history
    assert seen == [False, False, False, True, True]


def test_single_failing_samples_of_two_canaries_confirm_each_other() -> None:
    def both(passed: bool) -> RunFeatures:
        return RunFeatures(
            "run", tuple(AnswerFeatures(c, checks={"json": passed}) for c in ("order", "label"))
        )

    judgement = look(both(False), ProofHistory(), reference(*(both(True) for _ in range(8))))
    assert [proof.key for proof in judgement.proofs if proof.is_breached] == [KEY, "validator/label/json"]


def test_two_checks_that_one_sample_breaks_do_not_confirm_each_other() -> None:
    def answer(passed: bool) -> RunFeatures:
        return RunFeatures("run", (AnswerFeatures("order", checks={"json": passed, "json_schema": passed}),))

    judgement = look(answer(False), ProofHistory(), reference(*(answer(True) for _ in range(8))))
    assert not any(proof.is_breached for proof in judgement.proofs)


def test_a_run_without_the_canary_leaves_its_check_as_it_was() -> None:
    frozen = reference(*EIGHT)
    broken = look(run(passed=(False, False)), ProofHistory(), frozen)
    other = RunFeatures("run", (AnswerFeatures("other"), AnswerFeatures("order", outcome=Outcome.TIMEOUT)))
    between = look(other, broken.history, frozen)
    assert of(between, KEY) is None
    assert is_breached(look(run(passed=(False,)), between.history, frozen), KEY) is True


def test_a_check_that_failed_while_collecting_is_not_one_that_never_fails() -> None:
    history = after(*EIGHT, run(passed=(False, False)), *EIGHT)
    assert history.reference.never_failed == ()


# --- the history


def test_a_history_survives_json() -> None:
    history = after(*EIGHT, run(fingerprints=("fp-2",), passed=(False, False)), failed(Outcome.SERVER))
    assert history.failing
    assert history.down_runs == 1
    assert ProofHistory.from_json(history.to_json()) == history


def test_a_reference_survives_json() -> None:
    learned = reference(*EIGHT, run(passed=(False,)))
    assert Reference.from_plain(learned.to_plain()) == learned


def test_judging_is_a_function_of_its_arguments() -> None:
    history = after(*EIGHT)
    assert look(run(passed=(False, False)), history) == look(run(passed=(False, False)), history)
