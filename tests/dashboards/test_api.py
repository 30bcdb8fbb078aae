"""What machines get: the status as JSON that keeps its own description, metrics, probes."""

from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import pytest

from dashboards.view import Readiness

Browser = Callable[[], httpx.AsyncClient]


async def get(browser: Browser, path: str) -> httpx.Response:
    async with browser() as client:
        return await client.get(path)


async def test_the_status_keeps_to_the_published_description(browser: Browser) -> None:
    document = (await get(browser, "/api/openapi.json")).json()
    content = document["paths"]["/api/v1/status"]["get"]["responses"]["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    status = (await get(browser, "/api/v1/status")).json()
    jsonschema.validate(status, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**status, "targets": [{}]}, schema)


async def test_the_status_says_times_in_utc_and_words_by_their_names(browser: Browser) -> None:
    status = (await get(browser, "/api/v1/status")).json()
    assert status["at"] == "2026-03-02T12:00:00Z"
    assert [target["state"] for target in status["targets"]] == [
        "watching",
        "watching",
        "collecting",
        "refused",
        "down",
    ]
    drift = next(incident for incident in status["incidents"] if incident["id"] == "i-1")
    assert (drift["severity"], drift["state"], drift["subject"]) == ("page", "firing", "support-bot")
    assert drift["notifications"][1]["state"] == "waiting"
    assert drift["evidence"][1] == {"name": "strangest canary", "value": "refund-window"}
    assert status["rollbacks"][0]["mode"] == "dry-run"


async def test_every_operation_is_on_the_reference_page(browser: Browser) -> None:
    document = (await get(browser, "/api/openapi.json")).json()
    page = (await get(browser, "/api/docs")).text
    audits = {"/api/v1/audits", "/api/v1/audits/{night}"}
    assert {"/api/v1/status", "/metrics", "/healthz", "/readyz"} | audits < set(document["paths"])
    for path in document["paths"]:
        assert path in page
    for field in ("pages_per_quarter", "runs_collected", "oldest_age_s", "notifications"):
        assert f"<code>{field}</code>" in page
    assert "pending | firing | acknowledged | resolved" in page


async def test_metrics_are_passed_on_in_prometheus_text_format(browser: Browser) -> None:
    answer = await get(browser, "/metrics")
    assert answer.text.endswith("up 1.0\n")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")


async def test_the_daemon_is_healthy_though_it_is_not_ready(browser: Browser, view: Any) -> None:
    assert (await get(browser, "/readyz")).json() == {"ready": True, "reasons": []}
    view.readiness = Readiness(("the database is locked", "no receiver"))
    answer = await get(browser, "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["the database is locked", "no receiver"]}
    assert (await get(browser, "/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/nothing", "/static/..%2fapp.py", "/api/v1/nothing"])
async def test_what_is_not_there_is_not_found(browser: Browser, path: str) -> None:
    answer = await get(browser, path)
    assert answer.status_code == 404
    assert "Content-Security-Policy" in answer.headers


async def test_the_reference_shows_what_is_sent_as_it_is_typed(browser: Browser) -> None:
    page = " ".join(
        (await get(browser, "/api/docs")).text.replace("&#34;", '"').replace("&#39;", "'").split()
    )
    for typed in (
        """curl localhost:8700/api/v1/incidents/5f1b9c0e7a42d386/acknowledge --json '{"by": "ada"}'""",
        """curl localhost:8700/api/v1/incidents/5f1b9c0e7a42d386/mark --json '{"is_true": false, "by": "ada"}'""",
        """curl localhost:8700/api/v1/incidents/5f1b9c0e7a42d386/rollback/approve --json '{"by": "ada"}'""",
        """curl localhost:8700/api/v1/rollbacks/deploy/lock --json '{"by": "ada", "comment": "database""",
        """curl localhost:8700/api/v1/silences/3f2a91c07b5d/expire --json '{"by": "ada"}'""",
        """curl localhost:8700/api/v1/incidents --get --data-urlencode 'match=service=checkout'""",
        """silences --json '{"matchers": ["service=checkout"], "for": "2h", "by": "ada", "comment": "moving""",
    ):
        assert typed in page
    assert "<code>matchers</code>" in page
    assert "400</span> Bad Request" in page
