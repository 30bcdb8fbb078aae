"""Export requests in protobuf to sightings of calls, by the scanner in C where it was built.

The scanner reads spans for which there is a plan, and steps over those that are no calls. All others are left to
Python, which tells it what it learnt of them.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from opentelemetry.proto.trace.v1 import trace_pb2

from .. import OtlpError
from ..dialects import BEGINNINGS, SCOPES
from ..dialects.counts import USAGE_PREFIXES
from ..otlp import NO_IDS, NO_SPAN, NO_TIMES, Span, span_of
from ..otlp_size import check_protobuf
from ..rows import HASH_FACTOR, HASH_SEED
from ..sightings import Shapes, Sighting
from ..silence.ingest_counts import Loss
from . import slim
from .book import Group, NoCalls
from .found import TOO_EARLY, TOO_LATE, Found, Watch
from .origin import Chosen, Home, Origin
from .packing import Entry, packed
from .plans import Plan
from .protobuf import LARGE, ProtobufReader
from .scanner_building import source_mark
from .watched import vocabulary

_HOW_TO_BUILD = (
    "where there is a C compiler, `python -m monitor.traffic.lookout.build_scanner` builds the faster scanner"
)


def _built() -> tuple[ModuleType | None, str]:
    """The scanner, or ``None`` where it cannot be used; and what to say of that."""
    try:
        found = import_module("._scan", __package__)
    except ImportError:
        return None, f"in Python, by which a span takes several times as long; {_HOW_TO_BUILD}"
    if getattr(found, "SOURCE_MARK", "none") != (source_mark() or found.SOURCE_MARK):
        return None, f"in Python, as the scanner in C was built of another source; {_HOW_TO_BUILD}"
    return found, "by the scanner in C"


scanner, how_spans_are_read = _built()
"""The module in C, where it can be used, and words for people on how spans are read."""

Plans = dict[bytes, Entry | bool | None]
"""Plans by what decides: ``None`` for spans that are no calls, and ``False`` for those that are for Python alone."""

PackedGroup = list[Any]
"""The attributes that decide, by their numbers; whether the name does; and the plans."""


Job = tuple[int, int, bool, dict[bytes, PackedGroup], int, Origin, Home]
"""A scope as the scanner takes it: where its spans lie, whether it speaks a dialect, its groups, and its origin."""

Place = tuple[str, Origin, dict[bytes, PackedGroup]]
"""The same as Python needs it: the name of the scope, its origin, and its groups."""


class ScanningReader(ProtobufReader):
    """Reads requests with the scanner."""

    def __init__(self, watch: Watch, shapes: Shapes, plans_max: int, module: ModuleType) -> None:
        """Start with nothing known. ``module`` is the scanner's."""
        super().__init__(watch, shapes, plans_max)
        chosen = self._chosen_keys
        checks = watch.checks
        names = [*sorted(vocabulary().union(checks.keys).difference(chosen)), *chosen]
        self._numbers = {name: number for number, name in enumerate(names)}
        self._find_scopes = module.scopes
        self._scanner = module.Scanner(
            HASH_SEED,
            HASH_FACTOR,
            _encoded(names),
            len(names) - len(chosen),
            _encoded(BEGINNINGS),
            _encoded((*USAGE_PREFIXES, *checks.beginnings)),
        )
        self._one_at_a_time = Lock()
        self._forget()

    def _forget(self) -> None:
        self._emptied = self._book.emptied
        self._groups: dict[str, dict[bytes, PackedGroup]] = {}
        self._packed_groups: dict[Group, PackedGroup] = {}
        self._packed_plans: dict[Plan, Entry | None] = {}

    def read(self, body: bytes | memoryview, found: Found) -> None:
        """Add what is in the request to what was found; raises as without the scanner."""
        try:
            scopes = self._find_scopes(body)
        except ValueError as error:
            raise OtlpError(f"not a protobuf ExportTraceServiceRequest: {error}") from error
        with self._one_at_a_time:
            if self._emptied != self._book.emptied:
                self._forget()
            jobs: list[Job] = []
            places: list[Place] = []
            sender, origin, came = None, None, 0
            for resource, encoded, begin, end, spans in scopes:
                if origin is None or resource is not sender:
                    if origin is not None:
                        found.came(came, origin.service_name)
                    sender, origin, came = resource, self._origins[resource], 0
                came += spans
                scope = self._scopes[encoded]
                groups = self._groups.get(scope, {})
                jobs.append((begin, end, scope.startswith(SCOPES), groups, origin.gaps, origin, origin.home))
                places.append((scope, origin, groups))
            if origin is not None:
                found.came(came, origin.service_name)
            self._scan(body, jobs, places, found)

    def _scan(self, body: bytes | memoryview, jobs: list[Job], places: Sequence[Place], found: Found) -> None:
        choose = self._choose if self._chosen_keys else None
        try:
            records, texts, sessions, chosen, left, others, amiss = self._scanner.scan(
                body, jobs, choose, found.earliest_ns, found.latest_ns, found.rows.kinds.numbers
            )
        except ValueError as error:
            raise OtlpError(f"not a protobuf ExportTraceServiceRequest: {error}") from error
        found.others += others
        for place, refused, lost in amiss:
            _count_amiss(found, places[place][1].service_name, refused, lost)
        found.rows.begin_with(records, texts, sessions)
        for place, told in chosen:
            found.rows.more[place] = None, told, ()
        for one in left:
            self._take_left(body, places, one, found)

    def _take_left(
        self, body: bytes | memoryview, places: Sequence[Place], left: tuple[Any, ...], found: Found
    ) -> None:
        """Read a span that was left to Python, and tell the scanner what was learnt of it."""
        number, place, at, to, known_by, plans, signature = left
        scope, origin, groups = places[number]
        encoded = bytes(body[at:to])
        whole = _Whole(encoded, body, scope, origin, found)
        sighting, group, plan = self._read_left(slim.Span.FromString(encoded), scope, origin, whole)
        found.rows.put(place, found.admitted(sighting))
        if known_by is not None and group is not None:
            self._groups.setdefault(scope, groups)[known_by] = self._packed_group(group)
            self._book.note_keys()
        if plan is not None:
            is_for_python = group is not None and group.tells_checks and isinstance(plan, Plan)
            self._note(plan, plans, signature, is_for_python=is_for_python)
        if group is not None and group in self._packed_groups:
            self._packed_group(group)

    def _read_left(
        self, span: Any, scope: str, origin: Origin, whole: "_Whole"
    ) -> tuple[Sighting | None, Group | None, Plan | NoCalls | None]:
        """What a span tells, its group and the plan for it, as far as there are any."""
        keys = tuple(span.attributes)
        group = self._book.of_scope(scope).get(keys)
        if group is None:
            # An attribute with more in it than its name and its value does not show among the slim ones.
            group = self._book.group(scope, keys) if len(whole.span.attributes) == len(keys) else None
        if isinstance(group, NoCalls):
            return None, None, group
        if group is None or group.is_hopeless or span.event:
            return self._book.read(whole.span, origin), None, None
        get, status, name = span.attributes.get, span.status, span.name
        plan = group.plans.get(group.signature(get, origin, status, name))
        sighting = None
        if isinstance(plan, NoCalls):
            return None, group, plan
        if plan is not None:
            parent_id = span.parent_span_id
            if len(parent_id) != 8 or parent_id == NO_SPAN:
                parent_id = b""
            chosen = self._chosen(get, origin) if self._chosen_keys else ()
            ids = span.trace_id, span.span_id, parent_id, span.start_ns, span.end_ns
            sighting = plan.sighting(get, origin, *ids, chosen)
            if sighting is not None and group.tells_checks:
                sighting = self._book.with_checks(sighting, keys, get)
        if sighting is None:
            sighting = self._book.learn(whole.span, origin, group, get, status, name)
            plan = group.plans.get(group.signature(get, origin, status, name))
        return sighting, group, plan

    def _packed_group(self, group: Group) -> PackedGroup:
        known = self._packed_groups.setdefault(group, [None, None, None])
        deciding = b"".join(self._numbers.get(key, 0xFFFF).to_bytes(2, "little") for key in group.deciding)
        if known[:2] != [deciding, group.looks_at_name]:
            # The old plans are out of reach now, whoever still writes to them.
            known[:] = deciding, group.looks_at_name, {}
        return known

    def _note(
        self, plan: Plan | NoCalls, plans: Plans | None, signature: bytes | None, *, is_for_python: bool
    ) -> None:
        entry: Entry | bool | None = False if is_for_python else None
        if isinstance(plan, Plan) and not is_for_python:
            if plan not in self._packed_plans:
                self._packed_plans[plan] = packed(plan, self._numbers)
            entry = self._packed_plans[plan]
            if entry is not None and entry[3] is None and plan.other is not None:
                entry[3] = packed(plan.other, self._numbers)
            if entry is None:
                entry = False
        if plans is not None and signature is not None:
            plans[signature] = entry

    def _choose(self, origin: Origin, *raws: bytes | None) -> Chosen:
        told: Mapping[str, bytes | None] = dict(zip(self._chosen_keys, raws, strict=True))
        return self._chosen(told.get, origin)


