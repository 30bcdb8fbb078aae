"""The page that asks who somebody is, and for the token where there is one."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from dashboards.form_guard import FormGuard
from dashboards.pages import show

_OUR_PAGE = re.compile(r"[a-z]*(/[\w-]+)*(\?[\w=&%.+~-]*)?")
"""Pages of ours, seen from where they begin: nobody is sent elsewhere."""


def you_page(guard: FormGuard) -> APIRouter:
    """The page and its forms."""
    router = APIRouter(include_in_schema=False)

    @router.get("/you", response_class=HTMLResponse)
    async def you(
        request: Request, after: Annotated[str, Query(alias="next", max_length=1000)] = ""
    ) -> HTMLResponse:
        return _ask(request, after)

    @router.post("/you")
    async def is_you(request: Request) -> Response:
        fields = await guard.read(request)
        name, after = fields.get("name", "").strip(), fields.get("next", "")
        if not name:
            return _ask(request, after, "Say who you are, so that the others know whom to ask.", 400)
        answer = RedirectResponse(after if _OUR_PAGE.fullmatch(after) and after else "./", 303)
        asks = guard.asks_for_token and not guard.visitor(request).may_act
        if asks and not guard.sign_in(request, answer, fields.get("token", "")):
            problem = "That is not the token: it stands as http.token in the configuration of the daemon."
            return _ask(request, after, problem, status.HTTP_401_UNAUTHORIZED, name)
        guard.remember(request, answer, name)
        return answer

    @router.post("/you/forget")
    async def forget(request: Request) -> RedirectResponse:
        await guard.read(request)
        answer = RedirectResponse("../you", status.HTTP_303_SEE_OTHER)
        guard.forget(answer)
        return answer

    def _ask(
        request: Request, after: str, problem: str = "", code: int = 200, name: str = ""
    ) -> HTMLResponse:
        visitor = guard.visitor(request)
        return show(
            "you.html",
            request,
            code,
            visitor=visitor,
            name=name or visitor.name,
            problem=problem,
            after=after,
            asks_for_token=guard.asks_for_token,
        )

    return router
