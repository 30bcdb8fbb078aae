"""Proofs: found soon, held until several runs were clean, and rarely wrong when nothing changes."""

from dataclasses import replace

import orjson
import pytest

from canaries.completion import Outcome
from canaries.features import AnswerFeatures, RunFeatures
from canaries.looks import (
    CONFIRMING_RUNS,
    MIXED_REPLACED_RUNS,
    PAGE_CHANCE,
    RETURN_RUNS,
    TICKET_CHANCE,
    chance_unnoticed,
)
from canaries.proofs import ANSWERED_RUNS, CLEAN_RUNS, Judgement, Loudness, Proof, judge, judge_answering
from canaries.reference import KNOWN_VALUES_MAX, PASSING_RUNS_MIN, ProofHistory, Reference

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


def told(
    key: str, *runs: RunFeatures, history: ProofHistory | None = None, frozen: Reference | None = None
) -> list[str]:
    """What is told of ``key`` by each run in turn: page, ticket, or - for nothing."""
    history, said = history or ProofHistory(), []
    for each in runs:
        judgement = judge(each, history, frozen, DOWN_AFTER)
        proof, history = of(judgement, key), judgement.history
        said.append(proof.severity_hint.value if proof and proof.is_breached else "-")
    return said


def reference(*runs: RunFeatures) -> Reference:
    learned = Reference()
    for each in runs:
        learned = learned.learn(each)
    return learned


# --- served model

OTHER, MIXED = run(models=("m-2",)), run(models=("m-1", "m-2"))
IN_A_ROW = CLEAN_RUNS - 1
"""So many clean runs do not end a proof yet."""


def test_the_first_served_model_is_the_known_one() -> None:
    assert told("served_model", run(models=("gpt-4o-2024-08-06",)), run(models=("gpt-4o-2024-08-06",))) == [
        "-",
        "-",
    ]


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
@pytest.mark.parametrize(
    ("now", "loudness", "words"),
    [
        pytest.param(("m-2",), Loudness.PAGE, "no known one answers", id="replaced"),
        pytest.param(("m-2", None), Loudness.PAGE, "no known one answers", id="replaced, where it is named"),
        pytest.param(("m-1", "m-2"), Loudness.TICKET, "beside known ones", id="beside the known one"),
    ],
)
def test_a_new_model_is_a_page_when_no_known_one_answers_and_a_ticket_beside_one(
    now: tuple[str | None, ...], loudness: Loudness, words: str, is_frozen: bool
) -> None:
    frozen = reference(run()) if is_frozen else None
    proof = of(look(run(models=now), after(run()), frozen), "served_model")
    assert proof is not None
    assert proof.is_breached
    assert proof.severity_hint is loudness
    assert "m-2" in proof.summary
    assert words in proof.summary
    assert ("served before", "m-1") in proof.evidence


def test_while_collecting_a_new_model_restarts_the_collection_and_is_known_from_then_on() -> None:
    judgement = look(OTHER, after(run(), run()))
    assert judgement.restarts_collection
    assert judgement.history.reference.runs == 0
    clean = [run(models=(name,)) for name in ("m-2", "m-1", "m-2", "m-2", "m-1", "m-2")]
    assert told("served_model", *clean, history=judgement.history) == [*["page"] * IN_A_ROW, "-"]
    assert not look(clean[0], judgement.history).restarts_collection


def test_while_collecting_a_model_beside_the_known_one_restarts_nothing() -> None:
    assert not look(MIXED, after(run(), run())).restarts_collection


def test_a_restarted_collection_does_not_hold_the_new_model_to_the_checks_of_the_old_one() -> None:
    broken = run(passed=(False,) * 12)
    history = after(*EIGHT, broken)
    assert KEY in history.held
    swapped = look(run(models=("m-2",), passed=(False,) * 12), history).history
    assert swapped.held.keys() == {"served_model"}
    assert told(KEY, broken, history=swapped) == ["-"]


