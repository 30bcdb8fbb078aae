"""Why a call failed, from what its span says of the failure."""

import re

from ..calls import ErrorClass
from ..otlp import Span
from .values import text

_STATUS_IN_TEXT = re.compile(r"(?:^|error code: |status code:? |http )([45]\d\d)\b", re.IGNORECASE)

_BY_WORDS = (
    (
        ErrorClass.CONTEXT_LENGTH,
        r"context.?length|maximum context|context.?window|prompt is too long|too many tokens",
    ),
    (
        ErrorClass.RATE_LIMIT,
        r"rate.?limit|throttl|too ?many ?requests|resource.?exhausted|insufficient_quota",
    ),
    (ErrorClass.OVERLOADED, r"overloaded|modelnotready"),
    (ErrorClass.TIMEOUT, r"time(d )?.?out|deadline.?exceeded"),
    (ErrorClass.AUTH, r"authentication|unauthori[sz]ed|permission.?denied|access.?denied|api.?key|forbidden"),
    (ErrorClass.CONNECTION, r"connect|incompleteread|remoteprotocol|peer closed|protocolerror|reset by peer"),
    (
        ErrorClass.BAD_RESPONSE,
        r"jsondecode|expecting value|responsevalidation|unexpected end of json|invalid json",
    ),
    (
        ErrorClass.SERVER_ERROR,
        r"internal.?server|server.?error|serviceunavailable|service unavailable|api_error|\binternal\b",
    ),
    (
        ErrorClass.BAD_REQUEST,
        r"bad.?request|invalid.?(request|argument)|validation|unprocessable|notfound|not_found",
    ),
)
_BY_STATUS = {
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    408: ErrorClass.TIMEOUT,
    429: ErrorClass.RATE_LIMIT,
    504: ErrorClass.TIMEOUT,
    529: ErrorClass.OVERLOADED,
}


def classify(span: Span) -> tuple[ErrorClass, int | None]:
    """The class of a failed call's error, and the HTTP status of the failure where the span tells it."""
    kind, message = _told(span)
    status = _http_status(span, kind, message)
    return _by_status(status, message) or _by_words(kind) or _by_words(message) or ErrorClass.OTHER, status


def _told(span: Span) -> tuple[str, str]:
    """What the span gives as the type of the error, and as its message."""
    kinds, messages = [text(span.attributes, "error.type") or ""], [span.status_message]
    for event in span.events:
        if event.name == "exception":
            kinds.append(text(event.attributes, "exception.type") or "")
            messages.append(str(event.attributes.get("exception.message") or ""))
    return " ".join(kinds), " ".join(messages)


def _http_status(span: Span, kind: str, message: str) -> int | None:
    for key in ("http.response.status_code", "http.status_code"):
        status = span.attributes.get(key)
        if isinstance(status, int) and 400 <= status <= 599:
            return status
    found = re.search(r"^\s*([45]\d\d)\s*$", kind) or _STATUS_IN_TEXT.search(message.strip())
    return int(found.group(1)) if found else None


def _by_status(status: int | None, message: str) -> ErrorClass | None:
    if status is None:
        return None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return ErrorClass.SERVER_ERROR
    # Providers refuse a prompt that is too long with a plain 400: only the words tell.
    return (
        ErrorClass.CONTEXT_LENGTH
        if _by_words(message) is ErrorClass.CONTEXT_LENGTH
        else ErrorClass.BAD_REQUEST
    )


def _by_words(told: str) -> ErrorClass | None:
    return next((name for name, words in _BY_WORDS if re.search(words, told, re.IGNORECASE)), None)
