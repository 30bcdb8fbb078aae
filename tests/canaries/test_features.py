"""What is kept of a run for scoring: enough to compare, nothing to read."""

from datetime import UTC, datetime

import pytest

from canaries.completion import Completion, Outcome, Run
from canaries.features import AnswerFeatures, RunFeatures, extract
from canaries.suite import Canary, Expectations, Message, Suite

KEY = b"the deployment's secret"


def run_of(*completions: Completion) -> Run:
    return Run("run-1", "bot", "support", datetime(2026, 3, 2, tzinfo=UTC), completions)


def answer(text: str, key: bytes = KEY, suite: Suite | None = None, **fields: object) -> AnswerFeatures:
    run = run_of(Completion("greeting", text=text, **fields))  # type: ignore[arg-type]
    return extract(run, suite, key).answers[0]


def suite_of(expectations: Expectations = Expectations(), scrub: tuple[str, ...] = ()) -> Suite:  # noqa: B008
    canary = Canary("greeting", (Message("user", "Say hello"),), {}, None, expectations)
    return Suite("support", (canary,), scrub, {}, None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("billing", "  billing\n", True, id="outer white space means nothing"),
        pytest.param("caf\u00e9", "cafe\u0301", True, id="two ways to write the same letter"),
        pytest.param("billing", "Billing", False, id="case tells versions apart"),
        pytest.param("billing", "billing.", False, id="a full stop is another answer"),
        pytest.param("", "   ", True, id="nothing but white space is the empty answer"),
    ],
)
def test_answers_share_a_hash_when_they_are_the_same_to_a_reader(one: str, other: str, same: bool) -> None:
    assert (answer(one).answer_hash == answer(other).answer_hash) is same


def test_scrubbed_parts_of_an_answer_do_not_tell_answers_apart() -> None:
    one, other = "Ticket 4711 is open", "Ticket 42 is open"
    assert answer(one).answer_hash != answer(other).answer_hash
    suite = suite_of(scrub=("number",))
    assert answer(one, suite=suite) == answer(other, suite=suite)


def test_no_word_of_an_answer_is_in_its_features() -> None:
    top = (("secret", -0.1), ("other", -2.0))
    features = answer("the secret word is xylophone", first_top=top).to_json()
    for word in ("secret", "word", "xylophone", "other"):
        assert word not in features


def test_hashes_of_another_deployment_cannot_be_looked_up() -> None:
    ours, theirs = answer("billing"), answer("billing", key=b"another secret")
    assert ours.answer_hash != theirs.answer_hash
    assert not ours.token_counts.keys() & theirs.token_counts.keys()


def test_a_token_has_the_same_hash_in_every_answer_and_in_no_other_role() -> None:
    one, other = answer("billing"), answer("billing billing", first_top=(("billing", -0.5),))
    (token,) = one.token_counts
    assert other.token_counts == {token: 2}
    assert other.first_top == ((token, -0.5),)
    assert not one.answer_hash.startswith(token)


def test_pairs_tell_the_order_of_words_and_not_the_words() -> None:
    one, other = answer("dog bites man"), answer("man bites dog")
    assert one.token_counts == other.token_counts
    assert one.bigram_counts != other.bigram_counts
    assert (
        sum(one.bigram_counts.values()) == 4
    )  # three words make four pairs: with the beginning, with the end
    assert not any(token in pair for token in one.token_counts for pair in one.bigram_counts)
    assert not answer("dog bites man", key=b"another secret").bigram_counts.keys() & one.bigram_counts.keys()


def test_an_empty_answer_is_a_pair_of_its_beginning_and_its_end() -> None:
    assert sum(answer("").bigram_counts.values()) == 1
    assert answer("").gap_counts == {}


def test_edges_are_the_first_and_the_last_words_at_their_places() -> None:
    one = answer("a b c x x x d e f")
    assert one.edge_counts == answer("a b c y d e f").edge_counts
    assert sum(one.edge_counts.values()) == 6
    assert len(one.edge_counts.keys() & answer("b a c x d e f").edge_counts.keys()) == 4
    assert len(answer("a").edge_counts.keys() & answer("").edge_counts.keys()) == 4


