"""How it is said that something cannot be shown or done: as JSON to machines, else as a page with what to do."""

from fastapi import FastAPI, Request, Response, status
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from dashboards.desk import DeskError
from dashboards.pages import show

MACHINES = ("/api/", "/static/", "/metrics")
"""Where the addresses begin that no person opens."""

HEADLINES = {
    status.HTTP_401_UNAUTHORIZED: "Sign in first.",
    status.HTTP_403_FORBIDDEN: "Not from here.",
    status.HTTP_404_NOT_FOUND: "There is no such thing.",
    status.HTTP_405_METHOD_NOT_ALLOWED: "This is not opened like that.",
}
"""What is said in large letters, by the answer's code."""

_BARE = {"Not Found": "no page of ours has this address", "Method Not Allowed": "open it from its page"}
"""What to say in place of the words of HTTP."""


def add_refusals(app: FastAPI) -> None:
    """Have the application say what it refuses."""

    @app.exception_handler(DeskError)
    async def cannot_be_done(request: Request, error: DeskError) -> Response:
        if request.url.path.startswith(MACHINES):
            return JSONResponse({"detail": str(error)}, status_code=error.status_code)
        return _page(request, error.status_code, str(error))

    @app.exception_handler(HTTPException)
    async def is_refused(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith(MACHINES):
            return await http_exception_handler(request, error)
        return _page(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def is_invalid(request: Request, error: RequestValidationError) -> Response:
        if request.url.path.startswith(MACHINES):
            return await request_validation_exception_handler(request, error)
        told = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return _page(request, status.HTTP_422_UNPROCESSABLE_CONTENT, told)


def _page(request: Request, code: int, reason: str) -> HTMLResponse:
    reason = _BARE.get(reason, reason)
    must_sign_in = code == status.HTTP_401_UNAUTHORIZED
    return show(
        "refused.html",
        request,
        code,
        headline=HEADLINES.get(code, "That did not work."),
        reason=f"{reason[:1].upper()}{reason[1:]}{'' if reason.endswith('.') else '.'}",
        way="you" if must_sign_in else "incidents",
        way_words="Sign in" if must_sign_in else "All open incidents",
    )
