"""Buttons below messages in Slack: who presses one, by Socket Mode or by a signed request, has done what it asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson
import structlog
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import SQLAlchemyError

from alerts import AlertError
from alerts.channels.slack_buttons import is_signed, press_of
from alerts.config import ReceiverConfig, SlackConfig
from alerts.wishes import Press, grant
from canaries.clock import Clock

from .database import Database
from .self_watch import SelfWatch, why

REPLY_TIMEOUT_S = 10.0
"""How long it may take to tell the person what came of it."""

log = structlog.get_logger()


@dataclass
class SlackButtons:
    """Does what people ask for in Slack. ``on_change`` is called when something is to be told because of it."""

    database: Database
    clock: Clock
    client: httpx.AsyncClient
    self_watch: SelfWatch
    on_change: Callable[[], None]

    async def pressed(self, payload: Mapping[str, Any]) -> None:
        """Do what a payload of Slack asks for, and tell the person what came of it."""
        press = press_of(payload)
        if press is not None:
            await self._reply(payload, await self._granted(press))

    async def _granted(self, press: Press) -> str:
        try:
            done = await self.database.awrite(lambda session: grant(session, press, self.clock.now()))
        except AlertError as error:
            return f"That did not work: {error}."
        except SQLAlchemyError as error:
            self.self_watch.problem(f"A button in Slack could not be heeded: {why(error)}.")
            return "The database refuses; try again, or use `anchorwatch alerts` on the machine."
        log.info("button", wish=press.wish.value, subject=press.subject, by=press.by)
        self.on_change()
        return done

    async def _reply(self, payload: Mapping[str, Any], text: str) -> None:
        """Tell the person alone; everybody sees it when the message changes."""
        url = str(payload.get("response_url") or "")
        if not url.startswith(("https://", "http://")):
            return
        said = {"response_type": "ephemeral", "replace_original": False, "text": text}
        try:
            await self.client.post(url, json=said, timeout=REPLY_TIMEOUT_S)
        except httpx.HTTPError as error:
            log.info("nobody was told what came of a button", error=type(error).__name__)


@dataclass
class SlackSocket:
    """The connection over which Slack tells of buttons, opened from here; Slack's own client keeps it open."""

    config: SlackConfig
    buttons: SlackButtons

    async def open(self) -> SocketModeClient:
        """The connection, which is closed by its ``close``. Raises SlackClientError when Slack refuses it."""
        assert self.config.app_token is not None  # noqa: S101 -- whoever opens it has looked
        web = AsyncWebClient(token=self.config.token.get_secret_value(), base_url=self.config.base_url)
        client = SocketModeClient(app_token=self.config.app_token.get_secret_value(), web_client=web)
        client.socket_mode_request_listeners.append(self._heed)  # type: ignore[arg-type]
        await client.connect()  # type: ignore[no-untyped-call]
        return client

    async def _heed(self, client: SocketModeClient, request: SocketModeRequest) -> None:
        # Slack waits three seconds for this, and then takes the button for broken.
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type == "interactive":
            await self.buttons.pressed(request.payload)


async def open_sockets(
    receivers: Mapping[str, ReceiverConfig], buttons: SlackButtons
) -> list[SocketModeClient]:
    """A connection for each app that has a token for one; what Slack refuses is a problem on the page."""
    apps = {
        one.slack.app_token.get_secret_value(): (name, one.slack)
        for name, one in receivers.items()
        if one.slack is not None and one.slack.app_token is not None
    }
    opened = []
    for name, config in apps.values():
        try:
            opened.append(await SlackSocket(config, buttons).open())
        except (SlackApiError, SlackClientError, httpx.HTTPError, OSError) as error:
            code = error.response.get("error") if isinstance(error, SlackApiError) else type(error).__name__
            buttons.self_watch.problem(
                f"Buttons of the receiver {name} do not work: Slack says {code}; "
                "app_token needs the scope connections:write, and the app Socket Mode switched on."
            )
    return opened


def signed_payload(
    body: bytes, headers: Mapping[str, str], receivers: Mapping[str, ReceiverConfig], clock: Clock
) -> dict[str, Any] | None:
    """What Slack tells by a request of its own; nothing where it is not signed by an app of ours."""
    secrets = {
        one.slack.signing_secret.get_secret_value()
        for one in receivers.values()
        if one.slack is not None and one.slack.signing_secret is not None
    }
    now = clock.now()
    if not any(is_signed(body, headers, secret, now) for secret in secrets):
        return None
    try:
        payload = orjson.loads(parse_qs(body.decode())["payload"][0])
    except (KeyError, ValueError):
        return None
    return payload if isinstance(payload, dict) else None
