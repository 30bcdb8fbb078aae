"""The audit of the last night, by a running daemon: in Slack, on its pages, and not once more after a restart."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.audit import store
from monitor.database import Database

from .conftest import Harbour
from .running import RunningDaemon


@pytest.mark.timeout(180)
def test_the_audit_of_the_night_arrives_once_and_is_shown(tmp_path: Path, harbour: Harbour) -> None:
    due = datetime.now(UTC) - timedelta(minutes=10)
    night = due.date().isoformat()
    config = f"{harbour.config}\naudit: {{at: '{due:%H:%M}', notify: [oncall]}}\n"
    daemon = RunningDaemon(tmp_path, config)
    database = Database(daemon.data / "anchorwatch.sqlite")
    database.migrate()
    database.write(lambda session: store.note_night(session, (due - timedelta(days=1)).date().isoformat()))
    database.close()
    with daemon:
        daemon.until("the audit is stored", lambda: daemon.get("/api/v1/audits").json())
        (told,) = daemon.until("the audit is sent", harbour.slack.messages)
        assert f"Audit of {night}" in told.text
        assert daemon.get(f"/api/v1/audits/{night}").json()["night"] == night
        assert f"Audit of {night}" in daemon.get(f"/audits/{night}").text
        assert f'href="audits/{night}"' in daemon.get("/audits").text
        assert daemon.metric("anchorwatch_pages_total") == 0
        daemon.kill()
        daemon.start()
        assert len(daemon.get("/api/v1/audits").json()) == 1
        assert daemon.stop() == 0
    assert len(harbour.slack.messages()) == 1
    assert daemon.rows("SELECT count(*) FROM notification") == [(1,)]
