"""Runs as they might have been: with some answers moved, or made more ordinary. To tell what a baseline sees of it.

A moved answer is the answer to another canary of the suite, under a hash that was never seen: real text, but not of
this canary. In a suite of one canary it is as many words that were never seen. Everything that is measured beside the
text (checks, log-probabilities, latency, cost) stays as it was, so the scores of these get no help from a change that
nobody knows yet.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .features import AnswerFeatures, RunFeatures

if TYPE_CHECKING:
    from numpy.random import Generator  # 6 MB, which only those take who draw numbers

WORD_FIELDS = ("token_counts", "bigram_counts", "edge_counts")
"""The words of an answer, and which of them are next to each other, at its beginning and at its end."""

TEXT_FIELDS = (*WORD_FIELDS, "gap_counts", "length")
"""What a moved answer takes from the other one, beside a hash of its own; everything else it keeps."""

ORDINARY_OF = 3
"""A more ordinary answer is the most ordinary of so many."""

Answers = tuple[AnswerFeatures, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answers of a baseline's runs, by canary: what other runs are made of."""

    answers: Mapping[str, Answers]

    @classmethod
    def of(cls, runs: Sequence[RunFeatures]) -> "Recorded":
        """All answers that the ``runs`` got."""
        found: dict[str, list[AnswerFeatures]] = {}
        for run in runs:
            for canary, answers in run.answered().items():
                found.setdefault(canary, []).extend(answers)
        return cls({canary: tuple(answers) for canary, answers in sorted(found.items())})

    def moved(self, answer: AnswerFeatures, rng: "Generator") -> AnswerFeatures:
        """The ``answer`` moved to one that was never seen."""
        fresh = f"moved {rng.integers(1 << 62)}"
        others = [canary for canary in self.answers if canary != answer.canary]
        if not others:
            unseen: dict[str, Any] = {
                name: {f"{fresh} {part}": n for part, n in getattr(answer, name).items()}
                for name in WORD_FIELDS
            }
            return replace(answer, answer_hash=fresh, **unseen)
        donors = self.answers[others[rng.integers(len(others))]]
        donor = donors[rng.integers(len(donors))]
        return replace(answer, answer_hash=fresh, **{name: getattr(donor, name) for name in TEXT_FIELDS})


def move_share(
    runs: Sequence[RunFeatures],
    share: float,
    recorded: Recorded,
    rng: "Generator",
    only: Collection[str] | None = None,
) -> list[RunFeatures]:
    """The ``runs`` with this ``share`` of their answers moved: of all, or of those to the canaries in ``only``."""
    return _changed(runs, share, rng, lambda answer: recorded.moved(answer, rng), only)


def move_count(
    answers: Sequence[AnswerFeatures], count: int, recorded: Recorded, rng: "Generator"
) -> Answers:
    """The ``answers`` of a run to one canary with ``count`` of them moved."""
    chosen = set(rng.permutation(len(answers))[:count].tolist())
    return tuple(recorded.moved(one, rng) if i in chosen else one for i, one in enumerate(answers))


@dataclass(frozen=True, slots=True)
class Ordinary:
    """The recorded answers of each canary, the most ordinary first: as a lower temperature would prefer them."""

    answers: Mapping[str, Answers]

    @classmethod
    def of(cls, recorded: Recorded, surprise: Callable[[AnswerFeatures], float]) -> "Ordinary":
        """The ``recorded`` answers in the order of their ``surprise``."""
        return cls({canary: tuple(sorted(all_, key=surprise)) for canary, all_ in recorded.answers.items()})

    def sharpened(self, runs: Sequence[RunFeatures], share: float, rng: "Generator") -> list[RunFeatures]:
        """The ``runs`` with this ``share`` of their answers the most ordinary of ``ORDINARY_OF`` recorded ones."""
        return _changed(runs, share, rng, lambda answer: self._instead_of(answer, rng), self.answers)

    def _instead_of(self, answer: AnswerFeatures, rng: "Generator") -> AnswerFeatures:
        known = self.answers[answer.canary]
        return replace(known[int(rng.integers(len(known), size=ORDINARY_OF).min())], sample=answer.sample)


def _changed(
    runs: Sequence[RunFeatures],
    share: float,
    rng: "Generator",
    change: Callable[[AnswerFeatures], AnswerFeatures],
    only: Collection[str] | None,
) -> list[RunFeatures]:
    """Which answers is drawn over all runs together, so that it is this share of them and not about it."""
    rows = [list(run.answers) for run in runs]
    places = [
        (r, a)
        for r, row in enumerate(rows)
        for a, answer in enumerate(row)
        if answer.is_answered and (only is None or answer.canary in only)
    ]
    for i in rng.permutation(len(places))[: round(share * len(places))].tolist():
        r, a = places[i]
        rows[r][a] = change(rows[r][a])
    return [replace(run, answers=tuple(row)) for run, row in zip(runs, rows, strict=True)]
