"""Sightings hold what reports hold."""

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.traffic import dialects
from monitor.traffic.calls import Call
from monitor.traffic.dialects import Report
from monitor.traffic.otlp import Encoding, decode
from monitor.traffic.sightings import SHAPES_MAX, Shapes, report_of, sighting_of

from .conftest import NOON, MakeCall

PAYLOADS = sorted((Path(__file__).parent / "data").glob("*.pb"))


def _reports(payload: Path) -> list[Report]:
    found = [dialects.examine(span) for span in decode(payload.read_bytes(), Encoding.PROTOBUF).spans]
    return [one for one in found if isinstance(one, Report)]


def _without_times(call: Call) -> Call:
    return replace(call, started_at=0.0, ended_at=0.0, duration_s=0.0)


def _times(call: Call) -> tuple[float, ...]:
    return call.started_at - NOON, call.ended_at - NOON, call.duration_s


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: path.stem)
def test_a_report_comes_back_from_its_sighting(payload: Path) -> None:
    shapes = Shapes()
    for report in _reports(payload):
        back = report_of(sighting_of(report, shapes))
        assert _without_times(back.call) == _without_times(report.call)
        assert _times(back.call) == pytest.approx(_times(report.call), abs=1e-6)
        assert replace(back, call=report.call) == replace(report, sources={})


def test_equal_reports_share_their_shape_and_others_do_not(make_call: MakeCall) -> None:
    shapes = Shapes()
    one, other, third = (
        sighting_of(_report(call), shapes)
        for call in (make_call(), make_call(duration_s=9.0), make_call(http_status=500))
    )
    assert one.shape is other.shape
    assert one.shape is not third.shape


def test_no_sender_makes_us_hold_shapes_without_end() -> None:
    shapes = Shapes()
    first = shapes.shape(("a",) * 17)
    for n in range(SHAPES_MAX):
        shapes.shape((n,) * 17)
    assert shapes.shape(("a",) * 17) is not first


def test_a_call_keeps_what_its_attributes_and_checks_said(make_call: MakeCall) -> None:
    sighting = sighting_of(
        _report(make_call()), Shapes(), (("user.id", "ann"),), (("format", True), ("language", False))
    )
    call = report_of(sighting).call
    assert (call.chosen, call.checks_passed, call.checks_failed) == (
        (("user.id", "ann"),),
        ("format",),
        ("language",),
    )


def _report(call: Call) -> Report:
    return Report(call, "", "scope", True, True, False, None, {})
