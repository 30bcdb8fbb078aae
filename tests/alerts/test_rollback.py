from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Severity
from alerts.rollback import (
    Action,
    Decision,
    Mode,
    PastRollback,
    RollbackReason,
    RollbackRequest,
    RollbackRule,
    decide,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LIVE = RollbackRule(mode=Mode.LIVE, cooldown_s=3600)
DRY = RollbackRule(mode=Mode.DRY_RUN, cooldown_s=3600)
ASKED = RollbackRequest("deploys", "incident-2", Severity.PAGE)


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
