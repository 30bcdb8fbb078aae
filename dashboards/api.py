"""The JSON API, the metrics, and the probes: what machines ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter, Response, status
from prometheus_client import CONTENT_TYPE_LATEST

from dashboards.view import DeploymentStatus, Readiness, StatusView


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon's event loop is alive."""

    status: str = "ok"


@dataclass(frozen=True, slots=True)
class ReadinessAnswer:
    """Whether the daemon can do its work, and if not, why."""

    ready: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why the status cannot be read now."""

    detail: str


def api_routes(
    view: StatusView, render_metrics: Callable[[], bytes], is_ready: Callable[[], Awaitable[Readiness]]
) -> APIRouter:
    """The routes that machines ask."""
    router = APIRouter()

    @router.get(
        "/api/v1/status",
        tags=["status"],
        summary="Everything under watch, as it is now",
        responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Unavailable}},
    )
    async def read_status() -> DeploymentStatus:
        """Targets, watches, incidents with who was told, rollbacks, and the health of the watch itself."""
        return await view.status()

    @router.get(
        "/metrics",
        tags=["operations"],
        summary="The daemon's own metrics for Prometheus",
        response_class=Response,
        responses={status.HTTP_200_OK: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Prometheus text exposition format."""
        return Response(render_metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.get("/healthz", tags=["operations"], summary="Whether the daemon lives")
    async def health() -> Health:
        """For a liveness probe: answers as long as the event loop turns."""
        return Health()

    @router.get(
        "/readyz",
        tags=["operations"],
        summary="Whether the daemon can do its work",
        responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": ReadinessAnswer}},
    )
    async def readiness(response: Response) -> ReadinessAnswer:
        """For a readiness probe: 503 with the reasons when the daemon cannot do its work."""
        answer = await is_ready()
        if not answer.is_ready:
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return ReadinessAnswer(ready=answer.is_ready, reasons=answer.reasons)

    return router
