"""Where targets lie in the swinging circle, and how a sparkline runs."""

from dataclasses import replace
from datetime import UTC, datetime
from math import hypot

import pytest

from dashboards.drawings import (
    CIRCLE_RADIUS,
    INNERMOST,
    SPARK_HEIGHT,
    SPARK_POINTS_MAX,
    SPARK_WIDTH,
    Ship,
    ShipKind,
    sparkline,
    swing_circle,
)
from dashboards.view import ScoreEvidence, ScorePoint, TargetState, TargetStatus

WATCHED = TargetStatus(name="bot", model="m", suite="s", state=TargetState.WATCHING)


def lying(*evidence: float, state: TargetState = TargetState.WATCHING, adrift: bool = False) -> Ship:
    scores = tuple(ScoreEvidence(f"score-{i}", value) for i, value in enumerate(evidence))
    [ship] = swing_circle([replace(WATCHED, evidence=scores, state=state)], {"bot"} if adrift else set())
    return ship


def test_a_target_without_evidence_lies_nearest_and_a_page_is_at_the_circle() -> None:
    assert hypot(lying().x, lying().y) == pytest.approx(INNERMOST, abs=0.1)
    assert hypot(lying(1.0).x, lying(1.0).y) == pytest.approx(CIRCLE_RADIUS, abs=0.1)


def test_the_strongest_score_says_how_far_out_a_target_lies() -> None:
    assert lying(0.1, 0.7, 0.2).evidence == 0.7


def test_a_target_that_paged_lies_outside_though_its_evidence_began_anew() -> None:
    ship = lying(0.0, adrift=True)
    assert ship.kind is ShipKind.ADRIFT
    assert hypot(ship.x, ship.y) > CIRCLE_RADIUS


@pytest.mark.parametrize(
    ("evidence", "state", "kind"),
    [
        (0.49, TargetState.WATCHING, ShipKind.STEADY),
        (0.5, TargetState.WATCHING, ShipKind.STRAINING),
        (0.0, TargetState.COLLECTING, ShipKind.LEARNING),
        (0.0, TargetState.REFUSED, ShipKind.LOST),
        (0.9, TargetState.DOWN, ShipKind.LOST),
    ],
)
def test_a_target_is_drawn_by_its_state(evidence: float, state: TargetState, kind: ShipKind) -> None:
    assert lying(evidence, state=state).kind is kind


def test_targets_lie_on_bearings_of_their_own() -> None:
    ships = swing_circle([replace(WATCHED, name=f"t{i}") for i in range(12)], set())
    assert len({(ship.x, ship.y) for ship in ships}) == 12


def points(*values: float) -> list[ScorePoint]:
    return [ScorePoint(datetime(2026, 3, 2, tzinfo=UTC), value) for value in values]


@pytest.mark.parametrize("values", [(), (1.0,)], ids=["none", "one"])
def test_fewer_than_two_runs_make_no_line(values: tuple[float, ...]) -> None:
    assert sparkline(points(*values)) is None


def test_the_line_spans_its_width_and_the_highest_value_is_on_top() -> None:
    line = sparkline(points(1.0, 5.0, 3.0))
    assert line is not None
    xy = [tuple(map(float, pair.split(","))) for pair in line.points.split()]
    assert (line.low, line.high, line.count) == (1.0, 5.0, 3)
    assert [x for x, _ in xy] == sorted(x for x, _ in xy)
    assert 0 <= min(x for x, _ in xy) < max(x for x, _ in xy) <= SPARK_WIDTH
    assert xy[1][1] < xy[2][1] < xy[0][1] <= SPARK_HEIGHT


def test_a_constant_score_is_a_line_in_the_middle() -> None:
    line = sparkline(points(2.0, 2.0, 2.0))
    assert line is not None
    assert {pair.split(",")[1] for pair in line.points.split()} == {f"{SPARK_HEIGHT / 2:.1f}"}


def test_only_the_latest_points_are_drawn() -> None:
    line = sparkline(points(99.0, *([1.0, 2.0] * (SPARK_POINTS_MAX // 2))))
    assert line is not None
    assert (line.count, line.high) == (SPARK_POINTS_MAX, 2.0)