def test_against_a_frozen_baseline_a_new_model_stays_a_page_until_it_is_gone() -> None:
    runs = [OTHER] * 3 + [run()] * CLEAN_RUNS
    judgement = look(OTHER, ProofHistory(), reference(run()))
    assert not judgement.restarts_collection
    assert told("served_model", *runs, frozen=reference(run())) == ["page"] * (3 + IN_A_ROW) + ["-"]


def test_a_model_that_replaces_the_known_ones_after_it_was_seen_beside_them_is_a_page() -> None:
    said = told("served_model", *[MIXED] * 3, *[OTHER] * MIXED_REPLACED_RUNS, frozen=reference(run()))
    assert said == ["ticket"] * (3 + MIXED_REPLACED_RUNS - 1) + ["page"]


def test_people_are_told_once_of_a_model_that_comes_and_goes_beside_known_ones() -> None:
    quiet = [run()] * CLEAN_RUNS
    said = told("served_model", MIXED, *quiet, MIXED, *quiet, MIXED, frozen=reference(run()))
    assert said == ["ticket"] * CLEAN_RUNS + ["-"] * (CLEAN_RUNS + 3)


def test_a_model_that_was_a_page_and_went_is_one_again_when_it_stays() -> None:
    gone = after_frozen(OTHER, *[run()] * CLEAN_RUNS)
    said = told("served_model", *[OTHER] * RETURN_RUNS, history=gone, frozen=reference(run()))
    assert said == ["-"] * (RETURN_RUNS - 1) + ["page"]


def test_a_third_model_is_a_page_although_people_were_told_of_the_second() -> None:
    gone = after_frozen(OTHER, *[run()] * CLEAN_RUNS)
    assert told("served_model", run(models=("m-3",)), history=gone, frozen=reference(run())) == ["page"]


def after_frozen(*runs: RunFeatures, frozen: Reference | None = None) -> ProofHistory:
    """The history of runs against a frozen reference: by default, of one run of the usual model."""
    history = ProofHistory()
    for each in runs:
        history = look(each, history, frozen or reference(run())).history
    return history


def test_what_is_not_reported_tells_nothing() -> None:
    silent = run(models=(None,), fingerprints=(None,))
    judgement = look(silent, ProofHistory(), reference(run()))
    assert of(judgement, "served_model") is None
    assert of(judgement, "fingerprint") is None


def test_an_endpoint_that_only_now_names_its_model_has_not_changed_it() -> None:
    assert is_breached(look(run(), ProofHistory(), reference(run(models=(None,)))), "served_model") is False


# --- fingerprint


def fp(*names: str) -> RunFeatures:
    return run(fingerprints=names or ("fp-1",))


STEADY = (run(),) * 60
NEW = fp("fp-2")


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        pytest.param(STEADY, [NEW] * 3, ["ticket", "ticket", "page"], id="replaced for three runs"),
        pytest.param(STEADY, [NEW, NEW, fp()], ["ticket"] * 3, id="replaced for two runs only"),
        pytest.param(
            STEADY, [NEW, fp(), NEW, NEW, NEW], ["ticket"] * 5, id="a known one between: no news any more"
        ),
        pytest.param(STEADY, [fp("fp-1", "fp-2")] * 4, ["ticket"] * 4, id="beside a known one"),
        pytest.param(STEADY[:24], [NEW] * 4, ["ticket"] * 4, id="24 runs before: four may be chance"),
        pytest.param(STEADY[:1], [NEW], ["ticket"], id="from the second run on"),
        pytest.param(
            (*STEADY, fp("fp-1", "fp-0"), *STEADY[:24]),
            [NEW] * 4,
            ["ticket"] * 4,
            id="another one was new 24 runs ago",
        ),
    ],
)
def test_a_new_fingerprint_is_a_ticket_and_a_page_when_it_surely_replaced_the_known_ones(
    before: tuple[RunFeatures, ...], now: list[RunFeatures], said: list[str], is_frozen: bool
) -> None:
    frozen = reference(*before) if is_frozen else None
    assert told("fingerprint", *now, history=after(*before), frozen=frozen) == said


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        pytest.param(24, [NEW] * 5, ["ticket"] * 4 + ["page"], id="24 runs before: five are not chance"),
        pytest.param(
            60, [NEW, fp("fp-3", "fp-2"), fp("fp-4")], ["ticket", "ticket", "page"], id="several new ones"
        ),
    ],
)
def test_against_a_frozen_baseline_nothing_but_new_fingerprints_is_a_page(
    before: int, now: list[RunFeatures], said: list[str]
) -> None:
    assert told("fingerprint", *now, frozen=reference(*[fp()] * before)) == said


