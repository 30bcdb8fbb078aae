"""What a daemon makes of what an earlier one left in the database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import Session

from alerts import outbox_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from canaries.store import interrupt_run, start_run
from monitor.database import Database

from .conftest import Harbour
from .running import RunningDaemon

WATCH = """
watches:
  - {name: checkout-p95, measure: latency_p95, above: 8s, notify: [oncall]}
storage: {keep: 7d}
"""
NOW = datetime.now(UTC)


def leave_an_alarm_that_slack_refused(session: Session) -> None:
    finding = Finding(Severity.PAGE, Source.WATCH, "checkout-p95: too slow")
    verdict = Verdict("watch/checkout-p95", Label.BREACHED, finding)
    receive(session, [(verdict, AlertRule(notify=("oncall",)))], NOW, {})
    claim = outbox_store.claim_next(session, "oncall", NOW)
    assert claim is not None
    outbox_store.mark_failed(session, claim.notification.id, "invalid_auth", NOW)


def leave_a_run(session: Session, run_id: str, at: datetime) -> None:
    start_run(session, run_id, "bot", "support", at)
    interrupt_run(session, run_id, at)


def test_a_daemon_sends_alarms_again_that_were_refused_and_forgets_old_runs(
    tmp_path: Path, harbour: Harbour
) -> None:
    daemon = RunningDaemon(tmp_path, WATCH + harbour.config)
    database = Database(daemon.data / "anchorwatch.sqlite")
    database.migrate()
    database.write(leave_an_alarm_that_slack_refused)
    database.write(lambda session: leave_a_run(session, "old", NOW - timedelta(days=8)))
    database.write(lambda session: leave_a_run(session, "young", NOW - timedelta(days=6)))
    database.close()
    with daemon:
        (incident,) = daemon.incidents("watch/checkout-p95")
        daemon.until("a page in Slack", lambda: harbour.first_messages(incident["id"]))
        daemon.until("the old run is gone", lambda: daemon.rows("SELECT id FROM run") == [("young",)])
        assert daemon.stop() == 0
