"""Probes and metrics are answered in front of the pages, which are made when somebody asks for them."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from dashboards.front import Front, Probes
from dashboards.view import Readiness

PROBES = ("/metrics", "/healthz", "/readyz")
METRICS = b"# HELP up Lives.\n# TYPE up gauge\nup 1.0\n"


class Harbour:
    """A front whose pages take as long to be made as it is told."""

    def __init__(self, view: Any, app: FastAPI) -> None:
        self.made = 0
        self.may_be_made = threading.Event()
        self.may_be_made.set()
        self._app = app
        self.front = Front(Probes(lambda: METRICS, view.is_ready), self._make)

    def _make(self) -> FastAPI:
        assert self.may_be_made.wait(30)
        self.made += 1
        return self._app

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.front)
        return httpx.AsyncClient(transport=transport, base_url="http://anchorwatch.test")


@pytest.fixture
def harbour(view: Any, web_app: FastAPI) -> Harbour:
    return Harbour(view, web_app)


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize(
    "readiness", [Readiness(()), Readiness(("the disk is full",))], ids=["ready", "not ready"]
)
async def test_probes_are_answered_as_the_application_would_and_without_it(
    harbour: Harbour, browser: Any, view: Any, path: str, readiness: Readiness
) -> None:
    view.readiness = readiness
    async with harbour.client() as client, browser() as behind:
        answer, expected = await client.get(path), await behind.get(path)
    assert not harbour.made
    assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
    assert answer.headers == expected.headers


async def test_pages_are_made_once_for_all_who_ask_at_a_time(harbour: Harbour) -> None:
    async with harbour.client() as client:
        answers = await asyncio.gather(*(client.get("/api/v1/status") for _ in range(3)))
        again = await client.get("/")
    assert [one.status_code for one in (*answers, again)] == [200] * 4
    assert harbour.made == 1


async def test_probes_are_answered_while_pages_are_made(harbour: Harbour) -> None:
    harbour.may_be_made.clear()
    async with harbour.client() as client:
        asked = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0)
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert not harbour.made
        harbour.may_be_made.set()
        assert (await asked).is_success


@pytest.mark.parametrize("path", PROBES)
async def test_what_is_no_question_is_refused_as_by_the_application(harbour: Harbour, path: str) -> None:
    async with harbour.client() as client:
        answer = await client.post(path)
    assert answer.status_code == 405
    assert "Content-Security-Policy" in answer.headers
