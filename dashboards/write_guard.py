"""Who may change things over HTTP: whoever shows the token, or, where there is none, people on this machine alone.

A page of a stranger in somebody's browser must not: it cannot send JSON without asking first, which we never allow; and
a name of theirs that leads to this machine is no name of this machine.
"""

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, status

_HERE = "localhost"

HERE_ALONE = (
    "without a token in the configuration (http.token) only this machine may change things, at http://localhost or "
    "http://127.0.0.1"
)
"""What is said to whoever asks from elsewhere."""


class WriteGuard:
    """Refuses what may not change anything, with the reason."""

    def __init__(self, token: str | None) -> None:
        """Ask for ``token``, or let only people on this machine in."""
        self._token = token

    async def __call__(self, request: Request) -> None:
        """Raises HTTPException when this request may not change anything."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(
                status.HTTP_415_UNSUPPORTED_MEDIA_TYPE,
                "what changes something is sent as JSON, with the header `Content-Type: application/json`",
            )
        if self._token is not None:
            self._check_token(request, self._token)
        else:
            _check_that_it_is_local(request)

    def _check_token(self, request: Request, token: str) -> None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        # On bytes: the comparison takes no text that is not ASCII.
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), token.encode()):
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED,
                "show the token of the configuration (http.token) in the header `Authorization: Bearer ...`",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _check_that_it_is_local(request: Request) -> None:
    if not is_local(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, HERE_ALONE)


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine, by a name of this machine, and from no page of elsewhere."""
    peer = request.client.host if request.client else ""
    origin = request.headers.get("origin")
    hosts = [peer, _name(request.headers.get("host", ""))]
    if origin is not None:
        hosts.append(urlsplit(origin).hostname or "")
    return all(_is_here(host) for host in hosts)


def _name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _is_here(host: str) -> bool:
    if host == _HERE:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
