"""What the tests of the running daemon share: Slack, a deploy system, and spans to send."""

import asyncio
import base64
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.cli import main
from monitor.demo.fake_deploy import FakeDeploy, deploy_app
from monitor.demo.fake_slack import FakeSlack, SlackMessage, slack_app
from monitor.demo.serving import LocalServer

CHANNEL = "C0ONCALL"
SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()


class Late:
    """An ASGI app whose answers come ``latency_s`` after what they tell of is done."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.latency_s = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_late(message: Any) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(self.latency_s)
            await send(message)

        await self._app(scope, receive, send_late)


class Harbour:
    """Who is told: a Slack channel and a deploy system, and what a configuration says of them."""

    def __init__(self) -> None:
        self.picture = "false"
        self.slack = FakeSlack(token="xoxb-test", channels=(CHANNEL,))
        self.deploy = FakeDeploy(SECRET)
        self.slack_answers = Late(slack_app(self.slack))
        self.deploy_answers = Late(deploy_app(self.deploy))
        self.slack_server = LocalServer(self.slack_answers)
        self.deploy_server = LocalServer(self.deploy_answers)

    @property
    def config(self) -> str:
        return f"""
receivers:
  oncall:
    slack:
      {{token: xoxb-test, channel: {CHANNEL}, picture: {self.picture}, base_url: "{self.slack_server.url}/api/"}}
rollbacks:
  deploy: {{url: "{self.deploy_server.url}/rollback", secret: {SECRET}, mode: live, cooldown: 1s}}
"""

    def first_messages(self, incident_id: str) -> list[SlackMessage]:
        """What stands in the channel, not in a thread, about an incident."""
        return [
            message
            for message in self.slack.messages(CHANNEL)
            if message.thread_ts is None and incident_id in str(message.to_json())
        ]


@pytest.fixture(scope="module")
def harbour() -> Iterator[Harbour]:
    harbour = Harbour()
    with harbour.slack_server, harbour.deploy_server:
        yield harbour


SUITE = """
canaries:
  - {id: greeting, prompt: "Say hello.", expect: {not_empty: true}}
  - {id: colour, prompt: "Name a colour.", expect: {not_empty: true}}
"""


def write_suite(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(SUITE)


def otlp_json(calls: int) -> dict[str, object]:
    """A trace export of so many chat calls that end now."""
    end = time.time_ns()

    def text(key: str, value: str) -> dict[str, object]:
        return {"key": key, "value": {"stringValue": value}}

    spans = [
        {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": "chat gpt-4o-mini",
            "kind": 3,
            "startTimeUnixNano": str(end - 10**9),
            "endTimeUnixNano": str(end),
            "attributes": [
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.provider.name", "openai"),
                text("gen_ai.request.model", "gpt-4o-mini"),
            ],
        }
        for number in range(calls)
    ]
    resource = {"attributes": [text("service.name", "checkout")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": spans}]}]}


def as_protobuf(export: dict[str, object]) -> bytes:
    """The same export in protobuf."""
    # OTLP's JSON has ids in hex, protobuf's own JSON has them in base64.
    text = re.sub(
        r'"(traceId|spanId)": "([0-9a-f]+)"',
        lambda match: f'"{match[1]}": "{base64.b64encode(bytes.fromhex(match[2])).decode()}"',
        json.dumps(export),
    )
    return ParseDict(json.loads(text), ExportTraceServiceRequest()).SerializeToString()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Runs a command of ours in this process; gives its exit code."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr("sys.argv", ["anchorwatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = True
    structlog.reset_defaults()
