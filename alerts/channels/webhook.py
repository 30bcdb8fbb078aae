"""Signed HTTP messages by the Standard Webhooks specification: for rollbacks, and as a receiver of its own.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
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
from .retry_after import retry_after_s

MAX_BODY_BYTES = 20_000
"""What the specification recommends at most. A larger body leaves out evidence, parts of a report, then labels."""

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
        self._url = str(config.url)
        self._timeout_s = config.timeout
        self._webhook = Webhook(config.secret.get_secret_value())
        self._client = client
        self._now = now

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """``None``: webhooks have no threads. A repeat has the same id, by which the receiver drops it."""
        body = webhook_body(message)
        try:
            async with asyncio.timeout(self._timeout_s):
                status, headers = await self._post(body, self._headers(message.id, body))
        except TimeoutError as error:
            raise DeliveryError(f"the webhook did not answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise DeliveryError(f"the webhook could not be reached ({type(error).__name__})") from error
        if not 200 <= status < 300:
            wait_s = retry_after_s(headers.get("retry-after"), self._now())
            raise DeliveryError(
                f"the webhook answered {status}", permanent=status == GONE, retry_after_s=wait_s
            )
        return None

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, httpx.Headers]:
        request = self._client.stream(
            "POST", self._url, content=body, headers=headers, timeout=self._timeout_s, follow_redirects=False
        )
        # The body of the answer is never read, so its size cannot hurt.
        async with request as response:
            return response.status_code, response.headers

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        # The time is that of this attempt: receivers refuse a timestamp that is minutes old.
        now = self._now()
        return {
            "content-type": "application/json",
            "user-agent": "anchorwatch",
            "webhook-id": message_id,
            "webhook-timestamp": str(floor(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body.decode()),
        }


class RollbackChannel:
    """The way to a deploy system: takes orders to roll back and nothing else, and only while the mode is live."""

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
        # The order may have waited here since the mode was live: whoever changed that wants it to stay.
        if self._mode is not Mode.LIVE:
            raise DeliveryError("the rollback has been set to dry-run", permanent=True)
        return await self._webhook.deliver(message, thread, is_repeat=is_repeat)


def webhook_body(message: Message) -> bytes:
    """The JSON that is signed and sent: the same message gives the same bytes, below ``MAX_BODY_BYTES``."""
    labels, evidence, sections = dict(message.labels), list(message.evidence), len(message.sections)
    body = _body(message, labels, evidence, sections)
    while len(body) >= MAX_BODY_BYTES and (evidence or labels or sections):
        if evidence:
            evidence.pop()
        elif sections:
            sections -= 1
        else:
            labels.popitem()
        body = _body(message, labels, evidence, sections)
    return body


def _body(
    message: Message, labels: Mapping[str, str], evidence: list[tuple[str, str]], sections: int
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
        "evidence": [{"name": name, "value": value} for name, value in evidence],
        "left_out": len(message.evidence) - len(evidence) + len(message.labels) - len(labels),
    }
    if message.kind is NoticeKind.REPORT:
        fields |= {"sections": message.sections[:sections], "page": message.page}
        fields["left_out"] += len(message.sections) - sections
    if message.kind is NoticeKind.ROLLBACK:
        fields |= {"rollback": message.rollback, "mode": "live"}
    return orjson.dumps(fields)
