"""kill -9 at any moment, again and again: no run is lost, nobody is told twice, every span is counted once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from alerts.incident import NoticeKind
from monitor.backtesting.backtest_alerts import backtest_alerts
from monitor.backtesting.messages import changed_lines
from monitor.config import load
from monitor.demo.serving import LocalServer

from .conftest import CHANNEL, Harbour, otlp_json, write_suite
from .endpoint import Endpoint, Mood
from .running import RunningDaemon

CONFIG = """
budget: {{pages_per_quarter: 900, tickets_per_week: 3600, rollbacks_per_quarter: 72}}
targets:
  bot: {{base_url: "{url}/bot/v1", model: practice-1, suite: suite.yaml, every: 120ms, timeout: 5s,
    baseline: {{runs: {runs}}}, notify: [oncall], rollback: deploy}}
watches:
  - {{name: checkout-p95, measure: latency_p95, above: 500ms, over: 1m, min_calls: 5, notify: [oncall],
    rollback: deploy}}
watch_every: 500ms
"""
CHECK = "proof/bot/validator"
DRIFT = "drift/bot"
CALLS = 3
"""How many calls each request of the sender tells of."""


class Sender:
    """An exporter that goes on whatever happens, in a thread of its own."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._daemon = daemon
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.acknowledged = self.in_doubt = 0

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)

    def _send(self) -> None:
        while not self._end.wait(0.02):
            try:
                answer = httpx.post(
                    self._daemon.otlp_url + "/v1/traces", json=otlp_json(CALLS), timeout=10, verify=False
                )
            except httpx.ConnectError:
                continue
            except httpx.TransportError:
                self.in_doubt += CALLS  # stored or not: the sender cannot know
            else:
                self.acknowledged += CALLS * answer.is_success


class Voyage:
    """The life of a target under a daemon that is killed all the time."""

    def __init__(self, daemon: RunningDaemon, endpoint: Endpoint, seed: int) -> None:
        self.daemon, self.endpoint = daemon, endpoint
        self.rng = random.Random(seed)
        self.kills = 0
        self.runs_seen: set[str] = set()
        self.collected = 0

    def survive(self, kills: int) -> None:
        """The daemon lives for a moment, is killed, and is started again."""
        for _ in range(kills):
            self.watch(self.rng.uniform(0.0, 1.6))
            self.daemon.kill()
            self.kills += 1
            if self.rng.random() < 0.25:  # at some moment of its start, too
                self.daemon.launch()
                time.sleep(self.rng.uniform(0.0, 3.0))
                self.daemon.kill()
                self.kills += 1
            self.daemon.start()

    def watch(self, for_s: float) -> None:
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            target = self.daemon.target("bot")
            self.runs_seen |= {target["last_run"]["at"]} if target["last_run"] else set()
            assert target["runs_collected"] >= self.collected
            self.collected = target["runs_collected"]
            time.sleep(0.05)

    def reach(self, what: str, state: str, key: str, kills: int) -> None:
        """Go on until the latest incident of the key is in this state, with ``kills`` on the way."""
        self.survive(kills)

        def reached() -> bool:
            self.watch(0.1)
            found = self.daemon.incidents(key)
            return bool(found) and max(found, key=lambda one: one["started_at"])["state"] == state

        self.daemon.until(what, reached, 60)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def voyage(request, tmp_path: Path, endpoint: Endpoint, harbour: Harbour) -> Iterator[Voyage]:
    write_suite(tmp_path)
    with LocalServer(endpoint.app()) as server:
        config = CONFIG.format(url=server.url, runs=request.param) + harbour.config
        with RunningDaemon(tmp_path, config) as daemon:
            yield Voyage(daemon, endpoint, seed=7)


@pytest.mark.parametrize("voyage", [12], indirect=True)
def test_a_few_kills_over_a_page_a_rollback_and_a_baseline(voyage: Voyage, harbour: Harbour) -> None:
    harbour.slack_answers.latency_s = harbour.deploy_answers.latency_s = 60.0
    with Sender(voyage.daemon) as sender:
        kill_before_it_knows_who_has_heard(voyage, harbour)
        freeze(voyage, kills=1)
        voyage.survive(kills=1)
        come_to_rest(voyage)
    voyage_left_everything_right(voyage, harbour, sender)
    assert len(harbour.deploy.deliveries) == 2  # of one order, which the second time is known
    a_backtest_sends_the_same(voyage.daemon)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("voyage", [48], indirect=True)
def test_many_kills_from_the_baseline_to_the_recovery(voyage: Voyage, harbour: Harbour) -> None:
    with Sender(voyage.daemon) as sender:
        freeze(voyage, kills=5)
        break_check(voyage, kills=4)
        mend_check(voyage, kills=3)
        voyage.endpoint.moods["bot"] = Mood.CHATTY
        voyage.reach("the drift pages", "firing", DRIFT, kills=4)
        voyage.endpoint.moods["bot"] = Mood.WELL
        voyage.reach("the drift is over", "resolved", DRIFT, kills=4)
        come_to_rest(voyage)
    voyage_left_everything_right(voyage, harbour, sender)
    paged = voyage.daemon.rows("SELECT key FROM incident WHERE paged_at IS NOT NULL")
    assert {CHECK, DRIFT, "watch/checkout-p95"} <= {key for (key,) in paged}


