"""Runs are labelled by what is known of their regime and hour, learned from train runs alone."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import orjson
import pytest

from canaries.features import AnswerFeatures, RunFeatures
from canaries.labels import LABEL_RUNS_MIN, Labeller, fit_labels
from canaries.season import Arcs, day_matters

START = datetime(2026, 1, 5, tzinfo=UTC)
CANARIES, SAMPLES = 12, 2


def run(
    number: int, answers: list[list[str]], fingerprint: str | None = None, length: int = 10
) -> RunFeatures:
    found = tuple(
        AnswerFeatures(f"c{c}", s, answer_hash=a, length=length, system_fingerprint=fingerprint)
        for c, row in enumerate(answers)
        for s, a in enumerate(row)
    )
    return RunFeatures(f"run-{number}", found, START + timedelta(hours=number))


def answers_of(rng: np.random.Generator, regime: int) -> list[list[str]]:
    """The usual answer three times in four in the first regime; each other regime has one that it prefers."""
    masses = [[0.75, 0.15, 0.05, 0.05], [0.35, 0.55, 0.05, 0.05], [0.35, 0.05, 0.55, 0.05]][regime]
    return [[str(a) for a in rng.choice(4, size=SAMPLES, p=masses)] for _ in range(CANARIES)]


def runs_of(regimes: list[int], seed: int = 0, first: int = 0) -> list[RunFeatures]:
    rng = np.random.default_rng(seed)
    return [run(first + i, answers_of(rng, regime)) for i, regime in enumerate(regimes)]


def drawn(shares: list[float], runs: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(1000 + seed)
    return [int(k) for k in rng.choice(len(shares), size=runs, p=shares)]


def purity(labels: list[str], truth: list[int]) -> float:
    """The share of runs that have the regime most common in their label."""
    groups = [[t for one, t in zip(labels, truth, strict=True) if one == label] for label in set(labels)]
    return sum(max(own.count(t) for t in set(own)) for own in groups) / len(truth)


def test_independent_runs_get_no_labels() -> None:
    called = 0
    for seed in range(20):
        labeller = fit_labels(runs_of([0] * 84, seed))
        called += labeller.labels != ("",)
    assert called <= 1  # one in fifty is expected, seasons included


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.6, 0.4], [0.4, 0.3, 0.3]], ids=str)
def test_regimes_are_found_and_later_runs_told_apart(shares: list[float]) -> None:
    labeller = fit_labels(runs_of(drawn(shares, 168), 3))
    assert labeller.labels == tuple("ABCD"[: len(shares)])
    truth = drawn(shares, 300, seed=1)
    assert purity([labeller.label(one) for one in runs_of(truth, seed=4)], truth) > 0.9
    assert "regimes learned from the answers" in labeller.describe()


def test_samples_that_are_all_alike_do_not_make_regimes() -> None:
    """At temperature 0 a canary's samples repeat within the run; each canary on its own, this is no regime."""
    rng = np.random.default_rng(5)
    for _ in range(5):
        train = [run(i, [[a] * 4 for (a, _) in answers_of(rng, 0)]) for i in range(84)]
        assert fit_labels(train).labels == ("",)


def test_answers_that_never_come_back_give_no_labels() -> None:
    train = [run(i, [[f"{i}-{c}-{s}" for s in range(2)] for c in range(5)]) for i in range(60)]
    assert fit_labels(train).labels == ("",)


def test_answers_that_are_always_the_same_give_no_labels() -> None:
    assert fit_labels([run(i, [["yes", "yes"]] * 5) for i in range(60)]).labels == ("",)


@pytest.mark.parametrize(
    "train", [[], runs_of([0, 1] * 10), [RunFeatures("empty", ())] * 60], ids=["none", "few", "empty"]
)
def test_runs_that_tell_too_little_give_no_labels(train: list[RunFeatures]) -> None:
    labeller = fit_labels(train)
    assert labeller.labels == ("",)
    assert labeller.describe() == "all runs are ranked together"


def test_a_regime_with_too_few_runs_joins_another() -> None:
    regimes = drawn([0.47, 0.47, 0.06], 168)
    labeller = fit_labels(runs_of(regimes, 6))
    assert labeller.labels == ("A", "B")
    assert min(labeller.frequencies.values()) >= LABEL_RUNS_MIN


def test_a_label_is_not_made_when_the_calibration_will_be_too_short_for_it() -> None:
    train = runs_of(drawn([0.7, 0.3], 168), 7)
    assert fit_labels(train, calibration_runs=168).labels == ("A", "B")
    assert fit_labels(train, calibration_runs=60).labels == ("",)


def test_the_commoner_regime_comes_first_and_the_rarer_surprises_more() -> None:
    labeller = fit_labels(runs_of(drawn([0.3, 0.7], 168), 8))
    assert labeller.frequencies["A"] > labeller.frequencies["B"]
    assert labeller.surprise("B") > labeller.surprise("A") > 0
    assert labeller.surprise("never seen") > labeller.surprise("B")


