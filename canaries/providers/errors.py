"""What an error of an endpoint means: by its code, its words, and its HTTP status. One table for all vendors."""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..completion import Outcome
from . import reading
from .base import RequestFailed

MAX_MESSAGE_CHARS = 200
"""How much of an endpoint's own words is passed on."""

MAX_ECHO_CHARS = 24
"""Words of the endpoint that share so long a piece with the prompt are not passed on."""

MODERATED = "moderated"
"""The code that stands for OpenRouter's way to say that a prompt was flagged, which has none."""

_CODES = {
    "context_length_exceeded": Outcome.CONTEXT_LENGTH,
    "exceed_context_size_error": Outcome.CONTEXT_LENGTH,
    "string_above_max_length": Outcome.CONTEXT_LENGTH,
    "content_filter": Outcome.CONTENT_FILTER,
    "content_policy_violation": Outcome.CONTENT_FILTER,
    "responsibleaipolicyviolation": Outcome.CONTENT_FILTER,
    "invalid_api_key": Outcome.AUTH,
    "authentication_error": Outcome.AUTH,
    "permission_error": Outcome.AUTH,
    "insufficient_quota": Outcome.RATE_LIMIT,
    "billing_hard_limit_reached": Outcome.RATE_LIMIT,
    "rate_limit_exceeded": Outcome.RATE_LIMIT,
    "rate_limit_error": Outcome.RATE_LIMIT,
    # Anthropic
    "billing_error": Outcome.RATE_LIMIT,
    "request_too_large": Outcome.CONTEXT_LENGTH,
    "overloaded_error": Outcome.OVERLOADED,
    "timeout_error": Outcome.TIMEOUT,
    # Google
    "api_key_invalid": Outcome.AUTH,
    "unauthenticated": Outcome.AUTH,
    "permission_denied": Outcome.AUTH,
    "resource_exhausted": Outcome.RATE_LIMIT,
    "unavailable": Outcome.OVERLOADED,
    "deadline_exceeded": Outcome.TIMEOUT,
    # OpenAI's responses, and OpenRouter's guard
    "server_is_overloaded": Outcome.OVERLOADED,
    "slow_down": Outcome.RATE_LIMIT,
    MODERATED: Outcome.CONTENT_FILTER,
}
_NOT_SOON = ("insufficient_quota", "billing_hard_limit_reached", "billing_error")
_NO_MONEY = 402
_STATUSES = {
    401: Outcome.AUTH,
    _NO_MONEY: Outcome.RATE_LIMIT,
    403: Outcome.AUTH,
    407: Outcome.AUTH,
    408: Outcome.TIMEOUT,
    425: Outcome.RATE_LIMIT,
    429: Outcome.RATE_LIMIT,
    504: Outcome.TIMEOUT,
    529: Outcome.OVERLOADED,
}
_AGAIN = (Outcome.RATE_LIMIT, Outcome.TIMEOUT, Outcome.SERVER, Outcome.OVERLOADED)
_TOO_LONG = re.compile(
    r"context[ _]?(?:length|window|size)|maximum context|too many tokens|prompt is too long|input is too long"
    r"|token count.{0,40}exceeds",
    re.IGNORECASE,
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
MOMENT_MS_MIN = 1e12
"""A plain number above this is a moment in milliseconds since 1970: that one was in 2001."""

_CODE = re.compile(r"[\w.:-]{1,60}")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an endpoint says about its error: its codes, as it writes them, and its words."""

    codes: tuple[str, ...] = ()
    message: str = ""
    status: int | None = None
    retry_after_s: float | None = None


def read_error(body: Any) -> ErrorBody:
    """The error in a decoded body of any of the usual shapes."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return ErrorBody()
    error = body.get("error", body)
    if not isinstance(error, dict):
        return ErrorBody(message=error if isinstance(error, str) else "")
    message = error.get("message", error.get("detail", ""))
    status = error.get("code")
    return ErrorBody(
        tuple(code for code in _codes(error) if isinstance(code, str) and _CODE.fullmatch(code)),
        message if isinstance(message, str) else "",
        status if isinstance(status, int) else None,
        _retry_delay_s(error),
    )


def _codes(error: dict[str, Any]) -> Iterator[object]:
    """Whatever names the kind of the error, the most telling first."""
    for detail in reading.entries(error.get("details")):
        yield detail.get("reason")  # Google's ErrorInfo
    yield error.get("code")
    yield error.get("type")
    yield error.get("status")
    yield reading.mapping(error.get("innererror")).get("code")
    if reading.mapping(error.get("metadata")).get("reasons"):
        yield MODERATED


def _retry_delay_s(error: dict[str, Any]) -> float | None:
    """The wait in Google's RetryInfo, as in ``"34.5s"``."""
    for detail in reading.entries(error.get("details")):
        if delay := reading.text(detail.get("retryDelay")):
            return _number(delay.removesuffix("s"))
    return None


def error_of(body: bytes) -> ErrorBody:
    """The error in the bytes of a body."""
    try:
        return read_error(json.loads(body))
    except (ValueError, RecursionError):
        return ErrorBody()


def failure(
    status: int,
    error: ErrorBody,
    *,
    hidden: Collection[str],
    prompts: Collection[str],
    retry_after_s: float | None = None,
) -> RequestFailed:
    """The failure that a status and an error make. Nothing of ``hidden`` or ``prompts`` comes into its text."""
    outcome = _outcome(status, error)
    is_soon = status != _NO_MONEY and not any(code.lower() in _NOT_SOON for code in error.codes)
    is_transport = is_soon and outcome in _AGAIN
    return RequestFailed(
        outcome,
        _message(status, outcome, error, hidden, prompts),
        retry_after_s=retry_after_s if is_transport else None,
        is_transport=is_transport,
    )


def wait_s(
    headers: Mapping[str, str], limits: Sequence[tuple[str, str]], error: ErrorBody, now: datetime
) -> float | None:
    """The wait that an endpoint asks for, in whichever way it says so: by a header, in the body, or by what is left.

    ``limits`` pairs the headers that tell what is left with those that tell when there will be more.
    """
    asked = retry_after_s(headers, now)
    if asked is not None:
        return asked
    if error.retry_after_s is not None:
        return error.retry_after_s
    used_up = [reset for left, reset in limits if _number(headers.get(left)) == 0]
    waits = [wait for reset in used_up if (wait := _reset_s(headers.get(reset, ""), now)) is not None]
    return max(waits, default=None)


def _reset_s(value: str, now: datetime) -> float | None:
    """How long until a limit is reset: from a duration such as ``6m0s``, a moment, or milliseconds since 1970."""
    if (milliseconds := _number(value)) is not None and milliseconds > MOMENT_MS_MIN:
        return max(0.0, milliseconds / 1000 - now.timestamp())
    if value and (found := _DURATION.fullmatch(value)):
        hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds()) if moment.tzinfo else None


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait that the headers ask for: ``retry-after-ms``, or ``retry-after`` in seconds or as a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if value is None or seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _outcome(status: int, error: ErrorBody) -> Outcome:
    for code in error.codes:
        if code.lower() in _CODES:
            return _CODES[code.lower()]
    if status not in _STATUSES and _TOO_LONG.search(error.message):
        return Outcome.CONTEXT_LENGTH
    if status in _STATUSES:
        return _STATUSES[status]
    return Outcome.SERVER if status >= 500 else Outcome.BAD_REQUEST


