"""The page of the budget: how many pages there were this quarter, how right they were, and by which rule."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dashboards.desk import IncidentDesk
from dashboards.pages import show
from dashboards.view import StatusView

PAGES_SHOWN_MAX = 100
"""How many pages of the quarter are named; the page says when there are more."""


def budget_page(view: StatusView, desk: IncidentDesk) -> APIRouter:
    """The route that people open in a browser."""
    router = APIRouter(include_in_schema=False)

    @router.get("/budget", response_class=HTMLResponse)
    async def budget(request: Request) -> HTMLResponse:
        status, paged = await view.status(), await desk.paged()
        return show(
            "budget.html",
            request,
            budget=status.budget,
            found_right=sum(one.is_true is True for one in paged),
            found_false=sum(one.is_true is False for one in paged),
            paged=paged[:PAGES_SHOWN_MAX],
            paged_more=max(0, len(paged) - PAGES_SHOWN_MAX),
        )

    return router
