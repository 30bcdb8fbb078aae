"""What to expect of a frozen baseline: false pages, delays, and what it could not see, by the ledger of live."""

import json
import random
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alerts.evidence.bets import tie_break
from alerts.evidence.ledger import Budgets, Kind, Observation, observe, open_ledger
from alerts.evidence.ranks import rank
from canaries.baseline import Baseline, freeze
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from canaries.sensitivity import Scored
from monitor import MonitorError
from monitor.cli import main
from monitor.foresight.many_ledgers import Drawable, ManyLedgers, Stake
from monitor.foresight.sensitivity import runs_to_try, sensitivity_of, usual_slot_s
from monitor.foresight.simulate import simulate, stretch_runs
from monitor.foresight.simulation import CHANGES, Change, Plan, Simulation
from monitor.foresight.simulation_picture import draw

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = 3600.0
LABELS = ("billing", "bug", "feature", "account")
Say = Callable[[random.Random, int], str]
"""What a canary answers in a run, by the number of the run."""


def label(rng: random.Random, run: int) -> str:
    return rng.choices(LABELS, (8, 2, 1, 1))[0]


def sticky(rng: random.Random, run: int) -> str:
    """One of two backends, each kept for eight runs, of which one answers more at random."""
    return rng.choices(LABELS, (40, 1, 1, 1) if run // 8 % 2 else (2, 3, 3, 3))[0]


def runs_of(say: Say, runs: int, samples: int = 1, canaries: int = 6) -> list[RunFeatures]:
    rng = random.Random(11)
    return [
        RunFeatures(
            f"run-{n}",
            tuple(
                AnswerFeatures(
                    f"c{c}", sample, answer_hash=f"#{word}", token_counts={word: 1},
                    bigram_counts={f" {word}": 1, f"{word} ": 1}, length=1,
                )
                for c in range(canaries)
                for sample in range(samples)
                if (word := f"{say(rng, n)}-{c}")
            ),
            START + timedelta(hours=n),
        )
        for n in range(runs)
    ]  # fmt: skip


def collecting(runs: Sequence[RunFeatures], samples: int = 1) -> Baseline:
    canaries = {name: {"samples": samples} for name in runs[0].answered()}
    return Baseline("bot-1", "bot", "support", Contract({"stream": True}, canaries), created_at=START)


@cache
def frozen(say: Say = label, runs: int = 96, samples: int = 1) -> tuple[Baseline, tuple[RunFeatures, ...]]:
    found = runs_of(say, runs, samples)
    now = found[-1].at or START
    return freeze(collecting(found, samples), found, lambda run_id: tie_break(b"", run_id), now), tuple(found)


def plan(**changes: Any) -> Plan:
    return replace(Plan(HOUR, pages_per_quarter=1.0, quarters=6, repetitions=12, splits=3), **changes)


@cache
def simulated(say: Say = label, **changes: float) -> Simulation:
    return simulate(*frozen(say), plan(**changes))


def delays(result: Simulation) -> dict[str, float]:
    return {one.change: one.median_runs or float("inf") for one in result.delays}


# --- false pages and delays


def test_runs_like_those_of_the_baseline_keep_the_budget() -> None:
    false = simulated(quarters=40).false_pages
    assert false.budget == 1.0
    assert false.per_quarter <= false.budget + 3 * false.standard_error
    assert false.quarters == 40


def test_a_share_of_the_budget_is_what_the_target_has() -> None:
    assert simulated(share=0.25).false_pages.budget == 0.25


def test_sticky_runs_are_drawn_in_stretches() -> None:
    baseline, runs = frozen(sticky)
    assert stretch_runs(frozen(label)[0]) == 1
    assert stretch_runs(baseline) >= 4
    result = simulate(baseline, runs, plan(quarters=2, repetitions=1))
    assert result.stretch_runs == stretch_runs(baseline)


def test_a_larger_change_is_found_sooner() -> None:
    found = delays(simulated())
    five, ten, twenty, fifty = (found[f"{share} % of all answers moved"] for share in (5, 10, 20, 50))
    assert fifty <= twenty <= ten <= five
    assert fifty < five
    assert fifty >= 2  # no rank of a single run can page


def test_every_kind_of_change_is_told_with_its_repetitions() -> None:
    result = simulated()
    assert [one.change for one in result.delays] == [one.name for one in CHANGES]
    assert {one.repetitions for one in result.delays} == {12}


def test_a_tighter_budget_takes_longer() -> None:
    tight, wide = simulated(pages_per_quarter=0.01), simulated(pages_per_quarter=20.0)
    name = "10 % of all answers moved"
    assert delays(wide)[name] < delays(tight)[name]


def test_without_a_budget_nothing_is_found_and_nothing_pages() -> None:
    result = simulated(pages_per_quarter=0.0)
    assert result.false_pages.per_quarter == 0
    assert {(one.median_runs, one.q90_runs, one.found_share) for one in result.delays} == {(None, None, 0.0)}


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    assert simulate(*frozen(), plan()) == simulated()
    assert simulate(*frozen(), plan(seed=1)) != simulated()


def test_fewer_samples_of_each_canary_take_longer_and_are_fewer_answers() -> None:
    full = simulate(*frozen(samples=4), plan())
    thin = simulate(*frozen(samples=4), plan(samples=1))
    assert (full.answers_a_run, thin.answers_a_run) == (24, 6)
    name = "5 % of all answers moved"
    assert delays(full)[name] < delays(thin)[name]


def test_progress_goes_from_nothing_to_everything() -> None:
    told: list[float] = []
    simulate(*frozen(), plan(quarters=2, repetitions=2), told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_machines_get_delays_in_runs_hours_and_answers() -> None:
    result = simulate(*frozen(), plan(slot_s=900.0, quarters=2))
    plain = json.loads(json.dumps(result.to_plain()))
    assert (plain["target"], plain["every_s"], plain["seed"], plain["recorded_runs"]) == ("bot", 900.0, 0, 96)
    fifty = next(one for one in plain["delays"] if one["change"].startswith("50 % of all answers moved"))
    runs = fifty["median"]["runs"]
    assert fifty["median"] == {"runs": runs, "hours": runs / 4, "answers": 6 * runs}


# --- what cannot be simulated


def _cases() -> dict[str, tuple[Baseline, Sequence[RunFeatures], Plan, str]]:
    baseline, runs = frozen()
    gone = [replace(run, answers=()) if n < 30 else run for n, run in enumerate(runs)]
    return {
        "not frozen": (
            collecting(runs),
            runs[:20],
            plan(),
            "bot-1 is collecting, with 20 runs: only a frozen",
        ),
        "forgotten": (baseline, gone, plan(), "frozen on 96 runs, and the answers of 66 are still stored"),
        "too few": (*frozen(runs=20), plan(), "12 calibration runs: it opens tickets only. Pages need 24"),
        "more samples": (
            baseline,
            runs,
            plan(samples=2),
            "have 1 sample of each canary: 2 cannot be made of them",
        ),
    }


@pytest.mark.parametrize("case", ["not frozen", "forgotten", "too few", "more samples"])
def test_what_cannot_be_simulated_is_an_error_that_says_why(case: str) -> None:
    baseline, runs, its_plan, message = _cases()[case]
    with pytest.raises(MonitorError, match=message):
        simulate(baseline, runs, its_plan)


# --- the ledgers side by side are those of live


def drawn_scores(rng: np.random.Generator, names: Sequence[str], mean: float) -> dict[str, float]:
    return {name: float(rng.normal(mean)) for name in names if rng.random() > 0.05}


def test_many_ledgers_page_when_live_would() -> None:
    rng = np.random.default_rng(2)
    names, slot_s, budget = ("suite", "peak", "slow"), 900.0, 5.0
    weights = {"suite": 0.4, "peak": 0.3, "slow": 0.3}
    calibrations = [
        {name: [(float(rng.normal()), float(rng.random()), lab) for lab in ("A", "B") * 30] for name in names}
        for _ in range(3)
    ]
    ranked = [rank(calibration) for calibration in calibrations]
    stakes = [Stake(ranks, weights, ("slow",)) for ranks in ranked]
    runs = [
        [Scored("AB"[int(rng.integers(2))], drawn_scores(rng, names, 1.5 * (step > 60))) for _ in stakes]
        for step in range(160)
    ]

    many = ManyLedgers(stakes, slot_s, budget)
    accounts, together = many.opened(), []
    drawn = [Drawable.of([row[i] for row in runs], stake.ranks) for i, stake in enumerate(stakes)]
    for step in range(len(runs)):
        accounts, paging = many.step(accounts, step * slot_s, [(one, step) for one in drawn], rng)
        together.append(paging.tolist())

    single = []
    for i, ranks in enumerate(ranked):
        ledger, pages = open_ledger(ranks), []
        for step, row in enumerate(runs):
            at = datetime.fromtimestamp(step * slot_s, UTC)
            observation = Observation(f"{step}", at, slot_s, 0.5, row[i].scores, row[i].label)
            found = observe(ranks, ledger, observation, weights, Budgets(budget), ("slow",))
            ledger = found.ledger
            pages.append(any(alarm.kind is Kind.PAGE for alarm in found.alarms))
        single.append(pages)
    assert together == [list(row) for row in zip(*single, strict=True)]
    assert any(map(any, single))


# --- what it could not see


def test_the_baseline_s_own_ledger_says_what_it_could_not_see() -> None:
    baseline, runs = frozen()
    tried = [run for run in runs if run.run_id in runs_to_try(baseline)]
    found = sensitivity_of(baseline, tried, HOUR, 0.25)
    assert found.suite_mde is not None
    assert 0 < found.suite_mde < 0.2
    assert set(found.by_canary) == {f"c{n}" for n in range(6)}
    assert found.horizon_runs == 24
    nothing = sensitivity_of(baseline, tried, HOUR, 0.0)
    assert (nothing.suite_mde, set(nothing.by_canary.values())) == (None, {None})


def test_what_it_says_to_see_in_a_day_is_what_the_simulation_finds_in_a_day() -> None:
    baseline, runs = frozen()
    mde = sensitivity_of(baseline, runs[-48:], HOUR, 0.25).suite_mde
    assert mde is not None
    changes = (Change("less", mde / 3), Change("more", mde * 3))
    result = simulate(
        baseline, runs, plan(pages_per_quarter=0.25, quarters=2, repetitions=30, changes=changes)
    )
    found = delays(result)
    assert found["more"] < 24 < found["less"]


def test_more_runs_a_day_see_a_smaller_change_of_one_canary() -> None:
    baseline, runs = frozen()
    often, rare = (
        sensitivity_of(baseline, runs[-40:], slot_s, 0.25).by_canary["c0"] for slot_s in (900.0, HOUR)
    )
    assert often is not None
    assert rare is None or often < rare


def test_of_a_long_baseline_some_runs_from_all_of_its_time_are_tried() -> None:
    baseline, _ = frozen()
    ids = tuple(f"run-{n}" for n in range(1000))
    tried = runs_to_try(replace(baseline, calibration_ids=ids))
    assert len(tried) == 64
    assert (tried[0], tried[-1]) == (ids[0], ids[-1])


def test_the_usual_time_between_runs_is_that_of_the_runs() -> None:
    _, runs = frozen()
    assert usual_slot_s(runs) == HOUR
    assert usual_slot_s(runs[:1]) is None


# --- the command


@pytest.fixture
def call(
    frozen_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``anchorwatch simulate`` beside a database with a frozen baseline, few repetitions: its exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        few = ["--quarters", "2", "--repetitions", "2", "--data", str(frozen_file.parent)]
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "simulate", *arguments, *few])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return call


def test_the_command_tells_people_and_machines_the_same(call: Callable[..., tuple[int, str, str]]) -> None:
    code, people, err = call("bot")
    assert code == 0
    assert err.startswith("note: bot is not in the configuration here, or there is none\n")
    assert "bot-1, a run every 1 h with 6 answers; 0.25 false pages a quarter allowed" in people
    assert "2 repetitions, seed 0. The runs are drawn anew from the 48 of the baseline" in people
    machines = json.loads(call("bot", "--json")[1])
    assert (machines["baseline"], machines["every_s"], machines["share"]) == ("bot-1", HOUR, 1.0)
    for one in machines["delays"]:
        runs = "not in 14 days" if one["median"] is None else f"{one['median']['runs']:g} runs"
        line = next(line for line in people.splitlines() if one["change"] in line)
        assert runs in line


def test_a_target_that_is_configured_is_simulated_as_it_is_configured(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    Path("suite.yaml").write_text("name: s\ncanaries: [{id: c0, prompt: Hello}]\n")
    Path("anchorwatch.yaml").write_text(
        """
budget: {pages_per_quarter: 1}
targets:
  bot: {provider: openai, model: m, base_url: "http://127.0.0.1:1/v1", suite: suite.yaml, every: 30m}
"""
    )
    code, people, err = call("bot")
    assert (code, err) == (0, "")
    assert "a run every 30 min with 6 answers; 1 false pages a quarter allowed" in people


def test_the_command_draws_a_picture(call: Callable[..., tuple[int, str, str]]) -> None:
    assert call("bot-1", "--picture", "delays.svg", "--every", "4h")[0] == 0
    assert ElementTree.fromstring(Path("delays.svg").read_text()).tag.endswith("svg")


REFUSED = {
    "no such target": (["pot"], "no target, and no baseline, is called 'pot'"),
    "not a duration": (["bot", "--every", "soon"], "--every soon: "),
    "too often": (
        ["bot", "--every", "1s"],
        "runs 1 s apart takes too long to simulate: say --every 60s or more",
    ),
    "more samples": (["bot", "--samples", "3"], "have 1 sample of each canary: 3 cannot be made of them"),
    "no such folder": (["bot", "--picture", "none/delays.svg"], "none/delays.svg: cannot be written"),
    "no such configuration": (["bot", "-c", "none.yaml"], "none.yaml: cannot be read"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_the_command_says_what_it_cannot_do(
    call: Callable[..., tuple[int, str, str]], arguments: list[str], message: str
) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_baseline_show_tells_what_the_baseline_could_not_see(
    frozen_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    said = []
    for more in ([], ["--json"]):
        monkeypatch.setattr(
            sys, "argv", ["anchorwatch", "baseline", "show", "bot", "--data", str(frozen_file.parent), *more]
        )
        with pytest.raises(SystemExit):
            main()
        said.append(capsys.readouterr().out)
    found = json.loads(said[1])["sensitivity"]
    assert set(found["by_canary"]) == {"label-0", "label-1", "label-2", "text-0", "text-1", "text-2"}
    assert "all answers replaced by ones never seen" in said[0]
    for one in found["blind"]:
        assert f"{one['canary']}: {one['why']}; {one['advice']}" in said[0].replace("\n", " ")


# --- the picture


def test_the_picture_names_each_change_and_its_delays() -> None:
    result = replace(simulated(), target="<bot> & co")
    root = ElementTree.fromstring(draw(result))
    words = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words[0] == "How long a change of <bot> & co stays unnoticed"
    for one in result.delays:
        assert one.change in words
        if one.median_runs is not None and one.q90_runs is not None:
            assert f"{one.median_runs:g} runs, 90 %: {one.q90_runs:g}" in words
    assert any(word.startswith("from the change to the page") for word in words)


def test_a_change_that_is_not_found_is_drawn_as_such() -> None:
    words = draw(simulated(pages_per_quarter=0.0))
    assert words.count("0% found in 14 days") == len(CHANGES)


def test_everything_is_inside_the_picture(tmp_path: Path) -> None:
    root = ElementTree.fromstring(draw(simulated()))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for part in root.iter():
        for name, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert 0 <= float(part.attrib.get(name, 0)) <= most
