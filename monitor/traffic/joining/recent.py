"""Every call counted once, also where its reports come in different requests.

A call is counted when its first report comes. What was counted of late is remembered: when a further report of it
comes, the call is withdrawn and counted anew with what both tell, in the same step. So nobody waits for what may
never come, and nothing is ever counted twice for longer than a step.

Most reports have nothing to do with any other, and numbers say so for all of a request at once (``chains``): they stay
rows. Where one may, it is looked at by itself, with those that it may have to do with: only these become objects. The
reports around it are joined as if they had all come at once (``joining``), and what that says differently is settled
anew.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from ..rows import Integers, Marks, Rows, distinct, rows_of
from ..sightings import Shape
from .chains import ROOM, Chains, Key, span_key
from .counted import Counted, Name, keys_of, span_in, with_keys_of_their_own
from .groups import join
from .index import PEERS_MAX, Index
from .pairing import key_of

KEEP_S = 60.0
"""How long a call waits for further reports: exporters send every few seconds, and retry for about a minute."""

HELD_MAX = ROOM // 2
"""How many calls are remembered at most, so that as many that come together have room beside them; beyond it the oldest
wait no longer. Some 4 MB, or 60 MB as objects, which they are where several libraries report the calls of a service."""

SUSPECTS_MAX = PEERS_MAX // 2
"""After so many reports that may belong to others these are looked at: others of their calls are among the last."""

Value = Callable[[int, Counted], None]
"""Says of a call, which was a row at that place, what it cost and where it is counted."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of some reports: what is counted from now on, and what was counted and is not any more.

    The calls of ``rows`` at the places ``plain`` are each told by one report, and counted as they are. Those of them
    that were looked at by themselves are ``looked_at``, by their places. ``admitted`` are the other calls.
    """

    rows: Rows
    plain: Integers
    admitted: Sequence[Counted] = ()
    withdrawn: Sequence[Counted] = ()
    looked_at: Mapping[int, Counted] = field(default_factory=dict)
    first: int = 0
    """By what the first of the rows is told apart from reports that came before: see ``Counted.came``."""

    def __len__(self) -> int:
        """How many calls are counted from now on."""
        return len(self.plain) + len(self.admitted)


@dataclass(slots=True, eq=False)
class _Batch:
    """Reports that came together, with the numbers from ``first`` on.

    ``is_out`` tells which are no plain rows any more. ``counted`` are the calls among them, and those made of them
    later.
    """

    first: int
    rows: Rows
    is_out: Marks
    entry_id: int = 0
    at: float = 0.0
    calls: int = 0
    counted: list[Counted] = field(default_factory=list)
    value: Value | None = None
    numbers: list[int] = field(default_factory=list)


class Recent:
    """The calls that were counted of late, by all that a further report of them may be known by."""

    def __init__(self, keep_s: float = KEEP_S, held_max: int = HELD_MAX) -> None:
        """Start with none."""
        self._keep_s = keep_s
        self._held_max = held_max
        self._chains = Chains()
        self._index = Index(self._wake, self._wake_shapes, self._plain_shapes)
        self._batches: deque[_Batch] = deque()
        self._batch_of = np.zeros(ROOM, np.int64)
        self._numbered: dict[int, _Batch] = {}
        self._numbers = count(1)
        self._now: _Batch | None = None
        self._reached = 0
        """The number of the report that is looked at: those behind it have not come yet."""
        self._turns = count()
        self._held = 0
        self._fresh: dict[int, Counted] = {}
        self._restored: dict[Name, Counted] | None = {}

    def __len__(self) -> int:
        """How many settled calls are remembered, those included that were withdrawn since."""
        return self._held

    @property
    def oldest_entry(self) -> int | None:
        """The first journal entry with something that is remembered; ``None`` when nothing is."""
        return self._batches[0].entry_id if self._batches else None

    def settle(self, rows: Rows, now: float, apart: Marks | None = None) -> Settled:
        """Count these reports, which came at ``now``. Follow with ``keep`` once that is stored, or with ``undo``.

        Those that ``apart`` marks are not to be plain rows.
        """
        self.forget(now)
        self._restored = None
        fresh = self._fresh = {}
        withdrawn: dict[int, Counted] = {}
        batch = self._begin(rows)
        is_suspect = self._chains.suspects(batch.first, self._chains.next)
        if apart is not None:
            is_suspect |= apart
        self._settle_apart(batch, is_suspect, fresh, withdrawn)
        is_plain = ~batch.is_out
        looked_at, admitted = {}, []
        for counted in fresh.values():
            place = counted.came[0] - batch.first
            # Made of a report that came now, and of nothing else.
            if counted.came[1] or place < 0 or (apart is not None and apart[place]):
                admitted.append(counted)
            else:
                looked_at[place] = counted
                is_plain[place] = True
        plain = np.flatnonzero(is_plain)
        return Settled(rows, plain, admitted, list(withdrawn.values()), looked_at, batch.first)

    def _begin(self, rows: Rows) -> _Batch:
        """Have the reports be known; none of them has come yet."""
        while self._batches and self._chains.next + len(rows) - self._chains.oldest > ROOM:
            self._forget_oldest()
        if not self._batches:
            self._chains.oldest = self._chains.next  # what was undone is known to nobody
        first = self._reached = self._chains.add(rows)
        batch = self._now = _Batch(first, rows, np.zeros(len(rows), np.bool_))
        self._number(batch, first)
        return batch

    def _number(self, batch: _Batch, first: int) -> None:
        number = next(self._numbers)
        self._batch_of[np.arange(first, self._chains.next) & (ROOM - 1)] = number
        self._numbered[number] = batch
        batch.numbers.append(number)

    def _settle_apart(
        self,
        batch: _Batch,
        is_suspect: Marks,
        fresh: dict[int, Counted],
        withdrawn: dict[int, Counted],
    ) -> None:
        """Settle, one by one, the reports that may have to do with others."""
        suspects: list[Counted] = []
        place, version = -1, -1
        places: list[int] = []
        while True:
            if version != self._index.version:
                # Of a service that turned out to have several emitters all are looked at from here on.
                version = self._index.version
                places = np.flatnonzero(is_suspect | self._index.is_mixed(batch.rows)).tolist()
                places = [one for one in reversed(places) if one > place]
            if not places:
                break
            place = places.pop()
            self._reached = batch.first + place
            if not batch.is_out[place]:
                suspects += self._settle_one(batch, place, fresh, withdrawn)
            if len(suspects) >= SUSPECTS_MAX:
                self._look_around(suspects, fresh, withdrawn)
                suspects = []
        self._reached = self._chains.next
        self._look_around(suspects, fresh, withdrawn)

    def _settle_one(
        self, batch: _Batch, place: int, fresh: dict[int, Counted], withdrawn: dict[int, Counted]
    ) -> list[Counted]:
        """Settle a report by itself; gives the calls that others may belong to."""
        sighting, suspects = batch.rows.sighting(place), []
        key, number = sighting.key, batch.first + place
        batch.is_out[place] = True
        before = self._index.same_span(sighting, key)
        if before is not None:
            if span_in(before, key).end_ns >= sighting.end_ns:
                self._chains.drop(number, number + 1)
                return []  # the same span, sent again
            suspects += self._without(before, key, fresh, withdrawn)
        counted = Counted((sighting,), came=(number, 0))
        fresh[id(counted)] = counted
        if self._index.add_single(counted, sighting, key):
            suspects.append(counted)
        return suspects

    def _wake(self, kind: Key, key: int) -> None:
        """Have the reports with a key in the index, which are plain rows so far."""
        found = []
        for number in self._chains.numbers(kind, key):
            if number <= self._reached:
                found.append(number)
                if kind is not Key.SPAN and len(found) >= PEERS_MAX:
                    break
        for number in reversed(found):
            batch = self._numbered[int(self._batch_of[number & (ROOM - 1)])]
            place = number - batch.first
            if place < len(batch.rows) and not batch.is_out[place]:
                self._wake_row(batch, place)

    def _wake_shapes(self, is_meant: Callable[[Shape], bool]) -> None:
        """Have all reports with such shapes in the index."""
        for batch in self._known():
            kinds, kind = np.unique(batch.rows.kind, return_inverse=True)
            meant = np.array([is_meant(batch.rows.shapes[one]) for one in kinds.tolist()], np.bool_)
            if not meant.any():
                continue
            for place in np.flatnonzero(meant[kind] & ~batch.is_out).tolist():
                if batch.first + place <= self._reached:
                    self._wake_row(batch, place)

    def _known(self) -> list[_Batch]:
        return [*self._batches, *([self._now] if self._now else ())]

    def _plain_shapes(self) -> set[Shape]:
        """The shapes of all plain rows so far."""
        shapes: set[Shape] = set()
        for batch in self._known():
            come = slice(0, max(0, self._reached + 1 - batch.first))
            kinds = distinct(batch.rows.kind[come][~batch.is_out[come]])
            shapes.update(batch.rows.shapes[kind] for kind in kinds)
        return shapes

    def _wake_row(self, batch: _Batch, place: int) -> None:
        batch.is_out[place] = True
        counted = Counted((batch.rows.sighting(place),), came=(batch.first + place, 0))
        if batch is self._now:
            self._fresh[id(counted)] = counted
        else:
            if batch.value is not None:
                batch.value(place, counted)
            batch.counted.append(counted)
        if self._restored is not None:
            self._restored[counted.name] = counted
        self._index.add(counted)

    def _look_around(
        self, suspects: Iterable[Counted], fresh: dict[int, Counted], withdrawn: dict[int, Counted]
    ) -> None:
        """Join what may belong to these with them, as far as they are still counted."""
        done: set[int] = set()
        for suspect in suspects:
            # One that was taken apart since is not there any more.
            if id(suspect) not in done and id(suspect) in fresh:
                around = with_keys_of_their_own(self._index.around(suspect))
                done.update(map(id, around))
                if len(around) > 1:
                    self._rejoin(around, fresh, withdrawn)

    def _without(
        self, before: Counted, key: bytes, fresh: dict[int, Counted], withdrawn: dict[int, Counted]
    ) -> list[Counted]:
        """Take apart a call of which one span was sent before it ended, and is here again; gives what else tells it."""
        self._index.remove(before)
        if fresh.pop(id(before), None) is None:
            withdrawn[id(before)] = before
        others = [Counted((one,), came=self._turn()) for one in before.sightings if one.key != key]
        for counted in others:
            self._index.add(counted)
            fresh[id(counted)] = counted
        return others

    def _turn(self) -> tuple[int, int]:
        """What a call is told by that is made of reports now: it comes after all that came so far."""
        return self._reached, 1 + next(self._turns)

    def _rejoin(
        self, around: Sequence[Counted], fresh: dict[int, Counted], withdrawn: dict[int, Counted]
    ) -> None:
        """Join all reports around a suspect, and change what that says differently from what is counted."""
        sightings = {
            key_of(report): sighting
            for counted in around
            for report, sighting in zip(counted.all_reports(), counted.sightings, strict=True)
        }
        calls, wrappers = join([report for counted in around for report in counted.all_reports()])
        found = [(tuple(sightings[key_of(one)] for one in joined.reports), True) for joined in calls]
        found += [((sightings[key_of(wrapper.report)],), False) for wrapper in wrappers]
        as_it_was = {(keys_of(one.sightings), one.is_call): one for one in around}
        new = []
        for members, is_call in found:
            if as_it_was.pop((keys_of(members), is_call), None) is None:
                new.append(Counted(members, is_call=is_call, came=self._turn()))
        for gone in as_it_was.values():
            self._index.remove(gone)
            if fresh.pop(id(gone), None) is None:
                withdrawn[id(gone)] = gone
        for counted in new:
            self._index.add(counted)
            fresh[id(counted)] = counted

    def keep(self, settled: Settled, entry_id: int, now: float, value: Value | None = None) -> None:
        """Remember what was settled, now that it is stored in an entry of the journal.

        ``value`` says of a plain row, should it be withdrawn one day, as what it was counted.
        """
        batch, self._fresh = self._now, {}
        if batch is None:
            return
        if not len(settled):
            self._now = None
            self._unknow(batch)
            return
        batch.entry_id, batch.at, batch.value = entry_id, now, value
        batch.counted += (*settled.admitted, *settled.looked_at.values())
        batch.calls = len(settled)
        self._know_again(batch, settled.admitted)
        self._now = None
        self._batches.append(batch)
        self._held += batch.calls

    def _know_again(self, batch: _Batch, admitted: Iterable[Counted]) -> None:
        """Have reports that came earlier be known as long as the calls that they tell now."""
        first, end = batch.first, batch.first + len(batch.rows)
        earlier = [
            one
            for counted in admitted
            if len(counted.sightings) > 1 or not first <= counted.came[0] < end or counted.came[1]
            for one in counted.sightings
        ]
        if earlier:
            while self._batches and self._chains.next + len(earlier) - self._chains.oldest > ROOM:
                self._forget_oldest()
            room = ROOM - (self._chains.next - self._chains.oldest)
            self._number(batch, self._chains.add(rows_of(earlier[:room])))

    def undo(self, settled: Settled) -> None:
        """Be as before ``settle``: what it said could not be stored."""
        batch, self._now, self._fresh = self._now, None, {}
        for counted in (*settled.admitted, *settled.looked_at.values()):
            self._index.remove(counted)
        for counted in settled.withdrawn:
            self._index.add(counted)
        if batch is not None:
            self._unknow(batch)

    def _unknow(self, batch: _Batch) -> None:
        self._chains.drop(batch.first, batch.first + len(batch.rows))
        for number in batch.numbers:
            del self._numbered[number]

    def restore(
        self,
        rows: Rows,
        admitted: Sequence[Counted],
        withdrawn: Iterable[Name],
        entry_id: int,
        at: float,
        value: Value | None = None,
    ) -> Settled:
        """Settle again what an entry of the journal says was settled at that time; entries come in their order.

        All rows are plain. Gives what was withdrawn as far as it is remembered.
        """
        self.forget(at)
        if self._restored is None:
            self._restored = {}
        gone = []
        for name in withdrawn:
            self._wake(Key.SPAN, span_key(name[0]))
            if (one := self._restored.get(name)) is not None:
                self._index.remove(one)
                gone.append(one)
        # Earlier versions let more come together than are known today. Of so many none is known for longer than this.
        rows = rows.take(np.arange(min(len(rows), ROOM)))
        batch = self._begin(rows)
        self._reached = self._chains.next
        self._index.know(rows.shapes)
        for counted in admitted:
            counted.came = self._turn()
            self._index.add(counted)
            self._restored[counted.name] = counted
        looked_at = {counted.came[0] - batch.first: counted for counted in self._fresh.values()}
        if value is not None:
            for place, counted in looked_at.items():
                value(place, counted)
        settled = Settled(rows, np.arange(len(rows)), admitted, gone, looked_at, batch.first)
        self.keep(settled, entry_id, at, value)
        return settled

    def forget(self, now: float) -> None:
        """Let go of the calls of which no further report is waited for."""
        while self._batches and (self._batches[0].at < now - self._keep_s or self._held > self._held_max):
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        batch = self._batches.popleft()
        self._held -= batch.calls
        for counted in batch.counted:
            self._index.remove(counted)
            if self._restored is not None:
                self._restored.pop(counted.name, None)
        ahead = self._batches[0] if self._batches else self._now
        self._chains.oldest = ahead.first if ahead else self._chains.next
        for number in batch.numbers:
            del self._numbered[number]
