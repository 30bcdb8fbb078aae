"""A database from before there were groups: what people know of already ends in the thread in which it began."""

from datetime import UTC, datetime

from alembic import command
from sqlalchemy import text

from alerts import group_store, outbox_store
from alerts.finding import Label, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from monitor.database import Database
from monitor.migrating import alembic_config

BEFORE = "0007"
AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
INCIDENT = (
    "INSERT INTO incident (id, key, state, severity, source, finding_severity, summary, labels, evidence, opened_at,"
    " updated_at, firing_at, paged_at, notices)"
    " VALUES ('i1', 'drift/bot', 'firing', 30, 'ledger', 30, 'moved', '{}', '[]', :at, :at, :at, :at, 1)"
)
MESSAGE = (
    "INSERT INTO notification (id, incident_id, receiver, kind, payload, created_at, attempts, sent_at)"
    " VALUES ('m1', 'i1', 'oncall', 'firing', '{}', :at, 1, :at)"
)


def test_an_incident_from_before_ends_in_its_thread(tmp_path):
    database = Database(tmp_path / "a.sqlite")
    config = alembic_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE)
        for statement in (INCIDENT, MESSAGE):
            connection.execute(text(statement), {"at": AT.timestamp()})
    database.migrate()
    assert database.read(lambda session: group_store.pages_since(session, AT)) == 1
    steady = Verdict("drift/bot", Label.STEADY)
    database.write(lambda session: receive(session, [(steady, AlertRule())], AT))
    told = database.read(lambda session: outbox_store.receivers_told(session, "i1"))
    assert told == ("oncall",)
    with database.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT group_id, receiver, kind FROM notification ORDER BY position")
        ).all()
    assert rows == [("i1", "oncall", "firing"), ("i1", "oncall", "resolved")]
    assert database.read(group_store.open_groups) == ()
    database.close()
