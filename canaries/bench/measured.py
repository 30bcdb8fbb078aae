"""What a bench keeps of each request."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from ..canonical import canonical
from ..completion import Completion, Outcome
from ..suite import Suite
from ..validators import validate

SPEED_TOKENS_MIN = 5
"""Of fewer tokens after the first nobody can tell how fast they come."""

SPEED_S_MIN = 0.002
"""An answer whose tokens all came within so much time came in one piece: its speed is not known."""

Price = Callable[[str, Completion], float | None]
"""Dollars for a completion of a target, where that is known."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is compared of one request.

    Times are seconds from when the request was due, or was sent where there was no rate. A request that timed out
    took for ever, as far as anyone knows: leaving it out would flatter. Other failures have no times.
    """

    target: str
    canary: str
    outcome: Outcome
    is_long: bool = False
    latency_s: float | None = None
    ttft_s: float | None = None
    tokens_per_s: float | None = None
    input_tokens: int | None = None
    cost_usd: float | None = None
    breaks: tuple[str, ...] | None = None
    answer: bytes = b""
    queued_s: float = 0.0
    at: datetime | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer."""
        return self.outcome is Outcome.ANSWERED


class Meter:
    """Takes from each request of a bench with ``suite`` what counts of it."""

    def __init__(self, suite: Suite, price: Price) -> None:
        self._scrub, self._price = suite.scrub, price
        self._expectations = {canary.id: canary.expectations for canary in suite.canaries}

    def measured(self, target: str, completion: Completion, queued_s: float) -> Measured:
        """What counts of a request. ``breaks`` names the expectations that the answer breaks, if it has any."""
        is_long = completion.canary not in self._expectations
        if completion.text is None:
            has_timed_out = completion.outcome is Outcome.TIMEOUT
            return Measured(
                target,
                completion.canary,
                completion.outcome,
                is_long,
                latency_s=math.inf if has_timed_out else None,
                queued_s=queued_s,
                at=completion.at,
            )
        text = canonical(completion.text, self._scrub)
        return Measured(
            target,
            completion.canary,
            completion.outcome,
            is_long,
            latency_s=_later(completion.latency_s, queued_s),
            ttft_s=_later(completion.ttft_s, queued_s),
            tokens_per_s=_tokens_per_s(completion),
            input_tokens=completion.input_tokens,
            cost_usd=self._price(target, completion),
            breaks=self._breaks(completion),
            answer=blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(),
            queued_s=queued_s,
            at=completion.at,
        )

    def _breaks(self, completion: Completion) -> tuple[str, ...] | None:
        expectations = self._expectations.get(completion.canary)
        if expectations is None or completion.text is None:
            return None
        checks = validate(expectations, completion.text, completion.finish_reason, completion.tool_calls)
        return tuple(check.name for check in checks if not check.passed) if checks else None


def _later(seconds: float | None, queued_s: float) -> float | None:
    return None if seconds is None else seconds + queued_s


def _tokens_per_s(completion: Completion) -> float | None:
    """How fast the tokens after the first came."""
    if completion.output_tokens is None or completion.latency_s is None or completion.ttft_s is None:
        return None
    tokens, seconds = completion.output_tokens - 1, completion.latency_s - completion.ttft_s
    return tokens / seconds if tokens >= SPEED_TOKENS_MIN and seconds >= SPEED_S_MIN else None
