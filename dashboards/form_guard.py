"""Who may change things by the forms of the pages, and who they are: asked once, and kept in cookies.

The rule is that of ``write_guard``: whoever has shown the token, or, where there is none, people on this machine alone.
A page of a stranger must not send our forms with our cookies: a browser says of each form from which page it comes.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import ClassVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from fastapi import HTTPException, Request, Response, status

from canaries.clock import Clock
from dashboards.write_guard import HERE_ALONE, is_local

NAME_COOKIE, PASS_COOKIE = "anchorwatch_name", "anchorwatch_pass"
"""Who somebody is, and that they have shown the token."""

NAME_LENGTH_MAX = 200
"""How long a name may be."""

REMEMBERED = timedelta(days=365)
"""For how long a browser remembers a name."""

SIGNED_IN = timedelta(days=30)
"""For how long the token need not be shown again."""

FORM_BYTES_MAX, FIELDS_MAX = 64 * 1024, 50
"""How large a form may be, and how many fields it may have."""

SIGN_IN_FIRST = "show the token of the configuration (http.token) once, then do it again"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: ``name`` is empty while unknown. ``must_sign_in``: then they may change things as well."""

    name: str
    may_act: bool
    must_sign_in: bool = False
    here_alone: ClassVar[str] = HERE_ALONE


class FormGuard:
    """Tells who somebody is, and refuses forms that may not change anything, with the reason."""

    def __init__(self, token: str | None, clock: Clock, public_url: str | None = None) -> None:
        """Ask for ``token``, or let only people on this machine in; ``public_url`` is where our pages are as well."""
        self._token, self._clock = token, clock
        self._public = urlsplit(public_url).netloc.lower() if public_url else ""

    @property
    def asks_for_token(self) -> bool:
        """Whether a token has to be shown."""
        return self._token is not None

    def visitor(self, request: Request) -> Visitor:
        """Who asks for a page."""
        name = unquote(request.cookies.get(NAME_COOKIE, ""))[:NAME_LENGTH_MAX].strip()
        may_act = is_local(request) if self._token is None else self._has_pass(request, self._token)
        return Visitor(name, may_act, must_sign_in=self._token is not None and not may_act)

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form that may change things. Raises HTTPException with what is wrong."""
        fields = await self.read(request)
        visitor = self.visitor(request)
        if visitor.must_sign_in:
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, SIGN_IN_FIRST)
        if not visitor.may_act:
            raise HTTPException(status.HTTP_403_FORBIDDEN, HERE_ALONE)
        return fields

    async def read(self, request: Request) -> dict[str, str]:
        """The fields of a form of ours, whoever sends it. Raises HTTPException with what is wrong."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise HTTPException(
                status.HTTP_415_UNSUPPORTED_MEDIA_TYPE,
                "this is sent by the forms of the pages; machines use the API (/api/docs)",
            )
        if not self._is_ours(request):
            raise HTTPException(
                status.HTTP_403_FORBIDDEN,
                "this form was not sent by a page of this Anchorwatch; open the page and send it from there. Behind a "
                "proxy, set http.public_url to the address that people open, or have the proxy pass on the Host header",
            )
        return _fields(await _body(request))

    def remember(self, request: Request, response: Response, name: str) -> None:
        """Have the browser remember who somebody is."""
        self._set(request, response, NAME_COOKIE, quote(name.strip()[:NAME_LENGTH_MAX], safe=""), REMEMBERED)

    def sign_in(self, request: Request, response: Response, shown: str) -> bool:
        """Whether the right token was shown; the browser then need not show it again for a while."""
        if self._token is None or not hmac.compare_digest(shown.strip().encode(), self._token.encode()):
            return False
        until = str(int((self._clock.now() + SIGNED_IN).timestamp()))
        self._set(request, response, PASS_COOKIE, f"{until}.{_seal(self._token, until)}", SIGNED_IN)
        return True

    def forget(self, response: Response) -> None:
        """Have the browser forget who somebody is, and that the token was shown."""
        for cookie in (NAME_COOKIE, PASS_COOKIE):
            response.delete_cookie(cookie)

    def _set(self, request: Request, response: Response, name: str, value: str, kept: timedelta) -> None:
        # A proxy may have ended TLS before us; the browser says what it sees.
        is_tls = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
        response.set_cookie(
            name, value, max_age=int(kept.total_seconds()), httponly=True, samesite="lax", secure=is_tls
        )

    def _has_pass(self, request: Request, token: str) -> bool:
        until, _, seal = request.cookies.get(PASS_COOKIE, "").partition(".")
        is_whole = hmac.compare_digest(seal.encode(), _seal(token, until).encode())
        return is_whole and self._clock.now().timestamp() < int(until)

    def _is_ours(self, request: Request) -> bool:
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        # Without TLS browsers tell that header to nobody but this machine; the origin they always tell.
        origin = urlsplit(request.headers.get("origin", "")).netloc.lower()
        return bool(origin) and origin in (request.headers.get("host", "").lower(), self._public)


def _seal(token: str, until: str) -> str:
    return hmac.new(token.encode(), f"pages until {until}".encode(), sha256).hexdigest()


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > FORM_BYTES_MAX:
            raise HTTPException(
                status.HTTP_413_CONTENT_TOO_LARGE, f"a form has {FORM_BYTES_MAX:,} bytes at most"
            )
    return bytes(body)


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise HTTPException(
            status.HTTP_400_BAD_REQUEST, "this form cannot be read; open the page and send it from there"
        ) from error
    return dict(pairs)


def said_name(fields: Mapping[str, str], visitor: Visitor) -> str:
    """Who sends a form: the name in it, or the one that the browser remembers."""
    return fields.get("by", "").strip()[:NAME_LENGTH_MAX] or visitor.name
