"""Whether a call was a stream, and when its first token came."""

from ..otlp import Span
from .tables import Clock, Dialect, FirstToken
from .told import Told
from .values import flag, seconds, unix_seconds

FIRST_TOKEN_SLACK_S = 0.1
"""How much later than the end of its span a first token may lie: clocks and rounding."""


def _first_token_s(told: Told, first: FirstToken) -> float | None:
    span, place = told.span, first.place
    if first.clock is Clock.EVENT:
        event = next((one for one in span.events if one.name == place.key), None)
        if event is None:
            return None
        told.sources["ttft_s"] = f"@{place.written}"
        found: float | None = (event.at_ns - span.start_ns) / 1e9
    elif first.clock is Clock.MOMENT:
        at = told.find("ttft_s", (place,), unix_seconds)
        found = None if at is None else at - span.start_ns / 1e9
    else:
        found = told.find("ttft_s", (place,), seconds)
        if found is not None and _is_milliseconds(first.clock, found, span):
            found /= 1000
    is_possible = found is not None and 0 <= found <= span.duration_s + FIRST_TOKEN_SLACK_S
    return found if is_possible else None


def _is_milliseconds(clock: Clock, found: float, span: Span) -> bool:
    if clock is Clock.EITHER:
        return found > span.duration_s + FIRST_TOKEN_SLACK_S
    return clock is Clock.MILLISECONDS


def stream_of(told: Told, dialect: Dialect, is_surely: bool) -> tuple[bool | None, float | None]:
    """Whether the call was a stream, which may be sure already, and when its first token came."""
    streaming = is_surely or told.find("streaming", dialect.facts.streaming, flag)
    for place in dialect.facts.first_token:
        ttft_s = _first_token_s(told, place)
        if ttft_s is not None:
            if dialect.tells_first_token_of_all and not streaming:
                return streaming, None
            return True if streaming is None else streaming, ttft_s
    return streaming, None
