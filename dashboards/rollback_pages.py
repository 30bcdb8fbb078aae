"""The pages of rollbacks: what waits for a person, what holds each back, what was decided; and the forms for it."""

from typing import Annotated

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse

from alerts.rollback import EVERY_ROLLBACK
from dashboards import incident_words
from dashboards.form_guard import FormGuard, said_name
from dashboards.pages import show
from dashboards.rollback_desk import RollbackDesk
from dashboards.view import RollbackState

DECISIONS_SHOWN_MAX = 100
"""How many of the latest decisions the page shows; the API has more."""

PAST_LOCKS_SHOWN_MAX = 20
"""How many of the locks that were taken back the page shows; the API has more."""

Text = Annotated[str, Query(max_length=500)]


def rollback_pages(desk: RollbackDesk, guard: FormGuard) -> APIRouter:
    """The routes that people open in a browser, and those that the forms on them are sent to."""
    router = APIRouter(include_in_schema=False)
    _add_pages(router, desk, guard)
    _add_forms(router, desk, guard)
    return router


def _add_pages(router: APIRouter, desk: RollbackDesk, guard: FormGuard) -> None:
    @router.get("/rollbacks", response_class=HTMLResponse)
    async def rollbacks(request: Request, done: Text = "") -> HTMLResponse:
        overview = await desk.overview(DECISIONS_SHOWN_MAX)
        return show(
            "rollbacks.html",
            request,
            questions=[one for one in overview.decisions if one.state is RollbackState.ASKED],
            configured=overview.configured,
            decisions=overview.decisions,
            locks={lock.rollback: lock for lock in overview.locks},
            past_locks=overview.past_locks[:PAST_LOCKS_SHOWN_MAX],
            past_locks_max=PAST_LOCKS_SHOWN_MAX,
            every=EVERY_ROLLBACK,
            shown_max=DECISIONS_SHOWN_MAX,
            done=incident_words.DONE.get(done, ""),
            visitor=guard.visitor(request),
        )

    @router.get("/rollbacks/approve", response_class=HTMLResponse)
    async def before_approval(request: Request, incident: Text, rollback: Text) -> HTMLResponse:
        order = await desk.dry_run(rollback, incident)
        return show(
            "rollback_approval.html",
            request,
            order=order,
            body=orjson.dumps(order.body, option=orjson.OPT_INDENT_2).decode(),
            incident=incident,
            visitor=guard.visitor(request),
        )


def _add_forms(router: APIRouter, desk: RollbackDesk, guard: FormGuard) -> None:
    @router.post("/rollbacks/{deed}")
    async def do(request: Request, deed: str) -> RedirectResponse:
        fields = await guard.form(request)
        by, rollback = said_name(fields, guard.visitor(request)), fields.get("rollback", "")
        incident = fields.get("incident", "")
        match deed:
            case "approve":
                await desk.approve(incident, by, rollback)
            case "reject":
                await desk.reject(incident, by, rollback)
            case "lock":
                await desk.lock(rollback, by, fields.get("comment", ""))
            case "unlock":
                await desk.unlock(rollback, by)
            case _:
                raise HTTPException(status.HTTP_404_NOT_FOUND)
        answer = RedirectResponse(f"../rollbacks?done={deed}", status.HTTP_303_SEE_OTHER)
        guard.remember(request, answer, by)
        return answer
