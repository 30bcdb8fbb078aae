"""Scores of a run: known answers, what moves them, and what they do when parts of a run are missing."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from canaries import BaselineError
from canaries.completion import Completion, Outcome, Run
from canaries.features import AnswerFeatures, RunFeatures, extract
from canaries.scores import FrozenScores, expected_samples, fit
from canaries.scores.distance import MeanEmbedding, divergence
from canaries.scores.names import BULK_PARTS, SENTENCES, TICKETS_ONLY

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["word" + first + second for first in LETTERS[:12] for second in LETTERS[:25]]
"""Of letters only: a digit would be a word of its own."""


def said(canary: str, text: str, sample: int = 0, **fields: object) -> AnswerFeatures:
    words = text.split()
    return AnswerFeatures(
        canary,
        sample,
        answer_hash=f"#{text}",
        token_counts=dict(Counter(words)),
        length=len(words),
        **fields,  # type: ignore[arg-type]
    )


def read(canary: str, text: str, sample: int = 0, **fields: object) -> AnswerFeatures:
    """An answer with all that is kept of its text."""
    completion = Completion(canary, sample, text=text, **fields)  # type: ignore[arg-type]
    run = Run("run", "bot", "suite", datetime(2026, 3, 2, tzinfo=UTC), (completion,))
    return extract(run, None, b"key").answers[0]


def read_run(
    rng: random.Random, canaries: int = 8, words: Sequence[str] = WORDS, n: int = 30, **fields: object
) -> RunFeatures:
    """A run of texts of ``n`` words, give or take a third, with all that is kept of them."""
    weights = [1 / (1 + i) for i in range(len(words))]
    lengths = [rng.randint(n * 2 // 3, n * 4 // 3) for _ in range(canaries)]
    return run_of(
        *(
            read(f"c{i}", " ".join(rng.choices(words, weights, k=length)), **fields)
            for i, length in enumerate(lengths)
        )
    )


def of_score(scores: FrozenScores, name: str, runs: Iterable[RunFeatures]) -> list[float]:
    return [scores.score(run)[name] for run in runs]


def run_of(*answers: AnswerFeatures, run_id: str = "run") -> RunFeatures:
    return RunFeatures(run_id, answers)


def one_canary(texts: Sequence[str]) -> list[RunFeatures]:
    return [run_of(said("c", text)) for text in texts]


def labels_run(rng: random.Random, canaries: int = 10, odd: float = 0.1) -> RunFeatures:
    """A run of canaries that answer one usual label, or with probability ``odd`` another one."""
    return run_of(*(said(f"c{i}", "bug" if rng.random() > odd else "billing") for i in range(canaries)))


def texts_run(
    rng: random.Random, canaries: int = 10, words: Sequence[str] = WORDS, n: int = 30
) -> RunFeatures:
    """A run of canaries that answer texts which never come twice; early words are the more frequent ones."""
    weights = [1 / (1 + i) for i in range(len(words))]
    return run_of(*(said(f"c{i}", " ".join(rng.choices(words, weights, k=n))) for i in range(canaries)))


def expected(run: RunFeatures) -> dict[str, int]:
    return expected_samples([run])


def test_surprise_of_an_answer_is_the_log_of_how_rare_it_was() -> None:
    scores = fit(one_canary(["yes"] * 7 + ["no"] * 2), {"c": 1})
    assert scores.score(run_of(said("c", "yes")))["canary:c"] == pytest.approx(-math.log(8 / 10))
    assert scores.score(run_of(said("c", "no")))["canary:c"] == pytest.approx(-math.log(3 / 10))
    assert scores.score(run_of(said("c", "maybe")))["canary:c"] == pytest.approx(math.log(10))


def test_suite_surprise_is_the_sum_over_canaries_and_samples() -> None:
    train = [run_of(*(said(c, "yes", sample) for c in "ab" for sample in (0, 1))) for _ in range(9)]
    scores = fit(train, {"a": 2, "b": 2})
    run = run_of(said("a", "no", 0), said("a", "yes", 1), said("b", "yes", 0), said("b", "yes", 1))
    assert scores.score(train[0])["suite_surprise"] == pytest.approx(0)
    assert scores.score(run)["suite_surprise"] == pytest.approx(math.log(19))


def test_usual_surprise_is_that_of_each_run_under_the_other_runs() -> None:
    scores = fit(one_canary(["yes"] * 7 + ["no"]), {"c": 1})
    yes, no = -math.log(7 / 8), math.log(8)
    assert scores.canaries[0].spreads["suite_surprise"].mean == pytest.approx((7 * yes + no) / 8)


def test_usual_surprise_of_texts_is_honest() -> None:
    rng = random.Random(1)
    scores = fit([texts_run(rng) for _ in range(40)], expected(texts_run(rng)))
    later = [scores.score(texts_run(rng))["token_surprise"] for _ in range(200)]
    # Standardised by the train runs' own surprise it would lie near +1 without any change.
    assert abs(sum(later) / len(later)) < 0.15


def test_surprise_of_a_text_is_that_of_its_words_and_its_end() -> None:
    train = one_canary([f"a b{n}" for n in range(8)])
    canary = fit(train, {"c": 1}).canaries[0]
    assert canary.is_text
    shared = lambda n: 50 * (n + 1) / (24 + 10 + 1)  # noqa: E731 - 24 tokens of 10 kinds: a, b0 to b7, the end
    known = [-math.log((n + shared(n)) / (24 + 50)) for n in (8, 1, 8)]
    unseen = -math.log(shared(0) / (24 + 50))
    scale = math.sqrt(3)
    assert canary.text([said("c", "a b0")]) == pytest.approx(scale * sum(known) / 3)
    assert canary.text([said("c", "z b0")]) == pytest.approx(scale * (unseen + known[1] + known[2]) / 3)


def test_a_canary_is_a_text_when_most_of_its_answers_are_new() -> None:
    train = [run_of(said("label", "bug"), said("poem", f"line {n}")) for n in range(12)]
    scores = fit(train, {"label": 1, "poem": 1})
    assert {canary.id: canary.is_text for canary in scores.canaries} == {"label": False, "poem": True}


def test_a_change_of_the_answers_lies_beyond_all_usual_runs() -> None:
    rng = random.Random(2)
    scores = fit([labels_run(rng) for _ in range(84)], expected(labels_run(rng)))
    usual = [scores.score(labels_run(rng)) for _ in range(84)]
    changed = scores.score(labels_run(rng, odd=0.8))
    for name in ("suite_surprise", "suite_peak"):
        assert changed[name] > max(run[name] for run in usual)


def test_answers_that_became_too_ordinary_score_low() -> None:
    rng = random.Random(3)
    scores = fit([labels_run(rng, odd=0.4) for _ in range(84)], expected(labels_run(rng)))
    usual = sorted(scores.score(labels_run(rng, odd=0.4))["suite_surprise"] for _ in range(84))
    assert scores.score(labels_run(rng, odd=0.0))["suite_surprise"] < usual[4]


def test_one_changed_canary_moves_the_peak_by_its_deviation_squared() -> None:
    rng = random.Random(4)
    scores = fit([labels_run(rng, odd=0.02) for _ in range(84)], expected(labels_run(rng)))
    usual = run_of(*(said(f"c{i}", "bug") for i in range(10)))
    changed = run_of(said("c0", "feature"), *usual.answers[1:])
    spread = scores.canaries[0].spreads["suite_surprise"]
    assert scores.score(usual)["suite_peak"] == 0
    assert scores.score(changed)["suite_peak"] == pytest.approx(
        ((math.log(85) - spread.mean) / spread.sd) ** 2
    )


@pytest.mark.parametrize(
    ("words", "is_higher"),
    [
        pytest.param([f"new{n}" for n in range(300)], True, id="other words"),
        pytest.param(list(reversed(WORDS)), True, id="rare words became frequent"),
        pytest.param(WORDS[:10], False, id="only the most frequent words"),
    ],
)
def test_texts_of_other_words_are_found_though_every_text_is_new(words: list[str], is_higher: bool) -> None:
    rng = random.Random(5)
    scores = fit([texts_run(rng) for _ in range(84)], expected(texts_run(rng)))
    usual = [scores.score(texts_run(rng))["token_surprise"] for _ in range(84)]
    changed = scores.score(texts_run(rng, words=words))["token_surprise"]
    assert changed > max(usual) if is_higher else changed < min(usual)


def test_an_empty_text_has_a_surprise() -> None:
    rng = random.Random(6)
    scores = fit([texts_run(rng, canaries=1) for _ in range(20)], {"c0": 1})
    run = scores.score(run_of(AnswerFeatures("c0", answer_hash="#")))
    assert all(math.isfinite(value) for value in run.values())
    assert run["length"] < -10


def test_suite_surprise_is_left_out_where_every_answer_is_new() -> None:
    rng = random.Random(7)
    texts = fit([texts_run(rng) for _ in range(20)], expected(texts_run(rng)))
    assert "suite_surprise" not in texts.names()
    assert "suite_surprise" not in texts.score(texts_run(rng))
    labels = fit([labels_run(rng) for _ in range(20)], expected(labels_run(rng)))
    assert "suite_surprise" in labels.names()


# --- missing answers


def test_a_missing_canary_has_no_score_and_counts_like_the_others_in_the_suite() -> None:
    rng = random.Random(8)
    scores = fit([labels_run(rng) for _ in range(40)], expected(labels_run(rng)))
    whole = run_of(*(said(f"c{i}", "bug") for i in range(10)))
    full, partial = scores.score(whole), scores.score(run_of(*whole.answers[:8]))
    assert partial.keys() == full.keys() - {"canary:c8", "canary:c9"}
    assert partial["suite_surprise"] == pytest.approx(full["suite_surprise"], abs=0.2)
    assert partial["token_surprise"] == pytest.approx(full["token_surprise"], abs=0.2)


def test_with_too_few_canaries_only_their_own_scores_are_there() -> None:
    rng = random.Random(9)
    scores = fit([labels_run(rng) for _ in range(40)], expected(labels_run(rng)))
    partial = scores.score(run_of(*(said(f"c{i}", "bug") for i in range(7))))
    assert partial.keys() == {f"canary:c{i}" for i in range(7)}


def test_a_run_without_any_answer_has_no_scores() -> None:
    scores = fit(one_canary(["yes"] * 8), {"c": 1})
    assert scores.score(run_of(AnswerFeatures("c", outcome=Outcome.TIMEOUT))) == {}
    assert scores.score(run_of()) == {}


def test_missing_samples_keep_the_scale_of_a_canary() -> None:
    train = [run_of(*(said("c", "yes", sample) for sample in range(4))) for _ in range(9)]
    scores = fit(train, {"c": 4})
    four = scores.score(run_of(*(said("c", "no", sample) for sample in range(4))))
    two = scores.score(run_of(said("c", "no", 0), said("c", "no", 1), AnswerFeatures("c", 2, Outcome.SERVER)))
    assert two["canary:c"] == pytest.approx(four["canary:c"])


def test_a_canary_that_the_baseline_does_not_know_is_ignored() -> None:
    scores = fit(one_canary(["yes"] * 8), {"c": 1})
    assert scores.score(run_of(said("c", "yes"), said("new", "what"))) == scores.score(
        run_of(said("c", "yes"))
    )


def test_a_canary_that_was_rarely_answered_is_not_scored() -> None:
    train = [run_of(said("a", "yes"), *([said("b", "yes")] if n < 4 else [])) for n in range(12)]
    assert [canary.id for canary in fit(train, {"a": 1, "b": 1}).canaries] == ["a"]


def test_a_suite_that_was_never_answered_cannot_be_frozen() -> None:
    train = [run_of(AnswerFeatures("c", outcome=Outcome.AUTH)) for _ in range(12)]
    with pytest.raises(BaselineError, match="none of the 1 canaries"):
        fit(train, {"c": 1})


# --- texts: pairs, distances, edges, layout


def texts_of_runs(rng: random.Random, runs: int) -> list[dict[str, str]]:
    """Texts that begin and end alike and have their words in a usual order: by canary."""
    middles = [WORDS[40 * i % 300 :][:40] for i in range(7)] + [WORDS[20:60]]

    def text(i: int) -> str:
        start = rng.randrange(12)
        body = middles[i][start : start + rng.randint(18, 26)]
        return " ".join(["Dear", "customer", ",", *body, "Kind", "regards", "."])

    return [{f"c{i}": text(i) for i in range(8)} for _ in range(runs)]


def as_run(texts: dict[str, str], edit: Callable[[list[str]], str] = " ".join) -> RunFeatures:
    return run_of(*(read(canary, edit(text.split())) for canary, text in texts.items()))


def reversed_middle(words: list[str]) -> str:
    return " ".join([*words[:3], *words[-4:2:-1], *words[-3:]])


def with_preamble(words: list[str]) -> str:
    return " ".join(["Certainly", "!", "Here", *words])


def without_signature(words: list[str]) -> str:
    return " ".join(words[:-3])


def as_list(words: list[str]) -> str:
    return "\n- ".join(words)


@pytest.mark.parametrize(
    ("edit", "seen_by"),
    [
        pytest.param(reversed_middle, "bigram_surprise", id="the same words in another order"),
        pytest.param(reversed_middle, "text_distance", id="the same words in another order, as a distance"),
        pytest.param(with_preamble, "edge_surprise", id="a preamble"),
        pytest.param(without_signature, "edge_surprise", id="another end"),
        pytest.param(as_list, "layout_surprise", id="lists"),
    ],
)
def test_a_change_of_texts_is_seen_by_the_score_for_it(
    edit: Callable[[list[str]], str], seen_by: str
) -> None:
    rng = random.Random(20)
    scores = fit([as_run(texts) for texts in texts_of_runs(rng, 40)], {f"c{i}": 1 for i in range(8)})
    usual = of_score(scores, seen_by, [as_run(texts) for texts in texts_of_runs(rng, 60)])
    changed = of_score(scores, seen_by, [as_run(texts, edit) for texts in texts_of_runs(rng, 10)])
    assert min(changed) > max(usual)


def test_the_order_of_words_and_the_layout_are_nothing_to_the_surprise_of_words() -> None:
    rng = random.Random(21)
    scores = fit([as_run(texts) for texts in texts_of_runs(rng, 20)], {f"c{i}": 1 for i in range(8)})
    (texts,) = texts_of_runs(rng, 1)
    one, other, listed = as_run(texts), as_run(texts, reversed_middle), as_run(texts, " \n ".join)
    for name in ("token_surprise", "divergence", "new_words", "length", "variety"):
        assert scores.score(one)[name] == pytest.approx(scores.score(other)[name])
        assert scores.score(one)[name] == pytest.approx(scores.score(listed)[name])


@pytest.mark.parametrize("name", ["bigram_surprise", "edge_surprise", "text_distance", "new_words"])
def test_the_usual_values_of_texts_are_honest(name: str) -> None:
    rng = random.Random(22)
    scores = fit([read_run(rng) for _ in range(60)], expected(read_run(rng)))
    later = of_score(scores, name, [read_run(rng) for _ in range(150)])
    # Standardised by the train runs' own values these would lie well above 0 without any change.
    assert abs(sum(later) / len(later)) < 0.15


def test_a_sampler_that_cuts_off_rare_words_shows_in_the_spread_of_surprise() -> None:
    rng = random.Random(23)
    scores = fit([read_run(rng) for _ in range(60)], expected(read_run(rng)))
    usual = of_score(scores, "surprise_spread", [read_run(rng) for _ in range(80)])
    cut = of_score(scores, "surprise_spread", [read_run(rng, words=WORDS[:60]) for _ in range(10)])
    assert max(cut) < min(usual)


def test_a_limit_that_makes_lengths_alike_shows_in_their_spread() -> None:
    rng = random.Random(24)
    scores = fit([read_run(rng) for _ in range(60)], expected(read_run(rng)))
    usual = of_score(scores, "length_spread", [read_run(rng) for _ in range(80)])
    same = run_of(*(read(f"c{i}", "a " * 30) for i in range(8)))
    assert scores.score(same)["length_spread"] == pytest.approx(0)
    assert min(usual) > 2


def test_answers_in_a_loop_have_little_variety() -> None:
    rng = random.Random(25)
    scores = fit([read_run(rng) for _ in range(40)], expected(read_run(rng)))
    usual = of_score(scores, "variety", [read_run(rng) for _ in range(80)])
    looping = run_of(*(read(f"c{i}", " ".join(WORDS[:3] * 10)) for i in range(8)))
    assert scores.score(looping)["variety"] < min(usual)


def test_new_words_are_those_that_their_own_canary_never_used() -> None:
    train = [run_of(read("a", "one two three four"), read("b", "five six seven")) for _ in range(8)]
    scores = fit(train, {"a": 1, "b": 1})
    same, swapped = train[0], run_of(read("a", "five six seven five"), read("b", "one two three"))
    assert scores.canaries[0].new_words([same.answers[0]]) == 0
    assert scores.canaries[0].new_words([swapped.answers[0]]) == 1
    assert scores.score(swapped)["new_words"] > 50 > scores.score(same)["new_words"]


def test_divergence_is_nothing_for_the_same_words_and_ln_2_for_others() -> None:
    bag = {"a": 2, "b": 2}
    assert divergence(bag, {"a": 50, "b": 50}, 100) == pytest.approx(0)
    assert divergence(bag, {"c": 100}, 100) == pytest.approx(math.log(2))
    half = divergence({"a": 4}, bag, 4)  # p = (1, 0), q = (1/2, 1/2), by hand
    assert half == pytest.approx((math.log(4 / 3) + math.log(2 / 3) / 2 + math.log(2) / 2) / 2)


def test_the_distance_of_one_answer_is_that_of_its_likeness() -> None:
    same, other = read("c", "one two three"), read("c", "four five six")
    embedding = MeanEmbedding.fit([same] * 6)
    assert embedding.within == pytest.approx(1, abs=1e-4)
    assert embedding([same]) == pytest.approx(0, abs=1e-3)
    # Of seven things (three words, an end, and four pairs make eight) only the end is shared.
    assert embedding([other]) == pytest.approx(2 * (1 - 1 / 8), abs=1e-3)
    assert embedding([other, other]) == pytest.approx(1 + 1 - 2 / 8, abs=1e-3)


def test_the_distance_does_not_grow_with_missing_samples() -> None:
    rng = random.Random(26)

    def answers(n: int) -> list[AnswerFeatures]:
        return [read("c", " ".join(rng.choices(WORDS[:40], k=20))) for _ in range(n)]

    embedding = MeanEmbedding.fit(answers(200))
    means = [sum(embedding(answers(k)) for _ in range(200)) / 200 for k in (1, 2, 4)]
    assert means == pytest.approx([0, 0, 0], abs=0.02)


def test_a_distance_left_out_is_that_from_the_other_answers() -> None:
    rng = random.Random(27)
    answers = [read("c", " ".join(rng.choices(WORDS[:20], k=20))) for _ in range(30)]
    left_out = MeanEmbedding.fit(answers).left_out(answers[:1])
    others = MeanEmbedding.fit(answers[1:])
    assert left_out == pytest.approx(others(answers[:1]), abs=0.02)


def test_words_in_a_row_are_not_looked_at_in_a_suite_of_labels() -> None:
    rng = random.Random(28)
    run = lambda: run_of(*(read(f"c{i}", rng.choice(["bug", "billing"])) for i in range(5)))  # noqa: E731
    names = set(fit([run() for _ in range(20)], {f"c{i}": 1 for i in range(5)}).names())
    texts = {"bigram_surprise", "divergence", "text_distance", "edge_surprise", "new_words", "variety"}
    assert not names & (texts | {"surprise_spread", "length_spread", "layout_surprise"})


def test_a_label_beside_texts_does_not_hide_their_layout() -> None:
    rng = random.Random(29)

    def run(mark: str = " ") -> RunFeatures:
        text = mark.join(rng.choices(WORDS, k=20))
        return run_of(read("label", "bug"), read("poem", text), read("tale", text))

    scores = fit([run() for _ in range(20)], {"label": 1, "poem": 1, "tale": 1})
    assert scores.score(run("\n"))["layout_surprise"] > scores.score(run())["layout_surprise"] + 3
    one_word = run_of(read("label", "bug"), read("poem", "None"), read("tale", "None"))
    assert scores.score(one_word)["layout_surprise"] == 0


# --- what the provider says: finish reasons, log-probabilities, tokens, times


def told(values: Sequence[object], field: str) -> RunFeatures:
    """A run of one answer to each of the canaries, the same but for this field."""
    return run_of(*(said(f"c{i}", "yes", **{field: value}) for i, value in enumerate(values)))


def fitted(field: str, usual: object, canaries: int = 5) -> FrozenScores:
    train = [told([usual] * canaries, field) for _ in range(12)]
    return fit(train, {f"c{i}": 1 for i in range(canaries)})


def test_answers_that_are_cut_off_or_filtered_stand_out_where_all_used_to_end() -> None:
    scores = fitted("finish_reason", "stop")
    shares = [
        scores.score(told(["stop"] * 5, "finish_reason"))["unfinished"],
        scores.score(told(["length", "stop", "STOP", "end_turn", "tool_calls"], "finish_reason"))[
            "unfinished"
        ],
        scores.score(told(["length", "content_filter", "stop", "stop", "stop"], "finish_reason"))[
            "unfinished"
        ],
    ]
    assert shares == pytest.approx([0, 0.2, 0.4])


def test_refusals_are_counted_against_the_usual_share() -> None:
    train = [told([False, True, False, False, False], "refused") for _ in range(12)]
    scores = fit(train, {f"c{i}": 1 for i in range(5)})
    assert scores.score(train[0])["refusals"] == pytest.approx(0)
    assert scores.score(told([True] * 5, "refused"))["refusals"] == pytest.approx(0.8)
    # Without the one that always refuses the others are compared with their own share, not with that of all.
    assert scores.score(run_of(*(train[0].answers[i] for i in (0, 2, 3, 4))))["refusals"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("name", "field", "usual", "other"),
    [
        pytest.param("mean_logprob", "mean_logprob", -1.0, -1.3, id="less sure of its tokens"),
        pytest.param("input_tokens", "input_tokens", 120, 121, id="one more token in the same prompts"),
        pytest.param("output_tokens", "output_tokens", 100, 200, id="twice the tokens in the answers"),
        pytest.param("latency", "latency_s", 1.0, 2.0, id="twice as slow"),
        pytest.param("ttft", "ttft_s", 0.1, 0.3, id="a later first token"),
    ],
)
def test_what_the_provider_says_is_compared_with_the_usual(
    name: str, field: str, usual: float, other: float
) -> None:
    scores = fitted(field, usual)
    assert scores.score(told([usual] * 5, field))[name] == pytest.approx(0)
    assert abs(scores.score(told([other] * 5, field))[name]) > 3
    assert name not in scores.score(told([None] * 5, field))
    assert name not in scores.score(told([other] * 3 + [None] * 2, field))
    assert name not in fitted(field, None).names()


def test_one_slow_answer_does_not_make_the_service_slow() -> None:
    scores = fitted("latency_s", 1.0)
    assert scores.score(told([60.0, 1.0, 1.0, 1.0, 1.0], "latency_s"))["latency"] == pytest.approx(0)


def test_times_and_what_is_charged_open_tickets_only() -> None:
    rows = [
        run_of(*(said(f"c{i}", "yes", latency_s=1.0, ttft_s=0.1, output_tokens=3) for i in range(5)))
        for _ in range(12)
    ]
    scores = fit(rows, {f"c{i}": 1 for i in range(5)})
    assert scores.tickets_only() == {"latency", "ttft", "output_tokens"}
    weights = scores.weights()
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["suite_peak"] == pytest.approx(0.25 * 0.94)
    assert fitted("latency_s", None).tickets_only() == frozenset()


def test_every_score_is_told_in_a_sentence() -> None:
    assert set(BULK_PARTS) | set(TICKETS_ONLY) | {"suite_peak"} == set(SENTENCES)
    assert all(sentence.startswith(("how ", "the share ")) for sentence in SENTENCES.values())


# --- first tokens, expectations, length


def top(*logprobs: float, tokens: str = "abc") -> tuple[tuple[str, float], ...]:
    return tuple(zip(tokens, logprobs, strict=True))


def test_the_logprob_shift_counts_deviations_from_the_usual_first_tokens() -> None:
    rows = [top(-0.1 - 0.01 * (n % 2), -2.0, -3.0) for n in range(10)]
    scores = fit([run_of(said("c", "yes", first_top=row)) for row in rows], {"c": 1})
    same = scores.score(run_of(said("c", "yes", first_top=top(-0.105, -2.0, -3.0))))
    moved = scores.score(run_of(said("c", "yes", first_top=top(-0.105, -2.0, -3.3))))
    assert same["logprob_shift"] == pytest.approx(0, abs=1e-9)
    assert moved["logprob_shift"] == pytest.approx(0.29 / 0.01 / 3)


def test_a_hundredth_of_a_nat_is_the_noise_of_batches_and_hardware() -> None:
    scores = fit([run_of(said("c", "yes", first_top=top(-0.1, -2.0, -3.0))) for _ in range(10)], {"c": 1})
    shifts = [
        scores.score(run_of(said("c", "yes", first_top=top(-0.1 - d, -2.0, -3.0 + d))))["logprob_shift"]
        for d in (0.0, 0.009, 0.1)
    ]
    assert shifts == pytest.approx([0, 0, 6])


def test_a_first_token_that_is_not_listed_is_as_likely_as_the_last_one() -> None:
    scores = fit([run_of(said("c", "yes", first_top=top(-0.1, -2.0, -3.0))) for _ in range(10)], {"c": 1})
    run = scores.score(run_of(said("c", "yes", first_top=top(-0.1, -2.0, -2.5, tokens="abx"))))
    assert run["logprob_shift"] == pytest.approx(0.49 / 0.01 / 3)


def test_samples_are_averaged_before_they_are_compared() -> None:
    def run(low: float, high: float) -> RunFeatures:
        return run_of(*(said("c", "yes", n, first_top=top(v, -2.0, -3.0)) for n, v in enumerate((low, high))))

    scores = fit([run(-0.3, -0.1) for _ in range(10)], {"c": 2})
    assert scores.score(run(-0.2, -0.2))["logprob_shift"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("with_top", "is_there"), [(16, True), (15, False)], ids=["80 %", "less"])
def test_the_logprob_shift_exists_where_most_train_runs_list_first_tokens(
    with_top: int, is_there: bool
) -> None:
    tops = [top(-0.1, -2.0, -3.0) if n < with_top else None for n in range(20)]
    scores = fit([run_of(said("c", "yes", first_top=t)) for t in tops], {"c": 1})
    assert ("logprob_shift" in scores.names()) is is_there
    assert "logprob_shift" not in scores.score(run_of(said("c", "yes")))


def test_the_validator_score_is_the_share_of_answers_that_break_any_expectation() -> None:
    good, bad = {"json": True, "labels": True}, {"json": True, "labels": False}
    train = [run_of(said("a", "yes", checks=good), said("b", "yes")) for _ in range(10)]
    scores = fit(train, {"a": 1, "b": 1})
    assert scores.score(train[0])["validator_failures"] == 0
    run = run_of(said("a", "yes", checks=bad), said("a", "yes", 1, checks=good), said("b", "yes"))
    assert scores.score(run)["validator_failures"] == pytest.approx(1 / 2)
    assert "validator_failures" not in fit(one_canary(["yes"] * 9), {"c": 1}).names()


def test_the_length_counts_deviations_from_the_usual_length() -> None:
    train = one_canary(["a b c", "a b c d", "a b c d e"] * 5)
    scores = fit(train, {"c": 1})
    longer, shorter = "a " * 30, "a"
    assert scores.score(run_of(said("c", longer)))["length"] > 10
    assert scores.score(run_of(said("c", shorter)))["length"] < -2
    assert abs(scores.score(run_of(said("c", "a b c d")))["length"]) < 0.1


# --- shares, words, storage


def test_the_shares_sum_to_one_and_only_scores_that_exist_get_one() -> None:
    rng = random.Random(10)
    scores = fit([labels_run(rng) for _ in range(20)], expected(labels_run(rng)))
    weights = scores.weights()
    assert sum(weights.values()) == pytest.approx(1)
    assert tuple(weights) == scores.names()
    assert weights.keys() == scores.score(labels_run(rng)).keys() == scores.describe().keys()
    assert weights["suite_peak"] == 0.25
    assert weights["canary:c0"] == pytest.approx(0.025)
    # What sees any change gets two parts, what sees one property of the answers gets one.
    assert weights["suite_surprise"] == weights["token_surprise"] == pytest.approx(0.5 / 3)
    assert weights["length"] == weights["refusals"] == pytest.approx(0.5 / 6)


def test_frozen_scores_survive_json_to_the_last_bit() -> None:
    rng = random.Random(11)

    def run_with_everything() -> RunFeatures:
        answers = read_run(rng, canaries=3, finish_reason="stop", latency_s=rng.random()).answers
        more = {"first_top": top(-rng.random(), -2.0, -3.0), "checks": {"json": True}}
        return run_of(*(replace(answer, **more) for answer in answers))  # type: ignore[arg-type]

    scores = fit([run_with_everything() for _ in range(20)], {"c0": 1, "c1": 1, "c2": 1})
    again = FrozenScores.from_json(scores.to_json())
    assert again == scores
    assert again.to_json() == scores.to_json()
    run = run_with_everything()
    assert again.score(run) == scores.score(run)
    assert {"logprob_shift", "bigram_surprise", "layout_surprise", "unfinished"} <= scores.score(run).keys()


def test_scores_do_not_depend_on_the_order_of_the_train_runs() -> None:
    rng = random.Random(12)
    train = [read_run(rng, canaries=3) for _ in range(20)]
    run = read_run(rng, canaries=3)
    forward, backward = (fit(t, expected(run)).score(run) for t in (train, train[::-1]))
    assert forward == pytest.approx(backward)


def test_expected_samples_are_the_most_that_a_run_had() -> None:
    runs = [run_of(said("a", "x"), said("a", "x", 1)), run_of(said("a", "x"), said("b", "x"))]
    assert expected_samples(runs) == {"a": 2, "b": 1}