def test_while_few_runs_are_collected_a_second_new_fingerprint_tells_nothing() -> None:
    assert told("fingerprint", NEW, fp("fp-3"), history=after(*[fp()] * 24))[0] == "ticket"
    learned = after(*[fp()] * 24, NEW, *[fp()] * CLEAN_RUNS)
    assert told("fingerprint", fp("fp-3"), history=learned) == ["-"]


def test_a_page_needs_as_many_runs_as_chance_does_not_bring() -> None:
    assert chance_unnoticed(24, 4) > PAGE_CHANCE >= chance_unnoticed(24, 5)


def test_a_replaced_fingerprint_stays_a_page_against_a_frozen_baseline() -> None:
    frozen = reference(*STEADY)
    assert told("fingerprint", *[NEW] * 30, frozen=frozen)[2:] == ["page"] * 28


def test_while_collecting_a_replaced_fingerprint_is_known_and_its_page_ends() -> None:
    said = told("fingerprint", *[NEW] * (3 + CLEAN_RUNS + 20), history=after(*STEADY))
    assert said == [*["ticket"] * 2, *["page"] * CLEAN_RUNS, *["-"] * 21]


def test_people_are_told_once_of_a_fingerprint_that_comes_and_goes() -> None:
    quiet = [fp()] * CLEAN_RUNS
    said = told("fingerprint", NEW, *quiet, NEW, *quiet, NEW, frozen=reference(*STEADY))
    assert said == ["ticket"] * CLEAN_RUNS + ["-"] * (CLEAN_RUNS + 3)


def test_runs_without_news_since_the_baseline_was_frozen_count_as_steady() -> None:
    frozen = reference(*STEADY[:24])
    said = told("fingerprint", *[NEW] * 3, history=after_frozen(*STEADY, frozen=frozen), frozen=frozen)
    assert said == ["ticket", "ticket", "page"]


def test_known_fingerprints_may_come_and_go() -> None:
    before = after(*STEADY, NEW, *STEADY)
    assert told("fingerprint", NEW, NEW, NEW, fp(), history=before) == ["-"] * 4


@pytest.mark.parametrize(
    ("runs_before", "said"), [(33, "-"), (34, "ticket")], ids=["too common", "just rare enough"]
)
def test_where_new_fingerprints_are_common_they_tell_nothing(runs_before: int, said: str) -> None:
    before = (fp(), fp("fp-0"), *[fp()] * (runs_before - 2))
    assert told("fingerprint", NEW, frozen=reference(*before)) == [said]


def test_a_new_fingerprint_of_a_new_model_is_evidence_of_the_same_event() -> None:
    both = run(models=("m-2",), fingerprints=("fp-2",))
    runs = [both] * 5 + [run()] * (CLEAN_RUNS + 2)
    assert told("fingerprint", *runs, frozen=reference(*STEADY)) == ["-"] * len(runs)
    assert told("served_model", *runs, frozen=reference(*STEADY))[:5] == ["page"] * 5


def test_a_fingerprint_that_comes_with_a_new_model_while_collecting_is_never_told() -> None:
    both = run(models=("m-2",), fingerprints=("fp-2",))
    assert told("fingerprint", *[both] * 20, history=after(*STEADY)) == ["-"] * 20


