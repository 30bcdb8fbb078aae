"""The official OTel instrumentation around a real client's calls, through the real exporter and receiver."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import orjson
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from canaries.clock import SystemClock
from monitor.traffic.config import OtlpConfig
from monitor.traffic.intake import Intake
from monitor.traffic.receiving.http_receiver import TraceReceiver
from monitor.traffic.windows.window import Window

from .conftest import Listening

COMPLETION = {
    "id": "chatcmpl-7",
    "object": "chat.completion",
    "created": 1_772_452_800,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
    "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
}


class FakeOpenAI:
    """An OpenAI-compatible server with one answer; the model ``busy`` is always rate limited."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        request = orjson.loads(body + message["body"])
        if request["model"] == "busy":
            await self._send(send, 429, {"error": {"message": "Rate limit reached", "type": "requests"}})
        elif request.get("stream"):
            await self._stream(send)
        else:
            await self._send(send, 200, COMPLETION)

    async def _send(self, send: Any, status: int, body: Mapping[str, object]) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(body)})

    async def _stream(self, send: Any) -> None:
        base = COMPLETION | {"object": "chat.completion.chunk", "usage": None}
        chunks = [
            base | {"choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": None}]},
            base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            base | {"choices": [], "usage": COMPLETION["usage"]},
        ]
        body = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=["", "gen_ai_latest_experimental"], ids=["old conventions", "new conventions"])
def _conventions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability as Stability

    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", request.param)
    # The instrumentation reads the variable once in a process; here each case is to be a process of its own.
    monkeypatch.setattr(Stability, "_initialized", False)
    yield
    Stability._initialized = False


def application(model_url: str, receiver_url: str) -> None:
    """A small program that uses a model and is instrumented as its documentation says."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "support-bot", "service.version": "2"})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{receiver_url}/v1/traces")))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    messages: Any = [{"role": "user", "content": "Hi, my name is Ada."}]
    try:
        with openai.OpenAI(base_url=f"{model_url}/v1", api_key="none", max_retries=0) as client:
            client.chat.completions.create(model="gpt-4o-mini", messages=messages)
            options: Any = {"stream": True, "stream_options": {"include_usage": True}}
            list(client.chat.completions.create(model="gpt-4o-mini", messages=messages, **options))
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(model="busy", messages=messages)
    finally:
        instrumentor.uninstrument()
        provider.shutdown()


@pytest.mark.usefixtures("_conventions")
async def test_real_calls_arrive_with_their_tokens_and_cost(database, metrics) -> None:
    taking = Intake(database, SystemClock(), metrics)
    async with (
        Listening(FakeOpenAI()) as model_url,
        Listening(TraceReceiver(taking, OtlpConfig(), metrics)) as receiver_url,
    ):
        await asyncio.to_thread(application, model_url, receiver_url)
    answered, refused = by_model(await taking.windows(0, 10**10), "gpt-4o-mini-2024-07-18", "")
    assert (answered.series.service, answered.series.provider) == ("support-bot", "openai")
    assert (answered.calls, answered.errors) == (2, {})
    assert (answered.input_tokens.total, answered.output_tokens.total) == (2_000, 200)
    assert answered.cost_usd.total == pytest.approx(2 * 0.00021)
    assert answered.cost_bases == {"exact": 2}
    assert refused.errors == {"rate_limit": 1}
    assert (refused.series.request_model, refused.cost_usd.n) == ("busy", 0)


def by_model(windows: list[Window], *models: str) -> list[Window]:
    """The window of each response model; a call that crossed a minute's end is in its neighbour, so add them up."""
    sums: dict[str, Window] = {}
    for window in windows:
        if window.series.response_model in sums:
            sums[window.series.response_model].merge(window)
        else:
            sums[window.series.response_model] = window
    assert set(sums) == set(models)
    return [sums[model] for model in models]
