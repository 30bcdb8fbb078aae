"""How another baseline takes the place of a frozen one: by age, for a canary that was added or removed; and the anchor.

Each step is part of its caller's transaction. A frozen baseline never changes and never slides: the new one has another
id, a ledger of its own that starts empty, and an event that says why it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import Session

from alerts.finding import Label, Verdict
from alerts.intake import receive
from alerts.store import incidents_of
from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus, retire
from canaries.baseline_events import BaselineEvent, latest_event
from canaries.baseline_store import (
    BaselineSummary,
    Wanted,
    add_retired,
    compared_runs,
    load_history,
    save_history,
    succeed_baseline,
)
from canaries.contract import Contract, added_canaries, only
from canaries.features import RunFeatures
from canaries.proofs import ProofKind
from canaries.reference import CHECK_PREFIX, ProofHistory
from canaries.store import load_features

from .. import store
from ..drift import DriftMemory
from ..watched import House, Watched
from .canary_verdicts import baseline_key, incident_keys, proof_key
from .guarantee import frozen_on

GUARD = timedelta(hours=72)
"""Runs younger than this, and runs so long before an incident, are in no refreshed baseline: drift is slow to show."""


@dataclass(frozen=True, slots=True)
class Refreshing:
    """Whether another baseline has taken the place of the frozen one, and what to say of it.

    ``problem`` tells why it could not although it was due.
    """

    has_happened: bool = False
    note: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """When a frozen baseline is refreshed: at ``due_at`` or later, with ``runs`` of the ``runs_needed``."""

    due_at: datetime
    runs: int
    runs_needed: int


def anchor_of(session: Session, house: House, baseline: Baseline) -> Baseline | None:
    """The first baseline of the line that ``baseline`` belongs to; nothing for the first one itself.

    Later runs are compared with it for ever, by ``Baseline.anchor_score`` against its own calibration runs.
    """
    return house.frozen_baseline(session, baseline.anchor_id) if baseline.anchor_id else None


def refresh_when_due(
    session: Session, watched: Watched, house: House, current: BaselineSummary, now: datetime
) -> Refreshing:
    """Let newer runs take the place of a frozen baseline that is old enough, or that lacks a canary.

    The latest runs are taken that were compared with it, are older than the guard, and do not overlap an incident; all
    that are needed must be there, and no incident open. To be called when the run's own incidents are stored.
    """
    if not _is_due(watched, current, now) or _has_trouble(session, watched.name, now):
        return Refreshing()
    old = house.frozen_baseline(session, current.id)
    wanted = _wanted(session, watched, old, now)
    if wanted is None:
        return Refreshing()
    run_ids = compared_runs(session, current.id, wanted, watched.baseline_runs)
    if len(run_ids) < watched.baseline_runs:
        return Refreshing()
    runs = load_features(session, run_ids)
    why = _reason(old, watched, runs)
    try:
        new = succeed_baseline(
            session,
            old.id,
            lambda id: _frozen(house, _successor(id, old, watched.contract, runs), runs, now),
            BaselineEvent.REFRESHED,
            why,
            now,
        )
    except BaselineError as error:
        return Refreshing(problem=f"{old.id} is due to be refreshed, but its runs make no baseline: {error}")
    return Refreshing(has_happened=True, note=f"{new.id} takes the place of {old.id}: {why}.")


def outlook(
    session: Session, watched: Watched, house: House, current: BaselineSummary, now: datetime
) -> Outlook | None:
    """When a frozen baseline is refreshed, as far as can be told; nothing where only a command renews it."""
    if current.frozen_at is None or not watched.freezes_itself:
        return None
    old = house.frozen_baseline(session, current.id)
    is_growing = bool(added_canaries(old.contract, watched.contract))
    if watched.refresh_after_s is None and not is_growing:
        return None
    wanted = _wanted(session, watched, old, now)
    runs = len(compared_runs(session, current.id, wanted, watched.baseline_runs)) if wanted else 0
    all_of_them, missing = (
        timedelta(seconds=n * watched.slot_s) for n in (watched.baseline_runs, watched.baseline_runs - runs)
    )
    due_at = max(now + missing, (wanted.since if wanted else now) + GUARD + all_of_them)
    if not is_growing and watched.refresh_after_s is not None:
        due_at = max(due_at, current.frozen_at + timedelta(seconds=watched.refresh_after_s))
    return Outlook(due_at, runs, watched.baseline_runs)


def canaries_removed(
    session: Session, watched: Watched, house: House, old: Baseline, why: str, now: datetime
) -> Baseline:
    """The baseline that takes the place of ``old``: its own runs, without the canaries that are gone.

    Raises BaselineError when these make no baseline, and changes nothing then.
    """
    contract = only(old.contract, watched.contract.canaries)
    runs = _without(_stored(session, old), contract)
    frozen = _frozen(house, _successor("", old, contract, runs), runs, now)
    anchor_id, lost = _anchor_without(session, house, old, contract, why, now)
    new = succeed_baseline(
        session,
        old.id,
        # As old as the one before, with the same runs: taking canaries out does not put off the refresh.
        lambda id: replace(
            frozen, id=id, created_at=old.created_at, frozen_at=old.frozen_at, anchor_id=anchor_id
        ),
        BaselineEvent.CANARY_REMOVED,
        f"{why}{lost}",
        now,
    )
    gone = old.contract.canaries.keys() - contract.canaries.keys()
    if _forget_checks(session, old, gone):
        # Of a suite without any check left no run would ever say that it passes.
        verdict = Verdict(
            proof_key(watched.name, ProofKind.VALIDATOR), Label.STEADY, note="Its canary was removed"
        )
        receive(session, [(verdict, watched.rule)], now, house.rollbacks, house.inhibitions, house.routing)
    _carry_on(session, old, new)
    return new


def _is_due(watched: Watched, current: BaselineSummary, now: datetime) -> bool:
    if current.status is not BaselineStatus.FROZEN or current.frozen_at is None or not watched.freezes_itself:
        return False
    age = now - current.frozen_at
    if current.contract_hash != watched.contract.hash:
        return age >= GUARD  # it may lack a canary
    return watched.refresh_after_s is not None and age >= timedelta(seconds=watched.refresh_after_s)


def _wanted(session: Session, watched: Watched, old: Baseline, now: datetime) -> Wanted | None:
    """Which runs may make the next baseline; nothing when the target is not what ``old`` was made of."""
    since, added = old.frozen_at or old.created_at, added_canaries(old.contract, watched.contract)
    if old.contract.hash != watched.contract.hash:
        latest = latest_event(session, old.target, old.id)
        if not added or latest is None or latest.event is not BaselineEvent.CANARY_ADDED:
            return None
        since = latest.at
    return Wanted(
        since=since,
        before=now - GUARD,
        except_periods=_troubled(session, watched.name, since, now),
        samples=max(watched.contract.expected_samples().values(), default=1),
        canaries=added,
    )


def _has_trouble(session: Session, target: str, now: datetime) -> bool:
    return any(one.is_open for one in incidents_of(session, _keys(target), now))


def _troubled(
    session: Session, target: str, since: datetime, now: datetime
) -> tuple[tuple[datetime, datetime], ...]:
    """The periods of the target's incidents, each with the guard before it, where drift may not have shown yet."""
    periods: list[tuple[datetime, datetime]] = []
    for one in incidents_of(session, _keys(target), since):
        start, end = one.opened_at - GUARD, one.resolved_at or now
        if periods and start <= periods[-1][1]:
            start, end = periods[-1][0], max(end, periods.pop()[1])
        periods.append((start, end))
    return tuple(periods)


