"""What is known of kinds of spans, within bounds: which plan is for which, and what there is no plan for."""

from collections.abc import Iterable
from dataclasses import replace

from ..dialects import Dialect, NoCall, Report, dialect_of, examine, is_worth_a_look
from ..dialects.kinds import kind_of
from ..otlp import Span
from ..sightings import Shapes, Sighting, facts_of, report_of, sighting_of
from .found import Watch
from .notation import Notation
from .origin import Origin, chosen_of
from .plans import Get, Plan, plan_of
from .watched import Watched, is_known, role_of

KEYS_MAX = 4_096
"""How many sets of attributes are remembered, of all scopes together; beyond it all is forgotten and learnt anew."""

PLANS_MAX = 20_000
"""How many plans are remembered; beyond it all is forgotten and learnt anew."""

ATTRIBUTES_MAX = 128
"""A span with more attributes is left to the reader of the dialects."""

RAW_MAX = 300
"""A value of more bytes is nothing to tell kinds of spans by."""

ATTEMPTS_MAX = 32
"""After so many spans of a group without a plan, no more is tried to make one."""


class NoCalls:
    """Spans that are no calls."""


NO_CALLS = NoCalls()

_NO_SPAN = Span("", "", "", "", "", 0, 0, is_error=False, status_message="")

Signature = tuple[object, ...]


