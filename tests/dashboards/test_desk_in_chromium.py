"""An on-call at a real browser, without any script: acknowledge by keyboard, silence with the preview."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from chromium import chromium

from alerts import silence_store, store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, State
from alerts.intake import receive
from dashboards.app import build_app
from monitor.serving import Place, address, bind, server
from monitor.telling.incident_desk import Desk


@pytest.fixture
async def pages(database, clock, view) -> AsyncIterator[str]:
    """Where the pages are, on a real port."""
    app = build_app(view, lambda: b"", view.is_ready, view, Desk(database, clock, lambda: None), clock=clock)
    listener, serving = bind("127.0.0.1", 0, Place("pages", "--port", "http")), server(app)
    task = asyncio.create_task(serving.serve(sockets=[listener]))
    yield address(listener)
    serving.should_exit = True
    await task


@pytest.mark.timeout(180)
async def test_an_incident_is_acknowledged_by_keyboard_and_another_silenced_after_a_look(
    pages, database, clock, tmp_path
):
    for service in ("chat", "batch"):
        finding = Finding(Severity.PAGE, Source.WATCH, f"{service} is slow", {"service": service})
        verdict = (Verdict(f"watch/{service}", Label.BREACHED, finding), AlertRule())
        database.write(lambda session, one=verdict: receive(session, [one], clock.now()))

    async with chromium(tmp_path / "profile", width=390, scripts=False) as tab:
        await tab.goto(f"{pages}/incidents")
        await tab.follow("chat is slow")
        await tab.fill("#by", "ada")
        await tab.submit_by_keyboard()
        assert "You see to it from now on" in await tab.text()

        await tab.follow("Silences")
        await tab.follow("Silence something…")
        await tab.fill("#matchers", "service=batch")
        await tab.fill("#for", "2h")
        await tab.follow("Show what it would hold")
        shown = await tab.text()
        assert "It would hold 1 open incident now" in shown
        assert "batch is slow" in shown
        assert "As ada" in shown
        await tab.follow("Silence it")
        assert "The silence stands below" in await tab.text()
        assert await tab.value("document.documentElement.scrollWidth <= innerWidth")

    states = {one.key: one.state for one in database.read(store.open_incidents)}
    assert states == {"watch/chat": State.ACKNOWLEDGED, "watch/batch": State.FIRING}
    [silence] = database.read(silence_store.silences)
    assert (silence.said, silence.author) == ('service="batch"', "ada")
    assert (silence.ends_at - silence.starts_at).total_seconds() == 7200
