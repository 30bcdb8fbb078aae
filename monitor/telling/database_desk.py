"""What the desks read and change, and what is refused there, in the terms of the pages and the API."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from alerts import AlertError
from alerts.actions import MalformedError, UnknownError
from canaries.clock import Clock
from dashboards import StatusError
from dashboards.desk import DeskError

from ..database import Database
from ..self_watch import why

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseDesk:
    """A desk whose papers are in the database. ``wake`` is called when somebody may have to be told."""

    database: Database
    clock: Clock
    wake: Callable[[], None]

    async def read(self, work: Callable[[Session], T]) -> T:
        """What ``work`` gives. Raises DeskError for what is refused, StatusError when the database cannot be read."""
        try:
            return await self.database.aread(work)
        except AlertError as error:
            raise _refused(error) from error
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be read: {why(error)}") from error

    async def change(self, work: Callable[[Session, datetime], T]) -> T:
        """What ``work`` gives, with what it changed now; raises as ``read`` does."""
        now = self.clock.now()
        try:
            changed = await self.database.awrite(lambda session: work(session, now))
        except AlertError as error:
            raise _refused(error) from error
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be written: {why(error)}") from error
        self.wake()
        return changed


def _refused(error: AlertError) -> DeskError:
    """The same refusal, with what HTTP has to know of it."""
    return DeskError(
        str(error),
        is_unknown=isinstance(error, UnknownError),
        is_malformed=isinstance(error, MalformedError),
    )
