"""What a baseline could not see: which changes are found, who is blind, and runs as they might have been."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from canaries import BaselineError
from canaries.completion import Outcome
from canaries.features import AnswerFeatures, RunFeatures
from canaries.imagined import TEXT_FIELDS, Ordinary, Recorded, move_count, move_share
from canaries.scores import FrozenScores, expected_samples, fit
from canaries.sensitivity import SHARES, Runs, Sensitivity, Setting, horizon_runs, measure
from canaries.thinning import thinned

WORDS = [f"word{n}" for n in range(400)]
Answer = Callable[[random.Random], str]


def said(canary: str, text: str, sample: int = 0, **fields_: object) -> AnswerFeatures:
    words = text.split()
    counts = {word: words.count(word) for word in words}
    return AnswerFeatures(
        canary, sample, answer_hash=f"#{text}", token_counts=counts, length=len(words), **fields_,  # type: ignore[arg-type]
    )  # fmt: skip


def constant(rng: random.Random) -> str:
    return "yes"


def label(rng: random.Random) -> str:
    return rng.choices(("bug", "billing", "account"), (8, 2, 1))[0]


def text(first: int, words: int = 40) -> Answer:
    return lambda rng: " ".join(rng.choices(WORDS[first : first + 30], k=words))


def anything(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.choice((1, 2, 40))))


SUITE: dict[str, Answer] = {f"label{n}": label for n in range(4)} | {"text0": text(0), "text1": text(30)}


def run_of(
    suite: Mapping[str, Answer], rng: random.Random, run_id: str = "run", samples: int = 1
) -> RunFeatures:
    answers = [said(name, answer(rng), sample) for name, answer in suite.items() for sample in range(samples)]
    return RunFeatures(run_id, tuple(answers))


def baseline(
    suite: Mapping[str, Answer], samples: int = 1, runs: int = 80, seed: int = 1
) -> tuple[FrozenScores, list[RunFeatures]]:
    rng = random.Random(seed)
    all_ = [run_of(suite, rng, f"run-{n}", samples) for n in range(runs)]
    train, calibration = all_[: runs // 2], all_[runs // 2 :]
    return fit(train, expected_samples(train)), calibration


class Outliers:
    """Pages when a score lies above all calibration runs in so many runs of the horizon."""

    def __init__(
        self, scores: FrozenScores, calibration: Sequence[RunFeatures], within: int = 24, needed: int = 3
    ) -> None:
        scored = [scores.score(run) for run in calibration]
        self.limits = {name: max(one[name] for one in scored) for name in scored[0]}
        self.within, self.needed = within, needed
        self.asked: list[dict[str, Runs]] = []

    def __call__(self, drifted: Mapping[str, Runs]) -> dict[str, float]:
        self.asked.append(dict(drifted))
        return {name: self._share(runs) for name, runs in drifted.items()}

    def _share(self, runs: Runs) -> float:
        (names, *_) = [one.scores.keys() for one in runs.scored]
        beyond = max(
            sum(
                c
                for one, c in zip(runs.scored, runs.chances, strict=True)
                if one.scores[name] > self.limits[name]
            )
            for name in names
        )
        few = sum(
            math.comb(self.within, m) * beyond**m * (1 - beyond) ** (self.within - m)
            for m in range(self.needed)
        )
        return 1 - few


def measured(
    suite: Mapping[str, Answer] = SUITE,
    samples: int = 1,
    within: int = 24,
    cut: int | None = None,
    seed: int = 0,
) -> Sensitivity:
    scores, runs = baseline(suite, samples)
    calibration = {
        name: [(value, 0.5, "") for run in runs if (value := scores.score(run).get(name)) is not None]
        for name in scores.names()
    }
    rule = Outliers(scores, runs if cut is None else [thinned(run, cut) for run in runs], within)
    setting = Setting(slot_s=3600.0, pages_per_quarter=0.25, samples=cut)
    return measure(scores, calibration, runs, lambda run: "", rule, setting, np.random.default_rng(seed))


# --- how small a change is seen


def test_the_suite_sees_a_smaller_share_of_its_answers_than_a_canary_of_its_own() -> None:
    found = measured()
    assert found.suite_mde is not None
    assert 0 < found.suite_mde < min(mde for mde in found.by_canary.values() if mde is not None)


def test_a_label_sees_a_smaller_change_the_longer_it_is_looked_at() -> None:
    day, week = measured(within=24).by_canary["label0"], measured(within=7 * 24).by_canary["label0"]
    assert day is not None
    assert week is not None
    assert week < day / 3


def test_the_effect_is_where_half_of_the_cases_are_found() -> None:
    # One answer, and every moved one lies beyond: three or more of 24 runs, in half of the cases, at 11 %.
    found = measured({"only": label}).by_canary["only"]
    assert found == pytest.approx(0.11, rel=0.1)


def test_more_samples_see_smaller_changes_and_fewer_see_less() -> None:
    many, few, cut = measured(samples=8), measured(samples=1), measured(samples=8, cut=1)
    for name in ("label0", "text0"):
        finest, *others = [one.by_canary[name] or math.inf for one in (many, few, cut)]
        assert finest < min(others) / 1.5
    assert cut.samples == 1


def test_what_is_never_paged_has_no_effect_and_that_is_said() -> None:
    found = measured(within=2)
    assert (found.suite_mde, set(found.by_canary.values())) == (None, {None})
    assert found.sentences()[0] == (
        "Were all answers replaced by ones never seen, not even that would be paged within 24 h (24 runs)."
    )


def test_the_sentences_say_what_is_seen_of_the_suite_and_of_canaries_alone() -> None:
    first, second, *_ = measured().sentences()
    assert first.startswith("Were ")
    assert first.endswith(" it would be paged within 24 h (24 runs) in half of the cases.")
    assert second.startswith("Of one canary alone, its own score would see a change of ")


def test_the_same_seed_gives_the_same_figures() -> None:
    assert measured(seed=4) == measured(seed=4)


@pytest.mark.parametrize(
    ("slot_s", "runs"), [(900.0, 96), (3600.0, 24), (4 * 3600.0, 12), (86_400.0, 12)], ids=str
)
def test_the_horizon_is_a_day_and_twelve_runs_at_least(slot_s: float, runs: int) -> None:
    assert horizon_runs(slot_s) == runs


def test_the_rule_for_paging_is_asked_for_few_shares_only() -> None:
    scores, runs = baseline(SUITE)
    rule = Outliers(scores, runs)
    measure(scores, {}, runs, lambda run: "", rule, Setting(3600.0, 0.25), np.random.default_rng(0))
    assert len(rule.asked) <= 2 * math.ceil(math.log2(len(SHARES) + 1))


def test_runs_whose_answers_are_gone_are_an_error() -> None:
    scores, _ = baseline(SUITE)
    rule = lambda drifted: dict.fromkeys(drifted, 0.0)  # noqa: E731
    with pytest.raises(BaselineError, match="not stored any more"):
        measure(
            scores,
            {},
            [RunFeatures("gone", ())],
            lambda run: "",
            rule,
            Setting(3600.0, 0.25),
            np.random.default_rng(0),
        )


# --- who is blind


def blind(suite: Mapping[str, Answer], **options: int) -> dict[str, str]:
    return {one.canary: one.why for one in measured({**SUITE, **suite}, **options).blind}


def test_an_answer_that_is_always_the_same_is_named_with_advice() -> None:
    found = measured({**SUITE, "capital": constant}).blind
    (capital,) = [one for one in found if one.canary == "capital"]
    assert capital.why.startswith("always gives the same short answer (40 times)")
    assert "more open question" in capital.advice


def test_a_long_answer_that_is_always_the_same_is_not_blind() -> None:
    assert "poem" not in blind({"poem": lambda rng: " ".join(WORDS[:60])})


def test_an_answer_that_is_always_the_same_is_not_blind_where_log_probabilities_are_followed() -> None:
    rng = random.Random(3)

    def told(run: RunFeatures) -> RunFeatures:
        top = lambda: (("yes", -rng.random()), ("no", -3 - rng.random()))  # noqa: E731
        return replace(run, answers=tuple(replace(one, first_top=top()) for one in run.answers))

    runs = [told(run_of({"capital": constant, **SUITE}, rng)) for _ in range(80)]
    scores = fit(runs[:40], expected_samples(runs))
    rule = Outliers(scores, runs[40:])
    found = measure(
        scores, {}, runs[40:], lambda run: "", rule, Setting(3600.0, 0.25), np.random.default_rng(0)
    )
    assert not any("always gives the same" in one.why for one in found.blind)


def test_answers_that_are_anything_hide_a_change() -> None:
    why = blind({"chaos": anything})["chaos"]
    assert why.startswith("its answers vary so much that noise would hide a change")


def test_a_canary_that_needs_most_of_its_answers_to_move_is_named_as_coarse() -> None:
    # Four runs to look at, of which three must lie beyond: 61 % of the answers have to move.
    found = measured(within=4)
    assert found.suite_mde is not None
    assert {one.why for one in found.blind if one.canary == "label0"} == {
        f"sees gross changes only: {100 * (found.by_canary['label0'] or 0):.2g} % of its answers must move"
    }


def test_usual_labels_and_texts_are_not_blind() -> None:
    assert blind({}) == {}


def test_a_canary_without_an_answer_in_the_runs_is_named() -> None:
    scores, runs = baseline(SUITE)
    silent = [
        replace(run, answers=tuple(
            AnswerFeatures("text0", 0, Outcome.TIMEOUT) if one.canary == "text0" else one for one in run.answers
        ))
        for run in runs
    ]  # fmt: skip
    found = measure(
        scores,
        {},
        silent,
        lambda run: "",
        Outliers(scores, runs),
        Setting(3600.0, 0.25),
        np.random.default_rng(0),
    )
    assert [one.canary for one in found.blind if "none of the calibration runs" in one.why] == ["text0"]
    assert found.by_canary["text0"] is None


# --- runs as they might have been


def test_every_field_of_an_answer_is_known_to_be_text_or_kept() -> None:
    # A new field: does it come with the text? Then it belongs to TEXT_FIELDS, else to this list.
    kept = {"canary", "sample", "outcome", "finish_reason", "checks", "first_top", "mean_logprob",
            "served_model", "system_fingerprint", "refused", "latency_s", "ttft_s", "input_tokens",
            "output_tokens"}  # fmt: skip
    assert {one.name for one in fields(AnswerFeatures)} == {"answer_hash", *TEXT_FIELDS, *kept}


def test_a_moved_answer_has_the_words_of_another_canary_and_a_hash_of_its_own() -> None:
    known = said("a", "yes", checks={"ok": True}, mean_logprob=-0.5)
    recorded = Recorded.of([RunFeatures("run", (known, said("b", "far away")))])
    moved = recorded.moved(known, np.random.default_rng(0))
    assert moved.token_counts == {"far": 1, "away": 1}
    assert moved.answer_hash not in ("#yes", "#far away")
    assert replace(moved, answer_hash="#yes", **{name: getattr(known, name) for name in TEXT_FIELDS}) == known


def test_the_only_canary_moves_to_words_never_seen() -> None:
    known = said("a", "yes or yes")
    moved = Recorded.of([RunFeatures("run", (known,))]).moved(known, np.random.default_rng(0))
    assert sorted(moved.token_counts.values()) == [1, 2]
    assert not set(moved.token_counts) & set(known.token_counts)
    assert moved.length == known.length


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_exactly_the_share_of_the_answers_is_moved(share: float) -> None:
    _, runs = baseline(SUITE)
    recorded = Recorded.of(runs)
    for only, answers in ((None, 6 * len(runs)), (("text0",), len(runs))):
        moved = move_share(runs, share, recorded, np.random.default_rng(0), only)
        pairs = [
            pair
            for one, other in zip(runs, moved, strict=True)
            for pair in zip(one.answers, other.answers, strict=True)
        ]
        changed = [before for before, after in pairs if before != after]
        assert len(changed) == round(share * answers)
        assert not only or {one.canary for one in changed} <= set(only)


def test_failed_requests_stay_failed() -> None:
    failed = RunFeatures("run", (AnswerFeatures("a", 0, Outcome.TIMEOUT), said("b", "yes")))
    (moved,) = move_share([failed], 1.0, Recorded.of([failed]), np.random.default_rng(0))
    assert moved.answers[0] == failed.answers[0]
    assert moved.answers[1] != failed.answers[1]


def test_a_count_of_a_canary_s_samples_is_moved() -> None:
    answers = [said("a", "yes", sample) for sample in range(5)]
    moved = move_count(answers, 2, Recorded({"b": (said("b", "no"),)}), np.random.default_rng(0))
    assert sum(one != other for one, other in zip(answers, moved, strict=True)) == 2


def test_sharpened_runs_have_more_of_the_commonest_answer() -> None:
    scores, runs = baseline({"only": label})
    surprise = lambda answer: scores.score(RunFeatures("", (answer,)))["canary:only"]  # noqa: E731
    sharp = Ordinary.of(Recorded.of(runs), surprise).sharpened(runs, 1.0, np.random.default_rng(0))
    usual, sharper = (
        [one.answer_hash for run in some for one in run.answers].count("#bug") for some in (runs, sharp)
    )
    assert usual < sharper < len(runs) + 1
    assert sharper > usual + 3
