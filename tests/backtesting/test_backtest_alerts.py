"""A backtest sends what live sent, byte for byte; another configuration sends something else, and that is named."""

import asyncio
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from past_days import CONFIG, START, World, deployment_of
from sqlalchemy import delete, text
from typer.testing import CliRunner

from alerts import DeliveryError, decisions, outbox_store
from alerts.channels import Channel
from alerts.incident import NoticeKind
from alerts.message import Message, Notification, Thread, Why
from monitor import DatabaseError, MonitorError
from monitor.backtesting.backtest_alerts import backtest_alerts
from monitor.backtesting.messages import changed_lines, line_of
from monitor.backtesting.past import APART_S, PLACES_FEW, PLACES_MAX, Deed, Happened, downtimes, places_of
from monitor.cli.commands import app
from monitor.database import Database
from monitor.moments import Moment, MomentKind
from monitor.tables import MomentRow

EARLY = START + timedelta(hours=3.5)
"""Until then is enough where it is not about everything that may happen."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database after some hours in which much went wrong."""
    path = tmp_path_factory.mktemp("lived") / "anchorwatch.sqlite"
    asyncio.run(World(path, seed=6).live(hours=5))
    return path


def changed(lived: Path, tmp_path: Path, *statements) -> Path:
    """The same past, of which something is not on record."""
    copy = Path(shutil.copy(lived, tmp_path / "anchorwatch.sqlite"))
    database = Database(copy)
    for statement in statements:
        database.write(lambda session, this=statement: session.execute(this))
    database.close()
    return copy


def test_the_configuration_that_ran_sends_what_was_sent(lived: Path) -> None:
    before = hashlib.sha256(lived.read_bytes()).digest()
    compared = backtest_alerts(deployment_of(), lived)
    assert changed_lines(compared) == ()
    assert compared.proposed.lines == compared.live.lines
    assert compared.is_same
    assert (compared.new, compared.gone, compared.notes) == ((), (), ())
    # It would be easy to be right about nothing.
    whys = Counter(str(one.message.why) for one in compared.live.messages)
    assert len(whys) >= 5, whys
    assert len({one.message.key for one in compared.live.messages}) >= 3
    assert {one.message.kind.value for one in compared.live.messages} >= {"rollback", "rollback_news"}
    assert any("was not sent: it is locked by bob" in one.message.note for one in compared.live.messages)
    assert hashlib.sha256(lived.read_bytes()).digest() == before


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        (5, ("approved by ada", "not sent: it is locked", "not be delivered: it is locked")),
        (14, ("approved by ada", "rejected by ada", "nobody answered in time")),
    ],
)
def test_what_people_answered_of_rollbacks_is_answered_again(
    tmp_path: Path, seed: int, said: tuple[str, ...]
) -> None:
    path = tmp_path / "anchorwatch.sqlite"
    asking = (
        CONFIG.replace("mode: live", "mode: ask, answer_within: 15m, cooldown: 10m, per_week: 50")
        .replace("above: 3s, over: 5m, min_calls: 5, for: 5m", "above: 2s, over: 5m, min_calls: 5")
        .replace("reopen_within: 20m", "reopen_within: 0s")
    )
    asyncio.run(World(path, seed, config=asking).live(hours=4))
    compared = backtest_alerts(deployment_of(asking), path)
    assert changed_lines(compared) == ()
    notes = " ".join(one.message.note for one in compared.live.messages)
    assert all(part in notes for part in said), notes


def test_a_lock_that_was_taken_back_before_holds_nothing(lived: Path, tmp_path: Path) -> None:
    past = changed(lived, tmp_path, text("UPDATE rollback_lock SET unlocked_at = locked_at"))
    compared = backtest_alerts(deployment_of(), past)
    held = [line for line in changed_lines(compared) if "it is locked by bob" in line]
    assert held
    assert all(line.startswith("- ") for line in held)


