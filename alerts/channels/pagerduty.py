"""PagerDuty by its Events API v2: an alarm is triggered, acknowledged and resolved under one key for its whole life.

https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import httpx
import orjson

from .. import DeliveryError
from ..config import PagerDutyConfig
from ..finding import Severity
from ..incident import NoticeKind, State
from ..message import Message, Thread
from .posting import Poster

DEDUP_PREFIX = "anchorwatch/"
"""What stands before the group in the key of an alarm: by it we know our own again when PagerDuty tells of one."""

MAX_SUMMARY_LENGTH = 1024
"""What PagerDuty takes at most."""

MAX_NAME_LENGTH = 200
"""How much of a name is sent."""

MAX_DETAIL_LENGTH = 1000
"""How much of a line of evidence is sent: an event may have 512 kB in all, of which a character takes up to 4 bytes."""

MAX_DETAILS = 30
"""How many lines of evidence are sent, and how many labels."""

DEFAULT_RETRY_AFTER_S = 30.0
"""The wait after a 429 that does not say how long."""

SEVERITIES = {Severity.PAGE: "critical", Severity.TICKET: "warning", Severity.INFO: "info"}
"""What PagerDuty calls ours."""

_ADVICE = {
    400: "check the integration key (routing_key) of the receiver",
    403: "check the integration key (routing_key) of the receiver",
    413: "this is a defect of Anchorwatch; please report it",
}
"""The refusals that trying again cannot change, each with what a person can do about it."""


class PagerDutyChannel:
    """One integration of one service."""

    def __init__(
        self,
        config: PagerDutyConfig,
        client: httpx.AsyncClient,
        now: Callable[[], datetime],
        public_url: str | None = None,
    ) -> None:
        self._poster = Poster("PagerDuty", config.url, config.timeout, client, now)
        self._routing_key = config.routing_key.get_secret_value()
        self._public_url = public_url

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """``None``: the key holds events together. A repeat does no harm: PagerDuty drops it by the same key."""
        for event in events(message, self._public_url):
            await self._send(event)
        return None

    async def _send(self, event: dict[str, Any]) -> None:
        answer = await self._poster.post(orjson.dumps({"routing_key": self._routing_key, **event}))
        if answer.is_success:
            return
        if answer.status == 429:
            wait_s = answer.retry_after_s or DEFAULT_RETRY_AFTER_S
            raise DeliveryError("PagerDuty asks for a pause (429)", retry_after_s=wait_s)
        advice = _ADVICE.get(answer.status)
        said = f": {problem}" if (problem := _problem(answer.text)) else ""
        text = f"PagerDuty answered {answer.status}{said}" + (f"; {advice}" if advice else "")
        raise DeliveryError(text, permanent=advice is not None, retry_after_s=answer.retry_after_s)


def events(message: Message, public_url: str | None = None) -> Iterator[dict[str, Any]]:
    """What PagerDuty is told: an event or two, or nothing where the message is no news to it."""
    key = DEDUP_PREFIX + (message.group_id or message.incident_id or message.id)
    match message.kind:
        case NoticeKind.RESOLVED:
            yield {"event_action": "resolve", "dedup_key": key}
        case NoticeKind.ACKNOWLEDGED:
            yield {"event_action": "acknowledge", "dedup_key": key}
        case NoticeKind.TEST:
            # It is closed at once, so that nothing stays open of a test.
            yield _trigger(message, key, public_url)
            yield {"event_action": "resolve", "dedup_key": key}
        case _ if message.state is not State.RESOLVED:
            yield _trigger(message, key, public_url)
        case _:
            return  # News of what is over would open it again.


def _trigger(message: Message, key: str, public_url: str | None) -> dict[str, Any]:
    labels = message.labels
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": key,
        "payload": {
            "summary": f"{message.headline}: {message.sentences[0]}"[:MAX_SUMMARY_LENGTH],
            "source": (labels.get("target") or labels.get("service") or "anchorwatch")[:MAX_NAME_LENGTH],
            "severity": SEVERITIES[message.severity],
            "timestamp": (message.since or message.created_at).isoformat(),
            "class": message.key.partition("/")[0][:MAX_NAME_LENGTH],
            "custom_details": _details(message),
        },
        "client": "Anchorwatch",
    }
    for name, label in (("component", "model"), ("group", "service")):
        if labels.get(label):
            event["payload"][name] = labels[label][:MAX_NAME_LENGTH]
    address = message.address(public_url)
    return event | ({"client_url": address} if address else {})


def _details(message: Message) -> dict[str, Any]:
    return {
        **_cut(message.evidence),
        "sentences": [sentence[:MAX_DETAIL_LENGTH] for sentence in message.sentences if sentence],
        "labels": _cut(message.labels.items()),
        "incidents": [line[:MAX_DETAIL_LENGTH] for line in message.member_lines],
        "message": message.id,
        "why": message.why,
    }


def _cut(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    first = islice(pairs, MAX_DETAILS)
    return {name[:MAX_NAME_LENGTH]: value[:MAX_DETAIL_LENGTH] for name, value in first}


def _problem(text: str) -> str:
    try:
        said = orjson.loads(text)
        return "; ".join(map(str, said.get("errors") or [said.get("message", "")]))
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return ""
