"""How the tables come to the shape that this version needs.

Alembic does that, and takes 10 MB with all that it imports. So it is looked up without it whether there is anything to
do, and a daemon has another process do it.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from . import DatabaseError

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

MIGRATIONS = Path(__file__).parent / "migrations"


def newest_revision() -> str:
    """The last of the migrations: their files begin with their number."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(connection: Connection) -> str | None:
    """The last migration that this database has seen; ``None`` when it has seen none."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def upgrade(connection: Connection) -> None:
    """Do all migrations that are left. Raises DatabaseError when the database is newer than they are."""
    from alembic import command
    from alembic.util.exc import CommandError

    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseError(f"written by a newer Anchorwatch than this one ({error})") from error


def alembic_config() -> "AlembicConfig":
    """What Alembic needs to know of our migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def apart(work: Callable[[], None]) -> None:
    """Do it in a process of its own, which takes with it what it imported; says nothing of what came of it.

    It is not done at all where a process cannot be doubled safely: once it has other threads, or on a system on which
    libraries do not bear it; nor where there may be no more processes.
    """
    if threading.active_count() > 1 or os.uname().sysname != "Linux":
        return
    try:
        child = os.fork()
    except OSError:
        return
    if child:
        # Where whoever started us has children ignored (SIGCHLD), this waits all the same, and then finds none.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        return
    try:
        work()
    finally:
        os._exit(0)  # nothing of ours is to be cleaned up, flushed or told twice
