"""The page of who is told of what: the tree of routes, and who would be told of an incident with these labels."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from fastapi.responses import HTMLResponse

from alerts.finding import Severity, Source
from alerts.matcher import Operator, parse_matchers
from alerts.routing_words import NOBODY
from dashboards import incident_words
from dashboards.desk import Asked, DeskError, IncidentDesk
from dashboards.pages import show

SEVERITIES = tuple(severity.name.lower() for severity in reversed(Severity))
"""How loud an incident may be, the loudest first."""

Text = Annotated[str, Query(max_length=4000)]


def routing_page(desk: IncidentDesk) -> APIRouter:
    """The route that people open in a browser."""
    router = APIRouter(include_in_schema=False)

    @router.get("/routes", response_class=HTMLResponse)
    async def routes(
        request: Request,
        labels: Text | None = None,
        severity: Text = "page",
        source: Text = Source.WATCH.value,
        key: Text = "",
    ) -> HTMLResponse:
        problem, would = "", None
        if labels is not None:
            try:
                would = await desk.would_tell(asked_of(labels, severity, source, key))
            except DeskError as error:
                problem = str(error)
        return show(
            "routes.html",
            request,
            code=status.HTTP_400_BAD_REQUEST if problem else status.HTTP_200_OK,
            routing=await desk.routing(),
            would=would,
            problem=problem,
            asked={"labels": labels or "", "severity": severity, "source": source, "key": key},
            severities=SEVERITIES,
            sources=[one.value for one in Source],
            nobody=NOBODY,
            words=incident_words,
        )

    return router


def asked_of(labels: str, severity: str, source: str, key: str) -> Asked:
    """The incident that is asked about. Raises DeskError with what would be right."""
    if severity not in SEVERITIES:
        raise DeskError(f"{severity!r} is no severity: one of {', '.join(SEVERITIES)}", is_malformed=True)
    if source not in list(Source):
        raise DeskError(f"{source!r} is no source: one of {', '.join(Source)}", is_malformed=True)
    try:
        written = parse_matchers(labels)
    except ValueError as error:
        raise DeskError(str(error), is_malformed=True) from error
    if wrong := next((one for one in written if one.operator is not Operator.IS), None):
        raise DeskError(f"{wrong} is no label; write it like service=checkout", is_malformed=True)
    named = {one.name: one.value for one in written}
    return Asked(named, Severity[severity.upper()], Source(source), key or Asked(named).key)
