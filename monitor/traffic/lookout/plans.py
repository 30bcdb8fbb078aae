"""How the spans of one kind are read, learnt from one of them.

The reader of the dialects decides what a span is by what it reads of it. Where a span has the same attributes as one
before, and those that decided hold the same, it would decide the same: then only ids, times and numbers are its own.
Numbers decide little, and a plan says where they do: such spans, and all whose values are not plainly what they should
be, are left to the reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

from ..dialects import Dialect, Report
from ..dialects.answers import Hint, hints_of
from ..dialects.counts import (
    cached_tokens,
    gives_cache_beside,
    output_tokens,
    reasoning_tokens,
    written_tokens,
)
from ..dialects.counts import settled as all_tokens
from ..dialects.streams import waited_s
from ..dialects.tables import Clock, Facts, FirstToken
from ..dialects.usage import NO_USAGE, Usage
from ..dialects.values import seconds, unix_seconds
from ..rows import NOT_TOLD
from ..sightings import FACTS, Shape, Shapes, Sighting
from .notation import NOT_A_COUNT, Notation
from .origin import Chosen, Home, Origin
from .watched import Role, Watched, role_of

HOMES_OF_PLAN_MAX = 1_024
"""For how many releases of services the shape of a plan is remembered."""

Get = Callable[[str], Any]
"""Gives the value of an attribute as it is written, as bytes; ``None`` when it is not there."""

Told = tuple[Shape, bytes | None, bytes | None, int, int, int, int, int, float]
"""What is a span's own beside its ids and times, as it is kept in columns (``rows``).

