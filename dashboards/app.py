"""The web application: pages, API, metrics and probes on one port, nothing fetched from elsewhere."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.base import RequestResponseEndpoint

from canaries.clock import Clock, SystemClock
from dashboards import StatusError
from dashboards.api import api_routes
from dashboards.audit.routes import audit_api, audit_pages
from dashboards.budget_page import budget_page
from dashboards.desk import IncidentDesk
from dashboards.desk_api import desk_routes
from dashboards.form_guard import FormGuard
from dashboards.front import SECURITY_HEADERS, Probes
from dashboards.incident_pages import incident_pages
from dashboards.pagerduty_events import ReplyDesk, pagerduty_routes
from dashboards.pages import page_routes, unavailable
from dashboards.refusals import add_refusals
from dashboards.rollback_api import rollback_routes
from dashboards.rollback_desk import RollbackDesk
from dashboards.rollback_pages import rollback_pages
from dashboards.routing_page import routing_page
from dashboards.silence_pages import silence_pages
from dashboards.slack_actions import PressDesk, slack_routes
from dashboards.view import AuditView, Readiness, StatusView
from dashboards.write_guard import WriteGuard
from dashboards.you_page import you_page

HERE = Path(__file__).parent


def build_app(
    view: StatusView,
    render_metrics: Callable[[], bytes],
    is_ready: Callable[[], Awaitable[Readiness]],
    audits: AuditView,
    desk: IncidentDesk | None = None,
    token: str | None = None,
    slack: PressDesk | None = None,
    rollbacks: RollbackDesk | None = None,
    clock: Clock | None = None,
    public_url: str | None = None,
    pagerduty: ReplyDesk | None = None,
) -> FastAPI:
    """The application that the daemon serves on its HTTP port, behind its ``Front``.

    ``render_metrics`` gives Prometheus' text format; ``is_ready`` says whether the daemon can do its work. With a
    ``desk`` incidents can be seen to over the API and the pages, by whoever shows the ``token``, else from this
    machine alone; with ``slack`` by buttons below messages as well. With ``rollbacks`` they can be seen, answered
    and locked; with ``pagerduty`` we hear of what people do there. ``public_url`` is where people open the pages.
    """
    app = FastAPI(
        title="Anchorwatch",
        description="What is under watch, what is wrong, and what was done about it.",
        docs_url=None,  # FastAPI's own page loads from a CDN; that of page_routes loads nothing
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    guard = FormGuard(token, clock or SystemClock(), public_url)
    app.include_router(api_routes(view, Probes(render_metrics, is_ready)))
    if desk is not None:
        app.include_router(desk_routes(desk, WriteGuard(token)))
        app.include_router(incident_pages(desk, guard, rollbacks))
        app.include_router(silence_pages(desk, guard))
        app.include_router(routing_page(desk))
        app.include_router(budget_page(view, desk))
        app.include_router(you_page(guard))
    if rollbacks is not None:
        app.include_router(rollback_routes(rollbacks, WriteGuard(token)))
        app.include_router(rollback_pages(rollbacks, guard))
    if slack is not None:
        app.include_router(slack_routes(slack))
    if pagerduty is not None:
        app.include_router(pagerduty_routes(pagerduty))
    app.include_router(audit_api(audits))
    app.include_router(page_routes(view, app.openapi, guard if desk is not None else None))
    app.include_router(audit_pages(audits))
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_exception_handler(StatusError, _answer_unavailable)
    add_refusals(app)
    app.middleware("http")(_with_security_headers)
    return app


async def _with_security_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _answer_unavailable(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": str(error)}, status_code=503)
    return unavailable(request, str(error))
