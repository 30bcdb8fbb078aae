"""Which prompts become canaries: a spread of what is common, and of what is special."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from .clusters import NONE, Clusters
from .exchange import Edge
from .gathering import Prompt
from .language import language_of

EDGE_SHARE = 0.3
"""The share of picks that are edge cases, as far as there are any."""

CHARS_MAX = 20_000
"""A longer prompt is not picked: nobody checks it by eye, and each replay pays for it."""

LONG_SHARE = 0.05
"""The longest prompts are of this share of all."""


@dataclass(frozen=True, slots=True)
class Landscape:
    """All prompts and what was found of them, each by its number: near-duplicate group, cluster, direction."""

    prompts: Sequence[Prompt]
    weights: NDArray[np.float64]
    groups: NDArray[np.int64]
    clusters: Clusters
    rows: NDArray[np.float32]

    def share(self, cluster: int) -> float:
        """The share of all requests that are in the cluster."""
        return float(self.weights[self.clusters.of == cluster].sum() / self.weights.sum())


@dataclass(frozen=True, slots=True)
class Pick:
    """A prompt that may become a canary: for its ``edge``, or else for its cluster."""

    prompt: int
    cluster: int
    edge: Edge | None = None


def pick(landscape: Landscape, wanted: int, known: Iterable[int] = ()) -> list[Pick]:
    """So many prompts at most, the most worthwhile first, no two of them nearly the same.

    None is of the ``known`` groups of near-duplicates. Where people look at the first fifty only, they have seen the
    largest clusters and each kind of edge case.
    """
    picks: list[Pick] = []
    groups = set(known)
    common, special = _common(landscape, groups), _special(landscape)
    special_taken = 0
    while len(picks) < wanted:
        is_special_due = special_taken + 1 <= EDGE_SHARE * (len(picks) + 1)
        one = (_next(special, landscape, groups) if is_special_due else None) or next(common, None)
        one = one or _next(special, landscape, groups)
        if one is None:
            break
        special_taken += one.edge is not None
        groups.add(int(landscape.groups[one.prompt]))
        picks.append(one)
    return picks


def coverage(landscape: Landscape, picks: Iterable[Pick]) -> list[float]:
    """The share of requests that are in a cluster of the first pick, of the first two, of the first three, ..."""
    known, covered, shares = {NONE}, 0.0, []
    for one in picks:
        if one.cluster not in known:
            known.add(one.cluster)
            covered += landscape.share(one.cluster)
        shares.append(min(covered, 1.0))
    return shares


def _next(special: Iterator[Pick], landscape: Landscape, groups: set[int]) -> Pick | None:
    return next((one for one in special if int(landscape.groups[one.prompt]) not in groups), None)


def is_short(prompt: Prompt) -> bool:
    """Whether the prompt may be picked, whichever of its requests stands for it."""
    # The same question may have been asked after different conversations.
    return all(one.chars <= CHARS_MAX for one in prompt.exchanges)


def _common(landscape: Landscape, groups: set[int]) -> Iterator[Pick]:
    """One of each cluster, the largest first; then more, the square root of the size deciding (power allocation).

    In proportion to the size itself a few large clusters would take all, and without it rare ones would.
    """
    inner = [_Representatives(landscape, number, groups) for number in range(len(landscape.clusters.centres))]
    roots = [landscape.share(number) ** 0.5 for number in range(len(inner))]
    taken, is_open = [0] * len(inner), set(range(len(inner)))
    while is_open:
        number = max(is_open, key=lambda n: (taken[n] == 0, roots[n] / max(taken[n], 1), -n))
        found = inner[number].following()
        if found is None:
            is_open.remove(number)
        else:
            taken[number] += 1
            yield Pick(found, number)


class _Representatives:
    """The prompts of one cluster, its middle first, then each time the one that is least like those before."""

    def __init__(self, landscape: Landscape, cluster: int, groups: set[int]) -> None:
        self._landscape, self._groups = landscape, groups
        members = np.flatnonzero(landscape.clusters.of == cluster).tolist()
        self._members = np.array([n for n in members if is_short(landscape.prompts[n])], np.int64)
        self._likeness = np.full(len(self._members), -1.0, np.float32)
        self._is_first = True

    def following(self) -> int | None:
        """The next one that is not nearly the same as any that was picked."""
        is_free = np.array([int(self._landscape.groups[n]) not in self._groups for n in self._members], bool)
        if not is_free.any():
            return None
        if self._is_first:
            # Of those in the middle one that comes often; the logarithm, as the middle is what matters.
            often = 0.05 * np.log(self._landscape.weights[self._members])
            worth = self._landscape.clusters.nearness[self._members] + often
        else:
            worth = -self._likeness.astype(np.float64)
        self._is_first = False
        found = int(self._members[np.where(is_free, worth, -np.inf).argmax()])
        rows = self._landscape.rows
        self._likeness = np.maximum(self._likeness, rows[self._members] @ rows[found])
        return found


def _special(landscape: Landscape) -> Iterator[Pick]:
    """Edge cases, a kind after the other in turn."""
    kinds = [(edge, iter(found)) for edge, found in _by_edge(landscape).items()]
    while kinds:
        for kind in list(kinds):
            number = next(kind[1], None)
            if number is None:
                kinds.remove(kind)
            else:
                yield Pick(number, int(landscape.clusters.of[number]), kind[0])


def _by_edge(landscape: Landscape) -> Mapping[Edge, list[int]]:
    """The prompts of each kind of edge case, the best first."""
    short = [number for number, prompt in enumerate(landscape.prompts) if is_short(prompt)]
    found: dict[Edge, list[int]] = {edge: [] for edge in Edge}
    for number in short:
        for edge in landscape.prompts[number].edges():
            found[edge].append(number)
    of = landscape.clusters.of
    for edge, numbers in found.items():
        found[edge] = _spread(landscape, numbers, {number: int(of[number]) for number in numbers})
    languages = {number: language_of(landscape.prompts[number].first.question) for number in short}
    found[Edge.LANGUAGE] = _other_languages(landscape, languages)
    by_length = sorted(short, key=lambda number: (-landscape.prompts[number].first.chars, number))
    found[Edge.LONGEST] = by_length[: int(LONG_SHARE * len(short))]
    found[Edge.RAREST] = _rarest(landscape, short)
    return found


def _other_languages(landscape: Landscape, languages: Mapping[int, str]) -> list[int]:
    requests: Counter[str] = Counter()
    for number, language in languages.items():
        requests[language] += int(landscape.weights[number])
    requests.pop("", None)
    main = max(requests, key=lambda name: requests[name], default="")
    others = [number for number, language in languages.items() if language not in ("", main)]
    return _spread(landscape, others, languages)


def _spread(landscape: Landscape, numbers: Sequence[int], kinds: Mapping[int, object]) -> list[int]:
    """The numbers, most requests first, but so that each kind has its turn before one comes again."""
    turns: defaultdict[object, count[int]] = defaultdict(count)
    often = sorted(numbers, key=lambda number: (-landscape.weights[number], number))
    placed = [(next(turns[kinds[number]]), place, number) for place, number in enumerate(often)]
    return [number for _, _, number in sorted(placed)]


def _rarest(landscape: Landscape, short: Sequence[int]) -> list[int]:
    """Prompts of no cluster, the least like any cluster first."""
    alone = [number for number in short if landscape.clusters.of[number] == NONE]
    centres = landscape.clusters.centres
    likeness = (landscape.rows[alone] @ centres.T).max(axis=1, initial=0.0) if alone else np.zeros(0)
    return [alone[place] for place in np.argsort(likeness, kind="stable")]
