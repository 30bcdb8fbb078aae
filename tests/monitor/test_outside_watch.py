"""What other systems hear of the daemon: signs of life and what fires, also when they cannot be reached."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from alerts import outbox_store, store
from alerts.config import AlertmanagerConfig, HeartbeatConfig
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State
from alerts.message import addressed, receiver_test
from monitor.config import Config
from monitor.database import Database
from monitor.self_watch import SelfWatch
from monitor.telemetry import Metrics
from monitor.telling.outside_watch import OUTBOX_STUCK_S, OutsideWatch, open_outside_watch

CONFIG = Config(
    alertmanager=AlertmanagerConfig(urls=("http://alertmanager:9093",)),
    heartbeat=HeartbeatConfig(url="https://switch.example.com/ping"),
)


class Outside:
    """The systems outside, and the daemon's way to them. ``status`` is what they answer."""

    def __init__(self, database: Database, clock: Any, config: Config = CONFIG) -> None:
        self.requests: list[httpx.Request] = []
        self.status = 200
        self.clock, self.database, self.metrics = clock, database, Metrics(clock)
        self.self_watch = SelfWatch(database, clock, self.metrics, lambda now: None)
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.it: OutsideWatch = open_outside_watch(
            config, database, clock, self.metrics, self.self_watch, self.client
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status)

    def problems(self) -> str:
        return "\n".join(self.self_watch.problems.shown(self.clock.now()))

    def counted(self, to: str, result: str) -> float | None:
        labels = {"to": to, "result": result}
        return self.metrics.registry.get_sample_value("anchorwatch_outside_total", labels)

    async def export_once(self) -> list[dict[str, Any]]:
        """What the Alertmanager was told in one round."""
        assert self.it.exporter is not None
        await self.it._export(self.it.exporter)
        return list(orjson.loads(self.requests[-1].content))


@pytest.fixture
def outside(database: Database, clock: Any) -> Outside:
    return Outside(database, clock)


async def test_a_daemon_that_can_work_gives_a_sign_of_life(outside: Outside) -> None:
    await outside.it.beat()
    [request] = outside.requests
    assert request.url.path == "/ping"
    assert outside.counted("heartbeat", "sent") == 1


async def test_a_message_that_does_not_get_out_is_told_to_the_switch(
    outside: Outside, database: Database, clock: Any
) -> None:
    row = addressed(receiver_test("oncall", clock.now()), "oncall", 0)
    await database.awrite(lambda session: outbox_store.enqueue(session, [row]))
    for wait_s in (OUTBOX_STUCK_S, 60):
        clock.advance(wait_s)
        await outside.self_watch.beat()
        await outside.it.beat()
    assert [request.url.path for request in outside.requests] == ["/ping", "/ping/fail"]
    assert outside.requests[-1].content == b"a message has waited for 31 min"


async def test_a_daemon_that_stops_says_so(outside: Outside) -> None:
    outside.self_watch.is_stopping = True
    await outside.it.beat()
    [request] = outside.requests
    assert (request.url.path, request.content) == ("/ping/fail", b"the daemon is stopping")


async def test_a_switch_that_cannot_be_reached_is_a_problem_on_the_page(outside: Outside) -> None:
    outside.status = 503
    await outside.it.beat()
    assert "The sign of life was not sent: the dead man's switch answered 503" in outside.problems()
    assert outside.counted("heartbeat", "failed") == 1


async def test_the_alertmanager_hears_what_fires_and_for_a_while_what_is_over(
    outside: Outside, database: Database, clock: Any
) -> None:
    finding = Finding(Severity.PAGE, Source.WATCH, "p95 is above 8 s.", {"service": "checkout"})
    now = clock.now()
    firing = Incident("1" * 16, "watch/p95", State.FIRING, Severity.PAGE, finding, now, now, firing_since=now)
    await database.awrite(lambda session: store.save_incident(session, firing))
    assert [alert["labels"]["alertname"] for alert in await outside.export_once()] == [
        "AnchorwatchWatch",
        "AnchorwatchWatchdog",
    ]
    over = replace(firing, state=State.RESOLVED, resolved_at=now + timedelta(seconds=60))
    await database.awrite(lambda session: store.save_incident(session, over))
    clock.advance(120)
    ended, _ = await outside.export_once()
    assert ended["endsAt"] == "2026-03-02T12:01:00.000+00:00"
    clock.advance(3600)
    assert [alert["labels"]["alertname"] for alert in await outside.export_once()] == ["AnchorwatchWatchdog"]


async def test_an_alertmanager_that_refuses_is_a_problem_on_the_page(outside: Outside) -> None:
    outside.status = 500
    await outside.export_once()
    assert "The Alertmanager was not told what fires: the Alertmanager at http" in outside.problems()
    assert outside.counted("alertmanager", "failed") == 1


async def test_nothing_is_sent_that_nobody_asked_for(database: Database, clock: Any) -> None:
    outside = Outside(database, clock, Config())
    await outside.it.beat()
    await outside.it.export()
    assert outside.requests == []
