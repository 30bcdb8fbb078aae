"""One production call of an LLM, in one vocabulary for all dialects."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson


class Operation(StrEnum):
    """What was asked for; ``CHAT`` is any generation of text, whatever the provider calls it."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"


class ErrorClass(StrEnum):
    """Why a call failed, as far as the span tells."""

    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    CONTEXT_LENGTH = "context_length"
    BAD_REQUEST = "bad_request"
    AUTH = "auth"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    BAD_RESPONSE = "bad_response"
    OTHER = "other"


class CostBasis(StrEnum):
    """How sure a cost is.

    ``EXACT``: the provider and the model that answered are known and have a list price. ``INFERRED``: the
    provider, or the model that answered, is concluded from the rest of the call. ``AMBIGUOUS``: providers
    that the call may have gone to ask different prices, and the cost is that of the likeliest. ``UNPRICED``:
    no price or no token counts are known, and there is no cost.
    """

    EXACT = "exact"
    INFERRED = "inferred"
    AMBIGUOUS = "ambiguous"
    UNPRICED = "unpriced"


BASES = tuple(CostBasis)
"""All of them, in the order in which they are numbered where there are many."""

BASIS_NUMBERS = {basis: number for number, basis in enumerate(BASES)}


TOKEN_COUNTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
)
"""The counts of a call, as its fields are named."""


@dataclass(frozen=True, slots=True)
class Call:
    """One LLM call. ``None`` means that the span does not tell; a count of 0 means that it told 0.

    ``input_tokens`` includes cached reads and writes, ``output_tokens`` includes reasoning. ``started_at``
    and ``ended_at`` are unix seconds. ``checks_passed`` and ``checks_failed`` name the checks of its answer,
    ``matched`` the configured filters that it fits, ``chosen`` the configured attributes that it has, with values.
    Every field is safe to store: no prompt, answer or error text is here.
    """

    operation: Operation
    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    error: bool
    error_class: ErrorClass | None
    http_status: int | None
    finish_reason: FinishReason | None
    streaming: bool | None
    ttft_s: float | None
    duration_s: float
    session_id: str | None
    service_name: str | None
    service_version: str | None
    environment: str | None
    cost_usd: float | None
    cost_basis: CostBasis
    dialect: str
    span_ids: tuple[str, ...]
    trace_id: str
    started_at: float
    ended_at: float
    checks_passed: tuple[str, ...] = ()
    checks_failed: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    chosen: tuple[tuple[str, str], ...] = ()

    @property
    def is_checked(self) -> bool:
        """Whether the answer was checked."""
        return bool(self.checks_passed or self.checks_failed)

    @property
    def model(self) -> str | None:
        """The model that answered, or the one that was asked for when the span does not tell."""
        return self.response_model or self.request_model

    @property
    def tokens_per_s(self) -> float | None:
        """How fast the answer was written once it had begun; ``None`` when that is not told."""
        writing_s = self.duration_s - (self.ttft_s or 0.0)
        if self.error or not self.output_tokens or writing_s <= 0:
            return None
        return self.output_tokens / writing_s


def to_json(call: Call) -> bytes:
    """The call as one JSON object, its fields in the order above."""
    return orjson.dumps(call)


def from_json(data: dict[str, Any]) -> Call:
    """The call that ``to_json`` wrote, from the parsed object."""
    values = dict(data)
    values["operation"] = Operation(data["operation"])
    values["error_class"] = data["error_class"] and ErrorClass(data["error_class"])
    values["finish_reason"] = data["finish_reason"] and FinishReason(data["finish_reason"])
    values["cost_basis"] = CostBasis(data["cost_basis"])
    for name in ("span_ids", "checks_passed", "checks_failed", "matched"):
        values[name] = tuple(data.get(name, ()))  # calls of earlier versions have no checks
    values["chosen"] = tuple((attribute, value) for attribute, value in data.get("chosen", ()))
    return Call(**values)
