"""A rollback that waits for a person: answered once, in time, by somebody, or taken back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Barrier

import pytest

from alerts import AlertError, outbox_store, rollback_store, store
from alerts.decisions import decisions
from alerts.digest import gather
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, NoticeKind
from alerts.intake import receive
from alerts.message import Message
from alerts.rollback import EVERY_ROLLBACK, Action, Lock, Mode, PastRollback, RollbackReason, RollbackRule
from alerts.rolling_back import approve, close_questions, lock, next_closing, reject, unlock
from monitor.database import Database

RULE = AlertRule(notify=("on-call",), rollback="deploy")
ASK = {"deploy": RollbackRule(Mode.ASK, answer_within_s=1800)}


@dataclass
class Bridge:
    """Incidents that want to roll back, and the people who decide."""

    database: object
    clock: object

    def write(self, work: Callable):
        return self.database.write(work)

    def breach(self, key: str = "watch/p95", rules=ASK) -> Incident:
        [incident] = self.breach_all([key], rules)
        return incident

    def breach_all(self, keys: list[str], rules=ASK) -> list[Incident]:
        finding = Finding(Severity.PAGE, Source.WATCH, "p95 is above 8 s.", {"service": "chat"})
        verdicts = [(Verdict(key, Label.BREACHED, finding, wants_rollback=True), RULE) for key in keys]
        now = self.clock.now()
        transitions = self.write(lambda session: receive(session, verdicts, now, rules))
        return [transition.incident for transition in transitions]

    def recover(self, key: str = "watch/p95") -> None:
        now = self.clock.now()
        self.write(lambda session: receive(session, [(Verdict(key, Label.STEADY), RULE)], now, ASK))

    def approve(self, incident: Incident, by: str = "ada", rules=ASK) -> PastRollback:
        return self.write(lambda session: approve(session, incident.id, by, rules, self.clock.now()))

    def reject(self, incident: Incident, by: str = "bob") -> PastRollback:
        return self.write(lambda session: reject(session, incident.id, by, self.clock.now()))

    def close(self) -> list[RollbackReason]:
        return [one.reason for one in self.write(lambda session: close_questions(session, self.clock.now()))]

    def past(self, incident: Incident) -> PastRollback:
        [past] = self.database.read(lambda session: rollback_store.of_incident(session, incident.id))
        return past

    def sent(self, kind: NoticeKind) -> list[Message]:
        rows = self.database.read(outbox_store.notifications)
        return [row.message for row in rows if row.message.kind is kind]

    def news(self) -> str:
        return self.sent(NoticeKind.ROLLBACK_NEWS)[-1].note


@pytest.fixture
def bridge(database, clock) -> Bridge:
    return Bridge(database, clock)


def test_the_question_is_put_once_and_nothing_is_ordered(bridge, clock):
    incident = bridge.breach()
    clock.advance(60)
    bridge.breach()
    [question] = bridge.sent(NoticeKind.ROLLBACK_QUESTION)
    assert "Approve or reject it by 2026-" in question.note
    assert "(within 30 min)" in question.note
    assert f"anchorwatch rollback approve {incident.id}" in question.note
    assert (question.rollback, question.group_id is not None) == ("deploy", True)
    assert bridge.sent(NoticeKind.ROLLBACK) == []
    past = bridge.past(incident)
    assert (past.action, past.reason) == (Action.ASK, RollbackReason.MUST_BE_APPROVED)
    assert past.answer_by == past.at + timedelta(minutes=30)


def test_who_approves_sends_the_order_under_their_name(bridge, clock):
    incident = bridge.breach()
    clock.advance(600)
    bridge.approve(incident)
    [order] = bridge.sent(NoticeKind.ROLLBACK)
    assert (order.rollback, order.approved_by, order.created_at) == ("deploy", "ada", clock.now())
    assert bridge.news() == "Rollback 'deploy' was approved by ada; the order is on its way."
    past = bridge.past(incident)
    assert (past.action, past.answered_by, past.answered_at) == (Action.SEND, "ada", clock.now())
    said = [one.why for one in bridge.database.read(lambda session: decisions(session, incident.key))]
    assert any(why.startswith("ada approved it at 2026-") for why in said)


def test_a_storm_does_not_make_the_guard_forget_what_was_sent(bridge, clock):
    first, *storm, last = (f"watch/{number}" for number in range(rollback_store.HISTORY_LENGTH + 2))
    for keys in ([first], storm, [last], [first]):
        clock.advance(1)
        bridge.breach_all(keys, {"deploy": RollbackRule(Mode.LIVE, cooldown_s=6 * 3600)})
    decided = bridge.database.read(lambda session: rollback_store.history(session, "deploy", limit=1000))
    assert [one.at for one in decided if one.action is Action.SEND] == [clock.now() - timedelta(seconds=3)]
    assert {one.reason for one in decided[:-1]} == {RollbackReason.COOLDOWN}


def test_who_rejects_keeps_it_from_being_sent_for_this_incident(bridge, clock):
    incident = bridge.breach()
    bridge.reject(incident)
    clock.advance(60)
    bridge.breach()
    assert bridge.sent(NoticeKind.ROLLBACK) == []
    assert len(bridge.sent(NoticeKind.ROLLBACK_QUESTION)) == 1
    assert "was rejected by bob" in bridge.news()
    assert bridge.past(incident).reason is RollbackReason.REJECTED


@pytest.mark.parametrize("first", ["approve", "reject"])
@pytest.mark.parametrize("second", ["approve", "reject"])
def test_the_first_answer_counts_and_the_second_is_told_who_gave_it(bridge, first, second):
    incident = bridge.breach()
    getattr(bridge, first)(incident, by="ada")
    told = len(bridge.database.read(outbox_store.notifications))
    with pytest.raises(AlertError, match=f"waits for nobody: ada {first}"):
        getattr(bridge, second)(incident, by="bob")
    assert len(bridge.database.read(outbox_store.notifications)) == told
    assert bridge.past(incident).answered_by == "ada"
    assert len(bridge.sent(NoticeKind.ROLLBACK)) == (first == "approve")


@pytest.mark.parametrize(("after_s", "is_late"), [(1799, False), (1800, True)], ids=["just in time", "late"])
@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_an_answer_that_comes_too_late_does_nothing(bridge, clock, after_s, is_late, answer):
    incident = bridge.breach()
    clock.advance(after_s)
    if not is_late:
        getattr(bridge, answer)(incident)
        assert not bridge.past(incident).is_open
        return
    with pytest.raises(AlertError, match="too late: it waited for an answer until 2026-"):
        getattr(bridge, answer)(incident)
    assert bridge.past(incident).is_open


def test_what_nobody_answers_is_closed_when_its_time_is_over(bridge, clock):
    incident = bridge.breach()
    due = bridge.past(incident).answer_by
    assert bridge.database.read(lambda session: next_closing(session, clock.now())) == due
    clock.advance(1799)
    assert bridge.close() == []
    clock.advance(1)
    assert bridge.close() == [RollbackReason.UNANSWERED]
    assert "nobody answered in time. Roll back by hand" in bridge.news()
    assert bridge.close() == []
    assert bridge.database.read(lambda session: next_closing(session, clock.now())) is None
    clock.advance(60)
    bridge.breach()
    assert len(bridge.sent(NoticeKind.ROLLBACK_QUESTION)) == 1


def test_the_end_of_the_incident_takes_the_question_back(bridge, clock):
    incident = bridge.breach()
    clock.advance(60)
    bridge.recover()
    with pytest.raises(AlertError, match="the incident is over"):
        bridge.approve(incident)
    assert bridge.database.read(lambda session: next_closing(session, clock.now())) == clock.now()
    assert bridge.close() == [RollbackReason.WITHDRAWN]
    assert "needs no answer any more" in bridge.news()
    assert bridge.sent(NoticeKind.ROLLBACK) == []


def test_an_incident_that_fires_again_asks_again_where_nobody_had_answered(bridge, clock, database):
    rule, reopened = replace(RULE, reopen_s=600), None
    incident = bridge.breach()
    bridge.recover()
    bridge.close()
    clock.advance(60)
    finding = Finding(Severity.PAGE, Source.WATCH, "p95 is above 8 s.", {"service": "chat"})
    verdict = Verdict("watch/p95", Label.BREACHED, finding, wants_rollback=True)
    [reopened] = database.write(lambda session: receive(session, [(verdict, rule)], clock.now(), ASK))
    assert reopened.incident.id == incident.id
    assert len(bridge.sent(NoticeKind.ROLLBACK_QUESTION)) == 2
    bridge.approve(incident)
    assert len(bridge.sent(NoticeKind.ROLLBACK)) == 1


def test_one_question_at_a_time_and_the_other_incident_asks_when_the_answer_was_no(bridge, clock):
    first = bridge.breach("watch/a")
    other = bridge.breach("watch/b")
    assert len(bridge.sent(NoticeKind.ROLLBACK_QUESTION)) == 1
    assert bridge.database.read(lambda session: rollback_store.of_incident(session, other.id)) == ()
    bridge.reject(first)
    clock.advance(60)
    bridge.breach("watch/b")
    assert [one.incident_id for one in bridge.sent(NoticeKind.ROLLBACK_QUESTION)] == [first.id, other.id]


def test_the_cooldown_counts_from_the_approval(bridge, clock):
    first = bridge.breach("watch/a")
    clock.advance(1200)
    bridge.approve(first)
    clock.advance(6 * 3600 - 1)
    assert bridge.past(bridge.breach("watch/b")).reason is RollbackReason.COOLDOWN
    clock.advance(1)
    assert bridge.past(bridge.breach("watch/c")).reason is RollbackReason.MUST_BE_APPROVED


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({}, "no rollback 'deploy' in the configuration any more"),
        ({"deploy": RollbackRule(Mode.DRY_RUN)}, "has been set to dry-run"),
    ],
    ids=["gone", "dry run"],
)
def test_what_the_configuration_has_come_to_say_counts(bridge, rules, problem):
    incident = bridge.breach()
    with pytest.raises(AlertError, match=problem):
        bridge.approve(incident, rules=rules)
    assert bridge.sent(NoticeKind.ROLLBACK) == []


@pytest.mark.parametrize("name", ["deploy", EVERY_ROLLBACK])
def test_a_lock_holds_back_what_is_asked_and_what_is_approved(bridge, clock, name):
    incident = bridge.breach()
    bridge.write(lambda session: lock(session, name, "eve", "freeze", clock.now()))
    with pytest.raises(
        AlertError,
        match=r"locked by eve since .*: freeze. .* stays open: `anchorwatch rollback unlock( deploy)?`",
    ):
        bridge.approve(incident)
    assert bridge.past(incident).is_open
    later = bridge.breach("watch/b")
    assert bridge.past(later).reason is RollbackReason.LOCKED
    assert "was not sent: it is locked by eve since" in bridge.news()
    bridge.write(lambda session: unlock(session, name, "eve", clock.now()))
    bridge.approve(incident)
    assert len(bridge.sent(NoticeKind.ROLLBACK)) == 1


def test_a_lock_is_set_once_and_what_is_not_locked_cannot_be_unlocked(bridge, clock, database):
    bridge.write(lambda session: lock(session, "deploy", "eve", "", clock.now()))
    with pytest.raises(AlertError, match="rollback 'deploy' is locked by eve"):
        bridge.write(lambda session: lock(session, "deploy", "bob", "", clock.now()))
    with pytest.raises(AlertError, match="every rollback is not locked by itself; locked: rollback 'deploy'"):
        bridge.write(lambda session: unlock(session, EVERY_ROLLBACK, "bob", clock.now()))
    with pytest.raises(AlertError, match="say who does it"):
        bridge.write(lambda session: lock(session, EVERY_ROLLBACK, " ", "", clock.now()))
    said = [one.what for one in database.read(lambda session: decisions(session, "rollback/deploy"))]
    assert said == ["lock rollback 'deploy'"]


def test_a_decision_that_is_not_stored_has_sent_nothing(bridge, database):
    incident = bridge.breach()

    def fail_after_approving(session):
        approve(session, incident.id, "ada", ASK, bridge.clock.now())
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        database.write(fail_after_approving)
    assert bridge.past(incident).is_open
    assert bridge.sent(NoticeKind.ROLLBACK) == []
    assert bridge.sent(NoticeKind.ROLLBACK_NEWS) == []


def test_what_asked_for_nothing_cannot_be_answered(bridge, database):
    incident = bridge.breach(rules={"deploy": RollbackRule(Mode.ASK)})
    with pytest.raises(AlertError, match="has not asked for rollback 'other'"):
        bridge.write(
            lambda session: approve(session, incident.id, "ada", ASK, bridge.clock.now(), name="other")
        )
    with pytest.raises(AlertError, match="there is no incident 'gone'"):
        bridge.write(lambda session: reject(session, "gone", "ada", bridge.clock.now()))
    assert database.read(lambda session: store.incident(session, incident.id)).is_firing


def test_a_question_is_not_counted_away_in_the_digest_of_a_storm(bridge, clock):
    bridge.breach()
    row = bridge.write(lambda session: gather(session, "on-call", clock.now()))
    assert row.message.kind is NoticeKind.DIGEST
    [question] = [
        one
        for one in bridge.database.read(outbox_store.notifications)
        if one.message.kind is NoticeKind.ROLLBACK_QUESTION
    ]
    load = bridge.database.read(
        lambda session: outbox_store.load(session, "on-call", clock.now(), clock.now())
    )
    assert question.is_waiting
    assert load.waiting == 2  # the digest, and the question beside it


def test_of_many_who_answer_at_the_same_moment_from_two_processes_one_is_heeded(bridge, database, clock):
    incident = bridge.breach()
    now, others = clock.now(), Database(database.path)  # as the command line is beside the daemon
    start = Barrier(6)

    def answer(number: int) -> str:
        start.wait()
        try:
            (database, others)[number % 2].write(
                lambda session: approve(session, incident.id, f"person {number}", ASK, now)
            )
        except AlertError as error:
            return str(error)
        return f"person {number}"

    with ThreadPoolExecutor(6) as people:
        said = list(people.map(answer, range(6)))
    others.close()
    [winner] = [one for one in said if one.startswith("person")]
    assert sum(f"waits for nobody: {winner} approved it" in one for one in said) == 5
    assert [one.approved_by for one in bridge.sent(NoticeKind.ROLLBACK)] == [winner]


def test_who_locked_and_unlocked_stays_on_record_until_it_is_forgotten(bridge, clock):
    first = clock.now()
    bridge.write(lambda session: lock(session, "deploy", "ada", "freeze", clock.now()))
    clock.advance(60)
    bridge.write(lambda session: unlock(session, "deploy", "bob", clock.now()))
    ended = Lock("deploy", "ada", first, "freeze", clock.now(), "bob")
    clock.advance(60)
    again = bridge.write(lambda session: lock(session, "deploy", "eve", "", clock.now()))
    assert bridge.database.read(rollback_store.locks) == (again,)
    assert bridge.database.read(rollback_store.past_locks) == (ended,)
    assert bridge.database.read(rollback_store.every_lock) == (ended, again)

    later = clock.now() + timedelta(days=400)
    bridge.write(lambda session: rollback_store.forget_locks(session, ended.ended_at))
    assert bridge.database.read(rollback_store.past_locks) == (ended,)
    bridge.write(lambda session: rollback_store.forget_locks(session, later))
    assert bridge.database.read(rollback_store.every_lock) == (again,)
