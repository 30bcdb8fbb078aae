"""How much of a score the hour of the day and the day of the week explain."""

from dataclasses import dataclass

import numpy as np

from .bets import Floats

DAY_S = 86_400.0

HARMONICS = 2
"""A day's ups and downs are looked for as one wave and two: what matters lasts for hours."""

PERMUTATIONS = 3_999

DAYS_MIN = 13
"""Days, counting from a first to a last, below which no weekday came twice."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The share of a score's variance that the calendar explains, 0 to 1, and the p-value of no effect."""

    share: float
    p_value: float


NONE = Effect(0.0, 1.0)


def hour_effect(values: Floats, at_s: Floats, seed: int = 0) -> Effect:
    """How regular a daily wave ``values`` have, which were measured at ``at_s`` in unix seconds.

    The days are compared with the same days each turned round by a random time, which keeps what neighbouring runs of a
    day have in common and breaks what the days have in common: backends that are kept for hours are no season.
    """
    if len(values) < 3 or np.ptp(values) == 0.0:
        return NONE
    days, day_of = np.unique(at_s // DAY_S, return_inverse=True)
    means = np.bincount(day_of, values) / np.bincount(day_of)
    left = values - means[day_of]
    turns = np.random.default_rng(seed).random((PERMUTATIONS, len(days)))
    observed, turned = 0.0, np.zeros(PERMUTATIONS)
    for harmonic in range(1, HARMONICS + 1):
        phase = np.exp(2j * np.pi * harmonic * at_s / DAY_S)
        wave = np.bincount(day_of, left * phase.real) + 1j * np.bincount(day_of, left * phase.imag)
        observed += abs(wave.sum()) ** 2
        turned += np.abs(np.exp(2j * np.pi * harmonic * turns) @ wave) ** 2
    p_value = float(1 + (turned >= observed - 1e-9).sum()) / (1 + PERMUTATIONS)
    rest = without_hours(values, at_s)
    share = 1.0 - float(rest.var() / values.var())
    return Effect(max(0.0, share), p_value)


def without_hours(values: Floats, at_s: Floats) -> Floats:
    """The ``values``, or columns of them, less their usual daily wave."""
    turns = [2 * np.pi * harmonic * at_s / DAY_S for harmonic in range(1, HARMONICS + 1)]
    waves = np.stack([np.ones(len(at_s)), *(f(turn) for turn in turns for f in (np.sin, np.cos))], axis=1)
    found, *_ = np.linalg.lstsq(waves, values, rcond=None)
    return np.asarray(values - waves @ found)


def weekday_effect(values: Floats, at_s: Floats, seed: int = 0) -> Effect:
    """How much the days of the week differ, as against the same days in any order; nothing in less than two weeks."""
    if len(values) < 3 or np.ptp(values) == 0.0 or np.ptp(at_s) < DAYS_MIN * DAY_S:
        return NONE
    days, day_of = np.unique(at_s // DAY_S, return_inverse=True)
    left = values - values.mean()
    sums = np.bincount(day_of, left).astype(np.float64)
    counts = np.bincount(day_of).astype(np.float64)
    # Day 0 of unix time was a Thursday; which one a number stands for does not matter here.
    weekday = np.eye(7)[days.astype(np.int64) % 7]
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(len(days)), (PERMUTATIONS, 1)), axis=1)
    observed = float(_between(sums[None], counts[None], weekday)[0])
    as_large = int((_between(sums[orders], counts[orders], weekday) >= observed - 1e-9).sum())
    return Effect(observed / float((left * left).sum()), (1 + as_large) / (1 + PERMUTATIONS))


def _between(sums: Floats, counts: Floats, weekday: Floats) -> Floats:
    return np.asarray(((sums @ weekday) ** 2 / np.maximum(counts @ weekday, 1)).sum(axis=1))
