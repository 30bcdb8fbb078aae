"""From a run to verdicts: proofs, the life of the baseline, the ledger's bets; all in the run's own transaction."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts.evidence.assumptions import Assumptions, check
from alerts.evidence.bets import tie_break
from alerts.evidence.ledger import Budgets, Ledger, Observation, observe, open_ledger
from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.incident import AlertRule, Transition
from alerts.intake import receive
from alerts.rollback import RollbackRule
from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus, freeze
from canaries.baseline_store import (
    BaselineSummary,
    collected_ids,
    current_baseline,
    ensure_baseline,
    list_baselines,
    load_baseline,
    load_history,
    restart_collection,
    retire_baseline,
    save_baseline,
    save_history,
)
from canaries.completion import Run
from canaries.contract import Contract, describe_change
from canaries.features import RunFeatures
from canaries.proofs import Proof, ProofKind, judge, judge_answering
from canaries.scores import CANARY_PREFIX
from canaries.store import Content, load_features
from canaries.suite import Suite

from . import store
from .drift import DriftMemory, incident_key, remember, verdict

SILENT_SHOWN = 5
"""How many canaries without an answer a finding names."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A target under watch, as this flow needs to know it.

    ``share`` is the target's part of the page budget of the deployment, ``slot_s`` the time between scheduled runs.
    ``proofs`` overrides how loud a kind of proof is (``None``: not told at all).
    """

    name: str
    suite_name: str
    suite: Suite | None
    contract: Contract
    slot_s: float
    share: float = 1.0
    baseline_runs: int = 168
    freezes_itself: bool = True
    min_answered_share: float = 0.8
    down_after: int = 3
    content: Content = Content.FULL
    rule: AlertRule = field(default_factory=AlertRule)
    proofs: Mapping[ProofKind, Severity | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class House:
    """What all targets of a deployment share: its secret, its budgets, its rollbacks.

    ``frozen`` keeps the frozen baselines that were read: they never change, and reading one takes a while.
    """

    secret: bytes
    budgets: Budgets = field(default_factory=Budgets)
    rollbacks: Mapping[str, RollbackRule] = field(default_factory=dict)
    frozen: dict[str, Baseline] = field(default_factory=dict)

    def tie(self, run_id: str) -> float:
        """The number that orders a run among runs with the same score."""
        return tie_break(self.secret, run_id)

    def frozen_baseline(self, session: Session, baseline_id: str) -> Baseline:
        """The frozen baseline of this id."""
        if baseline_id not in self.frozen:
            self.frozen[baseline_id] = load_baseline(session, baseline_id)
        return self.frozen[baseline_id]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a run did: its scores, the page evidence after it, and the transitions of incidents.

    ``has_frozen`` tells that its baseline was frozen by it, ``freezing_problem`` why it could not be although due;
    ``notes`` are sentences about what else happened to the baseline.
    """

    run_id: str
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    has_frozen: bool = False
    freezing_problem: str = ""
    notes: tuple[str, ...] = ()


def settle(
    session: Session, watched: Watched, house: House, run: Run, features: RunFeatures, now: datetime
) -> Settled:
    """Store ``run`` with everything that follows from it. A run that is stored already changes nothing.

    ``features`` are the run's, made before the transaction begins: expectations may take their time.
    """
    if canary_store.has_ended(session, run.id):
        return Settled(run.id)
    contract_hash = watched.contract.hash
    current, notes = _current_baseline(session, watched, contract_hash, now)
    is_frozen = current.status is BaselineStatus.FROZEN
    is_refused = current.contract_hash != contract_hash
    baseline = house.frozen_baseline(session, current.id) if is_frozen and not is_refused else None
    proven = _prove(session, watched, features, baseline, current, is_refused=is_refused)
    collects = not is_frozen and _may_be_collected(session, watched, features, proven)
    canary_store.save_run(session, run, features, watched.content, current.id if collects else None)

    # Whether a refused target still drifts, nobody can say: its incident is held until the baseline is retired.
    weighed = _Weighed() if is_refused else _weigh(session, watched, house, baseline, features, run.at)
    frozen = Freezing() if is_frozen else _freeze_when_due(session, watched, house, current.id, now)
    changes = _changes(session, watched, house, current) if is_refused else ()
    verdicts = [*proven, _baseline_verdict(watched, changes, frozen.problem)]
    verdicts += [one for one in (weighed.verdict, _coverage(session, watched, features)) if one is not None]
    transitions = receive(session, [(one, watched.rule) for one in verdicts], now, house.rollbacks)
    return Settled(
        run.id, weighed.scores, weighed.evidence, transitions, frozen.has_happened, frozen.problem, notes
    )


