"""OTLP over HTTP: a bare ASGI application for ``POST /v1/traces``.

Answers as the protocol asks (https://opentelemetry.io/docs/specs/otlp/#otlphttp): in the encoding of the
request, 200 only for what is stored, 429 and 503 with ``Retry-After`` for what the sender should send again,
any other status for what it should drop.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from .. import RefusedError
from ..config import OtlpConfig
from ..intake import Intake, TrafficMetrics
from ..otlp import Encoding, failure, response
from ..repeats import Accepted
from .body import BODY_WAIT_S, InFlight, Receive, SenderGoneError, arriving, read_body
from .refusals import Refusal, Refusals
from .senders import Senders
from .unpacking import PACKINGS

PATHS = ("/v1/traces", "/api/public/otel/v1/traces")
"""Where traces are taken: OTLP's own path, and that of Langfuse's SDKs."""

_ENCODINGS = {
    "application/x-protobuf": Encoding.PROTOBUF,
    "application/protobuf": Encoding.PROTOBUF,
    "application/json": Encoding.JSON,
}
_SNAKE_NAMES = (b'"resource_spans"', b'"scope_spans"')
"""Names as protobuf has them, which libraries write into JSON when they are asked to keep them."""

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after_s: int | None = None


class TraceReceiver:
    """The ASGI application; run it with uvicorn, ``lifespan="off"``."""

    def __init__(
        self,
        intake: Intake,
        config: OtlpConfig,
        metrics: TrafficMetrics,
        body_wait_s: float = BODY_WAIT_S,
        is_news: Callable[[str], bool] = lambda problem: True,
        in_flight: InFlight | None = None,
    ) -> None:
        """Hand every request to ``intake``, within the limits of ``config``.

        ``is_news`` is told of each problem, and says whether it belongs into the log: a busy sender provokes
        the same one many times a second. ``in_flight`` is the bound on what is at work, where it is shared.
        """
        self._body_wait_s = body_wait_s
        self._refusals = Refusals(is_news)
        self._intake = intake
        self._config = config
        self._metrics = metrics
        self._in_flight = in_flight or InFlight(config.max_in_flight_bytes)
        self._senders = Senders(config.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        content_type = headers.get(b"content-type", "").split(";")[0].strip().lower()
        encoding = _ENCODINGS.get(content_type, Encoding.JSON)
        try:
            answer = await self._answer(scope, headers, receive, encoding)
        except SenderGoneError:
            return
        self._metrics.count_request(answer.status)
        await _send(send, encoding, answer)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, str], receive: Receive, encoding: Encoding
    ) -> _Answer:
        try:
            _check_place(scope)
            self._senders.check(headers.get(b"authorization"))
            packing = _packing(headers)
            with self._in_flight.share() as share:
                async with arriving(self._body_wait_s):
                    body = await read_body(receive, packing, self._config, share)
                accepted = await self._intake.accept(body, encoding)
            return _Answer(200, response(encoding, accepted.rejected, _warning(body, encoding, accepted)))
        except SenderGoneError:
            raise
        except Exception as error:
            return _refused(encoding, self._refusals.of(error))


def _warning(body: bytes, encoding: Encoding, accepted: Accepted) -> str:
    """What the sender should hear although nothing is wrong by the standard, which has unknown names passed over."""
    is_empty = not (accepted.calls or accepted.other or accepted.rejected)
    if encoding is Encoding.JSON and is_empty and any(name in body for name in _SNAKE_NAMES):
        return "no spans were found: OTLP's JSON has names like resourceSpans, not resource_spans"
    return ""


def _check_place(scope: Scope) -> None:
    if scope["path"] not in PATHS:
        raise RefusedError(404, f"traces are taken at {PATHS[0]}")
    if scope["method"] != "POST":
        raise RefusedError(405, "traces are taken by POST")


def _packing(headers: dict[bytes, str]) -> str | None:
    """What the body is packed with. Raises RefusedError when it is in no form that is read."""
    content_type = headers.get(b"content-type", "").split(";")[0].strip().lower()
    if content_type not in _ENCODINGS:
        raise RefusedError(415, f"content type must be {' or '.join(Encoding)}")
    packing = headers.get(b"content-encoding", "identity").strip().lower()
    if packing in ("identity", ""):
        return None
    if packing not in PACKINGS:
        raise RefusedError(415, f"content encoding must be {', '.join(PACKINGS)} or none")
    return packing


def _refused(encoding: Encoding, refusal: Refusal) -> _Answer:
    body = failure(encoding, refusal.rpc_code, refusal.text)
    return _Answer(refusal.status, body, refusal.retry_after_s)


async def _send(send: Send, encoding: Encoding, answer: _Answer) -> None:
    headers = [
        (b"content-type", encoding.value.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    if answer.retry_after_s is not None:
        headers.append((b"retry-after", str(answer.retry_after_s).encode()))
    if answer.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if answer.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
