from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerts.finding import Finding, Severity, Source
from alerts.incident import Incident, State
from alerts.matcher import parse_matcher
from alerts.routing_config import MuteTimeConfig
from alerts.silence import Silence, muted_until, silence_problem

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
INCIDENT = Incident(
    "id1",
    "watch/chat-p95",
    State.FIRING,
    Severity.PAGE,
    Finding(Severity.TICKET, Source.WATCH, "slow", {"service": "chat"}),
    NOW,
    NOW,
)


def silence(*matchers: str, starts_s: float = 0, ends_s: float = 3600) -> Silence:
    parsed = tuple(parse_matcher(one) for one in matchers)
    return Silence(
        "s1", parsed, "ada", "", NOW + timedelta(seconds=starts_s), NOW + timedelta(seconds=ends_s), NOW
    )


@pytest.mark.parametrize(
    ("matchers", "fits"),
    [
        (["service=chat"], True),
        (["service=chat", "source=watch"], True),
        (["service=chat", "source=ledger"], False),
        (["severity=page"], True),
        (["severity=ticket"], False),
        (["key=~watch/.*"], True),
    ],
)
def test_a_silence_is_about_what_all_of_its_matchers_fit(matchers, fits):
    assert silence(*matchers).fits(INCIDENT) is fits


@pytest.mark.parametrize(("at_s", "holds"), [(-1, False), (0, True), (3599, True), (3600, False)])
def test_a_silence_holds_from_its_start_to_just_before_its_end(at_s, holds):
    assert silence("a=b").is_active(NOW + timedelta(seconds=at_s)) is holds


@pytest.mark.parametrize(
    ("matchers", "author", "ends_s", "told"),
    [
        ([], "ada", 60, "needs a matcher"),
        (["service!=chat"], "ada", 60, "fit everything that lacks their labels"),
        (["service=chat"], " ", 60, "needs an author"),
        (["service=chat"], "ada", 0, "must end after it starts"),
        (["service=chat"], "ada", 367 * 86_400, "366 days at most"),
        (["service=chat", "model!=x"], "ada", 60, ""),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused_with_the_reason(matchers, author, ends_s, told):
    parsed = tuple(parse_matcher(one) for one in matchers)
    problem = silence_problem(parsed, author, NOW, NOW + timedelta(seconds=ends_s))
    assert told in problem
    assert bool(told) == bool(problem)


def ends(text: str, **config) -> str | None:
    """When the mute time that holds at this time in Berlin ends, in Berlin."""
    zone = ZoneInfo("Europe/Berlin")
    mute = MuteTimeConfig(time_zone="Europe/Berlin", **config).mute_time()
    found = mute.ends_at(datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC))
    return found and f"{found.astimezone(zone):%m-%d %H:%M}"


NIGHTS = {"times": ["22:00-07:00"]}
WORK_NIGHTS = {"weekdays": ["monday-thursday"], "times": ["22:00-07:00"]}
WEEKEND = {"weekdays": ["saturday-sunday"]}


@pytest.mark.parametrize(
    ("config", "at", "expected"),
    [
        (NIGHTS, "2026-03-02 21:59", None),
        (NIGHTS, "2026-03-02 22:00", "03-03 07:00"),
        (NIGHTS, "2026-03-03 06:59", "03-03 07:00"),
        (NIGHTS, "2026-03-03 07:00", None),
        (WORK_NIGHTS, "2026-03-06 06:00", "03-06 07:00"),
        (WORK_NIGHTS, "2026-03-06 23:00", None),
        (WORK_NIGHTS, "2026-03-07 06:00", None),
        (WEEKEND, "2026-03-06 23:59", None),
        (WEEKEND, "2026-03-07 00:00", "03-08 00:00"),
        (WEEKEND, "2026-03-08 23:59", "03-09 00:00"),
        (NIGHTS, "2026-03-29 01:30", "03-29 07:00"),
        ({"times": ["09:00-10:00", "09:30-11:00"]}, "2026-03-02 09:45", "03-02 11:00"),
        ({"weekdays": ["sunday-monday"]}, "2026-03-02 12:00", "03-03 00:00"),
    ],
)
def test_a_mute_time_holds_by_the_clock_on_its_wall(config, at, expected):
    assert ends(at, **config) == expected


def test_a_night_in_which_the_clocks_change_is_an_hour_shorter():
    zone = ZoneInfo("Europe/Berlin")
    mute = MuteTimeConfig(time_zone="Europe/Berlin", **NIGHTS).mute_time()
    start = datetime(2026, 3, 28, 22, 0, tzinfo=zone).astimezone(UTC)
    assert mute.ends_at(start) - start == timedelta(hours=8)


def test_of_several_mute_times_that_hold_the_last_end_counts():
    times = {"a": MuteTimeConfig(times=["11:00-13:00"]), "b": MuteTimeConfig(times=["11:00-14:00"])}
    known = {name: one.mute_time() for name, one in times.items()}
    assert muted_until(["a", "b", "gone"], known, NOW) == ("b", NOW + timedelta(hours=2))
    assert muted_until([], known, NOW) is None


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("weekdays", ["workdays"], "monday or friday-sunday"),
        ("times", ["22-7"], "22:00-07:00"),
        ("times", ["25:00-26:00"], "22:00-07:00"),
        ("time_zone", "Berlin", "Europe/Berlin"),
    ],
)
def test_a_mute_time_that_cannot_be_read_says_what_would_be_right(field, value, told):
    with pytest.raises(ValueError, match=told):
        MuteTimeConfig(**{field: value})
