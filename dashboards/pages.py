"""The pages that people read, rendered on the server: the status page and the API's reference."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from alerts.finding import Severity
from alerts.trace_lines import trace_line
from dashboards import words
from dashboards.drawings import sparkline, swing_circle
from dashboards.form_guard import FormGuard, Visitor
from dashboards.reference import operations
from dashboards.view import DeploymentStatus, IncidentState, IncidentStatus, StatusView

RESOLVED_SHOWN_MAX = 10
"""Older resolved incidents are left out of the page; the API has them."""

ROLLBACKS_SHOWN_MAX = 10
"""The same for rollbacks."""

ORDER = {
    IncidentState.FIRING: 0,
    IncidentState.ACKNOWLEDGED: 1,
    IncidentState.PENDING: 2,
    IncidentState.RESOLVED: 3,
}

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {
    "ago": words.ago,
    "moment": words.moment,
    "span": words.span,
    "quantity": words.quantity,
}
templates.globals |= {"counted": words.counted, "sparkline": sparkline, "trace_line": trace_line}


def show(template: str, request: Request, code: int = 200, **values: object) -> HTMLResponse:
    """A page that nobody keeps, since it is another one in a moment."""
    html = templates.get_template(template).render(root=root_of(request), **values)
    return HTMLResponse(html, status_code=code, headers={"Cache-Control": "no-store"})


def root_of(request: Request) -> str:
    """Where our pages begin, seen from this one: they may lie below any address."""
    path: str = request.scope["path"]
    return "../" * (path.count("/") - 1)


def page_routes(
    view: StatusView, openapi: Callable[[], dict[str, Any]], guard: FormGuard | None = None
) -> APIRouter:
    """The status and the API's reference; with a ``guard`` incidents have pages of their own to see to them."""
    router = APIRouter(include_in_schema=False)

    @router.get("/", response_class=HTMLResponse)
    async def status_page(request: Request) -> HTMLResponse:
        visitor = guard.visitor(request) if guard else None
        status = await view.status()
        # In a thread: with hundreds of open incidents it takes longer than a probe should wait for its answer.
        html = await asyncio.to_thread(render_status, status, visitor)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    @router.get("/api/docs", response_class=HTMLResponse)
    async def reference_page() -> HTMLResponse:
        schema = openapi()
        return HTMLResponse(
            templates.get_template("reference.html").render(
                info=schema["info"], operations=operations(schema), root="../"
            )
        )

    return router


def render_status(status: DeploymentStatus, visitor: Visitor | None = None) -> str:
    """The status page as HTML; for a ``visitor`` with the ways to see to an incident."""
    incidents = sorted(status.incidents, key=_most_urgent_first)
    opened = [incident for incident in incidents if incident.is_open]
    adrift = {
        incident.subject
        for incident in opened
        if incident.state is not IncidentState.PENDING and incident.severity is Severity.PAGE
    }
    rollbacks = sorted(status.rollbacks, key=lambda rollback: rollback.at, reverse=True)
    return templates.get_template("status.html").render(
        status=status,
        now=status.at,
        headline=words.headline(status),
        opened=[(incident, words.done_about(incident, rollbacks, status.at)) for incident in opened],
        resolved=[incident for incident in incidents if not incident.is_open][:RESOLVED_SHOWN_MAX],
        rollbacks=rollbacks[:ROLLBACKS_SHOWN_MAX],
        adrift=adrift,
        ships=swing_circle(status.targets, adrift),
        visitor=visitor,
        root="",
    )


def unavailable(request: Request, reason: str) -> HTMLResponse:
    """The page for when the status cannot be read; it tries again by itself."""
    return show("unavailable.html", request, 503, reason=reason)


def _most_urgent_first(incident: IncidentStatus) -> tuple[int, int, float]:
    latest = incident.resolved_at or incident.fired_at or incident.started_at
    return ORDER[incident.state], -incident.severity, -latest.timestamp()