def _prove(
    session: Session,
    watched: Watched,
    features: RunFeatures,
    baseline: Baseline | None,
    current: BaselineSummary,
    *,
    is_refused: bool,
) -> list[Verdict]:
    """What the run proves without statistics; a collection that began on another model begins anew."""
    history = load_history(session, watched.name, current.suite)
    if is_refused:
        # A model or a check that its baseline did not know is the operator's own change, and no news: all that can
        # be proven of a target that is not what it was is whether it answers.
        judgement = judge_answering(features, history, watched.down_after)
    else:
        judgement = judge(features, history, baseline.reference if baseline else None, watched.down_after)
        if judgement.restarts_collection and current.status is BaselineStatus.COLLECTING:
            restart_collection(session, current.id)
    save_history(session, watched.name, current.suite, judgement.history)
    return proof_verdicts(watched, judgement.proofs)


def _coverage(session: Session, watched: Watched, features: RunFeatures) -> Verdict | None:
    """Whether the answers are enough to compare; nothing of a run without any: that is for the endpoint's proof.

    A share of failing requests would otherwise blind the watch without a word: such runs are neither compared nor
    collected, and a canary that never answers is not looked at.
    """
    if not any(answer.is_answered for answer in features.answers):
        return None
    key = coverage_key(watched.name)
    if features.answered_share == 1.0:
        return Verdict(key, Label.STEADY)  # so no canary was silent in all of the last runs, either
    # The run itself is stored by now, and the latest of them.
    runs = canary_store.recent_completed(session, watched.name, watched.down_after)
    thin = [run for run in runs if run.answered_share < watched.min_answered_share]
    silent = canary_store.silent_canaries(session, [run.id for run in runs])
    if len(runs) < watched.down_after or (len(thin) < len(runs) and not silent):
        return Verdict(key, Label.STEADY)
    if len(thin) == len(runs):
        summary = (
            f"{watched.name} is not watched: too few of its requests are answered to compare the answers"
        )
    else:
        summary = f"{watched.name} is watched in part: no answer to {', '.join(silent[:SILENT_SHOWN])}"
    failures = Counter(answer.outcome.value for answer in features.answers if not answer.is_answered)
    finding = Finding(
        severity=Severity.TICKET,
        source=Source.SELF_CHECK,
        summary=f"{summary}, in {len(runs)} runs in a row",
        labels={"target": watched.name},
        evidence=tuple((f"{outcome} in the last run", str(n)) for outcome, n in failures.most_common()),
    )
    return Verdict(key, Label.BREACHED, finding)


@dataclass(frozen=True, slots=True)
class _Weighed:
    verdict: Verdict | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)


def _weigh(
    session: Session,
    watched: Watched,
    house: House,
    baseline: Baseline | None,
    features: RunFeatures,
    at: datetime,
) -> _Weighed:
    """Score the run, bet on it, and say what that means; nothing when it has too few answers to be scored."""
    if baseline is None or baseline.scores is None:
        # Nothing is compared, so nothing drifts: an incident of an earlier baseline ends here.
        return _Weighed(Verdict(incident_key(watched.name), Label.STEADY, note="Its baseline was retired"))
    if features.answered_share < watched.min_answered_share:
        return _Weighed()
    scores = baseline.scores.score(features)
    shares = {name: share * watched.share for name, share in baseline.scores.weights().items()}
    saved = alert_store.load_ledger(session, watched.name, baseline.id)
    ledger = Ledger.from_json(saved.state_json) if saved else open_ledger(baseline.calibration)
    observation = Observation(features.run_id, at, watched.slot_s, house.tie(features.run_id), scores)
    step = observe(ledger, observation, shares, house.budgets)
    memory = remember(_memory(session, watched.name, baseline.id), step)

    canary_store.save_scores(session, features.run_id, baseline.id, scores)
    alert_store.save_ledger(session, watched.name, baseline.id, step.ledger.to_json(), features.run_id)
    store.save_memory(session, watched.name, baseline.id, memory.to_json())
    facts = (("baseline", _described(baseline)), ("run", features.run_id))
    drift = verdict(watched.name, memory, step.ledger, baseline.scores.describe(), facts)
    return _Weighed(drift, scores, step.evidence)


