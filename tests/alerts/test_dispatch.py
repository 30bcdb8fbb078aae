"""From findings to messages by way of groups, in a real database: what is told, to whom, and what is on record."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from alerts import AlertError, actions, group_store, outbox_store, rollback_store, silence_store, store
from alerts.actions import acknowledge, expire, mark, rule_records, silence, would_silence
from alerts.dispatch import flush_due
from alerts.explain import explain
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Reason, State
from alerts.inhibition import InhibitRule, matching
from alerts.intake import receive
from alerts.matcher import parse_matcher
from alerts.message import Message, Why
from alerts.rollback import Mode, RollbackRule
from alerts.rolling_back import tell_people
from alerts.routing_config import RouteConfig, routing_of

TREE = {
    "receivers": ["slack"],
    "routes": [
        {"match": ["severity=page"], "receivers": ["pager"], "escalate": [{"after": "15m", "notify": "lead"}]}
    ],
}


def finding(number: int, target: str = "bot", severity: Severity = Severity.PAGE) -> Verdict:
    labels = {"target": target, "prompt": str(number)}
    found = Finding(severity, Source.LEDGER, f"{target}: prompt {number} moved", labels, (("e", "1"),))
    return Verdict(f"drift/{target}/{number}", Label.BREACHED, found)


class Watch:
    """A deployment with a tree of routes: takes verdicts, lets time pass, and shows what went out."""

    def __init__(self, database, clock, tree=TREE, inhibitions=(), reopen_s: float = 0.0) -> None:
        self.database, self.clock = database, clock
        self.inhibitions = inhibitions
        self.routing = routing_of(RouteConfig.model_validate(tree), {}, reopen_s)
        self.pages = 0

    def take(self, *verdicts: Verdict, rule: AlertRule | None = None, rollbacks=None):
        looks = [(one, rule or AlertRule()) for one in verdicts]
        transitions = self.database.write(
            lambda session: receive(
                session, looks, self.clock.now(), rollbacks, self.inhibitions, self.routing
            )
        )
        self.pages += sum(one.pages for one in transitions)
        return transitions

    def passes(self, seconds: float) -> None:
        """Let time pass; every group is told when it is due, as the daemon does."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while True:
            due = self.write(lambda session: self.flush(session))
            if due is None or due > until:
                break
            self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
        self.clock.advance((until - self.clock.now()).total_seconds())

    def flush(self, session):
        pages, due = flush_due(session, self.routing, self.inhibitions, self.clock.now())
        self.pages += pages
        return due

    def write(self, work: Callable):
        return self.database.write(work)

    def messages(self) -> list[tuple[str, Message]]:
        rows = self.database.read(lambda session: outbox_store.notifications(session, limit=1000))
        return [(row.receiver, row.message) for row in rows]

    def told(self) -> list[tuple[str, str, str]]:
        return [(to, one.kind.value, one.why.name if one.why else "") for to, one in self.messages()]


@pytest.fixture
def watch(database, clock) -> Watch:
    return Watch(database, clock)


def test_thirty_findings_on_three_targets_are_one_message_and_one_page(watch):
    watch.take(*[finding(n, target) for target in ("a", "b", "c") for n in range(10)])
    assert watch.messages() == []
    watch.passes(60)
    [(to, message)] = watch.messages()
    assert (to, message.kind.value, message.why) == ("pager", "firing", Why.FIRST)
    assert (message.member_count, len(message.members), message.members_more) == (30, 20, 10)
    assert message.member_lines[-1] == "and 10 more"
    assert message.headline == "PAGE FIRING: drift/a/0 and 29 more"
    assert watch.pages == 1
    since = watch.clock.now() - timedelta(days=1)
    assert watch.database.read(lambda session: group_store.pages_since(session, since)) == 1


def test_a_late_joiner_updates_the_same_thread_and_the_last_end_closes_it(watch):
    watch.take(finding(1))
    watch.passes(60)
    watch.take(finding(2))
    watch.passes(300)
    watch.take(Verdict("drift/bot/1", Label.STEADY))
    watch.passes(300)
    watch.take(Verdict("drift/bot/2", Label.STEADY))
    watch.passes(300)
    assert watch.told() == [
        ("pager", "firing", "FIRST"),
        ("pager", "updated", "NEW_IN_GROUP"),
        ("pager", "updated", "RESOLVED"),
        ("pager", "resolved", "ALL_RESOLVED"),
    ]
    messages = [message for _, message in watch.messages()]
    assert len({message.group_id for message in messages}) == 1
    assert len({message.id for message in messages}) == 4
    assert watch.database.read(group_store.open_groups) == ()


