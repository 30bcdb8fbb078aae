"""A sign of life to a dead man's switch somewhere else, which raises the alarm when it stops.

By the ping addresses of healthchecks.io, which others understand as well: https://healthchecks.io/docs/http_api/
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from . import DeliveryError
from .channels.posting import Poster
from .config import HeartbeatConfig

MAX_REASON_LENGTH = 10_000
"""How much is told of what is wrong."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Tells one switch that all is well, or at once that it is not."""

    config: HeartbeatConfig
    client: httpx.AsyncClient
    now: Callable[[], datetime]

    async def beat(self, trouble: str = "") -> None:
        """Send one. With ``trouble`` the switch is told of it, where the service can; otherwise nothing is sent.

        Raises DeliveryError when it did not arrive.
        """
        url = self.config.url.get_secret_value()
        if trouble:
            if not self.config.tells_trouble:
                return
            url = f"{url.rstrip('/')}/fail"
        # The address is the secret of the switch: it is not named.
        poster = Poster("the dead man's switch", url, self.config.timeout, self.client, self.now)
        answer = await poster.post(
            trouble[:MAX_REASON_LENGTH].encode(), {"content-type": "text/plain; charset=utf-8"}
        )
        if not answer.is_success:
            raise DeliveryError(f"the dead man's switch answered {answer.status}")
