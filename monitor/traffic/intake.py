"""From the body of a request to calls that are stored: accepted means kept, also over kill -9.

What comes is settled against what was counted of late (``recent``), written to the journal before its request is
answered, and counted in the windows in memory after that. ``fold`` adds the windows in memory to the stored ones and
notes up to where they hold the journal, in one transaction; ``recover`` counts again, at start, what the journal holds
beyond that. So each accepted call is in the stored windows or in the journal behind them, and in one of them.

The journal is kept a little longer than that: as long as a further report of a call may come, for what is known of the
call must be known after a restart, too.

A request that is sent again is answered as before and not counted again: its mark is stored with its calls.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from canaries.clock import Clock

from ..database import Database
from . import OverloadError, StoreError, store
from .checks import AnswerChecks
from .counting import Batch, CallMetrics, Counting, tell
from .joining.recent import Recent
from .lookout import AGE_MAX_S, Lookout, Sighted, Watch
from .otlp import Encoding
from .pricing import book as pricing
from .pricing.book import PriceBook
from .repeats import Accepted, Answered, Repeats, mark_of
from .roll_ups import Keep
from .sightings import Sighting
from .silence.ingest_counts import Arrived
from .watches.marking import Marking
from .windows.series import SERIES_MAX
from .windows.window import Window
from .windows.window_book import WindowBook
from .windows_at_rest import Folding, WindowsAtRest

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

WAITING_MAX = 1_024
"""How many requests may wait for their commit; beyond it senders are asked to come back."""

CALLS_WAITING_MAX = 50_000
"""How many calls may wait for their commit; beyond it senders are asked to come back. About 100 MB."""

UNFOLDED_MAX = 4 * SERIES_MAX
"""How many windows may be held in memory between two folds; beyond it senders are asked to come back."""

FOLD_EVERY_S = 15.0
"""How often whoever runs the intake should fold."""

FOLD_AFTER_CALLS = 200_000
"""After so many calls the intake folds by itself: a restart counts again what is not folded, in a few seconds."""

_STORE_ERRORS = (SQLAlchemyError, RuntimeError)
"""What a write that did not happen raises; RuntimeError is how the executor of a closed database says it."""

RECOVER_ENTRIES = 200
"""How many entries of the journal are read at a time when counting again."""

RECOVER_BYTES = 16 * 2**20
"""How many bytes of the journal, too: an entry may hold a call, or some megabytes of them."""


class TrafficMetrics(CallMetrics, Protocol):
    """What the traffic arm counts about itself."""

    def count_spans(self, result: str, spans: int) -> None:
        """Spans received; ``result`` is ``call``, ``other`` (no call, not kept) or ``rejected``."""

    def count_request(self, code: int) -> None:
        """One export request, by the HTTP status of its answer."""

    def count_arrived(self, arrived: Arrived) -> None:
        """The spans of one request by service, and what of them was lost."""

    def count_repeat(self) -> None:
        """One export request that was sent again although it was stored: its spans are not counted again."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    mark: bytes
    read: Sighted
    stored: asyncio.Future[Accepted]


