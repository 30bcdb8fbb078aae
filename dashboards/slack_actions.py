"""Where Slack tells what somebody pressed below a message, by a request that it has signed."""

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import APIRouter, BackgroundTasks, HTTPException, Request, status

from dashboards.limited_body import limited_body

MAX_BODY_BYTES = 200_000
"""How large a request may be: it holds the message that was pressed, of which Slack takes 50 blocks."""


class PressDesk(Protocol):
    """Who does what people press."""

    def payload(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """What Slack tells; nothing where the request is not signed by an app of ours."""
        ...

    async def pressed(self, payload: Mapping[str, Any]) -> None:
        """Do what a payload asks for."""
        ...


def slack_routes(desk: PressDesk) -> APIRouter:
    """The route that is named in the app as its Request URL."""
    router = APIRouter()

    @router.post("/api/slack/actions", include_in_schema=False)
    async def pressed(request: Request, later: BackgroundTasks) -> None:
        body = await limited_body(request, MAX_BODY_BYTES, "too much for a button")
        payload = desk.payload(body, request.headers)
        if payload is None:
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, "not signed by an app of the configuration")
        # Slack waits three seconds for the answer, and then takes the button for broken.
        later.add_task(desk.pressed, payload)

    return router
