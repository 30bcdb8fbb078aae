"""The demo as a user starts it."""

import socket
import subprocess
import sys

import pytest

from monitor.config import load
from monitor.demo.world import small_world, write_deployment


def demo(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor.cli", "demo", "--once", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=400)


def test_the_deployment_of_the_demo_has_no_problems(tmp_path):
    with small_world() as world:
        deployment = load(
            write_deployment(tmp_path), world.environment | {"PAGE_URL": "http://127.0.0.1:8700"}
        )
    assert list(deployment.config.targets) == ["practice"]
    assert [watch.name for watch in deployment.config.watches] == ["checkout-p95"]


def test_a_story_whose_daemon_cannot_start_says_why_and_fails(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = demo("--port", str(port), cwd=tmp_path)
    assert told.returncode == 1
    assert "the daemon is ready: the daemon ended before that" in told.stdout
    assert f"cannot listen on 127.0.0.1:{port}" in told.stdout


def test_a_folder_that_holds_a_database_is_left_alone(tmp_path):
    (tmp_path / "anchorwatch.sqlite").write_bytes(b"precious")
    told = demo("--data", str(tmp_path), cwd=tmp_path)
    assert told.returncode == 2
    assert "wants an empty folder" in told.stdout.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["anchorwatch.sqlite"]


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_the_whole_story_happens(tmp_path):
    told = demo("--port", "0", cwd=tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    for step in (
        "the baseline froze",
        "no page while nothing changes",
        "the drift paged in Slack",
        "the rollback arrived, its signature verified",
        "the watch over production traffic paged",
        "the page resolved after the rollback",
        "the daemon stopped in order",
    ):
        assert f"✓ {step}" in told.stdout
