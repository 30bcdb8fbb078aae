"""A recorded stream through the canary arm: the pages it gives are those that live gives."""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from watched_bot import DOWN, DRIFTED, STEADY, Answers, Bot, run_of, watched_of

from alerts.evidence.ledger import Budgets
from alerts.incident import NoticeKind
from canaries import BaselineError
from canaries.completion import Completion, Run
from canaries.completions_file import read_runs
from canaries.contract import Contract
from monitor import MonitorError
from monitor.backtest import SECRET, Backtest, backtest, default_baseline_runs, to_json
from monitor.canary_flow.explanation import Explanation
from monitor.database import Database
from monitor.drift import subject
from monitor.watched import House, Watched

BUDGETS = Budgets(pages_per_quarter=1.0)
CHANGE = 48
"""The baseline is so many runs; the change comes right after it, unless a test says otherwise."""

Fields = dict[str, Any]


def stream(
    after: Answers = STEADY, runs: int = 80, change: int = CHANGE, seed: int = 0, target: str = "bot"
) -> list[Run]:
    """Hourly runs that answer steadily, and ``after`` the change as told."""
    watched = watched_of(name=target)
    return [run_of(watched, hour, STEADY if hour < change else after, seed) for hour in range(runs)]


def rows(runs: Iterable[Run], *left_out: str) -> list[Fields]:
    """The runs as rows of a completions file."""
    return [
        {name: value for name, value in _row(run, one).items() if value is not None and name not in left_out}
        for run in runs
        for one in run.completions
    ]


def _row(run: Run, one: Completion) -> Fields:
    return {
        "run": run.id, "target": run.target, "canary": one.canary, "text": one.text, "at": run.at.isoformat(),
        "served_model": one.served_model, "system_fingerprint": one.system_fingerprint,
        "finish_reason": one.finish_reason, "latency_s": one.latency_s, "output_tokens": one.output_tokens,
        "error": None if one.is_answered else "connection refused",
    }  # fmt: skip


def written(path: Path, lines: Sequence[Fields]) -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def result_of(
    runs: Sequence[Run], baseline_runs: int | None = CHANGE, budgets: Budgets = BUDGETS
) -> Backtest:
    return backtest(runs, baseline_runs, budgets)


# --- what it finds


def test_a_steady_stream_raises_no_page() -> None:
    for seed in range(3):
        result = result_of(stream(runs=150, seed=seed))
        assert (result.runs, result.pages) == (150, ())
        assert result.assumptions["bot"].calibration_runs == 24


def test_a_drifting_stream_pages_within_few_runs_and_once() -> None:
    (page,) = result_of(stream(DRIFTED, runs=CHANGE + 30)).pages
    assert 0 < int(page.run.removeprefix("bot-")) - CHANGE < 15
    assert (page.target, page.score in result_of(stream()).assumptions["bot"].autocorrelation) == (
        "bot",
        True,
    )
    assert page.summary.startswith("bot has drifted from its baseline: ")


def test_drift_of_free_text_is_found_by_its_words() -> None:
    texts = [
        replace(run, completions=tuple(one for one in run.completions if one.canary.startswith("text")))
        for run in stream(DRIFTED, runs=CHANGE + 60)
    ]
    assert result_of(texts).pages


CHANGES = {
    "served_model": (Answers(served_model="m-2026-07"), 1),
    "fingerprint": (Answers(fingerprint="fp-2"), 3),
    "endpoint_down": (DOWN, 3),
}


@pytest.mark.parametrize(
    ("score", "answers", "runs"), [(score, *change) for score, change in CHANGES.items()], ids=CHANGES
)
def test_a_proof_in_the_stream_pages_under_its_name(score: str, answers: Answers, runs: int) -> None:
    change = CHANGE + 10
    (page,) = result_of(stream(answers, change=change, runs=change + 14)).pages
    assert (page.score, page.run) == (score, f"bot-{change + runs - 1:04d}")


def test_a_smaller_budget_pages_later_or_not_at_all() -> None:
    runs = stream(DRIFTED, runs=CHANGE + 30)
    delays = []
    for pages_per_quarter in (100.0, 1.0):
        (page, *_) = result_of(runs, budgets=Budgets(pages_per_quarter)).pages
        delays.append(int(page.run.removeprefix("bot-")))
    assert delays[0] < delays[1]
    none = result_of(runs, budgets=Budgets(0.0))
    assert none.pages == ()
    assert none.tickets


# --- it is what live does


