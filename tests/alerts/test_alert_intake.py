from datetime import datetime, timedelta

import pytest

from alerts import AlertError, outbox_store, rollback_store, store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, NoticeKind, Reason, State, Transition
from alerts.intake import receive
from alerts.message import Notification
from alerts.rollback import Action, Mode, RollbackRule

KEY = "drift/support-bot"
RULE = AlertRule(notify=("on-call", "audit"), rollback="deploys")
LIVE = {"deploys": RollbackRule(Mode.LIVE)}
DRY = {"deploys": RollbackRule()}
STEADY = Verdict(KEY, Label.STEADY)


def breached(
    severity: Severity = Severity.PAGE,
    key: str = KEY,
    summary: str = "it moved",
    wants_rollback: bool = False,
) -> Verdict:
    finding = Finding(severity, Source.LEDGER, summary, {"target": "support-bot"}, (("evidence", "1.3"),))
    return Verdict(key, Label.BREACHED, finding, wants_rollback)


@pytest.fixture
def take(database, clock):
    """Receive verdicts, a minute apart, under one rule."""

    def take(*verdicts: Verdict, rule: AlertRule = RULE, rollbacks=DRY) -> list[Transition]:
        transitions = []
        for verdict in verdicts:
            transitions += database.write(
                lambda session, v=verdict: receive(session, [(v, rule)], clock.now(), rollbacks)
            )
            clock.advance(60)
        return transitions

    return take


@pytest.fixture
def outbox(database):
    """The rows of the outbox as (receiver, kind)."""

    def rows() -> list[tuple[str, str]]:
        found: tuple[Notification, ...] = database.read(outbox_store.notifications)
        return [(row.receiver, row.message.kind.value) for row in found]

    return rows


def test_a_breach_is_an_incident_and_a_message_to_everyone_named(take, outbox, database, clock):
    started: datetime = clock.now()
    take(breached())
    [incident] = database.read(store.open_incidents)
    assert (incident.key, incident.state, incident.severity) == (KEY, State.FIRING, Severity.PAGE)
    assert (incident.opened_at, incident.firing_since, incident.paged_at) == (started, started, started)
    assert incident.finding == breached().finding
    assert outbox() == [("on-call", "firing"), ("audit", "firing")]


def test_a_second_breached_tick_does_not_notify_again_but_its_evidence_is_kept(take, outbox, database):
    take(breached(), breached(summary="it moved further"))
    [incident] = database.read(store.open_incidents)
    assert incident.finding.summary == "it moved further"
    assert len(outbox()) == 2


def test_what_was_told_stays_as_it_was_told(take, database):
    take(breached(), breached(summary="it moved further"))
    first = database.read(outbox_store.notifications)[0]
    assert first.message.summary == "it moved"


def test_the_end_goes_to_those_who_know_of_the_incident(take, outbox):
    take(breached())
    take(STEADY, rule=AlertRule(notify=("somebody-new",)))
    assert outbox()[2:] == [("on-call", "resolved"), ("audit", "resolved")]


def test_an_escalation_goes_to_old_and_new_receivers(take, outbox):
    take(breached(Severity.TICKET))
    take(breached(Severity.PAGE), rule=AlertRule(notify=("somebody-new", "on-call")))
    assert outbox()[2:] == [(name, "escalated") for name in ("on-call", "audit", "somebody-new")]


def test_information_and_pending_incidents_tell_nobody(take, outbox, database):
    take(breached(Severity.INFO))
    take(breached(key="watch/p95"), rule=AlertRule(for_s=300, notify=("on-call",)))
    assert [i.state for i in database.read(store.open_incidents)] == [State.FIRING, State.PENDING]
    assert outbox() == []


def test_a_pending_incident_that_passes_leaves_no_row(take, outbox, database):
    take(breached(), STEADY, rule=AlertRule(for_s=300, notify=("on-call",)))
    assert database.read(store.incidents) == ()
    assert outbox() == []


def test_a_finding_that_comes_back_is_a_new_incident(take, outbox, database):
    take(breached(), STEADY, breached())
    assert [i.state for i in database.read(store.incidents)] == [State.FIRING, State.RESOLVED]
    assert [kind for name, kind in outbox() if name == "on-call"] == ["firing", "resolved", "firing"]


def test_a_finding_that_comes_back_at_the_same_moment_is_a_new_incident_too(database, clock):
    looks = [(verdict, RULE) for verdict in (breached(), STEADY, breached())]
    database.write(lambda session: receive(session, looks, clock.now(), DRY))
    assert len(database.read(store.incidents)) == 2
    assert len(database.read(outbox_store.notifications)) == 6


def test_keys_do_not_touch_each_other(take, database):
    take(breached(), breached(key="drift/other"), STEADY)
    assert [i.key for i in database.read(store.open_incidents)] == ["drift/other"]