def test_the_values_that_are_remembered_have_a_bound() -> None:
    many = tuple(f"v{n}" for n in range(KNOWN_VALUES_MAX + 50))
    history = after(run(models=many, fingerprints=many))
    assert len(history.reference.models) == len(history.reference.fingerprints) == KNOWN_VALUES_MAX
    judgement = look(run(models=("new",), fingerprints=("new",)), history)
    assert is_breached(judgement, "served_model") is False
    assert is_breached(judgement, "fingerprint") is False


# --- endpoint down

SILENT = failed(Outcome.TIMEOUT)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        pytest.param([SILENT] * 3, "--p", id="after three runs without any answer"),
        pytest.param([SILENT, SILENT, run(), SILENT, SILENT], "-----", id="not after two, twice"),
        pytest.param([SILENT] * 3 + [run()] * ANSWERED_RUNS, "--pp-", id="up after two answered runs"),
        pytest.param(
            [SILENT] * 3 + [run(), SILENT] * 3 + [run(), run()],
            "--pppppppp-",
            id="one page while it comes and goes",
        ),
    ],
)
def test_an_endpoint_is_down_and_up_again(runs: list[RunFeatures], said: str) -> None:
    assert "".join(one[0] for one in told("endpoint_down", *runs)) == said


def test_an_answered_run_is_told_of_while_the_endpoint_still_counts_as_down() -> None:
    proof = of(look(run(), after(*[SILENT] * 3)), "endpoint_down")
    assert proof is not None
    assert proof.summary == "The endpoint does not answer: 3 runs in a row without any answer"
    assert proof.evidence[-1] == ("clean", "in the last run, over after 2")
    assert proof.clean_runs == 1


def test_whether_the_endpoint_answers_can_be_asked_alone_and_the_rest_is_kept() -> None:
    history = after(*EIGHT, run(passed=(False,) * 12), SILENT, SILENT)
    judgement = judge_answering(SILENT, history, DOWN_AFTER)
    assert [proof.key for proof in judgement.proofs if proof.is_breached] == ["endpoint_down"]
    held = {**history.held, **judgement.history.held}
    assert judgement.history == replace(history, down_runs=3, held=held)
    again = judge_answering(run(models=("m-2",)), judgement.history, DOWN_AFTER)
    assert [proof.key for proof in again.proofs] == ["endpoint_down"]


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

EIGHT = tuple(run(passed=(True, True)) for _ in range(PASSING_RUNS_MIN))
KEY = "validator/order/json"


def passing(runs: int) -> tuple[RunFeatures, ...]:
    return (run(passed=(True,)),) * runs


@pytest.mark.parametrize("passed", [1, 8, 24, 168, 5000])
@pytest.mark.parametrize("failed_then", [1, 2, 4, 9])
def test_no_failure_rate_makes_a_failure_after_passing_likelier(passed: int, failed_then: int) -> None:
    likeliest = failed_then / (passed + failed_then)
    rates = [*(i / 2000 for i in range(2001)), likeliest]
    most = max((1 - p) ** passed * p**failed_then for p in rates)
    bound = chance_unnoticed(passed, failed_then)
    assert most <= bound * (1 + 1e-9)
    assert most >= bound * (1 - 1e-9)


@pytest.mark.parametrize(("passed", "failed_then"), [(0, 3), (3, 0), (0, 0)])
def test_without_passes_or_failures_nothing_is_unlikely(passed: int, failed_then: int) -> None:
    assert chance_unnoticed(passed, failed_then) == 1.0


