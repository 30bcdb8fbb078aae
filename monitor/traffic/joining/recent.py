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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice

import numpy as np

from ..calls import Call, CostBasis
from ..dialects import Report
from ..rows import Integers, Marks, Rows, id_hash, rows_of
from ..sightings import SHAPES_MAX, Shape, Sighting, call_of, report_of
from ..windows.series import Series, minute_of
from .chains import ROOM, SLACK_NS, Chains, Key, span_key
from .groups import join
from .likeness import TELLING_ID_MIN, is_telling
from .pairing import key_of
from .uniting import unite

KEEP_S = 60.0
"""How long a call waits for further reports: exporters send every few seconds, and retry for about a minute."""

HELD_MAX = 20_000
"""How many calls are remembered at most; beyond it the oldest wait no longer. Some 5 MB, or 20 MB as objects."""

AROUND_MAX = 512
"""How many calls are looked at around one that may belong to another."""

PEERS_MAX = 64
"""With how many calls alike, those that came last, a report is compared."""

SUSPECTS_MAX = PEERS_MAX // 2
"""After so many reports that may belong to others these are looked at: others of their calls are among the last."""

_NANO = 1e9
"""A float, as for rows and calls: whole numbers divide to another last bit, and so to another minute."""


Name = tuple[bytes, int]
"""The key of a span, and when it began in unix nanoseconds."""


class Counted:
    """One call as it is counted, with the reports that tell it, the fullest first.

    ``is_call`` is false where the report wraps calls and is none itself; then nothing is counted. ``cost_usd``,
    ``cost_basis``, ``matched``, ``chosen`` and ``series`` are filled in before it is counted, and do not change after
    that. ``chosen`` is ``None`` where all that its spans hold of the configured attributes counts. ``came`` tells those
    apart that came before others.
    """

    __slots__ = (
        "came",
        "chosen",
        "cost_basis",
        "cost_usd",
        "is_call",
        "matched",
        "reports",
        "series",
        "sightings",
    )

    def __init__(
        self, sightings: tuple[Sighting, ...], *, is_call: bool = True, came: tuple[int, int] = (0, 0)
    ) -> None:
        self.sightings = sightings
        self.came = came
        self.is_call = is_call
        self.cost_usd: float | None = None
        self.cost_basis = CostBasis.UNPRICED
        self.matched: tuple[str, ...] = ()
        self.chosen: tuple[tuple[str, str], ...] | None = None
        self.series: Series | None = None
        self.reports: list[Report] | None = None

    @property
    def name(self) -> Name:
        """What no other counted call has: the key of its first report, and when that began, for ids may be reused."""
        return self.sightings[0].key, self.sightings[0].start_ns

    @property
    def chosen_first(self) -> tuple[tuple[str, str], ...]:
        """By the values of which attributes a call that is told by one report is counted."""
        return self.sightings[0].chosen if self.chosen is None else self.chosen

    @property
    def minute(self) -> int:
        """The start of the minute in which a call that is told by one report ended."""
        return minute_of(self.sightings[0].end_ns / _NANO)

    def call(self) -> Call:
        """The call, united from its reports, with its cost."""
        if len(self.sightings) == 1:
            call = call_of(self.sightings[0])
        else:
            call = unite([one.call for one in self.all_reports()])
        chosen = call.chosen if self.chosen is None else self.chosen
        if self.cost_usd is None and not self.matched and chosen == call.chosen:
            return call
        return replace(
            call, cost_usd=self.cost_usd, cost_basis=self.cost_basis, matched=self.matched, chosen=chosen
        )

    def all_reports(self) -> list[Report]:
        """The reports of its sightings, in their order."""
        if self.reports is None:
            self.reports = [report_of(one) for one in self.sightings]
        return self.reports


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
        self._index = _Index(self._wake, self._wake_shapes, self._plain_shapes)
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
            if _span(before, key).end_ns >= sighting.end_ns:
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
            meant = np.array([is_meant(shape) for shape in batch.rows.shapes], np.bool_)
            if not meant.any():
                continue
            for place in np.flatnonzero(meant[batch.rows.kind] & ~batch.is_out).tolist():
                if batch.first + place <= self._reached:
                    self._wake_row(batch, place)

    def _known(self) -> list[_Batch]:
        return [*self._batches, *([self._now] if self._now else ())]

    def _plain_shapes(self) -> set[Shape]:
        """The shapes of all plain rows so far."""
        shapes: set[Shape] = set()
        for batch in self._known():
            come = slice(0, max(0, self._reached + 1 - batch.first))
            kinds = np.unique(batch.rows.kind[come][~batch.is_out[come]])
            shapes.update(batch.rows.shapes[kind] for kind in kinds.tolist())
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
                around = _with_keys_of_their_own(self._index.around(suspect))
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
        as_it_was = {(_keys(one.sightings), one.is_call): one for one in around}
        new = []
        for members, is_call in found:
            if as_it_was.pop((_keys(members), is_call), None) is None:
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


