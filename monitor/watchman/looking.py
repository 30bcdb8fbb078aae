"""What the watch over the watch looks at: the facts of one moment, from the database, the disk and the process."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sqlmodel import Session

import canaries.store as canary_store
from alerts import outbox_store, receiver_store
from canaries.completion import RunStatus

from ..config import Deployment, cadence_of
from ..schedule import Cadence, Every, slot_s, starts
from .clocks import ClockFacts
from .events import Event, Trouble
from .judging import Disk, Duty, Facts, Waiting

GRACE_MIN_S = 300.0
GRACE_MAX_S = 3_600.0
"""How late a run may be at least and at most, and half the time between two runs in between."""


@dataclass
class Diary:
    """What only the running daemon knows: since when it runs, when it looked at the watches last, and of each target
    when a run was last left out on purpose.
    """

    started_at: datetime
    left_out: Mapping[str, datetime] = field(default_factory=dict)
    looked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen outside the database."""

    disk: Disk | None
    clock: ClockFacts | None
    events: Mapping[Trouble, Event]


def look(session: Session, deployment: Deployment, diary: Diary, seen: Seen, now: datetime) -> Facts:
    """The facts of this moment."""
    known, receivers = receiver_store.standings(session), deployment.config.receivers
    return Facts(
        duties=[*_runs(session, deployment, diary, now), *_looks(deployment, diary)],
        waiting=tuple(_waiting(session)),
        disk=seen.disk,
        clock=seen.clock,
        receivers=[known[name] for name in receivers if name in known],
        events=seen.events,
    )


def disk_of(folder: Path) -> Disk | None:
    """How much room there is; nothing where the system does not say."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return Disk(usage.free, usage.total)


def grace_s(between_s: float) -> float:
    """How late something may be that runs so often."""
    return min(max(GRACE_MIN_S, between_s / 2), GRACE_MAX_S)


def due_after(cadence: Cadence, last: datetime) -> datetime | None:
    """When the start after this one is due."""
    if isinstance(cadence, Every):
        return last + timedelta(seconds=cadence.seconds)
    return next(iter(starts(cadence, last, 1)), None)


def _runs(session: Session, deployment: Deployment, diary: Diary, now: datetime) -> Iterator[Duty]:
    for name, target in deployment.config.targets.items():
        cadence, runs = cadence_of(target), canary_store.recent_runs(session, name, limit=1)
        last_at = runs[0].started_at if runs else None
        began = [at for at in (last_at, diary.left_out.get(name)) if at is not None]
        due_at = due_after(cadence, max(began)) if began else _first(cadence, diary.started_at)
        # What was due while no daemon ran is made good at the start.
        due_at = max(due_at, diary.started_at) if due_at else None
        is_running = bool(runs) and runs[0].status is RunStatus.RUNNING
        yield Duty(
            f"target/{name}",
            f"The canary run of {name}",
            last_at,
            due_at,
            grace_s(slot_s(cadence, now)),
            {"target": name},
            "has not ended" if is_running else "",
        )


def _first(cadence: Cadence, started_at: datetime) -> datetime | None:
    return started_at if isinstance(cadence, Every) else due_after(cadence, started_at)


def _looks(deployment: Deployment, diary: Diary) -> Iterator[Duty]:
    if deployment.config.watches:
        every_s = deployment.config.watch_every
        due_at = (diary.looked_at or diary.started_at) + timedelta(seconds=every_s)
        yield Duty("watches", "The look at all watches", diary.looked_at, due_at, grace_s(every_s))


def _waiting(session: Session) -> Iterator[Waiting]:
    counts = outbox_store.waiting_by_receiver(session)
    for row in outbox_store.oldest_by_receiver(session):
        yield Waiting(row.receiver, counts[row.receiver], row.message.created_at, row.last_error or "")
