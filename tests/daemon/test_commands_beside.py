"""Commands that people run while the daemon works on the same database."""

import json
from collections.abc import Iterator

import pytest

from monitor.demo.serving import LocalServer

from .conftest import CHANNEL, Harbour, write_suite
from .endpoint import Endpoint, Mood
from .running import RunningDaemon

CONFIG = """
targets:
  bot: {{base_url: "{url}/bot/v1", model: practice-1, suite: suite.yaml, every: 200ms, max_attempts: 1,
    down_after: 1, notify: [oncall]}}
"""
TESTS = 8


@pytest.fixture(scope="module")
def daemon(harbour: Harbour, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon whose outbox is looked at all the time, as an incident is open."""
    folder, endpoint = tmp_path_factory.mktemp("beside"), Endpoint()
    write_suite(folder)
    endpoint.moods["bot"] = Mood.UNAUTHORIZED
    with (
        LocalServer(endpoint.app()) as server,
        RunningDaemon(folder, CONFIG.format(url=server.url) + harbour.config) as daemon,
    ):
        daemon.until("the page", lambda: daemon.incidents("proof/bot/endpoint_down"))
        yield daemon


def test_alerts_list_shows_what_is_wrong(daemon: RunningDaemon, command, capfd) -> None:
    assert command("alerts", "list", "--json", "--data", daemon.data) == 0
    shown = json.loads(capfd.readouterr().out)
    assert [(one["key"], one["state"]) for one in shown] == [("proof/bot/endpoint_down", "firing")]


def test_alerts_test_reaches_people_once_whoever_sends_it(daemon, harbour: Harbour, command, capfd) -> None:
    before = len(harbour.slack.messages(CHANNEL))
    for _ in range(TESTS):
        assert command("alerts", "test", "-c", daemon.folder / "anchorwatch.yaml", "--data", daemon.data) == 0
        assert capfd.readouterr().out == "oncall: arrived\n"
    told = harbour.slack.messages(CHANNEL)[before:]
    assert [message.text.partition(":")[0] for message in told] == ["TEST"] * TESTS
    assert daemon.status()["outbox"] == {"waiting": 0, "failed": 0, "oldest_age_s": None}


def test_the_daemon_minds_none_of_it(daemon: RunningDaemon) -> None:
    assert daemon.get("/readyz").is_success
    assert daemon.metric("anchorwatch_failures_total") == 0
    assert "database" not in daemon.problems()
