"""OTLP over gRPC: ``TraceService/Export``, answered as over HTTP.

Answers as the protocol asks (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc): OK only for what is stored,
a status with ``RetryInfo`` for what the sender should send again, any other status for what it should drop.

Whoever imports this module imports gRPC, which takes its time: the daemon alone does, when it needs it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no stubs
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # the same
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # the same

from .. import OverloadError, RefusedError
from ..config import OtlpConfig
from ..intake import Intake, TrafficMetrics
from ..otlp import Encoding, response
from .body import BODY_WAIT_S, InFlight, arriving
from .refusals import Refusal, Refusals
from .senders import Senders

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"

OPEN_MAX = 800
"""How many requests may be open at a time; beyond it senders are asked to come back."""

ARRIVING_MAX = 32
"""How many messages arrive at a time, others wait: gRPC holds each of them whole before its size can be counted."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcTraceReceiver:
    """The service; ``handler`` is what a ``grpc.aio`` server takes."""

    def __init__(
        self,
        intake: Intake,
        config: OtlpConfig,
        metrics: TrafficMetrics,
        body_wait_s: float = BODY_WAIT_S,
        is_news: Callable[[str], bool] = lambda problem: True,
        in_flight: InFlight | None = None,
    ) -> None:
        """Hand every request to ``intake``; the arguments are those of ``TraceReceiver``."""
        self._intake = intake
        self._config = config
        self._metrics = metrics
        self._body_wait_s = body_wait_s
        self._refusals = Refusals(is_news)
        self._in_flight = in_flight or InFlight(config.max_in_flight_bytes)
        self._senders = Senders(config.token)
        self._open = 0
        self._arriving = asyncio.Semaphore(ARRIVING_MAX)
        self._at_work: set[asyncio.Task[bytes | Refusal]] = set()

    @property
    def handler(self) -> grpc.GenericRpcHandler:
        """What a server calls, with messages as bytes."""
        # On the wire a request of one message is a stream of one. Taken as a stream, its message is asked for by us:
        # who shows no token, or comes when there is too much, sends it in vain.
        export = grpc.stream_unary_rpc_method_handler(self._export)
        return grpc.method_handlers_generic_handler(SERVICE, {"Export": export})

    async def end(self) -> None:
        """Wait until nothing is at work: also the requests of those who have hung up come to their end."""
        if self._at_work:
            await asyncio.wait(self._at_work)

    async def _export(self, messages: AsyncIterator[bytes], context: Any) -> bytes:
        answer = await self._answer(context)
        if isinstance(answer, Refusal):
            await context.abort(_CODES[answer.rpc_code], answer.text, _details(answer))
            raise AssertionError("abort has raised")
        return answer

    async def _answer(self, context: Any) -> bytes | Refusal:
        self._open += 1
        try:
            body = await self._read(context)
        except Exception as error:
            return self._refused(error)
        finally:
            self._open -= 1
        # Shielded: a request that is whole is taken to its end, whether its sender waits or not.
        work = asyncio.create_task(self._take(body))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        return await asyncio.shield(work)

    async def _read(self, context: Any) -> bytes:
        """The message of a request, from a sender who may send."""
        self._senders.check(_authorization(context))
        if self._open + len(self._at_work) > OPEN_MAX:
            raise OverloadError("too many requests are open")
        async with arriving(self._body_wait_s), self._arriving:
            message = await context.read()
        if message is grpc.aio.EOF:
            # The sender of one that is too large has been told so by gRPC.
            limit = self._config.max_decompressed_bytes
            raise RefusedError(413, f"there is no message, or one that is larger than {limit} bytes")
        return bytes(message)

    async def _take(self, body: bytes) -> bytes | Refusal:
        try:
            with self._in_flight.share() as share:
                share.take(len(body))
                accepted = await self._intake.accept(body, Encoding.PROTOBUF)
            answer = response(Encoding.PROTOBUF, accepted.rejected)
        except Exception as error:
            return self._refused(error)
        self._metrics.count_request(200)
        return answer

    def _refused(self, error: Exception) -> Refusal:
        refusal = self._refusals.of(error)
        self._metrics.count_request(refusal.status)
        return refusal


def _authorization(context: Any) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value if isinstance(value, str) else value.decode("latin-1")
    return None


def _details(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    """When to come back, as OTLP asks for: without it, exporters drop what is refused for overload."""
    if refusal.retry_after_s is None:
        return ()
    when = RetryInfo()
    when.retry_delay.seconds = refusal.retry_after_s
    status = Status(code=refusal.rpc_code, message=refusal.text)
    status.details.add().Pack(when)
    return (("grpc-status-details-bin", status.SerializeToString()),)
