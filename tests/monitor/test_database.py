"""Transactions on the one SQLite file, its migrations, and what a person is told when it cannot be used."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from monitor import DatabaseError, schema
from monitor import database as database_module
from monitor.database import BUSY_TIMEOUT_MS, COPY_AFTER_COMMITS, REFUSED_TIMEOUT_MS, Database


def set_to(session: Session, name: str, value: str) -> None:
    upsert = "INSERT INTO setting VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value"
    session.connection().execute(text(upsert), {"name": name, "value": value})


def value_of(session: Session, name: str) -> str | None:
    query = text("SELECT value FROM setting WHERE name = :name")
    return session.connection().execute(query, {"name": name}).scalar()


def add_one(session: Session) -> None:
    set_to(session, "count", str(int(value_of(session, "count") or "0") + 1))


def in_threads(*works: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def beside(database: Database) -> Iterator[Database]:
    """The same file, as a command beside the daemon has it open."""
    other = Database(database.path)
    yield other
    other.close()


# --- units of work


def test_what_a_unit_of_work_wrote_is_there_for_others(database: Database, beside: Database) -> None:
    database.write(lambda session: set_to(session, "colour", "blue"))
    assert beside.read(lambda session: value_of(session, "colour")) == "blue"


def test_a_unit_of_work_that_raises_writes_nothing(database: Database) -> None:
    def work(session: Session) -> None:
        set_to(session, "colour", "blue")
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        database.write(work)
    assert database.read(lambda session: value_of(session, "colour")) is None
    database.write(lambda session: set_to(session, "colour", "green"))  # and the lock is free again


def test_what_is_committed_on_the_connection_that_stays_open_is_whole_or_not_at_all(
    database: Database, beside: Database
) -> None:
    upsert = "INSERT INTO setting VALUES ('colour', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1"

    def paint(connection: sqlite3.Connection, colour: str, *, fails: bool = False) -> None:
        connection.execute(upsert, (colour,))
        if fails:
            raise ValueError("in the middle")

    database.commit(lambda connection: paint(connection, "blue"))
    with pytest.raises(ValueError, match="in the middle"):
        database.commit(lambda connection: paint(connection, "red", fails=True))
    assert beside.read(lambda session: value_of(session, "colour")) == "blue"
    database.commit(lambda connection: paint(connection, "green"))
    assert beside.read(lambda session: value_of(session, "colour")) == "green"
    database.close()
    with pytest.raises(RuntimeError, match="closed"):
        database.commit(lambda connection: paint(connection, "grey"))


def test_who_commits_all_the_time_and_who_writes_now_and_then_lose_no_update(database: Database) -> None:
    count = "UPDATE setting SET value = value + 1 WHERE name = 'count'"
    database.write(lambda session: set_to(session, "count", "0"))
    in_threads(
        lambda: [database.commit(lambda connection: connection.execute(count)) for _ in range(25)],
        lambda: [database.write(add_one) for _ in range(25)],
    )
    assert database.read(lambda session: value_of(session, "count")) == "50"


def test_what_a_look_changes_is_dropped(database: Database) -> None:
    database.read(lambda session: set_to(session, "colour", "blue"))
    assert database.read(lambda session: value_of(session, "colour")) is None


def test_a_look_sees_one_state_however_long_it_takes(database: Database, beside: Database) -> None:
    database.write(lambda session: set_to(session, "colour", "blue"))

    def work(session: Session) -> tuple[str | None, str | None]:
        before = value_of(session, "colour")
        beside.write(lambda other: set_to(other, "colour", "green"))
        return before, value_of(session, "colour")

    assert database.read(work) == ("blue", "blue")


def test_two_writers_lose_no_update(database: Database, beside: Database) -> None:
    def writer(one: Database) -> Callable[[], object]:
        return lambda: [one.write(add_one) for _ in range(25)]

    in_threads(writer(database), writer(beside))
    assert database.read(lambda session: value_of(session, "count")) == "50"


def test_a_writer_holds_the_lock_before_it_reads(database: Database, beside: Database) -> None:
    impatient(beside)

    def work(session: Session) -> None:
        with pytest.raises(OperationalError, match="locked"):
            beside.write(lambda other: None)

    database.write(work)
    beside.write(lambda other: None)


def test_only_the_first_in_line_waits_long_for_a_lock(database: Database, beside: Database) -> None:
    patience: list[str] = []
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    @event.listens_for(beside.engine, "before_cursor_execute")
    def record(connection, cursor, statement: str, *_: object) -> None:
        if statement == "BEGIN IMMEDIATE":
            patience.append(cursor.connection.execute("PRAGMA busy_timeout").fetchone()[0])
            cursor.connection.execute("PRAGMA busy_timeout=1")  # the test has less

    for _ in range(2):
        with pytest.raises(OperationalError, match="locked"):
            beside.write(lambda session: None)
    other.close()
    for _ in range(2):
        beside.write(lambda session: None)
    assert patience == [BUSY_TIMEOUT_MS, REFUSED_TIMEOUT_MS, REFUSED_TIMEOUT_MS, BUSY_TIMEOUT_MS]


def in_the_file_itself(database: Database) -> str:
    """The value of ``count`` without what is in the write-ahead log only."""
    alone = sqlite3.connect(f"file:{database.path}?immutable=1", uri=True)
    try:
        value: str = alone.execute("SELECT value FROM setting WHERE name = 'count'").fetchone()[0]
        return value
    finally:
        alone.close()


async def test_what_was_committed_is_copied_into_the_file_beside_the_commits(database: Database) -> None:
    count = "UPDATE setting SET value = value + 1 WHERE name = 'count'"
    database.write(lambda session: set_to(session, "count", "0"))
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").close()
    for _ in range(COPY_AFTER_COMMITS - 3):
        database.commit(lambda connection: connection.execute(count))
    await database.copy_log()
    assert in_the_file_itself(database) == "0"  # few commits wait for more
    for _ in range(3):
        database.commit(lambda connection: connection.execute(count))
    await database.copy_log()
    assert in_the_file_itself(database) == str(COPY_AFTER_COMMITS)


async def test_the_log_does_not_grow_though_somebody_commits_at_every_moment(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LOG_PAGES", 1)
    log = database.path.with_name(database.path.name + "-wal")
    count = "UPDATE setting SET value = value + 1 WHERE name = 'count'"
    meanwhile = []

    @event.listens_for(database.engine, "after_cursor_execute")
    def commit_meanwhile(connection, cursor, statement: str, *_: object) -> None:
        if "wal_checkpoint" in statement and not meanwhile:
            meanwhile.append(database.commit(lambda connection: connection.execute(count)))

    sizes = []
    database.write(lambda session: set_to(session, "count", "0"))
    for _ in range(4):
        for _ in range(COPY_AFTER_COMMITS):
            database.commit(lambda connection: connection.execute(count))
        meanwhile.clear()
        await database.copy_log()
        assert meanwhile
        sizes.append(log.stat().st_size)
    assert sizes[-1] == sizes[0]


async def test_a_log_that_takes_long_to_be_copied_holds_up_nobody_and_is_copied_once_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "COPY_WAIT_S", 0.0)
    may_go_on, begun = threading.Event(), []

    @event.listens_for(database.engine, "before_cursor_execute")
    def take_long(connection, cursor, statement: str, *_: object) -> None:
        if "wal_checkpoint" in statement:
            begun.append(may_go_on.wait(30))
            raise sqlite3.OperationalError("disk full")

    def commit_often() -> None:
        for _ in range(COPY_AFTER_COMMITS):
            database.commit(lambda connection: connection.execute("DELETE FROM setting WHERE name = ''"))

    commit_often()
    await database.copy_log()
    commit_often()
    await database.copy_log()  # as the first goes on, this is at once over
    monkeypatch.setattr(database_module, "COPY_WAIT_S", 30.0)
    may_go_on.set()
    with pytest.raises(OperationalError, match="disk full"):
        await database.copy_log()
    assert begun == [True]


def impatient(one: Database) -> None:
    """Let the database give up on a lock at once."""

    @event.listens_for(one.engine, "connect")
    def patience(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA busy_timeout=1")


async def test_awaited_units_of_work_queue_up(database: Database) -> None:
    for _ in range(3):
        await database.awrite(add_one)
    assert await database.aread(lambda session: value_of(session, "count")) == "3"


def test_the_file_is_for_its_owner_only(database: Database) -> None:
    database.write(lambda session: set_to(session, "colour", "blue"))
    modes = {
        path.name: path.stat().st_mode & 0o077 for path in database.path.parent.glob("anchorwatch.sqlite*")
    }
    assert modes == dict.fromkeys(modes, 0)
    assert "anchorwatch.sqlite-wal" in modes


# --- one daemon for each file


def test_a_second_daemon_is_refused_and_told_what_to_do(database: Database, beside: Database) -> None:
    database.lock_for_daemon()
    with pytest.raises(DatabaseError, match=r"anchorwatch\.sqlite: another Anchorwatch daemon .* --data"):
        beside.lock_for_daemon()
    assert beside.read(lambda session: value_of(session, "colour")) is None  # commands may work beside it


def test_the_lock_ends_with_its_daemon(database: Database, beside: Database) -> None:
    database.lock_for_daemon()
    database.close()
    beside.lock_for_daemon()


# --- migrations


def test_the_migrations_make_the_tables_that_the_code_has(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.write(lambda session: set_to(session, "colour", "blue"))
    database.migrate()
    assert database.read(lambda session: value_of(session, "colour")) == "blue"


@pytest.mark.parametrize("statement", [1, 5, 20])
def test_a_migration_that_dies_half_way_leaves_nothing(tmp_path: Path, statement: int) -> None:
    fresh = Database(tmp_path / "fresh.sqlite")
    count = 0

    def die(*_: object) -> None:
        nonlocal count
        count += 1
        if count == statement + 5:  # the first ones only look
            raise KeyboardInterrupt

    event.listen(fresh.engine, "before_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        fresh.migrate()
    event.remove(fresh.engine, "before_cursor_execute", die)
    with sqlite3.connect(fresh.path) as plain:
        assert plain.execute("SELECT name FROM sqlite_master").fetchall() == []
    fresh.migrate()
    fresh.write(lambda session: set_to(session, "colour", "blue"))
    fresh.close()


def test_two_processes_may_migrate_at_once(tmp_path: Path) -> None:
    both = [Database(tmp_path / "fresh.sqlite") for _ in range(2)]
    failed: list[DatabaseError] = []

    def migrate(one: Database) -> Callable[[], None]:
        def work() -> None:
            try:
                one.migrate()
            except DatabaseError as error:
                failed.append(error)

        return work

    in_threads(*map(migrate, both))
    assert failed == []
    for one in both:
        one.close()


# --- what cannot be used


def of_a_newer_version(path: Path) -> None:
    newer = Database(path)
    newer.migrate()
    newer.write(
        lambda s: s.connection().execute(text("UPDATE alembic_version SET version_num = 'later'")) and None
    )
    newer.close()


UNUSABLE = {
    "a text": (lambda path: path.write_text("no database " * 500), "file is not a database"),
    "a folder": (lambda path: path.mkdir(), "unable to open"),
    "of a newer version": (of_a_newer_version, r"newer Anchorwatch .* --data"),
}


@pytest.mark.parametrize(("make", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_is_told_with_its_path(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "odd.sqlite"
    make(path)
    odd = Database(path)
    with pytest.raises(DatabaseError, match=rf"odd\.sqlite: .*{message}"):
        odd.migrate()
    odd.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match=r"file/data: the data folder cannot be made: Not a directory"):
        Database(tmp_path / "file" / "data" / "anchorwatch.sqlite")


@pytest.mark.parametrize("step", [Database.migrate, Database.lock_for_daemon])
def test_a_folder_that_cannot_be_written_is_told(step: Callable[[Database], None]) -> None:
    read_only = Path("/proc")  # also root, as whom tests may run, can make no file there
    if not read_only.is_dir():
        pytest.skip("needs a folder that nobody can write to")
    nowhere = Database(read_only / "anchorwatch.sqlite")
    with pytest.raises(DatabaseError, match=r"^/proc/anchorwatch\.sqlite\S*: cannot be (used|opened)"):
        step(nowhere)
    nowhere.close()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    odd = Database(tmp_path / "is it? 100%#" / "anchorwatch.sqlite")
    odd.migrate()
    odd.close()
    assert odd.path.exists()