def live(database: Database, runs: Sequence[Run]) -> list[tuple[str, str, bool]]:
    """The pages and tickets of settling each run in a transaction of its own, as the daemon does."""
    canaries = {one.canary: {"samples": 1} for one in runs[0].completions}
    watched = Watched(
        "bot", runs[0].suite, None, Contract({"stream": True}, canaries), slot_s=3600.0, baseline_runs=CHANGE
    )
    bot = Bot(database, watched, House(SECRET, BUDGETS))
    alarms, notices = {NoticeKind.FIRING, NoticeKind.ESCALATED}, []
    for run in runs:
        transitions = [one for one in bot.settle(run).transitions if alarms & set(one.notifications)]
        notices += [
            (run.id, subject(one.incident.finding), one.is_page) for one in transitions if one.incident
        ]
    return notices


STORIES = {
    "drift": stream(DRIFTED, runs=90),
    "drift and recovery": stream(DRIFTED, runs=70) + [run_of(watched_of(), hour) for hour in range(70, 100)],
    "another model": stream(Answers(served_model="m-2026-07"), change=60),
    "an hour without answers": stream(DOWN, runs=52) + [run_of(watched_of(), hour) for hour in range(52, 70)],
    "nothing": stream(runs=100),
}


@pytest.mark.parametrize("runs", STORIES.values(), ids=STORIES)
def test_backtest_gives_the_pages_and_tickets_of_live(database: Database, runs: list[Run]) -> None:
    result = result_of(runs)
    expected = live(database, runs)
    assert [(one.run, one.score) for one in result.pages] == [(run, s) for run, s, page in expected if page]
    assert [(one.run, one.score) for one in result.tickets] == [
        (run, s) for run, s, page in expected if not page
    ]


def test_the_same_stream_gives_the_same_bytes() -> None:
    runs = stream(DRIFTED)
    assert to_json(result_of(runs)) == to_json(result_of(runs))


def test_the_result_has_the_agreed_shape() -> None:
    result = json.loads(to_json(result_of(stream(DRIFTED))))
    assert set(result) == {"runs", "pages", "tickets", "assumptions"}
    assert result["runs"] == 80
    for notice in (*result["pages"], *result["tickets"]):
        assert set(notice) == {"run", "target", "score", "summary"}
    found = result["assumptions"]["bot"]
    assert {"calibration_runs", "autocorrelation", "is_in_force", "reasons", "blocks", "regimes"} <= set(
        found
    )
    assert {"lag1", "p_value"} <= set(found["autocorrelation"]["suite_peak"])


# --- what a stream may look like


def test_a_file_gives_what_its_runs_give(tmp_path: Path) -> None:
    runs = stream(DRIFTED, runs=CHANGE + 25)
    expected = to_json(result_of(runs))
    for name in ("stream.jsonl", "stream.jsonl.gz"):
        read = read_runs(written(tmp_path / name, rows(runs)), suite="support")
        assert to_json(result_of(read)) == expected


def test_without_times_runs_are_an_hour_apart(tmp_path: Path) -> None:
    runs = stream(DRIFTED, runs=CHANGE + 25)
    read = read_runs(written(tmp_path / "stream.jsonl", rows(runs, "at")))
    assert [one.run for one in result_of(read).pages] == [one.run for one in result_of(runs).pages]


def test_without_a_target_it_is_called_stream(tmp_path: Path) -> None:
    read = read_runs(written(tmp_path / "stream.jsonl", rows(stream(DRIFTED), "target")))
    result = result_of(read)
    assert {one.target for one in result.pages} == set(result.assumptions) == {"stream"}


def test_a_stream_of_one_canary_needs_no_run_ids(tmp_path: Path) -> None:
    one = [row for row in rows(stream(DRIFTED, runs=CHANGE + 60), "run") if row["canary"] == "text-0"]
    result = result_of(read_runs(written(tmp_path / "stream.jsonl", one)))
    assert result.runs == CHANGE + 60
    assert result.pages[0].run.startswith("line-")


def test_failed_requests_in_a_stream_are_no_answers(tmp_path: Path) -> None:
    some_fail = Answers(failed=frozenset({"label-0"}))  # 5 of 6 answer: enough to be scored
    runs = stream(some_fail, change=20, runs=90)
    read = read_runs(written(tmp_path / "stream.jsonl", rows(runs)))
    result = result_of(read)
    assert result.pages == ()
    assert result_of([*read[:60], *stream(DRIFTED, change=60, runs=90)[60:]]).pages


def test_targets_have_baselines_of_their_own_and_share_the_budget() -> None:
    both = [
        run
        for pair in zip(stream(runs=90), stream(DRIFTED, runs=90, target="other"), strict=True)
        for run in pair
    ]
    result = result_of(both)
    assert {page.target for page in result.pages} == {"other"}
    assert set(result.assumptions) == {"bot", "other"}


