"""Proofs: what is wrong with a run, without a ledger and from the first hour."""

from dataclasses import dataclass, replace
from enum import StrEnum

from .features import RunFeatures
from .looks import Look, ProofKind, State, endpoint_down, fingerprint, served_model, validators
from .reference import Held, ProofHistory, Reference, checks_of

__all__ = ["Judgement", "Loudness", "Proof", "ProofKind", "judge", "judge_answering"]

CLEAN_RUNS = 6
"""A breached proof is over after so many clean runs in a row: what alternates is one long incident."""

ANSWERED_RUNS = 2
"""An endpoint that was down is up after so many answered runs in a row."""


class Loudness(StrEnum):
    """How loudly to tell people, unless they configured it otherwise."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Proof:
    """One look at one thing: breached or not. It stays breached until several runs in a row were clean.

    ``key`` names the thing for ever, within its target. A thing that a run says nothing about, and that is not
    breached, has no proof in its judgement. ``restarts_collection`` asks to begin the collecting baseline anew, as
    its runs are of something else. ``is_confirmed`` tells that a broken check failed on, for longer than its page
    needs. ``clean_runs`` of a breached one are those since that did not show it.
    """

    key: str
    kind: ProofKind
    is_breached: bool
    summary: str
    evidence: tuple[tuple[str, str], ...] = ()
    severity_hint: Loudness = Loudness.PAGE
    restarts_collection: bool = False
    is_confirmed: bool = False
    clean_runs: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run proves, the gravest first, and the history to carry on."""

    proofs: tuple[Proof, ...]
    history: ProofHistory

    @property
    def restarts_collection(self) -> bool:
        """Whether the collecting baseline has to begin anew."""
        return any(proof.restarts_collection for proof in self.proofs)


def judge(run: RunFeatures, history: ProofHistory, frozen: Reference | None, down_after: int) -> Judgement:
    """What ``run`` proves against the ``frozen`` reference, or else against the runs collected so far.

    ``down_after`` is the number of runs without any answer after which the endpoint counts as down.
    """
    answering = judge_answering(run, history, down_after)
    if not any(answer.is_answered for answer in run.answers):
        return answering
    is_collecting, reference = frozen is None, frozen or history.reference
    model, history = served_model(run, reference, answering.history, is_collecting=is_collecting)
    system, history = fingerprint(run, reference, history, is_collecting=is_collecting)
    checks, counted = validators(checks_of(run), reference, history)
    if is_collecting:
        counted = replace(counted, reference=_learned(run, history, counted))
    if model is not None and (model.state is State.BREACHED or model.key in history.held):
        # A new fingerprint is evidence of the same event.
        system = None
    proofs, history = _persisting([*(look for look in (model, system) if look), *checks], counted)
    proofs = (*answering.proofs, *proofs)
    judgement = Judgement((*proofs, *_unmentioned(proofs, history)), history)
    return replace(judgement, history=history.restarted()) if judgement.restarts_collection else judgement


def judge_answering(run: RunFeatures, history: ProofHistory, down_after: int) -> Judgement:
    """Whether the endpoint answers, and nothing else; the rest of the history is carried on as it is."""
    if not run.answers:
        return Judgement((), history)
    is_down = not any(answer.is_answered for answer in run.answers)
    history = replace(history, down_runs=history.down_runs + 1 if is_down else 0)
    return Judgement(*_persisting([endpoint_down(run, history.down_runs, down_after)], history))


def _learned(run: RunFeatures, before: ProofHistory, counted: ProofHistory) -> Reference:
    """The reference with the run in it; a check that failed for a while and recovered is one that fails."""
    # A check that fails just now is not learned as one that fails: that would end its own incident.
    learned = before.reference.learn(run, except_checks=frozenset(counted.failing))
    recovered = before.failing.keys() - counted.failing.keys()
    return replace(learned, failed_checks=tuple(sorted({*learned.failed_checks, *recovered})))


def _persisting(looks: list[Look], history: ProofHistory) -> tuple[tuple[Proof, ...], ProofHistory]:
    """A proof of each look, the gravest first, breached for as long as it was not clean in several runs."""
    held, proofs = dict(history.held), {}
    for look in looks:
        now = _held(look, held.pop(look.key, None))
        if now is not None:
            held[look.key] = now
        proofs[look.key] = _proof(look, now)
    ranks = {
        look.key: (proofs[look.key].is_breached, look.state is State.BREACHED, look.is_page) for look in looks
    }
    ordered = sorted(proofs.values(), key=lambda proof: ranks[proof.key], reverse=True)
    return tuple(ordered), replace(history, held=held)


def _held(look: Look, before: Held | None) -> Held | None:
    if look.state is State.BREACHED:
        return Held(look.is_page or (before is not None and before.is_page), look.summary, look.evidence)
    if before is None:
        return None
    if look.state is State.UNCLEAR:
        return replace(before, clean_runs=0)
    clean_runs = before.clean_runs + 1
    return replace(before, clean_runs=clean_runs) if clean_runs < _clean_runs_needed(look.key) else None


def _unmentioned(proofs: tuple[Proof, ...], history: ProofHistory) -> list[Proof]:
    """The breached proofs of which the run says nothing: they stand."""
    mentioned = {proof.key for proof in proofs}
    return [_repeated(key, held) for key, held in history.held.items() if key not in mentioned]


def _clean_runs_needed(key: str) -> int:
    return ANSWERED_RUNS if key == ProofKind.ENDPOINT_DOWN else CLEAN_RUNS


def _proof(look: Look, held: Held | None) -> Proof:
    if held is None:
        return Proof(look.key, _kind(look.key), is_breached=False, summary=look.summary)
    return replace(
        _repeated(look.key, held),
        restarts_collection=look.restarts_collection,
        is_confirmed=look.is_confirmed,
    )


def _repeated(key: str, held: Held) -> Proof:
    runs = "run" if held.clean_runs == 1 else f"{held.clean_runs} runs"
    clean = (
        (("clean", f"in the last {runs}, over after {_clean_runs_needed(key)}"),) if held.clean_runs else ()
    )
    return Proof(
        key,
        _kind(key),
        is_breached=True,
        summary=held.summary,
        evidence=(*held.evidence, *clean),
        severity_hint=Loudness.PAGE if held.is_page else Loudness.TICKET,
        clean_runs=held.clean_runs,
    )


def _kind(key: str) -> ProofKind:
    return ProofKind(key.partition("/")[0])
