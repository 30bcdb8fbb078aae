"""What an incident lives through beyond firing and ending: acknowledged, reopened, without data, under any clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import (
    AlertRule,
    Incident,
    NoticeKind,
    OnNoData,
    Reason,
    State,
    Transition,
    acknowledge,
    step,
)

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KEY = "watch/chat-p95"


def breached(severity: Severity = Severity.PAGE) -> Verdict:
    return Verdict(KEY, Label.BREACHED, Finding(severity, Source.WATCH, "slow", {"service": "chat"}))


STEADY = Verdict(KEY, Label.STEADY)
NO_DATA = Verdict(KEY, Label.NO_DATA, note="3 calls", labels={"service": "chat"})


class Life:
    """One key under a rule; every look is at a number of seconds after the start."""

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.incident: Incident | None = None
        self.last: Incident | None = None
        self.transitions: list[Transition] = []

    def look(self, at_s: float, verdict: Verdict) -> Transition:
        earlier = 0 if self.last is None else 1
        found = step(self.incident, verdict, self.rule, START + timedelta(seconds=at_s), earlier, self.last)
        after = found.incident
        if after is None or not after.is_open:
            self.last = after or self.last
            self.incident = None
        else:
            self.incident = after
        self.transitions.append(found)
        return found

    def acknowledge(self, at_s: float, by: str = "ada") -> Transition:
        assert self.incident is not None
        found = acknowledge(self.incident, by, START + timedelta(seconds=at_s))
        self.incident = found.incident
        return found


def test_an_acknowledged_incident_says_by_whom_and_since_when():
    life = Life(AlertRule())
    life.look(0, breached())
    found = life.acknowledge(60)
    assert found.notifications == (NoticeKind.ACKNOWLEDGED,)
    assert found.incident is not None
    assert (found.incident.state, found.incident.acknowledged_by) == (State.ACKNOWLEDGED, "ada")
    assert found.incident.acknowledged_at == START + timedelta(seconds=60)


def test_it_stays_acknowledged_while_nothing_gets_worse_and_until_it_is_over():
    life = Life(AlertRule())
    life.look(0, breached())
    life.acknowledge(60)
    assert life.look(120, breached()).incident.state is State.ACKNOWLEDGED
    over = life.look(180, STEADY)
    assert (over.reason, over.incident.acknowledged_by) == (Reason.RESOLVED, "ada")


def test_a_rise_in_severity_takes_the_acknowledgement_back():
    life = Life(AlertRule())
    life.look(0, breached(Severity.TICKET))
    life.acknowledge(60)
    worse = life.look(120, breached(Severity.PAGE))
    assert (worse.incident.state, worse.incident.acknowledged_by) == (State.FIRING, "")
    assert worse.notifications == (NoticeKind.ESCALATED,)


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        ([(0, breached())], Reason.NOT_FIRING),
        ([(0, breached()), (60, breached())], Reason.ACKNOWLEDGED),
    ],
    ids=["pending", "firing"],
)
def test_only_what_fires_can_be_acknowledged(looks, reason):
    life = Life(AlertRule(for_s=60))
    for look in looks:
        life.look(*look)
    assert life.acknowledge(61).reason is reason


def test_the_first_who_acknowledges_stays_on_record():
    life = Life(AlertRule())
    life.look(0, breached())
    life.acknowledge(1, "ada")
    again = life.acknowledge(2, "bob")
    assert (again.reason, again.incident.acknowledged_by) == (Reason.ACKNOWLEDGED_BEFORE, "ada")


@pytest.mark.parametrize(
    ("gap_s", "is_same"), [(599, True), (600, False), (-3600, True)], ids=["soon", "late", "clock went back"]
)
def test_what_comes_back_within_the_window_is_the_same_incident(gap_s, is_same):
    life = Life(AlertRule(reopen_s=600))
    first = life.look(0, breached()).incident
    life.look(10, STEADY)
    again = life.look(10 + gap_s, breached())
    assert (again.incident.id == first.id) is is_same
    assert again.reason is (Reason.REOPENED if is_same else Reason.FIRED)
    assert again.incident.reopened == int(is_same)
    assert again.notifications == (NoticeKind.FIRING,)
    assert again.incident.resolved_at is None


def test_what_comes_back_waits_like_everything_else_and_keeps_its_end_when_it_passes():
    life = Life(AlertRule(for_s=60, reopen_s=600))
    for look in [(0, breached()), (60, breached()), (70, STEADY)]:
        life.look(*look)
    ended = life.last
    assert life.look(80, breached()).reason is Reason.WAITING
    passed = life.look(90, STEADY)
    assert passed.reason is Reason.PASSED
    assert (passed.incident.state, passed.incident.resolved_at) == (State.RESOLVED, ended.resolved_at)
    assert [life.look(at_s, breached()).reason for at_s in (100, 160)] == [Reason.WAITING, Reason.REOPENED]


def test_a_page_that_comes_back_is_one_page():
    life = Life(AlertRule(reopen_s=600))
    first = life.look(0, breached()).incident
    life.look(10, STEADY)
    assert life.look(20, breached()).incident.paged_at == first.paged_at


def test_no_data_is_noted_and_held_unless_the_rule_says_otherwise():
    life = Life(AlertRule())
    life.look(0, breached())
    held = life.look(60, NO_DATA)
    assert (held.reason, held.incident.state) == (Reason.NO_DATA, State.FIRING)
    assert held.incident.no_data_since == START + timedelta(seconds=60)
    assert life.look(120, NO_DATA).incident.no_data_since == START + timedelta(seconds=60)
    assert life.look(180, breached()).incident.no_data_since is None


def test_no_data_counts_as_steady_where_the_rule_says_so():
    life = Life(AlertRule(keep_firing_s=60, on_no_data=OnNoData.OK))
    life.look(0, breached())
    assert life.look(10, NO_DATA).reason is Reason.KEPT_FIRING
    over = life.look(70, NO_DATA)
    assert (over.reason, over.incident.state) == (Reason.NO_DATA_RESOLVED, State.RESOLVED)
    assert life.look(80, NO_DATA).incident is None


def test_no_data_is_an_incident_where_the_rule_says_so():
    life = Life(AlertRule(for_s=60, on_no_data=OnNoData.ALERT))
    assert life.look(0, NO_DATA).reason is Reason.WAITING
    found = life.look(60, NO_DATA)
    assert (found.reason, found.notifications) == (Reason.NO_DATA_ALERT, (NoticeKind.FIRING,))
    assert (found.incident.severity, found.incident.labels) == (Severity.TICKET, {"service": "chat"})
    assert "3 calls" in found.incident.finding.summary
    assert life.look(120, STEADY).reason is Reason.RESOLVED


def test_no_data_does_not_hide_what_fires_already():
    life = Life(AlertRule(on_no_data=OnNoData.ALERT))
    life.look(0, breached())
    held = life.look(60, NO_DATA)
    assert held.incident.finding == breached().finding
    assert held.notifications == ()


# --- a time without data, while it fires

SLOW = AlertRule(keep_firing_s=300)


def ends(life: Life, *looks: tuple[float, Verdict]) -> list[float]:
    """At which of these looks people hear that it is over."""
    return [at_s for at_s, verdict in looks if NoticeKind.RESOLVED in life.look(at_s, verdict).notifications]


def firing(rule: AlertRule) -> Life:
    life = Life(rule)
    life.look(0, breached())
    return life


@pytest.mark.parametrize(
    ("on_no_data", "ended_at"),
    [(OnNoData.HOLD, 1350), (OnNoData.ALERT, 1350), (OnNoData.OK, 400)],
    ids=["held", "alerted of", "counts as right"],
)
def test_a_time_without_data_is_none_in_which_it_was_right(on_no_data, ended_at):
    life = firing(replace(SLOW, on_no_data=on_no_data))
    looks = [(100, STEADY), (110, NO_DATA), (400, NO_DATA), (1060, STEADY), (1349, STEADY), (1350, STEADY)]
    assert ends(life, *looks) == [ended_at]


def test_a_silence_of_days_and_one_steady_look_end_nothing():
    life = firing(SLOW)
    assert ends(life, (60, STEADY), (120, NO_DATA), (3e5, NO_DATA), (3e5 + 60, STEADY)) == []
    again = life.look(3e5 + 180, breached())
    assert (again.reason, again.notifications) == (Reason.STILL_FIRING, ())


def test_what_is_right_between_silences_adds_up():
    life = firing(SLOW)
    looks = [(60 * n, (STEADY, NO_DATA)[n % 2]) for n in range(2, 20)]
    # Each steady look stands until the next look: 60 s of every 120 s.
    assert ends(life, *looks) == [720]


def test_a_silence_before_it_was_right_changes_nothing():
    assert ends(firing(SLOW), (60, NO_DATA), (120, STEADY), (419, STEADY), (420, STEADY)) == [420]


def test_what_seems_wrong_after_a_silence_starts_keep_firing_again():
    doubtful = replace(STEADY, is_doubtful=True)
    looks = [(60, STEADY), (120, NO_DATA), (180, doubtful), (240, STEADY), (539, STEADY), (540, STEADY)]
    assert ends(firing(SLOW), *looks) == [540]


@pytest.mark.parametrize("back_s", [1.0, 250.0, 1e6])
def test_a_clock_that_goes_back_in_a_silence_ends_nothing_early(back_s):
    life = firing(SLOW)
    looks = [(100, STEADY), (200, NO_DATA), (1000, NO_DATA), (1000 - back_s, STEADY)]
    assert ends(life, *looks, (1199 - back_s, STEADY)) == []
    assert ends(life, (1300 - back_s, STEADY)) == [1300 - back_s]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([0.0, 60.0, 300.0]),
    st.lists(st.tuples(st.integers(1, 400), st.sampled_from([STEADY, NO_DATA])), max_size=20),
)
def test_it_ends_when_the_looks_that_called_it_right_stood_for_long_enough(keep_s, steps):
    life, at_s, right_s, before = firing(AlertRule(keep_firing_s=keep_s)), 0, 0, None
    for gap_s, verdict in steps:
        at_s += gap_s
        right_s += gap_s if before is STEADY else 0
        before = verdict
        is_over = verdict is STEADY and right_s >= keep_s
        assert ends(life, (at_s, verdict)) == ([at_s] if is_over else [])
        if is_over:
            break


# --- any clock, any stream

VERDICTS = st.sampled_from(
    [STEADY, NO_DATA, breached(), breached(Severity.TICKET), Verdict(KEY, Label.STEADY, is_doubtful=True)]
)
TIMES = st.one_of(st.floats(0, 3600), st.floats(-4e8, 4e8))
RULES = st.builds(
    AlertRule,
    for_s=st.sampled_from([0.0, 60.0]),
    keep_firing_s=st.sampled_from([0.0, 60.0]),
    on_no_data=st.sampled_from(list(OnNoData)),
    reopen_s=st.sampled_from([0.0, 600.0]),
)


@settings(max_examples=150, deadline=None)
@given(RULES, st.lists(st.tuples(TIMES, VERDICTS, st.booleans()), max_size=25))
def test_whatever_the_clock_says_people_hear_of_a_start_before_an_end_and_of_both_once(rule, looks):
    life, told = Life(rule), []
    for at_s, verdict, sees in looks:
        transition = life.look(at_s, verdict)
        told += transition.notifications
        if sees and life.incident is not None:
            life.acknowledge(at_s)
        after = life.incident
        if after is not None:
            assert after.firing_since is None or after.is_firing
            assert (after.acknowledged_at is None) == (after.state is not State.ACKNOWLEDGED)
    changes = [kind for kind in told if kind is not NoticeKind.ESCALATED]
    assert changes == [NoticeKind.FIRING, NoticeKind.RESOLVED] * (len(changes) // 2) + [NoticeKind.FIRING] * (
        len(changes) % 2
    )


@settings(max_examples=100, deadline=None)
@given(RULES, st.lists(st.tuples(TIMES, VERDICTS), max_size=15))
def test_after_any_clock_a_steady_stretch_in_good_order_ends_what_fires(rule, looks):
    life = Life(rule)
    for at_s, verdict in looks:
        life.look(at_s, verdict)
    for at_s in (0, 61, 122, 183):
        life.look(at_s, STEADY)
    assert life.incident is None


@settings(max_examples=100, deadline=None)
@given(RULES, st.lists(st.tuples(TIMES, VERDICTS), max_size=15))
def test_after_any_clock_a_breach_in_good_order_fires(rule, looks):
    life = Life(rule)
    for at_s, verdict in looks:
        life.look(at_s, verdict)
    for at_s in (0, 61, 122):
        life.look(at_s, breached())
    assert life.incident is not None
    assert life.incident.is_firing
