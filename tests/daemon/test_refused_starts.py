"""What a person is told when the daemon cannot start: one clear line (or all problems), and exit code 2."""

import signal
import sqlite3
from pathlib import Path

import pytest

CONFIG = """
targets:
  bot: {model: m, suite: nowhere.yaml, every: 15 minutes, notfy: [oncall]}
watches:
  - {name: p95, measure: latency_p95, above: 8s, notify: [nobody]}
"""


@pytest.fixture
def run(command):
    free_ports = ("--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")
    return lambda *arguments: command("run", *free_ports, *arguments)


def test_all_problems_of_a_configuration_are_told_at_once(run, tmp_path: Path, capfd) -> None:
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG)
    assert run("-c", tmp_path / "anchorwatch.yaml", "--data", tmp_path / "data") == 2
    out, err = capfd.readouterr()
    assert out == ""
    for problem in ("nowhere.yaml", "15 minutes", 'did you mean "notify"', '"nobody"'):
        assert problem in err
    assert not (tmp_path / "data").exists()


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "data"


def in_a_folder_that_takes_no_files(folder: Path) -> Path:
    return Path("/proc")


def on_something_else(folder: Path) -> Path:
    (folder / "anchorwatch.sqlite").write_text("no database " * 500)
    return folder


UNUSABLE = {
    "below a file": (below_a_file, "the data folder cannot be made: "),
    "no files": (in_a_folder_that_takes_no_files, "/proc/anchorwatch.sqlite.lock: cannot be opened: "),
    "something else": (on_something_else, "anchorwatch.sqlite: cannot be used: file is not a database"),
}


@pytest.mark.parametrize(("data", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_data_folder_that_cannot_be_used_is_one_line(run, data, told: str, tmp_path: Path, capfd) -> None:
    assert run("--data", data(tmp_path)) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("anchorwatch: ")
    assert told in line


def test_a_database_that_somebody_holds_is_one_line(run, database, capfd) -> None:
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert run("--data", database.path.parent) == 2
    other.close()
    (line,) = capfd.readouterr().err.splitlines()
    assert "anchorwatch.sqlite: cannot be used: database is locked" in line


def test_a_start_that_failed_leaves_no_signal_handlers(run, database, capfd) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with database.engine.begin() as connection:
        # Found out by the running loop, after everything that is looked at before there is one.
        connection.exec_driver_sql("DROP TABLE notification")
    assert run("--data", database.path.parent) == 2
    assert "no such table: notification" in capfd.readouterr().err
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_port_and_none_at_all_for_grpc_is_one_line(run, tmp_path: Path, capfd) -> None:
    assert run("--data", tmp_path, "--no-otlp-grpc") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "--otlp-grpc-port and --no-otlp-grpc" in line
