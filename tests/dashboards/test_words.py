"""The headline and the sentences of the page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Severity
from dashboards.view import (
    DeliveryState,
    DeploymentStatus,
    IncidentState,
    IncidentStatus,
    NotificationStatus,
    OutboxStatus,
    RollbackMode,
    RollbackState,
    RollbackStatus,
    TargetState,
    WatchState,
    WatchStatus,
)
from dashboards.words import Tone, ago, done_about, headline, quantity, span

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def incident(state: IncidentState, severity: Severity = Severity.PAGE, name: str = "bot") -> IncidentStatus:
    return IncidentStatus(
        id=f"i-{name}",
        key=f"drift/{name}",
        severity=severity,
        state=state,
        summary=f"{name} answers differently.",
        started_at=NOW - timedelta(minutes=30),
        subject=name,
    )


FIRING, ACKNOWLEDGED = IncidentState.FIRING, IncidentState.ACKNOWLEDGED
PENDING, RESOLVED = IncidentState.PENDING, IncidentState.RESOLVED


@pytest.mark.parametrize(
    ("incidents", "tone", "text"),
    [
        pytest.param([], Tone.CALM, "Everything is at anchor.", id="nothing-wrong"),
        pytest.param([incident(RESOLVED)], Tone.CALM, "Everything is at anchor.", id="all-over"),
        pytest.param([incident(FIRING)], Tone.ALARM, "Not at anchor: 1 page is firing.", id="a-page"),
        pytest.param(
            [incident(FIRING), incident(FIRING, name="two"), incident(PENDING, name="three")],
            Tone.ALARM,
            "Not at anchor: 2 pages are firing.",
            id="two-pages-outrank-a-pending-one",
        ),
        pytest.param([incident(FIRING, Severity.TICKET)], Tone.CAUTION, "1 ticket is open.", id="a-ticket"),
        pytest.param(
            [incident(ACKNOWLEDGED)],
            Tone.CAUTION,
            "1 incident is acknowledged and not over.",
            id="acknowledged-is-not-over",
        ),
        pytest.param([incident(PENDING)], Tone.CAUTION, "1 finding is being confirmed.", id="pending"),
    ],
)
def test_the_headline_is_the_worst_open_incident(
    quiet: DeploymentStatus, incidents: list[IncidentStatus], tone: Tone, text: str
) -> None:
    said = headline(replace(quiet, incidents=tuple(incidents)))
    assert (said.tone, said.text) == (tone, text)


def test_one_firing_page_is_told_in_its_own_words(quiet: DeploymentStatus) -> None:
    assert headline(replace(quiet, incidents=(incident(FIRING),))).detail == "bot answers differently."


@pytest.mark.parametrize(
    ("state", "count", "text"),
    [
        (TargetState.DOWN, 1, "1 target does not answer."),
        (TargetState.DOWN, 2, "2 targets do not answer."),
        (TargetState.REFUSED, 1, "1 target is not compared: it is not what its baseline was made of."),
        (
            TargetState.REFUSED,
            2,
            "2 targets are not compared: they are not what their baselines were made of.",
        ),
    ],
)
def test_a_target_that_is_not_compared_is_never_called_at_anchor(
    quiet: DeploymentStatus, state: TargetState, count: int, text: str
) -> None:
    [steady] = quiet.targets
    status = replace(quiet, targets=tuple(replace(steady, name=f"t{i}", state=state) for i in range(count)))
    said = headline(status)
    assert (said.tone, said.text) == (Tone.CAUTION, text)


def test_messages_that_fail_are_told_even_when_all_else_is_well(quiet: DeploymentStatus) -> None:
    said = headline(replace(quiet, outbox=OutboxStatus(failed=2)))
    assert (said.tone, said.text) == (Tone.CAUTION, "2 messages could not be delivered.")


def test_a_problem_of_the_watch_itself_is_told(quiet: DeploymentStatus) -> None:
    said = headline(replace(quiet, problems=("3 runs were missed.",)))
    assert (said.tone, said.detail) == (Tone.CAUTION, "3 runs were missed.")


def test_a_deployment_that_only_collects_claims_nothing(quiet: DeploymentStatus) -> None:
    [steady] = quiet.targets
    collecting = replace(steady, name="new", state=TargetState.COLLECTING, runs_collected=40, runs_needed=168)
    alone = headline(replace(quiet, targets=(collecting,)))
    assert (alone.tone, alone.detail) == (Tone.LEARNING, "40 of 168 baseline runs are in: new")
    beside = headline(replace(quiet, targets=(steady, collecting)))
    assert beside.text == "1 target is at anchor, 1 still learning."


def test_nothing_under_watch_is_not_called_at_anchor(quiet: DeploymentStatus) -> None:
    said = headline(replace(quiet, targets=()))
    assert (said.tone, said.text) == (Tone.LEARNING, "Nothing is under watch yet.")


def test_silence_is_told_apart_from_health(quiet: DeploymentStatus) -> None:
    silent = WatchStatus("p95", WatchState.NO_DATA, 4.0, "s")
    assert "1 watch sees no traffic" in headline(replace(quiet, watches=(silent,))).detail


@pytest.mark.parametrize("state", [WatchState.PENDING, WatchState.FIRING])
def test_a_watch_beyond_its_threshold_is_never_called_at_anchor(
    quiet: DeploymentStatus, state: WatchState
) -> None:
    said = headline(replace(quiet, watches=(WatchStatus("p95", state, 4.0, "s", 5.0, 100),)))
    assert (said.tone, said.text) == (Tone.CAUTION, "1 watch is beyond the threshold.")


def test_watches_that_saw_nothing_claim_nothing(quiet: DeploymentStatus) -> None:
    silent = WatchStatus("p95", WatchState.NO_DATA, 4.0, "s")
    said = headline(replace(quiet, targets=(), watches=(silent,)))
    assert (said.tone, said.text) == (Tone.LEARNING, "No traffic to watch yet.")


SENT = NotificationStatus("oncall", DeliveryState.SENT, NOW - timedelta(minutes=3), attempts=1)


@pytest.mark.parametrize(
    ("notification", "sentence"),
    [
        pytest.param(SENT, "oncall was told 3 min ago.", id="sent"),
        pytest.param(replace(SENT, attempts=3), "oncall was told 3 min ago after 3 tries.", id="sent-late"),
        pytest.param(
            NotificationStatus("oncall", DeliveryState.WAITING),
            "A message to oncall is waiting.",
            id="waiting",
        ),
        pytest.param(
            NotificationStatus("oncall", DeliveryState.FAILED, attempts=5, error="channel_not_found"),
            "oncall could not be told after 5 tries: channel_not_found",
            id="failed-with-its-reason",
        ),
        pytest.param(
            NotificationStatus("oncall", DeliveryState.FAILED),
            "oncall could not be told.",
            id="failed-without-a-reason",
        ),
    ],
)
def test_who_was_told_is_a_sentence(notification: NotificationStatus, sentence: str) -> None:
    assert done_about(replace(incident(FIRING), notifications=(notification,)), (), NOW) == (sentence,)


def test_only_the_rollback_of_this_incident_is_told_and_a_rehearsal_is_called_one() -> None:
    def rolled(name: str, of: str) -> RollbackStatus:
        return RollbackStatus(name, RollbackMode.DRY_RUN, RollbackState.REHEARSED, NOW, incident_id=of)

    done = done_about(incident(FIRING), (rolled("revert", "i-bot"), rolled("other", "i-else")), NOW)
    assert done == ("Rollback revert was rehearsed only (dry run) just now.",)


def test_an_incident_that_nobody_hears_of_says_so() -> None:
    assert done_about(incident(FIRING), (), NOW) == ("Nobody is to be told: no receiver is named for it.",)
    assert done_about(incident(PENDING), (), NOW) == ("Nobody is told before it is confirmed.",)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86_400, "1 day"),
        (200_000, "2 days"),
    ],
)
def test_a_span_is_said_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(90, "1 min ago"), (0.4, "just now"), (-7200, "in 2 h")])
def test_a_moment_is_said_from_now(seconds: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "no data"),
        (0.0, "s", "0 ms"),
        (0.482, "s", "482 ms"),
        (4.62, "s", "4.62 s"),
        (0.0041, "share", "0.41%"),
        (0.00214, "USD", "$0.00214"),
        (1234.0, "tokens", "1,234 tokens"),
        (160_000.0, "tokens", "160,000 tokens"),
        (12_345.67, "USD", "$12,345.67"),
        (12.0, "", "12"),
    ],
)
def test_a_value_is_said_with_its_unit(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text
