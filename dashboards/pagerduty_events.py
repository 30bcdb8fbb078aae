"""Where PagerDuty tells what people did to our alarms there, by webhooks that it has signed."""

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException, Request, status

from dashboards.limited_body import limited_body

MAX_BODY_BYTES = 262_144
"""How large a request may be: PagerDuty drops what is larger than 256 KB."""


class ReplyDesk(Protocol):
    """Who does here what people did there."""

    def payload(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """What PagerDuty tells; nothing where the request is not signed with a secret of ours."""
        ...

    async def heard(self, payload: Mapping[str, Any]) -> None:
        """Do what a payload tells of. Raises StatusError when it cannot be stored: then it is sent again."""
        ...


def pagerduty_routes(desk: ReplyDesk) -> APIRouter:
    """The route that is named in the webhook subscription."""
    router = APIRouter()

    @router.post("/api/pagerduty/events", include_in_schema=False, status_code=status.HTTP_202_ACCEPTED)
    async def heard(request: Request) -> None:
        body = await limited_body(request, MAX_BODY_BYTES, "too much for a webhook")
        payload = desk.payload(body, request.headers)
        if payload is None:
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, "not signed with a secret of the configuration")
        # Before the answer, which means that it is stored: after any other, PagerDuty sends it again.
        await desk.heard(payload)

    return router
