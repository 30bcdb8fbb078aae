"""``anchorwatch canaries`` as a person meets it: from a log to a suite, and the history of suites."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from exported_spans import payload_of, span_of

from canaries.suite import load_suite
from canaries.suite_history import note_uses
from monitor.cli import main
from monitor.config import DATABASE_FILE
from monitor.database import Database


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The commands ``anchorwatch canaries``, in an empty folder and a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", "canaries", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return Done(int(exited.value.code or 0), said.out, said.err)

    return call


def log(path: Path = Path("log.jsonl"), **more: Any) -> Path:
    """Twenty requests about a parcel and a refund, one of them of a person with an address."""
    rows: list[dict[str, Any]] = [
        {"prompt": f"Where is the parcel that {name} sent me?", "answer": f"On its way, {name}."} | more
        for name in ("Anna", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Jo")
    ]
    rows += [
        {"prompt": f"I want a refund for {thing}", "answer": "Sure."} for thing in ("shoes", "a hat", "socks")
    ]
    rows += [{"prompt": "My address is jane@example.org, delete the account of Globex", "error": "500"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_log_becomes_a_suite(canaries: Command) -> None:
    done = canaries("harvest", log(), "--redact-pattern", "customer=(?i)globex", "--name", "support", "--yes")
    assert done.code == 0
    assert "14 requests, 14 different prompts" in done.out
    assert "Redacted in 1 of them: 1 customer, 1 email." in done.out
    assert "Next: anchorwatch canaries accept proposal.yaml" in done.err
    done = canaries("accept", "proposal.yaml", "support.yaml")
    assert "of the proposal are still to be looked at" in done.out
    suite = load_suite(Path("support.yaml"), {})
    asked = [canary.messages[-1].content for canary in suite.canaries]
    assert "My address is <email-1>, delete the account of <customer-1>" in asked
    assert suite.name == "support"
    assert "0 of them checked one by one" in Path("support.yaml").read_text()
    assert Path("proposal.yaml").stat().st_mode & 0o077 == 0


def test_a_machine_gets_an_account(canaries: Command) -> None:
    done = canaries("harvest", log(), "--pick", "3", "--json")
    account = json.loads(done.out)
    assert (account["proposal"], account["canaries"], account["requests"]) == ("proposal.yaml", 3, 14)
    assert len(account["coverage"]) == 3


def test_only_what_was_accepted_in_an_editor_gets_into_the_suite(canaries: Command) -> None:
    canaries("harvest", log(), "--pick", "4")
    proposal = Path("proposal.yaml")
    assert "nothing is accepted yet" in canaries("accept", proposal, "s.yaml").err
    proposal.write_text(proposal.read_text().replace("accepted: false", "accepted: true", 2))
    done = canaries("accept", proposal, "s.yaml")
    assert done.out.startswith("s.yaml: 2 canaries, version ")
    assert done.out.endswith("2 of the proposal are still to be looked at.\n")
    again = canaries("accept", proposal, "s.yaml")
    assert (
        again.code,
        "s.yaml: is there already; --add adds to it, --replace overwrites it" in again.err,
    ) == (2, True)
    more = canaries("accept", proposal, "s.yaml", "--all", "--replace").out
    assert more.startswith("s.yaml: 4 canaries, version ")
    assert ": added" in more


def test_a_review_goes_on_where_it_ended(canaries: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries("harvest", log(), "--pick", "4")

    def answer(*lines: str) -> Done:
        left = [f"{line}\n" for line in lines]
        monkeypatch.setattr(sys.stdin, "readline", lambda: left.pop(0) if left else "", raising=False)
        return canaries("review", "proposal.yaml")

    first = answer("a", "what?", "s", "q")
    assert first.code == 0
    assert "1 of 4" in first.err
    assert "2 looked at now. In all 1 accepted, 1 skipped, 2 left." in first.err
    assert "Go on: anchorwatch canaries review proposal.yaml" in first.err
    second = answer("a")  # and the terminal is closed
    assert "1 looked at now. In all 2 accepted, 1 skipped, 1 left." in second.err


def test_an_interrupted_review_keeps_what_was_said(
    canaries: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries("harvest", log(), "--pick", "3")
    said = iter(["a\n"])

    def readline() -> str:
        try:
            return next(said)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(sys.stdin, "readline", readline, raising=False)
    assert "In all 1 accepted, 0 skipped, 2 left." in canaries("review", "proposal.yaml").err
    assert Path("proposal.yaml").read_text().count("\n    accepted: true") == 1


def test_an_edit_happens_in_the_persons_editor(canaries: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries("harvest", log(), "--pick", "1")
    Path("editor.py").write_text(
        "import re, sys\np = sys.argv[1]\nt = re.sub('id: .*', 'id: mine', open(p).read())\nopen(p, 'w').write(t)\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {Path('editor.py').absolute()}")
    monkeypatch.setattr(sys.stdin, "readline", lambda: "e\n", raising=False)
    assert canaries("review").code == 0
    assert "id: mine\n    accepted: true" in Path("proposal.yaml").read_text()


def test_recorded_spans_are_harvested_where_they_carry_prompts(canaries: Command) -> None:
    message = '[{"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]}]'
    usual = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
    Path("some.pb").write_bytes(payload_of([span_of(usual | {"gen_ai.input.messages": message})]))
    Path("none.pb").write_bytes(payload_of([span_of(usual, number=2, trace=2, at_s=60)]))
    done = canaries("harvest", "some.pb", "none.pb", "--json")
    account = json.loads(done.out)
    assert (account["canaries"], list(account["left_out"].values())) == (1, [1])
    empty = canaries("harvest", "none.pb", "--replace")
    assert (empty.code, "1 left out: its span carries no prompt" in empty.err) == (2, True)


WITH_COMMENTS = """\
name: support
system: Be short.
canaries:
# the first one
- id: hello
  prompt: Hello   # as people begin
