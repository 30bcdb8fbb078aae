"""Streams of recorded answers: each is used once, and what is found is told per change."""

import gzip
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

import typer

from benchmarks.recorded_drift import PLACEBO, Fields, Found, main, read_pool, stream

ROW = {
    "prompt_id": "greeting",
    "text": "Hello there",
    "finish_reason": "stop",
    "logprobs": [-0.5, -0.25],
    "first_top20": [[17, -0.5], [4, -2.0]],
}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with gzip.open(path, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def answers(seed: int, runs: int, words: str) -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [
        {"canary": f"c{i}", "text": " ".join(rng.choices(words.split(), k=12))}
        for _ in range(runs)
        for i in range(4)
    ]


def test_every_answer_is_used_once_in_an_order_of_its_own() -> None:
    base = {"a": [f"a{i}" for i in range(30)], "b": [f"b{i}" for i in range(40)]}
    runs = stream(base, {"a": ["x", "y", "z"], "b": ["x", "y", "z"]}, same=20, changed_runs=2, seed=1)
    assert len(runs) == 22
    said = [c.text for run in runs[:20] for c in run.completions]
    assert len(set(said)) == len(said) == 40
    assert {c.text for run in runs[20:] for c in run.completions} <= {"x", "y", "z"}
    assert runs == stream(base, {"a": ["x", "y", "z"], "b": ["x", "y", "z"]}, 20, 2, seed=1)


def test_the_placebo_is_what_the_base_has_left() -> None:
    base = {"a": [f"a{i}" for i in range(30)]}
    texts = [c.text for run in stream(base, None, 20, 8, seed=1) for c in run.completions]
    assert len(set(texts)) == len(texts) == 28


@pytest.mark.parametrize(
    ("fields", "has_reason", "has_logprobs"),
    [(Fields.TEXT, False, False), (Fields.FINISH, True, False), (Fields.LOGPROBS, True, True)],
)
def test_answers_bring_along_what_was_asked_for(
    tmp_path: Path, fields: Fields, has_reason: bool, has_logprobs: bool
) -> None:
    (answer,) = read_pool([write(tmp_path / "x.jsonl.gz", [ROW])], "prompt_id", fields)["greeting"]
    assert (answer.finish_reason == "stop") is has_reason
    assert (answer.logprobs == (-0.5, -0.25)) is has_logprobs
    assert (answer.first_top == (("17", -0.5), ("4", -2.0))) is has_logprobs


def test_all_answers_can_be_taken_as_those_to_one_canary(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl.gz", [ROW, {**ROW, "prompt_id": "other"}])
    assert {name: len(all_) for name, all_ in read_pool([path], "prompt_id", one_canary="any").items()} == {
        "any": 2
    }


def test_the_median_counts_what_was_not_found() -> None:
    assert Found("x", 3, (3, 9), {}).median == 9
    assert Found("x", 5, (3, 9), {}).median == float("inf")


def test_changes_are_measured_in_one_go_beside_the_placebo(tmp_path: Path) -> None:
    usual = "the cat sat on a mat and saw one bird fly over our house"
    base = write(tmp_path / "base.jsonl.gz", answers(1, 90, usual))
    other = write(tmp_path / "other.jsonl.gz", answers(2, 20, "quite other words that nobody ever used here"))
    app = typer.Typer()
    app.command()(main)
    sizes = [
        "--shuffles",
        "1",
        "--baseline-runs",
        "60",
        "--calm-runs",
        "10",
        "--changed-runs",
        "12",
        "--json",
    ]
    result = CliRunner().invoke(app, [str(base), "--changed", str(other), *sizes])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["calm"] == {"runs": 10, "pages": 0}
    assert [change["change"] for change in found["changes"]] == [PLACEBO, "other"]
    assert [len(change["delays"]) for change in found["changes"]] == [0, 1]