@dataclass
class OutOfReach:
    """A receiver that nobody reaches; what is sent to it fails after what is sent to another."""

    world: World
    after: str | None = None

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        while self.after and not self._has_fallen_back(message.group_id):  # noqa: ASYNC110 - for a row
            await asyncio.sleep(0)
        self.world.wait(0.3)
        raise DeliveryError("no such channel", permanent=True)

    def _has_fallen_back(self, group: str | None) -> bool:
        log = self.world.database.read(outbox_store.notifications)
        return any(one.message.group_id == group and one.message.tried == (self.after,) for one in log)


class WorldOfPagersOutOfReach(World):
    """One in which two receivers of the same pages fail side by side, the later one in the order of names first."""

    def channels(self, names: Iterable[str]) -> dict[str, Channel]:
        reached: dict[str, Channel] = dict.fromkeys(names, Reached(self))
        return reached | {"lead": OutOfReach(self, after="pager"), "pager": OutOfReach(self)}


@dataclass
class Reached:
    """A receiver that hears everything."""

    world: World

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        self.world.wait(0.3)
        return thread


def test_who_fell_back_first_does_so_again(tmp_path: Path) -> None:
    path = tmp_path / "anchorwatch.sqlite"
    both = CONFIG.replace("receivers: [pager]", "receivers: [pager, lead]").replace(
        "      continue: true\n", ""
    )
    asyncio.run(WorldOfPagersOutOfReach(path, seed=1, config=both).live(hours=0.8))
    compared = backtest_alerts(deployment_of(both), path)
    assert changed_lines(compared) == ()
    first = {one.message.tried[0]: one.receiver for one in compared.live.messages if one.message.tried}
    assert first == {"pager": "slack", "lead": "mail"}


def test_another_threshold_sends_something_else(lived: Path) -> None:
    proposed = CONFIG.replace("above: 3s", "above: 300s")
    compared = backtest_alerts(deployment_of(proposed), lived, until=EARLY)
    assert not compared.is_same
    assert {one.key for one in compared.gone} >= {"watch/slow"}
    assert "watch/slow" not in {one.message.key for one in compared.proposed.messages}
    assert compared.new == ()
    (note,) = compared.notes
    assert note.startswith("The daemon ran with another configuration all the time")


def test_without_a_rule_of_inhibition_what_it_held_live_is_told(lived: Path) -> None:
    database = Database(lived)
    held = database.read(lambda session: decisions.begun_with(session, Why.INHIBITED.value))[0]
    database.close()
    proposed, rule, _ = CONFIG.partition("inhibit:")
    assert rule
    compared = backtest_alerts(deployment_of(proposed), lived)
    new = set(compared.proposed.lines) - set(compared.live.lines)
    told = [one.message for one in compared.proposed.messages if line_of(one) in new]
    meanwhile = [one for one in told if held.first_at <= one.created_at <= held.last_at]
    assert held.key in {line.key for one in meanwhile for line in one.members}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3, 6))
