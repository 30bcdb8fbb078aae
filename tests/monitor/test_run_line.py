"""``anchorwatch run`` is read without the library that reads all other lines, and to the same effect."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from monitor.cli import running
from monitor.cli.commands import app
from monitor.cli.running import RunOptions, plain_run

LINES = {
    "nothing": ([], RunOptions()),
    "short": (["-c", "a.yaml", "-v"], RunOptions(config=Path("a.yaml"), verbose=True)),
    "long": (["--config", "a.yaml", "--data", "/var/lib"], RunOptions(Path("a.yaml"), Path("/var/lib"))),
    "with signs of equality": (["--data=x=y", "--port=0"], RunOptions(data=Path("x=y"), port=0)),
    "ports": (
        ["--port", "1", "--otlp-http-port", "65535", "--otlp-grpc-port", "3"],
        RunOptions(port=1, otlp_http_port=65_535, otlp_grpc_port=3),
    ),
    "flags": (["--no-otlp-grpc", "--verbose"], RunOptions(no_otlp_grpc=True, verbose=True)),
    "twice": (["--port", "1", "--port", "2"], RunOptions(port=2)),
}

OTHERS = {
    "another command": ["init"],
    "no command": [],
    "an option before it": ["--version", "run"],
    "help": ["run", "--help"],
    "short help": ["run", "-h"],
    "an unknown option": ["run", "--ports", "1"],
    "too high a port": ["run", "--port", "65536"],
    "thousands of digits": ["run", "--port", "9" * 5_000],
    "no number": ["run", "--port", "http"],
    "a digit of another script": ["run", "--port", "\u0663"],
    "no value": ["run", "--data"],
    "an empty value": ["run", "--data="],
    "an option in place of a value": ["run", "--data", "--verbose"],
    "a value for a flag": ["run", "--verbose=1"],
    "short ones together": ["run", "-vc", "a.yaml"],
    "an argument": ["run", "here"],
}


@pytest.mark.parametrize(("words", "options"), LINES.values(), ids=LINES)
def test_a_plain_line_is_read(words: list[str], options: RunOptions) -> None:
    assert plain_run(["run", *words]) == options


@pytest.mark.parametrize(("words", "options"), LINES.values(), ids=LINES)
def test_the_whole_command_line_reads_it_likewise(
    words: list[str], options: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunOptions] = []

    def note(told: RunOptions) -> int:
        asked.append(told)
        return 0

    monkeypatch.setattr(running, "run", note)
    assert CliRunner().invoke(app, ["run", *words]).exit_code == 0
    assert asked == [options]


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_all_else_is_left_to_the_whole_command_line(words: list[str]) -> None:
    assert plain_run(words) is None


def test_every_option_of_the_command_line_is_known() -> None:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    for option in command.params:
        for name in option.opts:
            if name not in ("--help", "-h"):
                read = plain_run(["run", name]) or plain_run(["run", name, "1"])
                assert read not in (None, RunOptions()), name
