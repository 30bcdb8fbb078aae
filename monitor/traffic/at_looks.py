"""The windows as looks see them: the stored ones, which do not change while a look goes on."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

from ..database import Database
from . import store
from .windows.window import Window
from .windows_at_rest import WindowsAtRest


class WindowsAtLooks:
    """All that was counted until a look began, and no call more."""

    def __init__(
        self, database: Database, at_rest: WindowsAtRest, fold: Callable[[], Awaitable[int]]
    ) -> None:
        """Read what ``fold`` has stored."""
        self._database, self._at_rest, self._fold = database, at_rest, fold

    @contextlib.asynccontextmanager
    async def looking(self, now: datetime) -> AsyncIterator[None]:
        """While it is open, the windows have all that was counted when it was opened, and do not change.

        Raises StoreError when that cannot be stored.
        """
        await self._fold()
        async with self._at_rest.lock:
            self._at_rest.looks.at = now.timestamp()
            yield

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        """The windows from one minute to another, both included."""
        return await self._database.aread(
            lambda session: store.windows_between(session, first_minute, last_minute)
        )

    def long_windows(self, first: int, end: int) -> AsyncIterator[list[Window]]:
        """The windows of a long span that is over, few at a time: of days, hours or minutes."""
        return self._at_rest.pieces(first, end)

    async def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        """The minutes, both ends included, in which a service had calls: each with the service's name."""
        return await self._database.aread(
            lambda session: store.active_minutes(session, first_minute, last_minute)
        )
