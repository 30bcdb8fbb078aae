"""``anchorwatch gate`` against a model that can be moved: exit codes, reports, and what it refuses before it asks."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from watched_bot import Bot, suite_of, watched_of

from canaries.completions_file import read_runs
from canaries.store import Content
from monitor.cli import main
from monitor.config import DATABASE_FILE
from monitor.database import Database
from monitor.demo.practice_model import Mode, PracticeModel, practice_app
from monitor.demo.serving import LocalServer


@dataclass(frozen=True, slots=True)
class Done:
    """What the command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]

SUITE = """
name: support
gate: {cost_per_1000_usd: +50%}
canaries:
  - id: triage
    prompt: "Classify this ticket as billing, bug or how-to: I was charged twice."
    expect: {labels: [billing]}
  - {id: export, prompt: "How do I export my data?", expect: {labels: [how-to, bug]}}
  - {id: refund, prompt: "In one sentence: what is the refund policy?", expect: {no_refusal: true}}
"""


@pytest.fixture(scope="module")
def model() -> PracticeModel:
    return PracticeModel(seed=3)


@pytest.fixture(scope="module")
def server(model: PracticeModel) -> Iterator[LocalServer]:
    async def no_wait(seconds: float) -> None: ...

    with LocalServer(practice_app(model, sleep=no_wait)) as server:
        yield server