def test_the_next_trouble_of_the_same_labels_is_another_group(watch):
    for _ in range(2):
        watch.take(finding(1))
        watch.passes(60)
        watch.take(Verdict("drift/bot/1", Label.STEADY))
        watch.passes(600)
    assert len({message.group_id for _, message in watch.messages()}) == 2


def test_what_comes_back_within_the_window_goes_on_in_its_thread(database, clock):
    watch = Watch(database, clock, reopen_s=3600)
    watch.take(finding(1))
    watch.passes(60)
    watch.take(Verdict("drift/bot/1", Label.STEADY))
    watch.passes(600)
    [again] = watch.take(finding(1))
    watch.passes(60)
    assert again.reason is Reason.REOPENED
    assert watch.told()[-1] == ("pager", "firing", "REOPENED")
    assert len({message.group_id for _, message in watch.messages()}) == 1
    assert "fires again" in watch.messages()[-1][1].note
    assert watch.pages == 1


def test_a_restart_between_the_finding_and_the_message_forgets_no_wait(watch, database, clock):
    watch.take(finding(1))
    later = Watch(database, clock)
    clock.advance(29)
    assert database.read(
        lambda session: group_store.next_due_at(session, clock.now())
    ) == clock.now() + timedelta(seconds=1)
    later.passes(1)
    assert later.told() == [("pager", "firing", "FIRST")]


def test_what_nobody_acknowledges_goes_to_the_next_and_its_end_to_all_who_know(watch):
    watch.take(finding(1))
    watch.passes(1000)
    watch.take(Verdict("drift/bot/1", Label.STEADY))
    watch.passes(300)
    assert watch.told() == [
        ("pager", "firing", "FIRST"),
        ("lead", "firing", "ESCALATED"),
        ("pager", "resolved", "ALL_RESOLVED"),
        ("lead", "resolved", "ALL_RESOLVED"),
    ]


def test_an_acknowledgement_is_told_and_stops_the_escalation(watch):
    [fired] = watch.take(finding(1))
    watch.passes(60)
    watch.write(lambda s: acknowledge(s, "drift/bot/1", "ada", watch.clock.now()))
    watch.passes(3600)
    assert watch.told()[1:] == [("pager", "acknowledged", "ACKNOWLEDGED")]
    [incident] = watch.database.read(store.open_incidents)
    assert (incident.state, incident.acknowledged_by) == (State.ACKNOWLEDGED, "ada")
    assert watch.messages()[-1][1].note == "Acknowledged by ada"
    assert fired.incident.id == incident.id


def test_nobody_acknowledges_what_is_not_there_or_without_a_name(watch):
    with pytest.raises(AlertError, match="there is no incident 'gone'"):
        watch.write(lambda s: acknowledge(s, "gone", "ada", watch.clock.now()))
    watch.take(finding(1))
    with pytest.raises(AlertError, match="say who does it"):
        watch.write(lambda s: acknowledge(s, "drift/bot/1", " ", watch.clock.now()))


def silenced(watch: Watch, text: str, seconds: float):
    now = watch.clock.now()
    return watch.write(
        lambda s: silence(
            s, [parse_matcher(text)], "ada", "deploying", now, now + timedelta(seconds=seconds), now
        )
    )


def test_what_is_silenced_is_told_when_the_silence_ends(watch):
    silenced(watch, "target=bot", 600)
    watch.take(finding(1))
    watch.passes(599)
    assert watch.told() == []
    watch.passes(2)
    assert watch.told() == [("pager", "firing", "FIRST")]


def test_a_silence_that_is_ended_early_tells_at_once(watch):
    added = silenced(watch, "target=bot", 6000)
    watch.take(finding(1))
    watch.passes(100)
    ended = watch.write(lambda s: expire(s, added.id, " bob ", watch.clock.now()))
    assert (ended.ended_by, ended.ends_at) == ("bob", watch.clock.now())
    watch.passes(1)
    assert watch.told() == [("pager", "firing", "FIRST")]
    with pytest.raises(AlertError, match="bob ended it at 2026-"):
        watch.write(lambda s: expire(s, added.id, "eve", watch.clock.now()))
    with pytest.raises(AlertError, match="there is no silence"):
        watch.write(lambda s: expire(s, "nope", "bob", watch.clock.now()))


