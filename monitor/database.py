"""The one database of a deployment: engine, transactions, migrations, and the lock that keeps a second daemon out."""

import asyncio
import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from . import DatabaseError, migrating

T = TypeVar("T")

BUSY_TIMEOUT_MS = 4_000
"""How long a transaction waits for another process (a command beside the daemon) before it gives up.

Exporters of traces wait ten seconds for their answer: they are to be told to come back before they give us up.
"""

REFUSED_TIMEOUT_MS = 100
"""How long it waits when the one before it gave up: whoever stands in line hears at once that it does not move."""

LOG_PAGES = 1_000
"""When the write-ahead log has so many pages (4 MB), it is begun anew after they were copied into the database file."""

LOG_PAGES_MAX = 8_192
"""After so many (32 MB) whoever commits copies them, and waits for it: nobody did it beside the commits."""

CACHE_KIB = 256
"""How much of the file a connection holds: the system holds it as well, and there are up to six connections."""

COPY_AFTER_COMMITS = 32
"""After so few commits there is hardly anything to be copied."""

COPY_WAIT_S = 0.5
"""How long the log's copying is waited for: on a slow disk it takes longer, and goes on by itself."""


class Database:
    """Transactions on one SQLite file.

    A unit of work is a function of a session: it runs whole or not at all. Writes take the write lock at their start
    (``BEGIN IMMEDIATE``), so what a unit of work read is still true when it writes. ``write`` and ``read`` are for
    commands and tests; the daemon awaits ``awrite`` and ``aread``, which keep the event loop free: all writes of a
    process queue up on one thread. ``commit`` is for what is written many times a second by a thread of its own.

    What is committed is in SQLite's write-ahead log. Await ``copy_log`` every second or so: to copy it into the file
    takes up to hundreds of milliseconds, and would otherwise be done within some commit.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at ``path`` (made when it is not there; its folder too). Call ``migrate`` before use."""
        self.path = path
        self._daemon_lock: IO[str] | None = None
        self._kept: Connection | None = None
        self._was_refused = False
        # Who waits for it is next, while who waits for the file's lock tries again now and then.
        self._writing = threading.Lock()
        self._often: Connection | None = None
        self._is_closed = False
        self._commits = 0
        """Since the log was last copied."""
        self._copying: asyncio.Future[None] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{path.parent}: the data folder cannot be made: {error.strerror}") from error
        # It holds the deployment's secret and what models answered; the files that SQLite puts beside it inherit this.
        with contextlib.suppress(OSError):  # whoever opens it next says why that cannot be
            path.touch(mode=0o600)
        self.engine = _engine(path)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="db-writer")
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="db-reader")
        self._copier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="db-copier")

    def lock_for_daemon(self) -> None:
        """Take the file for this daemon for as long as the process lives.

        Raises DatabaseError when another daemon holds it. The lock is the kernel's: a killed daemon leaves none.
        """
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            lock = lock_path.open("a+")
        except OSError as error:
            raise DatabaseError(f"{lock_path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise DatabaseError(
                f"{self.path}: another Anchorwatch daemon already runs on this database. "
                "Stop it first, or give this one its own folder with --data."
            ) from error
        self._daemon_lock = lock

    def migrate(self) -> None:
        """Bring the tables to the shape this version needs. Raises DatabaseError when that cannot be done."""
        try:
            # One connection stays open: SQLite removes the files that all of them share when the last one closes (a
            # failed commit closes one), and on a full disk nobody could make them again, not even to read. It opens
            # those files at its first look into the database.
            self._kept = self._kept or self.engine.connect()
            self._kept.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
            if self._is_migrated():
                return
            with self.engine.begin() as connection:
                # Tables are made as rows are: all or none, even by a process that is killed half-way.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                migrating.upgrade(connection)
        except DBAPIError as error:
            raise DatabaseError(f"{self.path}: cannot be used: {error.orig}") from error
        except DatabaseError as error:
            raise DatabaseError(
                f"{self.path}: {error}. Install that version, or give this one another folder with --data."
            ) from error

    def migrate_apart(self) -> None:
        """The same, for a process that goes on for long: where it can be, another one does what there is to do."""
        with contextlib.suppress(DBAPIError):  # whatever is wrong, ``migrate`` says it
            if not self._is_migrated():
                # No process may use a connection that another one opened.
                self.engine.dispose()
                migrating.apart(self.migrate)
        self.migrate()

    def _is_migrated(self) -> bool:
        with self.engine.connect() as connection:
            return migrating.current_revision(connection) == migrating.newest_revision()

    def write(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives, after everything it changed is stored; when it raises, nothing is."""
        with self._writing, Session(self.engine, expire_on_commit=False) as session:
            try:
                self._begin(session.connection().exec_driver_sql)
                result = work(session)
                session.commit()
            except BaseException:
                # A commit that failed may have left its transaction open: nobody is to get that connection again.
                session.invalidate()
                raise
            self._commits += 1
            return result

    def commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for the one thread that writes all the time: on a connection of its own, which stays open.

        It is the driver's: with SQLAlchemy in between, a small transaction would take twice as long.
        """
        with self._writing:
            if self._is_closed:
                raise RuntimeError("the database is closed")
            connection = self._often = self._often or self._opened_often()
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - the engine is SQLite's
            try:
                self._begin(driver.execute)
                result = work(driver)
                driver.execute("COMMIT")
            except BaseException:
                self._often = None
                connection.invalidate()
                connection.close()
                raise
            self._commits += 1
            return result

    def _opened_often(self) -> Connection:
        connection = self.engine.connect()
        # Some builds of SQLite write zeros over all that is deleted. Here this would be as much again as was written:
        # FAST does it in pages that are written anyway.
        connection.exec_driver_sql("PRAGMA secure_delete=FAST").close()
        return connection

    def _begin(self, execute: Callable[[str], object]) -> None:
        if self._was_refused:
            execute(f"PRAGMA busy_timeout={REFUSED_TIMEOUT_MS}")
        try:
            execute("BEGIN IMMEDIATE")
        except (OperationalError, sqlite3.OperationalError):
            self._was_refused = True
            raise
        if self._was_refused:
            self._was_refused = False
            execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    def read(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives, on one consistent view of the data; whatever it changes is dropped."""
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection().exec_driver_sql("BEGIN")
            result = work(session)
            session.rollback()
            return result

    async def awrite(self, work: Callable[[Session], T]) -> T:
        """``write``, beside the event loop and one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self.write, work)

    async def aread(self, work: Callable[[Session], T]) -> T:
        """``read``, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read, work)

    async def copy_log(self) -> None:
        """Copy what is in the write-ahead log into the database file, beside those who commit.

        What takes long goes on: a later call waits for it, too, begins nothing beside it, and raises what it raised.
        """
        if self._copying is None and self._commits >= COPY_AFTER_COMMITS:
            self._copying = asyncio.get_running_loop().run_in_executor(self._copier, self._copy_log)
        if self._copying is None or not (await asyncio.wait({self._copying}, timeout=COPY_WAIT_S))[0]:
            return
        copied, self._copying = self._copying, None
        copied.result()

    def _copy_log(self) -> None:
        self._commits = 0
        with self.engine.connect() as connection:
            if _copied(connection) >= LOG_PAGES:
                # What was committed meanwhile is little. Once nothing is left to be copied, whoever writes next begins
                # the log anew: while all write without a pause, that moment never comes by itself, and it would grow.
                with self._writing:
                    _copied(connection)

    def close(self) -> None:
        """Finish what is queued and let go of the file."""
        self._copier.shutdown(wait=True)
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        with self._writing:
            self._is_closed = True
            if self._often is not None:
                self._often.close()
                self._often = None
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self.engine.dispose()
        if self._daemon_lock is not None:
            self._daemon_lock.close()
            self._daemon_lock = None


def _copied(connection: Connection) -> int:
    """How many pages the write-ahead log has; all but those that somebody still reads in another state are copied."""
    _, pages, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
    return int(pages)


def _engine(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))  # as text, a "?" in the path would begin the options
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        hide_parameters=True,  # an error in the log must not hold the answer that could not be stored
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN comes late and is never IMMEDIATE: we say it ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"wal_autocheckpoint={LOG_PAGES_MAX}",
            f"cache_size=-{CACHE_KIB}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        # Nobody waits for this one: it fails at once when another process is just setting it, which serves us too.
        with contextlib.suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    return engine
