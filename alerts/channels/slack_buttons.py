"""What people press in Slack: the buttons below a message, and what came back from them. Pure.

https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, ButtonElement, ConfirmObject, ContextBlock, PlainTextObject

from ..incident import NoticeKind, State
from ..message import Message
from ..wishes import Press, Wish, rollback_subject

BLOCK = "anchorwatch"
"""The id of the block that holds our buttons."""

SAID_LENGTH_MAX = 500
"""How much is shown in place of buttons that nobody needs any more."""

SIGNATURE_AGE_MAX_S = 300.0
"""How old a signed request may be, as Slack advises: an older one may be a copy."""


_WORDS = {
    Wish.ACKNOWLEDGE: "Acknowledge",
    Wish.SILENCE_HOUR: "Silence 1 h",
    Wish.SILENCE_DAY: "Silence 1 d",
    Wish.RIGHT: "It was right",
    Wish.FALSE: "False alarm",
    Wish.APPROVE: "Approve",
    Wish.REJECT: "Reject",
}
_ON_FIRE = (Wish.ACKNOWLEDGE, Wish.SILENCE_HOUR, Wish.SILENCE_DAY, Wish.FALSE)
_SEEN = (Wish.SILENCE_HOUR, Wish.SILENCE_DAY, Wish.FALSE)
_OVER = (Wish.RIGHT, Wish.FALSE)
_WITHOUT = (NoticeKind.TEST, NoticeKind.ROLLBACK, NoticeKind.ROLLBACK_NEWS)


def buttons(message: Message) -> ActionsBlock | None:
    """The buttons of a message, by the state that it tells; nothing where there is nothing to be done."""
    if message.kind is NoticeKind.ROLLBACK_QUESTION:
        return _answers(message)
    subject = message.group_id or message.incident_id
    if subject is None or message.kind in _WITHOUT:
        return None
    offered = {State.RESOLVED: _OVER, State.ACKNOWLEDGED: _SEEN}.get(message.state or State.FIRING, _ON_FIRE)
    elements = [
        ButtonElement(
            text=_WORDS[wish],
            action_id=wish.value,
            value=subject,
            style="primary" if wish is Wish.ACKNOWLEDGE else None,
        )
        for wish in offered
    ]
    return ActionsBlock(block_id=BLOCK, elements=elements)


def _answers(message: Message) -> ActionsBlock | None:
    if message.incident_id is None or message.rollback is None:
        return None
    subject = rollback_subject(message.incident_id, message.rollback)
    sure = ConfirmObject(
        title="Roll back?",
        text=PlainTextObject(text=f"The order {message.rollback} goes to the deploy system at once."),
        confirm="Roll back",
        deny="Not yet",
        style="danger",
    )
    return ActionsBlock(
        block_id=BLOCK,
        elements=[
            ButtonElement(
                text=_WORDS[Wish.APPROVE],
                action_id=Wish.APPROVE.value,
                value=subject,
                style="danger",
                confirm=sure,
            ),
            ButtonElement(text=_WORDS[Wish.REJECT], action_id=Wish.REJECT.value, value=subject),
        ],
    )


def press_of(payload: Mapping[str, Any]) -> Press | None:
    """What was pressed; nothing where it was none of our buttons, such as a link."""
    if payload.get("type") != "block_actions":
        return None
    user = payload.get("user") or {}
    by = user.get("username") or user.get("name") or user.get("id")
    for action in payload.get("actions") or ():
        known = {wish.value for wish in Wish}
        if (
            action.get("block_id") == BLOCK
            and action.get("action_id") in known
            and by
            and action.get("value")
        ):
            return Press(Wish(action["action_id"]), str(action["value"]), f"{by} in Slack")
    return None


def without_buttons(payload: Mapping[str, Any], said: str) -> dict[str, Any] | None:
    """The message that was pressed with ``said`` in place of our buttons; nothing where the payload has no blocks."""
    message = payload.get("message")
    blocks = message.get("blocks") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(blocks, list):
        return None
    # Plain text: a name that somebody chose for themselves must not be an order to Slack.
    line = ContextBlock(elements=[PlainTextObject(text=said[:SAID_LENGTH_MAX], emoji=False)]).to_dict()
    shown = [
        line if isinstance(block, dict) and block.get("block_id") == BLOCK else block for block in blocks
    ]
    return {"replace_original": True, "text": message.get("text", ""), "blocks": shown}


def is_signed(body: bytes, headers: Mapping[str, str], secret: str, now: datetime) -> bool:
    """Whether Slack has signed this request, a short time ago.

    https://docs.slack.dev/authentication/verifying-requests-from-slack
    """
    timestamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not timestamp.isdecimal() or abs(now.timestamp() - int(timestamp)) > SIGNATURE_AGE_MAX_S:
        return False
    signed = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={signed}", signature)
