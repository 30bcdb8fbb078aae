"""How often each canary gave which answer in each run, as one table of numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .features import RunFeatures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPEATS_RUNS_MIN = 3
"""An answer that fewer train runs gave is one of the canary's rare ones, which count as one."""

REPEATS_SHARE_MIN = 0.02
"""The same for an answer with a smaller share of the canary's train answers."""

_OTHER = ""
"""No answer has this hash."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of answers that are told apart: the columns of a table, canary after canary.

    ``known`` holds the answers of each canary that come back, by their hash. The last kind of each canary is "any
    other". Canaries without any answer that comes back have no columns: they tell nothing here.
    """

    known: Mapping[str, tuple[str, ...]]
    _columns: dict[str, dict[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        columns: dict[str, dict[str, int]] = {}
        first = 0
        for canary, answers in self.known.items():
            columns[canary] = {answer: first + i for i, answer in enumerate((*answers, _OTHER))}
            first += len(answers) + 1
        object.__setattr__(self, "_columns", columns)

    @property
    def canary_of(self) -> Ints:
        """The number of the canary that each column belongs to."""
        return np.repeat(np.arange(len(self.known)), [len(answers) + 1 for answers in self.known.values()])

    def table(self, runs: Sequence[RunFeatures]) -> Floats:
        """How many answers of each kind each run has, by run and column."""
        rows, columns = [], []
        for row, run in enumerate(runs):
            for answer in run.answers:
                own = self._columns.get(answer.canary)
                if own is not None and answer.is_answered:
                    rows.append(row)
                    columns.append(own.get(answer.answer_hash, own[_OTHER]))
        table = np.zeros((len(runs), len(self.canary_of)))
        np.add.at(table, (np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)), 1.0)
        return table


def kinds_of(train: Sequence[RunFeatures]) -> Kinds:
    """The kinds of answers to tell apart in runs like the ``train`` runs."""
    in_runs: dict[str, Counter[str]] = {}
    given: dict[str, Counter[str]] = {}
    for run in train:
        for canary, answers in run.answered().items():
            hashes = [answer.answer_hash for answer in answers]
            given.setdefault(canary, Counter()).update(hashes)
            in_runs.setdefault(canary, Counter()).update(set(hashes))
    known = {}
    for canary in sorted(given):
        few = REPEATS_SHARE_MIN * given[canary].total()
        # Sorted by how common they are, then by hash: the order must not depend on that of the runs.
        common = sorted(given[canary].items(), key=lambda item: (-item[1], item[0]))
        repeated = tuple(a for a, n in common if a and n >= few and in_runs[canary][a] >= REPEATS_RUNS_MIN)
        # One kind only, and hardly any other: nothing varies.
        if repeated and given[canary].total() > given[canary][repeated[0]]:
            known[canary] = repeated
    return Kinds(known)


def chi2_per_df(table: Floats, canary_of: Ints) -> Floats:
    """By canary, how much more its answers vary from run to run than those of independent samples; 1 is alike.

    Pearson's chi-square for homogeneity of the runs, over its degrees of freedom.
    """
    found = np.ones(int(canary_of.max(initial=-1)) + 1)
    for canary in range(len(found)):
        own = table[:, canary_of == canary]
        asked = own.sum(axis=1)
        own, asked = own[asked > 0], asked[asked > 0]
        share = own.sum(axis=0) / max(own.sum(), 1.0)
        own, share = own[:, share > 0], share[share > 0]
        freedom = (len(own) - 1) * (len(share) - 1)
        if freedom > 0:
            expected = asked[:, None] * share
            found[canary] = float(((own - expected) ** 2 / expected).sum()) / freedom
    return found
