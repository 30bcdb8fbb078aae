"""OpenTelemetry's own instrumentation around a real OpenAI client, exported to the real daemon."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from monitor.database import Database
from monitor.demo.daemon_process import DaemonProcess
from monitor.demo.practice_model import PracticeModel, practice_app
from monitor.demo.serving import LocalServer
from monitor.traffic.store import windows_between
from monitor.traffic.windows.window import Window

MODEL = "gpt-4o-mini"
DOLLARS_PER_INPUT_TOKEN, DOLLARS_PER_OUTPUT_TOKEN = 0.15e-6, 0.60e-6
"""The list price of gpt-4o-mini: 0.15 and 0.60 dollars a million tokens."""

pytestmark = pytest.mark.real


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    config = tmp_path / "anchorwatch.yaml"
    config.write_text("budget: {pages_per_quarter: 0.25}\n")
    with DaemonProcess(config, tmp_path, {}, port=0) as daemon:
        while not daemon.is_ready():
            assert not daemon.has_ended, daemon.log_tail()
        yield daemon


@pytest.fixture
def instrumented(daemon: DaemonProcess) -> Iterator[None]:
    provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}))
    exporter = OTLPSpanExporter(endpoint=f"{daemon.otlp_url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    yield
    OpenAIInstrumentor().uninstrument()
    provider.shutdown()


def ask() -> openai.types.CompletionUsage:
    messages = [{"role": "user", "content": "What goes well with the blue teapot? " * 20}]
    with (
        LocalServer(practice_app(PracticeModel(name=MODEL))) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="practice") as client,
    ):
        return client.chat.completions.create(model=MODEL, messages=messages).usage


def stored(data: Path) -> list[Window]:
    database = Database(data / "anchorwatch.sqlite")
    windows = database.read(lambda session: windows_between(session, 0, 2**40))
    database.close()
    return windows


def test_a_call_has_the_right_tokens_and_cost(daemon, instrumented, tmp_path):
    usage = ask()
    assert daemon.stop() == 0, daemon.log_tail()
    [window] = stored(tmp_path)
    assert (window.calls, window.failed) == (1, 0)
    assert (window.series.service, window.series.operation, window.series.response_model) == (
        "checkout",
        "chat",
        MODEL,
    )
    assert (window.input_tokens.total, window.output_tokens.total) == (
        usage.prompt_tokens,
        usage.completion_tokens,
    )
    dollars = (
        usage.prompt_tokens * DOLLARS_PER_INPUT_TOKEN + usage.completion_tokens * DOLLARS_PER_OUTPUT_TOKEN
    )
    assert window.cost_usd.total == pytest.approx(dollars, abs=2e-9)
    assert window.unpriced == 0
