"""How a peer is run as a tool, and how its answers are counted."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.dedrift_peer import (
    DEDRIFT,
    OURS,
    Dealt,
    Discrepancy,
    Found,
    Project,
    in_cycles,
    is_behind,
    read_pools,
)
from canaries.completion import Completion


def tool_that_ends_with(folder: Path, code: int) -> Path:
    """A tool that notes how it was called; its checks end with ``code``."""
    tool = folder / "dedrift"
    tool.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/calls"\n[ "$1" != check ] || exit {code}\n')
    tool.chmod(0o755)
    return tool


def runs_of_text(texts: list[str]) -> Dealt:
    return [{"c1": Completion("c1", text=text, output_tokens=3)} for text in texts]


@pytest.mark.parametrize(("code", "alarms"), [(0, False), (2, True), (3, False)])
def test_a_check_alarms_when_the_tool_says_that_it_found_drift(
    tmp_path: Path, code: int, alarms: bool
) -> None:
    project = Project.with_baseline(
        tool_that_ends_with(tmp_path, code), tmp_path / "p", in_cycles(runs_of_text(["a", "b", "c", "d"]), 2)
    )
    project.log(2, in_cycles(runs_of_text(["e", "f"]), 2))
    assert project.alarms() is alarms
    rows = [json.loads(line) for line in (tmp_path / "p/cycles.jsonl").read_text().splitlines()]
    assert [(row["cycle_id"], row["repetition"], row["output"]["text"]) for row in rows] == [
        ("cycle-00002", 1, "e"),
        ("cycle-00002", 2, "f"),
    ]
    assert (tmp_path / "calls").read_text().splitlines() == [
        "init .",
        "log cycles.jsonl --finalize-cycles",
        "baseline set cycle-00000 cycle-00001",
        "log cycles.jsonl --finalize-cycles",
        "check --inference fixed",
    ]


def test_a_tool_that_breaks_is_no_quiet_look(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="check ended with 1"):
        Project(tool_that_ends_with(tmp_path, 1), tmp_path / "p").alarms()


def test_runs_that_do_not_fill_a_cycle_are_left_out() -> None:
    cycles = in_cycles(runs_of_text(["a", "b", "c", "d", "e"]), 2)
    assert [[run["c1"].text for run in cycle] for cycle in cycles] == [["a", "b"], ["c", "d"]]


def test_a_delay_counts_runs_and_is_infinite_without_an_alarm() -> None:
    found = Found()
    found.add([False, True, True], runs_a_look=4)
    found.add([False, False])
    assert found.delays == [8, math.inf]
    assert (found.looks, found.alarms) == (5, 2)


def test_a_peer_that_finds_more_is_ahead() -> None:
    none, some = Found([math.inf], 1, 0), Found([2.0], 1, 1)
    assert is_behind({"q4_0": {OURS: none, DEDRIFT: some}})
    assert not is_behind({"q4_0": {OURS: some, DEDRIFT: none}, "base_b": {OURS: none, DEDRIFT: some}})


def test_the_discrepancy_of_texts_sees_other_texts_and_not_the_same() -> None:
    rng = np.random.default_rng(1)

    def texts(letters: str, count: int) -> list[str]:
        return ["".join(rng.choice(list(letters), 30)) for _ in range(count)]

    runs = runs_of_text(texts("abcd", 60) + texts("bcde", 20))
    discrepancy = Discrepancy(runs, baseline_runs=40, seed=1)
    assert not discrepancy.alarms(55)
    assert discrepancy.alarms(75)


def test_pools_have_the_batches_of_the_unchanged_model_together(tmp_path: Path) -> None:
    for name in ("base_a", "base_b", "base_long", "greedy_f16", "t13"):
        row = {"prompt_id": "p1", "text": name, "token_ids": [1, 2], "finish_reason": "stop"}
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.write(json.dumps(row) + "\n")
    pools = read_pools(tmp_path)
    assert {name: [answer.text for answer in pool["p1"]] for name, pool in pools.items()} == {
        "base": ["base_a", "base_long"],
        "base_b": ["base_b"],
        "t13": ["t13"],
    }
    assert pools["t13"]["p1"][0].output_tokens == 2
