"""Reports of calls in a small form: what many of them share, and what is each one's own.

A busy service writes thousands of spans a second that differ in their ids, times and numbers only. A *shape* is the
rest, held once; a *sighting* is one report of a call: its shape and what is its own. Nothing is lost between a report
and its sighting but the names of the attributes that gave the facts, and parts of a microsecond.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple

from .calls import Call, CostBasis, ErrorClass, FinishReason, Operation
from .dialects import Report

SHAPES_MAX = 20_000
"""How many shapes are held to be shared; beyond it all are let go, and shared anew from then on."""

_NANO = 1e9
"""A float, so that a moment is rounded as columns of moments are (``rows``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What the reports of many calls have in common: the fields of a report and its call that tell kinds apart.

    Shapes are told apart by what they are and not by what they hold, which is quick: ``Shapes`` holds equal ones once.
    """

    operation: Operation
    provider: str | None
    request_model: str | None
    response_model: str | None
    error: bool
    error_class: ErrorClass | None
    http_status: int | None
    finish_reason: FinishReason | None
    streaming: bool | None
    service_name: str | None
    service_version: str | None
    environment: str | None
    dialect: str
    emitter: str
    is_first_hand: bool
    is_declared: bool
    is_ending: bool


class Sighting(NamedTuple):
    """One report of a call. Times are unix nanoseconds; ``None`` means that the span does not tell.

    ``checks`` has what became of the checks of its answer, by their names; ``chosen`` what the span holds of the
    attributes that are configured to be looked at.
    """

    shape: Shape
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start_ns: int
    end_ns: int
    response_id: str | None
    session_id: str | None
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    ttft_s: float | None
    prompt: int | None
    chosen: tuple[tuple[str, str], ...] = ()
    checks: tuple[tuple[str, bool], ...] = ()

    @property
    def key(self) -> bytes:
        """What tells it from all other sightings."""
        return self.trace_id + self.span_id

    @property
    def parent_key(self) -> bytes:
        """The key of the span above it; that of no span when there is none."""
        return self.trace_id + self.parent_span_id


FACTS = tuple(one.name for one in fields(Shape))
"""The fields of a shape."""

facts_of: Callable[[Shape], tuple[Any, ...]] = attrgetter(*FACTS)
"""Gives what a shape holds, in the order of ``FACTS``."""

_OF_CALL = FACTS[: FACTS.index("emitter")]
_OF_REPORT = FACTS[len(_OF_CALL) :]


class Shapes:
    """Holds each shape once, so that sightings of equal shapes share it."""

    def __init__(self) -> None:
        """Start with none."""
        # By the hash of its facts, or a number after it that was free: the facts themselves would be held twice.
        self._known: dict[int, Shape] = {}

    def shape(self, facts: tuple[Any, ...]) -> Shape:
        """The shape with these facts, in the order of ``FACTS``."""
        number = hash(facts)
        while (known := self._known.get(number)) is not None and facts_of(known) != facts:
            number += 1
        if known is None:
            if len(self._known) >= SHAPES_MAX:
                self._known.clear()
            known = self._known[number] = Shape(*facts)
        return known


def sighting_of(
    report: Report,
    shapes: Shapes,
    chosen: tuple[tuple[str, str], ...] = (),
    checks: tuple[tuple[str, bool], ...] = (),
) -> Sighting:
    """The report in its small form."""
    call = report.call
    facts = (getattr(call, name) for name in _OF_CALL)
    end_ns = round(call.ended_at * _NANO)
    return Sighting(
        shape=shapes.shape((*facts, *(getattr(report, name) for name in _OF_REPORT))),
        trace_id=bytes.fromhex(call.trace_id),
        span_id=bytes.fromhex(call.span_ids[0]),
        parent_span_id=bytes.fromhex(report.parent_span_id) if len(report.parent_span_id) == 16 else b"",
        # A float of unix seconds is off by a quarter of a microsecond, one of a duration is not.
        start_ns=end_ns - round(call.duration_s * _NANO),
        end_ns=end_ns,
        response_id=call.response_id,
        session_id=call.session_id,
        input_tokens=call.input_tokens,
        cached_input_tokens=call.cached_input_tokens,
        cache_write_input_tokens=call.cache_write_input_tokens,
        output_tokens=call.output_tokens,
        reasoning_tokens=call.reasoning_tokens,
        ttft_s=call.ttft_s,
        prompt=report.prompt,
        chosen=chosen,
        checks=checks,
    )


def report_of(sighting: Sighting) -> Report:
    """The report that the sighting was made of; its sources are not known any more."""
    shape = sighting.shape
    return Report(
        call=call_of(sighting),
        parent_span_id=sighting.parent_span_id.hex(),
        emitter=shape.emitter,
        is_first_hand=shape.is_first_hand,
        is_declared=shape.is_declared,
        is_ending=shape.is_ending,
        prompt=sighting.prompt,
        sources={},
    )


def call_of(sighting: Sighting) -> Call:
    """The call that the sighting reports, not priced yet."""
    shape = sighting.shape
    return Call(
        operation=shape.operation,
        provider=shape.provider,
        request_model=shape.request_model,
        response_model=shape.response_model,
        response_id=sighting.response_id,
        input_tokens=sighting.input_tokens,
        cached_input_tokens=sighting.cached_input_tokens,
        cache_write_input_tokens=sighting.cache_write_input_tokens,
        output_tokens=sighting.output_tokens,
        reasoning_tokens=sighting.reasoning_tokens,
        error=shape.error,
        error_class=shape.error_class,
        http_status=shape.http_status,
        finish_reason=shape.finish_reason,
        streaming=shape.streaming,
        ttft_s=sighting.ttft_s,
        duration_s=max(0, sighting.end_ns - sighting.start_ns) / _NANO,
        session_id=sighting.session_id,
        service_name=shape.service_name,
        service_version=shape.service_version,
        environment=shape.environment,
        cost_usd=None,
        cost_basis=CostBasis.UNPRICED,
        dialect=shape.dialect,
        span_ids=(sighting.span_id.hex(),),
        trace_id=sighting.trace_id.hex(),
        started_at=sighting.start_ns / _NANO,
        ended_at=sighting.end_ns / _NANO,
        checks_passed=tuple(name for name, is_passed in sighting.checks if is_passed),
        checks_failed=tuple(name for name, is_passed in sighting.checks if not is_passed),
        chosen=sighting.chosen,
    )
