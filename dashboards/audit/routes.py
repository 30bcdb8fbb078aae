"""The routes of the nightly audits: for machines, and for people."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, status
from fastapi.responses import HTMLResponse

from dashboards.api import Unavailable
from dashboards.audit.page import render_audit_page, render_audits
from dashboards.audit.report import Audit, AuditSummary
from dashboards.view import AuditView

AUDITS_SHOWN, AUDITS_MAX = 30, 400
"""How many audits are listed, unless more are asked for, and the most."""

Night = Annotated[str, Path(pattern=r"^\d{4}-\d\d-\d\d$", description="The day it was due: 2026-03-02.")]


def audit_api(view: AuditView) -> APIRouter:
    """The routes that machines ask."""
    router = APIRouter(tags=["audits"])
    unavailable: dict[int | str, dict[str, Any]] = {
        status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Unavailable}
    }

    @router.get("/api/v1/audits", summary="The nightly audits, newest first", responses=unavailable)
    async def list_audits(
        limit: Annotated[int, Query(ge=1, le=AUDITS_MAX, description="How many at most.")] = AUDITS_SHOWN,
    ) -> tuple[AuditSummary, ...]:
        """Each night with its headline; ``/api/v1/audits/{night}`` has the whole."""
        return await view.audits(limit)

    @router.get(
        "/api/v1/audits/{night}",
        summary="The audit of a night",
        responses={**unavailable, status.HTTP_404_NOT_FOUND: {"model": Unavailable}},
    )
    async def read_audit(night: Night) -> Audit:
        """Every target, service and model with its measures, and how they changed."""
        return await _found(view, night)

    return router


def audit_pages(view: AuditView) -> APIRouter:
    """The routes that people open in a browser."""
    router = APIRouter(include_in_schema=False)

    @router.get("/audits", response_class=HTMLResponse)
    async def list_page() -> HTMLResponse:
        return HTMLResponse(render_audits(await view.audits(AUDITS_SHOWN)))

    @router.get("/audits/{night}", response_class=HTMLResponse)
    async def audit_page(night: Night) -> HTMLResponse:
        return HTMLResponse(render_audit_page(await _found(view, night)))

    return router


async def _found(view: AuditView, night: str) -> Audit:
    found = await view.audit(night)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no audit of {night}")
    return found
