"""Many calls that are told by one report each, as columns of numbers: what a busy second is counted by.

Everything here gives the same numbers as the call on its own would (``sightings.call_of``, ``pricing``, ``windows``),
to the last bit: a call may be counted among many, and be taken back alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..sightings import Shape, Sighting
from .series import MINUTE_S

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

NOT_TOLD = -1
"""Stands for a count that is not told."""

EVERYDAY_MAX = 1e5
"""Calls with more tokens, seconds or tokens a second are counted one by one, so that no sum of many overflows."""

_NANO = 1e9


@dataclass(frozen=True, slots=True)
class Rows:
    """Calls by columns, a row each. ``kind`` is the place of a row's shape in ``shapes``.

    Counts that are not told are ``NOT_TOLD``, and a time to the first token that is not told is not a number.
    ``has_checks`` tells that some have checks.
    """

    sightings: Sequence[Sighting]
    shapes: Sequence[Shape]
    kind: Integers
    start_ns: Integers
    end_ns: Integers
    input_tokens: Integers
    cached_input_tokens: Integers
    cache_write_input_tokens: Integers
    output_tokens: Integers
    reasoning_tokens: Integers
    ttft_s: Floats
    has_checks: bool

    @property
    def duration_s(self) -> Floats:
        """How long each call took."""
        found: Floats = np.maximum(0, self.end_ns - self.start_ns) / _NANO
        return found

    @property
    def tokens_per_s(self) -> Floats:
        """How fast each answer was written once it had begun; not a number where that is not told."""
        writing_s = self.duration_s - np.nan_to_num(self.ttft_s)
        is_written = (self.output_tokens > 0) & (writing_s > 0)
        return np.where(is_written, self.output_tokens / np.where(is_written, writing_s, 1.0), np.nan)

    @property
    def minute(self) -> Integers:
        """The start of the minute in which each call ended, in unix seconds."""
        return (self.end_ns / _NANO // MINUTE_S).astype(np.int64) * MINUTE_S

    @property
    def is_everyday(self) -> Marks:
        """Which calls are of a size that is counted among many."""
        tokens = (
            self.input_tokens,
            self.cached_input_tokens,
            self.cache_write_input_tokens,
            self.output_tokens,
        )
        is_everyday: Marks = self.duration_s <= EVERYDAY_MAX
        for values in (*tokens, self.ttft_s, self.tokens_per_s):
            is_everyday &= ~(values > EVERYDAY_MAX)
        if self.has_checks:
            is_everyday &= np.array([not one.checks for one in self.sightings], np.bool_)
        return is_everyday


def rows_of(sightings: Sequence[Sighting]) -> Rows:
    """The sightings as columns; there must be one at least."""
    columns = list(zip(*sightings, strict=True))
    shapes = list(dict.fromkeys(columns[0]))
    places = {shape: place for place, shape in enumerate(shapes)}
    column = dict(zip(Sighting._fields, columns, strict=True))
    return Rows(
        sightings,
        shapes,
        np.array([places[shape] for shape in columns[0]], np.int64),
        np.array(column["start_ns"], np.int64),
        np.array(column["end_ns"], np.int64),
        _counts(column["input_tokens"]),
        _counts(column["cached_input_tokens"]),
        _counts(column["cache_write_input_tokens"]),
        _counts(column["output_tokens"]),
        _counts(column["reasoning_tokens"]),
        np.array([math.nan if one is None else one for one in column["ttft_s"]], np.float64),
        any(column["checks"]),
    )


def _counts(column: Sequence[int | None]) -> Integers:
    return np.array([NOT_TOLD if n is None else n for n in column], np.int64)