def test_gaps_are_the_white_space_inside_an_answer() -> None:
    text = "\nOne:\n- a b\n\n    code \n"
    assert answer(text).gap_counts == {" ": 2, "\n": 1, "\n\n    ": 1}
    assert answer("a" + " " * 1000 + "b").gap_counts == {" " * 12: 1}


def test_what_the_provider_counts_and_how_long_it_took_is_kept() -> None:
    features = answer("yes", latency_s=1.5, ttft_s=0.25, input_tokens=12, output_tokens=3)
    assert (features.latency_s, features.ttft_s) == (1.5, 0.25)
    assert (features.input_tokens, features.output_tokens) == (12, 3)


def test_a_refusal_is_noted() -> None:
    assert answer("I'm sorry, but I can't help with that.").refused
    assert not answer("Sure, here it is.").refused


def test_a_secret_of_any_length_is_a_key() -> None:
    assert answer("hello", key=b"x" * 1000).answer_hash != answer("hello", key=b"x" * 1001).answer_hash
    assert answer("hello", key=b"").answer_hash


def test_a_failed_request_has_its_outcome_and_no_answer() -> None:
    features = extract(run_of(Completion("greeting", outcome=Outcome.TIMEOUT)), suite_of(), KEY)
    assert features.answers == (AnswerFeatures("greeting", 0, Outcome.TIMEOUT),)
    assert features.answered() == {}
    assert features.answered_share == 0


def test_an_empty_answer_is_an_answer() -> None:
    features = answer("")
    assert features.is_answered
    assert features.answer_hash
    assert features.length == 0


def test_the_length_counts_our_own_tokens_whatever_the_provider_counts() -> None:
    assert answer("It rains, twice.", output_tokens=99).length == 5


def test_checks_are_those_of_the_suite_and_absent_without_one() -> None:
    expectations = Expectations(not_empty=True, labels=("bug", "billing"))
    checks = answer("Feature", suite=suite_of(expectations)).checks
    assert sorted(checks.values()) == [False, True]
    assert answer("Feature").checks == {}


@pytest.mark.parametrize(
    ("reported", "kept"),
    [(-0.5, -0.5), (-9999.0, -100.0), (float("-inf"), -100.0), (float("nan"), -100.0)],
    ids=["usual", "a server's way to say never", "minus infinity", "not a number"],
)
def test_log_probabilities_stay_finite(reported: float, kept: float) -> None:
    features = answer("a", first_top=(("a", reported),), logprobs=(reported, reported))
    assert features.first_top is not None
    assert features.first_top[0][1] == kept
    assert features.mean_logprob == kept


def test_features_survive_json_to_the_last_bit() -> None:
    features = answer(
        "It rains",
        suite=suite_of(Expectations(not_empty=True)),
        finish_reason="stop",
        served_model="m-1",
        system_fingerprint="fp",
        first_top=(("It", -1 / 3), ("The", -2.1)),
        logprobs=(-0.1, -0.2, -0.3),
        latency_s=1 / 3,
        ttft_s=0.1,
        input_tokens=7,
        output_tokens=2,
    )
    assert AnswerFeatures.from_json(features.to_json()) == features
    failed = AnswerFeatures("greeting", 1, Outcome.AUTH)
    assert AnswerFeatures.from_json(failed.to_json()) == failed


def test_the_order_in_which_answers_arrived_means_nothing() -> None:
    completions = [Completion("b", text="x"), Completion("a", 1, text="y"), Completion("a", 0, text="z")]
    features = extract(run_of(*completions), None, KEY)
    assert features == extract(run_of(*reversed(completions)), None, KEY)
    assert [(a.canary, a.sample) for a in features.answers] == [("a", 0), ("a", 1), ("b", 0)]


def test_the_answered_share_counts_requests() -> None:
    answers = [AnswerFeatures("a"), AnswerFeatures("b"), AnswerFeatures("c", outcome=Outcome.SERVER)]
    assert RunFeatures("run", tuple(answers)).answered_share == pytest.approx(2 / 3)
    assert RunFeatures("run", ()).answered_share == 0
