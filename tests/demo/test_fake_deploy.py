from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import orjson
import pytest
from standardwebhooks import Webhook

from monitor.demo.fake_deploy import FakeDeploy, deploy_app
from monitor.demo.serving import LocalServer

SECRET = "whsec_cHJhY3RpY2UtZGVwbG95LXNlY3JldA=="
PAYLOAD = {"type": "rollback.requested", "data": {"target": "practice"}}


class Deploys:
    """A deploy system that counts its rollbacks."""

    def __init__(self) -> None:
        self.rolled_back: list[dict] = []
        self.fake = FakeDeploy(SECRET, self.rolled_back.append)


@pytest.fixture
def deploys() -> Deploys:
    return Deploys()


@pytest.fixture
def url(deploys: Deploys) -> Iterator[str]:
    with LocalServer(deploy_app(deploys.fake)) as server:
        yield f"{server.url}/rollback"


def send(url: str, webhook_id: str = "msg_1", secret: str = SECRET, tampered: bytes | None = None) -> int:
    body = orjson.dumps(PAYLOAD)
    now = datetime.now(tz=UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, body.decode()),
    }
    return httpx.post(url, content=tampered or body, headers=headers).status_code


def test_a_signed_webhook_rolls_back(url, deploys):
    assert send(url) == 200
    assert deploys.rolled_back == [PAYLOAD]
    [delivery] = deploys.fake.deliveries
    assert (delivery.id, delivery.is_verified, delivery.payload) == ("msg_1", True, PAYLOAD)


def test_the_same_webhook_again_is_taken_but_not_done_again(url, deploys):
    assert [send(url), send(url)] == [200, 200]
    assert deploys.rolled_back == [PAYLOAD]
    assert [delivery.was_repeated for delivery in deploys.fake.deliveries] == [False, True]


@pytest.mark.parametrize(
    "wrong",
    [{"secret": "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="}, {"tampered": b'{"type": "other"}'}],
    ids=["signed with another secret", "changed on the way"],
)
def test_what_does_not_verify_is_refused_and_not_done(url, deploys, wrong):
    assert send(url, **wrong) == 401
    assert deploys.rolled_back == []
    assert [(d.is_verified, d.payload) for d in deploys.fake.deliveries] == [(False, {})]


def test_an_unsigned_request_is_refused(url, deploys):
    assert httpx.post(url, json=PAYLOAD).status_code == 401
    assert deploys.rolled_back == []
