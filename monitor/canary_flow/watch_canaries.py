"""From a run to verdicts: proofs, the life of the baseline, the ledger's bets; all in the run's own transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts.finding import Label, Verdict
from alerts.incident import Transition
from alerts.intake import receive
from canaries.baseline import Baseline, BaselineStatus
from canaries.baseline_store import BaselineSummary, load_history, save_history
from canaries.completion import Run
from canaries.features import RunFeatures
from canaries.proofs import ProofKind, judge, judge_answering
from canaries.thinning import levels, samples_asked

from .. import store
from ..drift import DriftMemory, incident_key, remember
from ..drift import verdict as drift_verdict
from ..watched import House, Watched
from .baseline_life import Freezing, freeze_when_due, let_go_of_suspects, stand
from .baseline_succession import Refreshing, refresh_when_due
from .canary_verdicts import LastRuns, baseline_verdict, coverage_verdict, proof_key, proof_verdicts
from .guarantee import guarantee
from .weighing import Weighed, weigh


@dataclass(frozen=True, slots=True)
class Settled:
    """What a run did: its scores and bets, and the transitions of incidents.

    ``has_frozen`` tells that its baseline was frozen by it, ``freezing_problem`` why it could not be although due,
    ``refreshing_problem`` why no newer runs could take its place although due; ``notes`` are sentences about what else
    happened to the baseline, ``is_in_blocks`` tells that runs are ranked in blocks, as they stick together.
    """

    run_id: str
    weighed: Weighed = field(default_factory=Weighed)
    transitions: tuple[Transition, ...] = ()
    has_frozen: bool = False
    freezing_problem: str = ""
    refreshing_problem: str = ""
    notes: tuple[str, ...] = ()
    is_in_blocks: bool = False

    @property
    def scores(self) -> Mapping[str, float]:
        """The run's scores; none when it was not compared."""
        return self.weighed.scores

    @property
    def evidence(self) -> Mapping[str, float]:
        """The page evidence of each component after the run."""
        return self.weighed.evidence


def settle(
    session: Session, watched: Watched, house: House, run: Run, features: RunFeatures, now: datetime
) -> Settled:
    """Store ``run`` with everything that follows from it. A run that is stored already changes nothing.

    ``features`` are the run's, made before the transaction begins: expectations may take their time.
    """
    if canary_store.has_ended(session, run.id):
        return Settled(run.id)
    standing = stand(session, watched, house, now)
    current, is_refused = standing.current, not standing.is_comparable
    is_frozen = current.status is BaselineStatus.FROZEN
    baseline = house.frozen_baseline(session, current.id) if is_frozen and not is_refused else None
    proven = _prove(session, watched, features, baseline, current, now, is_refused=is_refused)
    collects = not is_frozen and _may_be_collected(session, watched, features, proven)
    canary_store.save_run(session, run, features, watched.content, current.id if collects else None)

    # Whether a refused target still drifts, nobody can say: its incident is held until the baseline is retired.
    weighed, drift = (
        (Weighed(), None) if is_refused else _weigh(session, watched, house, baseline, features, run.at)
    )
    frozen = Freezing() if is_frozen else freeze_when_due(session, watched, house, current.id, now)
    looked_at = coverage_verdict(watched, features, _last_runs(session, watched, features))
    verdicts = [*proven, baseline_verdict(watched, standing.changes, frozen.problem)]
    verdicts += [one for one in (drift, looked_at) if one is not None]
    transitions = receive(
        session,
        [(one, watched.rule) for one in verdicts],
        now,
        house.rollbacks,
        house.inhibitions,
        house.routing,
    )
    # After the incidents of this run: an open one keeps the baseline that it is about.
    refreshed = Refreshing() if is_refused else refresh_when_due(session, watched, house, current, now)
    return Settled(
        run.id,
        weighed,
        transitions,
        has_frozen=frozen.has_happened,
        freezing_problem=frozen.problem,
        refreshing_problem=refreshed.problem,
        notes=(*standing.notes, refreshed.note) if refreshed.note else standing.notes,
        is_in_blocks=baseline is not None and bool(baseline.blocks),
    )


