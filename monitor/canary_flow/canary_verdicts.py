"""What is proven, not looked at, or not comparable about a target, in the alert arm's words. Drift has ``drift``.

Pure: facts in, verdicts out.
"""

from collections import Counter
from dataclasses import dataclass

from alerts.finding import Finding, Label, Severity, Source, Verdict
from canaries.features import RunFeatures
from canaries.proofs import Proof, ProofKind

from ..drift import incident_key
from ..spending.spend import spend_key
from ..watched import Watched

SILENT_SHOWN = 5
"""How many canaries without an answer a finding names."""


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
    return {incident_key(target), coverage_key(target), baseline_key(target), spend_key(target), *proofs}


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
    return Verdict(
        key,
        Label.BREACHED,
        finding,
        wants_rollback=kind is ProofKind.VALIDATOR and is_confirmed,
        # What was not believed for a while, and is over by the time it could be, is no news.
        is_passing=all(proof.clean_runs for proof in proofs),
    )


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The last runs of a target: how many, how many with too few answers, and the canaries that never answered."""

    runs: int = 0
    thin: int = 0
    silent: tuple[str, ...] = ()


def coverage_verdict(watched: Watched, features: RunFeatures, last: LastRuns) -> Verdict | None:
    """Whether the answers are enough to compare; nothing of a run without any: that is for the endpoint's proof.

    A share of failing requests would otherwise blind the watch without a word: such runs are neither compared nor
    collected, and a canary that never answers is not looked at.
    """
    if not any(answer.is_answered for answer in features.answers):
        return None
    key = coverage_key(watched.name)
    if last.runs < watched.down_after or (last.thin < last.runs and not last.silent):
        return Verdict(key, Label.STEADY)
    if last.thin == last.runs:
        summary = (
            f"{watched.name} is not watched: too few of its requests are answered to compare the answers"
        )
    else:
        summary = f"{watched.name} is watched in part: no answer to {', '.join(last.silent[:SILENT_SHOWN])}"
    failures = Counter(answer.outcome.value for answer in features.answers if not answer.is_answered)
    finding = Finding(
        severity=Severity.TICKET,
        source=Source.SELF_CHECK,
        summary=f"{summary}, in {last.runs} runs in a row",
        labels={"target": watched.name},
        evidence=tuple((f"{outcome} in the last run", str(n)) for outcome, n in failures.most_common()),
    )
    return Verdict(key, Label.BREACHED, finding)


def baseline_verdict(watched: Watched, changes: tuple[str, ...], freezing_problem: str) -> Verdict:
    """Whether the target has, or is on its way to, a baseline that it can be compared with."""
    key = baseline_key(watched.name)
    if changes:
        summary = (
            f"{watched.name} is not compared any more: it is not what its baseline was made of. Undo the change, or "
            f'`anchorwatch baseline renew {watched.name} --why "..."` starts a new one.'
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
