"""What one run said, score by score: why it paged, or why it did not."""

from collections.abc import Mapping
from dataclasses import dataclass

from alerts.evidence.ledger import Kind
from canaries.baseline import ANCHOR, ANCHOR_SHARE, Baseline

from .weighing import Weighed

LEVELS = {0: "inside", 1: "outer 25 %", 2: "outer 5 %", 3: "beyond all"}
"""How far out a score lies, by the level that the ledger gives it, on either side."""


@dataclass(frozen=True, slots=True)
class ScoreExplained:
    """One score of a run: its value, where it lies among the calibration runs, and what the bets on it did.

    ``above`` of the ``calibration_runs`` it was ranked against have a smaller value, ``share`` is its part of the page
    budget. Evidence pages at 1, and begins again at 0 with the next run.
    """

    score: str
    value: float
    above: int
    calibration_runs: int
    place: str
    share: float
    evidence_before: float
    evidence: float
    alarms: tuple[str, ...]
    sees: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One run of a stream. Without ``scores`` it was not compared, and ``why`` says why."""

    run: str
    target: str
    why: str
    label: str = ""
    scores: tuple[ScoreExplained, ...] = ()


def explain(
    target: str,
    run_id: str,
    baseline: Baseline | None,
    anchor: Baseline | None,
    share: float,
    weighed: Weighed,
) -> Explanation:
    """Why the run said what it said; scores that paged come first, then by evidence. ``share`` is the target's."""
    if baseline is None or not weighed.scores:
        why = "it was not compared: " + (
            "the baseline was still collecting" if baseline is None else "it has too few answers"
        )
        return Explanation(run_id, target, why)
    scores = [_explained(name, baseline, anchor, share, weighed) for name in weighed.scores]
    scores.sort(key=_importance)
    alarmed = ", ".join(f"{one.score} ({', '.join(one.alarms)})" for one in scores if one.alarms)
    why = f"evidence reached 1 in {alarmed}" if alarmed else "no score's evidence reached 1"
    return Explanation(run_id, target, why, weighed.label, tuple(scores))


def _explained(
    name: str, baseline: Baseline, anchor: Baseline | None, share: float, weighed: Weighed
) -> ScoreExplained:
    alarms = [alarm for alarm in weighed.bets.alarms if alarm.component == name]
    reached = [alarm.evidence for alarm in alarms if alarm.kind is Kind.PAGE]
    if name == ANCHOR and anchor is not None:
        ranked, weight = anchor.calibration[anchor.anchor_name], ANCHOR_SHARE
    else:
        ranked = baseline.calibration.get(name, ())
        weight = baseline.weights().get(name, 0.0) * (1 - ANCHOR_SHARE if anchor else 1)
    within = [v for v, _, one in ranked if one == weighed.label] or [v for v, _, one in ranked if not one]
    value = weighed.scores[name]
    return ScoreExplained(
        score=name,
        value=value,
        above=sum(v < value for v in within),
        calibration_runs=len(within),
        place=_place(weighed.bets.beyond, name),
        share=weight * share,
        evidence_before=weighed.evidence_before.get(name, 0.0),
        evidence=reached[0] if reached else weighed.evidence.get(name, 0.0),
        alarms=tuple(alarm.kind.value for alarm in alarms),
        sees=baseline.describe().get(name, ""),
    )


def _importance(one: ScoreExplained) -> tuple[bool, bool, float, str]:
    return Kind.PAGE not in one.alarms, not one.alarms, -max(one.evidence, one.evidence_before), one.score


def _place(beyond: Mapping[str, int], name: str) -> str:
    level = beyond.get(name)
    if level is None:
        return "not bet on"
    side = "" if level == 0 else " high" if level > 0 else " low"
    return LEVELS[abs(level)] + side
