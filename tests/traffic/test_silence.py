"""What is said of services that are quiet, of requests that are refused, and of spans that lost something."""

from collections.abc import Mapping

import numpy as np
import pytest

from dashboards.view import Hearing
from monitor.traffic.silence.active_minutes import ALL, SERVICES_MAX, ActiveMinutes
from monitor.traffic.silence.ingest_counts import Arrived, IngestCounts, Loss
from monitor.traffic.silence.judging import (
    RETIRED_S,
    Extent,
    Heard,
    Listening,
    expect,
    hear,
    hear_all,
    judge_intake,
    judge_losses,
)
from monitor.traffic.silence.rhythm import HISTORY_S, LIMIT_MIN, learn
from monitor.traffic.windows.series import MINUTE_S

NOON = 1_772_452_800
LONG_SINCE = Listening(NOON - 86_400.0)


def busy_until(end: int, service: str = "shop", share: float = 1.0) -> ActiveMinutes:
    """A service with a call in each minute up to ``end``, or in a share of them."""
    minutes = ActiveMinutes(end)
    chance = np.random.default_rng(1)
    every = range(minutes.origin, end, MINUTE_S)
    minutes.mark((minute, service) for minute in every if share == 1 or chance.random() < share)
    return minutes


def heard(after_s: float, listening: Listening = LONG_SINCE, share: float = 1.0) -> Heard:
    """What is said of the service so long after its last call."""
    minutes = busy_until(NOON, share=share)
    last = minutes.last("shop")
    assert last is not None
    rhythm = learn(minutes.of("shop"), minutes.origin)
    return hear("shop", minutes, rhythm, listening, last + MINUTE_S + after_s)


@pytest.mark.parametrize(
    ("after_s", "hearing"),
    [
        (0, Hearing.HEARD),
        (LIMIT_MIN * 60 - 1, Hearing.HEARD),
        (LIMIT_MIN * 60, Hearing.SILENT),
        (RETIRED_S - 1, Hearing.SILENT),
        (RETIRED_S, Hearing.RETIRED),
    ],
    ids=["calls", "short of ten minutes", "ten minutes", "short of three days", "three days"],
)
def test_a_busy_service_is_silent_after_ten_minutes_and_gone_after_three_days(
    after_s: float, hearing: Hearing
) -> None:
    assert heard(after_s).hearing is hearing


def test_a_rarer_service_has_more_time() -> None:
    assert heard(1_800, share=0.3).hearing is Hearing.HEARD
    silent = heard(7_200, share=0.3)
    assert silent.hearing is Hearing.SILENT
    assert silent.reason.startswith("shop is silent: no call for 2 h, and by the usual rhythm ")
    assert dict(silent.evidence)["quiet for"] == "2 h"


def test_what_nobody_listened_to_is_not_silence_yet() -> None:
    assert heard(900, Listening(NOON + 400.0)).hearing is Hearing.HELD
    assert heard(900, Listening(NOON - 60.0)).hearing is Hearing.SILENT
    assert heard(200, Listening(NOON + 100.0)).hearing is Hearing.HEARD


def test_calls_that_are_known_to_come_late_are_waited_for() -> None:
    late = Listening(NOON - 86_400.0, lag_s=600.0)
    assert heard(LIMIT_MIN * 60 + 599, late).hearing is Hearing.HEARD
    assert heard(LIMIT_MIN * 60 + 660, late).hearing is Hearing.SILENT


def test_a_service_without_a_rhythm_is_not_judged_and_it_is_said_why() -> None:
    minutes = ActiveMinutes(NOON)
    minutes.mark((NOON - number * MINUTE_S, "new") for number in range(1_000))
    said = hear("new", minutes, learn(minutes.of("new"), minutes.origin), LONG_SINCE, NOON + 86_400.0)
    assert said.hearing is Hearing.NOT_JUDGED
    assert said.reason == "new is not judged: it is known for 0 days, and 14 are needed"


@pytest.mark.parametrize(
    ("after_s", "since", "hearing"),
    [
        (600, NOON - 86_400.0, Hearing.HEARD),
        (601, NOON - 86_400.0, Hearing.SILENT),
        (601, NOON + 100.0, Hearing.HELD),
        (30 * 86_400, NOON - 86_400.0, Hearing.SILENT),
    ],
    ids=["within", "beyond", "nobody listened for so long", "it is never gone for good"],
)
def test_what_the_operator_expects_counts_instead_of_a_rhythm(
    after_s: float, since: float, hearing: Hearing
) -> None:
    minutes = busy_until(NOON)
    assert expect("shop", 600.0, minutes, Listening(since), NOON + after_s).hearing is hearing


def test_a_service_that_is_expected_and_never_came_is_silent() -> None:
    said = expect("never", 600.0, ActiveMinutes(NOON), Listening(NOON), NOON + 700.0)
    assert said.hearing is Hearing.SILENT
    assert said.reason == "never is silent: no call for 11 min, at least one is expected within 10 min"


def quiet(service: str, hearing: Hearing, quiet_s: float) -> Heard:
    return Heard(service, hearing, f"{service} is {hearing}", quiet_s)


