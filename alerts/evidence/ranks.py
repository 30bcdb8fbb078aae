"""What runs are ranked against: the thresholds of every component, within every label, frozen with the baseline.

Read-only, and the same for the life of a baseline. The ledger, which changes with every run, is kept apart
from it and stored without it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from alerts.evidence.bets import (
    THRESHOLDS,
    Bools,
    Floats,
    Ints,
    Ranked,
    in_blocks,
    orderable,
    tail_ranks,
    thresholds,
)

Calibrated = tuple[float, float, str]
"""The score of a calibration run, its tie break, and its label; the label of what has no labels is empty."""

UNLABELLED = ""

PAGE_CALIBRATION_MIN = 24
"""Under a label with fewer calibration runs a component gets no drip for pages and rollbacks, only for tickets. It
still bets what it was given under other labels: what makes most runs look like a rare kind must not go unseen."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The thresholds that runs of one label meet, by component.

    ``row`` is the label each component is ranked within, as its place in :attr:`Ranks.labels`; ``n`` the
    calibration runs there, 0 where the component has to skip; ``feeds_pages`` where they are enough for pages and
    rollbacks to get drip. ``block`` is how many runs make one bet.
    """

    row: Ints
    n: Ints
    q: Ints
    limit: Floats
    limit_tie: Floats
    has_rank: Bools
    feeds_pages: Bools
    block: Ints

    @staticmethod
    def join(places: Sequence["Places"]) -> "Places":
        """The components of several targets behind one another, so that one update serves them all."""
        return Places(
            *(np.concatenate([getattr(p, name) for p in places], axis=-1) for name in Places.__slots__)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """The frozen calibration of a scope's components.

    ``n`` is by label and component, ``limits`` by label, threshold and component, each a pair of score and tie
    break; ``blocks`` has the components that bet on means of several runs. ``digest`` tells two apart.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    n: Ints
    limits: Floats
    blocks: Mapping[str, int]
    digest: bytes
    _places: Mapping[str, Places] = field(repr=False)

    def places(self, label: str) -> Places:
        """What a run of this label is ranked against, component by component.

        Within the label where the component has calibration runs of it, else within the unlabelled ones.
        """
        return self._places.get(label, self._places[UNLABELLED])

    def calibration_runs(self) -> dict[str, int]:
        """How many calibration runs each component has, under all labels together; of blocks, the runs in them."""
        return {
            name: int(n) * self.blocks.get(name, 1)
            for name, n in zip(self.names, self.n.sum(axis=0), strict=True)
        }


def rank(calibration: Mapping[str, Sequence[Calibrated]], blocks: Mapping[str, int] | None = None) -> Ranks:
    """The thresholds of each named component, from the scores of the calibration runs in order of time.

    A NaN score is left out, as the run would be. A component in ``blocks`` is averaged over so many consecutive
    runs, whatever their labels; the others are ranked within their labels.
    """
    lengths = _lengths(calibration, blocks or {})
    ranked = [_by_label(runs, lengths.get(name, 1)) for name, runs in calibration.items()]
    labels = tuple(sorted({label for one in ranked for label in one})) or (UNLABELLED,)
    shape = (len(labels), len(ranked))
    n = np.array([[len(one.get(label, ())) for one in ranked] for label in labels], dtype=np.int64)
    limits = np.array([[thresholds(one.get(label, ())) for one in ranked] for label in labels])
    n, limits = n.reshape(shape), limits.reshape(*shape, THRESHOLDS, 2).swapaxes(1, 2).copy()
    names = tuple(calibration)
    block = np.array([lengths.get(name, 1) for name in names], dtype=np.int64)
    places = {label: _places(label, labels, n, limits, block) for label in {UNLABELLED, *labels}}
    n.setflags(write=False)
    limits.setflags(write=False)
    return Ranks(names, labels, n, limits, lengths, _digest(names, labels, n, limits, block), places)


def _lengths(calibration: Mapping[str, Sequence[Calibrated]], blocks: Mapping[str, int]) -> dict[str, int]:
    for name, length in blocks.items():
        if length < 1:
            raise ValueError(f"a block of {name} is {length} runs; it must be one or more")
    return {name: length for name, length in blocks.items() if length > 1 and name in calibration}


def _by_label(runs: Sequence[Calibrated], length: int) -> dict[str, list[Ranked]]:
    """The runs that have a score, by label; in blocks, which have no labels, when ``length`` is more than one."""
    found: dict[str, list[Ranked]] = {}
    for score, tie, label in runs:
        if not math.isnan(score):
            found.setdefault(label if length == 1 else UNLABELLED, []).append((orderable(score), tie))
    if length == 1:
        return found
    return {label: in_blocks(ranked, length) for label, ranked in found.items()}


def _places(label: str, labels: tuple[str, ...], n: Ints, limits: Floats, block: Ints) -> Places:
    c = n.shape[1]
    fallback = labels.index(UNLABELLED) if UNLABELLED in labels else -1
    own = labels.index(label) if label in labels else fallback
    row = np.full(c, max(own, 0), dtype=np.int64)
    if fallback >= 0:
        row = np.where(n[own] > 0, own, fallback)
    columns = np.arange(c)
    # A run of a label that nothing was calibrated for has no rank: its components skip.
    found = n[row, columns] if own >= 0 else np.zeros(c, dtype=np.int64)
    limit = limits[row, :, columns].reshape(c, THRESHOLDS, 2)
    places = Places(
        row=row,
        n=found,
        q=tail_ranks(found),
        limit=np.ascontiguousarray(limit[..., 0].T),
        limit_tie=np.ascontiguousarray(limit[..., 1].T),
        has_rank=found > 0,
        feeds_pages=found >= PAGE_CALIBRATION_MIN,
        block=block,
    )
    for name in Places.__slots__:
        getattr(places, name).setflags(write=False)
    return places


def _digest(names: tuple[str, ...], labels: tuple[str, ...], n: Ints, limits: Floats, block: Ints) -> bytes:
    digest = blake2b(repr((names, labels, block.tolist())).encode(), digest_size=8)
    digest.update(n.tobytes())
    digest.update(limits.tobytes())
    return digest.digest()
