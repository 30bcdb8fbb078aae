"""Export requests in JSON to sightings of calls."""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import orjson
from msgspec import Raw

from ..dialects import SCOPES
from ..dialects.values import text
from ..otlp import (
    NO_IDS,
    NO_SPAN,
    NO_TIMES,
    NO_TRACE,
    Span,
    integer_of,
    json_attributes,
    json_value,
    object_of,
    span_of_json,
    text_of,
)
from ..otlp_size import JSON_MARKS_MAX, check_json
from ..sightings import Shapes
from ..silence.ingest_counts import Loss
from .book import ATTRIBUTES_MAX, KEYS_MAX, Book, NoCalls
from .columns import Columns
from .found import Found, Watch
from .memory import Memory
from .notation import Counts, Notation, Words, encoded
from .origin import Chosen, Origin, origin_of
from .prefilter import JSON_NAMES, Prefilter


class _Pair(msgspec.Struct, gc=False):
    key: str = ""
    value: Raw = Raw(b"null")


class _Bare(msgspec.Struct, gc=False, rename="camel"):
    """What each span must have, whatever it is."""

    trace_id: str = ""
    span_id: str = ""
    start_time_unix_nano: str | int = 0
    end_time_unix_nano: str | int = 0
    dropped_attributes_count: str | int | float = 0
    dropped_events_count: str | int | float = 0
    dropped_links_count: str | int | float = 0


class _Span(_Bare, gc=False, rename="camel"):
    parent_span_id: str = ""
    name: str = ""
    status: Raw = Raw(b"")
    events: Raw = Raw(b"")
    attributes: list[_Pair] | None = None


class _ScopeSpans(msgspec.Struct, rename="camel"):
    scope: Raw = Raw(b"null")
    spans: Raw = Raw(b"null")


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: Raw = Raw(b"null")
    scope_spans: list[_ScopeSpans] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


_read_request = msgspec.json.Decoder(_Request).decode
_read_bare = msgspec.json.Decoder(list[_Bare] | None).decode
_read_spans = msgspec.json.Decoder(list[_Span] | None).decode

Stamp = tuple[bytes, bytes, bytes, int, int]
"""The ids of a span's trace, of itself and of its parent, and its times."""

_key = attrgetter("key")
_bare_facts = attrgetter(
    "trace_id",
    "span_id",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
)

_NO_EVENTS = (b"", b"[]", b"null")
_plain_text = re.compile(
    rb'\{"stringValue":"([!#-\[\]-~](?:[ !#-\[\]-~]{0,126}[!#-\[\]-~])?)"\}'  # no quotes, nothing escaped
).fullmatch


def _value(raw: bytes) -> object:
    return json_value(orjson.loads(raw))


def _letters(raw: bytes) -> bytes | None:
    # A short text that neither begins nor ends with anything that would be cut off is what it is.
    plain = _plain_text(raw)
    if plain is not None:
        return plain[1]
    return encoded(text(_value(raw)))


JSON = Notation(_value, _letters, lambda raw: True, Counts(_value))
"""Each value is an object in JSON. The names in a list of values are quoted, as those in a text are."""


