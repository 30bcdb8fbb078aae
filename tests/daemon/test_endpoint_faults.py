"""Endpoints that fall ill, each in its own way, and get well again: what is recorded, who is told, what is not."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor.demo.daemon_process import free_port
from monitor.demo.serving import LocalServer

from .conftest import Harbour, write_suite
from .endpoint import Endpoint, Mood
from .running import RunningDaemon

DOWN_AFTER = 3
FAULTS = {
    "unauthorized": (Mood.UNAUTHORIZED, "auth", "refuses our credentials"),
    "storm": (Mood.STORM, "rate_limit", "refuses every request for its rate limit"),
    "storm-with-wait": (Mood.STORM_WITH_WAIT, "rate_limit", "refuses every request for its rate limit"),
    "malformed": (Mood.MALFORMED, "bad_response", "does not answer"),
    "huge": (Mood.HUGE, "too_large", "does not answer"),
    "hanging": (Mood.HANGING, "timeout", "does not answer"),
    "unreachable": (None, "connection", "does not answer"),
}
HALF = "half"
TARGETS = (*FAULTS, HALF)
MEMORY_MAX_KIB = 120_000
"""How much the faults may add to what the daemon takes at its peak: many 10 MB answers at once must not."""


def target(name: str, url: str) -> str:
    attempts = 1 if name == "hanging" else 2  # to wait out the time twice teaches nothing
    return f"""
  {name}:
    {{base_url: "{url}/{name}/v1", model: practice-1, suite: suite.yaml, every: 500ms, timeout: 1s,
      max_attempts: {attempts}, baseline: {{runs: 12}}, down_after: {DOWN_AFTER}, notify: [oncall]}}"""


def peak_memory_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


@dataclass
class Illness:
    """What was seen while the endpoints were ill, and at the end, when they were well for a while."""

    last_runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    incidents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    after: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    memory_kib: int = 0
    runs: list[tuple[Any, ...]] = field(default_factory=list)
    scored: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    log: str = ""


def down(daemon: RunningDaemon, name: str, state: str) -> list[dict[str, Any]]:
    return [one for one in daemon.incidents(f"proof/{name}/endpoint_down") if one["state"] == state]


@pytest.fixture(scope="module")
def illness(harbour: Harbour, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Illness]:
    """All the faults at the same time on one daemon, and recovery from them."""
    folder = tmp_path_factory.mktemp("faults")
    write_suite(folder)
    endpoint, seen = Endpoint(), Illness()
    reachable, port = LocalServer(endpoint.app()), free_port()
    urls = dict.fromkeys(TARGETS, reachable.url) | {"unreachable": f"http://127.0.0.1:{port}"}
    config = "targets:" + "".join(target(name, urls[name]) for name in TARGETS) + harbour.config
    with reachable, RunningDaemon(folder, config) as daemon:
        with LocalServer(endpoint.app(), port):
            daemon.until(
                "all baselines are frozen",
                lambda: {one["state"] for one in daemon.status()["targets"]} == {"watching"},
                60,
            )
        memory_kib = peak_memory_kib(daemon.pid)
        endpoint.moods = {name: mood for name, (mood, _, _) in FAULTS.items() if mood} | {HALF: Mood.HALF}
        for name in FAULTS:
            seen.incidents[name] = daemon.until(
                f"{name} is down", lambda name=name: down(daemon, name, "firing"), 40
            )
            seen.last_runs[name] = daemon.target(name)["last_run"]
        seen.last_runs[HALF] = daemon.target(HALF)["last_run"]
        seen.problems = daemon.status()["problems"]
        seen.memory_kib = peak_memory_kib(daemon.pid) - memory_kib
        with LocalServer(endpoint.app(), port):
            endpoint.moods = {}
            for name in FAULTS:
                daemon.until(f"{name} is well", lambda name=name: down(daemon, name, "resolved"))
            for name in TARGETS:
                daemon.until(
                    f"{name} answers",
                    lambda name=name: daemon.target(name)["last_run"]["answered_share"] == 1,
                )
            daemon.until("all messages are sent", lambda: daemon.status()["outbox"]["waiting"] == 0)
            seen.after = {name: daemon.incidents(f"proof/{name}/endpoint_down") for name in TARGETS}
            seen.after["drift"] = [
                one for one in daemon.status()["incidents"] if one["key"].startswith("drift/")
            ]
            assert daemon.stop() == 0
        seen.runs = daemon.rows("SELECT id, target, outcomes FROM run WHERE status = 'completed'")
        seen.scored = {run_id for (run_id,) in daemon.rows("SELECT run_id FROM run_score")}
        seen.told = dict(daemon.rows("SELECT incident_id, payload FROM notification WHERE kind = 'firing'"))
        seen.log = daemon.log()
        yield seen


@pytest.mark.parametrize("name", FAULTS)
def test_each_failed_request_is_recorded_for_what_it_was(illness: Illness, name: str) -> None:
    assert set(illness.last_runs[name]["outcomes"]) == {FAULTS[name][1]}
    assert illness.last_runs[name]["answered_share"] == 0


@pytest.mark.parametrize("name", FAULTS)
def test_an_endpoint_that_is_down_pages_once_and_says_how(
    illness: Illness, harbour: Harbour, name: str
) -> None:
    (incident,) = illness.incidents[name]
    assert incident["severity"] == "page"
    assert FAULTS[name][2] in incident["summary"]
    assert f"{DOWN_AFTER} runs in a row without any answer" in illness.told[incident["id"]]
    (message,) = harbour.first_messages(incident["id"])
    assert "PAGE" in message.text


@pytest.mark.parametrize("name", FAULTS)
def test_the_page_is_resolved_when_the_endpoint_is_back(
    illness: Illness, harbour: Harbour, name: str
) -> None:
    (incident,) = illness.after[name]
    assert incident["state"] == "resolved"
    (message,) = harbour.first_messages(incident["id"])
    assert [reply.text.split(":")[0] for reply in harbour.slack.thread(message.ts)[1:]] == ["PAGE RESOLVED"]


def test_an_endpoint_that_fails_half_of_the_requests_is_not_down(illness: Illness) -> None:
    assert illness.after[HALF] == []
    assert 0 < illness.last_runs[HALF]["answered_share"] <= 1


def test_no_failure_is_taken_for_an_answer_that_drifted(illness: Illness) -> None:
    assert illness.after["drift"] == []
    for run_id, name, outcomes in illness.runs:
        if run_id in illness.scored:
            assert set(json.loads(outcomes)) == {"answered"}, name
    assert {name for run_id, name, _ in illness.runs if run_id in illness.scored} == set(TARGETS)


def test_huge_and_hanging_answers_take_no_memory(illness: Illness) -> None:
    assert illness.memory_kib < MEMORY_MAX_KIB


def test_starts_that_the_hanging_endpoint_held_up_are_one_line_however_many(illness: Illness) -> None:
    (line,) = [line for line in illness.problems if "canaries/hanging did not start" in line]
    assert re.search(r"still running\. \(\d+ times since", line)


def test_the_log_is_short(illness: Illness) -> None:
    assert len(illness.log.splitlines()) < 20 + 8 * len(TARGETS)
