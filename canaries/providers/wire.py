"""A quicker way to endpoints than httpx's, for measuring them with many requests under way.

httpx's own takes about a millisecond of processor time for a request, and more with each connection that is open.
With 64 requests under way that is what answers would wait for, and a bench would measure itself. Here aiohttp does it,
whose reader of answers is compiled; what is sent and what is read stay httpx's requests and responses.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from types import TracebackType
from typing import Literal, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx

LAST_BYTES_S_MAX = 0.1
"""How long a whole answer waits for the end of its body: often it comes a moment after the last event.

Only then can the connection be used again. Where it does not come, or more than ``LAST_BYTES_MAX`` do, it is closed.
"""

LAST_BYTES_MAX = 1_024
"""How many bytes may come after a whole answer, if the connection is to be used again."""


class Wire:
    """Sends requests as an ``httpx.AsyncClient`` does, over connections that are kept and as many as are needed.

    Follows no redirect, keeps no cookie, adds no header, tries nothing again. Proxies are those of the environment.
    """

    def __init__(self, encryption: ssl.SSLContext) -> None:
        """To be used within ``async with``."""
        self._encryption = encryption

    async def __aenter__(self) -> Self:
        # Whoever asks for a new connection each time says so in a header, which aiohttp sends and does not heed.
        self._kept, self._fresh = (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=self._encryption, use_dns_cache=False, force_close=is_fresh
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            )
            for is_fresh in (False, True)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._kept.close()
        await self._fresh.close()

    async def send(
        self, request: httpx.Request, *, stream: Literal[True], follow_redirects: Literal[False]
    ) -> httpx.Response:
        """The head of the answer, with the body to come. Raises httpx's errors."""
        address, timeouts = request.url, request.extensions.get("timeout", {})
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        if address.userinfo:
            headers = [(name, value) for name, value in headers if name.lower() != "authorization"]
            name_and_password = f"{address.username}:{address.password}".encode()
            headers.append(("authorization", f"Basic {b64encode(name_and_password).decode()}"))
            address = address.copy_with(userinfo=b"")
        session = self._fresh if request.headers.get("connection") == "close" else self._kept
        async with _errors_of_httpx():
            answer = await session.request(
                request.method,
                str(address),
                headers=headers,
                data=await request.aread(),
                allow_redirects=False,
                proxy=_proxy(address.scheme, address.host),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=timeouts.get("connect"), sock_read=timeouts.get("read")
                ),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))


class _Body(httpx.AsyncByteStream):
    """The body of an answer, piece by piece as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with _errors_of_httpx():
            async for piece in self._answer.content.iter_any():
                yield piece

    async def aclose(self) -> None:
        """Give the connection back, or close it where there is more to come."""
        try:
            async with asyncio.timeout(LAST_BYTES_S_MAX):
                left = LAST_BYTES_MAX
                while left > 0 and not self._answer.content.at_eof():
                    left -= len(await self._answer.content.readany())
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass  # then it is not used again
        finally:
            self._answer.close()


@asynccontextmanager
async def _errors_of_httpx() -> AsyncGenerator[None]:
    """Raises what httpx would have raised."""
    try:
        yield
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from error
    except aiohttp.InvalidURL as error:
        raise httpx.InvalidURL(str(error)) from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError) as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError(str(error)) from error


@lru_cache
def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for a host."""
    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(host):
        return None
    return address if "://" in address else f"http://{address}"