class Group:
    """Spans of one scope that have the same attributes, as far as any dialect asks for them."""

    __slots__ = ("attempts", "deciding", "looks_at_name", "plans", "tells_checks")

    def __init__(self, *, tells_checks: bool = False) -> None:
        """Start with nothing known."""
        self.attempts = 0
        self.tells_checks = tells_checks
        """Whether its spans have attributes that tell of checks, of which plans say nothing."""
        self.deciding: tuple[str, ...] = ()
        """The attributes whose values decide what a span of the group is."""
        self.looks_at_name = False
        self.plans: dict[Signature, Plan | NoCalls] = {}

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing was learnt of its spans so far, of how many there were."""
        return self.attempts >= ATTEMPTS_MAX and not self.plans

    def signature(self, get: Get, origin: Origin, status: bytes, name: bytes | str) -> Signature:
        """What decides what a span of the group is."""
        return (origin.gaps, status, name if self.looks_at_name else b"", *map(get, self.deciding))


class Book:
    """Which plan is for which spans."""

    def __init__(self, notation: Notation, watch: Watch, shapes: Shapes, plans_max: int) -> None:
        """Start with nothing known. Calls whose answers are checked have no plans: their spans are looked at."""
        self._notation = notation
        self._watch = watch
        self._plans_max = plans_max
        self._shapes = shapes
        self._groups: dict[tuple[str, frozenset[str], bool], Group] = {}
        self._by_keys: dict[str, dict[tuple[str, ...], Group | NoCalls]] = {}
        self._known_keys = self._plans = 0
        self.emptied = 0
        """How often it was full, and all was forgotten."""

    def of_scope(self, scope: str) -> dict[tuple[str, ...], Group | NoCalls]:
        """The groups of a scope by the names of the attributes of their spans."""
        known = self._by_keys.get(scope)
        if known is None:
            self._make_room()
            self._known_keys += 1
            known = self._by_keys[scope] = {}
        return known

    def group(self, scope: str, keys: tuple[str, ...]) -> Group | NoCalls | None:
        """The group of spans with these attributes, which is not known yet; ``None`` when it is to be in none."""
        if not is_worth_a_look(scope, keys):
            found: Group | NoCalls = NO_CALLS
        elif len(keys) > ATTRIBUTES_MAX:
            return None
        else:
            asked_for = frozenset(filter(is_known, keys))
            tells_checks = any(map(self._is_of_checks, keys))
            found = self._groups.setdefault(
                (scope, asked_for, tells_checks), Group(tells_checks=tells_checks)
            )
        if len(keys) <= ATTRIBUTES_MAX:
            self._make_room()
            self._known_keys += 1
            self.of_scope(scope)[keys] = found
        return found

    def _is_of_checks(self, key: str) -> bool:
        checks = self._watch.checks
        return key in checks.keys or key.startswith(checks.beginnings)

    def note_keys(self) -> None:
        """Count a way of writing the attributes of a group that somebody else remembers until all is forgotten."""
        self._make_room()
        self._known_keys += 1

    def read(self, span: Span, origin: Origin) -> Sighting | None:
        """What the reader of the dialects says of a span; ``None`` when it is no call."""
        return self._sighting(examine(span), span, origin)

    def learn(
        self, span: Span, origin: Origin, group: Group, get: Get, status: bytes, name: bytes | str
    ) -> Sighting | None:
        """The same, and make a plan of it for the spans of the group that are like it, if that can be."""
        watched = Watched(span.attributes)
        found = examine(replace(span, attributes=watched))
        sighting = self._sighting(found, span, origin)
        group.attempts += 1
        dialect = dialect_of(span)
        deciding = {key for key in watched.read if sighting is None or role_of(key, dialect) is None}
        if watched.is_read_whole or not all(map(is_known, watched.asked | watched.read)):
            return sighting
        if any(len(get(key) or b"") > RAW_MAX for key in deciding) or max(len(status), len(name)) > RAW_MAX:
            return sighting
        if group.tells_checks and group.signature(get, origin, status, name) in group.plans:
            return sighting
        plan = NO_CALLS if sighting is None else self._proven(found, watched, dialect, get, origin, sighting)
        if plan is not None:
            self._widen(group, deciding, not _tells_kind(span, dialect))
            self._keep(plan, group, group.signature(get, origin, status, name))
        return sighting

    def with_checks(self, sighting: Sighting, keys: Iterable[str], get: Get) -> Sighting:
        """What a plan gave of a span with these attributes, with the checks that they tell of."""
        told = {
            key: self._notation.value(raw)
            for key in keys
            if self._is_of_checks(key) and (raw := get(key)) is not None
        }
        checks = self._watch.checks.of(report_of(sighting), replace(_NO_SPAN, attributes=told))
        return sighting._replace(checks=tuple(checks))

    def _sighting(self, found: Report | NoCall, span: Span, origin: Origin) -> Sighting | None:
        if isinstance(found, NoCall):
            return None
        chosen = chosen_of(span.attributes, origin, self._watch.chosen_keys)
        sighting = sighting_of(found, self._shapes, chosen, tuple(self._watch.checks.of(found, span)))
        # Times by the nanosecond, as they came; the end of a stream alone tells its length otherwise.
        return sighting if found.is_ending else sighting._replace(start_ns=span.start_ns, end_ns=span.end_ns)

    def _proven(
        self,
        found: Report | NoCall,
        watched: Watched,
        dialect: Dialect,
        get: Get,
        origin: Origin,
        sighting: Sighting,
    ) -> Plan | None:
        """A plan that gives what the reader gave."""
        if isinstance(found, NoCall):
            return None
        plan = plan_of(
            found,
            watched,
            dialect,
            self._notation,
            self._shapes,
            sighting.shape,
            self._watch.checks.is_wanted,
        )
        if plan is None:
            return None
        given = plan.sighting(get, origin, *sighting[1:6], sighting.chosen)
        is_same = (
            given is not None
            and given[1:] == sighting._replace(checks=())[1:]
            and facts_of(given.shape) == facts_of(sighting.shape)
        )
        return plan if is_same else None

    def _widen(self, group: Group, deciding: set[str], looks_at_name: bool) -> None:
        """Have the group told apart by all that this plan is told apart by."""
        if deciding.issubset(group.deciding) and looks_at_name <= group.looks_at_name:
            return
        self._plans -= len(group.plans)
        group.deciding, group.looks_at_name, group.plans = (
            tuple(sorted(deciding.union(group.deciding))),
            looks_at_name or group.looks_at_name,
            {},
        )

    def _keep(self, plan: Plan | NoCalls, group: Group, signature: Signature) -> None:
        known = group.plans.get(signature)
        if isinstance(known, Plan) and isinstance(plan, Plan) and known.has_output is not plan.has_output:
            known.other = plan
            return
        self._plans += signature not in group.plans
        group.plans[signature] = plan
        self._make_room()

    def _make_room(self) -> None:
        if self._known_keys >= KEYS_MAX or self._plans >= self._plans_max:
            self._groups.clear()
            self._by_keys.clear()
            self._known_keys = self._plans = 0
            self.emptied += 1


def _tells_kind(span: Span, dialect: Dialect) -> bool:
    """Whether an attribute of the span says what it is, so that its name is not looked at."""
    kind = kind_of(span, dialect)
    return isinstance(kind, NoCall) or kind.source in span.attributes
