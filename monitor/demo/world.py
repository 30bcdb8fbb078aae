"""What is around the daemon in the demo: the model, Slack, the deploy system, and their secrets."""

import base64
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.demo.fake_deploy import FakeDeploy, deploy_app
from monitor.demo.fake_slack import FakeSlack, slack_app
from monitor.demo.practice_model import API_KEY, Mode, PracticeModel, practice_app
from monitor.demo.serving import LocalServer

CHANNEL = "C0ONCALL"
_DEPLOYMENT = Path(__file__).parent / "deployment"


@dataclass(frozen=True, slots=True)
class World:
    """The three systems as they run now, and what the daemon has to know of them."""

    model: PracticeModel
    model_url: str
    slack: FakeSlack
    deploy: FakeDeploy
    environment: dict[str, str]
    """The variables that the demo's configuration names."""


@contextmanager
def small_world() -> Iterator[World]:
    """The model, Slack and the deploy system, each on a free port of this machine."""
    model = PracticeModel()
    slack = FakeSlack(token=f"xoxb-{secrets.token_hex(12)}", channels=(CHANNEL,))
    deploy_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

    def roll_back(order: dict[str, Any]) -> None:
        model.mode = Mode.STEADY

    deploy = FakeDeploy(deploy_secret, roll_back)
    with (
        LocalServer(practice_app(model)) as model_server,
        LocalServer(slack_app(slack)) as slack_server,
        LocalServer(deploy_app(deploy)) as deploy_server,
    ):
        yield World(
            model=model,
            model_url=model_server.url,
            slack=slack,
            deploy=deploy,
            environment={
                "PRACTICE_URL": model_server.url,
                "PRACTICE_KEY": API_KEY,
                "SLACK_URL": slack_server.url,
                "SLACK_TOKEN": slack.token,
                "DEPLOY_URL": deploy_server.url,
                "DEPLOY_SECRET": deploy_secret,
            },
        )


def write_deployment(folder: Path) -> Path:
    """The demo's configuration and suite, copied into the folder; gives the path of the configuration."""
    shutil.copytree(_DEPLOYMENT, folder, dirs_exist_ok=True)
    return folder / "anchorwatch.yaml"
