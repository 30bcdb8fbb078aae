from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Severity
from alerts.rollback import (
    Action,
    Decision,
    Lock,
    Mode,
    PastRollback,
    RollbackReason,
    RollbackRequest,
    RollbackRule,
    decide,
    held_back,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LIVE = RollbackRule(mode=Mode.LIVE, cooldown_s=3600)
DRY = RollbackRule(mode=Mode.DRY_RUN, cooldown_s=3600)
ASK = RollbackRule(mode=Mode.ASK, cooldown_s=3600)
ASKED = RollbackRequest("deploys", "incident-2", Severity.PAGE)
DAY_S = 86_400


def past(
    ago_s: float, action: Action = Action.SEND, name: str = "deploys", incident: str = "incident-1"
) -> PastRollback:
    return PastRollback(name, incident, NOW - timedelta(seconds=ago_s), action, RollbackReason.ALLOWED)


@pytest.mark.parametrize(
    ("rule", "history", "action", "reason"),
    [
        (RollbackRule(), [], Action.DRY_RUN, RollbackReason.ALLOWED),
        (LIVE, [], Action.SEND, RollbackReason.ALLOWED),
        (LIVE, [past(3599)], Action.SUPPRESSED, RollbackReason.COOLDOWN),
        (LIVE, [past(3600)], Action.SEND, RollbackReason.ALLOWED),
        (LIVE, [past(-10)], Action.SUPPRESSED, RollbackReason.COOLDOWN),
        (LIVE, [past(9000), past(10), past(5000)], Action.SUPPRESSED, RollbackReason.COOLDOWN),
        (LIVE, [past(10, name="other")], Action.SEND, RollbackReason.ALLOWED),
        (LIVE, [past(10, Action.DRY_RUN)], Action.SEND, RollbackReason.ALLOWED),
        (LIVE, [past(10, Action.SUPPRESSED)], Action.SEND, RollbackReason.ALLOWED),
        (ASK, [], Action.ASK, RollbackReason.MUST_BE_APPROVED),
        (ASK, [past(10, Action.ASK)], Action.SUPPRESSED, RollbackReason.OTHER_QUESTION),
        (LIVE, [past(10, Action.ASK)], Action.SEND, RollbackReason.ALLOWED),
        (ASK, [past(10)], Action.SUPPRESSED, RollbackReason.COOLDOWN),
        (LIVE, [past(days * DAY_S - 1) for days in (1, 3, 7)], Action.SUPPRESSED, RollbackReason.USED_UP),
        (LIVE, [past(days * DAY_S) for days in (1, 3, 7)], Action.SEND, RollbackReason.ALLOWED),
        (DRY, [past(10, Action.DRY_RUN)], Action.SUPPRESSED, RollbackReason.COOLDOWN),
        (LIVE, [past(9000, incident="incident-2")], Action.SUPPRESSED, RollbackReason.ONCE_PER_INCIDENT),
        (
            LIVE,
            [past(9000, Action.SUPPRESSED, incident="incident-2")],
            Action.SUPPRESSED,
            RollbackReason.ONCE_PER_INCIDENT,
        ),
    ],
    ids=[
        "dry run is the default",
        "live",
        "one second before the cooldown ends",
        "the cooldown is over",
        "the clock went back",
        "the latest one counts",
        "another rollback has its own cooldown",
        "a dry run does not hold a live one back",
        "a suppressed one has no cooldown",
        "a person is asked",
        "one question at a time",
        "a question does not hold a live one back",
        "who asks has a cooldown too",
        "the third of a week is not yet a week ago",
        "the third of a week is a week ago",
        "a dry run holds a dry run back",
        "once in an incident",
        "a suppressed one stays so",
    ],
)
def test_the_guard(rule, history, action, reason):
    decision = decide(ASKED, history, rule, NOW)
    assert (decision.action, decision.reason) == (action, reason)


@pytest.mark.parametrize("severity", [Severity.INFO, Severity.TICKET])
def test_nothing_below_a_page_rolls_back_nor_settles_the_incident(severity):
    decision = decide(RollbackRequest("deploys", "incident-2", severity), [], LIVE, NOW)
    assert decision == Decision(Action.SUPPRESSED, RollbackReason.BELOW_PAGE)
    assert not decision.settles_incident


def test_a_cooldown_says_when_it_ends():
    assert decide(ASKED, [past(600)], LIVE, NOW).not_before == NOW + timedelta(seconds=3000)


def test_what_was_used_up_is_free_again_when_the_week_of_the_first_is_over():
    history = [past(days * DAY_S) for days in (1, 3, 6)]
    assert decide(ASKED, history, LIVE, NOW).not_before == NOW + timedelta(days=1)


def test_a_lock_holds_everything_back_and_says_whose_it_is():
    lock = Lock("deploys", "ada", NOW, "freeze")
    for rule in (DRY, ASK, LIVE):
        found = decide(ASKED, [], rule, NOW, lock)
        assert (found.action, found.reason, found.lock) == (
            Action.SUPPRESSED,
            RollbackReason.LOCKED,
            lock,
        )
        assert found.settles_incident
    assert held_back(found) == "it is locked by ada since 2026-03-02 12:00 UTC: freeze"


def test_a_question_that_was_withdrawn_may_be_put_again():
    withdrawn = replace(past(60, Action.SUPPRESSED, incident="incident-2"), reason=RollbackReason.WITHDRAWN)
    assert decide(ASKED, [withdrawn], ASK, NOW).action is Action.ASK