FAILING_ONE_BY_ONE = {
    "8 runs before: tickets at 4, pages at 9 answers": (8, 9, "---ttttt" + "p"),
    "24 runs before: 2 and 5": (24, 5, "-tttp"),
    "168 runs before: 2 and 3": (168, 3, "-tp"),
    "never at the first answer": (5000, 2, "-p"),
}


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
@pytest.mark.parametrize(("before", "n", "said"), FAILING_ONE_BY_ONE.values(), ids=FAILING_ONE_BY_ONE)
def test_a_check_that_fails_on_is_a_ticket_and_then_a_page(
    before: int, n: int, said: str, is_frozen: bool
) -> None:
    runs = passing(before)
    frozen = reference(*runs) if is_frozen else None
    history = replace(ProofHistory(), reference=reference(*runs))
    assert (
        "".join(one[0] for one in told(KEY, *[run(passed=(False,))] * n, history=history, frozen=frozen))
        == said
    )


@pytest.mark.parametrize(
    ("before", "samples", "said"),
    [
        pytest.param(168, 1, "-t", id="168 runs before, 1 sample"),
        pytest.param(168, 2, "tp", id="168 runs before, 2 samples"),
        pytest.param(24, 1, "-ttt", id="24 runs before, 1 sample"),
        pytest.param(24, 2, "ttp", id="24 runs before, 2 samples"),
    ],
)
def test_several_samples_of_a_run_count_at_once(before: int, samples: int, said: str) -> None:
    runs = [run(passed=(False,) * samples)] * len(said)
    assert "".join(one[0] for one in told(KEY, *runs, frozen=reference(*passing(before)))) == said


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
@pytest.mark.parametrize("samples", [4, 40])
def test_one_run_whose_samples_all_fail_is_a_ticket_and_a_second_in_a_row_a_page(
    samples: int, is_frozen: bool
) -> None:
    frozen = reference(*passing(168)) if is_frozen else None
    history = replace(ProofHistory(), reference=reference(*passing(168)))
    broken, well = run(passed=(False,) * samples), run(passed=(True,) * samples)
    assert chance_unnoticed(168, samples) <= PAGE_CHANCE
    assert told(KEY, broken, broken, history=history, frozen=frozen) == ["ticket", "page"]
    assert told(KEY, broken, well, broken, history=history, frozen=frozen) == ["ticket"] * 3


@pytest.mark.parametrize(("checks", "said"), [(3, "page"), (36, "page"), (37, "ticket")])
def test_among_more_checks_it_takes_more_to_page(checks: int, said: str) -> None:
    def answers(passed: bool, samples: int) -> RunFeatures:
        others = tuple(AnswerFeatures(f"c{i}", checks={"json": True}) for i in range(checks - 1))
        order = tuple(AnswerFeatures("order", i, checks={"json": passed}) for i in range(samples))
        return RunFeatures("run", (*order, *others))

    assert (checks * chance_unnoticed(168, 3) <= PAGE_CHANCE) is (said == "page")
    frozen = reference(*(answers(True, 2) for _ in range(168)))
    assert told(KEY, answers(False, 1), answers(False, 2), frozen=frozen) == ["-", said]


def test_a_ticket_is_not_given_for_what_chance_brings() -> None:
    assert chance_unnoticed(8, 3) > TICKET_CHANCE >= chance_unnoticed(8, 4)
    assert chance_unnoticed(24, 1) > TICKET_CHANCE >= chance_unnoticed(24, 2)


MANY = (False,) * 40


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(EIGHT, (*MANY, True), id="one sample still passes"),
        pytest.param(EIGHT[:7], MANY, id="known from seven runs only"),
        pytest.param((*EIGHT, run(passed=(True, False))), MANY, id="it failed once before"),
        pytest.param((), MANY, id="never seen before"),
    ],
)
@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "collecting"])
def test_a_failing_check_is_no_proof(
    before: tuple[RunFeatures, ...], now: tuple[bool, ...], is_frozen: bool
) -> None:
    frozen = reference(*before) if is_frozen else None
    assert told(KEY, run(passed=now), history=after(*before), frozen=frozen) == ["-"]


