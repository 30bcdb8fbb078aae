"""When a target is asked first after a restart."""

from datetime import UTC, datetime, timedelta

import pytest

from canaries.completion import RunStatus
from canaries.store import RunSummary
from monitor.taking_over import first_start

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERY_S = 900.0
CASES = {
    "never asked": (None, RunStatus.COMPLETED, 0),
    "asked a moment ago": (-10, RunStatus.COMPLETED, 890),
    "due now": (-900, RunStatus.COMPLETED, 0),
    "due long ago": (-86_400, RunStatus.COMPLETED, 0),
    "interrupted a moment ago": (-10, RunStatus.INTERRUPTED, 50),
    "interrupted some minutes ago": (-300, RunStatus.INTERRUPTED, 0),
    "the clock went back": (7200, RunStatus.COMPLETED, 900),
    "the clock went back over an interrupted run": (7200, RunStatus.INTERRUPTED, 900),
}


@pytest.mark.parametrize(("last_s", "status", "wait_s"), CASES.values(), ids=CASES)
def test_a_restart_neither_asks_twice_nor_leaves_a_gap(
    last_s: float | None, status: RunStatus, wait_s: float
) -> None:
    last = None if last_s is None else run_at(NOW + timedelta(seconds=last_s), status)
    assert first_start(last, EVERY_S, NOW) == NOW + timedelta(seconds=wait_s)


def test_a_fast_target_that_was_interrupted_waits_no_longer_than_its_interval() -> None:
    assert first_start(run_at(NOW, RunStatus.INTERRUPTED), 5.0, NOW) == NOW + timedelta(seconds=5)


def run_at(started_at: datetime, status: RunStatus) -> RunSummary:
    return RunSummary("bot-1", "bot", "suite", status, started_at, started_at, {}, 0, None)
