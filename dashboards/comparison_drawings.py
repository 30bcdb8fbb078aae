"""The geometry of a comparison's pictures: how far out scores are, how large effects, and two texts side by side."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import log10

from canaries.compare.results import CanaryResult, ScoreResult

WIDTH, ROW, LABEL = 640.0, 24.0, 190.0
"""Of the picture, of a row in it, and of the names to its left."""

EFFECT_WIDTH, EFFECT_HEIGHT, EFFECT_MARGIN = 150.0, 20.0, 4.0

DIFF_WORDS_MAX = 1_500
"""Longer answers are shown without their differences marked: finding them takes the square of the length."""

_PIECES = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: its name, where it ends, and how it is to be read."""

    name: str
    y: float
    end: float
    p_value: float
    is_out: bool
    decides: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows on an axis of ``-log10 p``, with the level at which a row is out."""

    bars: tuple[Bar, ...]
    height: float
    level: float
    ticks: tuple[tuple[float, str], ...]


def evidence(rows: Sequence[ScoreResult | CanaryResult], alpha: float, p_min: float) -> Evidence:
    """How far out each row is: the smaller its adjusted p-value, the longer its bar."""
    decades = max(2.0, -log10(min(alpha, max(p_min, 1e-9))))
    room = WIDTH - LABEL - 10

    def x(p_value: float) -> float:
        return round(LABEL + room * min(1.0, -log10(min(1.0, max(p_value, 1e-9))) / decades), 1)

    bars = tuple(
        Bar(_name(row), ROW * i, x(row.p_value), row.p_value, row.p_value <= alpha, _decides(row))
        for i, row in enumerate(rows)
    )
    ticks = tuple((x(10.0**-n), "1" if n == 0 else f"{10.0**-n:g}") for n in range(int(decades) + 1))
    return Evidence(bars, ROW * len(bars), x(alpha), ticks)


def _name(row: ScoreResult | CanaryResult) -> str:
    return row.canary if isinstance(row, CanaryResult) else row.score.name


def _decides(row: ScoreResult | CanaryResult) -> bool:
    return isinstance(row, CanaryResult) or row.decides


@dataclass(frozen=True, slots=True)
class Interval:
    """An effect on a scale of its own: its interval, and the band around nothing within which it is negligible."""

    low: float
    high: float
    value: float
    floor_low: float
    floor_high: float


def interval(result: ScoreResult) -> Interval | None:
    """Where the effect and its interval lie; ``None`` where there is none."""
    effect = result.effect
    if effect is None:
        return None
    floor = result.score.floor
    reach = max(abs(effect.low), abs(effect.high), abs(effect.value), 2 * floor)
    half = EFFECT_WIDTH / 2 - EFFECT_MARGIN

    def x(value: float) -> float:
        return round(EFFECT_WIDTH / 2 + half * value / reach, 1)

    return Interval(x(effect.low), x(effect.high), x(effect.value), x(-floor), x(floor))


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of an answer, and whether only this side has it."""

    text: str
    is_own: bool


def side_by_side(base: str, current: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both answers in pieces, those that the other has not marked."""
    a, b = _PIECES.findall(base), _PIECES.findall(current)
    if max(len(a), len(b)) > DIFF_WORDS_MAX:
        return (Piece(base, False),), (Piece(current, False),)
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    left = tuple(_pieces((kind != "equal", a[i:j]) for kind, i, j, _, _ in blocks))
    right = tuple(_pieces((kind != "equal", b[i:j]) for kind, _, _, i, j in blocks))
    return left, right


def _pieces(parts: Iterator[tuple[bool, list[str]]]) -> Iterator[Piece]:
    for is_own, words in parts:
        if words:
            yield Piece("".join(words), is_own)