def _message(
    status: int, outcome: Outcome, error: ErrorBody, hidden: Collection[str], prompts: Collection[str]
) -> str:
    if 300 <= status < 400:
        return (
            f"HTTP {status}: the address redirects, and a key is not sent on; set base_url to where it leads"
        )
    codes = f" ({', '.join(dict.fromkeys(error.codes))})" if error.codes else ""
    words = " ".join(error.message.split())
    for secret in hidden:
        words = words.replace(secret, "***")
        codes = codes.replace(secret, "***")
    # Endpoints repeat a wrong key in part, and a bad prompt in full.
    if not words or outcome is Outcome.AUTH or any(_echoes(words, prompt) for prompt in prompts):
        return f"HTTP {status}{codes}"
    words = "".join(character if character.isprintable() else "?" for character in words)
    return f"HTTP {status}{codes}: {words[:MAX_MESSAGE_CHARS]}"


def _echoes(words: str, prompt: str) -> bool:
    """Whether a piece of the prompt, or the whole of a short one, stands in the words."""
    prompt = " ".join(prompt.split())
    if len(prompt) <= MAX_ECHO_CHARS:
        return bool(prompt) and prompt in words
    shown = words[: MAX_MESSAGE_CHARS + MAX_ECHO_CHARS]
    # Every piece of that length holds one of these halves, and prompts can be megabytes long.
    half = MAX_ECHO_CHARS // 2
    if not any(shown[start : start + half] in prompt for start in range(0, len(shown) - half + 1, half + 1)):
        return False
    return any(
        shown[start : start + MAX_ECHO_CHARS] in prompt for start in range(len(shown) - MAX_ECHO_CHARS + 1)
    )
