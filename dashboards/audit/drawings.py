"""The geometry of an audit's pictures: how far measures moved, where the tails lie, and calls over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from dashboards.audit.report import Against, Audit, Line, Measure, Mover, Reality, Subject

WIDTH, ROW, MARGIN = 640.0, 42.0, 14.0
"""Of a picture, and of a row in it: a name, and below it what is drawn, so that a phone has room for both."""

RATIO_MAX = 4.0
"""Changes by more than this many times end at the edge of the picture."""

TAILS_MAX = 25
"""How many subjects the picture of the tails shows, those with the most calls."""

SPARK_WIDTH, SPARK_HEIGHT = 150.0, 28.0

_TAILS = (Measure.LATENCY_P50, Measure.LATENCY_P95, Measure.LATENCY_P99)


@dataclass(frozen=True, slots=True)
class MoverRow:
    """A change with its interval, on an axis of how many times as much it is; ``tone`` says how it is to be read."""

    mover: Mover
    y: float
    low: float
    high: float
    x: float
    tone: str


@dataclass(frozen=True, slots=True)
class MoverPicture:
    """Rows below each other; ``one`` is where nothing has changed."""

    rows: tuple[MoverRow, ...]
    height: float
    one: float
    ticks: tuple[tuple[float, str], ...]


def mover_picture(audit: Audit) -> MoverPicture | None:
    """How many times as much each mover is as before; ``None`` where nothing can be drawn."""
    rows = [row for one in audit.movers if (row := _mover_row(one, audit.against)) is not None]
    if not rows:
        return None
    placed = tuple(
        MoverRow(row.mover, ROW * place, row.low, row.high, row.x, row.tone) for place, row in enumerate(rows)
    )
    ticks = tuple((_ratio_x(ratio), text) for ratio, text in _RATIOS)
    return MoverPicture(placed, ROW * len(placed), _ratio_x(1.0), ticks)


_RATIOS = ((0.25, "¼"), (0.5, "½"), (1.0, "same"), (2.0, "2×"), (4.0, "4×"))


def _mover_row(mover: Mover, against: Against) -> MoverRow | None:
    line, change = mover.line, mover.line.change(against)
    if change is None or not change.before or line.value is None:
        return None
    low = None if change.low is None else (change.before + change.low) / change.before
    high = None if change.high is None else (change.before + change.high) / change.before
    tone = "noise" if change.reality is not Reality.REAL else "worse" if line.is_worse(against) else "moved"
    return MoverRow(
        mover,
        0.0,
        _ratio_x(low or 0.0),
        _ratio_x(RATIO_MAX if high is None else high),
        _ratio_x(line.value / change.before),
        tone,
    )


def _ratio_x(ratio: float) -> float:
    bounded = min(max(ratio, 1 / RATIO_MAX), RATIO_MAX)
    share = (log10(bounded) / log10(RATIO_MAX) + 1) / 2
    return round(MARGIN + (WIDTH - 2 * MARGIN) * share, 1)


@dataclass(frozen=True, slots=True)
class TailRow:
    """A subject's median, p95 and p99, now and before."""

    subject: Subject
    y: float
    now: tuple[float, ...]
    before: tuple[float, ...]
    tone: str


@dataclass(frozen=True, slots=True)
class TailPicture:
    """Rows below each other on one logarithmic axis of seconds."""

    rows: tuple[TailRow, ...]
    height: float
    ticks: tuple[tuple[float, str], ...]


def tail_picture(audit: Audit) -> TailPicture | None:
    """Where the latency of each subject lies; ``None`` where nobody's is known."""
    found = [(one, _tails(one, audit.against)) for one in audit.subjects]
    shown = sorted((pair for pair in found if pair[1][0]), key=lambda pair: -sum(pair[0].calls_by_block))[
        :TAILS_MAX
    ]
    values = [value for _, (now, before) in shown for value in (*now, *before) if value > 0]
    if not values:
        return None
    low, high = floor(log10(min(values)) * 2) / 2, ceil(log10(max(values)) * 2) / 2
    high = max(high, low + 0.5)

    def x(seconds: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (log10(max(seconds, 1e-6)) - low) / (high - low), 1)

    rows = tuple(
        TailRow(
            subject,
            ROW * place,
            tuple(map(x, now)),
            tuple(map(x, before)),
            _tail_tone(subject, audit.against),
        )
        for place, (subject, (now, before)) in enumerate(shown)
    )
    decades = range(ceil(low), floor(high) + 1)
    ticks = tuple((x(10.0**n), f"{10.0**n:g} s" if n >= 0 else f"{10.0 ** (n + 3):g} ms") for n in decades)
    return TailPicture(rows, ROW * len(rows), ticks)


def _tails(subject: Subject, against: Against) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lines = [line for measure in _TAILS if (line := subject.line(measure)) is not None]
    now = tuple(line.value for line in lines if line.value is not None)
    before = tuple(value for line in lines if (value := _before(line, against)) is not None)
    return (now, before) if len(now) == len(_TAILS) else ((), ())


def _before(line: Line, against: Against) -> float | None:
    change = line.change(against)
    return change.before if change else None


def _tail_tone(subject: Subject, against: Against) -> str:
    lines = [line for measure in _TAILS if (line := subject.line(measure)) is not None]
    return "worse" if any(line.is_worse(against) for line in lines) else "noise"


def bars(counts: Sequence[int]) -> tuple[tuple[float, float, float, float], ...]:
    """Calls over time as bars: place, top, width and height of each."""
    most = max(counts, default=0)
    if not most:
        return ()
    step = SPARK_WIDTH / len(counts)
    found = []
    for place, count in enumerate(counts):
        height = round(SPARK_HEIGHT * count / most, 1)
        found.append(
            (round(place * step, 1), round(SPARK_HEIGHT - height, 1), round(max(step - 1, 0.5), 1), height)
        )
    return tuple(found)
