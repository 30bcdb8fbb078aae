"""What PagerDuty tells of people who see to our alarms there, by its webhooks (version 3). Pure.

https://developer.pagerduty.com/docs/webhooks-overview
https://developer.pagerduty.com/docs/verifying-webhook-signatures
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from ..pager_replies import PAGER_SUFFIX, PagerReply, ReplyKind
from .pagerduty import DEDUP_PREFIX

SIGNATURE_HEADER = "x-pagerduty-signature"

EVENT_ID_LENGTH_MAX = 100
"""How long the id of an event may be; PagerDuty's have 36 letters at most."""

NAME_LENGTH_MAX = 150
"""How much of a person's name is kept."""

_KINDS = {
    "incident.acknowledged": ReplyKind.SEEN,
    "incident.resolved": ReplyKind.SETTLED,
    "incident.unacknowledged": ReplyKind.UNSEEN,
    "incident.reopened": ReplyKind.UNSEEN,
}


def is_signed(body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    """Whether PagerDuty has signed this body with our secret; while secrets change it signs with each of them."""
    ours = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
    signatures = (part.strip().partition("=") for part in headers.get(SIGNATURE_HEADER, "").split(","))
    # On bytes: the comparison takes no text that is not ASCII.
    return any(
        version == "v1" and hmac.compare_digest(signature.encode(), ours)
        for version, _, signature in signatures
    )


def reply_of(payload: Mapping[str, Any]) -> PagerReply | None:
    """What somebody did to an alarm of ours; nothing where it is of another kind, or of another system.

    Only a person acknowledges and resolves: what comes back from our own events, or from a time limit, is nobody's.
    """
    event = _mapping(payload, "event")
    kind, event_id = _KINDS.get(str(event.get("event_type"))), event.get("id")
    key = _mapping(event, "data").get("incident_key")
    if kind is None or not isinstance(event_id, str) or not isinstance(key, str):
        return None
    if not 0 < len(event_id) <= EVENT_ID_LENGTH_MAX or not key.startswith(DEDUP_PREFIX):
        return None
    agent = _mapping(event, "agent")
    is_person = str(agent.get("type", "")).startswith("user")
    if not is_person and kind is not ReplyKind.UNSEEN:
        return None
    name = str(agent.get("summary") or "").strip()[:NAME_LENGTH_MAX] if is_person else ""
    return PagerReply(event_id, kind, key.removeprefix(DEDUP_PREFIX), (name or "somebody") + PAGER_SUFFIX)


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}
