"""Apprise with a real peer for mail, and Slack's incoming webhook."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx
import orjson
import pytest
from aiosmtpd.smtp import SMTP

from alerts import DeliveryError
from alerts.channels.apprise import AppriseChannel, plain_text
from alerts.channels.slack_webhook import SlackWebhookChannel
from alerts.config import AppriseConfig, MentionsConfig, ReceiverConfig, SlackWebhookConfig
from alerts.finding import Severity

from .conftest import Answer, FakeEndpoint
from .messages import AT, KINDS, PAGE


class Mailbox:
    """What an SMTP server took. ``refusal`` is what it says instead of taking the next one."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusal = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, str]]:
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield (
        mailbox,
        f"mailto://127.0.0.1:{port}?from=anchorwatch@example.com&to=oncall@example.com&mode=insecure",
    )
    server.close()
    await server.wait_closed()


async def test_a_page_arrives_as_mail(mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    channel = AppriseChannel(AppriseConfig(url=url), "https://anchorwatch.example.com")
    await channel.deliver(KINDS["group"], None, is_repeat=False)
    [mail] = box.mails
    assert mail["subject"] == "PAGE FIRING: drift/support-bot and 29 more"
    assert mail["to"] == "oncall@example.com"
    text = mail.get_body().get_content()  # type: ignore[union-attr]
    for expected in (
        "answers differently",
        "evidence: 1.31 of 1",
        "and 27 more",
        f"https://anchorwatch.example.com/incidents/{PAGE.incident_id}",
    ):
        assert expected in text


async def test_a_mail_that_is_refused_did_not_arrive(mailbox: tuple[Mailbox, str]) -> None:
    box, url = mailbox
    box.refusal = "452 no space left"
    with pytest.raises(DeliveryError, match="Apprise could not deliver it") as failure:
        await AppriseChannel(AppriseConfig(url=url)).deliver(PAGE, None, is_repeat=False)
    assert not failure.value.permanent
    box.refusal = ""
    await AppriseChannel(AppriseConfig(url=url)).deliver(PAGE, None, is_repeat=True)
    assert len(box.mails) == 1


def test_a_plain_text_has_no_empty_paragraphs() -> None:
    assert "\n\n\n" not in plain_text(replace(PAGE, evidence=(), labels={}, incident_id=None))


@pytest.mark.parametrize("url", ["", "nonsense", "mailto", "unknown://user:s3cret@example.com"])
def test_an_address_that_apprise_does_not_know_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="not an address that Apprise knows") as refusal:
        ReceiverConfig.model_validate({"apprise": {"url": url}})
    assert "s3cret" not in str(refusal.value)


@pytest.fixture
async def hook(endpoint: FakeEndpoint) -> AsyncIterator[SlackWebhookChannel]:
    mentions = MentionsConfig(page=("S0ONCALL1", "U0ADA0001"), ticket=("here",))
    config = SlackWebhookConfig(url=endpoint.url, mentions=mentions)
    async with httpx.AsyncClient() as client:
        yield SlackWebhookChannel(config, client, lambda: AT)


@pytest.mark.parametrize(
    ("kind", "severity", "called"),
    [
        ("first", Severity.PAGE, "<!subteam^S0ONCALL1> <@U0ADA0001>"),
        ("worse", Severity.PAGE, "<!subteam^S0ONCALL1> <@U0ADA0001>"),
        ("first", Severity.TICKET, "<!here>"),
        ("first", Severity.INFO, None),
        ("resolved", Severity.PAGE, None),
        ("acknowledged", Severity.PAGE, None),
    ],
)
async def test_people_are_called_by_name_when_it_begins_and_by_how_bad_it_is(
    endpoint: FakeEndpoint, hook: SlackWebhookChannel, kind: str, severity: Severity, called: str | None
) -> None:
    await hook.deliver(replace(KINDS[kind], severity=severity), None, is_repeat=False)
    [(_, body)] = endpoint.requests
    texts = [
        block["text"]["text"]
        for block in orjson.loads(body)["blocks"]
        if block["type"] == "section" and "text" in block
    ]
    assert (texts[0] if texts[0].startswith("<") else None) == called


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "no_service"), (410, "channel_is_archived"), (403, "action_prohibited"), (400, "invalid_payload")],
)
async def test_what_slack_refuses_for_good_says_what_to_do(
    endpoint: FakeEndpoint, hook: SlackWebhookChannel, status: int, code: str
) -> None:
    endpoint.script.append(Answer(status, code))
    with pytest.raises(DeliveryError, match=f"{code}; ") as failure:
        await hook.deliver(PAGE, None, is_repeat=False)
    assert failure.value.permanent


@pytest.mark.parametrize("name", ["@ada", "<!channel>", "U1", "everybody"])
def test_a_mention_is_an_id_and_nothing_else(name: str) -> None:
    with pytest.raises(ValueError, match="name a user by id"):
        MentionsConfig(page=(name,))
