"""Runs, scores and baselines in a real database."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session

from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus, freeze
from canaries.baseline_store import (
    collected_ids,
    current_baseline,
    ensure_baseline,
    list_baselines,
    load_baseline,
    load_history,
    restart_collection,
    retire_baseline,
    save_baseline,
    save_history,
)
from canaries.completion import Completion, Outcome, Run, RunStatus
from canaries.contract import Contract
from canaries.features import RunFeatures, extract
from canaries.prompt import ToolCall, calls_text
from canaries.reference import ProofHistory, Reference
from canaries.store import (
    Content,
    forget_runs,
    interrupt_run,
    load_features,
    load_runs,
    mark_interrupted,
    recent_runs,
    save_run,
    save_scores,
    score_series,
    start_run,
)
from monitor.database import Database

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECRET = "xylophone-4711"
CONTRACT = Contract({"target.model": "m"}, {"greeting": {"samples": 2}})


def run_of(number: int, text: str = "hello there", at: datetime | None = None) -> Run:
    at = at or NOW + timedelta(hours=number)
    completions = (
        Completion(
            "greeting", 0, text=text, finish_reason="stop", served_model="m-1", system_fingerprint="fp",
            logprobs=(-0.1, -0.2), first_top=((text, -0.1), ("other", -3.0)), latency_s=1.5, ttft_s=0.25,
            input_tokens=12, output_tokens=3, cached_input_tokens=4, cache_write_input_tokens=5, reasoning_tokens=2,
            attempts=2, at=at,
        ),
        Completion("greeting", 1, Outcome.SERVER, attempts=3, error=f"the server said {text}"),
    )  # fmt: skip
    return Run(f"run-{number}", "bot", "support", at, completions, finished_at=at + timedelta(seconds=9))


def features_of(run: Run) -> RunFeatures:
    return extract(run, None, b"key")


def save(
    database: Database, run: Run, content: Content = Content.FULL, collected_for: str | None = None
) -> bool:
    return database.write(lambda s: save_run(s, run, features_of(run), content, collected_for))


@pytest.fixture
def collecting(database: Database) -> str:
    return database.write(lambda s: ensure_baseline(s, "bot", "support", CONTRACT, NOW)).id


def is_on_disk(database: Database, text: str) -> bool:
    """Whether the bytes of ``text`` are in any file of the database, which is open: its WAL is still there."""
    files = list(database.path.parent.glob(f"{database.path.name}*"))
    assert any(path.name.endswith("-wal") and path.stat().st_size for path in files)
    return any(text.encode() in path.read_bytes() for path in files)


# --- runs


def test_a_saved_run_has_the_features_it_was_saved_with(database: Database) -> None:
    runs = [run_of(2), run_of(1, text="good day")]
    for run in runs:
        assert save(database, run)
    loaded = database.read(lambda s: load_features(s, ["run-1", "run-2"]))
    assert loaded == (features_of(runs[1]), features_of(runs[0]))


def test_features_of_many_runs_come_in_the_order_asked_for(database: Database) -> None:
    runs = [replace(run_of(n), completions=run_of(n).completions[:1]) for n in range(1100)]
    with_features = [(run, features_of(run)) for run in runs]
    database.write(lambda s: [save_run(s, run, features, Content.HASHES) for run, features in with_features])
    ids = [run.id for run in runs]
    random.Random(1).shuffle(ids)
    assert [f.run_id for f in database.read(lambda s: load_features(s, ids))] == ids


def test_a_stored_run_comes_back_but_for_its_log_probabilities(database: Database) -> None:
    runs = [run_of(2), run_of(1, text="good day")]
    for run in runs:
        save(database, run)
    answered, failed = runs[0].completions
    loaded = database.read(lambda s: load_runs(s, ["run-2", "run-9", "run-1"]))
    assert [run.id for run in loaded] == ["run-2", "run-1"]
    assert (loaded[0].target, loaded[0].suite, loaded[0].at) == ("bot", "support", runs[0].at)
    assert loaded[0].completions == (replace(answered, logprobs=None, first_top=None), failed)


def test_a_run_of_which_only_hashes_are_stored_comes_back_without_texts(database: Database) -> None:
    save(database, run_of(1), Content.HASHES)
    (loaded,) = database.read(lambda s: load_runs(s, ["run-1"]))
    assert [(one.is_answered, one.text) for one in loaded.completions] == [(True, None), (False, None)]


CALLS = (ToolCall("find_order", {"number": 4711, "note": "ä\u0000"}), ToolCall("say", "no JSON"))


def calling(calls: tuple[ToolCall, ...], finish_reason: str = "tool_calls") -> Run:
    one = Completion("greeting", text=calls_text(calls), tool_calls=calls, finish_reason=finish_reason)
    return replace(run_of(1), completions=(one,))


@pytest.mark.parametrize("calls", [CALLS, CALLS[:1], ()], ids=len)
def test_the_calls_of_tools_of_an_answer_come_back(database: Database, calls: tuple[ToolCall, ...]) -> None:
    save(database, calling(calls, "stop"))
    (loaded,) = database.read(lambda s: load_runs(s, ["run-1"]))
    assert loaded.completions[0].tool_calls == calls


def test_where_only_hashes_are_stored_calls_are_not(database: Database) -> None:
    save(database, calling((ToolCall(SECRET, {"what": SECRET}),)), Content.HASHES)
    (loaded,) = database.read(lambda s: load_runs(s, ["run-1"]))
    assert (loaded.completions[0].text, loaded.completions[0].tool_calls) == (None, ())
    assert SECRET.encode() not in database.path.read_bytes()


@pytest.mark.parametrize(
    ("text_", "finish_reason", "calls"),
    [
        pytest.param(calls_text(CALLS), "tool_calls", CALLS, id="calls"),
        pytest.param(calls_text(CALLS), "stop", (), id="JSON that a model wrote as its text"),
        pytest.param('[{"name": "say", "arguments": {}}]', "tool_calls", (), id="not as calls are written"),
        pytest.param("[1]", "tool_calls", (), id="a list of something else"),
        pytest.param("I will look.", "tool_calls", (), id="words"),
    ],
)
def test_calls_of_an_answer_from_before_they_were_stored_are_read_off_its_text(
    database: Database, text_: str, finish_reason: str, calls: tuple[ToolCall, ...]
) -> None:
    save(
        database,
        replace(run_of(1), completions=(Completion("greeting", text=text_, finish_reason=finish_reason),)),
    )
    (loaded,) = database.read(lambda s: load_runs(s, ["run-1"]))
    assert loaded.completions[0].tool_calls == calls


def test_saving_a_run_twice_changes_nothing(database: Database) -> None:
    assert save(database, run_of(1))
    before = database.read(recent_runs)
    assert not save(database, run_of(1, text="something else"))
    assert database.read(recent_runs) == before
    assert database.read(lambda s: load_features(s, ["run-1"])) == (features_of(run_of(1)),)


def test_a_run_is_known_from_its_start(database: Database) -> None:
    for _ in range(2):
        database.write(lambda s: start_run(s, "run-1", "bot", "support", NOW))
    (started,) = database.read(recent_runs)
    assert (started.status, started.finished_at, started.outcomes) == (RunStatus.RUNNING, None, {})
    save(database, run_of(1))
    (saved,) = database.read(recent_runs)
    assert saved.status is RunStatus.COMPLETED
    assert saved.started_at == NOW + timedelta(hours=1)
    assert saved.finished_at == NOW + timedelta(hours=1, seconds=9)
    assert saved.outcomes == {"answered": 1, "server_error": 1}
    assert saved.retries == 3


def test_runs_that_a_killed_daemon_left_are_interrupted_and_stay_so(database: Database) -> None:
    save(database, run_of(1))
    database.write(lambda s: start_run(s, "run-2", "bot", "support", NOW))
    assert database.write(lambda s: mark_interrupted(s, NOW)) == ("run-2",)
    assert database.write(lambda s: mark_interrupted(s, NOW)) == ()
    assert not save(database, run_of(2))
    statuses = {run.id: run.status for run in database.read(recent_runs)}
    assert statuses == {"run-1": RunStatus.COMPLETED, "run-2": RunStatus.INTERRUPTED}


def test_a_run_that_ended_cannot_be_interrupted(database: Database) -> None:
    save(database, run_of(1))
    database.write(lambda s: interrupt_run(s, "run-1", NOW))
    database.write(lambda s: interrupt_run(s, "never heard of", NOW))
    (run,) = database.read(recent_runs)
    assert run.status is RunStatus.COMPLETED


def test_recent_runs_are_the_newest_first_of_one_target_even_when_the_clock_went_back(
    database: Database,
) -> None:
    for number, hours in enumerate((5, 6, -3)):
        save(database, run_of(number, at=NOW + timedelta(hours=hours)))
    save(database, replace(run_of(9), target="other"))
    assert [r.id for r in database.read(lambda s: recent_runs(s, "bot"))] == ["run-2", "run-1", "run-0"]
    assert [r.id for r in database.read(lambda s: recent_runs(s, limit=2))] == ["run-9", "run-2"]


# --- without text


def test_the_hashes_mode_leaves_no_text_on_disk(database: Database, collecting: str) -> None:
    run = run_of(1, text=SECRET)
    save(database, run, Content.HASHES, collected_for=collecting)
    database.write(lambda s: save_scores(s, run.id, collecting, {"length": 1.0}))
    assert is_on_disk(database, "run-1")
    assert not is_on_disk(database, SECRET)
    assert not is_on_disk(database, SECRET.split("-")[0])
    assert database.read(lambda s: load_features(s, [run.id])) == (features_of(run),)


def test_the_full_mode_keeps_the_text(database: Database) -> None:
    save(database, run_of(1, text=SECRET), Content.FULL)
    assert is_on_disk(database, SECRET)


# --- scores


def test_scores_are_a_series_in_order_of_time(database: Database, collecting: str) -> None:
    for number in range(4):
        run = run_of(number)
        save(database, run)
        scores = {"length": number / 3, "canary:greeting": 0.5}
        database.write(lambda s, run=run, scores=scores: save_scores(s, run.id, collecting, scores))
    points = database.read(lambda s: score_series(s, collecting, "length", limit=3))
    assert [(p.run_id, p.value) for p in points] == [("run-1", 1 / 3), ("run-2", 2 / 3), ("run-3", 1.0)]
    assert points[0].at == NOW + timedelta(hours=1)


def test_scores_are_saved_once_per_run(database: Database, collecting: str) -> None:
    save(database, run_of(1))
    for _ in range(2):
        database.write(lambda s: save_scores(s, "run-1", collecting, {"length": 1.0}))
    assert len(database.read(lambda s: score_series(s, collecting, "length"))) == 1


# --- baselines


def test_a_target_has_one_current_baseline_for_a_suite(database: Database) -> None:
    first = database.write(lambda s: ensure_baseline(s, "bot", "support", CONTRACT, NOW))
    other_contract = replace(CONTRACT, shared={"target.model": "other"})
    again = database.write(
        lambda s: ensure_baseline(s, "bot", "support", other_contract, NOW + timedelta(days=1))
    )
    assert again == first
    assert first.id == "bot-1"
    assert first.status is BaselineStatus.COLLECTING
    assert first.contract_hash == CONTRACT.hash
    elsewhere = database.write(lambda s: ensure_baseline(s, "bot", "safety", CONTRACT, NOW))
    assert elsewhere.id == "bot-2"


def test_collected_runs_are_those_of_the_baseline_in_order_of_their_start(
    database: Database, collecting: str
) -> None:
    database.write(lambda s: start_run(s, "run-3", "bot", "support", NOW))
    save(database, run_of(1), collected_for=collecting)
    save(database, run_of(2))
    save(database, run_of(3), collected_for=collecting)
    assert database.read(lambda s: collected_ids(s, collecting)) == ("run-3", "run-1")
    current = database.read(lambda s: current_baseline(s, "bot", "support"))
    assert current is not None
    assert current.collected_runs == 2


def frozen_of(database: Database, baseline_id: str) -> Baseline:
    for number in range(12):
        save(database, run_of(number, text="hello " * (1 + number % 3)), collected_for=baseline_id)

    def work(session: Session) -> Baseline:
        runs = load_features(session, collected_ids(session, baseline_id))
        baseline = freeze(
            load_baseline(session, baseline_id), runs, lambda run_id: 0.1, NOW + timedelta(days=1)
        )
        save_baseline(session, baseline)
        return baseline

    return database.write(work)


def test_a_baseline_is_frozen_from_what_was_collected_and_read_back_exactly(
    database: Database, collecting: str
) -> None:
    frozen = frozen_of(database, collecting)
    assert database.read(lambda s: load_baseline(s, collecting)) == frozen
    (summary,) = database.read(list_baselines)
    assert (summary.status, summary.train_runs, summary.calibration_runs) == (BaselineStatus.FROZEN, 6, 6)
    assert summary.frozen_at == NOW + timedelta(days=1)


def test_a_frozen_baseline_is_never_changed(database: Database, collecting: str) -> None:
    frozen = frozen_of(database, collecting)
    with pytest.raises(BaselineError, match="frozen already"):
        database.write(lambda s: save_baseline(s, replace(frozen, calibration={})))
    with pytest.raises(BaselineError, match="only one that collects"):
        database.write(lambda s: restart_collection(s, collecting))
    assert database.read(lambda s: load_baseline(s, collecting)) == frozen


def test_after_a_baseline_is_retired_another_one_collects(database: Database, collecting: str) -> None:
    frozen_of(database, collecting)
    database.write(lambda s: retire_baseline(s, collecting, NOW + timedelta(days=2)))
    assert database.read(lambda s: current_baseline(s, "bot", "support")) is None
    second = database.write(lambda s: ensure_baseline(s, "bot", "support", CONTRACT, NOW + timedelta(days=2)))
    assert (second.id, second.collected_runs) == ("bot-2", 0)
    assert [b.id for b in database.read(lambda s: list_baselines(s, "bot"))] == ["bot-2", "bot-1"]
    with pytest.raises(BaselineError, match="retired already"):
        database.write(lambda s: retire_baseline(s, collecting, NOW))


def test_a_collection_that_begins_anew_lets_its_runs_go(database: Database, collecting: str) -> None:
    save(database, run_of(1), collected_for=collecting)
    save(database, run_of(2), collected_for=collecting)
    assert database.write(lambda s: restart_collection(s, collecting)) == 2
    save(database, run_of(3), collected_for=collecting)
    assert database.read(lambda s: collected_ids(s, collecting)) == ("run-3",)


def test_an_unknown_baseline_is_refused_and_the_known_ones_are_named(
    database: Database, collecting: str
) -> None:
    with pytest.raises(BaselineError, match="no baseline 'bot-7'; there are: bot-1"):
        database.read(lambda s: load_baseline(s, "bot-7"))


# --- proof histories


def test_a_history_is_carried_from_run_to_run(database: Database) -> None:
    assert database.read(lambda s: load_history(s, "bot", "support")) == ProofHistory()
    history = ProofHistory(
        Reference(runs=3, models=("m-1",), passing_runs={"a/json": 3}), down_runs=2, failing={"a/x": 1}
    )
    for each in (ProofHistory(), history):
        database.write(lambda s, each=each: save_history(s, "bot", "support", each))
    assert database.read(lambda s: load_history(s, "bot", "support")) == history
    assert database.read(lambda s: load_history(s, "bot", "other")) == ProofHistory()


def test_a_new_baseline_forgets_the_facts_of_the_old_one_but_not_that_the_endpoint_is_down(
    database: Database,
) -> None:
    history = ProofHistory(Reference(runs=3, models=("m-1",)), down_runs=2)
    database.write(lambda s: save_history(s, "bot", "support", history))
    database.write(lambda s: ensure_baseline(s, "bot", "support", CONTRACT, NOW))
    assert database.read(lambda s: load_history(s, "bot", "support")) == ProofHistory(down_runs=2)


# --- forgetting


def forget(database: Database, before_run: int, limit: int = 100) -> int:
    before = NOW + timedelta(hours=before_run)
    return database.write(lambda s: forget_runs(s, before, limit))


def kept(database: Database) -> list[str]:
    return [run.id for run in reversed(database.read(recent_runs))]


def test_old_runs_are_forgotten_with_all_that_they_hold(database: Database, collecting: str) -> None:
    for number in range(4):
        save(database, run_of(number))
        database.write(lambda s, n=number: save_scores(s, f"run-{n}", collecting, {"length": n}))
    assert forget(database, before_run=3, limit=2) == 2
    assert kept(database) == ["run-2", "run-3"]
    assert forget(database, before_run=3, limit=2) == 1
    assert forget(database, before_run=3) == 0
    assert kept(database) == ["run-3"]
    assert [len(one.answers) for one in database.read(lambda s: load_features(s, ["run-0", "run-3"]))] == [
        0,
        2,
    ]
    assert [point.value for point in database.read(lambda s: score_series(s, collecting, "length"))] == [3]


def test_runs_of_a_baseline_in_use_stay_until_it_is_retired(database: Database, collecting: str) -> None:
    save(database, run_of(0), collected_for=collecting)
    assert forget(database, before_run=9) == 0
    database.write(lambda s: retire_baseline(s, collecting, NOW))
    assert forget(database, before_run=9) == 1


def test_a_run_that_still_goes_on_is_not_forgotten(database: Database) -> None:
    database.write(lambda s: start_run(s, "run-0", "bot", "support", NOW))
    assert forget(database, before_run=9) == 0


def test_the_line_of_a_score_is_found_by_an_index(database: Database) -> None:
    query = "EXPLAIN QUERY PLAN SELECT value FROM run_score WHERE baseline_id = 'b' AND name = 'length'"
    with database.engine.connect() as connection:
        plan = " ".join(row[-1] for row in connection.exec_driver_sql(query))
    assert "ix_run_score_series (baseline_id=? AND name=?)" in plan
