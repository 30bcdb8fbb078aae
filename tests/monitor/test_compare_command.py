"""``anchorwatch compare`` as a person and a machine meet it."""

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """What the command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return Done(int(exited.value.code or 0), said.out, said.err)

    return call


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def labels(**counts: int) -> list[dict[str, Any]]:
    return [{"canary": "label", "text": text} for text, n in counts.items() for _ in range(n)]


VERDICTS = [
    pytest.param(labels(A=25, B=25), labels(B=25, A=25), "same", 0, id="same"),
    pytest.param(labels(A=25, B=25), labels(A=2, C=48), "different", 1, id="different"),
    pytest.param(labels(A=2, B=2), labels(A=2, B=2), "inconclusive", 3, id="inconclusive"),
]


@pytest.mark.parametrize(("base", "current", "verdict", "code"), VERDICTS)
def test_json_and_the_exit_code_say_the_verdict(
    compare: Command, tmp_path: Path, base: list[Any], current: list[Any], verdict: str, code: int
) -> None:
    done = compare(
        write(tmp_path / "a.jsonl", base),
        write(tmp_path / "b.jsonl.gz", current),
        "--json",
        "--permutations",
        199,
    )
    assert done.code == code
    said = json.loads(done.out)
    assert said["verdict"] == verdict
    assert 0 < said["p_value"] <= 1
    assert {"name", "p_value", "effect"} <= said["scores"][0].keys()
    assert [one["canary"] for one in said["canaries"]] == ["label"]
    assert 0 < said["canaries"][0]["p_value"] <= 1


def test_text_says_the_verdict_first_and_then_the_tables(compare: Command, tmp_path: Path) -> None:
    base, current = write(tmp_path / "a.jsonl", labels(A=50)), write(tmp_path / "b.jsonl", labels(A=2, C=48))
    done = compare(base, current, "--permutations", 199)
    assert done.code == 1
    assert done.out.startswith("The answers are different (p = 0.005).")
    assert done.out.index("adjusted p") < done.out.index("base answers")
    assert "200 random permutations of answers within each canary" in done.out


def test_html_writes_a_page(compare: Command, tmp_path: Path) -> None:
    base, current = write(tmp_path / "a.jsonl", labels(A=50)), write(tmp_path / "b.jsonl", labels(A=2, C=48))
    done = compare(base, current, "--permutations", 199, "--html", tmp_path / "page.html")
    assert done.code == 1
    assert "The answers are different" in (tmp_path / "page.html").read_text()


def test_a_suite_brings_its_expectations(compare: Command, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("canaries:\n  - id: label\n    prompt: A or B?\n    expect:\n      labels: [A, B]\n")
    base, current = write(tmp_path / "a.jsonl", labels(A=50)), write(tmp_path / "b.jsonl", labels(A=2, C=48))
    said = json.loads(compare(base, current, "--suite", suite, "--json", "--permutations", 199).out)
    [failures] = [one for one in said["scores"] if one["name"] == "validator_failures"]
    assert (failures["effect"], failures["base"], failures["current"]) == (0.96, 0.0, 0.96)


UNUSABLE = [
    pytest.param('{"canary": "label"}\n', 'b.jsonl:1: "text" is missing', id="no text"),
    pytest.param('{"canary": "label", "text": "A"}\nnope\n', "b.jsonl:2: is not JSON", id="no JSON"),
    pytest.param("", "b.jsonl: holds no completions", id="empty"),
    pytest.param('{"canary": "other", "text": "A"}\n', "no canary is in both files", id="nothing in common"),
]


@pytest.mark.parametrize(("text", "message"), UNUSABLE)
def test_input_that_cannot_be_used_says_where_and_exits_with_2(
    compare: Command, tmp_path: Path, text: str, message: str
) -> None:
    base = write(tmp_path / "a.jsonl", labels(A=5))
    (tmp_path / "b.jsonl").write_text(text)
    done = compare(base, tmp_path / "b.jsonl", "--json")
    assert (done.code, done.out) == (2, "")
    assert message in done.err


WRONG_OPTIONS = [
    pytest.param(["--alpha", "0"], "alpha must be between 0 and 1", id="level"),
    pytest.param(["--alpha", "0.0001", "--permutations", "99"], "at least 9999 can", id="permutations"),
    pytest.param(["--html", "nowhere/page.html"], "there is no such folder", id="folder"),
    pytest.param(["--suite", "nowhere.yaml"], "cannot be read", id="suite"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_options_that_cannot_work_exit_with_2(
    compare: Command, tmp_path: Path, options: list[str], message: str
) -> None:
    path = write(tmp_path / "a.jsonl", labels(A=5))
    done = compare(path, path, *options)
    assert done.code == 2
    assert message in done.err


def test_targets_of_one_file_are_compared(compare: Command, tmp_path: Path) -> None:
    rows = [row | {"target": "x"} for row in labels(A=25, B=25)] + [
        row | {"target": "y"} for row in labels(A=2, C=48)
    ]
    both = write(tmp_path / "bench.jsonl", rows)
    done = compare(both, both, "--base-target", "x", "--current-target", "y", "--permutations", 199)
    assert done.code == 1
    assert compare(both, both, "--base-target", "x", "--current-target", "x", "--permutations", 199).code == 0
    wrong = compare(both, both, "--base-target", "z")
    assert wrong.code == 2
    assert "holds no answer of z; known there: x, y" in wrong.err