class _Many(dict[object, "Counted | list[Counted]"]):
    """Counted calls by keys of which nearly all have one call only."""

    def of(self, key: object) -> Sequence[Counted]:
        held = self.get(key)
        if held is None:
            return ()
        return held if isinstance(held, list) else (held,)

    def put(self, key: object, counted: Counted) -> None:
        """Add a call behind those that came before it."""
        held = self.get(key)
        if held is None:
            self[key] = counted
            return
        calls = held if isinstance(held, list) else [held]
        calls.append(counted)
        if calls[-2].came > counted.came:
            calls.sort(key=_came)
        if len(calls) > PEERS_MAX:
            del calls[0]  # it is still counted, and known by its span
        self[key] = calls

    def drop(self, key: object, counted: Counted) -> None:
        held = self.pop(key, None)
        if held is counted or held is None:
            return
        if isinstance(held, list) and counted in held:
            held.remove(counted)
        if held:
            self[key] = held


@dataclass(slots=True)
class _Service:
    """What is known of the calls of one service and operation, to tell whether any of them may be told twice.

    Alike reports of one emitter are two calls. Only where there are several emitters, or one that tells the ends of
    streams apart, are the calls looked at side by side: ``peers`` has them then, by what those of one call share.
    """

    emitters: set[str] = field(default_factory=set)
    is_mixed: bool = False
    peers: dict[object, dict[Counted, None]] = field(default_factory=dict)

    def add(self, counted: Counted, sighting: Sighting) -> None:
        for bucket in _buckets(sighting):
            self.peers.setdefault(bucket, {})[counted] = None

    def remove(self, counted: Counted, sighting: Sighting) -> None:
        for bucket in _buckets(sighting):
            peers = self.peers.get(bucket, {})
            peers.pop(counted, None)
            if not peers:
                self.peers.pop(bucket, None)

    def near(self, sighting: Sighting) -> Iterator[Counted]:
        for bucket in _sought(sighting):
            for peer in islice(reversed(self.peers.get(bucket, {})), PEERS_MAX):
                if any(_are_near(sighting, one) for one in peer.sightings):
                    yield peer


