"""A target that may cost only so much a day, in the running daemon."""

from collections.abc import Iterator

import pytest

from monitor.demo.serving import LocalServer

from .conftest import Harbour, write_suite
from .endpoint import Endpoint
from .running import RunningDaemon

TARGET = """
  {name}: {{base_url: "{url}/{name}/v1", model: practice-1, suite: suite.yaml, every: 500ms, samples: 4,
    parameters: {{max_tokens: 5}}, price: {{input_usd_per_mtok: 0, output_usd_per_mtok: 200000}},
    spend_cap_usd_per_day: {cap}, notify: [oncall]}}
"""
RUNS_A_DAY = 86_400 / 0.5
SAMPLE_USD = 1.0
"""Five tokens of an answer."""
CAPS = {"wide": 100 * SAMPLE_USD * RUNS_A_DAY, "thin": 5 * SAMPLE_USD * RUNS_A_DAY, "poor": 2.5 * SAMPLE_USD}


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture(scope="module")
def daemon(
    endpoint: Endpoint, harbour: Harbour, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("spend")
    write_suite(folder)

    with LocalServer(endpoint.app()) as server:
        targets = "".join(TARGET.format(name=name, url=server.url, cap=cap) for name, cap in CAPS.items())
        with RunningDaemon(folder, f"targets:{targets}{harbour.config}") as daemon:
            yield daemon


def samples_of_runs(daemon: RunningDaemon, target: str) -> set[int]:
    query = (
        "SELECT count(*) FROM completion JOIN run ON run.id = run_id WHERE target = ? AND status = 'completed' "
        "GROUP BY run_id"
    )
    return {count for (count,) in daemon.rows(query, target)}


def test_each_target_is_asked_for_as_much_as_it_may_cost(daemon: RunningDaemon, endpoint: Endpoint) -> None:
    daemon.until(
        "skipped runs", lambda: daemon.metric("anchorwatch_runs_total", target="poor", status="skipped") > 2
    )
    daemon.until(
        "runs", lambda: daemon.metric("anchorwatch_runs_total", target="thin", status="completed") > 2
    )
    assert samples_of_runs(daemon, "wide") == {8}
    assert samples_of_runs(daemon, "thin") == {4}
    assert samples_of_runs(daemon, "poor") == {2}
    assert endpoint.requests["poor"] == 2
    assert daemon.metric("anchorwatch_spend_usd_24h", target="poor") == pytest.approx(2 * SAMPLE_USD)
    assert daemon.metric("anchorwatch_canary_samples_planned", target="thin") == 4


def test_what_the_cap_takes_away_is_told(daemon: RunningDaemon, harbour: Harbour) -> None:
    assert not daemon.incidents("spend/wide")
    for name in ("thin", "poor"):
        (incident,) = daemon.incidents(f"spend/{name}")
        assert (incident["severity"], incident["state"]) == ("ticket", "firing")
        daemon.until("a message", lambda id_=incident["id"]: harbour.first_messages(id_))


def test_the_money_stays_spent_after_a_restart(daemon: RunningDaemon, endpoint: Endpoint) -> None:
    daemon.stop()
    daemon.start()
    daemon.until(
        "skipped again", lambda: daemon.metric("anchorwatch_runs_total", target="poor", status="skipped")
    )
    assert endpoint.requests["poor"] == 2
    assert "cap $2.50, which leaves one sample each in 1 run a day" in daemon.log()
