"""The JSON API, the metrics, and the probes: what machines ask."""

from dataclasses import dataclass

from fastapi import APIRouter, Response, status

from dashboards.front import Answer, Probes
from dashboards.view import DeploymentStatus, StatusView


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


def api_routes(view: StatusView, probes: Probes) -> APIRouter:
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

    # What follows the daemon's ``Front`` answers by itself. Here it is described, and answered without one.

    @router.get(
        "/metrics",
        tags=["operations"],
        summary="The daemon's own metrics for Prometheus",
        response_class=Response,
        responses={status.HTTP_200_OK: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Prometheus text exposition format."""
        return _response(probes.metrics())

    @router.get("/healthz", tags=["operations"], summary="Whether the daemon lives", response_model=Health)
    async def health() -> Response:
        """For a liveness probe: answers as long as the event loop turns."""
        return _response(probes.health())

    @router.get(
        "/readyz",
        tags=["operations"],
        summary="Whether the daemon can do its work",
        response_model=ReadinessAnswer,
        responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": ReadinessAnswer}},
    )
    async def readiness() -> Response:
        """For a readiness probe: 503 with the reasons when the daemon cannot do its work."""
        return _response(await probes.readiness())

    return router


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, {"Content-Type": answer.content_type})