class _Index:
    """Counted calls by the keys of their spans and of those above, by the ids of answers, and by what is alike."""

    def __init__(
        self,
        wake: Callable[[Key, int], None],
        wake_shapes: Callable[[Callable[[Shape], bool]], None],
        plain_shapes: Callable[[], set[Shape]],
    ) -> None:
        """``wake`` adds the reports with a key that are not here yet, ``wake_shapes`` those with such shapes.

        ``plain_shapes`` gives the shapes of all that are not here.
        """
        self._wake, self._wake_shapes, self._plain_shapes = wake, wake_shapes, plain_shapes
        self.version = 0
        """How often it became known that a service has several emitters."""
        self.by_span: dict[bytes, Counted] = {}
        self._by_id = _Many()
        self._below = _Many()
        self._services: dict[object, _Service] = {}
        self._service_of: dict[Shape, _Service] = {}

    def same_span(self, sighting: Sighting, key: bytes) -> Counted | None:
        """The call that this very span tells already. One that began at another time is not it: ids may be reused."""
        self._wake(Key.SPAN, span_key(key))
        counted = self.by_span.get(key)
        if counted is None or _span(counted, key).start_ns != sighting.start_ns:
            return None
        return counted

    def add_single(self, counted: Counted, sighting: Sighting, key: bytes) -> bool:
        """Add a call that is told by one report with this key; says whether another one may belong to it."""
        shape, response_id = sighting.shape, sighting.response_id
        service = self._service_of.get(shape) or self._service(shape)
        self._wake(Key.ABOVE, span_key(key))
        is_suspect = service.is_mixed or key in self._below
        self.by_span[key] = counted
        if response_id is not None and len(response_id) >= TELLING_ID_MIN:
            self._wake(Key.ANSWER, id_hash(response_id.encode()))
            held = self._by_id.get(response_id)
            if held is None:
                self._by_id[response_id] = counted
            else:
                is_suspect = is_suspect or not _are_other_answers(held, sighting)
                self._by_id.put(response_id, counted)
        if sighting.parent_span_id:
            parent_key = sighting.trace_id + sighting.parent_span_id
            self._wake(Key.SPAN, span_key(parent_key))
            self._wake(Key.ABOVE, span_key(parent_key))
            above = self.by_span.get(parent_key)
            if parent_key not in self._below:
                is_suspect = is_suspect or (
                    above is not None and may_be_one(_span(above, parent_key), sighting)
                )
                self._below[parent_key] = counted
            else:
                is_suspect = is_suspect or above is not None
                self._below.put(parent_key, counted)
        if service.is_mixed:
            service.add(counted, sighting)
        return is_suspect

    def add(self, counted: Counted) -> None:
        """Add a call."""
        for sighting in counted.sightings:
            held = self.by_span.get(sighting.key)
            if held is None or held.came <= counted.came:
                self.by_span[sighting.key] = counted
            if is_telling(sighting.response_id):
                self._by_id.put(sighting.response_id, counted)
            if sighting.parent_span_id:
                self._below.put(sighting.parent_key, counted)
            service = self._service(sighting.shape)
            if service.is_mixed:
                service.add(counted, sighting)

    def remove(self, counted: Counted) -> None:
        """Take a call out; what is not here any more is left out of account."""
        for sighting in counted.sightings:
            trace_id, response_id = sighting.trace_id, sighting.response_id
            key = trace_id + sighting.span_id
            if (held := self.by_span.pop(key, None)) is not counted and held is not None:
                self.by_span[key] = held
            if response_id is not None and len(response_id) >= TELLING_ID_MIN:
                self._by_id.drop(response_id, counted)
            if sighting.parent_span_id:
                self._below.drop(trace_id + sighting.parent_span_id, counted)
            service = self._service_of.get(sighting.shape) or self._service(sighting.shape)
            if service.is_mixed:
                service.remove(counted, sighting)

    def _service(self, shape: Shape) -> _Service:
        service = self._service_of.get(shape)
        if service is None:
            # As many as may be held, and as many to come until the next time.
            if len(self._service_of) >= 2 * SHAPES_MAX:
                self._forget_services()
            service = self._learn(shape)
            if not service.is_mixed and (len(service.emitters) > 1 or shape.is_ending):
                self._mix(service)
        return service

    def know(self, shapes: Iterable[Shape]) -> None:
        """Know the services of calls with these shapes."""
        for shape in shapes:
            self._service(shape)

    def is_mixed(self, rows: Rows) -> Marks:
        """Which of the reports are of services with several emitters; and the first of each shape that is not known."""
        services = [
            self._service_of.get(shape) or self._services.get(_service_key(shape)) for shape in rows.shapes
        ]
        found = np.array([service is not None and service.is_mixed for service in services], np.bool_)
        marks: Marks = found[rows.kind]
        for kind, shape in enumerate(rows.shapes):
            if shape not in self._service_of:
                marks |= _is_first(rows.kind == kind)
        return marks

    def _learn(self, shape: Shape) -> _Service:
        service = self._service_of[shape] = self._services.setdefault(_service_key(shape), _Service())
        service.emitters.add(shape.emitter)
        return service

    def _mix(self, service: _Service) -> None:
        self._wake_shapes(lambda shape: self._service_of.get(shape) is service)
        service.is_mixed = True
        self.version += 1
        for counted in sorted(set(self.by_span.values()), key=_came):
            for sighting in counted.sightings:
                if self._service_of.get(sighting.shape) is service:
                    service.add(counted, sighting)

    def _forget_services(self) -> None:
        """Know only the services of calls that are still here: no sender can make us know services without end."""
        self._services.clear()
        self._service_of.clear()
        held = sorted(set(self.by_span.values()), key=_came)
        shapes = {one.shape for counted in held for one in counted.sightings}
        for shape in shapes | self._plain_shapes():
            service = self._learn(shape)
            service.is_mixed = service.is_mixed or len(service.emitters) > 1 or shape.is_ending
        self.version += 1
        for counted in held:
            for sighting in counted.sightings:
                if (service := self._service_of[sighting.shape]).is_mixed:
                    service.add(counted, sighting)

    def _with_same_answer(self, sighting: Sighting) -> Iterator[Counted]:
        if sighting.response_id is not None and is_telling(sighting.response_id):
            self._wake(Key.ANSWER, id_hash(sighting.response_id.encode()))
            for other in self._by_id.of(sighting.response_id):
                if any(may_tell_one_answer(sighting, one) for one in other.sightings):
                    yield other

    def around(self, counted: Counted) -> list[Counted]:
        """The calls that may be told by the same reports as this one, those that may be told by theirs, and so on."""
        found = {counted: None}
        queue = deque([counted])
        while queue and len(found) < AROUND_MAX:
            for sighting in queue.popleft().sightings:
                for other in self._near(sighting):
                    if other not in found:
                        found[other] = None
                        queue.append(other)
        return list(found)

    def _near(self, sighting: Sighting) -> Iterator[Counted]:
        yield from self._with_same_answer(sighting)
        self._wake(Key.ABOVE, span_key(sighting.key))
        if sighting.parent_span_id:
            self._wake(Key.SPAN, span_key(sighting.parent_key))
            self._wake(Key.ABOVE, span_key(sighting.parent_key))
        if sighting.parent_span_id and (above := self.by_span.get(sighting.parent_key)) is not None:
            yield above
            yield from self._below.of(sighting.parent_key)
        yield from self._below.of(sighting.key)
        service = self._service(sighting.shape)
        if service.is_mixed:
            yield from service.near(sighting)


