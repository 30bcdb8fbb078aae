"""One look at two files: what the verdict is, why, and that its error is what it says."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from canaries import CompletionsError
from canaries.compare import Comparison, Settings, Verdict, compare
from canaries.compare.plain import to_plain
from canaries.compare.words import details, headline
from canaries.completion import Completion, Outcome, Run
from canaries.suite import Canary, Expectations, Message, Suite

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = Settings(permutations=199)
WORDS = (
    "the",
    "ship",
    "lies",
    "at",
    "anchor",
    "in",
    "a",
    "bay",
    "while",
    "wind",
    "and",
    "tide",
    "turn",
    "her",
    "round",
)


def rows(*completions: Completion) -> list[Run]:
    """Every completion as a run of its own, as of a file without ``run``."""
    return [Run(f"line-{i}", "", "", NOW, (one,)) for i, one in enumerate(completions)]


def runs(*groups: Sequence[Completion]) -> list[Run]:
    return [Run(f"run-{i}", "", "", NOW, tuple(group)) for i, group in enumerate(groups)]


def sentences(
    rng: np.random.Generator, canaries: int, samples: int, rare: float = 0.0
) -> Iterator[Completion]:
    for canary in range(canaries):
        for _ in range(samples):
            words = [
                f"rare{rng.integers(10_000)}" if rng.random() < rare else WORDS[rng.integers(len(WORDS))]
                for _ in range(rng.integers(8, 16))
            ]
            yield Completion(f"canary-{canary}", text=f"{canary}: {' '.join(words)}.", finish_reason="stop")


def labels(counts: dict[str, int], canary: str = "label", **fields: float) -> Iterator[Completion]:
    for text, n in counts.items():
        for _ in range(n):
            yield Completion(canary, text=text, **fields)  # type: ignore[arg-type]


def score_of(found: Comparison, name: str) -> float:
    [result] = [one for one in found.scores if one.score.name == name]
    return result.p_value


def test_answers_of_one_model_are_the_same() -> None:
    rng = np.random.default_rng(1)
    found = compare(rows(*sentences(rng, 6, 10)), rows(*sentences(rng, 6, 10)), QUICK)
    assert found.verdict is Verdict.SAME
    assert headline(found).startswith("No difference found")
    assert "would probably have shown" in details(found)[0]


def test_rarer_words_are_different_and_the_score_that_sees_them_says_so() -> None:
    rng = np.random.default_rng(2)
    found = compare(rows(*sentences(rng, 6, 10)), rows(*sentences(rng, 6, 10, rare=0.2)), QUICK)
    assert found.verdict is Verdict.DIFFERENT
    assert found.p_value == pytest.approx(1 / 200)
    assert score_of(found, "rarity") <= 0.05
    [rarity] = [one for one in found.scores if one.score.name == "rarity"]
    assert rarity.effect is not None
    assert 0 < rarity.effect.low < rarity.effect.value < rarity.effect.high


def test_identical_files_are_the_same_with_p_1() -> None:
    answers = list(sentences(np.random.default_rng(3), 5, 8))
    found = compare(rows(*answers), rows(*answers), QUICK)
    assert (found.verdict, found.p_value) == (Verdict.SAME, 1.0)


def test_exchanging_the_sides_turns_effects_round_and_keeps_the_verdict() -> None:
    rng = np.random.default_rng(4)
    base, current = rows(*sentences(rng, 4, 10)), rows(*sentences(rng, 4, 10, rare=0.3))
    there, back = compare(base, current, QUICK), compare(current, base, QUICK)
    assert there.verdict is back.verdict is Verdict.DIFFERENT
    for one, other in zip(there.scores, back.scores, strict=True):
        if one.effect is not None and other.effect is not None and one.score.unit.value == "nats":
            assert one.effect.value == pytest.approx(-other.effect.value)


def test_the_same_seed_gives_the_same_figures() -> None:
    rng = np.random.default_rng(5)
    base, current = rows(*sentences(rng, 4, 6)), rows(*sentences(rng, 4, 6))
    assert to_plain(compare(base, current, QUICK)) == to_plain(compare(base, current, QUICK))


def test_one_answer_a_side_of_many_canaries_is_enough_for_a_change_that_moves_them_alike() -> None:
    rng = np.random.default_rng(6)
    found = compare(rows(*sentences(rng, 40, 1)), rows(*sentences(rng, 40, 1, rare=0.3)), QUICK)
    assert found.verdict is Verdict.DIFFERENT
    assert all(one.p_value == 1.0 for one in found.canaries)
    assert any("One answer of each side does not tell" in line for line in details(found))


def test_the_one_canary_that_changed_its_label_is_named() -> None:
    base = [one for i in range(10) for one in labels({"yes": 8, "no": 2}, f"canary-{i}")]
    current = [one for i in range(9) for one in labels({"yes": 8, "no": 2}, f"canary-{i}")]
    current += labels({"perhaps": 10}, "canary-9")
    found = compare(rows(*base), rows(*current), Settings(permutations=999))
    assert found.verdict is Verdict.DIFFERENT
    assert [one.canary for one in found.canaries if one.p_value <= 0.05] == ["canary-9"]
    assert found.canaries[0].canary == "canary-9"


def test_the_false_positive_rate_is_the_level() -> None:
    rng = np.random.default_rng(7)
    settings = Settings(permutations=99)
    wrong = sum(
        compare(rows(*sentences(rng, 2, 4)), rows(*sentences(rng, 2, 5)), settings).p_value <= 0.1
        for _ in range(100)
    )
    assert wrong <= 19  # 10 are expected; more than 19 come once in 500 times


def backend_runs(rng: np.random.Generator, count: int) -> list[Run]:
    """Runs that are served by one of two backends each, with other answers."""
    share = [0.9 if rng.random() < 0.5 else 0.1 for _ in range(count)]
    return runs(*([Completion("label", text="AB"[rng.random() < p]) for _ in range(10)] for p in share))


def test_runs_that_are_alike_inside_do_not_cry_wolf_where_single_answers_would() -> None:
    rng = np.random.default_rng(8)
    settings = Settings(permutations=99)
    by_run = by_answer = 0
    for _ in range(60):
        base, current = backend_runs(rng, 8), backend_runs(rng, 8)
        by_run += compare(base, current, settings).p_value <= 0.05
        apart = [rows(*(one for run in side for one in run.completions)) for side in (base, current)]
        by_answer += compare(*apart, settings).p_value <= 0.05
    assert by_run <= 8
    assert by_answer >= 18


def test_too_few_runs_are_inconclusive_and_it_is_said_how_many_more_would_decide() -> None:
    rng = np.random.default_rng(9)
    base, current = (runs(*(list(sentences(rng, 5, 4, rare=rare)) for _ in range(3))) for rare in (0.0, 0.9))
    found = compare(base, current, QUICK)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.is_exact
    assert found.permutations == 20
    assert found.reach.p_min == pytest.approx(
        0.1
    )  # 20 arrangements, two of which differ only in which side is which
    assert found.reach.more == 1
    assert "1 more run on each side would decide" in " ".join(details(found))


def test_too_few_answers_are_inconclusive() -> None:
    found = compare(rows(*labels({"A": 3, "B": 2})), rows(*labels({"A": 2, "B": 3})), QUICK)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reach.detectable > 0.5
    assert found.reach.more > 10


def test_enough_more_answers_do_decide() -> None:
    few = compare(rows(*labels({"A": 3, "B": 2})), rows(*labels({"A": 2, "B": 3})), QUICK)
    n = 5 + few.reach.more
    found = compare(
        rows(*labels({"A": n - n // 2, "B": n // 2})), rows(*labels({"A": n // 2, "B": n - n // 2})), QUICK
    )
    assert found.verdict is Verdict.SAME


def test_canaries_of_one_side_are_told_and_left_out() -> None:
    base = [*labels({"A": 20, "B": 20}), *labels({"x": 5}, "old")]
    current = [*labels({"A": 20, "B": 20}), *labels({"x": 5}, "new")]
    found = compare(rows(*base), rows(*current), QUICK)
    assert (found.pairing.only_base, found.pairing.only_current) == (("old",), ("new",))
    assert [one.canary for one in found.canaries] == ["label"]
    assert any("old" in line for line in details(found))


def test_nothing_in_common_cannot_be_used() -> None:
    with pytest.raises(CompletionsError, match="no canary is in both files"):
        compare(rows(*labels({"A": 3}, "one")), rows(*labels({"A": 3}, "other")), QUICK)


def test_failed_requests_are_told_and_do_not_decide() -> None:
    failed = [Completion("label", outcome=Outcome.TIMEOUT) for _ in range(30)]
    found = compare(rows(*labels({"A": 20, "B": 20})), rows(*labels({"A": 20, "B": 20}), *failed), QUICK)
    assert found.verdict is Verdict.SAME
    assert score_of(found, "errors") <= 0.05
    assert any("30 timeout" in line for line in details(found))


def test_a_side_that_only_failed_is_inconclusive() -> None:
    failed = rows(*(Completion("label", outcome=Outcome.SERVER) for _ in range(40)))
    found = compare(rows(*labels({"A": 20, "B": 20})), failed, QUICK)
    assert (found.verdict, found.p_value) == (Verdict.INCONCLUSIVE, 1.0)
    assert "One side has no answer" in details(found)[0]


SLOWER = [
    pytest.param(False, Verdict.SAME, id="told only"),
    pytest.param(True, Verdict.DIFFERENT, id="asked to decide"),
]


@pytest.mark.parametrize(("decides", "verdict"), SLOWER)
def test_slower_answers_are_different_only_when_performance_decides(decides: bool, verdict: Verdict) -> None:
    base = rows(*labels({"A": 20, "B": 20}, latency_s=1.0), *labels({"A": 5}, latency_s=1.1))
    current = rows(*labels({"A": 20, "B": 20}, latency_s=2.0), *labels({"A": 5}, latency_s=2.2))
    found = compare(base, current, Settings(permutations=199, performance_decides=decides))
    assert found.verdict is verdict
    assert score_of(found, "latency") <= 0.05
    [latency] = [one for one in found.scores if one.score.name == "latency"]
    assert latency.effect is not None
    assert latency.effect.value == pytest.approx(1.0, abs=0.01)


def test_a_sure_but_tiny_difference_is_called_negligible() -> None:
    rng = np.random.default_rng(10)

    def side(shift: float) -> list[Run]:
        drawn = rng.normal(-1.0 + shift, 0.001, 400)
        return rows(*(Completion("label", text="A", logprobs=(float(x),)) for x in drawn))

    found = compare(side(0.0), side(0.002), QUICK)
    assert found.p_value <= 0.05
    assert (found.verdict, found.is_negligible) == (Verdict.SAME, True)
    assert "too little to mean anything" in headline(found)


@pytest.mark.parametrize(
    ("base", "current", "is_beyond"),
    [
        pytest.param({"A": 30}, {"A": 4, "Quite another answer.": 26}, True, id="nearly all are others"),
        pytest.param({"A": 80, "B": 20}, {"A": 64, "B": 36}, False, id="by a little, as far as can be told"),
    ],
)
def test_it_is_told_whether_the_size_of_a_difference_is_sure(
    base: dict[str, int], current: dict[str, int], is_beyond: bool
) -> None:
    found = compare(rows(*labels(base)), rows(*labels(current)), QUICK)
    assert found.p_value <= 0.05
    assert found.verdict is Verdict.DIFFERENT
    assert found.is_beyond_floor is is_beyond
    assert any("by how much is not" in line for line in details(found)) is not is_beyond
    assert to_plain(found)["is_beyond_floor"] is is_beyond


def test_a_broken_expectation_is_seen_with_a_suite() -> None:
    expectations = Expectations(labels=("A", "B"))
    suite = Suite("s", (Canary("label", (Message("user", "?"),), {}, None, expectations),))
    base, current = rows(*labels({"A": 20, "B": 20})), rows(*labels({"A": 10, "C": 30}))
    found = compare(base, current, QUICK, suite=suite)
    assert score_of(found, "validator_failures") <= 0.05
    assert "validator_failures" not in {one.score.name for one in compare(base, current, QUICK).scores}


def test_a_canary_that_the_suite_does_not_know_is_told() -> None:
    suite = Suite("s", (Canary("other", (Message("user", "?"),), {}, None, Expectations()),))
    found = compare(rows(*labels({"A": 5})), rows(*labels({"A": 5})), QUICK, suite=suite)
    assert "Not in suite s, and without expectations: label." in details(found)


def first_tokens(shift: float, wobble: Sequence[float]) -> list[Run]:
    """Ten answers to each of six canaries; each entry of ``wobble`` is one evaluation of the prompt."""
    return rows(
        *(
            Completion(
                f"canary-{canary}",
                text="yes",
                first_top=(("yes", -0.1 + shift + wobble[i % len(wobble)]), ("no", -2.0)),
            )
            for canary in range(6)
            for i in range(10)
        )
    )


FIRST_TOKENS = [
    pytest.param(first_tokens(0, (0.0,)), first_tokens(0.2, (0.0,)), True, id="other weights"),
    pytest.param(first_tokens(0, (0.0,)), first_tokens(0.015, (0.0,)), False, id="another batch shape"),
    pytest.param(
        first_tokens(0, (0.0, 0.1)),
        first_tokens(0, (0.06, 0.16)),
        False,
        id="two noisy evaluations of each prompt",
    ),
    pytest.param(
        first_tokens(0, tuple(np.arange(5) / 100)),
        first_tokens(0.5, tuple(np.arange(5) / 100 + 0.001)),
        True,
        id="five evaluations, far apart",
    ),
]


@pytest.mark.parametrize(("base", "current", "is_different"), FIRST_TOKENS)
def test_first_tokens_are_permuted_by_evaluation_of_the_prompt(
    base: list[Run], current: list[Run], is_different: bool
) -> None:
    found = compare(base, current, QUICK)
    assert (score_of(found, "first_logprobs") <= 0.05) is is_different
    assert (found.verdict is Verdict.DIFFERENT) is is_different


def test_a_side_without_runs_is_told_and_compared_by_answers() -> None:
    base = runs(*(list(labels({"A": 2, "B": 2})) for _ in range(10)))
    found = compare(base, rows(*labels({"A": 20, "B": 20})), QUICK)
    assert not found.pairing.runs_given
    assert any("no runs of several answers" in line for line in details(found))


def test_more_answers_than_are_compared_are_told() -> None:
    found = compare(rows(*labels({"A": 400, "B": 400})), rows(*labels({"A": 20, "B": 20})), QUICK)
    assert found.pairing.answers == (500, 40)
    assert any("500 of 800 answers" in line for line in details(found))


def test_empty_answers_are_answers() -> None:
    found = compare(rows(*labels({"": 20, "A": 20})), rows(*labels({"": 20, "A": 20})), QUICK)
    assert found.verdict is Verdict.SAME


BAD_SETTINGS = [
    pytest.param({"permutations": 50_001}, "from 1 to 50,000", id="more permutations than fit into memory"),
    pytest.param({"alpha": 0.0}, "alpha", id="no level"),
    pytest.param({"detect": 0.0}, "detect", id="nothing to detect"),
    pytest.param(
        {"alpha": 0.001, "permutations": 500}, "at least 999", id="too few permutations for the level"
    ),
]


@pytest.mark.parametrize(("given", "message"), BAD_SETTINGS)
def test_settings_that_cannot_work_say_what_would(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**given)  # type: ignore[arg-type]
