"""The reports of one call to that call: the union of what they tell."""

from dataclasses import replace
from typing import Any

from ..calls import Call, ErrorClass, FinishReason
from ..dialects import Report
from .likeness import NARROWER

_FILLED = (
    "provider",
    "request_model",
    "response_id",
    "input_tokens",
    "output_tokens",
    "http_status",
    "finish_reason",
    "ttft_s",
    "session_id",
    "service_name",
    "service_version",
    "environment",
)
"""Facts that the fullest report that tells them gives."""

_PARTS = {
    "cached_input_tokens": "input_tokens",
    "cache_write_input_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
}
"""Parts, and the whole that they cannot be more than."""


def fullness(report: Report) -> tuple[object, ...]:
    """How much a report tells: usage before all else, from who says that it is a call, at first hand best."""
    call = report.call
    main = (call.input_tokens, call.output_tokens)
    parts = (call.cached_input_tokens, call.cache_write_input_tokens, call.reasoning_tokens)
    return (
        sum(one is not None for one in main),
        report.is_declared,  # what only wraps a call may tell a sum
        report.is_first_hand,
        sum(one is not None for one in parts),
        sum(one or 0 for one in main),
        call.response_id is not None,
        -call.duration_s,
        call.span_ids,
    )


def unite(calls: list[Call]) -> Call:
    """One call of the reports of it, the fullest first: the union of what they tell."""
    first = calls[0]
    if len(calls) == 1:
        return first
    started_at, ended_at = min(one.started_at for one in calls), max(one.ended_at for one in calls)
    filled: dict[str, Any] = {
        name: next((value for one in calls if (value := getattr(one, name)) is not None), None)
        for name in _FILLED
    }
    filled |= {name: _part(calls, name, filled[whole]) for name, whole in _PARTS.items()}
    is_error = any(one.error for one in calls) and not any(_is_answered(one) for one in calls)
    if not is_error:
        filled["http_status"] = None
    streaming = {one.streaming for one in calls}
    # A check that failed on any report has failed; of what turns out to be no answer none counts.
    is_unanswered = is_error or filled["finish_reason"] is FinishReason.TOOL_CALLS
    failed = dict.fromkeys(name for one in calls for name in one.checks_failed)
    passed = dict.fromkeys(name for one in calls for name in one.checks_passed if name not in failed)
    return replace(
        first,
        **filled,
        response_model=_response_model(calls),
        error=is_error,
        error_class=_error_class(calls) if is_error else None,
        streaming=True if True in streaming else False if False in streaming else None,
        duration_s=ended_at - started_at,
        span_ids=tuple(span_id for one in calls for span_id in one.span_ids),
        started_at=started_at,
        ended_at=ended_at,
        checks_passed=() if is_unanswered else tuple(passed),
        checks_failed=() if is_unanswered else tuple(failed),
        chosen=tuple({name: value for one in reversed(calls) for name, value in one.chosen}.items()),
    )


def _part(calls: list[Call], name: str, whole: int | None) -> int | None:
    told = (getattr(one, name) for one in calls)
    return next((part for part in told if part is not None and part <= (whole or 0)), None)


def _is_answered(call: Call) -> bool:
    return (
        not call.error and bool(call.output_tokens) and call.finish_reason not in (None, FinishReason.OTHER)
    )


def _error_class(calls: list[Call]) -> ErrorClass:
    """The narrowest of the classes that are told."""
    narrowest = ErrorClass.OTHER
    for call in calls:
        if call.error_class in NARROWER.get(narrowest, ()):
            narrowest = call.error_class or narrowest
    return narrowest


def _response_model(calls: list[Call]) -> str | None:
    """The model that answered: some write the requested one in its place, which then is the less telling."""
    told = [one.response_model for one in calls if one.response_model is not None]
    asked = {one.request_model for one in calls}
    return next((model for model in told if model not in asked), told[0] if told else None)
