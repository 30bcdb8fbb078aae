"""The production service of the demo: real calls to the model, told with OpenTelemetry's own SDK."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore, Thread
from types import TracebackType

import httpx
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode

from monitor.demo.practice_model import API_KEY, MODEL

CALLS_PER_S = 5.0
CALLS_AT_ONCE = 16
"""Customers being served; more are turned away, so that a model that hangs does not pile up threads."""
EXPORT_EVERY_MS = 500
CALL_TIMEOUT_S = 10.0


class Shop:
    """A checkout that asks the model ``CALLS_PER_S`` times a second inside a ``with`` block."""

    def __init__(self, model_url: str, otlp_url: str) -> None:
        self._client = httpx.Client(
            base_url=f"{model_url}/v1", headers={"authorization": f"Bearer {API_KEY}"}, timeout=CALL_TIMEOUT_S
        )
        self._provider = TracerProvider(
            resource=Resource.create(
                {
                    "service.name": "checkout",
                    "service.version": "1.4.2",
                    "deployment.environment.name": "production",
                }
            )
        )
        exporter = OTLPSpanExporter(endpoint=f"{otlp_url}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
        self._tracer = self._provider.get_tracer("anchorwatch.demo.shop")
        self._closing = Event()
        self._free = Semaphore(CALLS_AT_ONCE)
        self._door = Thread(target=self._open, name="shop", daemon=True)

    def __enter__(self) -> "Shop":
        self._door.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._door.join(CALL_TIMEOUT_S + 1)
        self._provider.shutdown()
        self._client.close()

    def _open(self) -> None:
        with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="customer") as customers:
            while not self._closing.wait(1 / CALLS_PER_S):
                if self._free.acquire(blocking=False):
                    customers.submit(self._serve)

    def _serve(self) -> None:
        try:
            self.suggest()
        finally:
            self._free.release()

    def suggest(self) -> None:
        """Ask the model once, in a span by the conventions for generative AI."""
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": MODEL,
        }
        with self._tracer.start_as_current_span(
            f"chat {MODEL}", kind=SpanKind.CLIENT, attributes=asked, record_exception=False
        ) as span:
            message = {"role": "user", "content": "What goes well with the blue teapot?"}
            try:
                response = self._client.post(
                    "/chat/completions", json={"model": MODEL, "messages": [message]}
                )
                response.raise_for_status()
            except httpx.HTTPError as error:
                _tell_failure(span, error)
            else:
                _tell_answer(span, response)


def _tell_failure(span: Span, error: httpx.HTTPError) -> None:
    name = type(error).__name__
    if isinstance(error, httpx.HTTPStatusError):
        name = str(error.response.status_code)
    span.set_attribute("error.type", name)
    span.set_status(StatusCode.ERROR)


def _tell_answer(span: Span, response: httpx.Response) -> None:
    answer = response.json()
    span.set_attributes(
        {
            "gen_ai.response.id": answer["id"],
            "gen_ai.response.model": answer["model"],
            "gen_ai.response.finish_reasons": [answer["choices"][0]["finish_reason"]],
            "gen_ai.usage.input_tokens": answer["usage"]["prompt_tokens"],
            "gen_ai.usage.output_tokens": answer["usage"]["completion_tokens"],
        }
    )
