"""The examples for CI can be used as they are: sound YAML, commands that exist, settings that are read."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from canaries.gate.config import GateConfig, Limit
from canaries.suite import load_suite
from monitor.cli.commands import app
from monitor.config import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gate.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def example(begins: str) -> str:
    (found,) = [one for one in EXAMPLES if one.startswith(begins)]
    return found


def commands() -> Iterator[str]:
    """Every command line of the page, in plain blocks and in workflows."""
    for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL):
        yield from (line for line in block.splitlines() if line.startswith("anchorwatch "))
    for step in github_steps():
        if step.get("run", "").startswith("anchorwatch "):
            yield step["run"]
    yield from (line for line in gitlab_job()["script"] if line.startswith("anchorwatch "))


def github_steps() -> list[dict[str, Any]]:
    return list(yaml.safe_load(example("name: LLM gate"))["jobs"]["gate"]["steps"])


def gitlab_job() -> dict[str, Any]:
    return dict(yaml.safe_load(example("gate:\n  image"))["gate"])


def parsed(line: str) -> dict[str, Any]:
    """What the command takes from a line; raises an error of usage for what it does not know."""
    name, *arguments = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    with command.make_context("anchorwatch", [name], resilient_parsing=True) as above:
        chosen = command.get_command(above, name)  # type: ignore[attr-defined]  # the app is a group of commands
        assert chosen is not None, f"there is no command {name}"
        return dict(chosen.make_context(name, arguments, parent=above).params)


COMMANDS = list(commands())


def test_the_page_has_a_command_for_a_start_and_for_each_system() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_line_is_one_that_the_command_takes(line: str) -> None:
    taken = parsed(line)
    assert taken["suite"].suffix == ".yaml"
    assert taken["target"] in ("candidate", "support-bot")


def test_a_command_line_that_is_not_taken_is_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(COMMANDS[0] + " --againts x")


def test_the_github_workflow_runs_on_pull_requests_and_keeps_what_was_found() -> None:
    workflow = yaml.safe_load(example("name: LLM gate"))
    assert workflow[True]["pull_request"]["paths"] == ["llm/**"]  # YAML 1.1 reads `on` as true
    steps = workflow["jobs"]["gate"]["steps"]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    (gate,) = [step for step in steps if step.get("name") == "Gate"]
    (upload,) = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert upload["if"] == "always()"
    written = parsed(gate["run"])
    kept = upload["with"]["path"].split()
    assert [str(written[option]) for option in ("junit", "html", "save")] == kept
    assert "$GITHUB_STEP_SUMMARY" in gate["run"]


def test_the_gitlab_job_shows_the_cases_and_lets_inconclusive_pass() -> None:
    job = gitlab_job()
    written = parsed(job["script"][0])
    assert str(written["junit"]) == job["artifacts"]["reports"]["junit"]
    assert [str(written[o]) for o in ("markdown", "html", "save")] == job["artifacts"]["paths"]
    assert job["allow_failure"] == {"exit_codes": [3]}


def test_settings_stand_where_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites/support.yaml").write_text(example("# suites/support.yaml"))
    (tmp_path / "gate.yaml").write_text(example("# gate.yaml"))
    deployment = load(tmp_path / "gate.yaml", {"OPENAI_API_KEY": "sk-1"})
    assert deployment.config.gate.cost_per_1000_usd == Limit(0.1, is_relative=True)
    assert load_suite(tmp_path / "suites/support.yaml", {}).gate.latency_p95 == Limit(8.0)


def test_the_page_lists_every_key() -> None:
    (line,) = re.findall(r"^All keys: (.*)\.$", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", line) == list(GateConfig.model_fields)