def test_a_run_without_answers_counts_as_one_of_the_commonest_regime() -> None:
    labeller = fit_labels(runs_of(drawn([0.3, 0.7], 168), 8))
    assert labeller.label(RunFeatures("empty", ())) == "A"


def fingerprinted(names: list[str | None]) -> list[RunFeatures]:
    return [run(i, [["yes", "no"]] * 3, name) for i, name in enumerate(names)]


def test_fingerprints_are_the_regimes_where_they_are_served() -> None:
    labeller = fit_labels(fingerprinted(["fp_1", "fp_2", "fp_1"] * 30))
    assert labeller.labels == ("fp_1", "fp_2")
    assert [labeller.label(one) for one in fingerprinted(["fp_1", "fp_2"])] == ["fp_1", "fp_2"]
    assert "2 system fingerprints (fp_1 67%, fp_2 33%)" in labeller.describe()


def test_a_new_fingerprint_is_ranked_and_not_left_out() -> None:
    labeller = fit_labels(fingerprinted(["fp_1", "fp_2", "fp_1"] * 30))
    assert [labeller.label(one) for one in fingerprinted(["fp_new", None])] == ["fp_1", "fp_1"]


USELESS = {
    "one": ["fp_1"] * 90,
    "five": ["fp_1", "fp_2", "fp_3", "fp_4", "fp_5"] * 40,
    "a rare one": ["fp_1"] * 80 + ["fp_2"] * 10,
    "often missing": ["fp_1", "fp_2", None] * 30,
}


@pytest.mark.parametrize("names", USELESS.values(), ids=USELESS)
def test_fingerprints_that_say_nothing_are_no_labels(names: list[str | None]) -> None:
    assert fit_labels(fingerprinted(names)).labels == ("",)


def seasonal(days: int, swing: float, seed: int = 0) -> list[RunFeatures]:
    """Hourly runs whose answers get longer in the afternoon."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    lengths = 100 + 20 * rng.normal(size=len(hours)) + swing * np.sin((hours - 9) / 24 * 2 * np.pi)
    return [run(i, answers_of(rng, 0), length=int(lengths[i])) for i in range(len(hours))]


def test_a_daily_wave_cuts_the_day() -> None:
    labeller = fit_labels(seasonal(14, swing=30))
    assert len(labeller.labels) == 6
    assert all(n >= 48 for n in labeller.frequencies.values())
    # Each label is one stretch of the day.
    labels = [labeller.label(one) for one in seasonal(1, swing=30)]
    assert sum(a != b for a, b in pairwise([*labels, labels[0]])) == 6
    assert "the part of the day in UTC" in labeller.describe()
    assert set(labeller.regimes_of(seasonal(1, swing=30))) == {""}


def test_without_a_wave_the_day_is_not_cut() -> None:
    assert sum(fit_labels(seasonal(14, swing=0, seed=seed)).labels != ("",) for seed in range(10)) <= 1


def test_few_runs_are_not_cut_by_the_hour() -> None:
    assert fit_labels(seasonal(3, swing=60)).labels == ("",)


def test_backends_that_are_kept_for_hours_are_no_season() -> None:
    rng = np.random.default_rng(9)
    at = [START + timedelta(hours=i) for i in range(14 * 24)]
    called = 0
    for _ in range(60):
        changes = rng.random(len(at)) < 1 / 6
        called += day_matters(np.cumsum(changes) % 2 + 0.1 * rng.normal(size=len(at)), at, rng) <= 0.01
    assert called <= 3


@pytest.mark.parametrize(
    ("arcs", "hour", "name"),
    [
        (Arcs(0, 2), 0, "00-12h"),
        (Arcs(0, 2), 12, "12-00h"),
        (Arcs(7, 2), 6, "19-07h"),
        (Arcs(5, 3), 4, "21-05h"),
        (Arcs(2, 5), 2, "02.0-06.8h"),
    ],
)
def test_an_hour_lies_in_its_arc(arcs: Arcs, hour: int, name: str) -> None:
    assert arcs.name(arcs.of(START + timedelta(hours=hour))) == name


@pytest.mark.parametrize(
    "train",
    [runs_of([0] * 60), runs_of(drawn([0.6, 0.4], 120), 3), fingerprinted(["a", "b"] * 30), seasonal(14, 30)],
    ids=["none", "regimes", "fingerprints", "season"],
)
def test_a_labeller_comes_back_from_json_as_it_was(train: list[RunFeatures]) -> None:
    labeller = fit_labels(train)
    again = Labeller.from_plain(orjson.loads(orjson.dumps(labeller.to_plain())))
    assert again == labeller
    assert again.label_all(train) == labeller.label_all(train)


def test_the_same_runs_give_the_same_labels_in_any_order() -> None:
    train = runs_of(drawn([0.6, 0.4], 120), 3)
    assert fit_labels(train) == fit_labels(train)
    shuffled = [train[i] for i in np.random.default_rng(1).permutation(len(train))]
    other = fit_labels(shuffled).label_all(train)
    assert sum(a == b for a, b in zip(other, fit_labels(train).label_all(train), strict=True)) >= 118
