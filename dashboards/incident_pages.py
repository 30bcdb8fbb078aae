"""The pages of incidents: the list, and each one with all that is on record of it and the forms to see to it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse

from alerts.matcher import parse_matchers
from dashboards import incident_words
from dashboards.desk import DeskError, IncidentDesk, IncidentLine
from dashboards.form_guard import FormGuard, said_name
from dashboards.pages import show
from dashboards.rollback_desk import RollbackDesk
from dashboards.view import IncidentState

SHOWN_MAX = 200
"""How many incidents a list shows; the page says when there are more."""

ROLLBACKS_LOOKED_AT = 500
"""Among how many of the latest decisions on rollbacks those of an incident are searched."""

LOOKED_AT_MAX = 1000
"""Among how many of the newest those are searched that are kept quiet."""

OPEN, ALL = "open", "all"
STATES = (OPEN, *(one.value for one in IncidentState), ALL)
"""What may be asked for: one state, or what is not over, or everything."""

Text = Annotated[str, Query(max_length=1000)]


def incident_pages(desk: IncidentDesk, guard: FormGuard, rollbacks: RollbackDesk | None = None) -> APIRouter:
    """The routes that people open in a browser, and those that the forms on them are sent to."""
    router = APIRouter(include_in_schema=False)
    _add_pages(router, desk, guard, rollbacks)
    _add_forms(router, desk, guard)
    return router


def _add_pages(
    router: APIRouter, desk: IncidentDesk, guard: FormGuard, rollbacks: RollbackDesk | None
) -> None:
    @router.get("/incidents", response_class=HTMLResponse)
    async def incidents(
        request: Request, state: Text = OPEN, match: Text = "", quiet: Text = ""
    ) -> HTMLResponse:
        limit = LOOKED_AT_MAX if quiet else SHOWN_MAX + 1
        found, problem = await _fitting(desk, state, match, limit)
        fitting = [one for one in found if one.held or not quiet]
        return show(
            "incidents.html",
            request,
            code=status.HTTP_400_BAD_REQUEST if problem else status.HTTP_200_OK,
            incidents=fitting[:SHOWN_MAX],
            has_more=len(fitting) > SHOWN_MAX or len(found) == LOOKED_AT_MAX,
            shown_max=SHOWN_MAX,
            problem=problem,
            asked={"state": state, "match": match, "quiet": quiet},
            states_known=STATES,
            words=incident_words,
        )

    @router.get("/incidents/{incident}", response_class=HTMLResponse)
    async def incident(request: Request, incident: str, done: Text = "") -> HTMLResponse:
        file = await desk.incident(incident)
        known = (await rollbacks.overview(ROLLBACKS_LOOKED_AT)).decisions if rollbacks else ()
        return show(
            "incident.html",
            request,
            file=file,
            rollbacks=[one for one in known if one.incident == file.incident.id],
            done=incident_words.DONE.get(done, ""),
            visitor=guard.visitor(request),
            words=incident_words,
        )

    @router.get("/explain", response_class=HTMLResponse)
    async def explain(request: Request, incident: Annotated[str, Query(max_length=500)] = "") -> HTMLResponse:
        if not incident:
            return show("explanation.html", request, found=None, asked="")
        found = await desk.explain(incident)
        return show("explanation.html", request, found=found, asked=incident)


async def _fitting(
    desk: IncidentDesk, state: str, match: str, limit: int
) -> tuple[tuple[IncidentLine, ...], str]:
    """The newest incidents of those that are asked for; or what is wrong with what is asked."""
    if state not in STATES:
        return (), f"{state!r} is no state: one of {', '.join(STATES)}"
    try:
        matchers = [str(one) for one in parse_matchers(match)]
        one_state = None if state in (OPEN, ALL) else IncidentState(state)
        return await desk.incidents(matchers, state == ALL, limit, one_state), ""
    except (ValueError, DeskError) as error:
        return (), str(error)


def _add_forms(router: APIRouter, desk: IncidentDesk, guard: FormGuard) -> None:
    @router.post("/incidents/{incident}/acknowledge")
    async def acknowledge(request: Request, incident: str) -> RedirectResponse:
        fields = await guard.form(request)
        by = said_name(fields, guard.visitor(request))
        seen = await desk.acknowledge(incident, by)
        done = "acknowledged" if seen.acknowledged_by == by else "before"
        return _done(request, guard, by, "../../" if fields.get("back") else f"../{seen.id}?done={done}")

    @router.post("/incidents/{incident}/mark")
    async def mark(request: Request, incident: str) -> RedirectResponse:
        fields = await guard.form(request)
        judged = fields.get("is_true")
        if judged not in ("true", "false"):
            raise HTTPException(
                status.HTTP_400_BAD_REQUEST,
                "say whether something was wrong: is_true is true, or false for a false alarm",
            )
        by = said_name(fields, guard.visitor(request))
        marked = await desk.mark(incident, judged == "true", by)
        return _done(request, guard, by, f"../{marked.id}?done=marked")


def _done(request: Request, guard: FormGuard, by: str, where: str) -> RedirectResponse:
    """Back to a page that may be loaded again without doing it again."""
    answer = RedirectResponse(where, status.HTTP_303_SEE_OTHER)
    guard.remember(request, answer, by)
    return answer
