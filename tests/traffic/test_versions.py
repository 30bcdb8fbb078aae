"""Which version is the newest, which was before it, and when nobody can tell."""

from collections.abc import Iterable

import pytest
from pydantic import ValidationError

from monitor.traffic.tails.counting import WATERMARK_S
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.versions import (
    BEFORE,
    VERSIONS_MAX,
    Release,
    Versions,
    by_version,
    fingerprint,
    from_plain,
    is_due,
    next_release,
    open_versions,
    passed,
    to_plain,
    with_limit,
)
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.tallies import OTHER_VALUES, Tally
from monitor.traffic.windows.window import Window

from .conftest import NOON

EVERY = 300
START = int(NOON)


def watch(**fields: object) -> WatchConfig:
    told = {"name": "w", "match": {"service": "shop"}, "measure": "error_share", "against": "previous"}
    return WatchConfig.model_validate(told | fields)


def window(minute: int, version: str, calls: int = 100, service: str = "shop") -> Window:
    return Window(minute, Series(service, "production", version, "chat", "openai", "m", "m"), calls)


def opened(*history: Window) -> Versions:
    return open_versions(watch(), history, NOON + 30)


def after(versions: Versions, *periods: Iterable[Window]) -> Versions:
    """The versions after some periods, each with its windows."""
    for windows in periods:
        calls = by_version(watch(), list(windows))
        release = next_release(watch(), passed(watch(), versions, calls), calls)
        versions = passed(watch(), versions, calls)
        versions = Versions(versions.fingerprint, versions.opened_s, versions.next_s, versions.seen, release)
    return versions


def test_what_was_there_when_it_began_is_of_no_known_age() -> None:
    versions = opened(
        *(window(START - 3_600 + 60 * n, version) for n in range(3) for version in ("1.0", "1.1"))
    )
    assert [(one.version, one.first_s) for one in versions.seen] == [("1.0", BEFORE), ("1.1", BEFORE)]
    assert after(versions, [window(START, "1.0"), window(START, "1.1")]).release is None


def test_a_version_that_came_within_the_history_is_the_newest() -> None:
    versions = opened(window(START - 7_200, "1.0"), window(START - 600, "1.0"), window(START - 600, "1.1"))
    assert after(versions, [window(START, "1.0"), window(START, "1.1")]).release == Release("1.1", "1.0")


def test_a_release_is_compared_from_the_period_after_the_one_in_which_it_shows() -> None:
    versions = opened(window(START - 3_600, "1.0"), window(START - 60, "1.0"))
    assert after(versions, [window(START, "1.0")]).release is None
    both = [window(START, "1.0", 80), window(START, "1.1", 20)]
    assert after(versions, [window(START, "1.0")], both).release == Release("1.1", "1.0")


def test_a_version_with_too_few_calls_waits() -> None:
    versions = opened(window(START - 3_600, "1.0"))
    assert after(versions, [window(START, "1.0"), window(START, "1.1", 19)]).release is None


def test_versions_of_any_name_are_ordered_by_when_they_came() -> None:
    versions = opened(window(START - 3_600, "zebra"))
    first = after(versions, [window(START, "zebra"), window(START, "9f3c")])
    assert first.release == Release("9f3c", "zebra")
    second = after(first, [window(START, "zebra"), window(START, "9f3c"), window(START, "2.0")])
    assert second.release == Release("2.0", "9f3c")


def test_a_release_stays_the_one_to_compare_after_a_roll_back() -> None:
    versions = after(opened(window(START - 3_600, "1.0")), [window(START, "1.0"), window(START, "1.1")])
    assert after(versions, [window(START, "1.0")]).release == Release("1.1", "1.0")


def test_without_any_history_the_first_versions_are_no_news() -> None:
    versions = after(opened(), [window(START, "1.0"), window(START, "1.1")])
    assert versions.release is None
    assert {one.first_s for one in versions.seen} == {BEFORE}


def test_calls_of_other_services_and_without_a_version_do_not_count() -> None:
    windows = [window(START, "1.0"), window(START, "2.0", service="blog"), window(START, "")]
    assert set(by_version(watch(), windows)) == {"1.0"}


def test_a_limit_is_what_the_version_before_seldom_exceeds() -> None:
    rule = watch(measure="latency_p95")
    history = [window(START, "1.0"), window(START, "1.1")]
    for value in range(100):
        history[0].latency_s.add(1 + value / 100)
        history[1].latency_s.add(9.0)
    release = with_limit(rule, Release("1.1", "1.0"), history)
    assert release.limit == pytest.approx(1.95, rel=0.02)


def test_versions_of_an_attribute_are_told_apart_by_its_values() -> None:
    rule = watch(against={"attribute": "app.prompt.version"})
    found = window(START, "1.0")
    found.chosen._at("app.prompt.version", "p7").merge(Tally(calls=40, failed=3))
    found.chosen._at("app.prompt.version", OTHER_VALUES).merge(Tally(calls=90, failed=9))
    assert {name: (one.calls, one.failed) for name, one in by_version(rule, [found]).items()} == {
        "p7": (40, 3)
    }


def test_what_is_remembered_of_versions_is_bounded() -> None:
    versions = opened()
    for number in range(VERSIONS_MAX + 5):
        versions = after(versions, [window(START, f"v{number}")])
    assert len(versions.seen) == VERSIONS_MAX
    assert versions.seen[-1].version == f"v{VERSIONS_MAX + 4}"


def test_a_period_is_due_when_late_calls_have_had_their_time() -> None:
    versions = opened()
    assert not is_due(versions, watch(), versions.next_s + EVERY + WATERMARK_S - 1)
    assert is_due(versions, watch(), versions.next_s + EVERY + WATERMARK_S)


def test_versions_are_stored_and_read_again() -> None:
    versions = after(opened(window(START - 3_600, "1.0")), [window(START, "1.0"), window(START, "1.1")])
    assert from_plain(to_plain(versions)) == versions


def test_another_question_is_another_comparison() -> None:
    assert fingerprint(watch()) == fingerprint(watch(severity="ticket", name="v"))
    others = [watch(measure="timeout_share"), watch(match={"service": "a"}), watch(against={"every": "10m"})]
    assert len({fingerprint(one) for one in [watch(), *others]}) == 4


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"match": {}}, "has to name one service"),
        ({"match": {"service": "sh*"}}, "has to name one service"),
        ({"against": "next"}, 'is "previous"'),
        (
            {"against": {"attribute": "app.prompt.version"}, "measure": "latency_p95"},
            "no latency_p95; send it as service",
        ),
        ({"measure": "cost_per_call"}, "use cost_p95"),
        ({"measure": "latency_mean"}, "use latency_p95"),
        ({"measure": "calls_per_minute"}, "it takes a threshold"),
        ({"above": "2%"}, "and one of them"),
        ({"over": "10m"}, "belongs to a threshold; a release is judged period by period"),
    ],
    ids=["no service", "a pattern", "next", "attribute", "cost", "mean", "rate", "threshold", "look-back"],
)
def test_what_cannot_be_compared_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        watch(**fields)