Its shape, the ids of the answer and of the session; input, cached, written, output and reasoning tokens; the time to
the first token. What is not told is ``None``, ``NOT_TOLD`` or no number.
"""

Read = Callable[[Get, Origin, int, int], Told | None]

IsWanted = Callable[[Shape], bool]
"""Whether somebody wants to see the spans themselves of calls of this shape."""

_ZEROS = Usage(cached=0, written=0, output=0, reasoning=0)


_COUNTS = {
    "input": "input_tokens",
    "cached": "cached_input_tokens",
    "written": "cache_write_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "total": "total",
}
"""The counts that a span may tell, and what the reader calls the facts that they give."""


@dataclass(slots=True)
class Places:
    """The attributes that are read of each span anew; ``None`` where there is nothing to read."""

    input: str | None = None
    cached: str | None = None
    written: str | None = None
    output: str | None = None
    reasoning: str | None = None
    total: str | None = None
    response_id: str | None = None
    session: str | None = None
    first_token: FirstToken | None = None
    made_up_ids: Sequence[str] = ()
    documents: Sequence[str] = ()

    @property
    def has_parts(self) -> bool:
        """Whether there is more to add up than input and output."""
        return any((self.cached, self.written, self.reasoning, self.total))


@dataclass(frozen=True, slots=True)
class Settled:
    """What of a kind of spans is settled, and what would unsettle it."""

    template: Shape
    hints: Sequence[Hint]
    """What in a document would tell more than is read of it."""
    is_cache_beside: bool
    has_output: bool
    """Whether there is output, which tells an answer from none."""
    has_first_token: bool
    """Whether what is told of the first token counts."""
    drops_zero: tuple[bool, bool, bool, bool]
    """Whether a 0 says nothing: cached, written, output, reasoning."""


class Plan:
    """How a span is read that is like one that was read before.

    Spans that have output and others that have none may be written alike: each have a plan of their own, and the
    ``other`` is asked for those that are not as this one takes them to be.
    """

    __slots__ = (
        "_is_wanted",
        "_notation",
        "_shapes",
        "has_output",
        "other",
        "places",
        "settled",
        "shape_at",
        "told",
    )

    def __init__(
        self, notation: Notation, shapes: Shapes, is_wanted: IsWanted, places: Places, settled: Settled
    ) -> None:
        """Make the plan; ``told`` is what reads by it."""
        self._notation, self._shapes, self._is_wanted = notation, shapes, is_wanted
        self.places, self.settled = places, settled
        self.shape_at: dict[Home, Shape | None] = {}
        self.has_output = settled.has_output
        self.other: Plan | None = None
        self.told = self._made()

    def _made(self) -> Read:
        """What reads a span: what it tells, or ``None`` when that is for the reader of the dialects to say."""
        # A function with all it needs at hand: this is what most spans cost.
        notation, settled = self._notation, self.settled
        counts, letters, is_text = notation.counts, notation.letters, notation.is_text
        places = self.places
        asked_at, output_at, response_id_at, session_at = (
            places.input,
            places.output,
            places.response_id,
            places.session,
        )
        has_parts, cached_at, written_at, reasoning_at, total_at = (
            places.has_parts,
            places.cached,
            places.written,
            places.reasoning,
            places.total,
        )
        has_output, is_cache_beside = settled.has_output, settled.is_cache_beside
        drops_cached, drops_written, drops_output, drops_reasoning = settled.drops_zero
        first_token, made_up_ids, documents, hints = (
            places.first_token,
            places.made_up_ids,
            places.documents,
            settled.hints,
        )
        shape_at = self.shape_at

        def told(get: Get, origin: Origin, start_ns: int, end_ns: int) -> Told | None:
            asked = counts[get(asked_at)] if asked_at else None
            output = counts[get(output_at)] if output_at else None
            if asked == NOT_A_COUNT or output == NOT_A_COUNT:
                return None
            cached = written = reasoning = None
            if has_parts:
                cached = counts[get(cached_at)] if cached_at else None
                written = counts[get(written_at)] if written_at else None
                reasoning = counts[get(reasoning_at)] if reasoning_at else None
                total = counts[get(total_at)] if total_at else None
                if NOT_A_COUNT in (cached, written, reasoning, total):
                    return None
                if (
                    total is not None
                    or is_cache_beside
                    or (cached or 0) + (written or 0) > (asked or 0)
                    or (reasoning or 0) > (output or 0)
                ):
                    usage = Usage(asked, cached, written, output, reasoning)
                    usage = all_tokens(usage, total, is_cache_beside).filled_from(NO_USAGE)
                    asked, cached, written = usage.input, usage.cached, usage.written
                    output, reasoning = usage.output, usage.reasoning
                if drops_cached and not cached:
                    cached = None
                if drops_written and not written:
                    written = None
                if drops_reasoning and not reasoning:
                    reasoning = None
            if bool(output) is not has_output:
                return None if self.other is None else self.other.told(get, origin, start_ns, end_ns)
            if drops_output and not output:
                output = None
            response_id = session_id = None
            if response_id_at:
                response_id = letters(get(response_id_at))
                if response_id is None or (made_up_ids and self._is_made_up(response_id, get)):
                    return None
            if session_at:
                session_id = letters(get(session_at))
                if session_id is None:
                    return None
            ttft_s = nan
            if first_token:
                waited = self._waited_s(get, start_ns, end_ns)
                if waited is None:
                    return None
                if settled.has_first_token:
                    ttft_s = waited
            for key in documents:
                raw = get(key)
                if not is_text(raw):
                    return None
                for hint, words in hints:
                    if hint in raw and words.search(raw):
                        return None
            try:
                shape = shape_at[origin.home]
            except KeyError:
                shape = self._at(origin)
            if shape is None:
                return None
            return (
                shape,
                response_id,
                session_id,
                NOT_TOLD if asked is None else asked,
                NOT_TOLD if cached is None else cached,
                NOT_TOLD if written is None else written,
                NOT_TOLD if output is None else output,
                NOT_TOLD if reasoning is None else reasoning,
                ttft_s,
            )

        return told

    def sighting(
        self,
        get: Get,
        origin: Origin,
        trace_id: bytes,
        span_id: bytes,
        parent_span_id: bytes,
        start_ns: int,
        end_ns: int,
        chosen: Chosen,
    ) -> Sighting | None:
        """What a span tells as a sighting; ``None`` when that is for the reader of the dialects to say."""
        told = self.told(get, origin, start_ns, end_ns)
        if told is None:
            return None
        shape, response_id, session_id, asked, cached, written, output, reasoning, ttft_s = told
        return Sighting(
            shape,
            trace_id,
            span_id,
            parent_span_id,
            start_ns,
            end_ns,
            None if response_id is None else response_id.decode(),
            None if session_id is None else session_id.decode(),
            None if asked == NOT_TOLD else asked,
            None if cached == NOT_TOLD else cached,
            None if written == NOT_TOLD else written,
            None if output == NOT_TOLD else output,
            None if reasoning == NOT_TOLD else reasoning,
            None if isnan(ttft_s) else ttft_s,
            None,
            chosen,
        )

    def _is_made_up(self, response_id: bytes, get: Get) -> bool:
        written = (raw for key in self.places.made_up_ids if (raw := get(key)) is not None)
        return any(self._notation.letters(raw) == response_id for raw in written)

    def _waited_s(self, get: Get, start_ns: int, end_ns: int) -> float | None:
        first = self.places.first_token
        raw = get(first.place.key) if first else None
        if first is None or raw is None:
            return None
        value = self._notation.value(raw)
        told = unix_seconds(value) if first.clock is Clock.MOMENT else seconds(value)
        return (
            None if told is None else waited_s(first.clock, told, start_ns, max(0, end_ns - start_ns) / 1e9)
        )

    def _at(self, origin: Origin) -> Shape | None:
        """The shape of the calls from an origin; ``None`` when somebody wants to see their spans."""
        facts = {name: getattr(self.settled.template, name) for name in FACTS}
        facts["service_name"] = origin.service_name
        facts["service_version"] = origin.service_version or facts["service_version"]
        facts["environment"] = origin.environment or facts["environment"]
        shape = self._shapes.shape(tuple(facts.values()))
        found = None if self._is_wanted(shape) else shape
        if len(self.shape_at) >= HOMES_OF_PLAN_MAX:
            self.shape_at.clear()
        self.shape_at[origin.home] = found
        return found


def plan_of(
    report: Report,
    watched: Watched,
    dialect: Dialect,
    notation: Notation,
    shapes: Shapes,
    shape: Shape,
    is_wanted: IsWanted,
) -> Plan | None:
    """The plan to read spans like the one that the report was made of; ``None`` when there can be none.

    ``shape`` is that of the report. What a plan gives must be held against the report before it is used: facts that
    came from elsewhere than where it looks show then.
    """
    if report.is_ending or report.prompt is not None or watched.is_read_whole:
        return None
    places = _places(report, watched, dialect)
    if places is None:
        return None
    operation, provider = report.call.operation, report.call.provider
    settled = Settled(
        template=shape,
        hints=_hints(report, dialect.facts, places.documents),
        is_cache_beside=gives_cache_beside(report.emitter, dialect),
        has_output=bool(report.call.output_tokens),
        has_first_token=report.call.ttft_s is not None,
        drops_zero=(
            cached_tokens(operation, _ZEROS) is None,
            written_tokens(provider, _ZEROS) is None,
            output_tokens(operation, _ZEROS) is None,
            reasoning_tokens(provider, _ZEROS) is None,
        ),
    )
    return Plan(notation, shapes, is_wanted, places, settled)


def _places(report: Report, watched: Watched, dialect: Dialect) -> Places | None:
    """Where the span's own facts lie; ``None`` when more was read for them than is known to matter."""
    sources, facts = report.sources, dialect.facts
    first_token = next(
        (
            one
            for one in facts.first_token
            if one.place.written == sources.get("ttft_s") and not one.place.is_deep
        ),
        None,
    )
    read: dict[Role | None, set[str]] = {}
    for key in watched.read:
        read.setdefault(role_of(key, dialect), set()).add(key)
    counts = {name: source for name, fact in _COUNTS.items() if (source := sources.get(fact)) is not None}
    used = {
        Role.COUNT: set(counts.values()),
        Role.RESPONSE_ID: {sources["response_id"]} if "response_id" in sources else set(),
        Role.SESSION: {sources["session_id"]} if "session_id" in sources else set(),
        Role.FIRST_TOKEN: {first_token.place.key} if first_token else set(),
    }
    if any(read.get(role, set()) != keys for role, keys in used.items()):
        return None
    return Places(
        **counts,
        response_id=sources.get("response_id"),
        session=sources.get("session_id"),
        first_token=first_token,
        made_up_ids=tuple(read.get(Role.MADE_UP_ID, ())),
        documents=tuple(read.get(Role.ANSWER, ())),
    )


def _hints(report: Report, facts: Facts, documents: Sequence[str]) -> Sequence[Hint]:
    """What the documents must not hold: what would tell a fact that no attribute tells."""
    if len(documents) > 1:
        return hints_of()  # the first that says anything counts
    sources = report.sources
    told = {
        fact for fact in ("response_id", "finish_reason") if sources.get(fact, "") not in ("", *documents)
    }
    if sources.get("response_model") in {place.written for place in facts.response_model}:
        told.add("response_model")
    return hints_of(fact for fact in ("response_id", "response_model", "finish_reason") if fact not in told)
