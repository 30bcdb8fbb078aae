"""Whether a rollback helped: known from when its order was taken and its incident ended, and told once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts import outbox_store, rollback_store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, State
from alerts.intake import receive
from alerts.recovery import Outcome, recovery, tell, untold
from alerts.rollback import Action, Mode, PastRollback, RollbackReason, RollbackRule

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RULE = RollbackRule(Mode.LIVE, recover_within_s=3600)
RULES = {"deploy": RULE}
PAST = PastRollback("deploy", "i", AT, Action.SEND, RollbackReason.ALLOWED, delivered_at=AT)
FINDING = Finding(Severity.PAGE, Source.LEDGER, "bot has drifted", {"target": "bot"})
FIRING = Incident("i", "drift/bot", State.FIRING, Severity.PAGE, FINDING, AT, AT)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def ended(seconds: float) -> Incident:
    return replace(FIRING, state=State.RESOLVED, resolved_at=after(seconds))


@pytest.mark.parametrize(
    ("incident", "now_s", "outcome", "said"),
    [
        (FIRING, 3599, Outcome.OPEN, "it is too early to tell whether it helped"),
        (FIRING, 3600, Outcome.NOT_RECOVERED, "not recovered: the incident still went on 60 min after"),
        (replace(FIRING, state=State.ACKNOWLEDGED), 3600, Outcome.NOT_RECOVERED, "not recovered"),
        (ended(720), 730, Outcome.RECOVERED, "recovered: the incident was over 12 min after"),
        (ended(720), 9999, Outcome.RECOVERED, "recovered: the incident was over 12 min after"),
        (ended(3600), 3600, Outcome.RECOVERED, "recovered: the incident was over 60 min after"),
        (ended(3601), 3602, Outcome.NOT_RECOVERED, "not recovered"),
        (ended(-5), 10, Outcome.RECOVERED, "recovered: the incident was over 0 s after"),
        (replace(FIRING, resolved_at=after(60)), 90, Outcome.OPEN, "too early"),
        (
            replace(ended(720), state=State.PENDING),
            3600,
            Outcome.RECOVERED,
            "recovered: the incident was over 12 min",
        ),
    ],
    ids=[
        "one second before the end",
        "it still fires",
        "somebody sees to it",
        "over in time",
        "over long ago",
        "over at the last moment",
        "over too late",
        "over before the order was taken",
        "it fires again",
        "it may come back",
    ],
)
def test_the_outcome(incident, now_s, outcome, said):
    found = recovery(PAST, incident, RULE, after(now_s))
    assert found is not None
    assert (found.outcome, said in found.said) == (outcome, True)


@pytest.mark.parametrize(
    "past", [replace(PAST, delivered_at=None), replace(PAST, action=Action.DRY_RUN, delivered_at=None)]
)
def test_what_was_not_ordered_cannot_help(past):
    assert recovery(past, FIRING, RULE, after(9999)) is None


def test_an_incident_that_comes_back_after_that_time_says_nothing_of_the_rollback():
    again = replace(FIRING, pending_since=after(3601), firing_since=after(3660), reopened=1)
    assert recovery(PAST, again, RULE, after(3700)) is None
    assert recovery(PAST, replace(again, pending_since=after(3599)), RULE, after(3700)) is not None


@pytest.fixture
def ordered(database, clock):
    """An incident whose rollback was taken just now; says what people are told of it."""

    def look(label: Label) -> Incident:
        finding = FINDING if label is Label.BREACHED else None
        verdict = Verdict("drift/bot", label, finding, wants_rollback=finding is not None)
        rule = AlertRule(notify=("oncall",), rollback="deploy")
        [done] = database.write(lambda session: receive(session, [(verdict, rule)], clock.now(), RULES))
        return done.incident

    def told() -> list[str]:
        database.write(lambda session: tell(session, RULES, clock.now()))
        rows = database.read(outbox_store.notifications)
        return [row.message.note for row in rows if row.message.kind.value == "rollback_news"]

    incident = look(Label.BREACHED)
    database.write(lambda s: rollback_store.mark_delivered(s, "deploy", incident.id, clock.now()))
    return look, told


def test_who_knows_of_the_incident_hears_once_that_it_helped(ordered, clock, database):
    look, told = ordered
    assert told() == []
    [waiting] = database.read(lambda session: untold(session, RULES, clock.now()))
    assert waiting.outcome is Outcome.OPEN
    clock.advance(600)
    look(Label.STEADY)
    said = "Rollback 'deploy': recovered: the incident was over 10 min after the order was taken."
    assert told() == told() == [said]
    clock.advance(9999)
    assert told() == [said]
    assert database.read(lambda session: untold(session, RULES, clock.now())) == ()


def test_who_knows_of_the_incident_hears_once_that_it_did_not_help(ordered, clock):
    _, told = ordered
    clock.advance(3600)
    assert told() == told()
    [said] = told()
    assert said.startswith("Rollback 'deploy': not recovered: the incident still went on 60 min")
    assert said.endswith("Look for another cause.")


def test_what_nobody_could_be_told_in_time_is_told_a_day_later_at_most(ordered, clock):
    _, told = ordered
    clock.advance(3600 + 86_400 + 1)
    assert told() == []
