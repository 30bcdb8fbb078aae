"""Proofs: what is certainly wrong with a run, without statistics and from the first hour."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from .completion import Outcome
from .features import RunFeatures
from .reference import ProofHistory, Reference, checks_of, seen_fingerprints, seen_models

FAILING_ANSWERS_MIN = 2
"""So many answers in a row, or of one run, must break such a check: one sample may be one unlucky draw."""

Checks = Mapping[str, Mapping[tuple[str, int], bool]]
"""Of each check, whether each answer passed it."""


class ProofKind(StrEnum):
    """What a proof is about."""

    SERVED_MODEL = "served_model"
    FINGERPRINT = "fingerprint"
    ENDPOINT_DOWN = "endpoint_down"
    VALIDATOR = "validator"


class Loudness(StrEnum):
    """How loudly to tell people, unless they configured it otherwise."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Proof:
    """One look at one thing that needs no statistics: breached or not.

    ``key`` names the thing for ever, within its target. A thing that a run says nothing about has no proof in its
    judgement: whatever was said of it before still stands. ``restarts_collection`` asks to begin the collecting
    baseline anew, as its runs are of something else.
    """

    key: str
    kind: ProofKind
    is_breached: bool
    summary: str
    evidence: tuple[tuple[str, str], ...] = ()
    severity_hint: Loudness = Loudness.PAGE
    restarts_collection: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run proves, and the history to carry on."""

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
    if not run.answers:
        return Judgement((), history)
    is_down = not any(answer.is_answered for answer in run.answers)
    history = replace(history, down_runs=history.down_runs + 1 if is_down else 0)
    down = _endpoint_down(run, history.down_runs, down_after)
    if is_down:
        return Judgement((down,), history)
    reference = frozen or history.reference
    checks = checks_of(run)
    failing = _failing(checks, reference, history.failing)
    facts = [_served_model(run, reference, frozen is None), _fingerprint(run, reference)]
    proofs = (down, *(fact for fact in facts if fact), *_validators(checks, reference, failing))
    if frozen is None:
        # A check that fails just now is not learned as one that fails: that would end its own incident.
        learned = reference.learn(run, except_checks=frozenset(failing))
        recovered = history.failing.keys() - failing.keys()
        failed = tuple(sorted({*learned.failed_checks, *recovered}))
        history = replace(history, reference=replace(learned, failed_checks=failed))
    history = replace(history, failing=failing)
    return Judgement(proofs, history.restarted() if any(p.restarts_collection for p in proofs) else history)


def _endpoint_down(run: RunFeatures, down_runs: int, down_after: int) -> Proof:
    outcomes = Counter(answer.outcome for answer in run.answers)
    evidence = [(f"{outcome.value} in the last run", str(n)) for outcome, n in outcomes.most_common()]
    if set(outcomes) == {Outcome.AUTH}:
        what = "The endpoint refuses our credentials"
    elif set(outcomes) == {Outcome.RATE_LIMIT}:
        what = "The endpoint refuses every request for its rate limit"
    else:
        what = "The endpoint does not answer"
    is_breached = down_runs >= down_after
    summary = f"{what}: {down_runs} runs in a row without any answer" if down_runs else "The endpoint answers"
    return Proof(
        ProofKind.ENDPOINT_DOWN,
        ProofKind.ENDPOINT_DOWN,
        is_breached,
        summary,
        (("runs without an answer", str(down_runs)), *evidence) if is_breached else (),
    )


def _served_model(run: RunFeatures, reference: Reference, is_collecting: bool) -> Proof | None:
    seen = seen_models(run)
    unknown = seen - set(reference.models)
    if not seen:
        return None
    if not unknown or not reference.models or reference.has_too_many_models:
        return _fine(ProofKind.SERVED_MODEL, "The served model is a known one")
    return Proof(
        ProofKind.SERVED_MODEL,
        ProofKind.SERVED_MODEL,
        is_breached=True,
        summary=f"The endpoint serves a model it never served before: {_listed(unknown)}",
        evidence=(("served now", _listed(seen)), ("served before", _listed(reference.models))),
        restarts_collection=is_collecting,
    )


def _fingerprint(run: RunFeatures, reference: Reference) -> Proof | None:
    seen, known = seen_fingerprints(run), set(reference.fingerprints)
    if not seen:
        return None
    if reference.has_random_fingerprints:
        return _fine(ProofKind.FINGERPRINT, "Fingerprints change with most runs here and tell nothing")
    if seen <= known or not known:
        return _fine(ProofKind.FINGERPRINT, "The system fingerprint is a known one")
    is_replaced = not seen & known
    is_certain = is_replaced and reference.has_stable_fingerprints
    what = "replaced all known ones" if is_replaced else "appeared beside known ones"
    return Proof(
        ProofKind.FINGERPRINT,
        ProofKind.FINGERPRINT,
        is_breached=True,
        summary=f"A new system fingerprint {what}: {_listed(seen - known)}",
        evidence=(
            ("seen now", _listed(seen)),
            ("seen before", _listed(reference.fingerprints)),
            ("runs before without a new one", str(reference.runs_since_new_fingerprint)),
        ),
        severity_hint=Loudness.PAGE if is_certain else Loudness.TICKET,
    )


def _failing(checks: Checks, reference: Reference, before: Mapping[str, int]) -> dict[str, int]:
    """The never failing ``checks`` that all samples of a run break, or broke when they were last seen."""
    failing = {check: n for check, n in before.items() if check not in checks}
    for check, samples in checks.items():
        if not any(samples.values()) and reference.never_fails(check):
            failing[check] = before.get(check, 0) + len(samples)
    return failing


def _validators(checks: Checks, reference: Reference, failing: Mapping[str, int]) -> list[Proof]:
    breaking = {answer for check, samples in checks.items() if check in failing for answer in samples}
    return [_validator(check, failing.get(check, 0), len(breaking), reference) for check in checks]


def _validator(check: str, failing: int, breaking: int, reference: Reference) -> Proof:
    key, runs = f"{ProofKind.VALIDATOR}/{check}", reference.passing_runs.get(check, 0)
    if failing == 0 or max(failing, breaking) < FAILING_ANSWERS_MIN:
        return _fine(ProofKind.VALIDATOR, f"Check {check} passes, or its failure proves nothing yet", key)
    return Proof(
        key,
        ProofKind.VALIDATOR,
        is_breached=True,
        summary=f"Check {check} fails in every sample; it never failed in {runs} runs before",
        evidence=(
            ("check", check),
            ("failing answers in a row", str(failing)),
            ("runs that passed", str(runs)),
        ),
    )


def _fine(kind: ProofKind, summary: str, key: str = "") -> Proof:
    return Proof(key or kind, kind, is_breached=False, summary=summary)


def _listed(values: set[str] | tuple[str, ...], most: int = 5) -> str:
    names = sorted(values)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
