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
import sqlite3
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from canaries.clock import Clock

from ..database import Database
from ..moments import last_look
from . import OverloadError, StoreError, store
from .at_looks import WindowsAtLooks
from .checks import AnswerChecks
from .counting import Batch, CallMetrics, Counting, Unfolded, tell
from .joining.recent import Recent
from .lookout import AGE_MAX_S, Lookout, Watch
from .otlp import Encoding
from .pricing import book as pricing
from .pricing.book import PriceBook
from .repeats import Accepted, Answered, Repeats, mark_of
from .roll_ups import Keep
from .rows import Rows, joined
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

BYTES_A_COMMIT = 16 * 2**20
"""After so many bytes of requests no more go into a commit: who waits for it is not to wait for all that came since."""

CALLS_A_COMMIT = 16_384
"""So many calls go into a commit at most, or those of one request: no more are looked at together than are known."""

GATHER_S = 0.005
"""So long requests wait at most for as many others as shared a commit before, mostly of those who were just answered.

A commit takes about as long for one request as for several. Who sends alone shares none, and does not wait.
"""

TOGETHER_MAX = 16
"""For so many requests altogether a commit waits, when some were just answered: more save next to nothing."""

TURNS_ALONE = 8
"""After a wait in vain for those who were just answered, so many commits go on without them."""

UNFOLDED_MAX = 4 * SERIES_MAX
"""How many windows may be held in memory between two folds; beyond it senders are asked to come back."""

FOLD_EVERY_S = 15.0
"""How often whoever runs the intake should fold."""

FOLD_AFTER_CALLS = 500_000
"""After so many calls the intake folds by itself: a restart counts again what is not folded, in a few seconds."""

CUT_ENTRIES = 32
"""So many entries are cut from the journal with one transaction: requests wait while that writes."""

_STORE_ERRORS = (SQLAlchemyError, sqlite3.Error, RuntimeError)
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


@dataclass(slots=True)
class _Request:
    """An export request, and what becomes of it: an answer or an error."""

    body: bytes | memoryview
    encoding: Encoding
    answered: asyncio.Future[Accepted]
    mark: bytes = b""
    answer: Accepted | None = None
    rows: Rows | None = None
    """Its calls, until they are joined with those of others."""
    arrived: Arrived | None = None
    """``None``: it was not read."""
    error: Exception | None = None
    first: "_Request | None" = None
    """The same request, which came before in the same commit."""


