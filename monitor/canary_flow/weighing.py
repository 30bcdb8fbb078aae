"""A run against what its target was: scored, and bet on; in the run's own transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts.evidence.ledger import Ledger, Observation, Step, is_steady, observe, open_ledger
from alerts.evidence.ranks import Ranks
from canaries.baseline import ANCHOR, ANCHOR_SHARE, REGIME, Baseline
from canaries.features import RunFeatures
from canaries.thinning import is_thinned

from ..drift import Bets
from ..watched import House, Watched
from .baseline_succession import anchor_of


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a run's scores are, and what betting on them did.

    ``label`` is the one within which the run was ranked. ``evidence`` is each component's page evidence after the run,
    ``evidence_before`` that before it.
    """

    label: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence_before: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)
    bets: Bets = field(default_factory=Bets)


def weigh(
    session: Session,
    watched: Watched,
    house: House,
    baseline: Baseline,
    run: RunFeatures,
    at: datetime,
    in_question: Collection[str],
) -> Weighed:
    """Score the ``run`` against its baseline, and against the first of its line, and bet on both; keeps the ledgers.

    ``in_question`` names the components of which it is asked whether they look steady again.
    """
    anchor = anchor_of(session, house, baseline)
    own = _Arm(
        watched.name, baseline, house.ranks(baseline), watched.share * (1 - ANCHOR_SHARE if anchor else 1)
    )
    arms = [own]
    if anchor is not None:
        arms.append(
            _Arm(f"{watched.name}/{ANCHOR}", anchor, house.anchor_ranks(anchor), watched.share * ANCHOR_SHARE)
        )
    steps = [_bet(session, arm, house, run, at, watched.slot_s, is_anchor=arm is not own) for arm in arms]
    scores = {name: value for one in steps for name, value in one.scores.items()}
    canary_store.save_scores(session, run.run_id, baseline.id, scores)
    return Weighed(
        label=steps[0].label,
        scores=scores,
        evidence_before={name: value for one in steps for name, value in one.evidence_before.items()},
        evidence={name: value for one in steps for name, value in one.step.evidence.items()},
        bets=Bets(
            alarms=tuple(alarm for one in steps for alarm in one.step.alarms),
            beyond={name: level for one in steps for name, level in one.step.beyond.items()},
            steady=frozenset(name for one in steps for name in one.steady(in_question)),
            calibration_runs={name: n for one in steps for name, n in one.calibration_runs().items()},
        ),
    )


@dataclass(frozen=True, slots=True)
class _Arm:
    """One ledger of a target: the baseline it compares with, and its share of the budget."""

    scope: str
    baseline: Baseline
    ranks: Ranks
    share: float


@dataclass(frozen=True, slots=True)
class _Bet:
    """One step of an arm's ledger."""

    label: str
    ranks: Ranks
    scores: Mapping[str, float]
    evidence_before: Mapping[str, float]
    step: Step

    def steady(self, in_question: Collection[str]) -> list[str]:
        return [
            name for name in in_question if name in self.ranks.names and is_steady(self.step.ledger, name)
        ]

    def calibration_runs(self) -> dict[str, int]:
        return dict(zip(self.ranks.names, self.ranks.places(self.label).n.tolist(), strict=True))


def _bet(
    session: Session,
    arm: _Arm,
    house: House,
    run: RunFeatures,
    at: datetime,
    slot_s: float,
    *,
    is_anchor: bool,
) -> _Bet:
    baseline, label = arm.baseline, arm.baseline.label(run)
    scores = baseline.anchor_score(run) if is_anchor else baseline.score(run)
    if is_thinned(label):
        # A block is a mean of full runs, and so are the regimes' ranks of full runs only.
        scores = {
            name: value for name, value in scores.items() if name not in arm.ranks.blocks and name != REGIME
        }
    weights = {ANCHOR: 1.0} if is_anchor else baseline.weights()
    saved = alert_store.load_ledger(session, arm.scope, baseline.id)
    ledger = Ledger.from_bytes(saved.state, arm.ranks) if saved else open_ledger(arm.ranks)
    observation = Observation(run.run_id, at, slot_s, house.tie(run.run_id), scores, label)
    shares = {name: weight * arm.share for name, weight in weights.items()}
    step = observe(arm.ranks, ledger, observation, shares, house.budgets, baseline.tickets_only())
    alert_store.save_ledger(session, arm.scope, baseline.id, step.ledger.to_bytes(), run.run_id)
    return _Bet(label, arm.ranks, scores, ledger.evidence(), step)
