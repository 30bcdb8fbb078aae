"""The document on rollbacks: its configuration can be used, and its receiver takes real orders and no others."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import httpx
import pytest

from alerts import DeliveryError
from alerts.channels.webhook import RollbackChannel
from alerts.config import RollbackConfig
from alerts.finding import Severity
from alerts.incident import NoticeKind, State
from alerts.message import Message
from alerts.rollback import Mode
from monitor.config import load

DOCUMENT = (Path(__file__).parents[2] / "docs/rollbacks.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_the_configuration_can_be_used_and_has_every_option(tmp_path: Path) -> None:
    [example] = examples("yaml")
    path = tmp_path / "anchorwatch.yaml"
    path.write_text(example, encoding="utf-8")
    env = {"ROLLBACK_SECRET": SECRET, "SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"}
    deploy = load(path, env).config.rollbacks["deploy"]
    assert deploy.mode is Mode.ASK
    assert set(RollbackConfig.model_fields) - deploy.model_fields_set == {"timeout"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    [example] = examples("python")
    monkeypatch.setenv("ROLLBACK_SECRET", SECRET)
    module = ModuleType("receive_rollback")
    monkeypatch.setitem(sys.modules, "receive_rollback", module)
    exec(compile(example, "docs/rollbacks.md", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize(
    ("secret", "now", "taken"),
    [
        (SECRET, lambda: datetime.now(UTC), 1),
        (OTHER_SECRET, lambda: datetime.now(UTC), 0),
        (SECRET, lambda: datetime.now(UTC) - timedelta(minutes=10), 0),
    ],
    ids=["ours", "another's", "a copy of an old one"],
)
async def test_the_receiver_takes_what_is_signed_now_and_does_it_once(
    receiver: ModuleType, secret: str, now: Callable[[], datetime], taken: int
) -> None:
    orders: list[dict[str, object]] = []
    receiver.roll_back = orders.append  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), receiver.Orders)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    order = Message(
        "msg_1",
        NoticeKind.ROLLBACK,
        "chat is slow",
        datetime.now(UTC),
        "5f1b9c0e7a42d386",
        severity=Severity.PAGE,
        state=State.FIRING,
        labels={"service": "chat"},
        rollback="deploy",
    )
    url = f"http://127.0.0.1:{server.server_port}/rollback"
    config = RollbackConfig.model_validate({"url": url, "secret": secret, "mode": "live"})
    try:
        async with httpx.AsyncClient() as client:
            channel = RollbackChannel(config, client, now)
            for is_repeat in (False, True):
                if taken:
                    await channel.deliver(order, None, is_repeat=is_repeat)
                else:
                    with pytest.raises(DeliveryError, match="answered 401"):
                        await channel.deliver(order, None, is_repeat=is_repeat)
    finally:
        server.shutdown()
        server.server_close()
    assert [one["service"] for one in orders] == ["chat"] * taken
