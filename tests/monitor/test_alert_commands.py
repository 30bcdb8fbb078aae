"""What people type about incidents: see to them, silence them, judge them, ask why; and about who is told."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerts import store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, State
from alerts.intake import receive
from monitor.cli import main
from monitor.config import DATABASE_FILE
from monitor.database import Database

CONFIG = """
receivers:
  slack: {webhook: {url: "https://example.com/hook", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}
  pager: {webhook: {url: "https://example.com/hook", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}
route:
  receivers: [slack]
  group_by: [service]
  routes:
    - {match: [severity=page], receivers: [pager], escalate: [{after: 15m, notify: slack}], mute_times: [never]}
    - {match: [severity=page, service=checkout]}
mute_times:
  never: {weekdays: [monday], times: ["00:00-00:01"]}
"""


@pytest.fixture
def say(tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")

    def say(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["anchorwatch", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        said = capsys.readouterr()
        return int(exited.value.code or 0), said.out + said.err

    return say


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """A database in which two watches fire; gives the id of the first incident."""
    database = Database(tmp_path / DATABASE_FILE)
    database.migrate()

    def fire(session) -> None:
        for service in ("chat", "shop"):
            finding = Finding(Severity.PAGE, Source.WATCH, f"{service} is slow", {"service": service})
            verdict = Verdict(f"watch/{service}", Label.BREACHED, finding)
            receive(session, [(verdict, AlertRule(notify=("oncall",)))], datetime.now(UTC))

    database.write(fire)
    [first, _] = database.read(store.open_incidents)
    database.close()
    return first.id


def incident(tmp_path: Path, incident_id: str):
    database = Database(tmp_path / DATABASE_FILE)
    try:
        return database.read(lambda session: store.incident(session, incident_id))
    finally:
        database.close()


def test_an_incident_is_acknowledged_by_its_id_or_its_key(say, slow, tmp_path):
    code, said = say("alerts", "ack", "watch/chat", "--by", "ada")
    assert (code, "acknowledged by ada; somebody sees to it" in said) == (0, True)
    assert incident(tmp_path, slow).state is State.ACKNOWLEDGED
    assert "already sees to it" in say("alerts", "ack", slow, "--by", "bob")[1]


def test_what_is_unknown_says_where_to_look(say, slow):
    for command in (["ack", "gone"], ["mark", "gone", "true"], ["explain", "gone"]):
        code, said = say("alerts", *command)
        assert (code, "alerts list --all" in " ".join(said.split())) == (2, True)


def test_a_page_is_marked(say, slow, tmp_path):
    assert say("alerts", "mark", slow, "false", "--by", "ada")[0] == 0
    assert incident(tmp_path, slow).is_true is False
    assert say("alerts", "mark", slow, "perhaps")[0] == 2


def test_an_explanation_in_words_and_for_machines(say, slow):
    code, said = say("alerts", "explain", "watch/chat")
    assert code == 0
    assert "incident firing: wrong for as long as the rule wants" in said
    assert "message to oncall: firing (first): waits to be sent" in said
    plain = json.loads(say("alerts", "explain", slow, "--json")[1])
    assert plain["incident"] == slow
    assert {"at", "what", "why", "last_at", "times"} == plain["decisions"][0].keys()


def test_a_silence_is_previewed_added_listed_and_ended(say, slow):
    assert "holds watch/chat (page, firing)" in say("alerts", "silence", "preview", "service=chat")[1]
    code, said = say(
        "alerts", "silence", "add", "service=chat", "--for", "2h", "--comment", "moving", "--by", "ada"
    )
    assert (code, "holds watch/chat" in said) == (0, True)
    [listed] = json.loads(say("alerts", "silence", "list", "--json")[1])
    assert (listed["state"], listed["author"], listed["comment"]) == ("active", "ada", "moving")
    assert listed["id"] in say("alerts", "silence", "list")[1]
    code, said = say("alerts", "silence", "expire", listed["id"], "--by", "bob")
    assert (code, "was ended by bob" in said) == (0, True)
    assert "nothing is silenced" in say("alerts", "silence", "list")[1]
    assert "ended by bob" in " ".join(say("alerts", "silence", "list", "--all")[1].split())
    [ended] = json.loads(say("alerts", "silence", "list", "--all", "--json")[1])
    assert (ended["state"], ended["ended_by"]) == ("expired", "bob")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add", "chat"], "write it like service=checkout"),
        (["add", "service!=chat"], "fit everything that lacks their labels"),
        (["add", "service=chat", "--for", "soon"], "--for: 'soon' is no duration"),
        (["add", "service=chat", "--start", "noon"], "--start: 'noon' is no time"),
        (["expire", "nope"], "there is no silence 'nope'"),
    ],
)
def test_a_silence_that_cannot_be_says_what_would_be_right(say, slow, arguments, told):
    code, said = say("alerts", "silence", *arguments)
    assert (code, told in said) == (2, True)


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (["--match", "service=chat"], ["watch/chat"]),
        (["--match", "key=~watch/.*", "--severity", "page"], ["watch/shop", "watch/chat"]),
        (["--severity", "ticket"], []),
        (["--state", "resolved"], []),
        (["--limit", "1"], ["watch/shop"]),
    ],
)
def test_the_list_shows_what_fits(say, slow, filters, keys):
    assert [one["key"] for one in json.loads(say("alerts", "list", "--json", *filters)[1])] == keys


def test_who_would_be_told_is_said_with_the_reason(say, tmp_path):
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG)
    code, said = say("alerts", "route", "--labels", "service=checkout", "team=shop", "--severity", "page")
    assert code == 0
    assert "route.routes[0] tells pager, after 15 min slack" in said
    assert "together with what has service=checkout" in said
    [told] = json.loads(say("alerts", "route", "--labels", "service=x", "--severity", "ticket", "--json")[1])
    assert (told["route"], told["receivers"]) == ("route", ["slack"])
    assert say("alerts", "route", "--labels", "service")[0] == 2


def test_without_routes_the_watch_says_who_would_be_told(say, tmp_path):
    (tmp_path / "anchorwatch.yaml").write_text(
        CONFIG.split("route:")[0]
        + "watches: [{name: p95, measure: latency_p95, above: 8s, notify: [pager]}]\n"
    )
    assert "notify tells pager\n  by itself\n  at once" in say("alerts", "route", "--labels", "watch=p95")[1]


def test_the_tree_is_checked_and_shown(say, tmp_path):
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG)
    code, said = say("check-config")
    assert code == 0
    assert '    route.routes[0]: severity="page" -> pager, after 15 min slack' in said
    assert "consider: nothing ever reaches route.routes[1]: route.routes[0] comes first" in said


BROKEN = """
receivers:
  pager: {webhook: {url: "https://example.com/hook", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}
watches: [{name: p95, measure: latency_p95, above: 8s, notify: [pager]}]
route:
  match: [severity=page]
  routes:
    - {receivers: [pagr], mute_times: [nights], escalate: [{after: 5m, notify: boss}]}
    - {match: [nonsense]}
"""


def test_all_that_is_wrong_with_the_tree_is_told_at_once(say, tmp_path):
    (tmp_path / "anchorwatch.yaml").write_text(BROKEN)
    code, said = say("check-config")
    assert code == 2
    for told in (
        "the uppermost route needs receivers",
        "the uppermost route takes everything",
        'no receiver is called "pagr"',
        'no mute time is called "nights"',
        'no receiver is called "boss"',
        "'nonsense' is no matcher",
        "who is told is for the route to say",
    ):
        assert told in said