def _keys(target: str) -> set[str]:
    return incident_keys(target) - {baseline_key(target)}


def _successor(id: str, old: Baseline, contract: Contract, runs: Sequence[RunFeatures]) -> Baseline:
    begun = max(old.created_at, runs[0].at or old.created_at)
    anchor_id = old.anchor_id or old.id
    return Baseline(id, old.target, old.suite, contract, created_at=begun, anchor_id=anchor_id)


def _frozen(house: House, baseline: Baseline, runs: Sequence[RunFeatures], now: datetime) -> Baseline:
    return frozen_on(baseline, runs, house, now)


def _reason(old: Baseline, watched: Watched, runs: Sequence[RunFeatures]) -> str:
    added = added_canaries(old.contract, watched.contract)
    first, last = runs[0].at, runs[-1].at
    span = f" from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if first and last else ""
    frozen = f"{old.frozen_at:%Y-%m-%d}" if old.frozen_at else "some time ago"
    cause = f"with {', '.join(added)}" if added else f"as {old.id} was frozen {frozen}"
    return f"{len(runs)} runs{span}, {cause}"


def _stored(session: Session, baseline: Baseline) -> tuple[RunFeatures, ...]:
    runs = load_features(session, (*baseline.train_ids, *baseline.calibration_ids))
    if not all(run.answers for run in runs):
        raise BaselineError(f"the runs of {baseline.id} are not stored any more")
    return runs


