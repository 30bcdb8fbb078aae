"""The outcome of a comparison in sentences for people."""

from collections.abc import Sequence

from .results import Comparison, ScoreResult, Verdict
from .scores import Unit

ALIKE_FROM = 1.5
"""The design effect from which it is told."""


def headline(found: Comparison) -> str:
    """The verdict as one sentence."""
    p = p_words(found.p_value)
    if found.verdict is Verdict.DIFFERENT:
        return f"The answers are different ({p})."
    if found.verdict is Verdict.INCONCLUSIVE:
        return f"Too little data to tell ({p})."
    if found.is_negligible:
        return f"The answers differ measurably ({p}), but by too little to mean anything."
    return f"No difference found ({p})."


def details(found: Comparison) -> list[str]:
    """Why, what the data could have shown, what would decide, and what else to know."""
    return [*_reasons(found), *_told(found), *_left_out(found), *found.pairing.notes]


def _reasons(found: Comparison) -> list[str]:
    if found.verdict is Verdict.INCONCLUSIVE:
        return _missing(found)
    strongest = found.strongest
    if found.p_value <= found.settings.alpha and strongest is not None:
        effect = "" if strongest.effect is None else f", {effect_words(strongest)}"
        moved = [one.canary for one in found.canaries if one.p_value <= found.settings.alpha]
        where = f"Canaries that moved by themselves: {listed(moved)}." if moved else _no_single(found)
        lines = [f"Most telling: {strongest.score.name} ({strongest.score.sees}){effect}.", where]
        return lines if found.is_beyond_floor or found.is_negligible else [*lines, _SIZE_UNSURE]
    share = f"{found.reach.detectable:.0%}"
    return [f"A change in {share} of the answers or more would probably have shown."]


_SIZE_UNSURE = (
    "That they differ is sure, by how much is not: no effect lies beyond its floor with its whole interval. "
    "More answers would tell."
)


def _no_single(found: Comparison) -> str:
    if all(one.base == one.current == 1 for one in found.canaries):
        return "One answer of each side does not tell whether its canary moved, only all of them together do."
    return "No single canary stands out."


def _missing(found: Comparison) -> list[str]:
    base, current = found.pairing.answers
    if not base or not current:
        return ["One side has no answer to any canary of the other."]
    reach = found.reach
    one, many = (
        ("run", "runs") if found.pairing.runs_given else ("answer to each canary", "answers to each canary")
    )
    why = f"Only a change in {reach.detectable:.0%} of the answers or more would probably have shown."
    if reach.p_min > found.settings.alpha:
        why = f"However far apart, these data cannot give a p-value below {reach.p_min:.2g}."
    return [why, f"About {reach.more:,} more {one if reach.more == 1 else many} on each side would decide."]


def _told(found: Comparison) -> list[str]:
    """Scores that do not decide, where they differ."""
    out = [r for r in found.scores if not r.decides and r.p_value <= found.settings.alpha]
    if not out:
        return []
    each = "; ".join(f"{r.score.name} {effect_words(r)}" for r in out)
    return [f"Not part of the verdict, and different: {each}."]


def _left_out(found: Comparison) -> list[str]:
    pairing, lines = found.pairing, []
    if found.reach.design_effect >= ALIKE_FROM:
        times = f"{found.reach.design_effect:.1f}"
        lines.append(f"Answers of one run are alike: it takes {times} times as many as of independent ones.")
    if set(pairing.base.models) != set(pairing.current.models):
        before, after = (listed(side.models) or "not told" for side in (pairing.base, pairing.current))
        lines.append(f"Served model of base: {before}; of current: {after}.")
    for side, only in (("base", pairing.only_base), ("current", pairing.only_current)):
        if only:
            lines.append(f"Only in {side}, and not compared: {listed(only)}.")
    for side, requests in (("base", pairing.base), ("current", pairing.current)):
        if requests.failed:
            kinds = ", ".join(f"{n} {kind}" for kind, n in requests.errors.items())
            lines.append(f"Requests of {side} that failed, and are not compared: {kinds}.")
    return lines


def p_words(p_value: float) -> str:
    """The p-value as it is written: ``p = 0.042``."""
    return f"p = {p_value:.2g}" if p_value < 0.9995 else "p = 1"


def effect_words(result: ScoreResult) -> str:
    """The effect with its interval: ``+12% (+8% to +15%)``; a dash where it cannot be told."""
    effect = result.effect
    if effect is None:
        return "–"
    value, low, high = (
        _written(number, result.score.unit) for number in (effect.value, effect.low, effect.high)
    )
    return f"{value} ({low} to {high})"


def _written(number: float, unit: Unit) -> str:
    if unit is Unit.RATIO:
        return f"{number:+.1%}"
    if unit is Unit.SHARE:
        return f"{100 * number:+.1f} points"
    if unit is Unit.NATS_APART:
        return f"{number:.3f} nats"
    if unit is Unit.DISTANCE:
        return f"{number:.3f}"
    return f"{number:+.3f}{' nats' if unit is Unit.NATS else ' sd'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The names in a row; of many the first few."""
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
