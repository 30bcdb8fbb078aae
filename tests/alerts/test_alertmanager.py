import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from real_parts import program, running_alertmanager

from alerts import DeliveryError
from alerts.alertmanager import RESENT_FOR_S, WATCHDOG, Exporter, alerts_of
from alerts.config import AlertmanagerConfig
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State

from .conftest import FakeEndpoint

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FIRING = Incident(
    id="2b26878b897629cd",
    key="drift/support-bot",
    state=State.FIRING,
    severity=Severity.PAGE,
    finding=Finding(
        Severity.PAGE,
        Source.LEDGER,
        "support-bot answers differently than in its baseline.",
        {"target": "support-bot", "gen_ai.request.model": "gpt-4o", "empty": ""},
        (("evidence", "1.31 of 1"),),
    ),
    opened_at=NOW - timedelta(minutes=3),
    updated_at=NOW,
    firing_since=NOW - timedelta(minutes=2),
)
PENDING = replace(FIRING, state=State.PENDING, firing_since=None)
OVER = replace(FIRING, state=State.RESOLVED, resolved_at=NOW - timedelta(seconds=60))


def test_what_fires_is_an_alert_that_ends_by_itself_if_we_are_gone() -> None:
    [alert] = alerts_of([FIRING], NOW, 240, "https://anchorwatch.example.com", {"cluster": "eu"})
    assert alert["labels"] == {
        "alertname": "AnchorwatchDrift",
        "cluster": "eu",
        "gen_ai_request_model": "gpt-4o",
        "incident_key": "drift/support-bot",
        "severity": "page",
        "source": "ledger",
        "target": "support-bot",
    }
    assert alert["annotations"]["description"] == "evidence: 1.31 of 1"
    assert alert["startsAt"] == "2026-03-02T11:58:00.000+00:00"
    assert alert["endsAt"] == "2026-03-02T12:04:00.000+00:00"
    assert alert["generatorURL"] == f"https://anchorwatch.example.com/incidents/{FIRING.id}"


@pytest.mark.parametrize(
    ("incident", "said"),
    [
        (PENDING, False),
        (replace(FIRING, state=State.ACKNOWLEDGED), True),
        (OVER, True),
        (replace(OVER, resolved_at=NOW - timedelta(seconds=RESENT_FOR_S + 1)), False),
        (replace(OVER, firing_since=None), False),
    ],
    ids=["pending", "acknowledged", "lately over", "long over", "never fired"],
)
def test_what_is_said_of_an_incident(incident: Incident, said: bool) -> None:
    assert bool(alerts_of([incident], NOW, 240)) is said


def test_an_alert_is_known_by_the_same_labels_until_it_is_over() -> None:
    changed = replace(FIRING, finding=replace(FIRING.finding, summary="It is worse.", evidence=()))
    labels = [alerts_of([one], NOW, 240)[0]["labels"] for one in (FIRING, changed, OVER)]
    assert labels[0] == labels[1] == labels[2]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def test_one_alertmanager_of_a_cluster_is_enough(
    endpoint: FakeEndpoint, client: httpx.AsyncClient, unused_tcp_port: int
) -> None:
    config = AlertmanagerConfig(urls=(f"{endpoint.url}", f"http://127.0.0.1:{unused_tcp_port}"))
    # The fake only knows its own path: what is asked of it is a path below.
    with pytest.raises(DeliveryError, match=r"answered 404.*; .*could not be reached"):
        await Exporter(config, client, lambda: NOW).send([FIRING])


async def test_every_alert_goes_out_though_there_are_many() -> None:
    taken: list[dict[str, Any]] = []

    def take(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer s3cret"
        taken.extend(orjson.loads(request.content))
        return httpx.Response(200)

    config = AlertmanagerConfig(urls=("http://alertmanager:9093/prefix/",), bearer_token="s3cret")
    many = [replace(FIRING, key=f"drift/bot-{number}") for number in range(1200)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as fake:
        assert await Exporter(config, fake, lambda: NOW).send(many) == 1
    assert len({alert["labels"].get("incident_key") for alert in taken}) == 1201
    assert [alert["labels"]["alertname"] for alert in taken].count(WATCHDOG) == 1


@pytest.fixture
def alertmanager(endpoint: FakeEndpoint, tmp_path: Path, unused_tcp_port: int) -> Iterator[str]:
    """Where a real Alertmanager is that tells ``endpoint``."""
    route = {"receiver": "us", "group_by": ["alertname"], "group_wait": "1s", "group_interval": "1s"}
    receivers = [{"name": "us", "webhook_configs": [{"url": endpoint.url}]}]
    with running_alertmanager({"route": route, "receivers": receivers}, tmp_path, unused_tcp_port) as url:
        yield url


@pytest.mark.real
async def test_a_real_alertmanager_takes_the_alerts_and_their_end(
    client: httpx.AsyncClient, endpoint: FakeEndpoint, alertmanager: str
) -> None:
    now = datetime.now(UTC)
    exporter = Exporter(AlertmanagerConfig(urls=(alertmanager,), watchdog=False), client, lambda: now)
    firing = replace(FIRING, opened_at=now, firing_since=now - timedelta(seconds=30))
    assert await exporter.send([firing]) == 1
    await endpoint.heard(lambda body: orjson.loads(body)["status"] == "firing")
    [alert] = await _amtool(alertmanager, "drift/support-bot")
    assert (alert["labels"]["severity"], alert["annotations"]["incident"]) == ("page", firing.id)
    over = replace(firing, state=State.RESOLVED, resolved_at=now)
    await exporter.send([over])
    await endpoint.heard(lambda body: orjson.loads(body)["status"] == "resolved")
    assert await _amtool(alertmanager, "drift/support-bot") == []


async def _amtool(url: str, key: str) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        program("amtool", "prometheus-alertmanager"),
        f"--alertmanager.url={url}",
        "--output=json",
        "alert",
        "query",
        f"incident_key={key}",
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return list(json.loads(said))
