"""Databases of earlier versions: what people know of already ends in its thread, and what they locked stays so."""

from datetime import UTC, datetime

from alembic import command
from sqlalchemy import text

from alerts import group_store, outbox_store, rollback_store
from alerts.finding import Label, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from alerts.rollback import EVERY_ROLLBACK, Lock
from monitor.database import Database
from monitor.migrating import alembic_config

BEFORE_GROUPS, BEFORE_PAST_LOCKS = "0007", "0012"
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


LOCK = "INSERT INTO rollback_lock (name, locked_by, locked_at, comment) VALUES ('*', 'ada', :at, 'freeze')"


def from_before(tmp_path, version, *statements) -> Database:
    """A database of that version with what was written to it, as this version finds it."""
    database = Database(tmp_path / "a.sqlite")
    config = alembic_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        for statement in statements:
            connection.execute(text(statement), {"at": AT.timestamp()})
    database.migrate()
    return database


def test_an_incident_from_before_ends_in_its_thread(tmp_path):
    database = from_before(tmp_path, BEFORE_GROUPS, INCIDENT, MESSAGE)
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


def test_a_lock_from_before_holds_and_can_be_taken_back(tmp_path):
    database = from_before(tmp_path, BEFORE_PAST_LOCKS, LOCK)
    held = database.read(lambda session: rollback_store.lock_on(session, "deploy"))
    assert held == Lock(EVERY_ROLLBACK, "ada", AT, "freeze")
    database.write(lambda session: rollback_store.end_lock(session, EVERY_ROLLBACK, "bob", AT))
    assert database.read(rollback_store.locks) == ()
    database.close()
