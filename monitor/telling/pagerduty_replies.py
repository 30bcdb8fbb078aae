"""What people do to our alarms in PagerDuty is done here as well, by its signed webhooks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from alerts.channels.pagerduty_replies import is_signed, reply_of
from alerts.config import ReceiverConfig
from alerts.pager_replies import heed
from canaries.clock import Clock
from dashboards import StatusError

from ..database import Database
from ..self_watch import why

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PagerDutyReplies:
    """Hears what PagerDuty tells. ``on_change`` is called when something is to be told because of it."""

    database: Database
    clock: Clock
    secrets: tuple[str, ...]
    on_change: Callable[[], None]

    def payload(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """What PagerDuty tells; nothing where the request is not signed with a secret of ours."""
        if not any(is_signed(body, headers, secret) for secret in self.secrets):
            return None
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        return payload if isinstance(payload, dict) else None

    async def heard(self, payload: Mapping[str, Any]) -> None:
        """Do what a payload tells of. Raises StatusError when it cannot be stored: then it is sent again."""
        reply = reply_of(payload)
        if reply is None:
            return
        now = self.clock.now()
        try:
            changed = await self.database.awrite(lambda session: heed(session, reply, now))
        except SQLAlchemyError as error:
            raise StatusError(f"the database cannot be written: {why(error)}") from error
        log.info("pagerduty", what=reply.kind.value, by=reply.by, incidents=changed, event_id=reply.event_id)
        if changed:
            self.on_change()


def pagerduty_secrets(receivers: Mapping[str, ReceiverConfig]) -> tuple[str, ...]:
    """The secrets with which the PagerDuty services of these receivers sign, each once."""
    secrets = (
        one.pagerduty.webhook_secret.get_secret_value()
        for one in receivers.values()
        if one.pagerduty is not None and one.pagerduty.webhook_secret is not None
    )
    return tuple(dict.fromkeys(secrets))