def freeze(voyage: Voyage, kills: int) -> None:
    voyage.survive(kills)
    voyage.daemon.until(
        "the baseline is frozen", lambda: voyage.daemon.target("bot")["state"] == "watching", 60
    )


def break_check(voyage: Voyage, kills: int) -> None:
    voyage.endpoint.moods["bot"] = Mood.RUDE
    voyage.reach("the broken check is news", "firing", CHECK, kills)
    voyage.daemon.until("the rollback is ordered", lambda: voyage.daemon.status()["rollbacks"], 60)


def kill_before_it_knows_who_has_heard(voyage: Voyage, harbour: Harbour) -> None:
    """Slack and the deploy system do what the watch asks for; the daemon is dead before their answers come."""
    daemon = voyage.daemon
    daemon.until("a page in the channel", lambda: harbour.slack.messages(CHANNEL))
    daemon.until("an order at the deploy system", lambda: harbour.deploy.deliveries)
    daemon.kill()
    voyage.kills += 1
    harbour.slack_answers.latency_s = harbour.deploy_answers.latency_s = 0.0
    assert daemon.rows("SELECT name FROM rollback WHERE delivered_at IS NOT NULL") == []
    daemon.start()


def mend_check(voyage: Voyage, kills: int) -> None:
    voyage.endpoint.moods["bot"] = Mood.WELL
    voyage.reach("the check is mended", "resolved", CHECK, kills)


def come_to_rest(voyage: Voyage) -> None:
    voyage.daemon.until("everything is sent", lambda: voyage.daemon.status()["outbox"]["waiting"] == 0, 30)


def voyage_left_everything_right(voyage: Voyage, harbour: Harbour, sender: Sender) -> None:
    daemon = voyage.daemon
    assert daemon.stop() == 0
    no_run_is_lost(voyage)
    nobody_is_told_twice(daemon, harbour)
    each_rollback_is_ordered_once(daemon, harbour)
    (calls,) = daemon.rows("SELECT sum(calls) FROM traffic_window")
    assert sender.acknowledged <= calls[0] <= sender.acknowledged + sender.in_doubt
    assert sender.in_doubt <= CALLS * voyage.kills
    behind = "SELECT count(*) FROM traffic_journal WHERE id > (SELECT folded_through FROM traffic_fold)"
    assert daemon.rows(behind) == [(0,)]


def no_run_is_lost(voyage: Voyage) -> None:
    rows = voyage.daemon.rows
    ended = Counter(status for (status,) in rows("SELECT status FROM run"))
    assert set(ended) <= {"completed", "interrupted"}
    assert ended["interrupted"] <= voyage.kills
    kept = {round(at, 3) for (at,) in rows("SELECT started_at FROM run WHERE status = 'completed'")}
    assert {round(unix(at), 3) for at in voyage.runs_seen} <= kept
    answers = "(SELECT count(*) FROM completion WHERE run_id = run.id)"
    assert rows(f"SELECT id FROM run WHERE {answers} <> iif(status = 'completed', 2, 0)") == []
    # Every run after the baseline was bet on: none was skipped, and the ledger stands at the last of them.
    scored = "EXISTS (SELECT 1 FROM run_score WHERE run_id = run.id)"
    ((first_scored,),) = rows(f"SELECT min(position) FROM run WHERE {scored}")
    assert (
        rows(f"SELECT id FROM run WHERE status = 'completed' AND ({scored}) <> (position >= ?)", first_scored)
        == []
    )
    assert rows(f"SELECT id FROM run WHERE {scored} ORDER BY position DESC LIMIT 1") == rows(
        "SELECT last_run_id FROM ledger"
    )


def nobody_is_told_twice(daemon: RunningDaemon, harbour: Harbour) -> None:
    told = Counter(message.metadata["event_payload"]["id"] for message in harbour.slack.messages(CHANNEL))
    assert [message for message, times in told.items() if times > 1] == []
    sent = daemon.rows("SELECT id, sent_at FROM notification WHERE receiver = 'oncall'")
    assert all(sent_at for _, sent_at in sent)
    assert {message for message, _ in sent} <= set(told)
    paged = daemon.rows("SELECT id FROM incident WHERE paged_at IS NOT NULL")
    assert paged
    for (incident,) in paged:
        assert len(harbour.first_messages(incident)) == 1


def each_rollback_is_ordered_once(daemon: RunningDaemon, harbour: Harbour) -> None:
    ordered = daemon.rows("SELECT incident_id FROM rollback WHERE action = 'send'")
    assert ordered
    for (incident,) in ordered:
        orders = [one for one in harbour.deploy.deliveries if one.payload.get("incident") == incident]
        assert len({one.id for one in orders}) == 1
    assert all(one.is_verified for one in harbour.deploy.deliveries)


def a_backtest_sends_the_same(daemon: RunningDaemon) -> None:
    deployment = load(daemon.folder / "anchorwatch.yaml", {})
    compared = backtest_alerts(deployment, daemon.data / "anchorwatch.sqlite")
    assert changed_lines(compared) == ()
    kinds = {one.message.kind for one in compared.live.messages}
    assert kinds >= {NoticeKind.FIRING, NoticeKind.ROLLBACK, NoticeKind.ROLLBACK_NEWS}


def unix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
