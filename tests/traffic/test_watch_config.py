import pytest
from pydantic import ValidationError

from monitor.traffic.watches.config import WatchConfig


def watch(**fields: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": "w", "measure": "latency_p95", "above": 8} | fields)


@pytest.mark.parametrize(
    ("measure", "written", "threshold"),
    [
        ("latency_p95", "8s", 8.0),
        ("latency_p95", "500ms", 0.5),
        ("latency_p99", 2, 2.0),
        ("ttft_p95", "1.5 s", 1.5),
        ("error_share", "2%", 0.02),
        ("error_share", 0.05, 0.05),
        ("error_share", "0.5 %", 0.005),
        ("cost_per_call", "$0.02", 0.02),
        ("cost_p95", 0.02, 0.02),
    ],
)
def test_a_threshold_is_read_in_the_unit_of_its_measure(
    measure: str, written: object, threshold: float
) -> None:
    assert watch(measure=measure, above=written).above == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("measure", "written"),
    [
        ("latency_p95", "2%"),
        ("latency_p95", "$8"),
        ("latency_p95", "eight"),
        ("latency_p95", -1),
        ("latency_p95", True),
        ("error_share", 2),
        ("error_share", "120%"),
        ("error_share", "2s"),
        ("cost_per_call", "2%"),
        ("cost_per_call", "5s"),
        ("cost_per_call", ["$1"]),
    ],
)
def test_a_threshold_in_another_unit_is_refused_with_an_example(measure: str, written: object) -> None:
    with pytest.raises(ValidationError, match=r"is measured in .*: write ") as error:
        watch(measure=measure, above=written)
    assert error.value.errors()[0]["loc"] == ("above",)


@pytest.mark.parametrize("fields", [{"above": None}, {"below": "1s"}], ids=["neither", "both"])
def test_a_watch_has_one_threshold(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="either above or below"):
        watch(**fields)


def test_durations_and_defaults() -> None:
    rule = watch(**{"over": "15m", "for": "2m"})
    assert (rule.over, rule.for_, rule.min_calls, rule.severity) == (900.0, 120.0, 20, "page")


@pytest.mark.parametrize(
    ("fields", "keeps_s"),
    [({}, 900), ({"over": "1h"}, 3600), ({"keep_firing_for": "1m"}, 60), ({"keep_firing_for": 0}, 0)],
    ids=["default", "as long as it looks back", "told", "not at all"],
)
def test_an_incident_ends_once_its_watch_was_steady_for_a_while(fields, keeps_s) -> None:
    assert watch(**fields).keep_firing_s == keeps_s


@pytest.mark.parametrize(
    "fields",
    [{"over": "59s"}, {"over": "2d"}, {"measur": "x"}, {"measure": "latency_p42"}, {"match": {"team": "a"}}],
    ids=["look-back too short", "too long", "unknown key", "unknown measure", "unknown match"],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        watch(**fields)
