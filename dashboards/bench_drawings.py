"""The geometry of a bench's pictures: how many answers took how long, and where each target's figures lie."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from canaries.bench.measured import Measured
from canaries.bench.report import BenchReport, Row

WIDTH, HEIGHT, MARGIN = 640.0, 220.0, 44.0
"""Of a picture of times, and of the room to its left for the shares."""

ROW, LABEL, NAME = 30.0, 190.0, 130.0
"""Of a picture of figures: the height of a row, and the room for its name and for who is better."""

POINTS_MAX = 200
"""More steps than this of one curve cannot be told apart."""

SHARES = (0.0, 0.5, 0.9, 1.0)
"""The shares of answers that have a line of their own."""

COLOURS = 6
"""How many targets have a colour of their own; the next ones begin again."""

Times = Callable[[Measured], float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """The times of one target: which share of its requests had ended after how long."""

    target: str
    colour: int
    path: str
    count: int


@dataclass(frozen=True, slots=True)
class TimesPicture:
    """Curves over times that grow tenfold; what timed out is never reached."""

    name: str
    curves: tuple[Curve, ...]
    ticks: tuple[tuple[float, str], ...]
    shares: tuple[tuple[float, str], ...]


def times_picture(
    name: str, found: Sequence[Measured], targets: Sequence[str], times: Times
) -> TimesPicture | None:
    """The picture of all targets' times; ``None`` where none is known."""
    by_target = {target: sorted(_known(found, target, times)) for target in targets}
    finite = [value for values in by_target.values() for value in values if math.isfinite(value)]
    if not finite:
        return None
    first, last = _decades(min(finite), max(finite))
    span = last - first

    def x(seconds: float) -> float:
        return round(MARGIN + (WIDTH - MARGIN) * (math.log10(seconds) - first) / span, 1)

    curves = tuple(
        Curve(target, place % COLOURS, _path(values, x), len(values))
        for place, (target, values) in enumerate(by_target.items())
        if values and math.isfinite(values[0])
    )
    marks = [
        step * 10.0**decade for decade in range(math.floor(first), math.ceil(last) + 1) for step in (1, 2, 5)
    ]
    within = [mark for mark in marks if 10**first <= mark * 1.0001 and mark <= 10**last * 1.0001]
    return TimesPicture(
        name,
        curves,
        tuple((x(mark), _seconds(mark)) for mark in within),
        tuple((_y(share), f"{share:.0%}") for share in SHARES),
    )


@dataclass(frozen=True, slots=True)
class Dot:
    """A target's figure and its interval."""

    target: str
    colour: int
    x: float
    low: float
    high: float
    is_winner: bool


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One measure of all targets, from its least to its most."""

    row: Row
    y: float
    dots: tuple[Dot, ...]


def figure_rows(found: BenchReport) -> tuple[FigureRow, ...]:
    """The rows in which targets can be compared, each on a scale of its own."""
    rows = [row for row in found.rows if len(row.figures) > 1 and _ends(row)]
    return tuple(
        FigureRow(row, ROW * place, _dots(row, list(found.targets))) for place, row in enumerate(rows)
    )


def _known(found: Sequence[Measured], target: str, times: Times) -> list[float]:
    values = (times(one) for one in found if one.target == target and not one.is_long)
    return [value for value in values if value is not None and value > 0]


def _decades(least: float, most: float) -> tuple[float, float]:
    """Where the axis begins and ends, in powers of ten: a little beyond the values, and never nothing wide."""
    return math.log10(least) - 0.05, max(math.log10(most), math.log10(least) + 0.25) + 0.05


def _path(values: Sequence[float], x: Callable[[float], float]) -> str:
    """Stairs: a step up at each value."""
    ended = [value for value in values if math.isfinite(value)]
    stride = max(1, len(ended) // POINTS_MAX)
    steps = [*range(0, len(ended) - 1, stride), len(ended) - 1]
    return f"M{x(ended[0])} {_y(0)}" + "".join(
        f"H{x(ended[place])}V{_y((place + 1) / len(values))}" for place in steps
    )


def _y(share: float) -> float:
    return round(HEIGHT * (1 - share), 1)


def _seconds(value: float) -> str:
    return f"{1_000 * value:g} ms" if value < 1 else f"{value:g} s"


def _ends(row: Row) -> list[float]:
    ends = [end for one in row.figures.values() for end in (one.low, one.value, one.high)]
    return [end for end in ends if end is not None and math.isfinite(end)]


def _dots(row: Row, targets: Sequence[str]) -> tuple[Dot, ...]:
    ends = _ends(row)
    least, most = min(ends), max(ends)
    room = WIDTH - LABEL - NAME - 20

    def x(value: float | None, unknown: float) -> float:
        known = unknown if value is None or not math.isfinite(value) else value
        share = (known - least) / (most - least) if most > least else 0.5
        return round(LABEL + 10 + room * share, 1)

    return tuple(
        Dot(
            target,
            targets.index(target) % COLOURS,
            x(one.value, most),
            # An end that nobody knows is as far out as the picture goes: it may lie anywhere beyond.
            x(one.low, least if one.high is not None else one.value),
            x(one.high, most if one.low is not None else one.value),
            target == row.winner,
        )
        for target, one in row.figures.items()
        if not math.isnan(one.value)
    )
