"""Where messages go: one Protocol, a file for each kind of channel, and the registry of the kinds.

A new kind is its own file, a field of ``ReceiverConfig`` and a line in ``OPENERS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import httpx

from ..config import AppriseConfig, ReceiverConfig, RollbackConfig, SlackConfig, SlackWebhookConfig
from ..message import ROLLBACK_PREFIX, Message, Picture, Thread
from .pagerduty import PagerDutyChannel
from .webhook import RollbackChannel, WebhookChannel


class Channel(Protocol):
    """One way to one receiver."""

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """Where the first message of the incident lies, after this one has arrived.

        ``thread`` is that place if it is known; ``is_repeat`` tells that an earlier attempt may have arrived.
        Raises DeliveryError when the message did not arrive, or may not have.
        """
        ...


class PictureChannel(Protocol):
    """A way to add a picture to what was told."""

    async def add(self, picture: Picture, thread: Thread) -> None:
        """Add it to the thread. Raises DeliveryError when it was not taken, or may not have been."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What channels need from the process: a client, the time, and where people find our pages."""

    client: httpx.AsyncClient
    now: Callable[[], datetime]
    public_url: str | None = None


def _slack(config: SlackConfig, tools: Tools) -> Channel:
    # Imported here: Slack's client takes 8 MB, which only those who write to Slack should spend.
    from .slack import SlackChannel

    return SlackChannel(config, tools.public_url)


def _slack_webhook(config: SlackWebhookConfig, tools: Tools) -> Channel:
    # Imported here: what it says is made with Slack's client, too.
    from .slack_webhook import SlackWebhookChannel

    return SlackWebhookChannel(config, tools.client, tools.now, tools.public_url)


def _apprise(config: AppriseConfig, tools: Tools) -> Channel:
    # Imported here: it takes a second and 20 MB.
    from .apprise import AppriseChannel

    return AppriseChannel(config, tools.public_url)


OPENERS: Mapping[str, Callable[[Any, Tools], Channel]] = {
    "slack": _slack,
    "slack_webhook": _slack_webhook,
    "pagerduty": lambda config, tools: PagerDutyChannel(config, tools.client, tools.now, tools.public_url),
    "apprise": _apprise,
    "webhook": lambda config, tools: WebhookChannel(config, tools.client, tools.now),
}
"""How each kind of receiver is opened, by the name of its field in ``ReceiverConfig``."""


def open_channels(
    receivers: Mapping[str, ReceiverConfig], rollbacks: Mapping[str, RollbackConfig], tools: Tools
) -> dict[str, Channel]:
    """The channel of every receiver, and of every rollback under ``rollback/NAME``."""
    channels = {name: _open(config, tools) for name, config in receivers.items()}
    for name, rollback in rollbacks.items():
        channels[ROLLBACK_PREFIX + name] = RollbackChannel(rollback, tools.client, tools.now)
    return channels


def picture_channels(receivers: Mapping[str, ReceiverConfig]) -> dict[str, PictureChannel]:
    """The way of pictures to each receiver that is to have them, by its name."""
    wanted = {
        name: one.slack for name, one in receivers.items() if one.slack is not None and one.slack.picture
    }
    if not wanted:
        return {}
    # Imported here, as Slack's client is above.
    from .slack_pictures import SlackPictures

    return {name: SlackPictures(config) for name, config in wanted.items()}


def _open(receiver: ReceiverConfig, tools: Tools) -> Channel:
    kind = next(kind for kind in OPENERS if getattr(receiver, kind) is not None)
    return OPENERS[kind](getattr(receiver, kind), tools)