def test_days_of_storms_are_sent_again(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "anchorwatch.sqlite"
    asyncio.run(World(path, seed).live(hours=24))
    compared = backtest_alerts(deployment_of(), path)
    assert changed_lines(compared) == ()
    assert len(compared.live.messages) > 30


# --- what is not on record


def test_a_past_without_moments_has_looks_made_up_and_says_so(lived: Path, tmp_path: Path) -> None:
    path = changed(lived, tmp_path, delete(MomentRow), text("DELETE FROM traffic_seen"))
    compared = backtest_alerts(deployment_of(), path, until=EARLY)
    assert compared.looks == pytest.approx(3.5 * 12, abs=2)
    assert compared.runs > 8
    assert compared.proposed.alarms
    (note,) = compared.notes
    assert "it is not on record when the daemon looked" in note


def test_calls_from_before_the_first_start_make_up_no_looks(lived: Path, tmp_path: Path) -> None:
    older = text(
        "UPDATE traffic_window SET minute = minute - 7200 WHERE id = (SELECT min(id) FROM traffic_window)"
    )
    compared = backtest_alerts(deployment_of(), changed(lived, tmp_path, older), until=EARLY)
    assert compared.notes == ()


def test_what_is_forgotten_is_left_out_and_named(lived: Path, tmp_path: Path) -> None:
    some = "run_id IN (SELECT id FROM run WHERE position BETWEEN 3 AND 5)"
    path = changed(
        lived,
        tmp_path,
        text(f"DELETE FROM run_score WHERE {some}"),
        text(f"DELETE FROM completion WHERE {some}"),
        text("DELETE FROM run WHERE position BETWEEN 3 AND 5"),
        text("DELETE FROM moment WHERE kind = 'start'"),
    )
    compared = backtest_alerts(deployment_of(), path, until=EARLY)
    assert compared.runs > 3
    assert compared.looks > 10
    assert "3 runs are not on record any more, and are left out." in compared.notes


def test_what_people_do_while_the_daemon_is_down_does_not_make_it_run() -> None:
    kinds = (MomentKind.START, MomentKind.LOOK, None, None, MomentKind.START, None, MomentKind.RUN, None)
    happened = [Happened(START, Moment(kind, START) if kind else Deed.ACKNOWLEDGED) for kind in kinds]
    assert downtimes(happened) == [True, False, True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("pause_s", "most"),
    [(1.0, PLACES_MAX), (APART_S, PLACES_MAX), (APART_S + 1, PLACES_FEW)],
    ids=["a storm", "one a minute", "with pauses"],
)
def test_what_a_receiver_that_fails_for_weeks_is_waited_for_is_bounded(pause_s: float, most: int) -> None:
    log = [
        Notification(
            str(number),
            "ops",
            Message(str(number), NoticeKind.FIRING, "It is down.", START),
            failed_at=START + timedelta(seconds=number * pause_s),
        )
        for number in range(PLACES_MAX + 500)
    ]
    places = places_of(log, {one.id for one in log}, {})
    assert max(places.values()) == most
    # Of a few that ended shortly one after the other each has the next place, whatever lies between them.
    assert [places[str(number)] for number in range(PLACES_FEW)] == list(range(PLACES_FEW))


def test_locks_that_overlap_as_a_clock_was_set_back_are_gone_through(lived: Path, tmp_path: Path) -> None:
    early, later, last = ((START + timedelta(hours=hours)).timestamp() for hours in (1.0, 1.2, 1.5))
    locks = text(
        "INSERT INTO rollback_lock (name, locked_by, locked_at, comment, unlocked_at, unlocked_by) VALUES "
        f"('elsewhere', 'ada', {early}, '', {last}, 'ada'), ('elsewhere', 'eve', {later}, '', NULL, '')"
    )
    assert changed_lines(backtest_alerts(deployment_of(), changed(lived, tmp_path, locks), until=EARLY)) == ()


def test_a_silence_that_lasts_longer_than_the_record_makes_no_messages_after_it(
    lived: Path, tmp_path: Path
) -> None:
    begins, ends = (START + timedelta(hours=hours) for hours in (4.9, 100))
    silence = text(
        "INSERT INTO silence (id, matchers, author, comment, starts_at, ends_at, created_at) VALUES "
        f"('s', '[\"service=nowhere\"]', 'ada', '', {begins.timestamp()}, {ends.timestamp()}, {begins.timestamp()})"
    )
    compared = backtest_alerts(deployment_of(), changed(lived, tmp_path, silence))
    assert changed_lines(compared) == ()
    assert compared.last < ends


def test_nothing_on_record_is_told(tmp_path: Path) -> None:
    database = Database(tmp_path / "anchorwatch.sqlite")
    database.migrate()
    database.close()
    with pytest.raises(MonitorError, match="there is nothing on record"):
        backtest_alerts(deployment_of(), database.path)


def test_a_database_of_another_version_is_refused_and_left_alone(lived: Path, tmp_path: Path) -> None:
    path = changed(lived, tmp_path, text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(DatabaseError, match="Start this version's daemon on it once"):
        backtest_alerts(deployment_of(), path)


# --- the command


def run(*arguments: str):
    return CliRunner().invoke(app, ["backtest", "alerts", *arguments])


@pytest.fixture
def folder(lived: Path, tmp_path: Path) -> Path:
    """A folder with a configuration, beside the data that it has lived through."""
    suite = tmp_path / "support.yaml"
    suite.write_text("name: support\ncanaries:\n  - {id: a, prompt: Hello, expect: {not_empty: true}}\n")
    # Without its target: the suite that it was asked with is not in a file.
    target = next(line for line in CONFIG.splitlines() if line.startswith("  bot:"))
    (tmp_path / "anchorwatch.yaml").write_text(CONFIG.replace(f"targets:\n{target}\n", ""))
    return tmp_path


def test_the_command_shows_the_messages_and_what_is_new_and_gone(lived: Path, folder: Path) -> None:
    config = folder / "anchorwatch.yaml"
    config.write_text(config.read_text().replace("name: slow", "name: sluggish"))
    result = run("-c", str(config), "--database", str(lived), "--until", EARLY.isoformat())
    assert result.exit_code == 0, result.output
    assert "PAGE FIRING: watch/sluggish" in result.stdout
    assert "pages a quarter" in result.stdout
    assert "gone: 2026-03-02 " in result.stdout
    assert "PAGE watch/slow: slow: latency_p50 is " in result.stdout
    assert "PAGE watch/sluggish: sluggish: latency_p50 is " in result.stdout
    assert "note: The daemon ran with another configuration all the time" in result.stdout


def test_the_command_gives_json_of_a_part_of_the_time(lived: Path, folder: Path) -> None:
    since, until = "2026-03-02T16:30", "2026-03-02T19:30"
    options = ("--since", since, "--until", until, "--json")
    result = run("-c", str(folder / "anchorwatch.yaml"), "--data", str(lived.parent), *options)
    found = json.loads(result.stdout)
    assert found["since"] == "2026-03-02T16:30:00+00:00"
    times = [one["message"]["created_at"] for one in found["proposed"]["messages"]]
    assert times
    assert all(since <= at < until for at in (*times, found["until"]))
    new, gone = ([one["severity"] for one in found[some]].count("TICKET") for some in ("new", "gone"))
    assert found["proposed"]["tickets"] == found["live"]["tickets"] + new - gone


def test_a_difference_is_an_exit_code(lived: Path, folder: Path) -> None:
    config = folder / "anchorwatch.yaml"
    config.write_text(config.read_text().replace("name: slow", "name: sluggish"))
    options = ("--diff", "--until", EARLY.isoformat())
    result = run("-c", str(config), "--database", str(lived), *options)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    keys = {(line[0], json.loads(line[2:])["message"]["key"]) for line in lines}
    assert keys >= {("-", "watch/slow"), ("+", "watch/sluggish")}
    assert not keys & {("+", "watch/slow"), ("-", "watch/sluggish")}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--since", "soon"), "--since soon: neither a time like 2026-03-01 nor one like 30d ago"),
        (("--since", "1d", "--until", "2d"), "--since must be before --until"),
        (("--data", "nowhere"), "there is no database"),
        (("--since", "1h"), "nothing is on record after"),
    ],
)
def test_what_cannot_be_done_is_told(
    lived: Path, folder: Path, options: tuple[str, ...], problem: str
) -> None:
    where = () if "--data" in options else ("--database", str(lived))
    result = run("-c", str(folder / "anchorwatch.yaml"), *where, *options)
    assert result.exit_code != 0
    assert problem in str(result.exception or "") + result.output
