"""What each error means to the sender of traces: the same over HTTP and over gRPC."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from .. import OtlpError, OverloadError, OversizeError, RefusedError, StoreError
from .body import LateError
from .senders import UnknownSenderError

_RPC_CODES = {400: 3, 401: 16, 404: 5, 405: 12, 413: 3, 415: 3, 429: 8, 500: 13, 503: 14}
"""The ``google.rpc.Code`` that says the same as an HTTP status."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not taken, as an HTTP status, and when to send it again where that can help."""

    status: int
    text: str
    retry_after_s: int | None = None

    @property
    def rpc_code(self) -> int:
        """The ``google.rpc.Code`` that says the same as the status."""
        return _RPC_CODES[self.status]


class Refusals:
    """Knows what to answer when a request fails, and tells of what somebody here should know."""

    def __init__(self, is_news: Callable[[str], bool]) -> None:
        """Log each problem of which ``is_news`` says that it belongs into the log."""
        self._is_news = is_news

    def of(self, error: Exception) -> Refusal:
        """The refusal for an error; call it while the error is handled."""
        if isinstance(error, RefusedError):
            return Refusal(error.status, str(error))
        if isinstance(error, UnknownSenderError):
            self._problem("Traces were refused: a sender has not shown the token.")
            return Refusal(401, str(error))
        if isinstance(error, OtlpError):
            return Refusal(413 if isinstance(error, OversizeError) else 400, str(error))
        if isinstance(error, OverloadError):
            return Refusal(429, str(error), error.retry_after_s)
        if isinstance(error, StoreError):
            self._problem(f"Traces were refused: {error}.")
            return Refusal(503, str(error), error.retry_after_s)
        if isinstance(error, LateError):
            # 408 would say it better, but exporters send again only what is answered by 429, 502, 503 or 504.
            return Refusal(503, str(error), error.retry_after_s)
        # Whatever a body may provoke in us, the next request is served; 500 tells the sender to drop it.
        problem = "A trace request failed by a defect; the log has the details."
        if self._is_news(problem):
            _log.exception("problem", what=problem)
        return Refusal(500, "the request could not be processed")

    def _problem(self, sentence: str) -> None:
        if self._is_news(sentence):
            _log.error("problem", what=sentence)
