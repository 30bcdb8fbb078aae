"""Slack by an incoming webhook: the simple way. Every message stands by itself, as there are no threads and no edits.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from collections.abc import Callable
from datetime import datetime

import httpx
import orjson

from .. import DeliveryError
from ..config import SlackWebhookConfig
from ..message import Message, Thread
from .posting import Poster
from .slack_blocks import slack_blocks, slack_text

DEFAULT_RETRY_AFTER_S = 30.0
"""The wait after a 429 that does not say how long."""

_NEW_URL = "make a new incoming webhook and put its address into the receiver"
PERMANENT = {
    "action_prohibited": "an administrator of the workspace has to allow it",
    "channel_is_archived": "make a webhook of a channel that is not archived",
    "channel_not_found": _NEW_URL,
    "invalid_token": _NEW_URL,
    "no_active_hooks": _NEW_URL,
    "no_service": _NEW_URL,
    "no_service_id": _NEW_URL,
    "no_team": _NEW_URL,
    "team_disabled": "the workspace is disabled",
    "user_not_found": _NEW_URL,
    "invalid_blocks": "this is a defect of Anchorwatch; please report it",
    "invalid_payload": "this is a defect of Anchorwatch; please report it",
}
"""Slack's refusals that trying again cannot change, each with what a person can do about it."""


class SlackWebhookChannel:
    """One channel of one workspace, which can only be written to."""

    def __init__(
        self,
        config: SlackWebhookConfig,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
        public_url: str | None = None,
    ) -> None:
        url = config.url.get_secret_value()
        self._poster = Poster("Slack's incoming webhook", url, config.timeout, client, now)
        self._mentions = config.mentions
        self._public_url = public_url

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """``None``: an incoming webhook does not tell where a message lies. One that is repeated can be there twice."""
        content = {
            "text": slack_text(message),
            "blocks": slack_blocks(message, self._public_url, self._mentions),
        }
        answer = await self._poster.post(orjson.dumps(content))
        if answer.is_success:
            return None
        if answer.status == 429:
            wait_s = answer.retry_after_s or DEFAULT_RETRY_AFTER_S
            raise DeliveryError("Slack asks for a pause (429)", retry_after_s=wait_s)
        code = answer.text.strip()
        if advice := PERMANENT.get(code):
            raise DeliveryError(f"Slack refused the message: {code}; {advice}", permanent=True)
        raise DeliveryError(f"Slack answered {answer.status}", retry_after_s=answer.retry_after_s)
