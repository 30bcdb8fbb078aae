"""A database of its own for one backtest, thrown away with it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlmodel import Session

from ..config import DATABASE_FILE
from ..database import Database

T = TypeVar("T")


class Scratch(Database):
    """A new database in which everything happens in one transaction: there is no crash to survive here."""

    def __init__(self) -> None:
        """Make it, in a folder of its own."""
        self._folder = tempfile.TemporaryDirectory(prefix="anchorwatch-backtest-")
        super().__init__(Path(self._folder.name) / DATABASE_FILE)
        self.migrate()
        self._session = Session(self.engine, expire_on_commit=False)
        self._session.connection().exec_driver_sql("BEGIN IMMEDIATE")

    def write(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives."""
        result = work(self._session)
        self._session.flush()
        self._session.expunge_all()  # what is written need not be carried along
        return result

    def read(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives."""
        return self.write(work)

    async def awrite(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives, without another thread: nobody waits meanwhile."""
        return self.write(work)

    async def aread(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives, as above."""
        return self.write(work)

    def close(self) -> None:
        """Drop everything."""
        self._session.close()
        super().close()
        self._folder.cleanup()