def _prove(
    session: Session,
    watched: Watched,
    features: RunFeatures,
    baseline: Baseline | None,
    current: BaselineSummary,
    now: datetime,
    *,
    is_refused: bool,
) -> list[Verdict]:
    """What the run proves without statistics; a baseline that collects gives back the runs that this puts in doubt."""
    history = load_history(session, watched.name, current.suite)
    if is_refused:
        # A model or a check that its baseline did not know is the operator's own change, and no news: all that can
        # be proven of a target that is not what it was is whether it answers.
        judgement = judge_answering(features, history, watched.down_after)
    else:
        judgement = judge(features, history, baseline.reference if baseline else None, watched.down_after)
        let_go_of_suspects(session, current, judgement, features, now)
    if judgement.history != history:
        save_history(session, watched.name, current.suite, judgement.history)
    return proof_verdicts(watched, judgement.proofs)


def _may_be_collected(
    session: Session, watched: Watched, features: RunFeatures, proven: list[Verdict]
) -> bool:
    """Whether the run may become part of a baseline: answered, and no incident of its target open or opened by it."""
    if features.answered_share < watched.min_answered_share:
        return False
    expected = watched.contract.expected_samples()
    if samples_asked(features, expected) in levels(expected):
        return False  # thinned, as money ran short: it varies more than the runs that are to come
    if any(one.label is Label.BREACHED for one in proven):
        return False
    ours = {incident_key(watched.name), *(proof_key(watched.name, kind) for kind in ProofKind)}
    return not alert_store.open_of(session, ours)


def _last_runs(session: Session, watched: Watched, features: RunFeatures) -> LastRuns:
    if features.answered_share == 1.0:
        return LastRuns()  # no canary was silent in all of the last runs, so they need not be read
    # The run itself is stored by now, and the latest of them.
    runs = canary_store.recent_completed(session, watched.name, watched.down_after)
    thin = sum(run.answered_share < watched.min_answered_share for run in runs)
    return LastRuns(len(runs), thin, canary_store.silent_canaries(session, [run.id for run in runs]))


def _weigh(
    session: Session,
    watched: Watched,
    house: House,
    baseline: Baseline | None,
    features: RunFeatures,
    at: datetime,
) -> tuple[Weighed, Verdict | None]:
    """Score the run, bet on it, and say what that means; nothing when it has too few answers to be scored."""
    if baseline is None or baseline.scores is None:
        # Nothing is compared, so nothing drifts: an incident of an earlier baseline ends here.
        note = "Its baseline was retired: whether it still drifts is not known"
        return Weighed(), Verdict(incident_key(watched.name), Label.STEADY, note=note)
    if features.answered_share < watched.min_answered_share:
        return Weighed(), None
    before = _memory(session, watched.name, baseline.id)
    weighed = weigh(session, watched, house, baseline, features, at, in_question=before.drifting)
    memory = remember(before, weighed.bets)
    if memory != before:
        store.save_memory(session, watched.name, baseline.id, memory.to_json())
    facts = [
        ("baseline", _described(baseline)),
        ("guarantee", guarantee(house, baseline)),
        ("run", features.run_id),
    ]
    if weighed.label:
        facts.append(("ranked within", weighed.label))
    runs = weighed.bets.calibration_runs
    return weighed, drift_verdict(watched.name, memory, runs, baseline.describe(), tuple(facts))


def _memory(session: Session, target: str, baseline_id: str) -> DriftMemory:
    text = store.load_memory(session, target, baseline_id)
    return DriftMemory.from_json(text) if text else DriftMemory()


def _described(baseline: Baseline) -> str:
    frozen = f", frozen {baseline.frozen_at:%Y-%m-%d %H:%M} UTC" if baseline.frozen_at else ""
    return f"{len(baseline.train_ids)} train and {len(baseline.calibration_ids)} calibration runs{frozen}"
