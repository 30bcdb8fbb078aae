"""What a running daemon shows of silence, and of watches that it explains."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlmodel import Session

from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from monitor.database import Database

from .conftest import otlp_json
from .running import RunningDaemon

CONFIG = """
watch_every: 1s
watches:
  - {name: slow, measure: latency_p50, above: 100ms}
silence: {services: [{service: checkout, within: 10m}]}
"""


def leave_broken_ingest(session: Session) -> None:
    finding = Finding(
        Severity.PAGE, Source.SELF_CHECK, "No traces get in", {"silence": "ingest", "extent": "broken"}
    )
    verdict = Verdict("silence/ingest", Label.BREACHED, finding)
    receive(session, [(verdict, AlertRule())], datetime.now(UTC))


def test_a_watch_that_broken_ingest_explains_is_held_and_the_status_says_by_what(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path, CONFIG)
    database = Database(daemon.data / "anchorwatch.sqlite")
    database.migrate()
    database.write(leave_broken_ingest)
    database.close()
    with daemon:
        assert "Nobody has sent traces yet" in daemon.status()["ingest"]["note"]
        httpx.post(f"{daemon.otlp_url}/v1/traces", json=otlp_json(30), timeout=20).raise_for_status()

        def held() -> dict[str, object] | None:
            watches = daemon.status()["watches"]
            return next((one for one in watches if one["state"] == "inhibited"), None)

        watch = daemon.until("the watch is held", held)
        assert str(watch["reason"]).startswith("held while silence/ingest fires: latency_p50 is ")
        assert not daemon.incidents("watch/slow")
        assert daemon.incidents("silence/ingest")[0]["state"] == "firing"
        assert daemon.status()["ingest"]["note"] == ""
        (service,) = daemon.status()["services"]
        assert (service["name"], service["hearing"]) == ("checkout", "heard")
        assert daemon.metric("anchorwatch_silence", kind="service", service="checkout") == 0
        assert "Services that send traces" in daemon.get("/").text
        assert daemon.stop() == 0