def test_a_silence_whose_time_is_over_was_ended_by_nobody(watch):
    added = silenced(watch, "target=bot", 600)
    watch.passes(600)
    with pytest.raises(AlertError, match="was over at 2026-"):
        watch.write(lambda s: expire(s, added.id, "bob", watch.clock.now()))
    [known] = watch.database.read(silence_store.all_made)
    assert known.ended_by == ""


def test_nobody_ends_a_silence_without_a_name(watch):
    added = silenced(watch, "target=bot", 600)
    with pytest.raises(AlertError, match="say who does it"):
        watch.write(lambda s: expire(s, added.id, " ", watch.clock.now()))


def test_it_is_shown_beforehand_what_a_silence_would_hold(watch):
    watch.take(finding(1), finding(2, "other"))
    held = watch.write(lambda s: would_silence(s, [parse_matcher("target=bot")], watch.clock.now()))
    assert [one.key for one in held] == ["drift/bot/1"]


def test_a_silence_without_sense_is_refused(watch):
    now = watch.clock.now()
    with pytest.raises(AlertError, match="needs a matcher"):
        watch.write(lambda s: silence(s, [], "ada", "", now, now + timedelta(1), now))
    with pytest.raises(AlertError, match="after now"):
        watch.write(
            lambda s: silence(
                s, [parse_matcher("a=b")], "ada", "", now - timedelta(2), now - timedelta(1), now
            )
        )


def test_what_is_silenced_is_not_rolled_back(watch, database):
    silenced(watch, "target=bot", 600)
    wants = Verdict("drift/bot/1", Label.BREACHED, finding(1).finding, wants_rollback=True)
    rule, live = AlertRule(rollback="deploy"), {"deploy": RollbackRule(Mode.LIVE)}
    watch.take(wants, rule=rule, rollbacks=live)
    assert database.read(rollback_store.history) == []
    watch.passes(601)
    watch.take(wants, rule=rule, rollbacks=live)
    assert len(database.read(rollback_store.history)) == 1


def test_a_rollback_does_not_wait_for_the_group_and_neither_do_people(watch):
    wants = Verdict("drift/bot/1", Label.BREACHED, finding(1).finding, wants_rollback=True)
    watch.take(wants, rule=AlertRule(rollback="deploy"), rollbacks={"deploy": RollbackRule(Mode.DRY_RUN)})
    assert watch.told() == [("pager", "firing", "FIRST"), ("pager", "rollback_news", "")]
    assert len({message.group_id for _, message in watch.messages()}) == 1


def test_what_becomes_a_page_is_told_by_the_route_of_pages_too(watch):
    watch.take(finding(1, severity=Severity.TICKET))
    watch.passes(60)
    watch.take(finding(1))
    watch.passes(60)
    assert watch.told() == [
        ("slack", "firing", "FIRST"),
        ("slack", "escalated", "WORSE"),
        ("pager", "firing", "FIRST"),
    ]


def test_what_is_held_for_another_incident_is_told_when_that_is_over(database, clock):
    rule = InhibitRule(matching(proof="down"), matching(source="ledger"), equal=("target",))
    watch = Watch(database, clock, inhibitions=(rule,))
    down = Finding(Severity.PAGE, Source.PROOF, "down", {"proof": "down", "target": "bot"})
    watch.take(finding(1))
    watch.take(Verdict("proof/bot", Label.BREACHED, down))
    watch.passes(120)
    [(_, first)] = watch.messages()
    assert [line.key for line in first.members] == ["proof/bot"]
    watch.take(Verdict("proof/bot", Label.STEADY))
    watch.passes(600)
    assert "drift/bot/1" in [line.key for line in watch.messages()[-1][1].members]


def said(watch: Watch, asked: str) -> list[str]:
    explanation = watch.database.read(lambda session: explain(session, asked))
    assert explanation is not None
    return [f"{line.what}: {line.why}" for line in explanation.lines]


