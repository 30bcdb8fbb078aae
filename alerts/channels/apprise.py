"""E-mail and some hundred other services through Apprise, by the addresses that it documents.

https://github.com/caronc/apprise/wiki
"""

import asyncio

import apprise

from .. import DeliveryError
from ..config import AppriseConfig
from ..finding import Severity
from ..incident import NoticeKind
from ..message import Message, Thread
from .apprise_address import reasons_of_failures, service

MAX_TITLE_LENGTH = 200
"""How much of the headline goes into the subject."""

MAX_BODY_LENGTH = 16_000
"""How much of the text is sent: what is left out is on the pages."""

_TYPES = {
    Severity.PAGE: apprise.NotifyType.FAILURE,
    Severity.TICKET: apprise.NotifyType.WARNING,
    Severity.INFO: apprise.NotifyType.INFO,
}
_QUIET_KINDS = {
    NoticeKind.RESOLVED: apprise.NotifyType.SUCCESS,
    NoticeKind.ACKNOWLEDGED: apprise.NotifyType.INFO,
    NoticeKind.ROLLBACK_QUESTION: apprise.NotifyType.WARNING,
    NoticeKind.ROLLBACK_NEWS: apprise.NotifyType.INFO,
    NoticeKind.TEST: apprise.NotifyType.INFO,
}


class AppriseChannel:
    """One address of Apprise."""

    def __init__(self, config: AppriseConfig, public_url: str | None = None) -> None:
        self._service = service(config.url.get_secret_value())
        self._timeout_s = config.timeout
        self._public_url = public_url

    async def deliver(self, message: Message, thread: Thread | None, *, is_repeat: bool) -> Thread | None:
        """``None``: Apprise knows no threads. One that is repeated can be there twice."""
        kind = _QUIET_KINDS.get(message.kind, _TYPES[message.severity])
        with reasons_of_failures() as reasons:
            try:
                async with asyncio.timeout(self._timeout_s):
                    arrived = await self._service.async_notify(
                        title=_cut(message.headline, MAX_TITLE_LENGTH),
                        body=plain_text(message, self._public_url),
                        notify_type=kind,
                    )
            except TimeoutError as error:
                raise DeliveryError(f"Apprise: no end after {self._timeout_s:g} s") from error
        if not arrived:
            raise DeliveryError(
                f"Apprise could not deliver it ({'; '.join(reasons) or 'it does not say why'})"
            )
        return None


def plain_text(message: Message, public_url: str | None = None) -> str:
    """The message without any markup."""
    paragraphs = [
        "\n".join(sentence for sentence in message.sentences if sentence),
        "\n".join(f"- {line}" for line in message.member_lines),
        "\n".join(f"{name}: {value}" for name, value in message.evidence),
        "\n".join(f"{name}: {value}" for name, value in message.labels.items()),
        f"incident {message.incident_id}" if message.incident_id else "",
        message.address(public_url),
    ]
    return _cut("\n\n".join(paragraph for paragraph in paragraphs if paragraph), MAX_BODY_LENGTH)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
