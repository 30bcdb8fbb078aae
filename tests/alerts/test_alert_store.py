from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from alerts import outbox_store, rollback_store, store
from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, NoticeKind, State
from alerts.message import Message, about_incident, addressed, receiver_test
from alerts.rollback import Action, PastRollback, RollbackReason

AT = datetime(2026, 3, 2, 12, 0, 0, 123457, tzinfo=UTC)
FINDING = Finding(
    Severity.TICKET,
    Source.WATCH,
    "p95 is 3.1 s",
    {"service": "chat", "ü": "€"},
    (("p95", "3.1 s"), ("n", "412")),
)
FULL = Incident(
    id="0011223344556677",
    key="watch/p95",
    state=State.RESOLVED,
    severity=Severity.PAGE,
    finding=FINDING,
    opened_at=AT,
    updated_at=AT + timedelta(minutes=9),
    firing_since=AT + timedelta(minutes=1),
    steady_since=AT + timedelta(minutes=7),
    resolved_at=AT + timedelta(minutes=9),
    paged_at=AT + timedelta(minutes=2),
    notices=3,
)
BARE = Incident("8899aabbccddeeff", "drift/bot", State.PENDING, Severity.TICKET, FINDING, AT, AT)


@pytest.mark.parametrize("incident", [FULL, BARE], ids=["every field", "only what must be"])
def test_an_incident_comes_back_as_it_was_saved(database, incident):
    database.write(lambda session: store.save_incident(session, incident))
    assert database.read(lambda session: store.incident(session, incident.id)) == incident


def test_saving_again_replaces(database):
    for incident in (BARE, replace(BARE, state=State.FIRING, notices=1)):
        database.write(lambda session, i=incident: store.save_incident(session, i))
    assert database.read(store.incidents) == (replace(BARE, state=State.FIRING, notices=1),)


def test_the_database_refuses_a_second_open_incident_of_a_key(database):
    def save_two(session):
        store.save_incident(session, BARE)
        store.save_incident(session, replace(BARE, id="other"))

    with pytest.raises(IntegrityError):
        database.write(save_two)


def test_any_number_of_resolved_incidents_share_a_key(database):
    for number in range(3):
        incident = replace(FULL, id=str(number), opened_at=AT + timedelta(hours=number))
        database.write(lambda session, i=incident: store.save_incident(session, i))
    assert [i.id for i in database.read(store.incidents)] == ["2", "1", "0"]
    assert [i.id for i in database.read(lambda s: store.incidents(s, limit=1))] == ["2"]
    assert database.read(store.open_incidents) == ()
    assert database.read(lambda s: store.count_incidents(s, FULL.key)) == 3


def test_a_rollback_decision_comes_back_and_knows_its_delivery(database):
    past = PastRollback("deploys", FULL.id, AT, Action.SEND, RollbackReason.ALLOWED)

    def save(session):
        store.save_incident(session, FULL)
        rollback_store.save(session, past)

    database.write(save)
    assert database.read(lambda s: rollback_store.history(s, "deploys")) == [past]
    assert database.read(lambda s: rollback_store.history(s, "other")) == []
    database.write(lambda s: rollback_store.mark_delivered(s, "deploys", FULL.id, AT))
    assert database.read(rollback_store.history) == [replace(past, delivered_at=AT)]


def test_a_rollback_that_was_given_up_is_known_until_it_is_delivered_after_all(database):
    past = PastRollback("deploys", FULL.id, AT, Action.SEND, RollbackReason.ALLOWED)

    def give_up(session):
        store.save_incident(session, FULL)
        rollback_store.save(session, past)
        session.flush()
        rollback_store.mark_failed(session, "deploys", FULL.id, AT)

    database.write(give_up)
    assert database.read(rollback_store.history) == [replace(past, failed_at=AT)]
    database.write(lambda s: rollback_store.mark_delivered(s, "deploys", FULL.id, AT))
    assert database.read(rollback_store.history) == [replace(past, delivered_at=AT)]


def test_a_ledger_is_kept_for_each_scope_and_baseline(database):
    database.write(lambda s: store.save_ledger(s, "bot", "b1", b'{"R": 0.1}', "run-1"))
    database.write(lambda s: store.save_ledger(s, "bot", "b1", b'{"R": 0.2}', "run-2"))
    database.write(lambda s: store.save_ledger(s, "bot", "b2", b"{}", "run-3"))
    assert database.read(lambda s: store.load_ledger(s, "bot", "b1")) == store.LedgerState(
        b'{"R": 0.2}', "run-2"
    )
    assert database.read(lambda s: store.load_ledger(s, "bot", "b2")) == store.LedgerState(b"{}", "run-3")
    assert database.read(lambda s: store.load_ledger(s, "other", "b1")) is None


@pytest.mark.parametrize(
    "message",
    [
        about_incident(FULL, NoticeKind.ROLLBACK, AT, note="n", rollback="deploys"),
        receiver_test("on-call", AT),
    ],
    ids=["about an incident", "a test"],
)
def test_a_message_survives_its_snapshot(message):
    assert Message.from_json(message.to_json()) == message


def test_the_same_message_to_the_same_receiver_is_in_the_outbox_once(database):
    row = addressed(about_incident(FULL, NoticeKind.FIRING, AT), "on-call", 1)

    def put(session):
        store.save_incident(session, FULL)
        outbox_store.enqueue(session, [row, row])

    database.write(put)
    database.write(put)
    assert database.read(outbox_store.notifications) == (row,)


def test_every_message_of_an_incident_has_an_id_of_its_own():
    firing, resolved = (about_incident(FULL, kind, AT) for kind in (NoticeKind.FIRING, NoticeKind.RESOLVED))
    rows = [
        addressed(firing, "on-call", 1),
        addressed(firing, "audit", 1),
        addressed(firing, "on-call", 2),
        addressed(resolved, "on-call", 1),
        addressed(replace(firing, note="more"), "on-call", 1),
        addressed(replace(firing, incident_id="other"), "on-call", 1),
    ]
    assert len({row.id for row in rows}) == len(rows)
    assert not any("." in row.id for row in rows)
