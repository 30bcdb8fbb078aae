"""Why a call failed, from what its span says of the failure."""

import re
from collections.abc import Sequence

from ..calls import ErrorClass
from ..otlp import Span
from .values import count

_STATUS_IN_TEXT = re.compile(
    r"""(?:^|\berror\ code:?\ |status[\ _]?code['"]?\ ?[:=]?\ ?|\bstatus['"]?\ ?[:=]?\ ?|\bhttp(?:/[\d.]+)?\ ?
    |["']code["']\ ?:\ ?|\bcode[:=]\ ?|(?:client|server)\ error\ '
    |\b(?!transferencoding)\w*(?:error|exception)[:(\ ]+)([45]\d\d)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_STATUS_IN_STACK = re.compile(
    r"\b(?:error code: |http/1\.1 |status code:? |(?:client|server) error ')([45]\d\d)\b", re.IGNORECASE
)
_STACK_MAX = 20_000

STATUS_KEYS = ("http.response.status_code", "http.status_code", "http.response_status_code", "error.code")
_MESSAGE_MAX = 10_000

_BY_WORDS = (
    (
        ErrorClass.CONTEXT_LENGTH,
        r"context.?length|maximum context|context.?window|prompt is too long|too many tokens|input is too long",
    ),
    (
        ErrorClass.RATE_LIMIT,
        r"rate.?limit|throttl|too ?many ?requests|resource.?exhausted|insufficient_quota|quota exceeded",
    ),
    (ErrorClass.OVERLOADED, r"overloaded|modelnotready"),
    (ErrorClass.TIMEOUT, r"time(d )?.?out|deadline.?exceeded"),
    (ErrorClass.AUTH, r"authentication|unauthori[sz]ed|permission.?denied|access.?denied|api.?key|forbidden"),
    (
        ErrorClass.CONNECTION,
        r"connect|incompleteread|incomplete chunked|remoteprotocol|peer closed|protocolerror|reset by peer"
        r"|fetch failed|ended prematurely|payload is not completed|socket|terminated|econn|premature close",
    ),
    (
        ErrorClass.BAD_RESPONSE,
        r"jsondecode|expecting value|responsevalidation|unexpected end of json|invalid json|jsonparse",
    ),
    (
        ErrorClass.SERVER_ERROR,
        r"internal.?server|server.?error|server had an error|service.?unavailable|api_error|\binternal\b",
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


def classify(span: Span, types: Sequence[str], messages: Sequence[str]) -> tuple[ErrorClass, int | None]:
    """The class of a failed call's error, and the HTTP status of the failure where the span tells it.

    ``types`` and ``messages`` are what its attributes say; its status and its exceptions are looked at as well.
    """
    kinds, message = _told(span, types, messages)
    status = _http_status(span, kinds, message)
    found = _by_status(status) or _by_words(" ".join(kinds)) or _by_words(message) or ErrorClass.OTHER
    return _narrowed(found, message), status


def _told(span: Span, types: Sequence[str], messages: Sequence[str]) -> tuple[list[str], str]:
    """What the span gives as types of the error, and as its message."""
    kinds, texts = list(types), [span.status_message, *messages]
    for event in span.events:
        if event.name == "exception":
            kinds.append(str(event.attributes.get("exception.type") or ""))
            texts.append(str(event.attributes.get("exception.message") or ""))
    return kinds, "\n".join(text[:_MESSAGE_MAX].strip() for text in texts)


def _http_status(span: Span, types: Sequence[str], message: str) -> int | None:
    for key in STATUS_KEYS:
        status = count(span.attributes.get(key))
        if status is not None and 400 <= status <= 599:
            return status
    for kind in types:
        if re.fullmatch(r"\s*[45]\d\d\s*", kind):
            return int(kind)
    found = next(filter(None, map(_STATUS_IN_TEXT.search, message.split("\n"))), None)
    found = found or _in_stack(span)
    return int(found.group(1)) if found else None


def _in_stack(span: Span) -> re.Match[str] | None:
    """A library may wrap the provider's error in its own: then the stack trace alone has the first message."""
    stacks = (event.attributes.get("exception.stacktrace") for event in span.events)
    texts = (stack[-_STACK_MAX:] for stack in stacks if isinstance(stack, str))
    return next(filter(None, map(_STATUS_IN_STACK.search, texts)), None)


def _by_status(status: int | None) -> ErrorClass | None:
    if status is None:
        return None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return ErrorClass.SERVER_ERROR
    return ErrorClass.BAD_REQUEST


def _narrowed(found: ErrorClass, message: str) -> ErrorClass:
    """Providers refuse a prompt that is too long like any bad request: only the words of the message tell."""
    is_too_long = found is ErrorClass.BAD_REQUEST and _by_words(message) is ErrorClass.CONTEXT_LENGTH
    return ErrorClass.CONTEXT_LENGTH if is_too_long else found


def _by_words(told: str) -> ErrorClass | None:
    return next((name for name, words in _BY_WORDS if re.search(words, told, re.IGNORECASE)), None)
