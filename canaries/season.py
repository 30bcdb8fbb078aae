"""Whether the hour of the day matters to a target's runs, and the hours that are then ranked apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from .answer_counts import Floats, Ints

Waves = NDArray[np.complex128]
"""An amplitude and a phase for each day."""

DAY_S = 86_400.0

ROTATIONS = 999

HARMONICS = 2
"""A day's ups and downs are looked for as one wave and two: what matters lasts for hours."""

ARCS_MAX = 6

ARC_RUNS_MIN = 48
"""Train runs that each arc needs, and so about as many calibration runs: a label of fewer pages late."""


@dataclass(frozen=True, slots=True)
class Arcs:
    """The day in UTC cut into ``count`` equal arcs, the first of which begins at the hour ``start``."""

    start: int
    count: int

    def of(self, at: datetime) -> int:
        """The number of the arc that a time lies in."""
        moment = at.astimezone(UTC)
        hour = moment.hour + moment.minute / 60
        return int((hour - self.start) % 24 * self.count / 24)

    def name(self, arc: int) -> str:
        """An arc for people, such as ``06-12h``."""
        length = 24 / self.count
        begin, end = (self.start + arc * length) % 24, (self.start + (arc + 1) * length) % 24
        return f"{begin:02g}-{end:02g}h" if length % 1 == 0 else f"{begin:04.1f}-{end:04.1f}h"


def day_matters(values: Floats, at: Sequence[datetime], rng: "np.random.Generator") -> float:
    """The chance of as regular a daily wave in ``values`` by chance, a p-value.

    The days are compared with the same days each turned round by a random time, which keeps what a day's neighbouring
    runs have in common and breaks what the days have in common. Backends that are kept for hours therefore do not look
    like a season, and a few days cannot prove one.
    """
    seconds = np.array([moment.timestamp() for moment in at])
    days, day_of = np.unique(seconds // DAY_S, return_inverse=True)
    waves = [_waves(values, seconds, day_of, len(days), harmonic) for harmonic in range(1, HARMONICS + 1)]
    turns = rng.random((ROTATIONS, len(days)))
    observed, turned = 0.0, np.zeros(ROTATIONS)
    for harmonic, wave in enumerate(waves, start=1):
        observed += abs(wave.sum()) ** 2
        turned += np.abs(np.exp(2j * np.pi * harmonic * turns) @ wave) ** 2
    return float(1 + (turned >= observed - 1e-9).sum()) / (1 + ROTATIONS)


def _waves(values: Floats, seconds: Floats, day_of: Ints, days: int, harmonic: int) -> Waves:
    """The amplitude and phase of each day, from its values less their mean."""
    means = np.bincount(day_of, values, days) / np.bincount(day_of, minlength=days)
    wave = np.zeros(days, dtype=np.complex128)
    np.add.at(wave, day_of, (values - means[day_of]) * np.exp(2j * np.pi * harmonic * seconds / DAY_S))
    return wave


def cut_day(values: Floats, at: Sequence[datetime]) -> Arcs | None:
    """The arcs between which ``values`` differ most, as many as have runs enough; ``None`` when not even two have."""
    for count in range(ARCS_MAX, 1, -1):
        choices = [Arcs(start, count) for start in range(24 // count)]
        found = [(arcs, np.array([arcs.of(moment) for moment in at])) for arcs in choices]
        fit = [
            (_between(values, arc_of, count), -arcs.start, arcs)
            for arcs, arc_of in found
            if np.bincount(arc_of, minlength=count).min() >= ARC_RUNS_MIN
        ]
        if fit:
            return max(fit, key=lambda one: one[:2])[2]
    return None


def _between(values: Floats, arc_of: Ints, count: int) -> float:
    sums, sizes = np.bincount(arc_of, values, count), np.bincount(arc_of, minlength=count)
    return float((sums**2 / sizes).sum())
