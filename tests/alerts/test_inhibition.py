"""Which findings another incident explains away: the rules alone, and what they do where verdicts are taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import outbox_store, rollback_store, store
from alerts.dispatch import flush_due
from alerts.explain import explain
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.grouping import LOOK_AGAIN_S
from alerts.incident import AlertRule, Incident, Reason, State, step
from alerts.inhibition import (
    ANY,
    FOLLOWED_MAX,
    Explained,
    Inhibitors,
    InhibitRule,
    matching,
    suspect,
    suspected,
)
from alerts.intake import receive
from alerts.rollback import Mode, RollbackRule
from alerts.routing import Routing

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RULE = AlertRule(notify=("on-call",))
BROKEN_HOLDS_WATCHES = InhibitRule(matching(silence="ingest"), matching(watch=ANY), doubts=True)
SILENT_HOLDS_ITS_WATCHES = InhibitRule(matching(silence="service"), matching(watch=ANY), equal=("service",))


def finding(source: Source = Source.WATCH, severity: Severity = Severity.PAGE, **labels: str) -> Finding:
    return Finding(severity, source, "something is wrong", labels)


def breach(key: str, **labels: str) -> Verdict:
    return Verdict(key, Label.BREACHED, finding(**labels))


def firing(key: str, severity: Severity = Severity.PAGE, at: datetime = NOW, **labels: str) -> Incident:
    found = Verdict(key, Label.BREACHED, finding(severity=severity, **labels))
    incident = step(None, found, RULE, at).incident
    assert incident is not None
    return incident


def holder(target: Incident, rules: list[InhibitRule], *incidents: Incident) -> Incident | None:
    explained = Inhibitors(rules, incidents).explained(suspect(target))
    return explained.by if explained else None


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
        (SILENT_HOLDS_ITS_WATCHES, {"silence": "service", "service": "a"}, {"watch": "w"}, False),
        (InhibitRule(matching(a="x*"), matching(a=("y", "z"))), {"a": "x1"}, {"a": "z"}, True),
        (InhibitRule(matching(a="1"), matching(source="ledger")), {"a": "1"}, {"a": "2"}, False),
        (InhibitRule(matching(a="1"), matching(source="watch")), {"a": "1"}, {"a": "2"}, True),
        (InhibitRule(matching(a="1"), matching(severity="page")), {"a": "1"}, {"a": "2"}, True),
        (InhibitRule(matching(key="sour*"), matching(key="target")), {"a": "1"}, {"a": "2"}, True),
        (InhibitRule(matching(a=ANY), matching(a=ANY)), {"a": "1"}, {"a": "2"}, False),
    ],
    ids=[
        "both sides fit",
        "the source does not",
        "the target does not",
        "equal labels are equal",
        "equal labels differ",
        "labels that both lack are not equal",
        "nor one that the target lacks",
        "patterns",
        "another arm found it",
        "the arm that found it",
        "how loud it is",
        "its key",
        "what fits both sides does not hold its like",
    ],
)
def test_a_rule_holds_what_fits_its_target_while_what_fits_its_source_fires(
    rule: InhibitRule, source: dict[str, str], target: dict[str, str], is_held: bool
) -> None:
    cause = firing("source", **source)
    assert holder(firing("target", **target), [rule], cause) == (cause if is_held else None)


def test_only_what_fires_inhibits_and_nothing_inhibits_itself() -> None:
    source, target = firing("silence/ingest", silence="ingest"), firing("watch/p95", watch="p95")
    rules = [BROKEN_HOLDS_WATCHES]
    assert holder(target, rules, source) is source
    assert holder(target, rules, replace(source, state=State.PENDING)) is None
    assert holder(replace(target, key="silence/ingest"), rules, source) is None


def test_what_is_over_holds_nothing_any_more() -> None:
    source, target = firing("silence/ingest", silence="ingest"), suspect(firing("watch/p95", watch="p95"))
    known = Inhibitors([BROKEN_HOLDS_WATCHES], [source])
    assert known.explained(target) == Explained(source, BROKEN_HOLDS_WATCHES)
    known.knows(replace(source, state=State.RESOLVED))
    assert known.explained(target) is None
    assert source.key not in known


def test_what_has_become_another_thing_holds_what_that_explains() -> None:
    known = Inhibitors([SILENT_HOLDS_ITS_WATCHES], [firing("silence", silence="service", service="a")])
    known.knows(firing("silence", silence="service", service="b"))
    of_a, of_b = (suspect(firing("w", watch="w", service=name)) for name in "ab")
    assert known.explained(of_a) is None
    assert known.explained(of_b) is not None


def test_a_ticket_holds_no_page() -> None:
    page, target = firing("silence/ingest", silence="ingest"), firing("watch/p95", watch="p95")
    quiet = replace(page, severity=Severity.TICKET)
    assert holder(target, [BROKEN_HOLDS_WATCHES], quiet) is None
    ticket = replace(target, severity=Severity.TICKET)
    for source in (quiet, page):
        assert holder(ticket, [BROKEN_HOLDS_WATCHES], source) is source


def test_what_people_know_as_a_page_is_no_ticket_again() -> None:
    page = firing("watch/p95", watch="p95")
    now_a_ticket = finding(severity=Severity.TICKET, watch="p95")
    quiet = Inhibitors([BROKEN_HOLDS_WATCHES], [firing("ingest", Severity.TICKET, silence="ingest")])
    assert quiet.explained(suspected(page.key, now_a_ticket)) is not None
    assert quiet.explained(suspected(page.key, now_a_ticket, page)) is None


# Incidents that hold one another


def test_of_two_that_hold_one_another_the_first_stays_loud() -> None:
    rules = [InhibitRule(matching(a="1"), matching(b="1")), InhibitRule(matching(b="2"), matching(a="2"))]
    # Alertmanager would tell of neither.
    both = [InhibitRule(matching(a=ANY), matching(b=ANY)), InhibitRule(matching(b=ANY), matching(a=ANY))]
    first, second = firing("z", a="1"), firing("a", at=NOW + timedelta(seconds=1), b="1")
    assert holder(first, both, first, second) is None
    assert holder(second, both, first, second) is first
    assert holder(first, rules, first, second) is None


def test_a_circle_of_three_tells_of_the_first() -> None:
    rules = [InhibitRule(matching(n=one), matching(n=two)) for one, two in ("12", "23", "31")]
    incidents = [firing(f"key/{n}", at=NOW + timedelta(seconds=int(n)), n=n) for n in "123"]
    assert [getattr(holder(one, rules, *incidents), "key", None) for one in incidents] == [
        None,
        "key/1",
        "key/2",
    ]


def test_a_chain_is_held_from_its_top() -> None:
    rules = [InhibitRule(matching(n=one), matching(n=two)) for one, two in ("12", "23")]
    late_top = [firing(f"key/{n}", at=NOW - timedelta(seconds=int(n)), n=n) for n in "123"]
    assert [getattr(holder(one, rules, *late_top), "key", None) for one in late_top] == [
        None,
        "key/1",
        "key/2",
    ]


@pytest.mark.parametrize(("above", "is_held"), [(FOLLOWED_MAX, True), (FOLLOWED_MAX + 1, False)])
def test_where_too_many_would_have_to_be_followed_it_stays_loud(above: int, is_held: bool) -> None:
    rules = [InhibitRule(matching(n=one), matching(n=two)) for one, two in ("12", "23", "34")]
    oldest, cause = firing("3", at=NOW - timedelta(seconds=1), n="3"), firing("2", n="2")
    # Only who has looked at all that hold the cause knows that the oldest is not among them.
    holding = [firing(f"1/{number}", n="1") for number in range(above)]
    assert holder(oldest, rules, oldest, cause, *holding) is (cause if is_held else None)


VALUES = st.sampled_from(["1", "2", "3"])
LABELS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)
MATCHERS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "severity"]),
    st.sampled_from(["1", "2", "3", ANY, "*", "page"]),
    max_size=2,
).map(lambda labels: matching(**labels))
RULES = st.lists(
    st.builds(
        InhibitRule,
        MATCHERS,
        MATCHERS,
        st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple),
    ),
    max_size=5,
)
INCIDENTS = st.lists(
    st.tuples(LABELS, st.sampled_from(Severity), st.integers(0, 3)), min_size=1, max_size=7
).map(
    lambda drawn: [
        firing(f"key/{n}", severity, NOW + timedelta(seconds=at_s), **labels)
        for n, (labels, severity, at_s) in enumerate(drawn)
    ]
)


@settings(max_examples=200, deadline=None)
@given(RULES, INCIDENTS)
def test_whatever_the_rules_each_that_is_held_leads_to_one_that_is_told(
    rules: list[InhibitRule], incidents: list[Incident]
) -> None:
    known = Inhibitors(rules, incidents)
    held = {one.key: known.explained(suspect(one)) for one in incidents}
    for one in incidents:
        explained = held[one.key]
        if explained is None:
            continue
        source, rule = explained.by, explained.rule
        assert source.key != one.key
        assert source.severity >= one.severity
        assert all(one.labels.get(name) for name in rule.equal)
        assert all(one.labels[name] == source.labels[name] for name in rule.equal)
        seen = {one.key}
        while (above := held[source.key]) is not None:
            assert source.key not in seen, "they hold one another, and nobody hears of any"
            seen.add(source.key)
            source = above.by


@settings(max_examples=100, deadline=None)
@given(RULES, INCIDENTS, st.randoms(use_true_random=False))
def test_who_is_told_does_not_hang_on_the_order_in_which_incidents_are_read(
    rules: list[InhibitRule], incidents: list[Incident], rng
) -> None:
    loud = {one.key for one in incidents if holder(one, rules, *incidents) is None}
    shuffled = rng.sample(incidents, len(incidents))
    assert {one.key for one in incidents if holder(one, rules, *shuffled) is None} == loud
    assert loud


# Where verdicts are taken


@pytest.fixture
def take(database, clock):
    """Receive verdicts in one transaction; gives the reasons."""

    def take(
        *verdicts: Verdict, rule: AlertRule = RULE, by: InhibitRule = BROKEN_HOLDS_WATCHES
    ) -> list[Reason]:
        rollbacks = {"deploys": RollbackRule(Mode.LIVE)}
        done = database.write(
            lambda session: receive(session, [(one, rule) for one in verdicts], clock.now(), rollbacks, [by])
        )
        clock.advance(60)
        return [one.reason for one in done]

    return take


INGEST = breach("silence/ingest", silence="ingest")
INGEST_OVER = Verdict("silence/ingest", Label.STEADY)
SLOW = breach("watch/p95", watch="p95")


def told(database) -> list[tuple[str, str]]:
    return [
        (row.message.kind.value, row.message.members[0].key if row.message.members else row.message.key)
        for row in database.read(outbox_store.notifications)
    ]


def test_a_doubted_breach_opens_nothing_until_its_source_ends(take, database) -> None:
    assert take(INGEST, SLOW) == [Reason.FIRED, Reason.INHIBITED]
    assert [one.key for one in database.read(store.open_incidents)] == ["silence/ingest"]
    assert take(INGEST_OVER, SLOW) == [Reason.RESOLVED, Reason.FIRED]
    assert [kind for kind, _ in told(database)] == ["firing", "resolved", "firing"]


def test_an_open_incident_is_held_and_neither_resolved_nor_made_worse(take, database) -> None:
    ticket = replace(SLOW, finding=replace(SLOW.finding, severity=Severity.TICKET))
    take(ticket)
    before = database.read(store.open_incidents)
    assert take(INGEST, SLOW) == [Reason.FIRED, Reason.INHIBITED]
    held = [one for one in database.read(store.open_incidents) if one.key == SLOW.key]
    assert held == list(before)
    assert take(INGEST_OVER, SLOW) == [Reason.RESOLVED, Reason.ESCALATED]


def test_a_doubted_breach_rolls_nothing_back(take, database) -> None:
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


EXPLAINS = replace(BROKEN_HOLDS_WATCHES, doubts=False, name="ingest")


def test_what_is_only_explained_is_on_file_and_told_when_its_source_ends(take, database, clock) -> None:
    assert take(INGEST, SLOW, by=EXPLAINS) == [Reason.FIRED, Reason.FIRED]
    assert {one.key for one in database.read(store.open_incidents)} == {"silence/ingest", "watch/p95"}
    assert [key for _, key in told(database)] == ["silence/ingest"]
    take(INGEST_OVER, by=EXPLAINS)
    pages, _ = database.write(lambda session: flush_due(session, Routing(), [EXPLAINS], clock.now()))
    assert pages == 1
    assert told(database)[-1] == ("firing", "watch/p95")


def test_what_is_only_explained_says_once_by_what(take, database, clock) -> None:
    take(INGEST, SLOW, by=EXPLAINS)
    for _ in range(5):
        clock.advance(LOOK_AGAIN_S)
        database.write(lambda session: flush_due(session, Routing(), [EXPLAINS], clock.now()))
    explained = database.read(lambda session: explain(session, "watch/p95"))
    assert explained is not None
    [line] = [one for one in explained.lines if "inhibited" in one.why]
    cause = database.read(lambda session: store.latest_of(session, "silence/ingest"))
    assert (
        line.why == f"inhibited by silence/ingest (incident {cause.id}), by the rule ingest, while it fires"
    )
    assert line.times > 5


def test_what_is_only_explained_may_be_rolled_back_and_people_hear_of_that(take, database) -> None:
    take(INGEST, replace(SLOW, wants_rollback=True), rule=replace(RULE, rollback="deploys"), by=EXPLAINS)
    [past] = database.read(rollback_store.history)
    assert past.name == "deploys"
    assert [row.receiver for row in database.read(outbox_store.notifications)] == [
        "on-call",
        "rollback/deploys",
    ]
