"""What every channel does, whatever its kind: one suite over all of them, against servers that follow their rules."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from alerts import DeliveryError
from alerts.channels import Channel, Tools, open_channels
from alerts.config import CHANNEL_KINDS, ReceiverConfig

from .conftest import Answer
from .messages import HUGE, KINDS, PAGE

SECRET = "t0ps3cret"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Setting:
    """A receiver of one kind with the server behind it. ``refuse`` has that server answer so to the next request."""

    config: Callable[[str], dict[str, Any]]
    url: str
    refuse: Callable[[Answer], None]


@pytest.fixture(params=CHANNEL_KINDS)
def setting(request: pytest.FixtureRequest) -> Setting:
    def slack() -> Setting:
        fake = request.getfixturevalue("slack")

        def config(url: str) -> dict[str, Any]:
            return {"slack": {"token": "xoxb-secret", "channel": "C0ONCALL", "base_url": url}}

        return Setting(config, fake.url, lambda answer: fake.script.append(("chat.postMessage", answer)))

    def pagerduty() -> Setting:
        fake = request.getfixturevalue("pagerduty")

        def config(url: str) -> dict[str, Any]:
            return {"pagerduty": {"routing_key": fake.key, "url": url}}

        return Setting(config, fake.url, fake.script.append)

    def endpoint(settings: Callable[[str], dict[str, Any]]) -> Setting:
        fake = request.getfixturevalue("endpoint")
        return Setting(settings, fake.url, fake.script.append)

    return {
        "slack": slack,
        "pagerduty": pagerduty,
        "slack_webhook": lambda: endpoint(lambda url: {"slack_webhook": {"url": f"{url}?{SECRET}"}}),
        "apprise": lambda: endpoint(
            lambda url: {"apprise": {"url": f"{url.replace('http', 'json', 1)}?+X-Token={SECRET}"}}
        ),
        "webhook": lambda: endpoint(lambda url: {"webhook": {"url": url, "secret": SIGNING_SECRET}}),
    }[request.param]()


@pytest.fixture
async def opened(setting: Setting) -> AsyncIterator[Callable[..., Channel]]:
    async with httpx.AsyncClient() as client:

        def open_one(url: str = setting.url) -> Channel:
            receiver = ReceiverConfig.model_validate(setting.config(url))
            tools = Tools(client, lambda: datetime.now(UTC), "https://anchorwatch.example.com")
            return open_channels({"oncall": receiver}, {}, tools)["oncall"]

        yield open_one


async def test_a_group_is_told_from_its_first_word_to_its_end(opened: Callable[..., Channel]) -> None:
    channel, thread = opened(), None
    for message in KINDS.values():
        thread = await channel.deliver(message, thread, is_repeat=False)


async def test_a_message_of_any_size_is_taken(opened: Callable[..., Channel]) -> None:
    await opened().deliver(HUGE, None, is_repeat=False)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_in_trouble_is_worth_another_try(
    setting: Setting, opened: Callable[..., Channel], status: int
) -> None:
    setting.refuse(Answer(status, "<html>"))
    channel = opened()
    with pytest.raises(DeliveryError) as failure:
        await channel.deliver(PAGE, None, is_repeat=False)
    assert not failure.value.permanent
    await channel.deliver(PAGE, None, is_repeat=True)


async def test_a_pause_that_is_asked_for_is_told(setting: Setting, opened: Callable[..., Channel]) -> None:
    setting.refuse(Answer(429, "slow down", {"Retry-After": "120"}))
    with pytest.raises(DeliveryError) as failure:
        await opened().deliver(PAGE, None, is_repeat=False)
    assert not failure.value.permanent
    # Apprise keeps the header to itself: the outbox waits as long as it thinks right.
    assert failure.value.retry_after_s == (None if "apprise" in setting.config("") else 120.0)


async def test_nobody_there_is_worth_another_try(opened: Callable[..., Channel]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        channel = opened(f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        with pytest.raises(DeliveryError) as failure:
            await channel.deliver(PAGE, None, is_repeat=False)
    assert not failure.value.permanent


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_no_error_repeats_a_secret(
    setting: Setting, opened: Callable[..., Channel], status: int
) -> None:
    setting.refuse(Answer(status, "no"))
    with pytest.raises(DeliveryError) as failure:
        await opened().deliver(PAGE, None, is_repeat=False)
    said = str(failure.value)
    assert not any(secret in said for secret in (SECRET, "xoxb", SIGNING_SECRET, "0123456789abcdef"))


async def test_many_at_a_time_do_not_mix(opened: Callable[..., Channel]) -> None:
    channel = opened()
    await asyncio.gather(*(channel.deliver(one, None, is_repeat=False) for one in KINDS.values()))