def _without(runs: Sequence[RunFeatures], contract: Contract) -> tuple[RunFeatures, ...]:
    return tuple(
        replace(run, answers=tuple(answer for answer in run.answers if answer.canary in contract.canaries))
        for run in runs
    )


def _anchor_without(
    session: Session, house: House, old: Baseline, contract: Contract, why: str, now: datetime
) -> tuple[str | None, str]:
    """The id of the anchor without the canaries that are gone, and what to say when there is none any more.

    Its scores over the suite are of another make without them, so it is frozen anew from its own runs. Where those are
    not stored any more, the new baseline is the first of a new line.
    """
    anchor = anchor_of(session, house, old)
    if anchor is None or anchor.contract.canaries.keys() <= contract.canaries.keys():
        return old.anchor_id, ""
    kept = only(anchor.contract, contract.canaries)
    try:
        runs = _without(_stored(session, anchor), kept)
        base = Baseline("", old.target, anchor.suite, kept, created_at=anchor.created_at)
        frozen = retire(_frozen(house, base, runs, now), now)
    except BaselineError:
        return None, f"; its anchor {anchor.id} is left behind, whose runs are not stored any more"
    new = add_retired(
        session,
        lambda id: replace(frozen, id=id, frozen_at=anchor.frozen_at),
        old.target,
        f"{why}; the anchor",
    )
    return new.id, ""


def _forget_checks(session: Session, old: Baseline, gone: set[str]) -> bool:
    """Let proofs forget the checks of canaries that are gone; ``True`` when these were all that was broken."""

    def is_kept(check: str) -> bool:
        return check.removeprefix(CHECK_PREFIX).partition("/")[0] not in gone

    history = load_history(session, old.target, old.suite)
    pruned = replace(
        history,
        failing={check: count for check, count in history.failing.items() if is_kept(check)},
        confirming={check: count for check, count in history.confirming.items() if is_kept(check)},
        held={
            key: one for key, one in history.held.items() if not key.startswith(CHECK_PREFIX) or is_kept(key)
        },
    )
    save_history(session, old.target, old.suite, pruned)
    return _holds_checks(history) and not _holds_checks(pruned)


def _holds_checks(history: ProofHistory) -> bool:
    return any(key.startswith(CHECK_PREFIX) for key in history.held)


def _carry_on(session: Session, old: Baseline, new: Baseline) -> None:
    """Keep an open incident open: what still drifts of the old scores has to become steady under the new ones."""
    text = store.load_memory(session, old.target, old.id)
    if text is None or new.scores is None:
        return
    memory, names = DriftMemory.from_json(text), set(new.scores.names())
    kept = {name: one for name, one in memory.drifting.items() if name in names}
    store.save_memory(session, old.target, new.id, DriftMemory(kept).to_json())
