"""Which findings another incident explains away: the rules alone, and what they do where verdicts are taken."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from alerts import outbox_store, rollback_store, store
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, Reason, State, step
from alerts.inhibition import ANY, InhibitRule, inhibitor, matching
from alerts.intake import receive
from alerts.rollback import Mode, RollbackRule

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RULE = AlertRule(notify=("on-call",))
BROKEN_HOLDS_WATCHES = InhibitRule(matching(silence="ingest"), matching(watch=ANY))
SILENT_HOLDS_ITS_WATCHES = InhibitRule(matching(silence="service"), matching(watch=ANY), equal=("service",))


def finding(source: Source = Source.WATCH, **labels: str) -> Finding:
    return Finding(Severity.PAGE, source, "something is wrong", labels)


def breach(key: str, **labels: str) -> Verdict:
    return Verdict(key, Label.BREACHED, finding(**labels))


def firing(key: str, **labels: str) -> Incident:
    incident = step(None, breach(key, **labels), RULE, NOW).incident
    assert incident is not None
    return incident


@pytest.mark.parametrize(
    ("rule", "source", "target", "is_held"),
    [
        (BROKEN_HOLDS_WATCHES, {"silence": "ingest"}, {"watch": "p95"}, True),
        (BROKEN_HOLDS_WATCHES, {"silence": "spans"}, {"watch": "p95"}, False),
        (BROKEN_HOLDS_WATCHES, {"silence": "ingest"}, {"target": "bot"}, False),
        (
            SILENT_HOLDS_ITS_WATCHES,
            {"silence": "service", "service": "a"},
            {"watch": "w", "service": "a"},
            True,
        ),
        (
            SILENT_HOLDS_ITS_WATCHES,
            {"silence": "service", "service": "a"},
            {"watch": "w", "service": "b"},
            False,
        ),
        (SILENT_HOLDS_ITS_WATCHES, {"silence": "service"}, {"watch": "w"}, False),
        (InhibitRule(matching(a="x*"), matching(a=("y", "z"))), {"a": "x1"}, {"a": "z"}, True),
        (InhibitRule(matching(a="1"), matching(source="ledger")), {"a": "1"}, {"a": "2"}, False),
        (InhibitRule(matching(a=ANY), matching(a=ANY)), {"a": "1"}, {"a": "2"}, False),
    ],
    ids=[
        "both sides fit",
        "the source does not",
        "the target does not",
        "equal labels are equal",
        "equal labels differ",
        "labels that both lack are not equal",
        "patterns",
        "the arm that found it",
        "what fits both sides does not hold its like",
    ],
)
def test_a_rule_holds_what_fits_its_target_while_what_fits_its_source_fires(
    rule: InhibitRule, source: dict[str, str], target: dict[str, str], is_held: bool
) -> None:
    assert rule.inhibits(finding(**source), finding(**target)) is is_held


def test_only_what_fires_inhibits_and_nothing_inhibits_itself() -> None:
    source, target = firing("silence/ingest", silence="ingest"), finding(watch="p95")
    rules = [BROKEN_HOLDS_WATCHES]
    assert inhibitor("watch/p95", target, [source], rules) is source
    assert inhibitor("watch/p95", target, [replace(source, state=State.PENDING)], rules) is None
    assert inhibitor("silence/ingest", target, [source], rules) is None
    assert inhibitor("watch/p95", None, [source], rules) is None


def test_a_ticket_holds_no_page() -> None:
    page, ticket = firing("silence/ingest", silence="ingest"), finding(watch="p95")
    quiet = replace(page, severity=Severity.TICKET)
    assert inhibitor("watch/p95", ticket, [quiet], [BROKEN_HOLDS_WATCHES]) is None
    ticket = replace(ticket, severity=Severity.TICKET)
    for source in (quiet, page):
        assert inhibitor("watch/p95", ticket, [source], [BROKEN_HOLDS_WATCHES]) is source


@pytest.fixture
def take(database, clock):
    """Receive verdicts in one transaction; gives the reasons."""

    def take(*verdicts: Verdict, rule: AlertRule = RULE) -> list[Reason]:
        rollbacks = {"deploys": RollbackRule(Mode.LIVE)}
        done = database.write(
            lambda session: receive(
                session, [(one, rule) for one in verdicts], clock.now(), rollbacks, [BROKEN_HOLDS_WATCHES]
            )
        )
        clock.advance(60)
        return [one.reason for one in done]

    return take


INGEST = breach("silence/ingest", silence="ingest")
INGEST_OVER = Verdict("silence/ingest", Label.STEADY)
SLOW = breach("watch/p95", watch="p95")


def test_an_inhibited_breach_opens_nothing_until_its_source_ends(take, database) -> None:
    assert take(INGEST, SLOW) == [Reason.FIRED, Reason.INHIBITED]
    assert [one.key for one in database.read(store.open_incidents)] == ["silence/ingest"]
    assert take(INGEST_OVER, SLOW) == [Reason.RESOLVED, Reason.FIRED]
    assert [row.message.kind.value for row in database.read(outbox_store.notifications)] == [
        "firing",
        "resolved",
        "firing",
    ]


def test_an_open_incident_is_held_and_neither_resolved_nor_made_worse(take, database) -> None:
    ticket = replace(SLOW, finding=replace(SLOW.finding, severity=Severity.TICKET))
    take(ticket)
    before = database.read(store.open_incidents)
    assert take(INGEST, SLOW) == [Reason.FIRED, Reason.INHIBITED]
    held = [one for one in database.read(store.open_incidents) if one.key == SLOW.key]
    assert held == list(before)
    assert take(INGEST_OVER, SLOW) == [Reason.RESOLVED, Reason.ESCALATED]


def test_a_held_breach_rolls_nothing_back(take, database) -> None:
    rule = AlertRule(rollback="deploys")
    wants = replace(SLOW, wants_rollback=True)
    take(replace(wants, finding=replace(SLOW.finding, severity=Severity.TICKET)))
    take(INGEST, wants, rule=rule)
    assert database.read(rollback_store.history) == []


def test_a_transition_says_by_which_incident_it_was_inhibited(database, clock) -> None:
    done = database.write(
        lambda session: receive(
            session, [(INGEST, RULE), (SLOW, RULE)], clock.now(), None, [BROKEN_HOLDS_WATCHES]
        )
    )
    assert done[1].incident is None
    assert done[1].inhibited_by is not None
    assert done[1].inhibited_by.key == "silence/ingest"
