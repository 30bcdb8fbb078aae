"""One HTTP POST of a channel: what came back, or why nothing did."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx

from .. import DeliveryError
from .retry_after import retry_after_s

MAX_ANSWER_BYTES = 4096
"""How much of an answer is read: enough to say what was wrong, whatever its size."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What was answered. ``text`` is its beginning; ``retry_after_s`` the wait that it asks for, if it does."""

    status: int
    text: str
    retry_after_s: float | None

    @property
    def is_success(self) -> bool:
        """Whether it arrived: any 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts to one address; redirects are not followed. ``name`` is what errors call the other side."""

    name: str
    url: str
    timeout_s: float
    client: httpx.AsyncClient
    now: Callable[[], datetime]

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> Posted:
        """What was answered to this JSON. Raises DeliveryError when nothing was, which another try may change."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._post(body, headers or {})
        except TimeoutError as error:
            raise DeliveryError(f"{self.name} did not answer within {self.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise DeliveryError(f"{self.name} could not be reached ({type(error).__name__})") from error

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Posted:
        request = self.client.stream(
            "POST",
            self.url,
            content=body,
            headers={
                "content-type": "application/json",
                "user-agent": "anchorwatch",
                "accept-encoding": "identity",
                **headers,
            },
            timeout=self.timeout_s,
            follow_redirects=False,
        )
        async with request as response:
            wait_s = retry_after_s(response.headers.get("retry-after"), self.now())
            return Posted(response.status_code, await _beginning(response), wait_s)


async def _beginning(response: httpx.Response) -> str:
    read = bytearray()
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) >= MAX_ANSWER_BYTES:
            break
    return read[:MAX_ANSWER_BYTES].decode("utf-8", "replace")