def test_a_passing_answer_starts_the_count_again() -> None:
    passed = (False, False, True, False, False, True)
    said = told(KEY, *[run(passed=(one,)) for one in passed], frozen=reference(*passing(40)))
    assert said == ["-", "ticket", *["ticket"] * 4]
    alternating = [run(passed=(one,)) for one in (False, True) * 10]
    assert told(KEY, *alternating, frozen=reference(*passing(40))) == ["-"] * 20


def test_failures_of_different_checks_are_not_added_up() -> None:
    def both(order: bool, label: bool) -> RunFeatures:
        checks = {"order": order, "label": label}
        return RunFeatures("run", tuple(AnswerFeatures(c, checks={"json": p}) for c, p in checks.items()))

    frozen = reference(*[both(True, True)] * 168)
    runs = [both(False, True), both(True, False)] * 10
    assert told(KEY, *runs, frozen=frozen) == told("validator/label/json", *runs, frozen=frozen) == ["-"] * 20
    assert not any(proof.is_breached for proof in look(both(False, False), ProofHistory(), frozen).proofs)


def test_the_gravest_check_is_named_first() -> None:
    def both(order: bool, label: bool, samples: int) -> RunFeatures:
        answers = [AnswerFeatures("label", i, checks={"json": label}) for i in range(2)]
        answers += [AnswerFeatures("order", i, checks={"json": order}) for i in range(samples)]
        return RunFeatures("run", tuple(answers))

    frozen = reference(*[both(True, True, 4)] * 168)
    history = after_frozen(both(False, True, 4), frozen=frozen)
    proofs = look(both(False, False, 4), history, frozen).proofs
    assert [(p.key, p.severity_hint) for p in proofs if p.is_breached] == [
        (KEY, Loudness.PAGE),
        ("validator/label/json", Loudness.TICKET),
    ]


@pytest.mark.parametrize("samples", [1, 4])
def test_a_broken_check_is_confirmed_by_two_more_failing_runs_than_its_page_needs(samples: int) -> None:
    frozen, history, confirmed, paged = reference(*passing(168)), ProofHistory(), [], []
    for _ in range(6):
        judgement = look(run(passed=(False,) * samples), history, frozen)
        proof, history = of(judgement, KEY), judgement.history
        assert proof is not None
        paged.append(proof.is_breached and proof.severity_hint is Loudness.PAGE)
        confirmed.append(proof.is_confirmed)
    assert confirmed.index(True) == paged.index(True) + CONFIRMING_RUNS


def test_a_check_that_recovers_has_to_be_confirmed_anew() -> None:
    frozen = reference(*passing(168))
    broken, well = run(passed=(False,) * 3), run(passed=(True,))
    history = after_frozen(*[broken] * 3, well, *[broken] * 3, frozen=frozen)
    assert [of(look(each, history, frozen), KEY).is_confirmed for each in (broken, well)] == [True, False]  # type: ignore[union-attr]
    history = after_frozen(*[broken] * 3, well, *[broken] * 2, frozen=frozen)
    assert of(look(broken, history, frozen), KEY).is_confirmed is False  # type: ignore[union-attr]


def test_a_run_without_the_canary_leaves_its_check_as_it_was() -> None:
    frozen = reference(*passing(168))
    broken = look(run(passed=(False, False)), ProofHistory(), frozen)
    other = RunFeatures("run", (AnswerFeatures("other"), AnswerFeatures("order", outcome=Outcome.TIMEOUT)))
    between = look(other, broken.history, frozen)
    assert of(between, KEY) == of(broken, KEY)
    assert told(KEY, run(passed=(False,)), history=between.history, frozen=frozen) == ["page"]


def test_a_check_that_failed_while_collecting_is_not_one_that_never_fails() -> None:
    history = after(*EIGHT, run(passed=(False, False)), *EIGHT)
    assert history.reference.never_failed == ()


def test_a_check_may_fail_for_months() -> None:
    history = replace(ProofHistory(), failing={"order/json": 10**7})
    proof = of(look(run(passed=(False,)), history, reference(*passing(168))), KEY)
    assert proof is not None
    assert ("by chance", "in less than one of 1,000,000,000 runs") in proof.evidence