@dataclass(frozen=True, slots=True)
class _Commit:
    """Calls that were stored and counted, at a time."""

    batch: Batch
    at: float


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
        self._waiting: deque[_Request] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._together = 1
        """How many requests shared a commit of late: so many are waited for."""
        self._are_together = asyncio.Event()
        self._turns_alone = 0
        """So many commits do not wait for those who were just answered: of late they did not come."""
        self._stored = WindowsAtRest(database, keep or Keep())
        self.at_looks = WindowsAtLooks(database, self._stored, self.fold)
        self._calls_unfolded = 0
        self._early_fold: asyncio.Task[None] | None = None

    async def recover(self) -> int:
        """Count again what was accepted and not folded when the process ended; gives the number of calls."""
        await self._recover_requests()
        self._stored.looks.at = await self._database.aread(last_look)
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

    async def accept(self, body: bytes | memoryview, encoding: Encoding) -> Accepted:
        """Store the calls in an export request; returns when that is done, and ``body`` is not looked at any more.

        Raises OtlpError (nothing can be read), OverloadError or StoreError (nothing was kept; try again
        later).
        """
        if len(self._waiting) >= WAITING_MAX:
            raise OverloadError("more traffic than can be stored at the moment")
        request = _Request(body, encoding, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if len(self._waiting) >= self._together:
            self._are_together.set()
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        # Shielded: who hangs up takes back nothing, also not from others who wait for the same request.
        return await asyncio.shield(request.answered)

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
            unfolded, first_request = await self._in_turn(partial(self._unfolded, now))
            while await self._in_turn(partial(self._counting.finish, unfolded)):
                pass  # a little at a time: requests have their turn in between
            folding = Folding(unfolded.through, first_request)
            try:
                folded = await self._stored.fold(self._pieces(unfolded), folding, now)
            except Exception as error:
                await self._in_turn(partial(self._counting.put_back, unfolded))
                if not isinstance(error, _STORE_ERRORS):
                    raise
                raise StoreError(f"windows could not be stored: {_why(error)}") from error
        await self._cut(unfolded.cut_before)
        return folded

    async def _pieces(self, unfolded: Unfolded) -> AsyncIterator[list[Window]]:
        """The windows to be folded, few at a time: requests have their turn in between."""
        pieces = unfolded.windows.pieces()
        while some := await self._in_turn(partial(next, pieces, [])):
            yield some

    async def _cut(self, before: int) -> None:
        """Cut from the journal what nobody needs any more, a little at a time; what is left the next fold cuts."""
        work = partial(store.cut, before=before, entries=CUT_ENTRIES)
        try:
            while await self._in_turn(partial(self._database.commit, work)) == CUT_ENTRIES:
                pass
        except _STORE_ERRORS as error:
            raise StoreError(f"the journal could not be cut: {_why(error)}") from error

    def _unfolded(self, now: float) -> tuple[Unfolded, int]:
        """What is to be folded, and the journal entry before which no request is remembered any more."""
        return self._counting.take(now), self._repeats.forget(now)

    async def _commit(self) -> None:
        """Take what waits, all of it in one turn; what comes in meanwhile goes into the next."""
        try:
            answered = 0
            while self._waiting:
                await self._gather(answered)
                group = self._group()
                try:
                    commits = await self._in_turn(partial(self._take, group, self._clock.now().timestamp()))
                except Exception as error:  # whoever waits must not wait for ever
                    for one in group:
                        one.error = one.error or StoreError(f"calls could not be stored: {_why(error)}")
                    commits = []
                    _LOG.exception("requests could not be taken")
                self._tell(group, commits)
                answered = len(group) if self._waiting else 0
                # Bodies are large: no longer than they are needed.
                group.clear()
                if self._counting.is_counting:
                    await self._go_on()
        finally:
            self._committing = None

    async def _go_on(self) -> None:
        """Do a little of what is left of the calls that were answered: who comes next waits for it."""
        try:
            await self._in_turn(self._counting.step)
        except Exception:
            # As for a call that is stored and cannot be counted: the next start counts them.
            _LOG.exception("calls are stored and could not be counted")

    async def _gather(self, answered: int) -> None:
        """Wait a little for those who will come, too, as far as that can be known.

        ``answered`` requests were answered while others waited: who sends again at once would otherwise take turns with
        those for good, at twice as many commits.
        """
        waiting = len(self._waiting)
        if self._turns_alone:
            self._turns_alone -= 1
        elif answered:
            self._together = max(self._together, min(waiting + answered, TOGETHER_MAX))
        if waiting < self._together:
            self._are_together.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._are_together.wait()
            came = len(self._waiting) - waiting
            if came == 0:
                # Nobody came at all: they do not send again as soon as they are answered.
                self._together = max(waiting, 1)
            if 2 * came < answered:
                self._turns_alone = TURNS_ALONE
        # One fewer each time that not all of them came: some may have gone for good.
        self._together = max(len(self._waiting), self._together - 1)

    def _group(self) -> list[_Request]:
        group = [self._waiting.popleft()]
        size = len(group[0].body)
        while self._waiting and size + len(self._waiting[0].body) <= BYTES_A_COMMIT:
            group.append(self._waiting.popleft())
            size += len(group[-1].body)
        return group

    def _take(self, group: Sequence[_Request], now: float) -> list[_Commit]:
        """Read requests, and store and count their calls; says in each what became of it.

        All of it is done by one thread in one turn: to hand work to and fro costs more than most of it does.
        """
        commits: list[_Commit] = []
        reading: list[_Request] = []
        by_mark: dict[bytes, _Request] = {}
        calls = 0
        for request in group:
            self._read(request, by_mark, now)
            if not request.rows:
                continue
            if reading and calls + len(request.rows) > CALLS_A_COMMIT:
                commits += self._store(reading, now)
                reading, calls = [], 0
            reading.append(request)
            calls += len(request.rows)
        if reading:
            commits += self._store(reading, now)
        return commits

    def _read(self, request: _Request, by_mark: dict[bytes, _Request], now: float) -> None:
        """Read a request, unless it came before."""
        mark = request.mark = mark_of(request.body, request.encoding)
        if (known := self._repeats.find(mark)) is not None:
            request.answer = known
            return
        if (first := by_mark.setdefault(mark, request)) is not request:
            request.first = first
            return
        if len(self._counting) >= UNFOLDED_MAX:
            request.error = OverloadError("more traffic than can be stored at the moment")
            return
        try:
            read = self._lookout.read(request.body, request.encoding, now)
        except Exception as error:
            request.error = error
            return
        request.answer = Accepted(len(read.rows), read.others, read.rejected)
        request.rows, request.arrived = read.rows, read.arrived
        if not read.rows:
            self._repeats.add([Answered(mark, request.answer)], now)

    def _store(self, requests: Sequence[_Request], now: float) -> list[_Commit]:
        """Store the calls of requests in one transaction, and count them."""
        rows = joined([one.rows for one in requests if one.rows is not None])
        for one in requests:
            one.rows = None  # they take as much room as those that were joined
        answered = [Answered(one.mark, one.answer) for one in requests if one.answer is not None]
        try:
            batch, body = self._settle(rows, now)
        except Exception as error:
            _refuse(requests, error)
            _LOG.exception("calls could not be counted")
            return []

        def work(connection: sqlite3.Connection) -> int:
            entry_id = store.journal(connection, len(batch.settled), body, now)
            store.remember(connection, entry_id, answered, now)
            return entry_id

        try:
            entry_id = self._database.commit(work)
        except Exception as error:
            self._counting.undo(batch)
            _refuse(requests, error)
            if not isinstance(error, _STORE_ERRORS):
                _LOG.exception("calls could not be stored")
            return []
        try:
            self._counting.count(batch, entry_id, now)
        except Exception:
            # They are stored: whoever sent them must hear that they were taken. No fold passes them by from now on, so
            # that the next start counts them.
            _LOG.exception("calls are stored and could not be counted")
        self._repeats.add(answered, now, entry_id)
        return [_Commit(batch, now)]

    def _tell(self, group: Sequence[_Request], commits: Sequence[_Commit]) -> None:
        """Count in the metrics what was taken, and answer."""
        try:
            self._count(group, commits)
        except Exception:
            # What is stored is answered, whatever becomes of figures about it.
            _LOG.exception("calls are stored, and the metrics do not count all of them")
        for request in group:
            told = request.first or request
            if told.error is not None or told.answer is None:
                _fail(request.answered, told.error or StoreError("calls could not be stored"))
            else:
                request.answered.set_result(told.answer)

    def _count(self, group: Sequence[_Request], commits: Sequence[_Commit]) -> None:
        self._calls_unfolded += sum(len(commit.batch.settled) for commit in commits)
        if self._calls_unfolded >= FOLD_AFTER_CALLS and not self._stored.lock.locked():
            self._early_fold = asyncio.create_task(self._fold_early())
        for commit in commits:
            tell(commit.batch, self._metrics, commit.at)
        spans: Counter[str] = Counter()
        for request in group:
            told = request.first or request
            if told.error is not None or told.answer is None:
                continue
            if request.arrived is None:
                self._metrics.count_repeat()
                continue
            spans["call"] += told.answer.calls
            spans["other"] += told.answer.other
            spans["rejected"] += sum(told.answer.rejected.values())
            self._metrics.count_arrived(request.arrived)
        for result, number in spans.items():
            if number:
                self._metrics.count_spans(result, number)

    async def _fold_early(self) -> None:
        with contextlib.suppress(StoreError):  # whoever runs the intake folds again, and says so
            await self._fold()

    def _settle(self, rows: Rows, now: float) -> tuple[Batch, bytes | bytearray]:
        batch = self._counting.settle(rows, now)
        try:
            return batch, self._counting.entry(batch)
        except BaseException:
            self._counting.undo(batch)
            raise


def _refuse(requests: Iterable[_Request], error: Exception) -> None:
    for one in requests:
        one.answer, one.error = None, StoreError(f"calls could not be stored: {_why(error)}")


def _fail(future: asyncio.Future[Accepted], error: Exception) -> None:
    future.set_exception(error)
    future.exception()  # seen: when all who waited have hung up, there is nobody left to miss it


def _why(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
