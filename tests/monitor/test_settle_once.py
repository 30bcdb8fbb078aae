"""A run and all that follows from it are stored together, once, and without text where text is not wanted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from watched_bot import BASELINE_RUNS, DRIFTED, STEADY, Answers, Bot, run_of, suite_of, watched_of

from canaries.baseline_store import list_baselines
from canaries.completion import Completion, Outcome, Run, RunStatus
from canaries.store import Content, mark_interrupted, recent_runs, start_run
from monitor.canary_flow.watch_canaries import Settled
from monitor.database import Database

RENAMED = Answers(served_model="m-2026-07")

Copy = Callable[[Bot], Bot]


class Ended(BaseException):
    """The process ends here: nothing of ours may catch it."""


@dataclass
class Statements:
    """Counts the statements that write, and ends the process before the ``last``-th of them, if there is one."""

    last: int = 0
    count: int = 0

    def __call__(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.split(maxsplit=1)[0] in ("INSERT", "UPDATE", "DELETE"):
            self.count += 1
            if self.count == self.last:
                raise Ended


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    """Gives a second target in the same state, with a database of its own."""
    made: list[Database] = []

    def copy(bot: Bot) -> Bot:
        path = tmp_path / f"copy-{len(made)}.sqlite"
        with bot.database.engine.connect() as connection:
            connection.exec_driver_sql(f"VACUUM INTO '{path}'")
        made.append(Database(path))
        return replace(bot, database=made[-1], house=replace(bot.house, frozen={}))

    yield copy
    for database in made:
        database.close()


def page_for_drift(bot: Bot, copy: Copy) -> Run:
    """The run that pages for drift, with all runs before it settled."""
    trial = copy(bot)
    trial.until(lambda settled: any(one.is_page for one in settled.transitions), DRIFTED)
    bot.runs(trial.hour - bot.hour - 1, DRIFTED)
    return bot.next_run(DRIFTED)


def the_first(bot: Bot, copy: Copy) -> Run:
    return bot.next_run()


def one_that_is_collected(bot: Bot, copy: Copy) -> Run:
    bot.runs(3)
    return bot.next_run()


def one_that_restarts_the_collection(bot: Bot, copy: Copy) -> Run:
    bot.runs(3)
    return bot.next_run(RENAMED)


def the_one_that_freezes(bot: Bot, copy: Copy) -> Run:
    bot.runs(BASELINE_RUNS - 1)
    return bot.next_run()


def one_that_is_scored(bot: Bot, copy: Copy) -> Run:
    return bot.next_run()


def one_that_pages_by_a_proof(bot: Bot, copy: Copy) -> Run:
    return bot.next_run(RENAMED)


def one_that_orders_a_rollback(bot: Bot, copy: Copy) -> Run:
    bot.runs(2)
    return bot.next_run(Answers(off_label=True))


def one_that_recovers(bot: Bot, copy: Copy) -> Run:
    bot.runs(2, RENAMED)
    return bot.next_run()


def one_that_is_refused(bot: Bot, copy: Copy) -> Run:
    bot.watched = watched_of(suite_of(label_prompt="Label it."))
    return bot.next_run()


OF_A_NEW_TARGET = (the_first, one_that_is_collected, one_that_restarts_the_collection, the_one_that_freezes)
OF_A_FROZEN_ONE = (
    one_that_is_scored,
    page_for_drift,
    one_that_pages_by_a_proof,
    one_that_orders_a_rollback,
    one_that_recovers,
    one_that_is_refused,
)


@pytest.mark.parametrize("scene", [*OF_A_NEW_TARGET, *OF_A_FROZEN_ONE], ids=lambda scene: scene.__name__)
def test_a_run_is_stored_whole_or_not_at_all_and_only_once(
    bot: Bot, frozen_bot: Bot, copy: Copy, scene: Callable[[Bot, Copy], Run]
) -> None:
    one = bot if scene in OF_A_NEW_TARGET else frozen_bot
    run = scene(one, copy)
    undisturbed, before = copy(one), one.everything()
    statements = Statements()
    event.listen(undisturbed.database.engine, "before_cursor_execute", statements)
    settled = undisturbed.settle(run)
    expected = undisturbed.everything()
    assert statements.count >= 3

    for last in range(1, statements.count + 1):
        ending = Statements(last)
        event.listen(one.database.engine, "before_cursor_execute", ending)
        with pytest.raises(Ended):
            one.settle(run)
        event.remove(one.database.engine, "before_cursor_execute", ending)
        assert one.everything() == before
    assert one.settle(run) == settled
    assert one.everything() == expected

    again = one.settle(run)
    assert again == Settled(run.id)
    assert one.everything() == expected


def test_a_run_whose_commit_fails_is_not_stored(frozen_bot: Bot) -> None:
    before, run = frozen_bot.everything(), frozen_bot.next_run(RENAMED)

    def full(_: Any) -> None:
        raise OSError("no space left on device")

    event.listen(frozen_bot.database.engine, "commit", full)
    with pytest.raises(OSError, match="no space"):
        frozen_bot.settle(run)
    event.remove(frozen_bot.database.engine, "commit", full)
    assert frozen_bot.everything() == before
    assert any(one.is_page for one in frozen_bot.settle(run).transitions)


def test_an_old_run_changes_nothing_whatever_has_happened_since(frozen_bot: Bot) -> None:
    run = frozen_bot.next_run()
    frozen_bot.settle(run)
    frozen_bot.runs(3, RENAMED)
    frozen_bot.watched = watched_of(suite_of(label_prompt="Label it."))
    before = frozen_bot.everything()
    assert frozen_bot.settle(run) == Settled(run.id)
    assert frozen_bot.everything() == before


def test_a_run_that_was_given_up_stays_so(bot: Bot) -> None:
    run = bot.next_run()
    bot.database.write(lambda session: start_run(session, run.id, run.target, run.suite, run.at))
    bot.database.write(lambda session: mark_interrupted(session, run.at))
    before = bot.everything()
    assert bot.settle(run) == Settled(run.id)
    assert bot.everything() == before
    assert bot.database.read(recent_runs)[0].status is RunStatus.INTERRUPTED


def test_a_run_that_was_announced_ends_like_one_that_was_not(bot: Bot, copy: Copy) -> None:
    announced, run = copy(bot), bot.next_run()
    announced.database.write(
        lambda s: start_run(s, run.id, run.target, run.suite, run.at - timedelta(minutes=1))
    )
    assert bot.settle(run) == announced.settle(run)
    assert bot.everything() == announced.everything()


def test_the_same_runs_give_the_same_database_to_the_last_bit(bot: Bot, copy: Copy) -> None:
    other = copy(bot)
    for one in (bot, other):
        one.runs(BASELINE_RUNS + 3)
        one.runs(12, DRIFTED)
        one.runs(8, STEADY)
    assert bot.everything() == other.everything()


def test_a_new_process_goes_on_where_the_last_one_ended(frozen_bot: Bot, copy: Copy) -> None:
    restarted = copy(frozen_bot)
    frozen_bot.runs(12, DRIFTED)
    for _ in range(12):
        restarted.house = replace(restarted.house, frozen={})
        restarted.runs(1, DRIFTED)
    assert restarted.everything() == frozen_bot.everything()


def test_a_clock_that_goes_back_loses_no_run_and_pages_nobody(frozen_bot: Bot) -> None:
    frozen_bot.runs(5)
    frozen_bot.hour = -1000
    settled = frozen_bot.runs(20)
    assert all(one.scores for one in settled)
    assert frozen_bot.open() == {}
    assert len(frozen_bot.database.read(recent_runs)) == 50


# --- without text

PROMPT, ANSWER, ERROR = "zanzibar prompt", "zanzibar answer", "zanzibar error"


def talkative(hour: int) -> Run:
    """A run whose every text can be found again."""
    run = run_of(watched_of(), hour)
    texts = [
        replace(one, text=f"{ANSWER} {one.text}", first_top=((ANSWER, -0.1),)) for one in run.completions
    ]
    texts[0] = Completion(texts[0].canary, outcome=Outcome.SERVER, error=ERROR)
    return replace(run, completions=tuple(texts))


@pytest.mark.parametrize(
    ("content", "kept"), [(Content.FULL, True), (Content.HASHES, False)], ids=lambda x: str(x)
)
def test_text_is_stored_only_where_it_is_wanted(bot: Bot, content: Content, kept: bool) -> None:
    bot.watched = watched_of(suite_of(PROMPT, PROMPT), baseline_runs=12, content=content)
    for hour in range(20):
        bot.settle(talkative(hour))
    bot.watched = replace(watched_of(suite_of(f"new {PROMPT}", PROMPT)), content=content)
    bot.settle(talkative(21))
    assert "baseline/bot" in bot.open()  # the ticket about the changed prompts is there, too
    assert len(bot.database.read(list_baselines)) == 1
    files = {path.name: path.read_bytes() for path in bot.database.path.parent.glob("anchorwatch.sqlite*")}
    assert len(files["anchorwatch.sqlite-wal"]) > 100_000
    everywhere = b"".join(files.values())
    assert (ANSWER.encode() in everywhere) is kept
    assert (ERROR.encode() in everywhere) is kept
    assert PROMPT.encode() not in everywhere
    assert b"text-2" in everywhere  # names of canaries are no secret
