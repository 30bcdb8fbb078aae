"""The command line as a person meets it: exit codes, data on stdout, one clear message on stderr."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import event
from watched_bot import BASELINE_RUNS, DOWN, DRIFTED, Bot, run_of, watched_of

from canaries.completion import Completion
from monitor import DatabaseError
from monitor.cli import main
from monitor.cli.options import existing_database
from monitor.config import DATABASE_FILE
from monitor.database import Database
from monitor.demo.practice_model import PracticeModel, practice_app
from monitor.demo.serving import LocalServer


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def anchorwatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command ``anchorwatch``, in an empty folder and a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return Done(int(exited.value.code or 0), said.out, said.err)

    return call


# --- help

COMMANDS = ["", "run", "demo", "init", "check-config", "replay", "baseline", "baseline list", "baseline show",
            "baseline log", "baseline freeze", "baseline retire", "baseline renew", "backtest",
            "backtest canaries", "compare", "gate", "simulate", "spans", "spans decode", "alerts", "alerts list",
            "alerts test", "alerts ack", "alerts mark", "alerts explain", "alerts route", "alerts silence",
            "alerts silence add", "alerts silence list", "alerts silence expire", "alerts silence preview",
            "audit"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(anchorwatch: Command, command: str) -> None:
    done = anchorwatch(*command.split(), "--help")
    assert done.code == 0
    assert "Usage: " in done.out
    assert done.err == ""


def test_the_version_is_told_without_a_command(anchorwatch: Command) -> None:
    told = anchorwatch("--version")
    assert (told.code, told.out.strip(), told.err) == (0, version("anchorwatch"), "")


def test_help_loads_nothing_that_takes_long() -> None:
    heavy = (
        "sqlalchemy",
        "pydantic",
        "numpy",
        "httpx",
        "fastapi",
        "apscheduler",
        "genai_prices",
        "opentelemetry",
    )
    code = f"import sys, monitor.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "monitor.cli", "baseline", "list", "--data", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("anchorwatch: /nowhere/anchorwatch.sqlite: there is no database yet.")


# --- init, check-config

SECRETS = {"OPENAI_API_KEY": "sk-1", "SLACK_BOT_TOKEN": "xoxb-1"}


def test_what_init_writes_can_be_checked_and_is_never_overwritten(
    anchorwatch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anchorwatch("init").code == 0
    without = anchorwatch("check-config")
    assert (without.code, without.out) == (2, "")
    assert "the environment variable OPENAI_API_KEY is not set" in without.err
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    good = anchorwatch("check-config")
    assert (good.code, good.err) == (0, "")
    assert "target support-bot: 4 canaries against gpt-4o-mini, tells oncall" in good.out
    Path("suites/first.yaml").write_text("name: mine")
    assert "kept   suites/first.yaml" in anchorwatch("init").out
    assert Path("suites/first.yaml").read_text() == "name: mine"


def test_problems_of_a_configuration_are_told_for_people_and_machines(anchorwatch: Command) -> None:
    Path("odd.yaml").write_text("tragets: {}\nhttp: {port: -1}\n")
    people = anchorwatch("check-config", "-c", "odd.yaml")
    assert (people.code, people.out) == (2, "")
    assert people.err.splitlines()[0] == 'odd.yaml:1:1  tragets: unknown key; did you mean "targets"?'
    machines = anchorwatch("check-config", "-c", "odd.yaml", "--json")
    assert machines.code == 2
    assert json.loads(machines.out) == {"ok": False, "problems": people.err.splitlines()[:2]}


# --- replay


@pytest.fixture(scope="module")
def model() -> Iterator[LocalServer]:
    """A model that answers at once."""

    async def no_wait(seconds: float) -> None: ...

    with LocalServer(practice_app(PracticeModel(seed=3), sleep=no_wait)) as server:
        yield server


SUITE = """
name: first
canaries:
  - id: triage
    prompt: "Classify this ticket as billing, bug or how-to: I was charged twice."
    expect: {labels: [billing]}
  - {id: refund, prompt: "${QUESTION}", expect: {not_empty: true}}
