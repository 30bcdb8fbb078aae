"""The Grafana board: its layout, and each query on a real Prometheus that scrapes the daemon's own metrics."""

import json
import math
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from real_parts import ROOT, program

from canaries.clock import SystemClock
from monitor.telemetry import Metrics

BOARD = json.loads((ROOT / "dashboards" / "grafana" / "overview.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VARIABLES = {"$target": ".*", "$__rate_interval": "20s"}

READY_WITHIN_S = 40.0
"""Prometheus scrapes first some 5 seconds after its start; a rate needs two scrapes more."""


def queries() -> Iterator[Any]:
    for panel in PANELS:
        for query in panel["targets"]:
            yield pytest.param(query["expr"], id=f"{panel['title']} {query['refId']}".replace(" ", "-"))
    for annotation in BOARD["annotations"]["list"]:
        yield pytest.param(annotation["target"]["expr"], id=f"annotation-{annotation['name']}")


def work_goes_on(metrics: Metrics) -> None:
    """A little of everything happens; called before each scrape, so that every rate is above zero."""
    metrics.runs.labels("bot", "completed").inc()
    metrics.completions.labels("bot", "answered").inc(9)
    metrics.completions.labels("bot", "timeout").inc()
    metrics.attempts.labels("bot").inc(11)
    metrics.run_duration.labels("bot").observe(4.2)
    for gauge in (metrics.score, metrics.evidence):
        gauge.labels("bot", "suite_surprise").set(0.3)
    metrics.baseline_runs.labels("bot", "frozen").set(168)
    metrics.guarantee.labels("bot").set(1)
    metrics.detectable.labels("bot").set(0.12)
    metrics.samples_planned.labels("bot").set(25)
    metrics.bursts.labels("bot").inc()
    metrics.spend.labels("bot").set(0.4)
    metrics.spend_cap.labels("bot").set(1.0)
    metrics.canary_cost.labels("bot").inc(0.002)
    metrics.last_run.labels("bot").set(time.time() - 60)
    metrics.misfires.labels("canaries/bot").inc()
    metrics.failures.labels("outbox").inc()
    metrics.outside.labels("heartbeat", "sent").inc()
    metrics.database_writable.set(1)
    metrics.count_spans("call", 5)
    metrics.count_call(("web", "chat", "openai", "gpt-4o-mini", "ok"), 5)
    metrics.count_unpriced("web", "local")
    metrics.count_cost("web", "inferred", 5)
    metrics.count_request(200)
    metrics.count_repeat()
    metrics.late_calls.inc()
    metrics.overflow_calls.inc()
    metrics.span_losses.inc(("web", "attributes"))
    metrics.refused_share.set(0.2)
    metrics.silence.labels("service", "web").set(1)
    metrics.service_quiet.labels("web").set(420)
    for result in ("passed", "failed"):
        metrics.count_check("checkout", "json", result)
    metrics.watch_value.labels("p95").set(1.4)
    metrics.watch_state.labels("p95", "steady").set(1)
    metrics.incidents.labels("firing", "page").set(1)
    metrics.pages.inc()
    metrics.page_budget.set(0.25)
    metrics.notifications.labels("oncall", "sent").inc()
    metrics.outbox_waiting.set(1)
    metrics.outbox_oldest_age.set(12)
    metrics.rollbacks.labels("revert", "rehearsed").inc()
    metrics.receiver_confirmed.labels("oncall").set(1)
    metrics.disk_free.set(4e9)
    metrics.clock_apart.set(0.0)


@pytest.fixture(scope="module")
def daemon() -> Iterator[int]:
    """The port of a server with the daemon's own metrics."""
    metrics = Metrics(SystemClock())

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            work_goes_on(metrics)
            body = metrics.render()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=1.0.0; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output is for its failures."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(daemon: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a real Prometheus that has scraped the daemon four times."""
    folder = tmp_path_factory.mktemp("prometheus")
    scrape = {"job_name": "anchorwatch", "static_configs": [{"targets": [f"127.0.0.1:{daemon}"]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        try:
            wait_for_scrapes(client, process, folder / "log")
            yield client
        finally:
            process.terminate()


def wait_for_scrapes(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = client.get("/api/v1/query", params={"query": "sum(count_over_time(up[1m]))"})
            seen = answer.json() if answer.is_success else {"data": {"result": []}}  # 503 while it starts
            if seen["data"]["result"] and float(seen["data"]["result"][0]["value"][1]) >= 4:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.2)
    pytest.fail(f"Prometheus did not get going:\n{log.read_text()[-2000:]}")


@pytest.mark.real
@pytest.mark.parametrize("expr", list(queries()))
def test_a_query_of_the_board_returns_data(prometheus: httpx.Client, expr: str) -> None:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    answer = prometheus.get("/api/v1/query", params={"query": expr}).json()
    assert answer["status"] == "success", answer
    values = [float(series["value"][1]) for series in answer["data"]["result"]]
    assert values, f"no data: {expr}"
    assert all(math.isfinite(value) for value in values), values


@pytest.mark.real
def test_the_target_variable_lists_the_targets(prometheus: httpx.Client) -> None:
    variable = next(v for v in BOARD["templating"]["list"] if v["name"] == "target")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
    answer = prometheus.get(f"/api/v1/label/{label}/values", params={"match[]": metric}).json()
    assert answer["data"] == ["bot"]


@pytest.mark.real
def test_the_daemons_metrics_pass_prometheus_own_check() -> None:
    metrics = Metrics(SystemClock())
    work_goes_on(metrics)
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=metrics.render(), capture_output=True, timeout=30
    )
    assert checked.returncode == 0, checked.stderr.decode()


def test_every_metric_of_the_daemon_is_on_the_board() -> None:
    shown = set(re.findall(r"anchorwatch_\w+", json.dumps(BOARD["panels"])))
    for family in Metrics(SystemClock()).registry.collect():
        names = {family.name, f"{family.name}_total", f"{family.name}_bucket"}
        assert names & shown, f"{family.name} is on no panel"


def test_panels_have_ids_of_their_own_say_what_they_show_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert [panel["title"] for panel in PANELS if not panel["description"]] == []
    cells = [
        (
            panel["title"],
            {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])},
        )
        for panel in BOARD["panels"]
        for g in [panel["gridPos"]]
    ]
    assert all(x < 24 for _, taken in cells for x, _ in taken)
    assert [(a, b) for (a, at), (b, bt) in combinations(cells, 2) if at & bt] == []


def test_every_panel_asks_the_chosen_data_source() -> None:
    for panel in PANELS:
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
