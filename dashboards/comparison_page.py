"""A comparison as one page of its own: no other file, no script, nothing fetched."""

from pathlib import Path
from typing import Any

from canaries.compare import Comparison, Verdict
from canaries.compare.words import details, effect_words, headline
from dashboards.comparison_drawings import (
    EFFECT_HEIGHT,
    EFFECT_WIDTH,
    LABEL,
    ROW,
    WIDTH,
    evidence,
    interval,
    side_by_side,
)
from dashboards.pages import templates
from dashboards.words import Tone

CANARIES_SHOWN = 25
"""How many canaries the picture shows, those that moved most."""

TONES = {Verdict.SAME: Tone.CALM, Verdict.DIFFERENT: Tone.ALARM, Verdict.INCONCLUSIVE: Tone.CAUTION}


def render_comparison(found: Comparison, base: str, current: str) -> str:
    """The page as HTML; ``base`` and ``current`` are what the sides are called."""
    return templates.get_template("comparison.html").render(
        style=own_style(),
        headline=headline(found),
        details=details(found),
        tone=TONES[found.verdict],
        **drawn(found, base, current),
    )


def own_style() -> str:
    """The style of all pages, to stand in the page itself."""
    return (Path(__file__).parent / "static" / "anchorwatch.css").read_text(encoding="utf-8")


def drawn(found: Comparison, base: str, current: str) -> dict[str, Any]:
    """What the pictures, tables and answers of a comparison are made from."""
    smallest = max(found.reach.p_min, 1 / found.permutations)
    examples = [
        (one, *side_by_side(one.example.base, one.example.current))
        for one in found.canaries
        if one.example is not None
    ]
    return {
        "found": found,
        "base": base,
        "current": current,
        "scores": evidence(found.scores, found.settings.alpha, smallest),
        "canaries": evidence(found.canaries[:CANARIES_SHOWN], found.settings.alpha, smallest),
        "examples": examples,
        "interval": interval,
        "effect_words": effect_words,
        "size": {"width": WIDTH, "row": ROW, "label": LABEL, "effect": (EFFECT_WIDTH, EFFECT_HEIGHT)},
    }
