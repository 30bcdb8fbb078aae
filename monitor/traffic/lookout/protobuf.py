"""Export requests in protobuf to sightings of calls."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from ..dialects import SCOPES
from ..otlp import NO_IDS, NO_SPAN, NO_TIMES, NO_TRACE, Span, attributes_of, span_of
from ..otlp_size import ELEMENTS_MAX, SPANS_MAX, check_protobuf, parts, spans_in
from ..sightings import Shapes
from ..silence.ingest_counts import Loss
from . import slim
from .book import Book, NoCalls
from .columns import Columns
from .found import Found, Watch
from .memory import Memory
from .notation import PROTOBUF, Words
from .origin import Chosen, Origin, origin_of
from .prefilter import PROTOBUF_NAMES, Prefilter

LARGE = 2 * ELEMENTS_MAX
"""Bytes that may hold more than a request may: an element takes two at least."""

_BARE = 48
_MARKS = ((0, 0x12), (1, 46), (2, 0x0A), (3, 16), (20, 0x12), (21, 8), (30, 0x39), (39, 0x41))
"""How a span is written that has its ids and times and nothing else: its size, and what stands where in it."""


class ProtobufReader:
    """Reads requests; remembers what it learns of spans, resources and scopes."""

    def __init__(self, watch: Watch, shapes: Shapes, plans_max: int) -> None:
        """Start with nothing known. ``watch`` says what is looked for beside the calls."""
        self._chosen_keys = tuple(dict.fromkeys(filter(None, watch.chosen_keys)))
        self._words = Words(PROTOBUF.value)
        self._book = Book(PROTOBUF, watch, shapes, plans_max)
        self._origins: Memory[Origin] = Memory(self._read_origin)
        self._scopes: Memory[str] = Memory(_scope_name)

    @property
    def emptied(self) -> int:
        """How often what was learnt became too much, and all of it was forgotten."""
        return self._book.emptied

    def read(self, body: bytes | memoryview, found: Found) -> None:
        """Add what is in the request to what was found.

        Raises DecodeError when it is not protobuf, and OversizeError when there is too much in it.
        """
        body = bytes(body)
        prefilter, columns = Prefilter(body, PROTOBUF_NAMES), Columns()
        for _, begin, end in _fields(body, 0, len(body), 1):
            origin = self._origins[b"".join(body[at:to] for _, at, to in _fields(body, begin, end, 1))]
            for _, at, to in _fields(body, begin, end, 2):
                if to - at >= LARGE:
                    _check_large(body[at:to], body)
                encoded = body[at:to]
                if not prefilter.may_hold_calls(at, to) and self._pass(encoded, origin, found):
                    continue
                message = slim.ScopeSpans.FromString(encoded)
                found.came(len(message.spans), origin.service_name)
                again = _Again(encoded, body, self._scopes[message.scope], origin, found)
                self._read_spans(message.spans, again, columns)
        columns.write(found)

    def _pass(self, encoded: bytes, origin: Origin, found: Found) -> bool:
        """Count the spans of a scope without names of calls, unless it speaks a dialect that does without."""
        bare = slim.BareScopeSpans.FromString(encoded)
        if self._scopes[bare.scope].startswith(SCOPES):
            return False
        _pass(bare, origin.service_name, found)
        return True

    def read_decoded(self, spans: Sequence[Span], found: Found) -> None:
        """Add spans that are decoded already."""
        found.read_slowly += len(spans)
        for span in spans:
            origin = origin_of(span.resource, self._chosen_keys)
            found.came(1, origin.service_name)
            if span.has_lost:
                _lose(span, origin.service_name, found)
            found.add(self._book.read(span, origin))

    def _read_spans(self, spans: Any, again: "_Again", columns: Columns) -> None:
        scope, origin, found = again.scope, again.origin, again.found
        groups, gaps, chosen_keys = self._book.of_scope(scope), origin.gaps, self._chosen_keys
        stamps = list(map(_stamp, spans))
        is_amiss = not _are_well(stamps)
        # One long loop with few calls in it: every span comes through here, and all that it does is worth a nanosecond.
        for place, span in enumerate(spans):
            if is_amiss and _is_refused(span, origin.service_name, found):
                continue
            attributes = span.attributes
            keys = tuple(attributes)
            group = groups.get(keys)
            if group is None:
                # An attribute with more in it than its name and its value does not show among the slim ones.
                if len(again.span(place).attributes) == len(keys):
                    group = self._book.group(scope, keys)
                if group is None:
                    columns.add_sighting(found.call(self._book.read(again.span(place), origin)))
                    continue
            if isinstance(group, NoCalls):
                found.others += 1
                continue
            if group.is_hopeless or span.event:
                columns.add_sighting(found.call(self._book.read(again.span(place), origin)))
                continue
            get, status = attributes.get, span.status
            name = span.name if group.looks_at_name else b""
            plan = group.plans.get((gaps, status, name, *map(get, group.deciding)))
            if isinstance(plan, NoCalls):
                found.others += 1
                continue
            if plan is not None and not group.tells_checks:
                stamp = stamps[place]
                told = plan.told(get, origin, stamp[3], stamp[4])
                if told is not None:
                    columns.add(stamp, told, self._chosen(get, origin) if chosen_keys else ())
                    continue
            columns.add_sighting(
                found.call(self._book.learn(again.span(place), origin, group, get, status, span.name))
            )

    def _chosen(self, get: Callable[[str], bytes | None], origin: Origin) -> Chosen:
        words, of_origin = self._words, origin.chosen
        told = [(key, words[get(key)] or of_origin.get(key)) for key in self._chosen_keys]
        return tuple([(key, word) for key, word in told if word is not None])

    def _read_origin(self, encoded: bytes) -> Origin:
        return origin_of(attributes_of(Resource.FromString(encoded).attributes), self._chosen_keys)


def _scope_name(encoded: bytes) -> str:
    return str(slim.Scope.FromString(encoded).name)


class _Again:
    """The spans of a scope, to be decoded whole: those that the reader of the dialects is asked about."""

    def __init__(self, encoded: bytes, body: bytes, scope: str, origin: Origin, found: Found) -> None:
        self.scope, self.origin, self.found = scope, origin, found
        self._encoded = encoded
        self._body = body
        self._spans: Any = None
        self._last: tuple[int, Span] | None = None

    def span(self, place: int) -> Span:
        if self._last is not None and self._last[0] == place:
            return self._last[1]
        if self._spans is None:
            self._spans = slim.RawScopeSpans.FromString(self._encoded).spans
        encoded, found = self._spans[place], self.found
        found.read_slowly += 1
        if found.slow_bytes < LARGE <= found.slow_bytes + len(encoded):
            check_protobuf(self._body)
        found.slow_bytes += len(encoded)
        span = span_of(trace_pb2.Span.FromString(encoded), self.scope, self.origin.attributes)
        self._last = place, span
        return span


_stamp = attrgetter(
    "trace_id",
    "span_id",
    "parent_span_id",
    "start_ns",
    "end_ns",
    "dropped_attributes",
    "dropped_events",
    "dropped_links",
)


def _are_well(stamps: Sequence[tuple[Any, ...]]) -> bool:
    """Whether nothing is amiss with any of the spans."""
    if not stamps:
        return True
    traces, spans, _, starts, ends, *dropped = zip(*stamps, strict=True)
    return (
        set(map(len, traces)) == {16}
        and set(map(len, spans)) == {8}
        and NO_TRACE not in traces
        and NO_SPAN not in spans
        and all(starts)
        and all(ends)
        and not any(map(any, dropped))
    )


def _is_refused(span: Any, service: str | None, found: Found) -> bool:
    """Whether a span is none, which is counted; where it is one, it is counted what the sender dropped of it."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(span_id) != 8 or len(trace_id) != 16 or span_id == NO_SPAN or trace_id == NO_TRACE:
        found.refuse(NO_IDS, service)
    elif not span.start_ns or not span.end_ns:
        found.refuse(NO_TIMES, service)
    else:
        _lose(span, service, found)
        return False
    return True


