"""Calls that were looked at by themselves, by all that a further report of them may be known by."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ..kinds import Kinds
from ..rows import Marks, Rows, distinct, id_hash
from ..sightings import SHAPES_MAX, Shape, Sighting
from .chains import SLACK_NS, Key, span_key
from .counted import Counted, came_at, span_in
from .likeness import TELLING_ID_MIN, inputs_of, is_telling

AROUND_MAX = 512
"""How many calls are looked at around one that may belong to another."""

PEERS_MAX = 64
"""With how many calls alike of each other voice, those that came last, a report is compared."""


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
            calls.sort(key=came_at)
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


Voice = tuple[str, bool]
"""Who reports a call, and whether as the end of a stream: two alike reports of one voice are two calls."""


@dataclass(slots=True)
class _Service:
    """What is known of the calls of one service and operation, to tell whether any of them may be told twice.

    Alike reports of one emitter are two calls. Only where there are several emitters, or one that tells the ends of
    streams apart, are the calls looked at side by side: ``peers`` has them then, by what those of one call share, and
    by who reports them.
    """

    emitters: set[str] = field(default_factory=set)
    is_mixed: bool = False
    peers: dict[object, dict[Voice, dict[Counted, None]]] = field(default_factory=dict)

    def add(self, counted: Counted, sighting: Sighting) -> None:
        voice = _voice(sighting)
        for bucket in _buckets(sighting):
            self.peers.setdefault(bucket, {}).setdefault(voice, {})[counted] = None

    def remove(self, counted: Counted, sighting: Sighting) -> None:
        voice = _voice(sighting)
        for bucket in _buckets(sighting):
            by_voice = self.peers.get(bucket, {})
            peers = by_voice.get(voice, {})
            peers.pop(counted, None)
            if not peers:
                by_voice.pop(voice, None)
            if not by_voice:
                self.peers.pop(bucket, None)

    def near(self, sighting: Sighting) -> Iterator[Counted]:
        """The calls of other voices that may be this one: of its own all are other calls, however alike they are."""
        mine = _voice(sighting)
        for bucket in _sought(sighting):
            for voice, peers in self.peers.get(bucket, {}).items():
                if voice != mine:
                    for peer in islice(reversed(peers), PEERS_MAX):
                        if any(_may_be_alike(sighting, one) for one in peer.sightings):
                            yield peer


_NO_SERVICE = _Service()


class Index:
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
        self._plain_of: tuple[Kinds | None, int] = (None, 0)
        self._plain: Marks = np.zeros(0, np.bool_)

    def same_span(self, sighting: Sighting, key: bytes) -> Counted | None:
        """The call that this very span tells already. One that began at another time is not it: ids may be reused."""
        self._wake(Key.SPAN, span_key(key))
        counted = self.by_span.get(key)
        if counted is None or span_in(counted, key).start_ns != sighting.start_ns:
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
                    above is not None and may_be_one(span_in(above, parent_key), sighting)
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
        """Which of the reports are of services with several emitters; and the first of each shape that makes it so."""
        marks: Marks = np.zeros(len(rows), np.bool_)
        is_plain = self._is_plain(rows.kinds)
        left = np.flatnonzero(~is_plain[rows.kind])
        for kind in distinct(rows.kind[left]):
            shape = rows.shapes[kind]
            service = self._service_of.get(shape)
            if service is None and self._changes_nothing(shape):
                service = self._learn(shape)
            if (service or self._services.get(_service_key(shape), _NO_SERVICE)).is_mixed:
                marks |= rows.kind == kind
            elif service is not None:
                is_plain[kind] = True
            if service is None:
                marks |= _is_first(rows.kind == kind)
        return marks

    def _changes_nothing(self, shape: Shape) -> bool:
        """Whether a shape that is not known may be learnt as it is, without a look at the reports that came before."""
        emitters = self._services.get(_service_key(shape), _NO_SERVICE).emitters
        has_room = len(self._service_of) < 2 * SHAPES_MAX
        return has_room and not shape.is_ending and emitters <= {shape.emitter}

    def _is_plain(self, kinds: Kinds) -> Marks:
        """Of which kinds it is known that they are of services with one emitter."""
        if self._plain_of != (kinds, self.version):
            self._plain_of, self._plain = (kinds, self.version), np.zeros(0, np.bool_)
        if len(self._plain) < len(kinds):
            self._plain = np.append(self._plain, np.zeros(2 * len(kinds), np.bool_))
        return self._plain

    def _learn(self, shape: Shape) -> _Service:
        service = self._service_of[shape] = self._services.setdefault(_service_key(shape), _Service())
        service.emitters.add(shape.emitter)
        return service

    def _mix(self, service: _Service) -> None:
        self._wake_shapes(lambda shape: self._service_of.get(shape) is service)
        service.is_mixed = True
        self.version += 1
        for counted in sorted(set(self.by_span.values()), key=came_at):
            for sighting in counted.sightings:
                if self._service_of.get(sighting.shape) is service:
                    service.add(counted, sighting)

    def _forget_services(self) -> None:
        """Know only the services of calls that are still here: no sender can make us know services without end."""
        self._services.clear()
        self._service_of.clear()
        held = sorted(set(self.by_span.values()), key=came_at)
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


def _is_first(marks: Marks) -> Marks:
    """The first of the marks alone."""
    found = np.zeros(len(marks), np.bool_)
    if marks.any():
        found[marks.argmax()] = True
    return found


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


def _voice(sighting: Sighting) -> Voice:
    return sighting.shape.emitter, sighting.shape.is_ending


def _told(sighting: Sighting) -> Iterator[object]:
    shape = sighting.shape
    yield from inputs_of(sighting)
    if shape.error:
        yield "error"
    if shape.is_ending or (sighting.output_tokens is None and shape.finish_reason is None):
        yield "stream", shape.emitter, shape.request_model, sighting.prompt


def _is_untold(sighting: Sighting) -> bool:
    shape = sighting.shape
    told = (sighting.response_id, sighting.input_tokens, sighting.output_tokens, shape.finish_reason)
    return shape.is_first_hand and not shape.error and all(one is None for one in told)


def _may_be_alike(one: Sighting, other: Sighting) -> bool:
    """Nothing that is quick to see rules out that two reports of different voices are of one call: see ``are_alike``.

    Without that, thousands of calls at a time are each looked at beside hundreds that have nothing to do with them.
    """
    if one.response_id is not None and other.response_id is not None and one.response_id != other.response_id:
        return False
    if min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns) < -SLACK_NS:
        return False
    outputs = {one.output_tokens, other.output_tokens} - {None}
    return len(outputs) <= 1 or (one.shape.error and other.shape.error)
