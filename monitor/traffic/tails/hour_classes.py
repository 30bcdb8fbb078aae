"""Hours of the day that are alike, learned from the train periods: a period is ranked among its own kind."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_S = 86_400
CLASSES_MAX = 6

CALIBRATION_MIN = 24
"""How many calibration periods a class has at least: with fewer, its watch could not page."""

LEVEL = 0.05
"""Chance of finding a rhythm where there is none; that costs a little speed and nothing else."""

PERMUTATIONS = 999
HARMONICS = 2


@dataclass(frozen=True, slots=True)
class HourClasses:
    """Which class each time of the day belongs to; one class when there is no rhythm.

    ``of_slot`` has the class of each slot of the day, class 0 being the hours with the lowest scores; ``usual`` the
    mean score of each class's train periods.
    """

    of_slot: tuple[int, ...] = (0,)
    usual: tuple[float, ...] = (0.0,)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.usual)

    def label(self, start_s: float) -> str:
        """The label of a period by its start in unix seconds; empty when there is only one."""
        return f"hours-{self._of(start_s)}" if self.classes > 1 else ""

    def usual_at(self, start_s: float) -> float:
        """The mean score of the train periods of such hours; 0 when all hours are alike."""
        return self.usual[self._of(start_s)]

    def _of(self, start_s: float) -> int:
        return self.of_slot[int(start_s % DAY_S * len(self.of_slot) // DAY_S)]


def learn(
    starts_s: Sequence[float], scores: Sequence[float], slot_s: float, calibration: int, seed: int = 0
) -> HourClasses:
    """The classes that ``scores`` of the train periods tell apart, so many that each gets enough of ``calibration``.

    A curve of two harmonics is fitted through the day; if it explains more than chance does (by permutation), the
    slots of the day are sorted by it and cut into equally large classes. ``seed`` is that of the permutations.
    """
    slots = max(1, int(DAY_S / slot_s))
    classes = min(CLASSES_MAX, calibration // CALIBRATION_MIN, slots)
    if classes < 2 or len(scores) < 24 or not _has_seen_a_day(starts_s, slot_s):
        return HourClasses()
    design, y = _design(np.asarray(starts_s) % DAY_S), np.asarray(scores, dtype=np.float64)
    if not _is_rhythmic(design, y - y.mean(), seed):
        return HourClasses()
    curve = _design(np.arange(slots, dtype=np.float64) * slot_s) @ np.linalg.lstsq(design, y, rcond=None)[0]
    of_slot = np.empty(slots, dtype=np.int64)
    of_slot[np.argsort(curve, kind="stable")] = np.arange(slots) * classes // slots
    mine = of_slot[(np.asarray(starts_s) % DAY_S * slots // DAY_S).astype(np.int64)]
    if np.bincount(mine, minlength=classes).min() == 0:
        return HourClasses()
    usual = np.bincount(mine, y, classes) / np.bincount(mine, minlength=classes)
    return HourClasses(tuple(of_slot.tolist()), tuple(usual.tolist()))


def without_rhythm(starts_s: Sequence[float], values: Sequence[float], slot_s: float) -> list[float]:
    """The values less the curve through the day that fits them best: what is left is not the time of the day."""
    y = np.asarray(values, dtype=np.float64)
    if len(y) < 24 or not _has_seen_a_day(starts_s, slot_s):
        return list(values)
    design = _design(np.asarray(starts_s) % DAY_S)
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return [float(one) for one in rest]


def _design(at_s: Floats) -> Floats:
    angle = 2 * math.pi * at_s / DAY_S
    waves = [wave(order * angle) for order in range(1, HARMONICS + 1) for wave in (np.cos, np.sin)]
    return np.column_stack([np.ones_like(angle), *waves])


def _has_seen_a_day(starts_s: Sequence[float], slot_s: float) -> bool:
    """Whether no long stretch of the day is missing: a curve through it would be a guess."""
    at = np.sort(np.asarray(starts_s) % DAY_S)
    gaps = np.diff(np.append(at, at[0] + DAY_S))
    return bool(gaps.max() <= max(2 * slot_s, DAY_S / 6))


def _is_rhythmic(design: Floats, y: Floats, seed: int) -> bool:
    if not np.any(y):
        return False
    base, _ = np.linalg.qr(design)
    orders = np.random.default_rng(seed).permuted(np.tile(y, (PERMUTATIONS, 1)), axis=1)
    explained = np.square(y @ base).sum()
    as_much = int((np.square(orders @ base).sum(axis=1) >= explained * (1 - 1e-12)).sum())
    return (1 + as_much) / (1 + PERMUTATIONS) <= LEVEL