def test_what_is_not_committed_did_not_happen(database, clock):
    def fail_after_receiving(session):
        receive(session, [(breached(wants_rollback=True), RULE)], clock.now(), LIVE)
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        database.write(fail_after_receiving)
    assert database.read(store.incidents) == ()
    assert database.read(outbox_store.notifications) == ()
    assert database.read(rollback_store.history) == []


def test_a_rule_that_names_nobody_still_pages_on_record(take, database, clock):
    since = clock.now()
    [transition] = take(breached(), rule=AlertRule())
    assert transition.is_page
    assert len(database.read(lambda session: store.pages_since(session, since))) == 1


def test_pages_are_counted_once_each_from_a_moment_on(take, database, clock):
    take(breached(Severity.TICKET), breached(), breached(), breached(key="drift/other"))
    start = clock.now() - timedelta(seconds=240)

    def pages_after(seconds: float) -> int:
        return len(database.read(lambda s: store.pages_since(s, start + timedelta(seconds=seconds))))

    assert [pages_after(s) for s in (0, 60, 61, 180, 181)] == [2, 2, 1, 1, 0]


def test_a_live_rollback_is_one_order_in_one_incident(take, outbox, database):
    take(*[breached(wants_rollback=True)] * 3, rollbacks=LIVE)
    assert outbox() == [("on-call", "firing"), ("audit", "firing"), ("rollback/deploys", "rollback")]
    [past] = database.read(rollback_store.history)
    assert (past.name, past.action, past.delivered_at) == ("deploys", Action.SEND, None)


def test_a_dry_run_is_recorded_and_told_but_not_ordered(take, outbox, database):
    take(*[breached(wants_rollback=True)] * 3)
    assert [row for row in outbox() if row[1] != "firing"] == [
        ("on-call", "rollback_news"),
        ("audit", "rollback_news"),
    ]
    [past] = database.read(rollback_store.history)
    assert past.action is Action.DRY_RUN
    news = database.read(outbox_store.notifications)[-1]
    assert "would have been sent" in news.message.note


def test_a_rollback_in_its_cooldown_is_told_once_and_stays_suppressed(take, outbox, database, clock):
    take(breached(wants_rollback=True), STEADY, rollbacks=LIVE)
    take(*[breached(wants_rollback=True)] * 2, rollbacks=LIVE)
    clock.advance(7 * 3600)
    take(breached(wants_rollback=True), rollbacks=LIVE)
    orders = [row for row in outbox() if row[1] in ("rollback", "rollback_news")]
    assert orders == [
        ("rollback/deploys", "rollback"),
        ("on-call", "rollback_news"),
        ("audit", "rollback_news"),
    ]
    news = database.read(outbox_store.notifications)[-1]
    assert "rests until 2026-03-02 18:00 UTC" in news.message.note


@pytest.mark.parametrize(
    ("verdict", "rule"),
    [
        (breached(), RULE),
        (breached(wants_rollback=True), AlertRule(notify=("on-call",))),
        (breached(Severity.TICKET, wants_rollback=True), RULE),
        (breached(wants_rollback=True), AlertRule(for_s=300, notify=("on-call",), rollback="deploys")),
    ],
    ids=["the evidence is too weak", "the rule names none", "a ticket", "still pending"],
)
def test_no_rollback_is_decided_when(take, database, verdict, rule):
    take(verdict, rule=rule, rollbacks=LIVE)
    assert database.read(rollback_store.history) == []


def test_a_ticket_that_becomes_a_page_may_roll_back_then(take, database):
    take(
        breached(Severity.TICKET, wants_rollback=True),
        breached(Severity.PAGE, wants_rollback=True),
        rollbacks=LIVE,
    )
    assert [past.action for past in database.read(rollback_store.history)] == [Action.SEND]


def test_a_rollback_that_nobody_configured_is_an_error_and_nothing_is_saved(take, database):
    with pytest.raises(AlertError, match="'deploys' is not configured; known: other"):
        take(breached(wants_rollback=True), rollbacks={"other": RollbackRule()})
    assert database.read(store.incidents) == ()


def test_the_reason_of_every_verdict_is_given(take):
    no_data = Verdict(KEY, Label.NO_DATA)
    assert [t.reason for t in take(STEADY, breached(), no_data, STEADY)] == [
        Reason.NOTHING_WRONG,
        Reason.FIRED,
        Reason.NO_DATA,
        Reason.RESOLVED,
    ]


def test_an_incident_says_how_long_it_lasted(take, database):
    take(*[breached()] * 65, STEADY)
    resolved = database.read(outbox_store.notifications)[-1]
    assert resolved.message.kind is NoticeKind.RESOLVED
    assert resolved.message.note == "Steady again. It lasted 1 h 5 min."


def test_an_end_for_another_reason_than_being_steady_says_which(take, database):
    take(breached(), Verdict(KEY, Label.STEADY, note="Its baseline was retired"))
    resolved = database.read(outbox_store.notifications)[-1]
    assert resolved.message.note.startswith("Its baseline was retired. It lasted")