def test_an_explanation_says_why_somebody_was_told(watch):
    watch.take(finding(1))
    watch.passes(1000)
    lines = said(watch, "drift/bot/1")
    assert lines[0] == "incident firing: wrong for as long as the rule wants"
    assert lines[1].startswith('routed: by route: everything > route.routes[0]: severity="page"')
    assert lines[2].startswith("not now: what has changed is told at 2026-03-02 12:00:30 UTC")
    assert lines[3] == "first: 1 firing"
    assert lines[4].startswith("message to pager: firing (first): waits to be sent")
    assert "nobody has acknowledged it in time: 1 firing, Nobody has acknowledged it for 15 min" in lines


def test_an_explanation_says_why_nobody_was_told(watch):
    silenced(watch, "target=bot", 600)
    watch.take(finding(1))
    watch.passes(100)
    assert any(
        line.startswith("silenced: held by silence") and "of ada (deploying)" in line
        for line in said(watch, "drift/bot/1")
    )


def test_what_never_became_an_incident_is_explained_by_its_key(watch):
    watch.take(finding(1), rule=AlertRule(for_s=300))
    watch.take(Verdict("drift/bot/1", Label.STEADY), rule=AlertRule(for_s=300))
    assert said(watch, "drift/bot/1") == [
        "incident pending: wrong, but not yet for as long as the rule wants",
        "incident none: steady again before it fired: nobody was told",
    ]
    assert watch.database.read(lambda session: explain(session, "nothing/known")) is None


def test_an_answer_that_stays_the_same_is_one_line_that_counts(watch):
    rule = AlertRule(for_s=3600)
    for _ in range(5):
        watch.take(finding(1), rule=rule)
        watch.clock.advance(60)
    explanation = watch.database.read(lambda session: explain(session, "drift/bot/1"))
    [line] = explanation.lines
    assert line.times == 5
    assert (line.last_at - line.at).total_seconds() == 240


def test_people_say_whether_a_page_was_right_and_rules_are_judged_by_it(watch):
    watch.take(finding(1), finding(2), finding(1, "other"))
    incidents = watch.database.read(store.open_incidents)
    for incident, is_true in zip(incidents, (True, False, False), strict=True):
        watch.write(lambda s, i=incident.id, t=is_true: mark(s, i, t, "ada", watch.clock.now()))
    since = watch.clock.now() - timedelta(days=1)
    records = watch.database.read(lambda session: rule_records(session, since))
    judged = {one.rule: (one.pages, one.right, one.wrong, one.precision) for one in records}
    assert judged == {"drift/bot": (2, 1, 1, 0.5), "drift/other": (1, 0, 1, 0.0)}
    assert actions.RuleRecord("x").precision is None


def test_a_mark_outlives_what_comes_after_it(watch):
    watch.take(finding(1))
    [incident] = watch.database.read(store.open_incidents)
    watch.write(lambda s: mark(s, incident.id, False, "ada", watch.clock.now()))
    watch.take(Verdict("drift/bot/1", Label.STEADY))
    after = watch.database.read(lambda session: store.incident(session, incident.id))
    assert (after.is_true, after.state) == (False, State.RESOLVED)


def deliver_all(session) -> None:
    for row in outbox_store.notifications(session, limit=1000):
        outbox_store.mark_sent(session, row.id, None, row.message.created_at)


def test_what_is_over_for_long_is_forgotten_and_what_goes_on_is_not(watch):
    watch.take(finding(1), finding(2, "other", Severity.TICKET))
    watch.passes(60)
    watch.take(Verdict("drift/bot/1", Label.STEADY))
    watch.passes(600)
    watch.write(deliver_all)
    before = watch.clock.now() + timedelta(days=1)
    watch.write(lambda s: outbox_store.forget(s, before))
    assert watch.write(lambda s: group_store.forget(s, before)) == 1
    assert watch.told() == [("slack", "firing", "FIRST")]
    assert len(watch.database.read(group_store.open_groups)) == 1


def test_a_rollback_is_told_even_when_the_incident_is_held(database, clock):
    rule = InhibitRule(matching(proof="down"), matching(prompt="1"))
    watch = Watch(database, clock, inhibitions=(rule,))
    watch.take(finding(1))
    down = Finding(Severity.PAGE, Source.PROOF, "down", {"proof": "down"})
    watch.take(Verdict("proof/bot", Label.BREACHED, down))
    [held, _] = database.read(store.open_incidents)
    watch.write(lambda s: tell_people(s, held, "deploy", "It was sent.", clock.now()))
    assert watch.told() == [("pager", "rollback_news", "")]
