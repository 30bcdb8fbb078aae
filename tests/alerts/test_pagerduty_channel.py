from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from alerts import DeliveryError
from alerts.channels.pagerduty import PagerDutyChannel
from alerts.config import PagerDutyConfig
from alerts.finding import Severity
from alerts.incident import State

from .conftest import Answer, FakePagerDuty
from .messages import AT, KINDS, PAGE


@pytest.fixture
async def channel(pagerduty: FakePagerDuty) -> AsyncIterator[PagerDutyChannel]:
    config = PagerDutyConfig(routing_key=pagerduty.key, url=pagerduty.url)
    async with httpx.AsyncClient() as client:
        yield PagerDutyChannel(config, client, lambda: AT, "https://anchorwatch.example.com")


async def test_one_alarm_lives_under_one_key_until_it_is_over(
    pagerduty: FakePagerDuty, channel: PagerDutyChannel
) -> None:
    key = "anchorwatch/9f0c7a3b5d1e2f48"
    for kind, state in [
        ("first", "triggered"),
        ("updated", "triggered"),
        ("acknowledged", "acknowledged"),
        ("worse", "acknowledged"),
        ("rolled back", "acknowledged"),
    ]:
        await channel.deliver(KINDS[kind], None, is_repeat=False)
        assert pagerduty.open == {key: state}
    await channel.deliver(KINDS["resolved"], None, is_repeat=False)
    assert pagerduty.open == {}


async def test_news_of_what_is_over_opens_nothing(
    pagerduty: FakePagerDuty, channel: PagerDutyChannel
) -> None:
    await channel.deliver(KINDS["news of what is over"], None, is_repeat=False)
    assert pagerduty.events == []


async def test_a_test_is_closed_at_once(pagerduty: FakePagerDuty, channel: PagerDutyChannel) -> None:
    await channel.deliver(KINDS["test"], None, is_repeat=False)
    assert [event["event_action"] for event in pagerduty.events] == ["trigger", "resolve"]
    assert pagerduty.events[0]["payload"]["severity"] == "info"
    assert pagerduty.open == {}


@pytest.mark.parametrize(
    ("severity", "expected"),
    [(Severity.PAGE, "critical"), (Severity.TICKET, "warning"), (Severity.INFO, "info")],
)
async def test_what_people_read_in_pagerduty(
    pagerduty: FakePagerDuty, channel: PagerDutyChannel, severity: Severity, expected: str
) -> None:
    await channel.deliver(replace(KINDS["group"], severity=severity), None, is_repeat=False)
    [event] = pagerduty.events
    payload = event["payload"]
    assert payload["severity"] == expected
    assert payload["summary"].startswith(
        f"{severity.name} FIRING: drift/support-bot and 29 more: support-bot"
    )
    assert (payload["source"], payload["component"], payload["class"]) == ("support-bot", "gpt-4o", "drift")
    assert payload["timestamp"] == "2026-03-02T12:00:00+00:00"
    assert payload["custom_details"]["evidence"] == "1.31 of 1"
    assert payload["custom_details"]["incidents"][-1] == "and 27 more"
    assert event["client_url"] == f"https://anchorwatch.example.com/incidents/{PAGE.incident_id}"


async def test_an_incident_without_a_group_has_its_own_key(
    pagerduty: FakePagerDuty, channel: PagerDutyChannel
) -> None:
    await channel.deliver(replace(PAGE, group_id=None), None, is_repeat=False)
    assert list(pagerduty.open) == ["anchorwatch/2b26878b897629cd"]


async def test_a_wrong_key_is_permanent_and_says_what_to_check(pagerduty: FakePagerDuty) -> None:
    async with httpx.AsyncClient() as client:
        config = PagerDutyConfig(routing_key="f" * 32, url=pagerduty.url)
        with pytest.raises(DeliveryError, match="Invalid routing key; check the integration key") as failure:
            await PagerDutyChannel(config, client, lambda: AT).deliver(PAGE, None, is_repeat=False)
    assert failure.value.permanent
    assert "fff" not in str(failure.value)


async def test_a_rate_limit_without_a_time_waits_half_a_minute(
    pagerduty: FakePagerDuty, channel: PagerDutyChannel
) -> None:
    pagerduty.script.append(Answer(429, "{}"))
    with pytest.raises(DeliveryError) as failure:
        await channel.deliver(PAGE, None, is_repeat=False)
    assert (failure.value.permanent, failure.value.retry_after_s) == (False, 30.0)
    assert PAGE.state is State.FIRING


@pytest.mark.parametrize("key", ["", "short", "0123456789abcdef 123456789abcdef", "R" * 33])
def test_what_is_no_integration_key_is_refused_by_the_configuration(key: str) -> None:
    with pytest.raises(ValueError, match="32 letters and digits"):
        PagerDutyConfig(routing_key=key)
