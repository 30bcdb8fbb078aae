"""``anchorwatch bench`` as a person and a machine meet it, against the practice model."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from canaries.bench.plan import Load
from canaries.bench.purse import Purse
from canaries.bench.report import report
from canaries.clock import SystemClock
from canaries.completions_file import read_runs
from monitor.cli import main
from monitor.config import load as load_config
from monitor.demo.practice_model import PracticeModel, practice_app
from monitor.demo.serving import LocalServer
from monitor.one_look.bench_once import Bench, Outcomes, run_bench
from monitor.one_look.bench_words import notes

CONFIG = """
targets:
  ours: {{base_url: "{0}/v1", api_key: practice, model: practice-1, suite: s.yaml, price: {price}}}
  other: {{base_url: "{1}/v1", api_key: practice, model: practice-1, suite: s.yaml}}
  another-suite: {{base_url: "{1}/v1", api_key: practice, model: practice-1, suite: t.yaml}}
"""
PRICE = "{input_usd_per_mtok: 1000, output_usd_per_mtok: 1000}"
SUITE = """
parameters: {max_tokens: 20}
canaries:
  - {id: label, prompt: "I was charged twice. One word.", expect: {labels: [billing]}}
  - {id: talk, prompt: "What do you sell?", expect: {matches: notebook}}
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[str, str]]:
    fast, slow = PracticeModel(steady_latency_s=0.002), PracticeModel(seed=2, steady_latency_s=0.06)
    with LocalServer(practice_app(fast)) as one, LocalServer(practice_app(slow)) as other:
        yield one.url, other.url


@pytest.fixture
def bench(
    tmp_path: Path,
    models: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG.format(*models, price=PRICE))
    (tmp_path / "s.yaml").write_text(SUITE)
    (tmp_path / "t.yaml").write_text(SUITE.replace("talk", "chat"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return call


def test_two_targets_stand_side_by_side_and_the_faster_one_wins(bench: Command) -> None:
    code, out, err = bench("-t", "ours", "-t", "other", "--requests", 40)
    assert code == 0
    latency = next(line for line in out.splitlines() if "latency p50" in line)
    assert "ours, sure" in latency
    assert "40 of 40 requests answered" in out
    assert "16 of them to warm up and not counted" in err


def test_the_page_holds_what_the_table_does_and_its_pictures(bench: Command, tmp_path: Path) -> None:
    code, out, _ = bench("-t", "ours", "-t", "other", "--requests", 20, "--html", "bench.html")
    page = (tmp_path / "bench.html").read_text()
    assert code == 0
    assert "20 of 20 requests answered" in out
    assert "ours: 20 of 20 requests answered" in page
    assert page.count('class="curve') == 4
    assert "Each request followed an answer" in page


def test_json_holds_every_figure_of_every_target(bench: Command) -> None:
    code, out, _ = bench("-t", "ours", "--requests", 12, "--json", "--long", 100, "--concurrency", 2)
    said = json.loads(out)
    assert (code, said["complete"], said["concurrency"]) == (0, True, 2)
    ours = said["targets"]["ours"]
    assert ours["requests"] == ours["answered"] == 12 + 5
    assert ours["answers_per_prompt"] == 6
    assert {"latency p50", "latency p95", "latency p99", "first token p50", "cost of 1,000 answers"} <= ours[
        "figures"
    ].keys()
    assert ours["figures"]["latency p50"]["n"] == 12
    assert ours["figures"]["long prompts: latency p50"]["n"] == 5
    assert ours["validator_failures"].keys() <= {"matches", "labels"}


def test_the_file_is_what_compare_reads_a_round_being_a_run(bench: Command, tmp_path: Path) -> None:
    bench("-t", "ours", "-t", "other", "--requests", 8, "--out", "answers.jsonl")
    runs = read_runs(tmp_path / "answers.jsonl")
    assert {run.target for run in runs} == {"ours", "other"}
    assert len(runs) == 8
    assert all({one.canary for one in run.completions} == {"label", "talk"} for run in runs)


def test_a_bench_goes_on_where_it_stopped_even_in_the_middle_of_a_line(
    bench: Command, tmp_path: Path
) -> None:
    file = tmp_path / "answers.jsonl"
    bench("-t", "ours", "--requests", 8, "--out", file)
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:5]) + whole[5][:40])
    _, out, err = bench("-t", "ours", "--requests", 10, "--out", file, "--resume", "--warm-up", 0)
    assert "5 requests, 0 of them" in err
    assert "10 of 10 requests answered" in out
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({(row["canary"], row["sample"]) for row in rows}) == len(rows) == 10


