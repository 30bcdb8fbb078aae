from collections.abc import AsyncIterator

import httpx
import pytest

from alerts import DeliveryError
from alerts.config import HeartbeatConfig
from alerts.heartbeat import Heartbeat

from .conftest import Answer, FakeEndpoint
from .messages import AT


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def test_a_sign_of_life_arrives(endpoint: FakeEndpoint, client: httpx.AsyncClient) -> None:
    await Heartbeat(HeartbeatConfig(url=endpoint.url), client, lambda: AT).beat()
    [(_, body)] = endpoint.requests
    assert body == b""


@pytest.mark.parametrize(("tells", "pinged"), [(True, ["/ping/fail"]), (False, [])])
async def test_trouble_is_told_at_once_or_by_saying_nothing(tells: bool, pinged: list[str]) -> None:
    heard: list[str] = []

    def hear(request: httpx.Request) -> httpx.Response:
        assert request.content == "the database cannot be written: disk full €".encode()
        heard.append(request.url.path)
        return httpx.Response(200)

    config = HeartbeatConfig(url="https://switch.example.com/ping", tells_trouble=tells)
    async with httpx.AsyncClient(transport=httpx.MockTransport(hear)) as fake:
        await Heartbeat(config, fake, lambda: AT).beat("the database cannot be written: disk full €")
    assert heard == pinged


async def test_a_switch_that_refuses_is_told_without_its_address(
    endpoint: FakeEndpoint, client: httpx.AsyncClient
) -> None:
    endpoint.script.append(Answer(404, "not found"))
    with pytest.raises(DeliveryError, match="dead man's switch answered 404") as failure:
        await Heartbeat(HeartbeatConfig(url=endpoint.url), client, lambda: AT).beat()
    assert endpoint.url not in str(failure.value)
