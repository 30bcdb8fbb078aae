"""The shop's spans, as OpenTelemetry's own exporter sends them."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request, Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.demo.practice_model import Mode, PracticeModel, practice_app
from monitor.demo.serving import LocalServer
from monitor.demo.shop import Shop


async def no_wait(seconds: float) -> None:
    """The model answers at once."""


class Collector:
    """An OTLP endpoint that keeps what it was sent."""

    def __init__(self) -> None:
        self.spans: list = []
        self.services: set[str] = set()
        self.app = FastAPI()
        self.app.add_api_route("/v1/traces", self._receive, methods=["POST"])

    async def _receive(self, request: Request) -> Response:
        for resource in ExportTraceServiceRequest.FromString(await request.body()).resource_spans:
            attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
            self.services.add(attributes["service.name"])
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return Response(media_type="application/x-protobuf")


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def model() -> PracticeModel:
    return PracticeModel()


@pytest.fixture
def shop(collector: Collector, model: PracticeModel) -> Iterator[Shop]:
    with LocalServer(practice_app(model, sleep=no_wait)) as server, LocalServer(collector.app) as otlp:
        yield Shop(server.url, otlp.url)


def attributes(span) -> dict:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_call_is_told_by_the_conventions_for_generative_ai(shop, collector):
    with shop:
        shop.suggest()
    span = attributes(collector.spans[0])
    assert collector.services == {"checkout"}
    assert (span["gen_ai.operation.name"], span["gen_ai.request.model"]) == ("chat", "practice-1")
    assert span["gen_ai.response.model"] == "practice-1"
    assert span["gen_ai.usage.input_tokens"] > 0
    assert span["gen_ai.usage.output_tokens"] > 0


def test_a_failed_call_is_told_with_its_status(shop, collector, model):
    model.mode = Mode.DOWN
    with shop:
        shop.suggest()
    assert attributes(collector.spans[0])["error.type"] == "503"
    assert collector.spans[0].status.code == 2