"""


def test_more_canaries_are_added_to_a_suite_and_the_rest_stays_as_it_is(canaries: Command) -> None:
    Path("s.yaml").write_text(WITH_COMMENTS)
    rows = [
        {"system": "Be kind.", "prompt": "Where is it?\n\nI wait."},
        {"system": "Be kind.", "prompt": "Hello"},
    ]
    Path("log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    canaries("harvest", "log.jsonl", "--known", "s.yaml", "--yes")
    done = canaries("accept", "proposal.yaml", "s.yaml", "--add")
    assert done.out.startswith("s.yaml: 2 canaries, version ")
    assert Path("s.yaml").read_text().startswith(WITH_COMMENTS)
    first, second = load_suite(Path("s.yaml"), {}).canaries
    assert [one.content for one in first.messages] == ["Be short.", "Hello"]
    assert [one.content for one in second.messages] == ["Be kind.", "Where is it?\n\nI wait."]


NOT_TO_BE_ADDED_TO = {
    "canaries are not last": "canaries:\n  - {id: hello, prompt: Hello}\nname: support\n",
    "in one line": "canaries: [{id: hello, prompt: Hello}]\n",
    "a system prompt that was not asked": "system: Be short.\ncanaries:\n  - {id: hello, prompt: Hello}\n",
}


@pytest.mark.parametrize("text", NOT_TO_BE_ADDED_TO.values(), ids=NOT_TO_BE_ADDED_TO)
def test_a_suite_that_cannot_be_added_to_stays_as_it_is(canaries: Command, text: str) -> None:
    Path("s.yaml").write_text(text)
    canaries("harvest", log(), "--pick", "1", "--yes")
    done = canaries("accept", "proposal.yaml", "s.yaml", "--add")
    assert (done.code, done.out) == (2, "")
    assert Path("s.yaml").read_text() == text


def test_what_people_wrote_does_not_steer_the_terminal(
    canaries: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("log.txt").write_text("Why \x1b[2J\x07 is it dark?\n")
    canaries("harvest", "log.txt")
    monkeypatch.setattr(sys.stdin, "readline", lambda: "q\n", raising=False)
    shown = canaries("review").err
    assert "Why \N{REPLACEMENT CHARACTER}[2J" in shown
    assert "\x1b" not in shown


REFUSED = {
    "a proposal that is there": (["log.jsonl", "-o", "log.jsonl"], "canaries review log.jsonl"),
    "no folder": (["log.jsonl", "-o", "none/p.yaml"], "there is no such folder"),
    "no name for a pattern": (["log.jsonl", "--redact-pattern", "Acme"], "write NAME=REGEX"),
    "no pattern": (["log.jsonl", "--redact-pattern", "a=("], "is not a regular expression"),
    "no name": (["log.jsonl", "--name", "?"], "a name has letters"),
    "no file": (["none.jsonl"], "cannot be read"),
    "no kind of file": (["log.doc"], "must end in"),
    "no spans": (["log.pb"], "log.pb: "),
}


@pytest.mark.parametrize(("arguments", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_told(canaries: Command, arguments: list[str], why: str) -> None:
    log()
    Path("log.pb").write_bytes(b"not a payload")
    done = canaries("harvest", *arguments)
    assert (done.code, done.out) == (2, "")
    assert why in done.err


SUITE = "name: support\ncanaries:\n  - {id: hello, prompt: Hello}\n"


@pytest.fixture
def used(tmp_path: Path) -> None:
    """A database in which a suite was in use in two versions."""
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()
    for day, more in ((2, ""), (3, "  - {id: bye, prompt: Bye}\n")):
        path = tmp_path / "support.yaml"
        path.write_text(SUITE + more)
        suite, at = load_suite(path, {}), datetime(2026, 3, day, tzinfo=UTC)
        database.write(lambda session, suite=suite, at=at: note_uses(session, {"bot": suite}, at))
    database.close()


@pytest.mark.usefixtures("used")
def test_the_history_of_a_suite_is_told(canaries: Command) -> None:
    shown = canaries("history", "support").out
    assert "1 canaries, first used 2026-03-02 00:00 UTC" in shown
    assert "on bot: 2026-03-02 00:00 UTC to 2026-03-03 00:00 UTC" in shown
    assert "canary 'bye': added" in shown
    old, new = json.loads(canaries("history", "support", "--json").out)
    between = canaries("history", "support", "--between", new["version"][:6], old["version"][:6])
    assert between.out == "canary 'bye': removed\n"
    (listed,) = json.loads(canaries("list", "--json").out)
    assert (listed["suite"], listed["version"]) == ("support", new["version"])
    assert new["version"][:10] in canaries("list").out


@pytest.mark.usefixtures("used")
def test_a_suite_that_nobody_used_is_told(canaries: Command) -> None:
    done = canaries("history", "suport")
    assert (done.code, "there are: support" in done.err) == (2, True)


@pytest.mark.parametrize("command", ["", "harvest", "review", "accept", "list", "history"])
def test_every_command_has_help(canaries: Command, command: str) -> None:
    done = canaries(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
