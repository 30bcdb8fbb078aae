"""Whether a call was a stream, and when its first token came."""

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
        return _possible((event.at_ns - span.start_ns) / 1e9, span.duration_s)
    raw = told.find("ttft_s", (place,), unix_seconds if first.clock is Clock.MOMENT else seconds)
    return None if raw is None else waited_s(first.clock, raw, span.start_ns, span.duration_s)


def waited_s(clock: Clock, told: float, start_ns: int, duration_s: float) -> float | None:
    """How long the first token took by what an attribute told; ``None`` when that cannot be."""
    if clock is Clock.MOMENT:
        told -= start_ns / 1e9
    elif clock is Clock.MILLISECONDS or (clock is Clock.EITHER and told > duration_s + FIRST_TOKEN_SLACK_S):
        told /= 1000
    return _possible(told, duration_s)


def _possible(found: float, duration_s: float) -> float | None:
    return found if 0 <= found <= duration_s + FIRST_TOKEN_SLACK_S else None


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
