"""Pauses and dead exporters: what ``benchmarks.silence`` measures, for a few weeks."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.silence import DAY, SHAPES, calls, delay, false_findings


@pytest.mark.parametrize("name", SHAPES)
def test_pauses_of_a_usual_week_are_no_silence(name: str) -> None:
    found, judged = false_findings(calls(SHAPES[name], 1.0, 28, seed=1))
    assert found <= 1
    assert judged > 0.8


def test_a_dead_exporter_is_found_within_minutes_where_calls_are_many() -> None:
    active = calls(SHAPES["Poisson"], 10.0, 28, seed=1)
    assert delay(active, after=27 * DAY) == 10
