"""The geometry of the page's drawings, the swinging circle and the sparkline; the templates draw them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import cos, pi, sin

from dashboards.view import ScorePoint, TargetState, TargetStatus

CIRCLE_RADIUS = 100.0
"""Where the page line is drawn: evidence 1."""

INNERMOST = 26.0
"""Where a target without any evidence lies: outside the anchor's picture."""

ADRIFT_RADIUS = 116.0
"""Where a target lies that has paged: outside the line."""

SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 160.0, 36.0, 3.0
SPARK_POINTS_MAX = 120
"""Older points are left out of a sparkline: more than this many cannot be told apart at its width."""


class ShipKind(StrEnum):
    """How a target is drawn."""

    STEADY = "steady"
    STRAINING = "straining"
    ADRIFT = "adrift"
    LEARNING = "learning"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ship:
    """One target in the swinging circle."""

    name: str
    x: float
    y: float
    kind: ShipKind
    evidence: float

    @property
    def is_named(self) -> bool:
        """Whether it lies far enough out for its name to be drawn, and to matter."""
        return self.kind in (ShipKind.STRAINING, ShipKind.ADRIFT)


STRAINING_FROM = 0.5
"""Evidence from which a target is shown as straining at its chain."""


def swing_circle(targets: Sequence[TargetStatus], adrift: Collection[str]) -> tuple[Ship, ...]:
    """The targets around their anchor: each on its own bearing, as far out as its evidence has come."""
    return tuple(
        _ship(target, index, len(targets), target.name in adrift) for index, target in enumerate(targets)
    )


def _ship(target: TargetStatus, index: int, count: int, is_adrift: bool) -> Ship:
    evidence = min(max(target.strongest.evidence if target.strongest else 0.0, 0.0), 1.0)
    kind = _kind(target, evidence, is_adrift)
    distance = (
        ADRIFT_RADIUS if kind is ShipKind.ADRIFT else INNERMOST + (CIRCLE_RADIUS - INNERMOST) * evidence
    )
    # A little off north, so that a single target does not sit on the anchor's ring.
    bearing = 2 * pi * (index / count) + pi / 5
    return Ship(
        target.name, round(distance * sin(bearing), 1), round(-distance * cos(bearing), 1), kind, evidence
    )


def _kind(target: TargetStatus, evidence: float, is_adrift: bool) -> ShipKind:
    if is_adrift:
        return ShipKind.ADRIFT
    if target.state in (TargetState.DOWN, TargetState.REFUSED):
        return ShipKind.LOST
    if target.state is TargetState.COLLECTING:
        return ShipKind.LEARNING
    return ShipKind.STRAINING if evidence >= STRAINING_FROM else ShipKind.STEADY


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A line through the latest values, with its last point and its range."""

    points: str
    last_x: float
    last_y: float
    low: float
    high: float
    count: int


def sparkline(points: Sequence[ScorePoint]) -> Sparkline | None:
    """The line through the latest values, evenly spaced; ``None`` for fewer than two."""
    values = [point.value for point in points[-SPARK_POINTS_MAX:]]
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    step = (SPARK_WIDTH - 2 * SPARK_MARGIN) / (len(values) - 1)
    room = SPARK_HEIGHT - 2 * SPARK_MARGIN
    flat = high == low
    xy = [
        (
            SPARK_MARGIN + i * step,
            SPARK_HEIGHT / 2 if flat else SPARK_HEIGHT - SPARK_MARGIN - room * (v - low) / (high - low),
        )
        for i, v in enumerate(values)
    ]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)
    return Sparkline(drawn, round(xy[-1][0], 1), round(xy[-1][1], 1), low, high, len(values))