def _memory(session: Session, target: str, baseline_id: str) -> DriftMemory:
    text = store.load_memory(session, target, baseline_id)
    return DriftMemory.from_json(text) if text else DriftMemory()


def _described(baseline: Baseline) -> str:
    frozen = f", frozen {baseline.frozen_at:%Y-%m-%d %H:%M} UTC" if baseline.frozen_at else ""
    return f"{len(baseline.train_ids)} train and {len(baseline.calibration_ids)} calibration runs{frozen}"


def proof_verdicts(watched: Watched, proofs: tuple[Proof, ...]) -> list[Verdict]:
    """One verdict for each kind of proof that the run says something about: many broken checks are one incident."""
    verdicts = []
    for kind in ProofKind:
        ours = [proof for proof in proofs if proof.kind is kind]
        breached = [proof for proof in ours if proof.is_breached]
        severities = {proof.key: _severity(watched, proof) for proof in breached}
        told = [proof for proof in breached if severities[proof.key] is not None]
        key = proof_key(watched.name, kind)
        if told:
            severity = max(one for one in severities.values() if one is not None)
            verdicts.append(_proven(watched, key, kind, told, severity))
        elif ours:
            verdicts.append(Verdict(key, Label.STEADY))
    return verdicts


def proof_key(target: str, kind: ProofKind) -> str:
    """The key of the incidents that a kind of proof raises for a target."""
    return f"proof/{target}/{kind.value}"


def coverage_key(target: str) -> str:
    """The key of the incident that tells that a target is not, or not wholly, looked at."""
    return f"coverage/{target}"


def baseline_key(target: str) -> str:
    """The key of the incident that tells that a target has no baseline that it can be compared with."""
    return f"baseline/{target}"


def incident_keys(target: str) -> set[str]:
    """The keys of all incidents that a target can have."""
    proofs = {proof_key(target, kind) for kind in ProofKind}
    return {incident_key(target), coverage_key(target), baseline_key(target), *proofs}


def _severity(watched: Watched, proof: Proof) -> Severity | None:
    return watched.proofs.get(proof.kind, Severity[proof.severity_hint.name])


def _proven(watched: Watched, key: str, kind: ProofKind, proofs: list[Proof], severity: Severity) -> Verdict:
    more = f" (and {len(proofs) - 1} more)" if len(proofs) > 1 else ""
    finding = Finding(
        severity=severity,
        source=Source.PROOF,
        summary=f"{watched.name}: {proofs[0].summary}{more}",
        labels={"target": watched.name, "proof": kind.value},
        evidence=proofs[0].evidence,
    )
    # Rolling our release back brings neither the provider's old model nor its endpoint back; a check that never
    # failed and now always does may well be our own doing.
    is_confirmed = any(proof.is_confirmed for proof in proofs)
    return Verdict(key, Label.BREACHED, finding, wants_rollback=kind is ProofKind.VALIDATOR and is_confirmed)


def _changes(session: Session, watched: Watched, house: House, current: BaselineSummary) -> tuple[str, ...]:
    """How the target differs from what its frozen baseline was made of, a sentence each."""
    changes = describe_change(house.frozen_baseline(session, current.id).contract, watched.contract)
    is_renamed = current.suite != watched.suite_name
    return (f"suite: '{current.suite}' -> '{watched.suite_name}'", *changes) if is_renamed else changes