# --- over only after several clean runs

BROKEN, PARTLY, WELL = (run(passed=passed) for passed in ((False,) * 4, (True, False), (True, True)))
PAGED = [BROKEN, BROKEN]
"""A ticket in the first, a page in the second."""


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        pytest.param(PAGED + [WELL] * CLEAN_RUNS, "tpppppp-", id="six clean runs"),
        pytest.param([BROKEN] + [WELL] * CLEAN_RUNS, "tttttt-", id="six clean runs after a ticket"),
        pytest.param(
            PAGED + [WELL] * 5 + [BROKEN] + [WELL] * 6, "t" + "p" * 12 + "-", id="broken before the sixth"
        ),
        pytest.param(PAGED + [WELL] * 5 + [PARTLY] + [WELL] * 6, "t" + "p" * 12 + "-", id="broken in part"),
        pytest.param(
            PAGED + [WELL] * 5 + [SILENT] + [WELL], "t" + "p" * 6 + "-" + "-", id="a silent run says nothing"
        ),
        pytest.param(
            PAGED + [WELL] * 5 + [run(), WELL], "t" + "p" * 7 + "-", id="nor does one without the check"
        ),
        pytest.param([*PAGED, WELL, BROKEN], "tppp", id="a page does not become a ticket"),
    ],
)
def test_a_broken_check_stays_broken_until_it_is_clean_in_six_runs(
    runs: list[RunFeatures], said: str
) -> None:
    assert "".join(one[0] for one in told(KEY, *runs, frozen=reference(*passing(168)))) == said


def test_a_proof_that_is_clean_for_now_says_so() -> None:
    frozen = reference(*passing(168))
    broken = of(look(BROKEN, after_frozen(BROKEN, frozen=frozen), frozen), KEY)
    still = of(look(WELL, after_frozen(*PAGED, WELL, frozen=frozen), frozen), KEY)
    assert broken is not None
    assert still is not None
    assert (still.summary, still.severity_hint) == (broken.summary, Loudness.PAGE)
    assert still.evidence == (*broken.evidence, ("clean", "in the last 2 runs, over after 6"))


# --- the history


def test_a_history_survives_json() -> None:
    frozen = reference(*EIGHT)
    odd = run(models=("m-2", "m-1"), fingerprints=("fp-2",), passed=(False,) * 12)
    history = after_frozen(*EIGHT, odd, odd, failed(Outcome.SERVER), frozen=frozen)
    assert history.failing
    assert history.confirming
    assert history.held
    assert history.told_models
    assert history.fingerprints.streak
    assert history.down_runs == 1
    assert ProofHistory.from_json(history.to_json()) == history


def test_a_history_of_an_older_version_is_read() -> None:
    old = ProofHistory(reference(*EIGHT), down_runs=1, failing={"order/json": 2})
    plain = orjson.loads(old.to_json())
    kept = {name: plain[name] for name in ("reference", "down_runs", "failing")}
    assert ProofHistory.from_json(orjson.dumps(kept).decode()) == old


def test_a_history_stays_small_whatever_the_endpoint_says() -> None:
    history, frozen = ProofHistory(), reference(*STEADY)
    for n in range(KNOWN_VALUES_MAX + 50):
        history = look(run(models=(f"m-{n}", "m-1"), fingerprints=(f"new-{n}",)), history, frozen).history
    assert len(history.told_models) == len(history.fingerprints.noted) == KNOWN_VALUES_MAX
    assert told("served_model", *[OTHER] * 9, history=history, frozen=frozen)[-1] == "-"


def test_a_reference_survives_json() -> None:
    learned = reference(*EIGHT, run(passed=(False,)))
    assert Reference.from_plain(learned.to_plain()) == learned


def test_judging_is_a_function_of_its_arguments() -> None:
    history = after(*EIGHT)
    assert look(run(passed=(False, False)), history) == look(run(passed=(False, False)), history)
