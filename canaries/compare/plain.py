"""A comparison as plain values for machines."""

from typing import Any

from .effects import Effect
from .results import CanaryResult, Comparison, ScoreResult
from .words import details, headline


def to_plain(found: Comparison) -> dict[str, Any]:
    """What ``--json`` prints: ``verdict``, ``p_value``, ``scores``, ``canaries`` and what they stand on."""
    pairing, reach = found.pairing, found.reach
    return {
        "verdict": found.verdict.value,
        "p_value": found.p_value,
        "summary": headline(found),
        "notes": details(found),
        "is_negligible": found.is_negligible,
        "is_beyond_floor": found.is_beyond_floor,
        "alpha": found.settings.alpha,
        "permutations": found.permutations,
        "is_exact": found.is_exact,
        "scores": [_score(result) for result in found.scores],
        "canaries": [_canary(result) for result in found.canaries],
        "base": {"runs": pairing.base.runs, "answers": pairing.answers[0], "failed": pairing.base.failed},
        "current": {
            "runs": pairing.current.runs,
            "answers": pairing.answers[1],
            "failed": pairing.current.failed,
        },
        "only_base": list(pairing.only_base),
        "only_current": list(pairing.only_current),
        "permuted": "runs" if pairing.runs_given else "answers",
        "p_min": reach.p_min,
        "detectable_share": reach.detectable,
        "design_effect": reach.design_effect,
        "more_needed": reach.more,
    }


def _score(result: ScoreResult) -> dict[str, Any]:
    effect = result.effect
    return {
        "name": result.score.name,
        "p_value": result.p_value,
        "p_value_alone": result.p_value_alone,
        "effect": None if effect is None else effect.value,
        "unit": result.score.unit.value,
        **_interval(effect),
        "floor": result.score.floor,
        "is_negligible": result.is_negligible,
        "is_beyond_floor": result.is_beyond_floor,
        "decides": result.decides,
    }


def _interval(effect: Effect | None) -> dict[str, Any]:
    if effect is None:
        return {"interval": None, "base": None, "current": None}
    return {"interval": [effect.low, effect.high], "base": effect.base, "current": effect.current}


def _canary(result: CanaryResult) -> dict[str, Any]:
    return {
        "canary": result.canary,
        "p_value": result.p_value,
        "p_value_alone": result.p_value_alone,
        "base_answers": result.base,
        "current_answers": result.current,
    }
