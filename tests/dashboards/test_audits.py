"""The nightly audits in the API and among the pages."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from dashboards import StatusError
from dashboards.audit.report import (
    Against,
    Audit,
    Change,
    Line,
    Measure,
    Mover,
    Reality,
    Subject,
    SubjectKind,
)

UNTIL = datetime(2026, 3, 3, 6, 30, tzinfo=UTC)
SLOWER = Line(Measure.LATENCY_P95, 2.9, 2_976, Change(1.9, 2_826, Reality.REAL, 0.8, 1.2, 1e-6, 1e-4))
WORSE = Audit(
    at=UNTIL,
    since=UNTIL - timedelta(days=1),
    until=UNTIL,
    against=Against.PREVIOUS,
    subjects=(Subject(SubjectKind.SERVICE, "shop", "production", (SLOWER,)),),
    movers=(Mover(SubjectKind.SERVICE, "shop", SLOWER),),
    night="2026-03-03",
)
CALM = replace(WORSE, subjects=(), movers=(), night="2026-03-02")

Browser = Callable[[], httpx.AsyncClient]


async def test_the_history_is_listed_newest_first_with_its_headlines(view, browser: Browser) -> None:
    view.nights = (WORSE, CALM)
    async with browser() as client:
        listed = (await client.get("/api/v1/audits")).json()
        one = (await client.get("/api/v1/audits", params={"limit": 1})).json()
    assert [(each["night"], each["worse"]) for each in listed] == [("2026-03-03", 1), ("2026-03-02", 0)]
    assert listed[0]["headline"] == "1 measure got worse."
    assert len(one) == 1


async def test_a_night_has_the_whole_audit(view, browser: Browser) -> None:
    view.nights = (WORSE,)
    async with browser() as client:
        found = (await client.get("/api/v1/audits/2026-03-03")).json()
    line = found["subjects"][0]["lines"][0]
    assert (line["measure"], line["value"], line["n"]) == ("latency_p95", 2.9, 2_976)
    assert line["previous"]["reality"] == "real"


@pytest.mark.parametrize("root", ["/api/v1/audits/", "/audits/"])
@pytest.mark.parametrize(("night", "code"), [("2026-01-01", 404), ("..%2Fsecret", 404), ("soon", 422)])
async def test_a_night_without_an_audit_is_not_found(
    view, browser: Browser, root: str, night: str, code: int
) -> None:
    async with browser() as client:
        assert (await client.get(f"{root}{night}")).status_code == code


async def test_the_pages_lead_from_the_list_to_the_night(view, browser: Browser) -> None:
    view.nights = (WORSE, CALM)
    async with browser() as client:
        listed, night = await client.get("/audits"), await client.get("/audits/2026-03-03")
        style = await client.get("/static/audit.css")
    assert '<a href="audits/2026-03-03">Audit of 2026-03-03</a>: 1 measure got worse.' in listed.text
    assert "shop: latency p95 1.9 s to 2.9 s" in night.text
    assert (night.status_code, style.status_code) == (200, 200)
    assert "style-src 'self'" in night.headers["Content-Security-Policy"]


async def test_without_any_audit_the_page_says_how_to_get_one(browser: Browser) -> None:
    async with browser() as client:
        page = await client.get("/audits")
    assert "anchorwatch audit" in page.text


async def test_a_database_that_cannot_be_read_is_a_503(view, browser: Browser) -> None:
    view.error = StatusError("the database is locked")
    async with browser() as client:
        answer = await client.get("/api/v1/audits")
    assert (answer.status_code, answer.json()) == (503, {"detail": "the database is locked"})
