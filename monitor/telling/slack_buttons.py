"""Buttons below messages in Slack: what somebody presses, by Socket Mode or by a signed request, is done."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import httpx
import orjson
import structlog
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from alerts import AlertError
from alerts.channels.slack_buttons import is_signed, press_of, without_buttons
from alerts.config import ReceiverConfig, SlackConfig
from alerts.rollback import RollbackRule
from alerts.wishes import Press, answered, grant
from canaries.clock import Clock

from ..database import Database
from ..self_watch import SelfWatch, why

REPLY_TIMEOUT_S = 10.0
"""How long it may take to tell the person what came of it."""

RETRY_S = 60.0
"""How long to wait until Slack is asked again for a connection that it refused."""

log = structlog.get_logger()


@dataclass
class SlackButtons:
    """Does what people ask for in Slack. ``on_change`` is called when something is to be told because of it."""

    database: Database
    clock: Clock
    client: httpx.AsyncClient
    self_watch: SelfWatch
    receivers: Mapping[str, ReceiverConfig]
    on_change: Callable[[], None]
    rollbacks: Mapping[str, RollbackRule] = field(default_factory=dict)
    """The rules of those that people may approve."""

    def payload(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """What Slack tells by a request of its own; nothing where it is not signed by an app of ours."""
        secrets = {
            app.signing_secret.get_secret_value() for _, app in self._apps() if app.signing_secret is not None
        }
        now = self.clock.now()
        if not any(is_signed(body, headers, secret, now) for secret in secrets):
            return None
        try:
            payload = orjson.loads(parse_qs(body.decode())["payload"][0])
        except (KeyError, ValueError):
            return None
        return payload if isinstance(payload, dict) else None

    async def pressed(self, payload: Mapping[str, Any]) -> None:
        """Do what a payload of Slack asks for, and tell the person what came of it."""
        press = press_of(payload)
        if press is None:
            return
        said = await self._granted(press)
        await self._take_buttons(payload, press)
        await self._reply(payload, said)

    async def serve(self) -> None:
        """Listen to each app that has a token for it, while the daemon lives; what Slack refuses is tried again."""
        apps = {app.app_token: (name, app) for name, app in self._apps() if app.app_token}
        sockets: dict[SecretStr, SocketModeClient] = {}
        try:
            while True:
                for token, (name, app) in apps.items():
                    if token not in sockets and (socket := await self._open(name, app, token)):
                        sockets[token] = socket
                await asyncio.sleep(RETRY_S)
        finally:
            for socket in sockets.values():
                await socket.close()  # type: ignore[no-untyped-call]

    async def _open(self, name: str, app: SlackConfig, token: SecretStr) -> SocketModeClient | None:
        web = AsyncWebClient(token=app.token.get_secret_value(), base_url=app.base_url)
        # Slack's own client keeps the connection open, and makes a new one when Slack asks for it.
        socket = SocketModeClient(app_token=token.get_secret_value(), web_client=web)
        socket.socket_mode_request_listeners.append(self._heed)  # type: ignore[arg-type]
        try:
            # Asked by ourselves the first time: the client would log refusals and ask again for ever.
            socket.wss_uri = (await web.apps_connections_open(app_token=token.get_secret_value()))["url"]
            await socket.connect()  # type: ignore[no-untyped-call]
        except (SlackApiError, SlackClientError, aiohttp.ClientError, OSError) as error:
            code = error.response.get("error") if isinstance(error, SlackApiError) else type(error).__name__
            self.self_watch.problem(
                f"Buttons of the receiver {name} do not work: Slack says {code}. The app needs Socket Mode "
                "switched on, and app_token the scope connections:write."
            )
            await socket.close()  # type: ignore[no-untyped-call]
            return None
        return socket

    async def _heed(self, socket: SocketModeClient, request: SocketModeRequest) -> None:
        # Slack waits three seconds for this, and then takes the button for broken.
        await socket.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type == "interactive":
            await self.pressed(request.payload)

    def _apps(self) -> list[tuple[str, SlackConfig]]:
        return [(name, one.slack) for name, one in self.receivers.items() if one.slack is not None]

    def _grant(self, session: Session, press: Press) -> str:
        return grant(session, press, self.clock.now(), self.rollbacks)

    async def _granted(self, press: Press) -> str:
        try:
            done = await self.database.awrite(lambda session: self._grant(session, press))
        except AlertError as error:
            return f"That did not work: {error}."
        except SQLAlchemyError as error:
            self.self_watch.problem(f"A button in Slack could not be heeded: {why(error)}.")
            return "The database refuses; try again, or use `anchorwatch alerts` on the machine."
        log.info("button", wish=press.wish.value, subject=press.subject, by=press.by)
        self.on_change()
        return done

    async def _take_buttons(self, payload: Mapping[str, Any], press: Press) -> None:
        """Show everybody the answer in place of the buttons, where there is nothing to be answered any more."""
        try:
            done = await self.database.aread(lambda session: answered(session, press))
        except SQLAlchemyError:
            return  # the person is told of that
        if done and (changed := without_buttons(payload, done)):
            await self._post(payload, changed)

    async def _reply(self, payload: Mapping[str, Any], text: str) -> None:
        """Tell the person alone; everybody sees it when the message changes."""
        said = {"response_type": "ephemeral", "replace_original": False, "text": text}
        await self._post(payload, said)

    async def _post(self, payload: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        url = str(payload.get("response_url") or "")
        if not url.startswith(("https://", "http://")):
            return
        try:
            await self.client.post(url, json=said, timeout=REPLY_TIMEOUT_S)
        except httpx.HTTPError as error:
            log.info("nobody was told what came of a button", error=type(error).__name__)
