"""The canary arm on a real small LLM: a quiet baseline, and three changes that a provider could ship without a word."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from real_parts import require
from starlette.background import BackgroundTask

from monitor.demo.daemon_process import DaemonProcess, free_port
from monitor.demo.fake_deploy import FakeDeploy, deploy_app
from monitor.demo.fake_slack import FakeSlack, SlackMessage, slack_app
from monitor.demo.serving import LocalServer

ROOT = Path(__file__).parents[2]
BASELINE_RUNS, QUIET_RUNS = 40, 20
CONFIG = """
# 0.25 false pages a quarter for hourly runs, at the same risk a run: here each follows the last at once.
budget: {pages_per_quarter: 900, tickets_per_week: 3600, rollbacks_per_quarter: 72}
targets:
  smollm:
    base_url: ${MODEL_URL}/v1
    model: smollm2-135m-instruct
    suite: smollm_suite.yaml
    every: 1s
    concurrency: 1
    logprobs: 5
    baseline: {runs: 40}
    notify: [oncall]
    rollback: deploy
receivers:
  oncall: {slack: {token: "${SLACK_TOKEN}", channel: C0ONCALL, base_url: "${SLACK_URL}/api/", picture: false}}
rollbacks:
  deploy: {url: "${DEPLOY_URL}/rollback", secret: "${DEPLOY_SECRET}", mode: live}
"""
TICKET_OF_SPEED = re.compile(r"TICKET .*has drifted from its baseline: (latency|ttft) is")
SLACK_TOKEN = "xoxb-practice"
DEPLOY_SECRET = "whsec_cHJhY3RpY2UtZGVwbG95LXNlY3JldC1vZi1hLXRlc3Q="

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(1500)]


class Provider:
    """What stands before the model: passes requests on to ``backend``, changed where ``change`` says so."""

    def __init__(self) -> None:
        self.backend = ""
        self.change: Callable[[dict], None] = lambda body: None
        self._client = httpx.AsyncClient(timeout=120)
        self.app = FastAPI()
        self.app.add_api_route("/v1/chat/completions", self._pass_on, methods=["POST"])

    async def _pass_on(self, request: Request) -> StreamingResponse:
        body = await request.json()
        self.change(body)
        asked = self._client.build_request("POST", f"{self.backend}/v1/chat/completions", json=body)
        answer = await self._client.send(asked, stream=True)
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            media_type=answer.headers["content-type"],
            background=BackgroundTask(answer.aclose),
        )


@contextmanager
def served(quant: str, log: Path) -> Iterator[str]:
    """The model in this quantisation, served on a free port."""
    port = free_port()
    command = [ROOT / "scripts/serve-smollm.sh", "serve", "--port", str(port), "--quant", quant]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/v1/models"), 120, f"the model: see {log}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def wait_until(
    happened: Callable[[], object], within_s: float, what: str, log: Callable[[], str] = str
) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{log()}"
        time.sleep(0.5)


@dataclass(frozen=True)
class World:
    provider: Provider
    slack: FakeSlack
    environment: dict[str, str]
    logs: Path

    def daemon(self, folder: Path) -> DaemonProcess:
        return DaemonProcess(folder / "anchorwatch.yaml", folder, self.environment, port=0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require("SmolLM", (ROOT / ".tools/smollm/venv").exists(), "scripts/serve-smollm.sh install")
    logs = tmp_path_factory.mktemp("logs")
    slack, provider = FakeSlack(SLACK_TOKEN, ("C0ONCALL",)), Provider()
    with ExitStack() as stack:
        provider.backend = stack.enter_context(served("Q4_1", logs / "reference.log"))
        front, slack_server = (
            stack.enter_context(LocalServer(app)) for app in (provider.app, slack_app(slack))
        )
        environment = {
            "MODEL_URL": front.url,
            "SLACK_URL": slack_server.url,
            "SLACK_TOKEN": SLACK_TOKEN,
            "DEPLOY_SECRET": DEPLOY_SECRET,
            "DEPLOY_URL": "http://127.0.0.1:9",
        }
        yield World(provider, slack, environment, logs)


@pytest.fixture(scope="module")
def anchored(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a daemon that froze its baseline and then ran quietly; the daemon has stopped."""
    folder = tmp_path_factory.mktemp("anchored")
    (folder / "anchorwatch.yaml").write_text(CONFIG)
    shutil.copy(Path(__file__).with_name("smollm_suite.yaml"), folder)
    with world.daemon(folder) as daemon:
        wait_until(
            lambda: target_of(daemon)["state"] == "watching", 900, "a frozen baseline", daemon.log_tail
        )
        wait_until(lambda: runs_of(daemon) >= BASELINE_RUNS + QUIET_RUNS, 600, "quiet runs", daemon.log_tail)
        assert daemon.stop() == 0, daemon.log_tail()
    return folder


def target_of(daemon: DaemonProcess) -> dict:
    assert not daemon.has_ended, daemon.log_tail()
    targets = (daemon.status() or {}).get("targets")
    return targets[0] if targets else {"state": "unknown"}


def runs_of(daemon: DaemonProcess) -> float:
    metrics = httpx.get(f"{daemon.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in metrics if line.startswith("anchorwatch_runs_total{"))


def hotter(body: dict) -> None:
    body["temperature"] = 1.3


def piratical(body: dict) -> None:
    body["messages"][0]["content"] = "You are a friendly pirate. Answer at length."


def of_the_answers(slack: FakeSlack) -> list[SlackMessage]:
    """What was said of the model itself. How fast it answers is this machine's doing, which others may be
    using too: a ticket that it has become slower may well be true."""
    return [message for message in slack.messages() if not TICKET_OF_SPEED.match(message.text)]


def test_twenty_more_runs_of_the_same_model_page_nobody(world, anchored):
    assert anchored.exists()
    assert of_the_answers(world.slack) == []


@pytest.mark.parametrize(
    ("quant", "change"),
    [("Q3_K", None), ("Q4_1", hotter), ("Q4_1", piratical)],
    ids=["another quantisation", "another temperature", "another system prompt"],
)
def test_a_silent_change_pages_and_rolls_back(world, anchored, tmp_path, quant, change, record_property):
    folder = shutil.copytree(anchored, tmp_path / "deployment")
    deploy = FakeDeploy(DEPLOY_SECRET)
    paged_before = len(of_the_answers(world.slack))
    with ExitStack() as stack:
        world.environment["DEPLOY_URL"] = stack.enter_context(LocalServer(deploy_app(deploy))).url
        changed = stack.enter_context(served(quant, world.logs / f"{quant}.log"))
        stack.enter_context(changed_provider(world.provider, changed, change))
        daemon = stack.enter_context(world.daemon(folder))
        wait_until(lambda: len(of_the_answers(world.slack)) > paged_before, 400, "a page", daemon.log_tail)
        wait_until(lambda: deploy.deliveries, 300, "a rollback", daemon.log_tail)
        runs = runs_of(daemon)
    page = of_the_answers(world.slack)[paged_before]
    assert "drift/smollm" in str(page.to_json()) or "smollm has drifted" in str(page.to_json())
    assert deploy.deliveries[0].is_verified
    record_property("runs until page and rollback", runs)


@contextmanager
def changed_provider(
    provider: Provider, backend: str, change: Callable[[dict], None] | None
) -> Iterator[None]:
    before = provider.backend, provider.change
    provider.backend, provider.change = backend, change or provider.change
    yield
    provider.backend, provider.change = before
