from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Incident, NoticeKind, Reason, State, Transition, step

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KEY = "drift/support-bot"
AT_ONCE = AlertRule()
SLOW = AlertRule(for_s=60, keep_firing_s=300)


def breached(severity: Severity = Severity.PAGE, summary: str = "support-bot answers differently") -> Verdict:
    return Verdict(KEY, Label.BREACHED, Finding(severity, Source.LEDGER, summary, {"target": "support-bot"}))


STEADY = Verdict(KEY, Label.STEADY)
NO_DATA = Verdict(KEY, Label.NO_DATA)
DOUBTFUL = Verdict(KEY, Label.STEADY, is_doubtful=True)
PASSING = replace(breached(), is_passing=True)


def life(rule: AlertRule, *looks: tuple[float, Verdict]) -> list[Transition]:
    """The transitions of one key under verdicts at these seconds after the start."""
    incident: Incident | None = None
    transitions = []
    for at_s, verdict in looks:
        if incident is not None and not incident.is_open:
            incident = None
        transition = step(incident, verdict, rule, START + timedelta(seconds=at_s))
        incident = transition.incident
        transitions.append(transition)
    return transitions


def reasons(transitions: list[Transition]) -> list[Reason]:
    return [transition.reason for transition in transitions]


def told(transitions: list[Transition]) -> list[NoticeKind]:
    return [kind for transition in transitions for kind in transition.notifications]


@pytest.mark.parametrize(
    ("rule", "looks", "expected"),
    [
        (AT_ONCE, [(0, STEADY)], [Reason.NOTHING_WRONG]),
        (AT_ONCE, [(0, NO_DATA)], [Reason.NO_DATA]),
        (AT_ONCE, [(0, breached())], [Reason.FIRED]),
        (AT_ONCE, [(0, DOUBTFUL)], [Reason.NOTHING_WRONG]),
        (AT_ONCE, [(0, breached()), (1, DOUBTFUL)], [Reason.FIRED, Reason.DOUBTFUL]),
        (AT_ONCE, [(0, PASSING), (1, breached())], [Reason.PASSING, Reason.FIRED]),
        (AT_ONCE, [(0, breached()), (1, PASSING)], [Reason.FIRED, Reason.STILL_FIRING]),
        (
            SLOW,
            [(0, breached()), (59, DOUBTFUL), (60, breached())],
            [Reason.WAITING, Reason.DOUBTFUL, Reason.FIRED],
        ),
        (
            SLOW,
            [(0, breached()), (60, breached()), (100, STEADY), (399, DOUBTFUL), (400, STEADY), (699, STEADY)],
            [Reason.WAITING, Reason.FIRED, Reason.KEPT_FIRING, Reason.DOUBTFUL, *[Reason.KEPT_FIRING] * 2],
        ),
        (AT_ONCE, [(0, breached()), (1, breached())], [Reason.FIRED, Reason.STILL_FIRING]),
        (AT_ONCE, [(0, breached()), (1, STEADY)], [Reason.FIRED, Reason.RESOLVED]),
        (SLOW, [(0, breached()), (59, breached())], [Reason.WAITING, Reason.WAITING]),
        (SLOW, [(0, breached()), (60, breached())], [Reason.WAITING, Reason.FIRED]),
        (SLOW, [(0, breached()), (59, STEADY)], [Reason.WAITING, Reason.PASSED]),
        (
            SLOW,
            [(0, breached()), (30, STEADY), (60, breached())],
            [Reason.WAITING, Reason.PASSED, Reason.WAITING],
        ),
        (
            SLOW,
            [(0, breached()), (30, NO_DATA), (60, breached())],
            [Reason.WAITING, Reason.NO_DATA, Reason.FIRED],
        ),
        (
            SLOW,
            [(0, breached()), (60, breached()), (100, STEADY), (399, STEADY), (400, STEADY)],
            [Reason.WAITING, Reason.FIRED, Reason.KEPT_FIRING, Reason.KEPT_FIRING, Reason.RESOLVED],
        ),
        (
            SLOW,
            [(0, breached()), (60, breached()), (100, STEADY), (200, breached()), (400, STEADY)],
            [Reason.WAITING, Reason.FIRED, Reason.KEPT_FIRING, Reason.STILL_FIRING, Reason.KEPT_FIRING],
        ),
        (
            AT_ONCE,
            [(0, breached()), (1, NO_DATA), (9999, NO_DATA)],
            [Reason.FIRED, Reason.NO_DATA, Reason.NO_DATA],
        ),
    ],
    ids=[
        "steady without an incident",
        "no data without an incident",
        "fires at once without a wait",
        "doubt opens nothing",
        "doubt ends nothing",
        "what is passing opens nothing",
        "nor does it end anything",
        "doubt holds a pending incident",
        "doubt starts keep firing again",
        "a second breach is no second firing",
        "resolves at once without a wait",
        "one second before the wait is over",
        "the wait is over",
        "passes before it fires",
        "a pass starts the wait again",
        "no data holds a pending incident",
        "both edges of keep firing",
        "a breach starts keep firing again",
        "no data never resolves",
    ],
)
def test_each_verdict_has_its_reason(rule, looks, expected):
    assert reasons(life(rule, *looks)) == expected


