"""One answer, and one pass of a suite over a target: the values everything else in this package works on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .prompt import ToolCall


class Outcome(StrEnum):
    """How one request ended. Everything but ``ANSWERED`` is a failed request, never an empty answer."""

    ANSWERED = "answered"
    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    CONTEXT_LENGTH = "context_length"
    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    SERVER = "server_error"
    OVERLOADED = "overloaded"
    EMPTY_BODY = "empty_body"
    BAD_RESPONSE = "bad_response"
    TOO_LARGE = "too_large"
    CONTENT_FILTER = "content_filter"
    INTERRUPTED = "interrupted"


class RunStatus(StrEnum):
    """The life of a run."""

    RUNNING = "running"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a target to one canary, or the reason why there is none.

    ``text`` is the raw answer and ``None`` exactly when ``outcome`` is not ``ANSWERED``; of an answer that calls tools
    it is what ``calls_text`` makes of ``tool_calls``. Times are seconds, tokens are the provider's own counts, with
    those of caches among the input and those of reasoning among the output. ``logprobs`` are natural logs of the
    sampled tokens, and ``first_top`` holds the likeliest first tokens as ``(token, logprob)``, the likeliest first.
    ``error`` is for people; it holds no secret.
    """

    canary: str
    sample: int = 0
    outcome: Outcome = Outcome.ANSWERED
    text: str | None = None
    finish_reason: str | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None
    logprobs: tuple[float, ...] | None = None
    first_top: tuple[tuple[str, float], ...] | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    attempts: int = 1
    error: str | None = None
    at: datetime | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the target gave an answer, be it an empty one."""
        return self.outcome is Outcome.ANSWERED


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of a suite over a target: the unit of randomness. ``at`` is the start, in UTC."""

    id: str
    target: str
    suite: str
    at: datetime
    completions: tuple[Completion, ...] = ()
    finished_at: datetime | None = None
    status: RunStatus = RunStatus.COMPLETED

    @property
    def answered_share(self) -> float:
        """The share of requests that got an answer, 0 to 1; 0 for a run without requests."""
        return (
            sum(c.is_answered for c in self.completions) / len(self.completions) if self.completions else 0.0
        )