class JsonReader:
    """Reads requests; remembers what it learns of spans, resources and scopes."""

    def __init__(self, watch: Watch, shapes: Shapes, plans_max: int) -> None:
        """Start with nothing known. ``watch`` says what is looked for beside the calls."""
        self._chosen_keys = tuple(dict.fromkeys(filter(None, watch.chosen_keys)))
        self._words = Words(_value)
        self._book = Book(JSON, watch, shapes, plans_max)
        self._places = _Places()
        self._origins: Memory[Origin] = Memory(self._read_origin)
        self._scopes: Memory[str] = Memory(_scope_name)

    @property
    def emptied(self) -> int:
        """How often what was learnt became too much, and all of it was forgotten."""
        return self._book.emptied

    def read(self, body: bytes, found: Found) -> None:
        """Add what is in the request to what was found.

        Raises an error of msgspec, or OtlpError, when it is not written as requests usually are, and OversizeError when
        there is too much in it.
        """
        if len(body) > JSON_MARKS_MAX:
            check_json(body)
        columns = Columns()
        for resource_spans in _read_request(body).resource_spans or ():
            origin = self._origins[bytes(resource_spans.resource)]
            for scope_spans in resource_spans.scope_spans or ():
                self._read_scope(scope_spans, origin, found, columns)
        columns.write(found)

    def _read_scope(self, scope_spans: _ScopeSpans, origin: Origin, found: Found, columns: Columns) -> None:
        scope = self._scopes[bytes(scope_spans.scope)]
        written = bytes(scope_spans.spans)
        # Scope by scope: for a look at all of a request, memory would have to be asked of the system each time.
        is_passed = not scope.startswith(SCOPES) and not Prefilter(written, JSON_NAMES).may_hold_calls()
        if is_passed:
            _pass(_read_bare(written) or [], origin.service_name, found)
            return
        spans = _read_spans(written) or []
        found.came(len(spans), origin.service_name)
        self._read_spans(spans, _Again(written, scope, origin, found), columns)

    def _read_spans(self, spans: Sequence[_Span], again: "_Again", columns: Columns) -> None:
        scope, origin, found = again.scope, again.origin, again.found
        groups = self._book.of_scope(scope)
        gaps, chosen_keys = origin.gaps, self._chosen_keys
        # The same loop as for protobuf, over other messages; a common one would cost calls for every span.
        stamps = _stamps_of(spans)
        for place, span in enumerate(spans):
            if stamps is not None:
                stamp: Stamp | None = stamps[place]
            else:
                stamp = _stamp_of(span, span.parent_span_id, origin.service_name, found)
            if stamp is None:
                continue
            attributes = span.attributes or ()
            keys = tuple(map(_key, attributes))
            group = groups.get(keys)
            if group is None:
                group = self._book.group(scope, keys)
                if group is None:
                    columns.add_sighting(found.call(self._book.read(again.span(place), origin)))
                    continue
            if isinstance(group, NoCalls):
                found.others += 1
                continue
            if group.is_hopeless or bytes(span.events) not in _NO_EVENTS:
                columns.add_sighting(found.call(self._book.read(again.span(place), origin)))
                continue
            get, status = _getting(attributes, self._places[keys]), bytes(span.status)
            name = span.name if group.looks_at_name else b""
            plan = group.plans.get((gaps, status, name, *map(get, group.deciding)))
            if isinstance(plan, NoCalls):
                found.others += 1
                continue
            if plan is not None and not group.tells_checks:
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
        resource = object_of(orjson.loads(encoded) or {}, "resource")
        return origin_of(json_attributes(resource), self._chosen_keys)


def _scope_name(encoded: bytes) -> str:
    return text_of(object_of(orjson.loads(encoded) or {}, "scope"), "name")


class _Places(dict[tuple[str, ...], Mapping[str, int]]):
    """Where each attribute of a span is among all of them, by their names; of several with one name the last counts."""

    def __missing__(self, keys: tuple[str, ...]) -> Mapping[str, int]:
        found = {key: place for place, key in enumerate(keys)}
        if len(keys) <= ATTRIBUTES_MAX:
            if len(self) >= KEYS_MAX:
                self.clear()
            self[keys] = found
        return found


def _getting(attributes: Sequence[_Pair], places: Mapping[str, int]) -> Callable[[str], bytes | None]:
    find = places.get

    def get(key: str) -> bytes | None:
        place = find(key)
        return None if place is None else bytes(attributes[place].value)

    return get


def _id(written: str) -> bytes:
    """The id in hexadecimal digits; empty when it is none."""
    try:
        found = bytes.fromhex(written)
    except ValueError:
        return b""
    return found if len(found) * 2 == len(written) else b""


