"""The pages of silences: those that hold, and a new one with the incidents that it would hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from alerts.duration import parse_duration
from alerts.matcher import parse_matchers
from alerts.silence import matchers_problem
from dashboards import incident_words
from dashboards.desk import DeskError, IncidentDesk, IncidentLine
from dashboards.form_guard import FormGuard, said_name
from dashboards.pages import show

LENGTHS = ("1h", "4h", "12h", "1d", "3d", "7d")
"""How long a silence may be chosen to be; anything else may be written."""

PREVIEWED_MAX = 100
"""How many incidents a preview names; it counts the others."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A silence that somebody is about to make, as it was written."""

    matchers: str = ""
    length: str = LENGTHS[0]
    comment: str = ""
    starts: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Draft":
        """The draft in the fields of a form or an address."""
        return cls(
            fields.get("matchers", ""),
            fields.get("for") or LENGTHS[0],
            fields.get("comment", ""),
            fields.get("starts", ""),
        )

    def read(self) -> tuple[list[str], float, datetime | None]:
        """The matchers, the length in seconds, and the beginning. Raises DeskError with what would be right."""
        try:
            matchers, length_s = parse_matchers(self.matchers), parse_duration(self.length)
            starts_at = _moment(self.starts)
        except ValueError as error:
            raise DeskError(str(error), is_malformed=True) from error
        if problem := matchers_problem(matchers):
            raise DeskError(problem, is_malformed=True)
        return [str(one) for one in matchers], length_s, starts_at


def _moment(text: str) -> datetime | None:
    """The moment that somebody has written, in UTC unless they say otherwise; nothing where they wrote nothing."""
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r} is no time; write it like 2026-03-02T18:00 (UTC)") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def silence_pages(desk: IncidentDesk, guard: FormGuard) -> APIRouter:
    """The routes that people open in a browser, and those that the forms on them are sent to."""
    router = APIRouter(include_in_schema=False)

    @router.get("/silences", response_class=HTMLResponse)
    async def silences(
        request: Request,
        everything: Annotated[bool, Query(alias="all")] = False,
        done: Annotated[str, Query(max_length=50)] = "",
    ) -> HTMLResponse:
        return show(
            "silences.html",
            request,
            silences=await desk.silences(everything),
            everything=everything,
            done=incident_words.DONE.get(done, ""),
            visitor=guard.visitor(request),
        )

    @router.get("/silences/new", response_class=HTMLResponse)
    async def new_silence(request: Request) -> HTMLResponse:
        return await _form(request, Draft.of(request.query_params))

    async def _form(
        request: Request, draft: Draft, problem: str = "", code: int = status.HTTP_200_OK, note: str = ""
    ) -> HTMLResponse:
        held: tuple[IncidentLine, ...] | None = None
        if draft.matchers.strip() and not problem:
            try:
                held = await desk.preview(draft.read()[0])
            except DeskError as error:
                problem, code = str(error), error.status_code
        return show(
            "silence_form.html",
            request,
            code=code,
            draft=draft,
            held=held,
            previewed_max=PREVIEWED_MAX,
            problem=problem,
            note=note,
            lengths=LENGTHS,
            visitor=guard.visitor(request),
            words=incident_words,
        )

    @router.post("/silences/new")
    async def silence(request: Request) -> Response:
        fields = await guard.form(request)
        draft, by = Draft.of(fields), said_name(fields, guard.visitor(request))
        if fields.get("previewed") != draft.matchers:  # it was changed since, or nobody has looked
            return await _form(
                request, draft, note="Nothing is silenced yet: look at what it would hold first."
            )
        try:
            matchers, length_s, starts_at = draft.read()
            await desk.silence(matchers, length_s, draft.comment, by, starts_at)
        except DeskError as error:
            return await _form(request, draft, str(error), error.status_code)
        answer = RedirectResponse("../silences?done=silenced", status.HTTP_303_SEE_OTHER)
        guard.remember(request, answer, by)
        return answer

    @router.post("/silences/{silence}/expire")
    async def expire(request: Request, silence: str) -> RedirectResponse:
        by = said_name(await guard.form(request), guard.visitor(request))
        await desk.expire(silence, by)
        answer = RedirectResponse("../../silences?done=expired", status.HTTP_303_SEE_OTHER)
        guard.remember(request, answer, by)
        return answer

    return router
