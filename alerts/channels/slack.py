"""Slack by its Web API: the first message of an incident, and later states as replies to it and an update of it."""

from collections.abc import Awaitable, Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from .. import DeliveryError
from ..config import SlackConfig
from ..incident import NoticeKind
from ..message import Message, Thread
from .slack_blocks import slack_blocks, slack_text

CALL_TIMEOUT_S = 10
"""How long one call of the Slack API may take. A delivery makes at most three."""

DEFAULT_RETRY_AFTER_S = 30.0
"""The wait after a 429 that does not say how long."""

SEARCH_LIMIT = 100
"""How many of the messages since a first attempt are searched for one that arrived after all."""

SEARCH_MARGIN_S = 300.0
"""How far Slack's clock and ours may be apart for that search to find it."""

EVENT_TYPE = "anchorwatch_notification"
"""The metadata type of our messages. Their payload holds the id of the notification."""

_INVITE = "invite the app to the channel, or correct its id"
_TOKEN = "make a new bot token and put it into the receiver's configuration"  # noqa: S105 (advice)
PERMANENT = {
    "account_inactive": _TOKEN,
    "invalid_auth": _TOKEN,
    "not_authed": _TOKEN,
    "token_expired": _TOKEN,
    "token_revoked": _TOKEN,
    "not_allowed_token_type": "the receiver needs a bot token (xoxb-...)",
    "missing_scope": "give the app the scope chat:write and install it again",
    "no_permission": "give the app the scope chat:write and install it again",
    "channel_not_found": _INVITE,
    "not_in_channel": _INVITE,
    "is_archived": "name a channel that is not archived",
    "restricted_action": "let the app post in this channel",
    "team_access_not_granted": "let the app into this workspace",
    "invalid_blocks": "this is a defect of Anchorwatch; please report it",
    "msg_too_long": "this is a defect of Anchorwatch; please report it",
}
"""Slack's refusals that trying again cannot change, each with what a person can do about it."""

_CHANGES = (NoticeKind.FIRING, NoticeKind.ESCALATED, NoticeKind.UPDATED, NoticeKind.RESOLVED)
"""What changes the first message of a thread, which shows how things are now."""

_LOUD = (NoticeKind.FIRING, NoticeKind.ESCALATED, NoticeKind.REPEATED, NoticeKind.ROLLBACK_QUESTION)

_THREAD_IS_GONE = ("thread_not_found", "message_not_found")
_CANNOT_EDIT = (*_THREAD_IS_GONE, "cant_update_message", "edit_window_closed")


class SlackChannel:
    """One channel of one workspace."""

    def __init__(self, config: SlackConfig, public_url: str | None = None) -> None:
        # No retries in here: the outbox waits, and remembers that it does over a restart.
        self._client = AsyncWebClient(
            token=config.token.get_secret_value(),
            base_url=config.base_url,
            timeout=CALL_TIMEOUT_S,
            retry_handlers=[],
        )
        self._channel = config.channel
        self._mentions = config.mentions
        self._has_buttons = config.has_buttons
        self._public_url = public_url

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """The first message of the incident, after this message is in the channel.

        A repeat first looks whether the message is there; that needs the scope ``channels:history`` (or
        ``groups:history``). Without it a message can be there twice, never zero times.
        """
        found = await self._find(message, thread) if is_repeat else None
        if found is not None:
            return thread or found
        if thread is None:
            return await self._post(message)
        if message.kind in _CHANGES:
            await self._update(message, thread)
        return await self._reply(message, thread)

    async def _post(self, message: Message, **place: Any) -> Thread:
        post = self._client.chat_postMessage(
            metadata={"event_type": EVENT_TYPE, "event_payload": {"id": message.id}},
            unfurl_links=False,
            unfurl_media=False,
            **{"channel": self._channel} | self._content(message) | place,
        )
        answer = await answer_of(post)
        return Thread(channel=answer["channel"], message=answer["ts"])

    async def _reply(self, message: Message, thread: Thread) -> Thread:
        # A thread is quiet: what is to wake people is shown to the whole channel.
        is_loud = message.kind in _LOUD
        place = {"channel": thread.channel, "thread_ts": thread.message, "reply_broadcast": is_loud}
        try:
            await self._post(message, **place)
        except _RefusedError as refusal:
            if refusal.code not in _THREAD_IS_GONE:
                raise
            return await self._post(message)
        return thread

    async def _update(self, message: Message, thread: Thread) -> None:
        try:
            await answer_of(
                self._client.chat_update(channel=thread.channel, ts=thread.message, **self._content(message))
            )
        except _RefusedError as refusal:
            # The reply tells the same: a first message that somebody removed must not hold it back.
            if refusal.code not in _CANNOT_EDIT:
                raise

    async def _find(self, message: Message, thread: Thread | None) -> Thread | None:
        channel = self._channel if thread is None else thread.channel
        since: dict[str, Any] = {
            "channel": channel,
            "oldest": f"{message.created_at.timestamp() - SEARCH_MARGIN_S:.6f}",
            "limit": SEARCH_LIMIT,
            "include_all_metadata": True,
        }
        if thread is None:
            search = self._client.conversations_history(**since)
        else:
            search = self._client.conversations_replies(ts=thread.message, **since)
        try:
            messages = (await answer_of(search))["messages"]
        except DeliveryError:
            return None
        for known in messages:
            if known.get("metadata", {}).get("event_payload", {}).get("id") == message.id:
                return Thread(channel=channel, message=known["ts"])
        return None

    def _content(self, message: Message) -> dict[str, Any]:
        return {
            "text": slack_text(message),
            "blocks": slack_blocks(message, self._public_url, self._mentions, with_buttons=self._has_buttons),
        }


async def answer_of(
    call: Awaitable[AsyncSlackResponse], what: str = "message", permanent: Mapping[str, str] = PERMANENT
) -> Any:
    """What Slack answers to a call about a ``what``. Raises DeliveryError when it refuses, or cannot be reached.

    ``permanent`` are refusals that trying again cannot change, with what a person can do.
    """
    try:
        return (await call).data
    except SlackApiError as error:
        raise _refused(error, what, permanent) from error
    except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError) as error:
        raise DeliveryError(f"Slack could not be reached ({type(error).__name__})") from error


class _RefusedError(DeliveryError):
    """Slack understood the call and said no, with this code."""

    def __init__(self, code: str, text: str, *, permanent: bool, retry_after_s: float | None) -> None:
        super().__init__(text, permanent=permanent, retry_after_s=retry_after_s)
        self.code = code


def _refused(error: SlackApiError, what: str, permanent: Mapping[str, str]) -> DeliveryError:
    response = error.response
    # A body that is no JSON comes with the bare HTTP response instead of Slack's.
    data = getattr(response, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    status = getattr(response, "status_code", None)
    if status == 429 or code in ("ratelimited", "rate_limited"):
        wait_s = _pause_s(response.headers.get("Retry-After"))
        return _RefusedError(code, "Slack asks for a pause (429)", permanent=False, retry_after_s=wait_s)
    if not code:
        return DeliveryError(f"Slack answered {status or 'something that is no JSON'}")
    advice = permanent.get(code)
    text = f"Slack refused the {what}: {code}" + (f"; {advice}" if advice else "")
    return _RefusedError(code, text, permanent=advice is not None, retry_after_s=None)


def _pause_s(header: str | None) -> float:
    return float(header) if header is not None and header.isdecimal() else DEFAULT_RETRY_AFTER_S
