"""A recorded database, read and never written, on one consistent view."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from .. import DatabaseError
from ..migrating import current_revision, newest_revision

T = TypeVar("T")


class RecordedDatabase:
    """What a daemon has recorded, as it was when this was opened; the daemon may go on."""

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``. Raises DatabaseError when it cannot be read, or is of another version."""
        if not path.exists():
            raise DatabaseError(
                f"{path}: there is no database. `anchorwatch run` makes it; --data names its folder."
            )
        # A folder that cannot be written has no place for the files that others would share with us.
        addresses = (f"file:{quote(str(path.resolve()))}?mode=ro{more}" for more in ("", "&immutable=1"))
        for address in addresses:
            engine = create_engine(
                "sqlite://",
                creator=lambda address=address: sqlite3.connect(address, uri=True, isolation_level=None),
            )
            self._engine = engine
            self._session = Session(engine, expire_on_commit=False)
            try:
                self._session.connection().exec_driver_sql("BEGIN")
                self._session.connection().exec_driver_sql("SELECT count(*) FROM sqlite_master")
                break
            except DBAPIError as error:
                failure = error
                self.close()
        else:
            raise DatabaseError(f"{path}: cannot be read: {failure.orig}")
        self._check_version(path)

    def read(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives."""
        result = work(self._session)
        self._session.expunge_all()
        return result

    def close(self) -> None:
        """Let go of the file."""
        self._session.close()
        self._engine.dispose()

    def _check_version(self, path: Path) -> None:
        current, newest = current_revision(self._session.connection()), newest_revision()
        if current != newest:
            self.close()
            raise DatabaseError(
                f"{path}: was written by another version of Anchorwatch (tables {current}, here {newest}). "
                "Start this version's daemon on it once, or on a copy of it, then try again."
            )
