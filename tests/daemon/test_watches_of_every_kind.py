"""A daemon with a watch of every kind: each says something of the calls that came, and incidents outlive a kill."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .conftest import otlp_json
from .running import RunningDaemon

CONFIG = """
watch_every: 1s
evaluations: {helpful: {attribute: app.eval.helpful, min: 0.7}}
watches:
  - {name: flood, measure: calls_per_minute, above: 10, over: 1m}
  - {name: fallback, share: {where: {attributes: {app.fallback: "true"}}, of: {service: checkout}}, above: 10%}
  - {name: each-user, budget: {tokens: 1k, every: day, per: user.id}, severity: ticket}
  - {name: prompt, values: {attribute: app.prompt.version}, above: 50%}
  - {name: answered, slo: {objective: 99.5%}}
  - {name: swap, served_model: {}}
  - {name: judged, measure: validator_failures, above: 5%}
  - {name: release, match: {service: checkout}, measure: error_share, against: previous}
"""
CALLS = 60


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path, CONFIG) as daemon:
        yield daemon


def export() -> dict[str, object]:
    """Calls that another model answers, badly, out of a fallback, for one user and with one prompt."""
    body = otlp_json(CALLS)
    for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]:  # type: ignore[index]
        for key, value in (
            ("gen_ai.response.model", "gpt-3.5-turbo"),
            ("app.fallback", "true"),
            ("user.id", "alice"),
            ("app.prompt.version", "v7"),
        ):
            span["attributes"].append({"key": key, "value": {"stringValue": value}})
        span["attributes"].append({"key": "app.eval.helpful", "value": {"doubleValue": 0.4}})
        for key, tokens in (("gen_ai.usage.input_tokens", 90), ("gen_ai.usage.output_tokens", 10)):
            span["attributes"].append({"key": key, "value": {"intValue": str(tokens)}})
    return body


def test_each_kind_says_what_came(daemon: RunningDaemon) -> None:
    assert httpx.post(f"{daemon.otlp_url}/v1/traces", json=export(), timeout=20).status_code == 200

    def firing() -> dict[str, str] | None:
        found = {one["key"].removeprefix("watch/"): one["summary"] for one in daemon.status()["incidents"]}
        return found if len(found) >= 6 else None

    told = daemon.until("an incident of six watches", firing)
    assert "calls_per_minute is " in told["flood"]
    assert "share is 100 %" in told["fallback"]
    assert 'user.id "alice" has used 6,000 tokens, 600 % of the day\'s 1,000 tokens' in told["each-user"]
    assert 'app.prompt.version is "v7" in 100 %' in told["prompt"]
    assert "validator_failures is 100 %" in told["judged"]
    assert "(60 helpful)" in told["judged"]
    assert "gpt-3.5-turbo instead of gpt-4o-mini" in told["swap"]
    shown = {one["name"]: one for one in daemon.status()["watches"]}
    assert shown["answered"]["unit"] == "times the allowed rate"
    assert "100 % of the error budget of 30 days is left" in shown["answered"]["reason"]
    assert shown["swap"]["n"] == CALLS

    daemon.kill()
    daemon.start()
    daemon.until("the budget is judged again", lambda: "each-user" in str(daemon.status()["watches"]))
    (incident,) = daemon.incidents("watch/each-user")
    assert (incident["state"], incident["severity"]) == ("firing", "ticket")