@pytest.fixture
def gate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    server: LocalServer,
    model: PracticeModel,
) -> Command:
    """The command, in a folder with a suite and a configuration; the model is its usual self."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    model.mode = Mode.STEADY
    Path("suite.yaml").write_text(SUITE)
    target = f"base_url: '{server.url}/v1', api_key: practice, model: practice-1, suite: suite.yaml, max_attempts: 1"
    Path("anchorwatch.yaml").write_text(
        "targets:\n"
        f"  bot: {{{target}, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2}}}}\n"
        f"  unpriced: {{{target}}}\n"
    )

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "gate", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return Done(int(exited.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def baseline(gate: Command) -> str:
    """A file with answers of the model as it usually is."""
    done = gate("suite.yaml", "-t", "bot", "--save", "baseline.jsonl.gz")
    assert (done.code, done.err) == (0, "")
    assert "only rules and absolute limits were judged, and not cost_per_1000_usd." in done.out
    return "baseline.jsonl.gz"


def test_the_same_model_passes(gate: Command, baseline: str) -> None:
    # At .05 one run of this test in twenty would fail, as it should.
    level = ("--alpha", "0.001", "--detect", "0.5")
    done = gate("suite.yaml", "--target", "bot", "--against", baseline, "--latency-p95", "+5000%", *level)
    assert (done.code, done.err) == (0, ""), done.out
    # How small a change these answers could have shown depends on what was drawn: it may warn of that.
    assert re.match(r"bot passes against baseline\.jsonl\.gz(, with warnings: answers)?\.", done.out)
    assert "3 of 3 canaries as expected. 60 answers" in done.out


def test_another_model_fails_and_every_report_says_so(
    gate: Command, baseline: str, model: PracticeModel
) -> None:
    model.mode = Mode.DRIFTED
    done = gate(
        *("suite.yaml", "-t", "bot", "--against", baseline, "--json"),
        *("--junit", "gate.xml", "--markdown", "gate.md", "--html", "gate.html"),
    )
    assert done.code == 1
    said = json.loads(done.out)
    assert said["verdict"] == "fail"
    assert {"answers"} == {one["name"] for one in said["checks"] if one["status"] == "fail"}
    assert said["comparison"]["p_value"] < 0.001
    assert said["spent_usd"] > 0
    failures = [case.get("name") for case in ET.parse("gate.xml").iter("testcase") if len(case)]
    assert failures == ["answers"]
    assert Path("gate.md").read_text().startswith("## ❌ bot fails against baseline.jsonl.gz: answers.")
    page = Path("gate.html").read_text()
    assert page.index("bot fails against") < page.index("What was asked of it?")
    assert page.index("What was asked of it?") < page.index("The answers side by side")


def test_a_change_that_is_meant_passes_with_a_warning(
    gate: Command, baseline: str, model: PracticeModel
) -> None:
    model.mode = Mode.DRIFTED
    done = gate("suite.yaml", "-t", "bot", "--against", baseline, "--changes", "warn", "--json")
    assert done.code == 0
    said = {one["name"]: one["status"] for one in json.loads(done.out)["checks"]}
    assert (said["answers"], said["worse"]) == ("warn", "pass")


def test_too_little_data_exits_with_3(gate: Command, baseline: str) -> None:
    done = gate("suite.yaml", "-t", "bot", "--against", baseline, "--runs", "1", "--alpha", "0.001")
    assert done.code == 3
    assert "cannot be judged against baseline.jsonl.gz: answers" in done.out


def test_a_broken_rule_is_named_with_its_answer(gate: Command) -> None:
    strict = SUITE.replace("labels: [billing]", "labels: [spam]").replace("+50%", "1")
    Path("suite.yaml").write_text(strict)
    done = gate("suite.yaml", "-t", "bot", "--runs", "2", "--samples", "3")
    assert done.code == 1
    assert "bot fails: triage." in done.out
    assert "labels: 6 of 6 answers; such as: " in done.out


def test_answers_are_kept_run_by_run_for_the_next_time(gate: Command) -> None:
    save = ("--cost-per-1000-usd", "1", "--save", "answers.jsonl")
    assert gate("suite.yaml", "-t", "bot", "--runs", "4", "--samples", "2", *save).code == 0
    kept = read_runs(Path("answers.jsonl"))
    assert [(run.target, len(run.completions)) for run in kept] == [("bot", 6)] * 4


def test_money_is_spent_run_by_run_up_to_its_limit(gate: Command) -> None:
    asks = ("suite.yaml", "-t", "bot", "--runs", "20", "--cost-per-1000-usd", "1", "--json")
    run_usd = json.loads(gate(*asks).out)["spent_usd"] / 20
    # A run may cost what its longest answers would: 500 tokens, as nothing limits them.
    capped = json.loads(gate(*asks, "--max-spend-usd", "0.0035").out)
    assert 1 <= capped["answers"] / 3 < 20
    assert capped["spent_usd"] == pytest.approx(run_usd * capped["answers"] / 3, rel=0.2)
    assert any("--max-spend-usd" in note for note in capped["notes"])


REFUSED = {
    "no such target": (["-t", "other"], "no target is called 'other'; known: bot, unpriced"),
    "no such file": (["-t", "bot", "--against", "none.jsonl"], "none.jsonl: cannot be read"),
    "no database": (["-t", "bot", "--against", "bot-1"], "there is no database yet"),
    "relative to nothing": (
        ["-t", "bot", "--latency-p95", "+20%"],
        "latency_p95 is relative to a baseline: name one with --against",
    ),
    "no price": (["-t", "unpriced", "--cost-per-1000-usd", "1"], "no price is known for practice-1"),
    "less than a run": (
        ["-t", "bot", "--cost-per-1000-usd", "1", "--max-spend-usd", "0.0001"],
        "a run of support may cost $",
    ),
    "no such folder": (["-t", "bot", "--junit", "none/gate.xml"], "there is no such folder"),
    "several odd options": (
        ["-t", "bot", "--alpha", "2", "--latency-p95", "fast"],
        '--latency-p95 fast: must be a time above 0 such as "3s"',
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_judged_is_refused_before_anything_is_asked(
    gate: Command, model: PracticeModel, arguments: list[str], message: str
) -> None:
    before = model.requests
    done = gate("suite.yaml", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert model.requests == before


def test_an_endpoint_that_answers_nothing_is_unusable(gate: Command, model: PracticeModel) -> None:
    model.mode = Mode.DOWN
    done = gate("suite.yaml", "-t", "bot", "--cost-per-1000-usd", "1")
    assert done.code == 2
    assert "bot answered none of the requests: server_error" in done.err


# --- against a stored baseline


def stored(folder: Path, content: Content = Content.FULL) -> None:
    """A database with the runs of a target whose canaries are those of the suite."""
    database = Database(folder / DATABASE_FILE)
    database.migrate()
    Bot(database, watched_of(suite_of(), freezes_itself=False, content=content)).runs(12)
    database.close()


STORED_SUITE = """
name: support
canaries:
  - {id: label-0, prompt: "Classify this ticket as billing, bug or how-to: I was charged twice."}
  - {id: text-0, prompt: "In one sentence: what is the refund policy?"}
"""


def test_a_stored_baseline_is_compared_with_and_what_was_asked_otherwise_is_told(
    gate: Command, tmp_path: Path
) -> None:
    stored(tmp_path)
    Path("suite.yaml").write_text(STORED_SUITE)
    done = gate("suite.yaml", "-t", "bot", "--against", "bot", "--json")
    assert done.code == 1
    said = json.loads(done.out)
    assert said["against"] == "bot-1"
    assert said["comparison"]["permuted"] == "runs"
    assert 'Not as in the baseline: target.model: "m" -> "practice-1".' in said["notes"]


def test_a_baseline_without_texts_cannot_be_compared_with(gate: Command, tmp_path: Path) -> None:
    stored(tmp_path, Content.HASHES)
    Path("suite.yaml").write_text(STORED_SUITE)
    done = gate("suite.yaml", "-t", "bot", "--against", "bot-1")
    assert done.code == 2
    assert "bot-1 holds no texts to compare with" in done.err
