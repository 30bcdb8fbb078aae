"""The life of a target's baseline: begun, collected, frozen, refused; each step in its caller's transaction.

How another baseline takes the place of a frozen one is in ``baseline_succession``.
"""

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from sqlmodel import Session

from alerts.incident import Incident
from alerts.store import open_of
from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus
from canaries.baseline_events import Actor, BaselineEvent, Event, latest_event, note_event
from canaries.baseline_store import (
    BaselineSummary,
    adopt_contract,
    collected_ids,
    current_baseline,
    ensure_baseline,
    let_go_of_last,
    list_baselines,
    load_baseline,
    restart_collection,
    retire_baseline,
    save_baseline,
)
from canaries.contract import added_canaries, describe_change, removed_canaries
from canaries.features import RunFeatures
from canaries.proofs import Judgement
from canaries.reference import CHECK_PREFIX
from canaries.store import load_features

from ..watched import House, Watched
from .baseline_succession import canaries_removed
from .canary_verdicts import baseline_key, incident_keys
from .guarantee import frozen_on


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a target stands with its baseline before a run is settled.

    ``is_comparable`` tells that the run may be compared with ``current`` or collected for it. Where it is not,
    ``changes`` say how the target differs from what the baseline was made of; without any, the baseline has just taken
    the place of another, and the next run is compared with it. ``notes`` are worth a word in the log.
    """

    current: BaselineSummary
    is_comparable: bool = True
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def baseline_of(session: Session, target: str, suite_name: str) -> BaselineSummary | None:
    """The baseline that the target is compared with, or that collects: a target has one suite at a time.

    A suite that was renamed, or that took the place of another, does not make a baseline fall silent.
    """
    current = current_baseline(session, target, suite_name)
    if current is not None:
        return current
    known = list_baselines(session, target)
    return next((one for one in known if one.status is not BaselineStatus.RETIRED), None)


def stand(session: Session, watched: Watched, house: House, now: datetime) -> Standing:
    """Where the target stands with its baseline; one begins where there is none.

    A baseline that collects follows every change of its target: nothing was compared with it yet, so nothing is lost
    but runs of another contract. A frozen one goes on when canaries were added, is made anew from its own runs when
    some were removed, and refuses to compare after any other change.
    """
    current = baseline_of(session, watched.name, watched.suite_name)
    if current is None:
        return Standing(ensure_baseline(session, watched.name, watched.suite_name, watched.contract, now))
    is_same = current.contract_hash == watched.contract.hash
    if current.status is BaselineStatus.FROZEN:
        return _with_frozen(session, watched, house, current, now, is_same=is_same)
    return Standing(current) if is_same else _collecting_anew(session, watched, current, now)


def _with_frozen(
    session: Session,
    watched: Watched,
    house: House,
    current: BaselineSummary,
    now: datetime,
    *,
    is_same: bool,
) -> Standing:
    latest = latest_event(session, watched.name, current.id)
    if is_same:
        if latest is not None and latest.event in (BaselineEvent.REFUSED, BaselineEvent.CANARY_ADDED):
            why = "the target is again what it was made of"
            note_event(session, _event(current, now, BaselineEvent.ACCEPTED, why))
        return Standing(current)
    contract = house.frozen_baseline(session, current.id).contract
    changes = changes_of(session, watched, house, current)
    if added_canaries(contract, watched.contract):
        return _growing(session, watched, current, latest, changes, now)
    why = "; ".join(changes)
    is_known = latest is not None and latest.event is BaselineEvent.REFUSED and latest.why.startswith(why)
    if not is_known:
        # Another suite in its place may share canaries with it; that is not for us to call a removal.
        if removed_canaries(contract, watched.contract) and current.suite == watched.suite_name:
            try:
                return _shrunk(session, watched, house, current, changes, now)
            except BaselineError as error:
                why = f"{why}; and what is left makes no baseline: {error}"
        note_event(session, _event(current, now, BaselineEvent.REFUSED, why))
    return Standing(current, is_comparable=False, changes=changes)


def _growing(
    session: Session,
    watched: Watched,
    current: BaselineSummary,
    latest: Event | None,
    changes: tuple[str, ...],
    now: datetime,
) -> Standing:
    # The contract is named, as a canary that was added may be changed before its runs are complete.
    why = f"{'; '.join(changes)} (contract {watched.contract.hash[:8]})"
    if latest is not None and (latest.event, latest.why) == (BaselineEvent.CANARY_ADDED, why):
        return Standing(current)
    note_event(session, _event(current, now, BaselineEvent.CANARY_ADDED, why))
    note = (
        f"{watched.name} is compared on with {current.id}, which takes in what was added once it has the runs: "
        f"{'; '.join(changes)}."
    )
    return Standing(current, notes=(note,))


def _shrunk(
    session: Session,
    watched: Watched,
    house: House,
    current: BaselineSummary,
    changes: tuple[str, ...],
    now: datetime,
) -> Standing:
    old = house.frozen_baseline(session, current.id)
    new = canaries_removed(session, watched, house, old, "; ".join(changes), now)
    note = f"{new.id} takes the place of {old.id}, on the same runs: {'; '.join(changes)}."
    # The new baseline is compared with from the next run on: what this transaction makes may yet be undone, and what
    # is read of frozen baselines is kept in memory for good.
    summary = current_baseline(session, new.target, new.suite) or current
    return Standing(summary, is_comparable=False, notes=(note,))


def _collecting_anew(session: Session, watched: Watched, current: BaselineSummary, now: datetime) -> Standing:
    changes = "; ".join(describe_change(load_baseline(session, current.id).contract, watched.contract))
    if not current.collected_runs and current.suite == watched.suite_name:
        adopt_contract(session, current.id, watched.contract, now, changes)
        return Standing(current_baseline(session, watched.name, watched.suite_name) or current)
    retire_baseline(session, current.id, now, why=changes)
    begun = ensure_baseline(session, watched.name, watched.suite_name, watched.contract, now)
    note = f"The baseline of {watched.name} begins anew, as it was changed: {changes}."
    return Standing(begun, notes=(note,))


def is_comparable(session: Session, house: House, watched: Watched, current: BaselineSummary) -> bool:
    """Whether runs of the target are collected for, or compared with, its baseline as things are."""
    if current.contract_hash == watched.contract.hash or current.status is not BaselineStatus.FROZEN:
        return True
    return bool(added_canaries(house.frozen_baseline(session, current.id).contract, watched.contract))


def changes_of(session: Session, watched: Watched, house: House, current: BaselineSummary) -> tuple[str, ...]:
    """How the target differs from what its frozen baseline was made of, a sentence each."""
    changes = describe_change(house.frozen_baseline(session, current.id).contract, watched.contract)
    is_renamed = current.suite != watched.suite_name
    return (f"suite: '{current.suite}' -> '{watched.suite_name}'", *changes) if is_renamed else changes


def let_go_of_suspects(
    session: Session, current: BaselineSummary, judgement: Judgement, features: RunFeatures, now: datetime
) -> None:
    """Let a collecting baseline give back the runs that what was just proven puts in doubt.

    Of another model it gives back all. Otherwise those in which the evidence of a breached proof came together, and the
    one before, in the middle of which it may have begun: what is older was judged too, and found clean. Giving back a
    fixed time instead would keep an endpoint with one short incident every other day from ever having a baseline.
    """
    if current.status is not BaselineStatus.COLLECTING:
        return
    suspects = _suspect_runs(judgement, features)
    if judgement.restarts_collection:
        dropped, event = restart_collection(session, current.id), BaselineEvent.RESTARTED
    elif suspects:
        dropped, event = let_go_of_last(session, current.id, suspects), BaselineEvent.RUNS_LET_GO
    else:
        return
    if dropped:
        proven = "; ".join(proof.summary for proof in judgement.proofs if proof.is_breached)
        note_event(session, _event(current, now, event, f"{dropped} runs: {proven}"))


def _suspect_runs(judgement: Judgement, features: RunFeatures) -> int:
    """How many runs before this one the evidence of the breached proofs goes back, and one more; 0 without any."""
    breached = {proof.key for proof in judgement.proofs if proof.is_breached}
    if not breached:
        return 0
    history = judgement.history
    streaks = [1, history.fingerprints.streak_runs, history.replaced_runs, history.down_runs]
    for check, failed in history.failing.items():
        if CHECK_PREFIX + check in breached:
            samples = sum(answer.canary == check.partition("/")[0] for answer in features.answers)
            streaks.append(ceil(failed / max(samples, 1)))
    return max(streaks)


@dataclass(frozen=True, slots=True)
class Freezing:
    """Whether a baseline was frozen just now, or why it could not be although it has its runs."""

    has_happened: bool = False
    problem: str = ""


def freeze_when_due(
    session: Session, watched: Watched, house: House, baseline_id: str, now: datetime
) -> Freezing:
    """Freeze a baseline that freezes by itself, once it has its runs."""
    if not watched.freezes_itself or len(collected_ids(session, baseline_id)) < watched.baseline_runs:
        return Freezing()
    try:
        freeze_baseline(session, house, baseline_id, now)
    except BaselineError as error:
        return Freezing(problem=str(error))
    return Freezing(has_happened=True)


def freeze_baseline(
    session: Session,
    house: House,
    baseline_id: str,
    now: datetime,
    actor: Actor = Actor.DAEMON,
    why: str = "",
) -> Baseline:
    """The baseline, frozen on the runs it has collected. Raises BaselineError when they do not make one."""
    runs = load_features(session, collected_ids(session, baseline_id))
    frozen = frozen_on(load_baseline(session, baseline_id), runs, house, now)
    save_baseline(session, frozen, actor, why)
    return frozen


def freeze_by_operator(
    session: Session, house: House, baseline: BaselineSummary, now: datetime, why: str, *, is_forced: bool
) -> Baseline:
    """The baseline, frozen at an operator's word.

    Raises BaselineError when an incident of its target is open, unless that is forced: what is broken now would count
    as usual ever after.
    """
    troubles = open_troubles(session, baseline.target)
    if troubles and not is_forced:
        raise BaselineError(
            f"an incident of {baseline.target} is open: {troubles[0].finding.summary}. What was collected may be part "
            "of it. Wait for its end, or freeze with --force and say --why"
        )
    return freeze_baseline(session, house, baseline.id, now, Actor.OPERATOR, why)


def renew_baseline(session: Session, baseline: BaselineSummary, now: datetime, why: str) -> BaselineSummary:
    """The baseline that begins to collect in the place of one that an operator's change has made outdated.

    It has no anchor: what the target is like from now on is meant to be so.
    """
    contract = load_baseline(session, baseline.id).contract
    retire_baseline(session, baseline.id, now, Actor.OPERATOR, why, BaselineEvent.RENEWED)
    return ensure_baseline(session, baseline.target, baseline.suite, contract, now, Actor.OPERATOR)


def open_troubles(session: Session, target: str) -> tuple[Incident, ...]:
    """The open incidents for which the answers of a target may not be as usual."""
    keys = incident_keys(target) - {baseline_key(target)}
    return open_of(session, keys)


def _event(current: BaselineSummary, now: datetime, event: BaselineEvent, why: str) -> Event:
    return Event(current.target, current.id, now, event, Actor.DAEMON, why)
