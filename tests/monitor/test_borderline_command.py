"""``anchorwatch canaries borderline`` as a person and a machine meet it, against the practice model."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canaries.suite import load_suite
from monitor.cli import main
from monitor.demo.practice_model import PracticeModel, practice_app
from monitor.demo.serving import LocalServer

CONFIG = """
targets:
  ours: {{base_url: "{url}/v1", api_key: practice, model: practice-1, suite: s.yaml, price: {price}}}
  unpriced: {{base_url: "{url}/v1", api_key: practice, model: practice-1, suite: s.yaml}}
"""
PRICE = "{input_usd_per_mtok: 100, output_usd_per_mtok: 100}"
SUITE = """
system: Be brief.
canaries:
  - {id: talk, prompt: "What do you sell?"}
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LocalServer(practice_app(PracticeModel(steady_latency_s=0.0))) as server:
        yield server.url


@pytest.fixture
def borderline(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG.format(url=url, price=PRICE))
    (tmp_path / "s.yaml").write_text(SUITE)
    # Small talk at temperature 1 wavers between three words; a question of yes or no has an answer at 0.
    (tmp_path / "ties.txt").write_text("Tell me of mugs.\n\nAnd of lamps?\nTell me of mugs.\n")
    (tmp_path / "sure.txt").write_text("Was it charged twice?\n")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "canaries", "borderline", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return call


def test_what_is_found_becomes_a_suite(borderline: Command, tmp_path: Path) -> None:
    code, out, _ = borderline(
        "-t", "ours", "--prompts", "ties.txt", "--temperature", 1, "--out", "border.yaml"
    )
    assert code == 0
    assert "2 canaries written to border.yaml" in out
    suite = load_suite(tmp_path / "border.yaml", {})
    assert {one.messages[-1].content for one in suite.canaries} == {"Tell me of mugs.", "And of lamps?"}
    assert all(one.parameters["top_logprobs"] == 20 for one in suite.canaries)


def test_a_suite_that_is_there_gets_longer_and_a_second_time_not(borderline: Command, tmp_path: Path) -> None:
    arguments = ("-t", "ours", "--prompts", "ties.txt", "--temperature", 1, "--out", "s.yaml", "--json")
    code, out, _ = borderline(*arguments)
    assert (code, json.loads(out)["written"]) == (0, 2)
    canaries = load_suite(tmp_path / "s.yaml", {}).canaries
    assert len(canaries) == 3
    assert canaries[-1].messages[0].content == "Be brief."
    assert json.loads(borderline(*arguments)[1])["written"] == 0


def test_json_tells_all_of_the_search(borderline: Command) -> None:
    _, out, err = borderline(
        "-t", "ours", "--prompts", "ties.txt", "--temperature", 1, "--no-logprobs", "--json"
    )
    said = json.loads(out)
    assert not said["logprobs"]
    assert said["tried"] == 2
    assert said["requests"] == 2 * 3 + said["wavered"] * 20
    assert all(sum(one["answers"].values()) == 20 for one in said["canaries"])
    assert said["cost_usd"] > 0
    assert said["written"] is None
    assert "requests, $" in err


def test_where_there_is_no_tie_it_says_what_to_try(borderline: Command, tmp_path: Path) -> None:
    code, out, _ = borderline(
        "-t", "ours", "--prompts", "sure.txt", "--temperature", 0, "--out", "border.yaml"
    )
    assert code == 1
    assert "No tie was found. Try more --candidates or a higher --temperature" in out
    assert not (tmp_path / "border.yaml").exists()


def test_the_spend_cap_stops_it(borderline: Command) -> None:
    code, out, _ = borderline("-t", "ours", "--no-logprobs", "--max-spend-usd", 0.0001)
    assert code == 1
    assert "Stopped at --max-spend-usd." in out
    assert "0 requests" in out


WRONG = [
    pytest.param(("-t", "nobody"), "no target is called 'nobody'", id="target"),
    pytest.param(("-t", "unpriced", "--max-spend-usd", 1), "give it a `price`", id="price"),
    pytest.param(("-t", "ours", "--prompts", "none.txt"), "cannot be read", id="prompts"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_be_done_is_said(
    borderline: Command, arguments: tuple[object, ...], message: str
) -> None:
    code, _, err = borderline(*arguments)
    assert code == 2
    assert message in err