class Intake:
    """Takes export requests, and holds the windows that are not stored yet."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        metrics: TrafficMetrics,
        prices: PriceBook = pricing.LIST_PRICES,
        checks: AnswerChecks | None = None,
        recent: Recent | None = None,
        marking: Marking | None = None,
        keep: Keep | None = None,
    ) -> None:
        """Start with nothing counted. Await ``recover`` before the first request."""
        self._database = database
        self._clock = clock
        self._metrics = metrics
        marking = marking or Marking()
        self._counting = Counting(prices, recent, marking)
        self._lookout = Lookout(Watch(marking.keys, checks or AnswerChecks()), self._counting.shapes)
        # Everything that touches what is counted runs in this one thread, one after the other.
        self._counter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="counting")
        # As long as calls are taken at all: after that, a request that comes again is refused for its age.
        self._repeats = Repeats(AGE_MAX_S)
        self._underway: dict[bytes, asyncio.Future[Accepted]] = {}
        self._waiting: list[_Waiting] = []
        self._calls_waiting = 0
        self._decoding = asyncio.Lock()
        self._committing: asyncio.Task[None] | None = None
        self._stored = WindowsAtRest(database, keep or Keep())
        self._calls_unfolded = 0
        self._early_fold: asyncio.Task[None] | None = None

    async def recover(self) -> int:
        """Count again what was accepted and not folded when the process ended; gives the number of calls."""
        await self._recover_requests()
        folded = await self._database.aread(store.folded_through)
        recovered = entry_id = 0
        while entries := await self._database.aread(
            partial(store.journaled, after=entry_id, limit=RECOVER_ENTRIES, bytes_max=RECOVER_BYTES)
        ):
            for entry_id, at, body in entries:
                recovered += self._counting.restore(entry_id, at, body, is_folded=entry_id <= folded)
        return recovered

    async def _recover_requests(self) -> None:
        entry_id = 0
        while entries := await self._database.aread(
            partial(store.remembered, after=entry_id, limit=RECOVER_ENTRIES)
        ):
            for entry_id, at, requests in entries:
                self._repeats.add(requests, at, entry_id)

    async def accept(self, body: bytes, encoding: Encoding) -> Accepted:
        """Store the calls in an export request; returns when that is done.

        Raises OtlpError (nothing can be read), OverloadError or StoreError (nothing was kept; try again
        later).
        """
        mark = mark_of(body, encoding)
        # One at a time: a body takes many times its size while it is decoded.
        async with self._decoding:
            answer = self._earlier(mark)
            is_repeat = answer is not None
            if answer is None:
                answer = await self._take(mark, body, encoding)
        # Shielded: who hangs up takes back nothing, also not from others who wait for the same request.
        accepted = await asyncio.shield(answer)
        if is_repeat:
            self._metrics.count_repeat()
        return accepted

    async def fold(self) -> int:
        """Add what was counted to the stored windows; gives how many windows that changed.

        Raises StoreError when it cannot be stored; it stays counted, for the next time.
        """
        # A caller that is cancelled does not take the fold with it: it must not end half-known.
        return await asyncio.shield(self._fold())

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        """The windows from one minute to another, both included: the stored ones and what came in since."""
        async with self._stored.lock:
            stored = await self._database.aread(
                lambda session: store.windows_between(session, first_minute, last_minute)
            )
            book = WindowBook(stored)
            await self._in_turn(partial(self._counting.copy_to, book, first_minute, last_minute))
        return [window for window in book if window.calls]

    def long_windows(self, first: int, end: int) -> AsyncIterator[list[Window]]:
        """The windows of a long span that is over, from ``first`` to before ``end``, few at a time.

        They are days, hours and minutes, the longest there are. What came in since the last fold is not among them.
        """
        return self._stored.pieces(first, end)

    async def roll_up(self) -> int:
        """Roll up hours and days that are over for good, and delete old windows; gives how many windows were read.

        The work of a call is bounded: the next one goes on.
        """
        read = await self._stored.roll_up()
        await self._stored.forget(self._clock.now().timestamp())
        return read

    async def active_minutes(self, first_minute: int, last_minute: int) -> set[tuple[int, str]]:
        """The minutes, both ends included, in which a service had calls: each with the service's name."""
        async with self._stored.lock:
            stored = await self._database.aread(
                lambda session: store.active_minutes(session, first_minute, last_minute)
            )
            return stored | await self._in_turn(
                partial(self._counting.active_minutes, first_minute, last_minute)
            )

    async def _in_turn(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._counter, work)

    async def _fold(self) -> int:
        async with self._stored.lock:
            now = self._clock.now().timestamp()
            self._calls_unfolded = 0
            unfolded = await self._in_turn(partial(self._counting.take, now))
            folding = Folding(unfolded.through, unfolded.cut_before, self._repeats.forget(now))
            try:
                await self._stored.fold(unfolded.windows, folding, now)
            except Exception as error:
                await self._in_turn(partial(self._counting.put_back, unfolded))
                if not isinstance(error, _STORE_ERRORS):
                    raise
                raise StoreError(f"windows could not be stored: {_why(error)}") from error
            return len(unfolded.windows)

    def _is_full(self) -> bool:
        return (
            len(self._waiting) >= WAITING_MAX
            or self._calls_waiting >= CALLS_WAITING_MAX
            or len(self._counting) >= UNFOLDED_MAX
        )

    def _earlier(self, mark: bytes) -> asyncio.Future[Accepted] | None:
        """The answer to the same request, which came before; it may still be underway."""
        known = self._repeats.find(mark)
        return _known(known) if known else self._underway.get(mark)

    async def _take(self, mark: bytes, body: bytes, encoding: Encoding) -> asyncio.Future[Accepted]:
        """Decode a request, and have its calls stored with the next commit; gives what its answer will be."""
        if self._is_full():
            raise OverloadError("more traffic than can be stored at the moment")
        now = self._clock.now()
        # In a thread: a large body takes long enough to hold up everybody else.
        read = await asyncio.to_thread(self._lookout.read, body, encoding, now.timestamp())
        if not read.sightings:
            self._repeats.add([Answered(mark, _accepted(read))], now.timestamp())
            self._tell_spans(read)
            return _known(_accepted(read))
        stored: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._underway[mark] = stored
        self._waiting.append(_Waiting(mark, read, stored))
        self._calls_waiting += len(read.sightings)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return stored

    async def _commit(self) -> None:
        """Store what waits, all of it in one transaction; what comes in meanwhile goes into the next."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    await self._commit_group(group)
                finally:
                    self._calls_waiting -= sum(len(one.read.sightings) for one in group)
                    for one in group:
                        del self._underway[one.mark]
        finally:
            self._committing = None

    async def _commit_group(self, group: Sequence[_Waiting]) -> None:
        sightings = [one for waiting in group for one in waiting.read.sightings]
        requests = [Answered(waiting.mark, _accepted(waiting.read)) for waiting in group]
        now = self._clock.now().timestamp()
        try:
            batch, body = await self._in_turn(partial(self._settle, sightings, now))
        except Exception as error:
            self._refuse(group, error)
            _LOG.exception("calls could not be counted")  # whoever waits behind them must not wait for ever
            return

        def work(session: Session) -> int:
            entry_id = store.journal(session, len(batch.settled.admitted), body, now)
            store.remember(session, entry_id, requests, now)
            return entry_id

        try:
            entry_id = await self._database.awrite(work)
        except Exception as error:
            await self._in_turn(partial(self._counting.undo, batch))
            self._refuse(group, error)
            if not isinstance(error, _STORE_ERRORS):
                raise
            return
        try:
            await self._in_turn(partial(self._counting.count, batch, entry_id, now))
        except Exception:
            # They are stored: whoever sent them must hear that they were taken. No fold passes them by from now on, so
            # that the next start counts them.
            _LOG.exception("calls are stored and could not be counted")
        self._repeats.add(requests, now, entry_id)
        self._calls_unfolded += len(batch.settled.admitted)
        if self._calls_unfolded >= FOLD_AFTER_CALLS and not self._stored.lock.locked():
            self._early_fold = asyncio.create_task(self._fold_early())
        tell(batch, self._metrics, now)
        for waiting in group:
            self._tell_spans(waiting.read)
            waiting.stored.set_result(_accepted(waiting.read))

    async def _fold_early(self) -> None:
        with contextlib.suppress(StoreError):  # whoever runs the intake folds again, and says so
            await self._fold()

    def _settle(self, sightings: Sequence[Sighting], now: float) -> tuple[Batch, bytes]:
        batch = self._counting.settle(sightings, now)
        try:
            return batch, self._counting.entry(batch)
        except BaseException:
            self._counting.undo(batch)
            raise

    def _refuse(self, group: Sequence[_Waiting], error: Exception) -> None:
        for waiting in group:
            _fail(waiting.stored, StoreError(f"calls could not be stored: {_why(error)}"))

    def _tell_spans(self, read: Sighted) -> None:
        for result, spans in (
            ("call", len(read.sightings)),
            ("other", read.others),
            ("rejected", sum(read.rejected.values())),
        ):
            if spans:
                self._metrics.count_spans(result, spans)
        self._metrics.count_arrived(read.arrived)


def _accepted(read: Sighted) -> Accepted:
    """What is answered."""
    return Accepted(len(read.sightings), read.others, read.rejected)


def _known(accepted: Accepted) -> asyncio.Future[Accepted]:
    future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
    future.set_result(accepted)
    return future


def _fail(future: asyncio.Future[Accepted], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # seen: when all who waited have hung up, there is nobody left to miss it


def _why(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