"""


def target_at(url: str, key: str = "practice") -> None:
    Path("suite.yaml").write_text(SUITE)
    Path("anchorwatch.yaml").write_text(
        f"targets:\n  bot: {{base_url: '{url}/v1', api_key: {key}, model: practice-1, suite: suite.yaml, "
        "jitter: 10m, max_attempts: 1}\n"
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUESTION", "In one sentence: what is the refund policy?")


@pytest.mark.usefixtures("asked")
def test_replay_shows_a_run_at_once_and_stores_nothing(anchorwatch: Command, model: LocalServer) -> None:
    target_at(model.url)
    done = anchorwatch("replay", "suite.yaml", "--target", "bot")
    assert (done.code, done.err) == (0, "")
    triage = next(line for line in done.out.splitlines() if "triage" in line)
    assert "answered" in triage
    assert "1 passed" in triage
    assert "illing" in triage
    assert not list(Path().glob("*.sqlite*"))


@pytest.mark.usefixtures("asked")
def test_replay_tells_machines_every_answer_with_its_checks(anchorwatch: Command, model: LocalServer) -> None:
    target_at(model.url)
    run = json.loads(anchorwatch("replay", "suite.yaml", "-t", "bot", "--json").out)
    assert (run["target"], run["suite"]) == ("bot", "first")
    triage, refund = sorted(run["completions"], key=lambda one: one["canary"], reverse=True)
    assert triage["checks"] == [{"name": "labels", "passed": True, "note": triage["checks"][0]["note"]}]
    assert refund["text"]
    assert refund["served_model"] == "practice-1"
    assert refund["ttft_s"] <= refund["latency_s"]


@pytest.mark.usefixtures("asked")
def test_replay_exits_1_when_an_answer_is_missing(anchorwatch: Command, model: LocalServer) -> None:
    target_at(model.url, key="wrong")
    done = anchorwatch("replay", "suite.yaml", "--target", "bot")
    assert done.code == 1
    assert done.out.count("auth") >= 2


REPLAYS = {
    "no such target": (["suite.yaml", "-t", "other"], "no target is called 'other'; known: bot"),
    "no such suite": (["none.yaml", "-t", "bot"], "none.yaml:1:1  cannot be read: No such file or directory"),
    "no such configuration": (["suite.yaml", "-t", "bot", "-c", "none.yaml"], "none.yaml: cannot be read"),
}


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(("arguments", "message"), REPLAYS.values(), ids=REPLAYS)
def test_replay_says_what_it_cannot_find(
    anchorwatch: Command, model: LocalServer, arguments: list[str], message: str
) -> None:
    target_at(model.url)
    done = anchorwatch("replay", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_replay_without_configuration_says_that_there_are_no_targets(anchorwatch: Command) -> None:
    Path("suite.yaml").write_text("canaries: [{id: a, prompt: b}]")
    assert "no targets section" in anchorwatch("replay", "suite.yaml", "-t", "bot").err


# --- baseline


@pytest.fixture
def bot_here(anchorwatch: Command, tmp_path: Path) -> Iterator[Bot]:
    """A target that has collected a few runs, in the folder where commands look."""
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()
    bot = Bot(database, watched_of(freezes_itself=False))
    bot.runs(20)
    yield bot
    database.close()


def test_a_baseline_is_listed_shown_frozen_and_retired(anchorwatch: Command, bot_here: Bot) -> None:
    (listed,) = json.loads(anchorwatch("baseline", "list", "--json").out)
    assert (listed["id"], listed["status"], listed["collected_runs"]) == ("bot-1", "collecting", 20)
    assert "collecting" in anchorwatch("baseline", "list").out

    frozen = anchorwatch("baseline", "freeze", "bot")
    assert (frozen.code, frozen.out) == (0, "bot-1 is frozen: 8 train and 12 calibration runs\n")
    shown = json.loads(anchorwatch("baseline", "show", "bot", "--json").out)
    assert (shown["state"], shown["served_models"]) == ("frozen", ["m-2026-01"])
    assert sum(shown["scores"].values()) == pytest.approx(1.0)
    people = anchorwatch("baseline", "show", "bot").out
    assert "calibration runs   12" in people
    assert "! only 12 calibration runs: tickets only, pages need 24" in people

    retired = anchorwatch("baseline", "retire", "bot")
    assert retired.out == "bot-1 is retired; the next run begins a new one\n"
    assert json.loads(anchorwatch("baseline", "show", "bot-1", "--json").out)["state"] == "retired"
    gone = anchorwatch("baseline", "show", "bot")
    assert gone.code == 2
    assert (
        "bot has no baseline now, as the last one is retired: its next run begins one. Earlier ones: bot-1"
        in gone.err
    )


def test_show_tells_how_long_it_still_collects(anchorwatch: Command, bot_here: Bot) -> None:
    shown = json.loads(anchorwatch("baseline", "show", "bot", "--json").out)["collecting"]
    assert (shown["runs_needed"], shown["missing_runs"]) == (
        168,
        148,
    )  # by the defaults: there is no configuration
    assert "148 of 168 runs are missing, until 20" in anchorwatch("baseline", "show", "bot").out
    Path("suite.yaml").write_text("canaries: [{id: a, prompt: b}]")
    Path("aw.yaml").write_text(
        "targets: {bot: {model: m, suite: suite.yaml, every: 10m, baseline: {runs: 24, refresh: off}}}"
    )
    configured = json.loads(anchorwatch("baseline", "show", "bot", "-c", "aw.yaml", "--json").out)[
        "collecting"
    ]
    assert (configured["runs_needed"], configured["missing_runs"]) == (24, 4)


def test_show_fits_a_narrow_terminal(
    anchorwatch: Command, bot_here: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchorwatch("baseline", "freeze", "bot")
    monkeypatch.setenv("COLUMNS", "80")
    lines = anchorwatch("baseline", "show", "bot").out.splitlines()
    assert max(map(len, lines)) <= 80
    scores = json.loads(anchorwatch("baseline", "show", "bot", "--json").out)["scores"]
    assert all(any(line.split()[:1] == [name] for line in lines) for name in scores)


def test_a_refused_target_says_what_changed_and_what_to_do(anchorwatch: Command, bot_here: Bot) -> None:
    anchorwatch("baseline", "freeze", "bot")
    bot_here.watched = watched_of(model="m-next")
    bot_here.runs(1)
    assert [one["state"] for one in json.loads(anchorwatch("baseline", "list", "--json").out)] == ["refused"]
    shown = anchorwatch("baseline", "show", "bot").out
    assert 'target.model: "m" -> "m-next"' in shown
    assert 'anchorwatch baseline renew bot --why "..."' in shown

    renewed = anchorwatch("baseline", "renew", "bot", "--why", "m -> m-next")
    assert renewed.out == "bot-1 is retired; bot-2 collects from the next run on\n"
    bot_here.runs(1)
    (current, _) = json.loads(anchorwatch("baseline", "list", "--json").out)
    assert (current["id"], current["state"], current["collected_runs"]) == ("bot-2", "collecting", 1)


def test_the_log_says_what_happened_by_whom_and_why(anchorwatch: Command, bot_here: Bot) -> None:
    Bot(bot_here.database, watched_of(name="other")).runs(1)
    anchorwatch("baseline", "freeze", "bot", "--why", "good enough")
    anchorwatch("baseline", "retire", "bot", "--why", "the prompt was wrong")
    logged = json.loads(anchorwatch("baseline", "log", "bot", "--json").out)
    assert [(one["event"], one["actor"], one["why"]) for one in logged] == [
        ("begun", "daemon", ""),
        ("frozen", "operator", "good enough"),
        ("retired", "operator", "the prompt was wrong"),
    ]
    people = anchorwatch("baseline", "log").out
    assert "bot-1  retired, by the operator: the prompt was wrong" in people
    assert "other-1  begun, by the daemon" in people


def test_nothing_is_frozen_during_an_incident_without_force_and_a_reason(
    anchorwatch: Command, bot_here: Bot
) -> None:
    bot_here.runs(3, DOWN)
    refused = anchorwatch("baseline", "freeze", "bot")
    assert (refused.code, refused.out) == (2, "")
    assert "an incident of bot is open: bot: " in refused.err
    assert "say --why" in anchorwatch("baseline", "freeze", "bot", "--force").err
    assert anchorwatch("baseline", "freeze", "bot", "--force", "--why", "an old outage").code == 0


def test_renewing_without_a_reason_is_refused(anchorwatch: Command, bot_here: Bot) -> None:
    assert anchorwatch("baseline", "renew", "bot").code == 2
    assert "say --why" in anchorwatch("baseline", "renew", "bot", "--why", " ").err
    assert anchorwatch("baseline", "show", "bot-1").code == 0


def test_a_run_after_the_command_is_compared(anchorwatch: Command, bot_here: Bot) -> None:
    bot_here.runs(BASELINE_RUNS - 20)
    anchorwatch("baseline", "freeze", "bot")
    assert bot_here.runs(1)[0].scores


WRONG = {
    "freeze twice": (["freeze", "freeze"], "baseline bot-1 is frozen: only one that collects can be frozen"),
    "retire twice": (["retire", "retire"], "bot has no baseline now"),
}


@pytest.mark.parametrize(("commands", "message"), WRONG.values(), ids=WRONG)
def test_a_command_out_of_turn_is_refused(
    anchorwatch: Command, bot_here: Bot, commands: list[str], message: str
) -> None:
    *_, last = [anchorwatch("baseline", command, "bot") for command in commands]
    assert (last.code, last.out) == (2, "")
    assert message in last.err


def test_too_few_runs_make_no_baseline(anchorwatch: Command, tmp_path: Path) -> None:
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()
    Bot(database).runs(5)
    database.close()
    done = anchorwatch("baseline", "freeze", "bot")
    assert done.code == 2
    assert "a baseline needs at least 12 runs, not 5" in done.err


def test_an_unknown_name_is_told_with_the_known_ones(anchorwatch: Command, bot_here: Bot) -> None:
    done = anchorwatch("baseline", "show", "pot")
    assert done.code == 2
    assert "no target, and no baseline, is called 'pot'; targets with a baseline: bot" in done.err


def test_a_target_wins_over_a_baseline_that_is_called_like_it(anchorwatch: Command, bot_here: Bot) -> None:
    Bot(bot_here.database, watched_of(name="bot-1")).runs(1)
    assert anchorwatch("baseline", "retire", "bot-1").out.startswith("bot-1-1 is retired")
    states = {one["id"]: one["status"] for one in json.loads(anchorwatch("baseline", "list", "--json").out)}
    assert states == {"bot-1": "collecting", "bot-1-1": "retired"}


def test_without_baselines_the_list_says_how_they_begin(anchorwatch: Command, tmp_path: Path) -> None:
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()
    database.close()
    assert "no baseline yet: the daemon's first run begins one" in anchorwatch("baseline", "list").out
    assert json.loads(anchorwatch("baseline", "list", "--json").out) == []


def test_a_database_that_stays_locked_is_one_message(database: Database) -> None:
    def command() -> None:
        with existing_database(database.path.parent) as beside:

            @event.listens_for(beside.engine, "begin")
            def patience(connection) -> None:
                connection.exec_driver_sql("PRAGMA busy_timeout=1")

            beside.write(lambda session: None)

    with pytest.raises(DatabaseError, match=r"anchorwatch\.sqlite: cannot be used: database is locked"):
        database.write(lambda session: command())


# --- backtest


def write_stream(runs: int, change: int, name: str = "stream.jsonl") -> None:
    watched = watched_of()
    with Path(name).open("w") as file:
        for hour in range(runs):
            run = run_of(watched, hour, DRIFTED) if hour >= change else run_of(watched, hour)
            file.writelines(json.dumps(row(run.id, one)) + "\n" for one in run.completions)


def row(run_id: str, one: Completion) -> dict[str, str | None]:
    at = one.at.isoformat() if one.at else None
    return {"run": run_id, "target": "[bot]", "canary": one.canary, "text": one.text, "at": at}


def test_backtest_tells_people_and_machines_the_same(anchorwatch: Command) -> None:
    write_stream(90, change=60)
    options = ["backtest", "canaries", "stream.jsonl", "--baseline-runs", "48", "--pages-per-quarter", "1"]
    machines = anchorwatch(*options, "--json")
    assert (machines.code, machines.err) == (0, "")
    result = json.loads(machines.out)
    assert result["runs"] == 90
    (page,) = result["pages"]
    people = anchorwatch(*options)
    assert people.code == 0
    line = next(line for line in people.out.splitlines() if "│ page" in line)
    assert page["run"] in line
    assert "[bot]" in line  # brackets are no markup
    assert page["score"] in line


def test_backtest_without_a_notice_says_so(anchorwatch: Command) -> None:
    write_stream(70, change=70)
    done = anchorwatch(
        "backtest", "canaries", "stream.jsonl", "--baseline-runs", "48", "--tickets-per-week", "0"
    )
    assert done.out.startswith("70 runs: no page, no ticket\n")
    assert "[bot]: the baseline covers 2.0 days" in done.out


UNUSABLE = {
    "no file": ("none.jsonl", [], "none.jsonl: cannot be read: No such file or directory"),
    "no completions": ("empty.jsonl", [], "empty.jsonl: holds no completions"),
    "no JSON": ("text.jsonl", [], "text.jsonl:1: is not JSON"),
    "too short": ("stream.jsonl", [], "[bot] has no baseline: 10 of the 12 runs it takes were there"),
    "not a number": ("stream.jsonl", ["--pages-per-quarter", "nan"], "--pages-per-quarter"),
    "without end": ("stream.jsonl", ["--pages-per-quarter", "inf"], "pages_per_quarter is inf"),
    "not a duration": ("stream.jsonl", ["--every", "soon"], "--every soon: "),
    "below the least": ("stream.jsonl", ["--baseline-runs", "3"], "--baseline-runs"),
    "less than none": ("stream.jsonl", ["--pages-per-quarter", "-1"], "--pages-per-quarter"),
}


@pytest.mark.parametrize(("name", "options", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_backtest_exits_2_on_what_it_cannot_use(
    anchorwatch: Command, name: str, options: list[str], message: str
) -> None:
    write_stream(10, change=10)
    Path("empty.jsonl").write_text("")
    Path("text.jsonl").write_text("hello\n")
    done = anchorwatch("backtest", "canaries", name, *options, "--json")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
