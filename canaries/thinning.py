"""Runs with fewer samples of each canary than usual, as when money runs short.

Such a run is not exchangeable with full ones: its scores vary more. So it is ranked against the calibration runs as
they would have been with as few samples, under a label of its own.
"""

from collections.abc import Mapping
from dataclasses import replace

from .features import RunFeatures

MARK = "samples="
"""How the part of a label begins that tells the number of samples."""


def levels(expected: Mapping[str, int]) -> tuple[int, ...]:
    """How many samples a thinned run may have at most of each canary: half as many, again and again, down to one."""
    found = []
    samples = max(expected.values(), default=1)
    while samples > 1:
        samples //= 2
        found.append(samples)
    return tuple(found)


def samples_asked(run: RunFeatures, expected: Mapping[str, int]) -> int:
    """How many samples the run asked for at most of a canary that is ``expected``, answered or not."""
    return max((answer.sample + 1 for answer in run.answers if answer.canary in expected), default=0)


def thinned(run: RunFeatures, samples: int) -> RunFeatures:
    """The ``run`` as it would have been with so many samples of each canary at most."""
    return replace(run, answers=tuple(answer for answer in run.answers if answer.sample < samples))


def thinned_label(label: str, samples: int) -> str:
    """The label of a run that has the ``label`` otherwise, and only so many samples."""
    return f"{label} {MARK}{samples}".lstrip()


def is_thinned(label: str) -> bool:
    """Whether a label is that of a thinned run."""
    return MARK in label