def _count_amiss(found: Found, service: str | None, refused: Sequence[int], lost: Sequence[int]) -> None:
    for reason, spans in zip((NO_IDS, NO_TIMES, TOO_EARLY, TOO_LATE), refused, strict=True):
        if spans:
            found.refuse(reason, service, spans)
    for loss, spans in zip((Loss.ATTRIBUTES, Loss.EVENTS, Loss.LINKS), lost, strict=True):
        if spans:
            found.lose(service, loss, spans)


class _Whole:
    """A span, to be decoded whole when it is asked for."""

    def __init__(
        self, encoded: bytes, body: bytes | memoryview, scope: str, origin: Origin, found: Found
    ) -> None:
        self._encoded, self._body = encoded, body
        self._scope, self._origin = scope, origin
        self._found = found
        self._span: Span | None = None

    @property
    def span(self) -> Span:
        if self._span is None:
            found = self._found
            found.read_slowly += 1
            if found.slow_bytes < LARGE <= found.slow_bytes + len(self._encoded):
                check_protobuf(bytes(self._body))
            found.slow_bytes += len(self._encoded)
            message = trace_pb2.Span.FromString(self._encoded)
            self._span = span_of(message, self._scope, self._origin.attributes)
        return self._span


def _encoded(names: Any) -> tuple[bytes, ...]:
    return tuple(name.encode() for name in names)
