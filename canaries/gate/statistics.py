"""What a comparison means for a release.

A test asks whether anything changed; a release is stopped by what changed for people. So a difference stops it only
where it is both sure and large enough, and where the change is meant, only where something got worse.
"""

from collections.abc import Iterator

from ..compare import Comparison, ScoreResult, Verdict
from ..compare.scores import REFUSALS, UNFINISHED, VALIDATORS
from ..compare.words import details, effect_words, headline, p_words
from .config import Reaction
from .results import Check, Kind, Status

WORSE_WHEN_MORE = (VALIDATORS, REFUSALS, UNFINISHED)
"""Scores of which more is worse, whatever change was meant."""

_MORE = (
    "Ask the candidate more with --runs or --samples; a baseline with few answers needs more of them, too."
)


def statistics_checks(found: Comparison, floor: float, changes: Reaction) -> Iterator[Check]:
    """Whether the answers changed; and where a change is meant, whether they got worse."""
    yield _changed(found, floor, changes)
    if changes is Reaction.WARN:
        yield _worse(found, floor)


def _changed(found: Comparison, floor: float, changes: Reaction) -> Check:
    is_sure = found.p_value <= found.settings.alpha
    large = [one for one in _moved(found) if _is_large(one, floor)] if is_sure else []
    stops = changes is Reaction.FAIL

    def check(status: Status, summary: str, *more: str) -> Check:
        return Check(Kind.STATISTICS, "answers", status, summary, (*details(found), *more))

    if large:
        return check(Status.FAIL if stops else Status.WARN, headline(found))
    if is_sure:
        return check(
            Status.WARN,
            f"The answers differ measurably ({p_words(found.p_value)}), but by less than the floor.",
        )
    if found.verdict is Verdict.INCONCLUSIVE:
        return check(Status.INCONCLUSIVE if stops else Status.WARN, headline(found), _MORE)
    return check(Status.PASS, headline(found))


def _moved(found: Comparison) -> list[ScoreResult]:
    """The deciding scores that are out; where none is by itself, the one that is farthest out."""
    deciding = [one for one in found.scores if one.decides]
    out = [one for one in deciding if one.p_value <= found.settings.alpha]
    strongest = found.strongest
    return out or ([] if strongest is None else [strongest])


def _is_large(result: ScoreResult, floor: float) -> bool:
    """Whether the difference, as it was measured, counts; one that cannot be measured does."""
    return result.effect is None or abs(result.effect.value) >= max(floor, result.score.floor)


def _worse(found: Comparison, floor: float) -> Check:
    """Whether more answers are bad in a way that nobody means. Its p-values are adjusted for all scores."""
    looked_at = [one for one in found.scores if one.score.name in WORSE_WHEN_MORE]
    worse = [
        one
        for one in looked_at
        if one.p_value <= found.settings.alpha
        and one.effect is not None
        and one.effect.value >= max(floor, one.score.floor)
    ]
    lines = tuple(f"{one.score.name} {effect_words(one)}, {p_words(one.p_value)}" for one in looked_at)
    if worse:
        names = ", ".join(one.score.name for one in worse)
        return Check(Kind.STATISTICS, "worse", Status.FAIL, f"There are more of: {names}.", lines)
    return Check(
        Kind.STATISTICS,
        "worse",
        Status.PASS,
        "No sure rise of broken expectations, refusals or unfinished answers.",
        lines,
    )