def _baseline_verdict(watched: Watched, changes: tuple[str, ...], freezing_problem: str) -> Verdict:
    """Whether the target has, or is on its way to, a baseline that it can be compared with."""
    key = baseline_key(watched.name)
    if changes:
        summary = (
            f"{watched.name} is not compared any more: it is not what its baseline was made of. "
            f"`anchorwatch baseline retire {watched.name}` starts a new one."
        )
    elif freezing_problem:
        summary = f"{watched.name} has collected its runs, but they make no baseline: {freezing_problem}"
    else:
        return Verdict(key, Label.STEADY)
    finding = Finding(
        severity=Severity.TICKET,
        source=Source.SELF_CHECK,
        summary=summary,
        labels={"target": watched.name},
        evidence=tuple(("changed", change) for change in changes),
    )
    return Verdict(key, Label.BREACHED, finding)


def baseline_of(session: Session, target: str, suite_name: str) -> BaselineSummary | None:
    """The baseline that the target is compared with, or that collects: a target has one suite at a time.

    A suite that was renamed, or that took the place of another, does not make a baseline fall silent.
    """
    current = current_baseline(session, target, suite_name)
    if current is not None:
        return current
    known = list_baselines(session, target)
    return next((one for one in known if one.status is not BaselineStatus.RETIRED), None)


def _current_baseline(
    session: Session, watched: Watched, contract_hash: str, now: datetime
) -> tuple[BaselineSummary, tuple[str, ...]]:
    """The target's baseline, and what is worth a word about it.

    A new one begins where there is none, or where the one that collects is outdated: nothing was compared with it
    yet, so nothing is lost but runs of another contract.
    """
    notes: tuple[str, ...] = ()
    current = baseline_of(session, watched.name, watched.suite_name)
    if current is not None:
        if current.status is BaselineStatus.FROZEN or current.contract_hash == contract_hash:
            return current, notes
        changes = describe_change(load_baseline(session, current.id).contract, watched.contract)
        notes = (f"The baseline of {watched.name} begins anew, as it was changed: {'; '.join(changes)}.",)
        retire_baseline(session, current.id, now)
    return ensure_baseline(session, watched.name, watched.suite_name, watched.contract, now), notes


def _may_be_collected(
    session: Session, watched: Watched, features: RunFeatures, proven: list[Verdict]
) -> bool:
    """Whether the run may become part of a baseline: answered, and no incident of its target open or opened by it."""
    if features.answered_share < watched.min_answered_share:
        return False
    if any(one.label is Label.BREACHED for one in proven):
        return False
    ours = {incident_key(watched.name), *(proof_key(watched.name, kind) for kind in ProofKind)}
    return not any(incident.key in ours for incident in alert_store.open_incidents(session))


@dataclass(frozen=True, slots=True)
class Freezing:
    """Whether a baseline was frozen just now, or why it could not be although it has its runs."""

    has_happened: bool = False
    problem: str = ""


def _freeze_when_due(
    session: Session, watched: Watched, house: House, baseline_id: str, now: datetime
) -> Freezing:
    if not watched.freezes_itself or len(collected_ids(session, baseline_id)) < watched.baseline_runs:
        return Freezing()
    try:
        freeze_baseline(session, house, baseline_id, now)
    except BaselineError as error:
        return Freezing(problem=str(error))
    return Freezing(has_happened=True)


def freeze_baseline(session: Session, house: House, baseline_id: str, now: datetime) -> Baseline:
    """The baseline, frozen on the runs it has collected. Raises BaselineError when they do not make one."""
    runs = load_features(session, collected_ids(session, baseline_id))
    frozen = freeze(load_baseline(session, baseline_id), runs, house.tie, now)
    save_baseline(session, frozen)
    return frozen


def assumptions(baseline: Baseline) -> Assumptions:
    """Whether the promise of the page budget is in force under a frozen baseline."""
    looked_at = [name for name in baseline.calibration if not name.startswith(CANARY_PREFIX)]
    covered = (baseline.frozen_at or baseline.created_at) - baseline.created_at
    values = {name: [value for value, _ in baseline.calibration[name]] for name in looked_at}
    return check(values, covered.total_seconds())