def _ids_of(written: Sequence[str], size: int) -> bytes | None:
    """The ids of so many bytes, read together; ``None`` when they are not all of that size."""
    if set(map(len, written)) != {2 * size}:
        return None
    try:
        found = bytes.fromhex("".join(written))
    except ValueError:
        return None
    # Spaces between digits are no error to Python; they make it fewer bytes.
    if len(found) != size * len(written):
        return None
    return found


def _cut(ids: bytes, size: int) -> list[bytes]:
    return [ids[at : at + size] for at in range(0, len(ids), size)]


class _Again:
    """The spans of a scope, to be decoded whole: those that the reader of the dialects is asked about."""

    def __init__(self, written: bytes, scope: str, origin: Origin, found: Found) -> None:
        self.scope, self.origin, self.found = scope, origin, found
        self._written = written
        self._spans: Any = None

    def span(self, place: int) -> Span:
        if self._spans is None:
            self._spans = orjson.loads(self._written)
        self.found.read_slowly += 1
        return span_of_json(
            object_of(self._spans[place], "each of spans"), self.scope, self.origin.attributes
        )


def _pass(spans: Sequence[_Bare], service: str | None, found: Found) -> None:
    """Count spans that are no calls."""
    found.came(len(spans), service)
    if _told_well(spans) is not None:
        found.others += len(spans)
        return
    for span in spans:
        found.others += _stamp_of(span, "", service, found) is not None


def _stamps_of(spans: Sequence[_Span]) -> Sequence[Stamp] | None:
    """The ids and times of all spans; ``None`` when something may be amiss with one of them."""
    well = _told_well(spans)
    if well is None:
        return None
    traces, own, starts, ends = well
    parents = [_id(span.parent_span_id) for span in spans]
    return list(zip(_cut(traces, 16), _cut(own, 8), parents, starts, ends, strict=True))


def _told_well(spans: Sequence[_Bare]) -> tuple[bytes, bytes, list[int], list[int]] | None:
    """The ids of the traces and those of the spans, one after the other, and their times; ``None`` as above."""
    if not spans:
        return b"", b"", [], []
    written_traces, written_own, starts, ends, *dropped = zip(*map(_bare_facts, spans), strict=True)
    if any(map(any, dropped)):
        return None
    traces, own = _ids_of(written_traces, 16), _ids_of(written_own, 8)
    # Zeros across two ids are no id of zeros; but they are rare, and these spans are then read one by one.
    if traces is None or own is None or NO_TRACE in traces or NO_SPAN in own:
        return None
    try:
        began, ended = list(map(int, starts)), list(map(int, ends))
    except ValueError:
        return None
    if min(min(began), min(ended)) <= 0 or max(max(began), max(ended)) >= 2**64:
        return None
    return traces, own, began, ended


def _stamp_of(span: _Bare, parent: str, service: str | None, found: Found) -> Stamp | None:
    """The ids and times of a span; where it has none that is counted, as is what the sender dropped of it."""
    trace_id, span_id = _id(span.trace_id), _id(span.span_id)
    if len(span_id) != 8 or len(trace_id) != 16 or span_id == NO_SPAN or trace_id == NO_TRACE:
        found.refuse(NO_IDS, service)
        return None
    start_ns, end_ns = integer_of(span.start_time_unix_nano), integer_of(span.end_time_unix_nano)
    if not start_ns or not end_ns or start_ns < 0 or end_ns < 0:
        found.refuse(NO_TIMES, service)
        return None
    _lose(span, service, found)
    return trace_id, span_id, _id(parent), start_ns, end_ns


def _lose(span: _Bare, service: str | None, found: Found) -> None:
    for loss, dropped in (
        (Loss.ATTRIBUTES, span.dropped_attributes_count),
        (Loss.EVENTS, span.dropped_events_count),
        (Loss.LINKS, span.dropped_links_count),
    ):
        if dropped and (integer_of(dropped) or 0) > 0:
            found.lose(service, loss)