def _service_key(shape: Shape) -> object:
    return shape.service_name, shape.environment, shape.operation


def _came(counted: Counted) -> tuple[int, int]:
    return counted.came


def _is_first(marks: Marks) -> Marks:
    """The first of the marks alone."""
    found = np.zeros(len(marks), np.bool_)
    if marks.any():
        found[marks.argmax()] = True
    return found


def _with_keys_of_their_own(around: Iterable[Counted]) -> list[Counted]:
    """The first of those that have a span's key in common: ids may be reused, and reports are joined by them."""
    taken: set[bytes] = set()
    kept = []
    for counted in around:
        keys = _keys(counted.sightings)
        if taken.isdisjoint(keys):
            taken |= keys
            kept.append(counted)
    return kept


def _keys(sightings: Iterable[Sighting]) -> frozenset[bytes]:
    return frozenset(one.key for one in sightings)


def _are_other_answers(held: Counted | list[Counted], sighting: Sighting) -> bool:
    for counted in held if isinstance(held, list) else (held,):
        for one in counted.sightings:
            if may_tell_one_answer(sighting, one):
                return False
    return True


def may_tell_one_answer(one: Sighting, other: Sighting) -> bool:
    """Two reports with the same id of an answer may be of one call: see ``are_rivals``."""
    mine, others = one.shape, other.shape
    is_one_emitter = mine.emitter == others.emitter and mine.service_name == others.service_name
    return not is_one_emitter or one.trace_id == other.trace_id or mine.is_ending != others.is_ending


def may_be_one(above: Sighting, below: Sighting) -> bool:
    """Nothing that is quick to see rules out that a report and the one below it tell one call, or that it is none."""
    if not above.shape.is_declared:
        return True
    if above.shape.operation is not below.shape.operation or below.start_ns > above.end_ns + SLACK_NS:
        return False
    return above.response_id is None or below.response_id is None or above.response_id == below.response_id


def _span(counted: Counted, key: bytes) -> Sighting:
    sightings = counted.sightings
    return sightings[0] if len(sightings) == 1 else next(one for one in sightings if one.key == key)


_ANY = "any"


def _buckets(sighting: Sighting) -> Iterator[object]:
    """Where a report is found by others of its call that share nothing which links them: see ``pairing``."""
    yield from _told(sighting)
    yield _ANY
    if _is_untold(sighting):
        yield "untold"


def _sought(sighting: Sighting) -> Iterator[object]:
    """Where a report looks for others of its call."""
    yield from _told(sighting)
    yield _ANY if _is_untold(sighting) else "untold"


def _told(sighting: Sighting) -> Iterator[object]:
    shape = sighting.shape
    if sighting.input_tokens is not None:
        yield sighting.input_tokens
    if shape.error:
        yield "error"
    if shape.is_ending or (sighting.output_tokens is None and shape.finish_reason is None):
        yield "stream", shape.emitter, shape.request_model, sighting.prompt


def _is_untold(sighting: Sighting) -> bool:
    shape = sighting.shape
    told = (sighting.response_id, sighting.input_tokens, sighting.output_tokens, shape.finish_reason)
    return shape.is_first_hand and not shape.error and all(one is None for one in told)


def _are_near(one: Sighting, other: Sighting) -> bool:
    return min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns) >= -SLACK_NS