def test_nothing_is_asked_again_when_all_is_there(bench: Command, tmp_path: Path) -> None:
    bench("-t", "ours", "--requests", 4, "--out", "a.jsonl")
    _, out, err = bench("-t", "ours", "--requests", 4, "--out", "a.jsonl", "--resume")
    assert "0 requests" in err
    assert "4 of 4 requests answered" in out


def test_the_spend_cap_stops_it_and_is_told(bench: Command, tmp_path: Path) -> None:
    # 24 tokens or so at most a request, at a tenth of a cent each.
    code, out, err = bench(
        "-t", "ours", "--requests", 50, "--concurrency", 1, "--warm-up", 0, "--max-spend-usd", 0.2, "--json"
    )
    said = json.loads(out)
    assert code == 0
    assert not said["complete"]
    assert 1 <= said["targets"]["ours"]["requests"] < 50
    assert said["targets"]["ours"]["cost_usd"] <= 0.2
    assert "may be more than --max-spend-usd" in err


WRONG = [
    pytest.param(["-t", "nobody"], "no target is called 'nobody'; known: ours, other", id="unknown"),
    pytest.param(["-t", "ours", "-t", "another-suite"], "have different suites", id="suites"),
    pytest.param(["-t", "other", "--max-spend-usd", 1], "the price of other is not known", id="price"),
    pytest.param(["-t", "ours", "--resume"], "name it with --out", id="resume"),
    pytest.param(["-t", "ours", "--out", "no/such/folder.jsonl"], "cannot be written", id="folder"),
    pytest.param(["-t", "ours", "--html", "no/such/page.html"], "no such folder", id="folder of the page"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_be_done_is_said(bench: Command, arguments: list[object], message: str) -> None:
    code, _, err = bench(*arguments)
    assert code == 2
    assert message in err


def test_the_file_of_another_bench_is_left_alone(bench: Command, tmp_path: Path) -> None:
    bench("-t", "ours", "--requests", 2, "--out", "a.jsonl")
    before = (tmp_path / "a.jsonl").read_bytes()
    for arguments, message in (
        (("--resume", "--seed", 9), "is of a bench with other"),
        ((), "is there already"),
    ):
        code, _, err = bench("-t", "ours", "--requests", 3, "--out", "a.jsonl", *arguments)
        assert code == 2
        assert message in err
    assert (tmp_path / "a.jsonl").read_bytes() == before


def test_an_endpoint_that_is_down_fails_the_command_and_says_how(bench: Command, tmp_path: Path) -> None:
    config = CONFIG.format("http://127.0.0.1:9", "http://127.0.0.1:9", price=PRICE)
    (tmp_path / "anchorwatch.yaml").write_text(config)
    code, out, _ = bench("-t", "ours", "--requests", 5)
    assert code == 1
    assert "errors: connection 5" in out
    assert "tokens a second are not known" not in out  # nothing is: that is told by then


def test_what_is_not_known_of_an_endpoint_is_said(bench: Command, tmp_path: Path) -> None:
    config = (
        (tmp_path / "anchorwatch.yaml").read_text().replace("suite: s.yaml", "suite: s.yaml, stream: false")
    )
    (tmp_path / "anchorwatch.yaml").write_text(config)
    _, out, _ = bench("-t", "ours", "--requests", 5)
    assert "ours: tokens a second are not known: the endpoint does not stream" in out
    assert "first token" not in out


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as a command of its own has it, whatever this process made of it before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before or signal.default_int_handler)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_what_there_is(bench: Command, tmp_path: Path) -> None:
    deployment = load_config(tmp_path / "anchorwatch.yaml")

    class Interrupted:
        """A clock whose owner loses patience and presses Ctrl-C."""

        def __init__(self) -> None:
            self.clock, self.looks = SystemClock(), 0

        def now(self) -> datetime:
            self.looks += 1
            if self.looks == 12:
                signal.raise_signal(signal.SIGINT)
            return self.clock.now()

        def monotonic(self) -> float:
            return self.clock.monotonic()

    planned = Bench(
        deployment.suites["ours"], {"ours": deployment.config.targets["ours"]}, Load(50, 1, warm_up=0)
    )
    done = run_bench(planned, Interrupted(), cap_usd=None, out=tmp_path / "a.jsonl", resume=False)
    assert done.is_interrupted
    assert not done.is_complete
    assert len(done.found) == len((tmp_path / "a.jsonl").read_text().splitlines()) >= 8


@pytest.mark.parametrize(("lag_s", "is_told"), [(0.009, False), (0.05, True)])
def test_a_machine_that_cannot_keep_up_says_so(lag_s: float, is_told: bool) -> None:
    done = Outcomes(Purse(None, {}), lags_s=[0.001] * 94 + [lag_s] * 6)
    told = " ".join(notes(report([], ["x"]), Load(), done))
    assert ("This machine was busy" in told) is is_told