def test_people_hear_of_the_start_and_the_end_and_of_nothing_in_between():
    transitions = life(
        SLOW, (0, breached()), (60, breached()), (90, breached()), (95, NO_DATA), (100, STEADY), (400, STEADY)
    )
    assert told(transitions) == [NoticeKind.FIRING, NoticeKind.RESOLVED]


def test_a_pending_incident_that_passes_leaves_nothing():
    passed = life(SLOW, (0, breached()), (30, STEADY))[-1]
    assert (passed.incident, passed.notifications) == (None, ())


def test_a_firing_incident_takes_over_the_latest_evidence_quietly():
    later = life(AT_ONCE, (0, breached()), (60, breached(summary="it got clearer")))[-1]
    assert later.incident is not None
    assert (later.incident.finding.summary, later.notifications) == ("it got clearer", ())


def test_a_rise_in_severity_is_told_again_and_pages():
    first, second, third = life(
        AT_ONCE, (0, breached(Severity.TICKET)), (60, breached(Severity.PAGE)), (120, breached(Severity.PAGE))
    )
    assert told([first, second, third]) == [NoticeKind.FIRING, NoticeKind.ESCALATED]
    assert [first.is_page, second.is_page, third.is_page] == [False, True, False]
    assert second.incident is not None
    assert second.incident.paged_at == START + timedelta(seconds=60)
    assert third.reason is Reason.STILL_FIRING


def test_severity_never_falls_while_the_incident_is_open():
    transition = life(AT_ONCE, (0, breached(Severity.PAGE)), (60, breached(Severity.TICKET)))[-1]
    assert transition.incident is not None
    assert (transition.incident.severity, transition.incident.finding.severity) == (
        Severity.PAGE,
        Severity.TICKET,
    )


def test_a_rise_while_pending_waits_like_the_rest():
    waiting, fired = life(SLOW, (0, breached(Severity.TICKET)), (60, breached(Severity.PAGE)))
    assert (waiting.is_page, fired.is_page, told([waiting, fired])) == (False, True, [NoticeKind.FIRING])


def test_information_is_on_record_and_told_to_nobody():
    transitions = life(AT_ONCE, (0, breached(Severity.INFO)), (60, STEADY))
    assert told(transitions) == []
    assert [t.incident and t.incident.state for t in transitions] == [State.FIRING, State.RESOLVED]


def test_information_that_gets_worse_is_news_and_not_an_escalation():
    worse = life(AT_ONCE, (0, breached(Severity.INFO)), (60, breached(Severity.TICKET)))[-1]
    assert (worse.reason, worse.notifications) == (Reason.ESCALATED, (NoticeKind.FIRING,))


@pytest.mark.parametrize("back_s", [1, 3600, 400 * 86400])
def test_a_clock_that_goes_back_fires_nothing_early(back_s):
    transitions = life(SLOW, (0, breached()), (-back_s, breached()), (59 - back_s, breached()))
    assert told(transitions) == []


def test_a_clock_that_ran_ahead_does_not_hold_a_page_back_for_ever():
    transitions = life(SLOW, (1e7, breached()), (0, breached()), (60, breached()))
    assert reasons(transitions) == [Reason.WAITING, Reason.WAITING, Reason.FIRED]


def test_a_clock_that_goes_back_resolves_nothing_early():
    fired = (0, breached()), (60, breached())
    transitions = life(SLOW, *fired, (1000, STEADY), (100, STEADY), (399, STEADY), (400, STEADY))
    assert reasons(transitions)[2:] == [Reason.KEPT_FIRING] * 3 + [Reason.RESOLVED]


def test_the_same_facts_give_the_same_incident():
    assert life(SLOW, (0, breached())) == life(SLOW, (0, breached()))


def test_two_incidents_of_one_key_at_one_moment_are_told_apart():
    first = step(None, breached(), AT_ONCE, START, earlier=0).incident
    second = step(None, breached(), AT_ONCE, START, earlier=1).incident
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert replace(first, id=second.id) == second


@pytest.mark.parametrize("label", [Label.STEADY, Label.NO_DATA])
def test_a_finding_goes_with_a_breach_only(label):
    with pytest.raises(ValueError, match="finding"):
        Verdict(KEY, label, breached().finding)
    with pytest.raises(ValueError, match="finding"):
        Verdict(KEY, Label.BREACHED)