def test_a_target_without_baseline_is_told_beside_the_others() -> None:
    result = result_of([*stream(runs=80), *stream(runs=20, target="young")])
    assert result.assumptions["bot"].calibration_runs == 24
    young = result.assumptions["young"]
    assert not young.is_in_force
    assert young.reasons == ("no baseline: 20 of the 48 runs it takes were there, with enough answers",)


DEFAULTS = {
    "weeks of hours": (500, 3600.0, 168),
    "weeks of quarters": (2000, 900.0, 672),
    "a week and a day": (192, 3600.0, 168),
    "less": (191, 3600.0, 95),
    "short": (40, 3600.0, 20),
    "few": (14, 3600.0, 12),
}


@pytest.mark.parametrize(("runs", "slot_s", "baseline"), DEFAULTS.values(), ids=DEFAULTS)
def test_the_baseline_is_a_week_or_half_of_what_there_is(runs: int, slot_s: float, baseline: int) -> None:
    assert default_baseline_runs(runs, slot_s) == baseline


def test_each_target_has_its_own_default() -> None:
    result = result_of([*stream(runs=100), *stream(runs=60, target="other")], baseline_runs=None)
    assert {name: one.calibration_runs for name, one in result.assumptions.items()} == {
        "bot": 25,
        "other": 22,
    }


# --- what cannot be used


def test_too_few_runs_are_an_error_that_says_how_many_there_were() -> None:
    message = "bot has no baseline: 20 of the 48 runs it takes were there, with enough answers. Ask for fewer"
    with pytest.raises(BaselineError, match=message):
        result_of(stream(runs=20))


def test_rows_without_runs_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    hint = "single answer: rows of one run must share their `run`"
    for left_out, message in (
        (("run", "at"), "bot: Every run"),
        (("run",), "do not go forward"),
    ):
        read = read_runs(written(tmp_path / "stream.jsonl", rows(stream(), *left_out)))
        with pytest.raises((BaselineError, MonitorError), match=f"{message}.*{hint}"):
            result_of(read)


TIMES: dict[str, Callable[[int], timedelta]] = {
    "the day only": lambda hour: timedelta(days=hour // 24),
    "the newest first": lambda hour: timedelta(hours=-hour),
}


@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_times_that_do_not_go_forward_are_an_error(time: Callable[[int], timedelta]) -> None:
    start = stream(runs=1)[0].at
    runs = [replace(run, at=start + time(hour)) for hour, run in enumerate(stream())]
    with pytest.raises(MonitorError, match=r"the runs of bot do not go forward in time.*--every"):
        result_of(runs)


def test_progress_is_told_run_by_run() -> None:
    told: list[tuple[int, int]] = []
    backtest(stream(runs=60), 48, BUDGETS, lambda done, total: told.append((done, total)))
    assert told == [(done, 60) for done in range(1, 61)]


# --- why a run paged, or did not


def explained(run: str, runs: Sequence[Run]) -> Explanation:
    (one,) = backtest(runs, CHANGE, BUDGETS, explained=run).explanations
    return one


def test_the_run_that_paged_is_explained_by_the_score_that_did() -> None:
    runs = stream(DRIFTED, runs=CHANGE + 30)
    (page,) = result_of(runs).pages
    one = explained(page.run, runs)
    assert (one.run, one.target) == (page.run, "bot")
    leading = one.scores[0]
    assert (leading.score, "page" in leading.alarms) == (page.score, True)
    assert 0 < leading.evidence_before < 1
    assert leading.evidence >= 1
    assert (leading.above, leading.calibration_runs, leading.place) == (24, 24, "beyond all high")
    assert "page" in one.why
    assert leading.score in one.why


def test_a_calm_run_is_explained_too() -> None:
    one = explained("bot-0060", stream(runs=70))
    assert one.why == "no score's evidence reached 1"
    assert all(0 <= score.above <= score.calibration_runs == 24 for score in one.scores)
    assert sum(score.share for score in one.scores) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "run", ["bot-0003", f"bot-{CHANGE - 1:04d}"], ids=["collected", "the last collected"]
)
def test_a_run_of_the_baseline_was_not_compared(run: str) -> None:
    one = explained(run, stream(runs=70))
    assert (one.scores, one.why) == ((), "it was not compared: the baseline was still collecting")


def test_a_run_that_is_not_in_the_stream_cannot_be_explained() -> None:
    with pytest.raises(MonitorError, match="no run is called 'r9'"):
        backtest(stream(runs=60), CHANGE, BUDGETS, explained="r9")


def test_an_explanation_is_there_for_machines_when_it_was_asked_for() -> None:
    result = json.loads(to_json(backtest(stream(runs=60), CHANGE, BUDGETS, explained="bot-0055")))
    (one,) = result["explanations"]
    assert one["run"] == "bot-0055"
    assert {"score", "value", "above", "calibration_runs", "place", "evidence"} <= one["scores"][0].keys()