@pytest.mark.parametrize(
    ("total", "service", "is_all"),
    [
        (quiet(ALL, Hearing.HEARD, 900.0), quiet("shop", Hearing.SILENT, 900.0), True),
        (quiet(ALL, Hearing.NOT_JUDGED, 900.0), quiet("shop", Hearing.SILENT, 900.0), True),
        (quiet(ALL, Hearing.HEARD, 780.0), quiet("shop", Hearing.SILENT, 900.0), True),
        (quiet(ALL, Hearing.HEARD, 720.0), quiet("shop", Hearing.SILENT, 900.0), False),
        (quiet(ALL, Hearing.HEARD, 900.0), quiet("shop", Hearing.HEARD, 900.0), False),
        (quiet(ALL, Hearing.HELD, 900.0), quiet("shop", Hearing.SILENT, 900.0), False),
    ],
    ids=[
        "nobody since",
        "no rhythm of all",
        "they stopped together",
        "others called since",
        "nobody is silent",
        "nobody listened",
    ],
)
def test_when_one_is_silent_and_nobody_else_calls_there_is_no_traffic(
    total: Heard, service: Heard, is_all: bool
) -> None:
    assert (hear_all(total, [service]).hearing is Hearing.SILENT) is is_all


@pytest.mark.parametrize(
    ("minutes", "extent"),
    [
        ([{}] * 5, Extent.UNKNOWN),
        ([{404: 9, 405: 9}] * 5, Extent.UNKNOWN),
        ([{200: 50}] * 5, Extent.NONE),
        ([{200: 50, 429: 2}] * 5, Extent.NONE),
        ([{200: 8, 401: 1}] * 5, Extent.PARTLY),
        ([{200: 1, 503: 1}] * 5, Extent.BROKEN),
        ([{200: 1, 401: 90}] * 5, Extent.PARTLY),
        ([{401: 1}] * 4, Extent.NONE),
        ([{401: 1}] * 5, Extent.BROKEN),
        ([{}, {}, {}, {429: 40}, {429: 40, 200: 5}], Extent.NONE),
    ],
    ids=[
        "nobody sends",
        "what is no trace",
        "all get in",
        "a few are put off",
        "one of nine",
        "half, by us",
        "most, by faults of senders",
        "too few",
        "all",
        "a burst",
    ],
)
def test_ingest_is_broken_when_nobody_gets_in_or_we_refuse_half_of_it_for_minutes(
    minutes: list[Mapping[int, int]], extent: Extent
) -> None:
    assert judge_intake(minutes, 300.0).extent is extent


def test_refusals_are_told_by_reason_the_most_frequent_first() -> None:
    said = judge_intake([{200: 1, 401: 4, 503: 9}] * 5, 300.0)
    assert said.reason == (
        "Most traces do not get in: 65 of 70 export requests of the last 5 min were refused. 45 could not be stored, "
        "or arrived too slowly (503), 20 did not show the token (401)"
    )
    assert said.evidence == (("answered by 503", "45"), ("answered by 401", "20"))


def losing(spans: int, **lost: int) -> IngestCounts:
    counts = IngestCounts()
    counts.add(
        Arrived({"shop": spans}, {("shop", Loss[name.upper()]): count for name, count in lost.items()})
    )
    return counts


@pytest.mark.parametrize(
    ("counts", "is_found"),
    [
        (losing(1_000), False),
        (losing(500, attributes=9), False),
        (losing(1_000, attributes=10), True),
        (losing(1_001, attributes=10), False),
        (losing(10, future=10), True),
    ],
    ids=["none", "too few", "one in a hundred", "less", "all are refused"],
)
def test_losses_are_found_from_a_share_and_a_number_on(counts: IngestCounts, is_found: bool) -> None:
    (said,) = judge_losses(counts)
    assert bool(said.reason) is is_found


def test_dropped_attributes_are_told_with_what_they_may_hide() -> None:
    (said,) = judge_losses(losing(200, attributes=50, events=20))
    assert said.share == 0.25
    assert said.reason.startswith("shop loses parts of its traces: of 200 spans 50 attributes dropped")
    assert "tokens may be among them" in said.reason
    assert said.evidence == (("attributes", "50 spans"), ("events", "20 spans"))


def test_the_record_of_minutes_moves_on_and_forgets_who_has_not_called_since() -> None:
    minutes = busy_until(NOON, "gone")
    minutes.mark([(NOON, "here")])
    later = NOON + HISTORY_S
    minutes.advance(later)
    assert minutes.services == ["here"]
    assert minutes.last("here") == NOON
    assert minutes.last("gone") is None
    minutes.mark([(later, "here"), (later + 10**7, "here"), (0, "here")])
    assert minutes.last("here") == later


def test_a_minute_whose_only_call_was_taken_back_is_no_minute_with_calls() -> None:
    minutes = ActiveMinutes(NOON)
    minutes.renew(NOON - 300, NOON, [(NOON - 300, "shop"), (NOON - 60, "shop"), (NOON, "shop")])
    minutes.renew(NOON - 120, NOON, [(NOON - 120, "shop")])
    assert minutes.last("shop") == minutes.last(ALL) == NOON - 120
    assert minutes.of("shop").sum() == minutes.of(ALL).sum() == 2


def test_minutes_are_renewed_from_and_to_any_minute() -> None:
    minutes, all_of_them = ActiveMinutes(NOON), range(NOON - 1_800, NOON + 60, 60)
    for first, last in ((NOON - 60 * a, NOON - 60 * b) for a in range(25) for b in range(a)):
        minutes.renew(NOON - 1_800, NOON, [(minute, "shop") for minute in all_of_them])
        minutes.renew(first, last, [])
        found = np.flatnonzero(minutes.of("shop")) * 60 + minutes.origin
        assert found.tolist() == [minute for minute in all_of_them if not first <= minute <= last]
        assert minutes.last("shop") == found[-1]


def test_services_beyond_the_bound_count_as_traffic_only() -> None:
    minutes = ActiveMinutes(NOON)
    minutes.mark((NOON - 60, f"service-{number}") for number in range(SERVICES_MAX))
    minutes.mark([(NOON, "one more"), (NOON, "")])
    assert len(minutes.services) == SERVICES_MAX
    assert minutes.left_out == {"one more"}
    assert minutes.last(ALL) == NOON
