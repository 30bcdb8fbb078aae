"""Two files of completions, side by side: which answers are compared, and which move together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..completion import Completion, Run

ANSWERS_MAX = 500
"""The most answers of a canary that are compared, on each side; of more, evenly spread ones are, and a note says so."""

RUN_SIZES_MAX = 1.5
"""How many times as many answers the runs of one side may hold before that is told."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class CanaryPair:
    """The answers to one canary, those of the base first.

    ``units`` are the numbers, within ``group``, of the runs that the answers came from: whole units are permuted.
    """

    canary: str
    answers: tuple[Completion, ...]
    is_current: Bools
    units: Ints
    group: int

    @property
    def base(self) -> int:
        """How many of the answers are the base's."""
        return int((~self.is_current).sum())

    @property
    def current(self) -> int:
        """How many of the answers are the current side's."""
        return int(self.is_current.sum())


@dataclass(frozen=True, slots=True)
class Group:
    """Units that may change sides with each other: runs of the same canaries, or the answers to one."""

    is_current: Bools


@dataclass(frozen=True, slots=True)
class Requests:
    """What one side holds."""

    runs: int
    answered: int
    failed: int
    errors: Mapping[str, int]
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Everything that is compared, and what could not be. ``canaries_shared`` were asked on both sides."""

    pairs: tuple[CanaryPair, ...]
    groups: tuple[Group, ...]
    base: Requests
    current: Requests
    only_base: tuple[str, ...]
    only_current: tuple[str, ...]
    canaries_shared: int
    runs_given: bool
    notes: tuple[str, ...]

    @property
    def answers(self) -> tuple[int, int]:
        """How many answers are compared: the base's, and the current side's."""
        return sum(pair.base for pair in self.pairs), sum(pair.current for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class _Row:
    completion: Completion
    is_current: bool
    unit: tuple[bool, str]


def pair_up(base: Sequence[Run], current: Sequence[Run], *, with_failed: bool = False) -> Pairing:
    """Put the answers to the same canaries side by side; failed requests are left out, or taken along.

    A run of several completions stays together. Where one side has such runs and the other has none, their answers
    are not alike in how they depend on each other: each is taken for a run of its own then, and a note says so.
    """
    notes: list[str] = []
    has_runs = (_has_runs(base), _has_runs(current))
    if has_runs[0] != has_runs[1]:
        which = "current" if has_runs[0] else "base"
        notes.append(
            f"The {which} side has no runs of several answers, the other has: every answer is taken as independent of "
            "the others. If answers of one run are alike, the p-values are too small; give both sides a `run`."
        )
    together = all(has_runs)
    if together and not _are_alike(base, current):
        notes.append(
            "The runs of one side hold many more answers than those of the other: the p-values are only roughly right. "
            "Compare runs that were made in the same way."
        )
    rows = [
        row
        for side, runs in ((False, base), (True, current))
        for row in _rows(runs, side, together, with_failed)
    ]
    by_canary: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_canary[row.completion.canary].append(row)
    shared = [name for name, found in by_canary.items() if len({row.is_current for row in found}) == 2]
    asked = [dict.fromkeys(one.canary for run in runs for one in run.completions) for runs in (base, current)]
    thinned = {name: _thinned(by_canary[name], notes) for name in shared}
    pairs, groups = _grouped(thinned)
    return Pairing(
        pairs=pairs,
        groups=groups,
        base=_requests(base),
        current=_requests(current),
        only_base=tuple(name for name in asked[0] if name not in asked[1]),
        only_current=tuple(name for name in asked[1] if name not in asked[0]),
        canaries_shared=sum(name in asked[1] for name in asked[0]),
        runs_given=together,
        notes=tuple(notes),
    )


def _are_alike(base: Sequence[Run], current: Sequence[Run]) -> bool:
    sizes = [sum(len(run.completions) for run in runs) / len(runs) for runs in (base, current)]
    return max(sizes) <= RUN_SIZES_MAX * min(sizes)


def _has_runs(runs: Sequence[Run]) -> bool:
    return any(len(run.completions) > 1 for run in runs)


def _rows(runs: Sequence[Run], is_current: bool, together: bool, with_failed: bool) -> Iterable[_Row]:
    for run in runs:
        for number, completion in enumerate(run.completions):
            if completion.is_answered or with_failed:
                unit = run.id if together else f"{run.id}\n{number}"
                yield _Row(completion, is_current, (is_current, unit))


def _thinned(rows: Sequence[_Row], notes: list[str]) -> list[_Row]:
    kept: list[_Row] = []
    for side in (False, True):
        own = [row for row in rows if row.is_current is side]
        if len(own) > ANSWERS_MAX:
            name = own[0].completion.canary
            notes.append(f"{name}: {ANSWERS_MAX:,} of {len(own):,} answers of one side are compared.")
            own = [own[i * len(own) // ANSWERS_MAX] for i in range(ANSWERS_MAX)]
        kept += own
    return kept


def _grouped(rows: Mapping[str, Sequence[_Row]]) -> tuple[tuple[CanaryPair, ...], tuple[Group, ...]]:
    """Canaries that share a run are of one group: what moves one of them moves the others."""
    root: dict[tuple[bool, str] | str, tuple[bool, str] | str] = {}

    def find(node: tuple[bool, str] | str) -> tuple[bool, str] | str:
        while (above := root.setdefault(node, node)) != node:
            root[node] = root[above]
            node = above
        return node

    for canary, found in rows.items():
        for row in found:
            root[find(row.unit)] = find(canary)
    numbers: dict[tuple[bool, str] | str, int] = {}
    units: list[dict[tuple[bool, str], int]] = []
    pairs = []
    for canary, found in rows.items():
        group = numbers.setdefault(find(canary), len(numbers))
        if group == len(units):
            units.append({})
        own = units[group]
        pairs.append(
            CanaryPair(
                canary=canary,
                answers=tuple(row.completion for row in found),
                is_current=np.array([row.is_current for row in found]),
                units=np.array([own.setdefault(row.unit, len(own)) for row in found], dtype=np.intp),
                group=group,
            )
        )
    groups = tuple(Group(np.array([side for side, _ in own])) for own in units)
    return tuple(pairs), groups


def _requests(runs: Sequence[Run]) -> Requests:
    completions = [completion for run in runs for completion in run.completions]
    errors: dict[str, int] = defaultdict(int)
    for completion in completions:
        if not completion.is_answered:
            errors[completion.outcome.value] += 1
    failed = sum(errors.values())
    models = dict.fromkeys(one.served_model for one in completions if one.served_model)
    return Requests(len(runs), len(completions) - failed, failed, dict(errors), tuple(models))
