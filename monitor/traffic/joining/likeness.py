"""Whether two reports may be of one call, by what each of them tells."""

from ..calls import Call, ErrorClass
from ..dialects import Report
from ..sightings import Sighting

TELLING_ID_MIN = 16
"""An id shorter than this may come twice: some local servers draw theirs from a thousand."""


SLACK_S = 0.005
"""How far one report's time may reach out of the other's: clocks are read one after the other, some in whole ms."""


SLACK_SHARE = 0.1
"""The same as a share of the shorter one: the end of a stream is not the same moment for everybody."""


def is_telling(response_id: str | None) -> bool:
    """The id is long enough to be of one call only."""
    return response_id is not None and len(response_id) >= TELLING_ID_MIN


def agree(one: Call, other: Call) -> bool:
    """Nothing that both tell rules out that they are one call."""
    return (
        one.operation is other.operation
        and ids_agree(one, other)
        and _classes_agree(one.error_class, other.error_class)
        and (one.http_status is None or other.http_status is None or one.http_status == other.http_status)
        and _models_agree(one, other)
    )


def ids_agree(one: Call, other: Call) -> bool:
    """The two do not have different ids."""
    return one.response_id is None or other.response_id is None or one.response_id == other.response_id


NARROWER = {
    ErrorClass.BAD_REQUEST: {ErrorClass.CONTEXT_LENGTH},
    ErrorClass.SERVER_ERROR: {ErrorClass.OVERLOADED},
    ErrorClass.RATE_LIMIT: {ErrorClass.OVERLOADED},
    ErrorClass.CONNECTION: {ErrorClass.TIMEOUT, ErrorClass.BAD_RESPONSE},
    ErrorClass.OTHER: set(ErrorClass),
}
"""Classes that a less telling report of the same failure may give as another, wider one."""


def _classes_agree(one: ErrorClass | None, other: ErrorClass | None) -> bool:
    if one is None or other is None or one is other:
        return True
    return one in NARROWER.get(other, ()) or other in NARROWER.get(one, ())


def _models_agree(one: Call, other: Call) -> bool:
    """The models are the same, as far as they are told: some cut off a vendor's prefix or a version's suffix."""
    mine = [model for model in (one.request_model, one.response_model) if model]
    others = [model for model in (other.request_model, other.response_model) if model]
    if not mine or not others:
        return True
    return any(_is_same_model(a, b) for a in mine for b in others)


def _is_same_model(one: str, other: str) -> bool:
    one, other = one.lower().rsplit("/", 1)[-1], other.lower().rsplit("/", 1)[-1]
    return one in other or other in one


def are_rivals(one: Report, other: Report) -> bool:
    """One emitter tells a call in two spans only within a trace, or as beginning and end of a stream.

    The same id in two traces of one emitter is an answer that was given twice, out of a cache.
    """
    if one.emitter != other.emitter or one.is_ending != other.is_ending:
        return False
    has_same_id = one.call.response_id is not None and one.call.response_id == other.call.response_id
    is_within = one.call.trace_id == other.call.trace_id or one.call.service_name != other.call.service_name
    return not ((has_same_id and is_within) or is_child(one, other) or is_child(other, one))


def is_child(one: Report, other: Report) -> bool:
    """The one lies directly below the other."""
    return one.call.trace_id == other.call.trace_id and one.parent_span_id == other.call.span_ids[0]


def may_be_within(outer: Report, inner: Report) -> bool:
    """A report and the one directly below it may tell the same call.

    It began while the outer one ran; and one emitter, which counts in one way, counts the same tokens.
    """
    late_s = inner.call.started_at - outer.call.ended_at
    early_s = outer.call.started_at - inner.call.started_at
    if max(late_s, early_s) > SLACK_S:
        return False
    counts = {outer.call.input_tokens, inner.call.input_tokens} - {None}
    return agree(outer.call, inner.call) and (outer.emitter != inner.emitter or len(counts) <= 1)


def are_alike(one: Report, other: Report) -> bool:
    """Two reports without an id in common, from different emitters, tell the same call."""
    if one.emitter == other.emitter or not agree(one.call, other.call):
        return False
    if not is_inside(one.call, other.call):
        return False
    if (one.call.error and other.call.error) or is_untold(one) or is_untold(other):
        return providers_agree(one.call.provider, other.call.provider)
    if one.call.error != other.call.error:
        return _are_one_cut(one.call, other.call)
    return have_same_tokens(one.call, other.call)


def _are_one_cut(one: Call, other: Call) -> bool:
    """Some do not notice that a stream was cut: they tell no error, and no reason why it ended either."""
    unaware = other if one.error else one
    has_same_input = one.input_tokens is not None and one.input_tokens == other.input_tokens
    outputs = {one.output_tokens, other.output_tokens} - {None}
    return has_same_input and unaware.finish_reason is None and len(outputs) <= 1


def inputs_of(call: Call | Sighting) -> set[int]:
    """The input tokens as this report tells them, and as one tells them that knows nothing of caches."""
    if call.input_tokens is None:
        return set()
    cached = (call.cached_input_tokens or 0) + (call.cache_write_input_tokens or 0)
    return {call.input_tokens, call.input_tokens - cached}


def have_same_tokens(one: Call, other: Call) -> bool:
    """Both tell tokens, and the same ones; one of the two may leave out what came from the cache or went into it."""
    return one.output_tokens == other.output_tokens and not inputs_of(one).isdisjoint(inputs_of(other))


def is_untold(report: Report) -> bool:
    """A provider's SDK tells of every call; of some streams it tells no more than that they were asked for."""
    call = report.call
    told = (call.response_id, call.input_tokens, call.output_tokens, call.finish_reason)
    return report.is_first_hand and not call.error and all(one is None for one in told)


_FAMILIES = (
    {"openai", "azure.ai.openai", "azure.ai.inference"},
    {"gcp.gemini", "gcp.vertex_ai"},
)
"""Providers that one and the same call is taken to by the SDK that both have in common."""


def providers_agree(one: str | None, other: str | None) -> bool:
    """The two name the same provider, as far as they name one."""
    if one is None or other is None or one == other:
        return True
    return any({one, other} <= family for family in _FAMILIES)


def is_inside(one: Call, other: Call) -> bool:
    """The time of one lies within that of the other, but for the slack."""
    shorter = min(one.ended_at - one.started_at, other.ended_at - other.started_at)
    overlap = min(one.ended_at, other.ended_at) - max(one.started_at, other.started_at)
    return overlap >= shorter - max(2 * SLACK_S, SLACK_SHARE * shorter)


def apart_s(one: Call, other: Call) -> float:
    """How much time lies between the two; negative when they overlap."""
    return max(one.started_at, other.started_at) - min(one.ended_at, other.ended_at)


def distance(one: Call, other: Call) -> float:
    """How far the beginnings and the ends of the two lie apart."""
    return abs(one.started_at - other.started_at) + abs(one.ended_at - other.ended_at)
