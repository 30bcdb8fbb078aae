"""Signed HTTP messages by the Standard Webhooks specification: for rollbacks, and as a receiver of its own.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from math import floor
from typing import Any

import httpx
import orjson
from standardwebhooks import Webhook

from .. import DeliveryError
from ..config import RollbackConfig, WebhookConfig
from ..incident import NoticeKind
from ..message import Message, Thread
from ..rollback import Mode
from .posting import Poster

MAX_BODY_BYTES = 20_000
"""What the specification recommends at most. A larger body leaves out evidence, parts of a report, members, labels."""

MAX_SUMMARY_LENGTH = 1000
"""How much of a summary or a note goes into a body."""

GONE = 410
"""By the specification the receiver wants nothing more: trying again cannot help."""


class WebhookChannel:
    """One endpoint. Only a 2xx answer counts as arrived; redirects are not followed."""

    def __init__(
        self,
        config: WebhookConfig | RollbackConfig,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
    ) -> None:
        self._poster = Poster("the webhook", str(config.url), config.timeout, client, now)
        self._webhook = Webhook(config.secret.get_secret_value())
        self._now = now

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """``None``: webhooks have no threads. A repeat has the same id, by which the receiver drops it."""
        body = webhook_body(message)
        answer = await self._poster.post(body, self._headers(message.id, body))
        if not answer.is_success:
            raise DeliveryError(
                f"the webhook answered {answer.status}",
                permanent=answer.status == GONE,
                retry_after_s=answer.retry_after_s,
            )
        return None

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        # The time is that of this attempt: receivers refuse a timestamp that is minutes old.
        now = self._now()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(floor(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body.decode()),
        }


class RollbackChannel:
    """The way to a deploy system: takes orders to roll back and nothing else, and only those that its mode allows."""

    def __init__(
        self, config: RollbackConfig, client: httpx.AsyncClient, now: Callable[[], datetime]
    ) -> None:
        self._webhook = WebhookChannel(config, client, now)
        self._mode = config.mode

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """``None``, after the deploy system took the order."""
        # A deploy system that does not read the type of what is signed would act on a test message.
        if message.kind is not NoticeKind.ROLLBACK:
            raise DeliveryError("a rollback takes no messages but the order to roll back", permanent=True)
        # The order may have waited here since the mode was another one: whoever changed that wants it to stay.
        if self._mode is Mode.DRY_RUN or (self._mode is Mode.ASK and not message.approved_by):
            raise DeliveryError(f"the rollback has been set to {self._mode.value}", permanent=True)
        return await self._webhook.deliver(message, thread, is_repeat=is_repeat)


def webhook_body(message: Message) -> bytes:
    """The JSON that is signed and sent: the same message gives the same bytes, below ``MAX_BODY_BYTES``."""
    labels, evidence, members = dict(message.labels), list(message.evidence), _members(message)
    sections = len(message.sections)
    body = _body(message, labels, evidence, members, sections)
    while len(body) >= MAX_BODY_BYTES and (evidence or labels or members or sections):
        if evidence:
            evidence.pop()
        elif sections:
            sections -= 1
        elif members:
            members.pop()
        else:
            labels.popitem()
        body = _body(message, labels, evidence, members, sections)
    return body


def _members(message: Message) -> list[dict[str, Any]]:
    return [
        {
            "incident": one.incident_id,
            "key": one.key,
            "severity": one.severity.name.lower(),
            "state": one.state,
            "summary": one.summary[:MAX_SUMMARY_LENGTH],
        }
        for one in message.members
    ]


def _body(
    message: Message,
    labels: Mapping[str, str],
    evidence: list[tuple[str, str]],
    members: list[dict[str, Any]],
    sections: int,
) -> bytes:
    fields: dict[str, Any] = {
        "type": f"anchorwatch.{message.kind.value}",
        "id": message.id,
        "created_at": message.created_at,
        "incident": message.incident_id,
        "key": message.key,
        "severity": message.severity.name.lower(),
        "state": message.state,
        "since": message.since,
        "target": labels.get("target"),
        "service": labels.get("service"),
        "labels": labels,
        "summary": message.summary[:MAX_SUMMARY_LENGTH],
        "note": message.note[:MAX_SUMMARY_LENGTH],
        "group": message.group_id,
        "why": message.why,
        "incidents": members,
        "incident_count": message.member_count,
        "evidence": [{"name": name, "value": value} for name, value in evidence],
        "left_out": len(message.evidence) - len(evidence) + len(message.labels) - len(labels),
    }
    if message.kind is NoticeKind.REPORT:
        fields |= {"sections": message.sections[:sections], "page": message.page}
        fields["left_out"] += len(message.sections) - sections
    if message.kind is NoticeKind.ROLLBACK:
        fields |= {"rollback": message.rollback, "mode": "live", "approved_by": message.approved_by}
    elif message.rollback is not None:
        fields["rollback"] = message.rollback
    return orjson.dumps(fields)
