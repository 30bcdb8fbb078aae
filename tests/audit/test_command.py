"""``anchorwatch audit`` as a person meets it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from traffic_month import SEARCH, SHOP, UNTIL, Calls, always, since_last_day, write_month

from monitor.cli import main
from monitor.config import DATABASE_FILE
from monitor.database import Database

Done = tuple[int, str, str]
Command = Callable[..., Done]

AT = ("--until", f"{UNTIL:%Y-%m-%dT%H:%M}")


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, in a folder of its own and a wide terminal; gives its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "180")

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "audit", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def stored(tmp_path: Path) -> Database:
    """A month in which the shop has become slower in the last day."""
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()
    usual = Calls()
    write_month(database, {SHOP: since_last_day(usual, latency_s=1.8), SEARCH: always(usual)})
    return database


def test_the_table_says_what_moved_and_whether_it_is_real(audit: Command, stored: Database) -> None:
    code, out, err = audit(*AT)
    assert (code, err) == (0, "")
    assert "measures got worse. shop latency p" in out
    (row,) = [line for line in out.splitlines() if "latency p95" in line and "shop" in line and "│" in line]
    assert row.rstrip("│ ").endswith("real")
    assert "claude-haiku-4-5" in out
    assert "0 pages in this period" in out


def test_json_has_all_of_it(audit: Command, stored: Database) -> None:
    code, out, _ = audit(*AT, "--json", "--against", "baseline", "--since", "2026-03-02T06:30")
    found = json.loads(out)
    assert code == 0
    assert (found["against"], found["since"]) == ("baseline", "2026-03-02T06:30:00+00:00")
    assert {one["name"] for one in found["subjects"]} == {"shop", "search"}
    assert found["movers"][0]["line"]["baseline"]["reality"] == "real"


def test_files_are_written_beside_the_table(audit: Command, stored: Database, tmp_path: Path) -> None:
    assert audit(*AT, "--html", "a.html", "--markdown", "a.md")[0] == 0
    assert "<svg" in (tmp_path / "a.html").read_text()
    text = (tmp_path / "a.md").read_text()
    assert text.startswith("# Audit of the 1 day to 2026-03-03 06:30 UTC: ")
    assert "shop: latency p95" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--since", "soon"), 'is no time; write "2026-03-02"'),
        (("--until", "tomorrow"), 'is no time; write "2026-03-02"'),
        (("--since", "5m"), "an hour at least, and 31 days at most"),
        (("--since", "90d"), "an hour at least, and 31 days at most"),
        (("--against", "last year"), '--against is "previous" or "baseline", not "last year"'),
        (("--html", "nowhere/a.html"), "there is no such folder"),
    ],
    ids=["since", "until", "too short", "too long", "against", "no folder"],
)
def test_a_mistake_is_one_clear_message(
    audit: Command, stored: Database, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = audit(*arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_without_a_database_it_is_said_what_makes_one(audit: Command) -> None:
    code, _, err = audit()
    assert code == 2
    assert "`anchorwatch run` makes it" in err
