"""OTLP over HTTP: what becomes of a request to ``POST /v1/traces``.

Answers as the protocol asks (https://opentelemetry.io/docs/specs/otlp/#otlphttp): in the encoding of the
request, 200 only for what is stored, 429 and 503 with ``Retry-After`` for what the sender should send again,
any other status for what it should drop.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .. import OverloadError, RefusedError
from ..config import OtlpConfig
from ..intake import Intake, TrafficMetrics
from ..otlp import Encoding, failure, response
from ..repeats import Accepted
from .body import BODY_WAIT_S, Body, InFlight, LateError
from .buffers import Buffers
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


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request. The names of ``fields`` are in lower case."""

    method: str
    path: str
    fields: Mapping[bytes, bytes]

    def field(self, name: bytes) -> str:
        """What a field says; empty when there is none."""
        return self.fields.get(name, b"").decode("latin-1").strip()

    @property
    def content_type(self) -> str:
        """What the body is, without parameters."""
        return self.field(b"content-type").split(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender hears. ``fields`` are those beside the body's own."""

    status: int
    content_type: str
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)


class TraceReceiver:
    """Knows what may be sent, and hands it on."""

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
        self.body_wait_s = body_wait_s
        self._refusals = Refusals(is_news)
        self._intake = intake
        self._config = config
        self._metrics = metrics
        self._in_flight = in_flight or InFlight(config.max_in_flight_bytes)
        self._buffers = Buffers()
        self._senders = Senders(config.token)

    def begin(self, head: Head, size: int | None, *, is_crowded: bool = False) -> "Delivery":
        """A request whose head has come; its body has ``size`` bytes, as far as that is known.

        ``is_crowded`` says that there are too many connections: it is refused, and may come again.
        """
        delivery = Delivery(self, Body(self._config, self._in_flight, self._buffers), head)
        try:
            if is_crowded:
                raise OverloadError("too many connections are open")
            _check_place(head)
            self._senders.check(head.field(b"authorization") if b"authorization" in head.fields else None)
            delivery.packing = _packing(head)
            delivery.body.check(size or 0)
        except Exception as error:
            delivery.refuse(error)
        return delivery

    def refusal(self, error: Exception) -> Refusal:
        """What to answer to an error; call it while the error is handled."""
        return self._refusals.of(error)

    async def accept(self, body: bytes | memoryview, encoding: Encoding) -> Accepted:
        """Have it stored and counted."""
        return await self._intake.accept(body, encoding)

    def count(self, status: int) -> None:
        """Count an answer."""
        self._metrics.count_request(status)


class Delivery:
    """One request, from its head to its answer."""

    def __init__(self, receiver: TraceReceiver, body: Body, head: Head) -> None:
        """Start with nothing of the body."""
        self._receiver = receiver
        self._refusal: Refusal | None = None
        self._encoding = _ENCODINGS.get(head.content_type, Encoding.JSON)
        self.body = body
        self.packing: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the answer is known, although the body may not be whole: nobody needs the rest."""
        return self._refusal is not None

    def refuse(self, error: Exception) -> None:
        """Answer that it is not taken; call it while the error is handled."""
        self._refusal = self._refusal or self._receiver.refusal(error)
        self.body.close()

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if not self.is_refused:
            try:
                self.body.add(piece)
            except Exception as error:
                self.refuse(error)

    def wrote(self, size: int) -> None:
        """So much of the body was written where it belongs."""
        try:
            self.body.wrote(size)
        except Exception as error:
            self.refuse(error)

    def is_late(self) -> None:
        """The rest of the body has not come in time."""
        try:
            raise LateError(self._receiver.body_wait_s)
        except LateError as error:
            self.refuse(error)

    async def answer(self) -> Answer:
        """What the sender is to hear, when what it sent is stored, or refused."""
        if not self.is_refused:
            try:
                answer = await self._taken()
            except asyncio.CancelledError:
                raise  # whoever reads the body may still do so: it is not given back
            except Exception as error:
                self.refuse(error)
            else:
                self.body.close()
                self._receiver.count(200)
                return answer
        assert self._refusal is not None  # noqa: S101 - what is not taken is refused
        self._receiver.count(self._refusal.status)
        return _refused(self._encoding, self._refusal)

    async def _taken(self) -> Answer:
        body, encoding = self.body.whole(self.packing), self._encoding
        accepted = await self._receiver.accept(body, encoding)
        told = response(encoding, accepted.rejected, _warning(body, encoding, accepted))
        return Answer(200, encoding, told)


def _warning(body: bytes | memoryview, encoding: Encoding, accepted: Accepted) -> str:
    """What the sender should hear although nothing is wrong by the standard, which has unknown names passed over."""
    is_empty = not (accepted.calls or accepted.other or accepted.rejected)
    if encoding is Encoding.JSON and is_empty and any(name in bytes(body) for name in _SNAKE_NAMES):
        return "no spans were found: OTLP's JSON has names like resourceSpans, not resource_spans"
    return ""


def _check_place(head: Head) -> None:
    if head.path not in PATHS:
        raise RefusedError(404, f"traces are taken at {PATHS[0]}")
    if head.method != "POST":
        raise RefusedError(405, "traces are taken by POST")


def _packing(head: Head) -> str | None:
    """What the body is packed with. Raises RefusedError when it is in no form that is read."""
    if head.content_type not in _ENCODINGS:
        raise RefusedError(415, f"content type must be {' or '.join(Encoding)}")
    packing = head.field(b"content-encoding").lower() or "identity"
    if packing == "identity":
        return None
    if packing not in PACKINGS:
        raise RefusedError(415, f"content encoding must be {', '.join(PACKINGS)} or none")
    return packing


def _refused(encoding: Encoding, refusal: Refusal) -> Answer:
    fields: dict[str, str] = {}
    if refusal.retry_after_s is not None:
        fields["retry-after"] = str(refusal.retry_after_s)
    if refusal.status == 401:
        fields["www-authenticate"] = "Bearer"
    if refusal.status == 405:
        fields["allow"] = "POST"
    return Answer(refusal.status, encoding, failure(encoding, refusal.rpc_code, refusal.text), fields)
