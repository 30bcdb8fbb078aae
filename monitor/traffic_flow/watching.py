"""Looks at production traffic, as the daemon makes them every minute: silence, thresholds, and then shifts.

What a look is made of beside the windows, and when it was, is noted with what it decided: see ``monitor.moments``.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from alerts.incident import Transition
from alerts.intake import receive

from ..config import Deployment
from ..database import Database
from ..moments import Moment, MomentKind, note
from ..traffic import StoreError
from ..traffic.silence.ingest_counts import IngestCounts, to_plain
from ..traffic.watches.long_looks import is_long
from ..watched import House
from .long_history import LongHistory, LongWindows
from .trace_links import linked
from .watch_silence import Minutes, SilenceLook, SilenceWatch
from .watch_tails import TailLook, look_at_tails
from .watch_traffic import Look, last_ends, look
from .watch_versions import look_at_versions


class SeenWindows(LongWindows, Minutes, Protocol):
    """Where looks get the windows from."""

    def looking(self, now: datetime) -> AbstractAsyncContextManager[None]:
        """While it is open, the windows are those that the look of this moment sees, and stay so."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look saw, and what it did to incidents. Without ``silence`` that could not be told."""

    looks: list[Look]
    silence: SilenceLook | None
    transitions: tuple[Transition, ...]


class TrafficWatch:
    """All that looks at traffic, with what it remembers from look to look."""

    def __init__(
        self,
        deployment: Deployment,
        database: Database,
        windows: SeenWindows,
        counts: IngestCounts,
        house: House,
        on_defect: Callable[[str], None],
    ) -> None:
        """Look at ``windows``, and at the requests in ``counts``; ``on_defect`` hears what could not be looked at."""
        config = deployment.config
        self._deployment, self._database, self._house = deployment, database, house
        self._windows, self._counts, self._on_defect = windows, counts, on_defect
        # What all parts of a look go by, and what of that is on record.
        self._counted, self._noted = IngestCounts(), IngestCounts()
        self._history = LongHistory([watch for watch in config.watches if is_long(watch)])
        self._silence = SilenceWatch(config.silence, windows, self._counted, config.watch_every)

    async def look(self, now: datetime) -> Looked:
        """Judge what is silent and every watch that needs no evidence, and let the alert arm know."""
        async with self._windows.looking(now):
            self._counted.become(self._counts)
            silence = await self._hear(now)
            ended = await last_ends(self._database, self._deployment.config.watches, now)
            looks = await look(self._windows, self._deployment.config.watches, now, self._history, ended)
        # When this is refused, the next look judges the same windows again: nothing is lost but time.
        transitions = await self._database.awrite(
            lambda session: self._received(session, silence, looks, now)
        )
        self._noted.become(self._counted)
        return Looked(looks, silence, transitions)

    async def look_at_tails(self, now: datetime) -> list[TailLook]:
        """Judge what the watches without a threshold have not judged yet."""
        watches, shares = self._deployment.config.watches, self._deployment.watch_shares()
        return [
            one
            for look_at in (look_at_tails, look_at_versions)
            for one in await look_at(self._database, self._windows, watches, shares, self._house, now)
        ]

    async def _hear(self, now: datetime) -> SilenceLook | None:
        """Look who is silent. A defect there is told, and does not stop the watches."""
        try:
            return await self._silence.look(now)
        except (SQLAlchemyError, StoreError):
            raise
        except Exception:
            self._on_defect("silence")
            return None

    def _received(
        self, session: Session, silence: SilenceLook | None, looks: list[Look], now: datetime
    ) -> tuple[Transition, ...]:
        config, house = self._deployment.config, self._house
        note(session, Moment(MomentKind.LOOK, now, facts=to_plain(self._counted.since(self._noted))))
        # What inhibits others comes first.
        heard = silence.verdicts(session, config.silence, config.told_of_silence()) if silence else ()
        verdicts = [*heard, *((linked(one.verdict(), house.trace_url), one.rule()) for one in looks)]
        return receive(session, verdicts, now, house.rollbacks, house.inhibitions, house.routing)
