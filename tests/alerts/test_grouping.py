"""When a group is told of, and why: a table of looks at it, and whole stories second by second."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Finding, Severity, Source
from alerts.grouping import Group, Member, Quiet, flush, what_holds
from alerts.incident import Incident, NoticeKind, State
from alerts.inhibition import Inhibitors, InhibitRule, matching
from alerts.matcher import parse_matcher
from alerts.message import Why
from alerts.routing import EscalationStep, Policy
from alerts.routing_config import MuteTimeConfig
from alerts.silence import Silence

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POLICY = Policy(receivers=("on-call",), group_wait_s=30, group_interval_s=300, repeat_interval_s=3600)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def incident(number: int, at_s: float = 0, severity: Severity = Severity.PAGE, **labels: str) -> Incident:
    finding = Finding(severity, Source.LEDGER, f"finding {number}", {"n": str(number), **labels})
    return Incident(
        f"i{number}", f"drift/{number}", State.FIRING, severity, finding, at(at_s), at(at_s), at(at_s)
    )


class Story:
    """One group; changes of its incidents are told to it, and it is looked at whenever it is due."""

    def __init__(self, policy: Policy = POLICY, quiet: Quiet | None = None) -> None:
        self.group = Group("g", "route", {}, policy, START, START)
        self.members: dict[str, Member] = {}
        self.quiet = quiet or Quiet()
        self.said: list[tuple[float, NoticeKind, Why]] = []
        self.texts: list[str] = []
        self.decided: list[Why] = []
        self.pages = 0

    def joins(self, at_s: float, *incidents: Incident) -> None:
        for one in incidents:
            self.members[one.id] = Member(one, at(at_s))
        self.look(at_s)

    def becomes(self, at_s: float, number: int, **changes) -> None:
        member = self.members[f"i{number}"]
        self.members[f"i{number}"] = replace(member, incident=replace(member.incident, **changes))
        self.look(at_s)

    def look(self, at_s: float) -> None:
        found = flush(self.group, tuple(self.members.values()), self.quiet, at(at_s))
        self.group = found.group
        self.members = {one.incident.id: one for one in found.members}
        self.said += [(at_s, one.kind, one.why) for one in found.notices]
        self.texts += [one.detail for one in found.notices]
        self.decided += [one.why for one in found.decisions]
        self.pages += found.is_page

    def until(self, at_s: float) -> None:
        """Look whenever it is due, up to then."""
        while self.group.due_at is not None and self.group.due_at <= at(at_s):
            self.look((self.group.due_at - START).total_seconds())


def test_a_group_waits_for_others_and_tells_them_all_at_once():
    story = Story()
    for second in range(30):
        story.joins(second, incident(second))
    story.until(60)
    assert story.said == [(30, NoticeKind.FIRING, Why.FIRST)]
    assert all(one.told is State.FIRING for one in story.members.values())
    assert story.pages == 1


def test_a_late_joiner_is_told_after_the_interval_and_is_no_second_page():
    story = Story()
    story.joins(0, incident(1))
    story.until(40)
    story.joins(60, incident(2))
    story.until(400)
    assert story.said == [(30, NoticeKind.FIRING, Why.FIRST), (330, NoticeKind.UPDATED, Why.NEW_IN_GROUP)]
    assert story.pages == 1


def test_the_end_of_some_is_an_update_and_the_end_of_the_last_closes():
    story = Story()
    story.joins(0, incident(1), incident(2))
    story.until(40)
    story.becomes(100, 1, state=State.RESOLVED, resolved_at=at(100))
    story.until(400)
    story.becomes(700, 2, state=State.RESOLVED, resolved_at=at(700))
    assert story.said[1:] == [
        (330, NoticeKind.UPDATED, Why.RESOLVED),
        (700, NoticeKind.RESOLVED, Why.ALL_RESOLVED),
    ]
    assert story.group.closed_at == at(700)
    assert story.group.due_at is None


def test_what_is_over_before_anybody_was_told_is_told_to_nobody():
    story = Story()
    story.joins(0, incident(1))
    story.becomes(10, 1, state=State.RESOLVED)
    assert story.said == []
    assert story.group.closed_at == at(10)
    assert Why.TOO_SHORT in story.decided


def test_what_gets_worse_than_all_that_people_know_waits_for_nothing():
    story = Story()
    story.joins(0, incident(1, severity=Severity.TICKET))
    story.until(40)
    story.joins(50, incident(2, severity=Severity.PAGE))
    assert story.said[-1] == (50, NoticeKind.ESCALATED, Why.WORSE)
    assert story.pages == 1


def test_what_nobody_acknowledges_is_repeated_after_the_interval():
    story = Story()
    story.joins(0, incident(1))
    story.until(30 + 3 * 3600)
    assert [why for _, _, why in story.said] == [Why.FIRST] + [Why.REPEAT] * 3
    assert story.said[1][0] == 30 + 3600


def test_an_acknowledgement_is_told_at_once_and_ends_repeats_and_escalation():
    policy = replace(POLICY, escalation=(EscalationStep(900, ("lead",)),))
    story = Story(policy)
    story.joins(0, incident(1))
    story.until(40)
    story.becomes(60, 1, state=State.ACKNOWLEDGED, acknowledged_by="ada")
    story.until(10_000)
    assert story.said[1:] == [(60, NoticeKind.ACKNOWLEDGED, Why.ACKNOWLEDGED)]
    assert story.texts[-1] == "Acknowledged by ada"


def test_each_step_of_escalation_tells_its_receivers_once():
    steps = (EscalationStep(900, ("lead",)), EscalationStep(1800, ("boss", "cto")))
    story = Story(replace(POLICY, escalation=steps, repeat_interval_s=None))
    story.joins(0, incident(1))
    story.until(20_000)
    assert story.said[1:] == [
        (930, NoticeKind.FIRING, Why.ESCALATED),
        (1830, NoticeKind.FIRING, Why.ESCALATED),
    ]
    assert story.group.steps == 2
    assert story.pages == 1


def test_a_new_one_after_an_acknowledgement_is_escalated_anew():
    story = Story(replace(POLICY, escalation=(EscalationStep(900, ("lead",)),), repeat_interval_s=None))
    story.joins(0, incident(1))
    story.until(40)
    story.becomes(60, 1, state=State.ACKNOWLEDGED, acknowledged_by="ada")
    story.joins(1000, incident(2))
    story.until(5000)
    assert [(at_s, why) for at_s, _, why in story.said[2:]] == [
        (1000, Why.NEW_IN_GROUP),
        (1900, Why.ESCALATED),
    ]


def silence(matcher: str, ends_s: float) -> Silence:
    return Silence("s1", (parse_matcher(matcher),), "ada", "deploying", START, at(ends_s), START)


def test_what_is_silenced_is_told_when_the_silence_ends_if_it_still_fires():
    story = Story(quiet=Quiet(silences=(silence("n=1", 1000),)))
    story.joins(0, incident(1))
    story.until(2000)
    assert story.said == [(1000, NoticeKind.FIRING, Why.FIRST)]
    assert story.decided[0] is Why.SILENCED


def test_what_ends_under_a_silence_is_never_told():
    story = Story(quiet=Quiet(silences=(silence("n=1", 1000),)))
    story.joins(0, incident(1))
    story.becomes(500, 1, state=State.RESOLVED)
    assert story.said == []
    assert story.group.closed_at is not None


def test_the_end_of_what_people_know_of_is_told_under_a_silence_too():
    story = Story()
    story.joins(0, incident(1))
    story.until(40)
    story.quiet = Quiet(silences=(silence("n=1", 10_000),))
    story.until(8000)
    story.becomes(9000, 1, state=State.RESOLVED)
    assert [why for _, _, why in story.said] == [Why.FIRST, Why.ALL_RESOLVED]


def test_a_silence_holds_back_some_of_a_group_and_not_the_others():
    story = Story(quiet=Quiet(silences=(silence("n=1", 1000),)))
    story.joins(0, incident(1), incident(2))
    story.until(1200)
    assert [(at_s, why) for at_s, _, why in story.said] == [(30, Why.FIRST), (1000, Why.NEW_IN_GROUP)]


def test_a_mute_time_of_the_route_holds_everything_until_it_ends():
    noon = MuteTimeConfig(times=["11:00-12:30"]).mute_time()
    story = Story(replace(POLICY, mute_times=("noon",)), Quiet(mute_times={"noon": noon}))
    story.joins(0, incident(1))
    story.until(4000)
    assert story.said[0] == (1800, NoticeKind.FIRING, Why.FIRST)
    assert story.decided[0] is Why.MUTED


def test_what_another_incident_explains_is_held_while_that_fires():
    down = incident(9, proof="down", target="bot")
    rule = InhibitRule(matching(proof="down"), matching(n="1"), equal=("target",))
    story = Story(quiet=Quiet(inhibitors=Inhibitors((rule,), (down,))))
    story.joins(0, incident(1, target="bot"))
    story.until(100)
    assert (story.said, story.decided[0]) == ([], Why.INHIBITED)
    story.quiet = Quiet(inhibitors=Inhibitors((rule,)))
    story.until(150)
    assert [why for _, _, why in story.said] == [Why.FIRST]


@pytest.mark.parametrize(("fires_s", "wait_s"), [(0, 30), (300, 30), (600, 60), (3000, 300), (900_000, 300)])
def test_what_is_inhibited_for_long_is_looked_at_less_often(fires_s, wait_s):
    down = incident(9, proof="down")
    known = Inhibitors([InhibitRule(matching(proof="down"), matching(n="1"))], [down])
    held = what_holds(incident(1), POLICY, Quiet(inhibitors=known), at(fires_s))
    assert held is not None
    assert held.until == at(fires_s + wait_s)


def test_what_fires_again_in_its_group_says_so():
    story = Story()
    story.joins(0, incident(1))
    story.until(40)
    story.becomes(400, 1, state=State.RESOLVED)
    story.group = replace(story.group, closed_at=None, waiting_since=at(500))
    story.becomes(500, 1, state=State.FIRING)
    story.until(600)
    assert [(at_s, kind, why) for at_s, kind, why in story.said[2:]] == [
        (530, NoticeKind.FIRING, Why.REOPENED)
    ]
    assert story.pages == 1


@pytest.mark.parametrize("jump_s", [-86_400, -3600, 86_400, 4e8])
def test_a_clock_that_jumps_loses_no_message(jump_s):
    story = Story()
    story.joins(jump_s, incident(1, jump_s))
    story.joins(0, incident(2))
    story.until(1000)
    told = {one.incident.id for one in story.members.values() if one.told is State.FIRING}
    assert told == {"i1", "i2"}


def test_a_group_that_waits_says_for_what():
    story = Story()
    story.joins(0, incident(1))
    assert story.decided == [Why.NOT_NOW]
    assert story.group.due_at == at(30)


def test_information_wakes_nobody():
    story = Story()
    story.joins(0, incident(1, severity=Severity.INFO))
    story.until(60)
    assert (story.said, story.pages) == ([(30, NoticeKind.FIRING, Why.FIRST)], 0)
