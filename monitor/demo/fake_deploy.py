"""The deploy system of the demo: rolls back, really, when the signature is right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook, WebhookVerificationError

MAX_DELIVERIES = 1000
"""Deliveries that are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook as it came in. ``payload`` is empty when the signature did not verify."""

    id: str
    is_verified: bool
    was_repeated: bool
    payload: dict[str, Any]


class FakeDeploy:
    """Deliveries in the order they came; ``roll_back`` is done once for each webhook id that verifies."""

    def __init__(
        self, secret: str, roll_back: Callable[[dict[str, Any]], None] = lambda payload: None
    ) -> None:
        self._webhook = Webhook(secret)
        self._roll_back = roll_back
        self._deliveries: list[Delivery] = []

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What came in so far."""
        return tuple(self._deliveries)

    def receive(self, body: bytes, headers: dict[str, str]) -> Delivery:
        """The delivery that this request is, after doing what it asks for."""
        webhook_id = headers.get("webhook-id", "")
        try:
            self._webhook.verify(body, headers)
            payload = orjson.loads(body)
        except (WebhookVerificationError, orjson.JSONDecodeError):
            delivery = Delivery(webhook_id, is_verified=False, was_repeated=False, payload={})
        else:
            is_known = any(known.is_verified and known.id == webhook_id for known in self._deliveries)
            if not is_known:
                self._roll_back(payload)
            delivery = Delivery(webhook_id, is_verified=True, was_repeated=is_known, payload=payload)
        self._deliveries = [*self._deliveries, delivery][-MAX_DELIVERIES:]
        return delivery


def deploy_app(deploy: FakeDeploy) -> FastAPI:
    """The endpoint ``POST /rollback``."""
    app = FastAPI(title="Practice deploy system", docs_url=None, redoc_url=None)

    @app.post("/rollback")
    async def rollback(request: Request) -> Response:
        delivery = deploy.receive(await request.body(), dict(request.headers))
        if not delivery.is_verified:
            return JSONResponse({"error": "signature does not verify"}, status_code=401)
        return JSONResponse({"status": "already done" if delivery.was_repeated else "rolled back"})

    return app