def _fields(body: bytes, begin: int, end: int, number: int) -> Iterator[tuple[int, int, int]]:
    return (one for one in parts(body, begin, end) if one[0] == number)


def _check_large(encoded: bytes, body: bytes) -> None:
    """Raises OversizeError when a large scope holds more than a request may."""
    # An attribute of a span begins with a J; there are fewer of them in most texts than a request may have attributes.
    if encoded.count(b"J") > ELEMENTS_MAX or spans_in(encoded) > SPANS_MAX:
        check_protobuf(body)


def _pass(bare: Any, service: str | None, found: Found) -> None:
    """Count spans that are no calls, without a look at each as long as nothing is amiss."""
    spans = len(bare.spans)
    found.came(spans, service)
    bare.scope = b""
    bare.DiscardUnknownFields()
    encoded = bare.SerializeToString()
    is_plain = len(encoded) == spans * _BARE and all(
        encoded[at::_BARE].count(mark) == spans for at, mark in _MARKS
    )
    if is_plain and NO_SPAN not in encoded:
        found.others += spans
        return
    for span in bare.spans:
        found.others += not _is_refused(span, service, found)


def _lose(span: Any, service: str | None, found: Found) -> None:
    """Count what the sender dropped of a span, in whatever form it is."""
    for loss, dropped in (
        (Loss.ATTRIBUTES, span.dropped_attributes),
        (Loss.EVENTS, span.dropped_events),
        (Loss.LINKS, span.dropped_links),
    ):
        if dropped:
            found.lose(service, loss)
