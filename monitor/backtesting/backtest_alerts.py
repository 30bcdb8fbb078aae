"""What a proposed configuration would have sent in the recorded past, beside what was sent."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from .. import MonitorError
from ..config import Deployment
from ..moments import Moment, MomentKind
from .messages import Compared, log_of, without
from .past import Past, past_of
from .recorded_database import RecordedDatabase
from .replaying import OnProgress, Replay, Replayed
from .scratch import Scratch


def backtest_alerts(
    deployment: Deployment,
    path: Path,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Compared:
    """Have ``deployment`` go through all that the database at ``path`` has on record, and compare from ``since`` on.

    What was before is gone through as well: evidence, baselines and open incidents come from there. Raises
    DatabaseError when it cannot be read, and MonitorError when there is nothing on record in that time.
    """
    recorded = RecordedDatabase(path)
    try:
        past = past_of(recorded, until, deployment.config.watch_every)
        if not past.happened:
            raise MonitorError(f"{path}: there is nothing on record{f' before {until}' if until else ''}")
        first, last = since or past.happened[0].at, past.happened[-1].at
        if first > last:
            raise MonitorError(f"{path}: nothing is on record after {last:%Y-%m-%d %H:%M} UTC")
        scratch = Scratch()
        try:
            replayed = asyncio.run(Replay(deployment, past, recorded, scratch).run(on_progress))
        finally:
            scratch.close()
    finally:
        recorded.close()
    return _compared(deployment, past, replayed, first, last)


def _compared(
    deployment: Deployment, past: Past, replayed: Replayed, first: datetime, last: datetime
) -> Compared:
    proposed, live = log_of(replayed.messages, first, last), log_of(past.sent.values(), first, last)
    return Compared(
        first,
        last,
        proposed,
        live,
        proposed.lines == live.lines,
        without(proposed.alarms, live.alarms),
        without(live.alarms, proposed.alarms),
        replayed.runs,
        replayed.looks,
        (*_notes(deployment, past, first), *_missing(replayed), *replayed.problems),
    )


def _missing(replayed: Replayed) -> Iterator[str]:
    if replayed.runs_missing:
        yield f"{replayed.runs_missing} runs are not on record any more, and are left out."
    if replayed.looks_missing:
        yield f"{replayed.looks_missing} looks are left out: the minutes that they saw are not on record any more."


def _notes(deployment: Deployment, past: Past, first: datetime) -> Iterator[str]:
    if past.made_up_until is not None and past.made_up_until > first:
        yield (
            f"Until {past.made_up_until:%Y-%m-%d %H:%M} UTC it is not on record when the daemon looked: looks are made "
            f"up every {deployment.config.watch_every:g} s, and see all calls of each minute."
        )
    starts = [
        one.what
        for one in past.happened
        if isinstance(one.what, Moment) and one.what.kind is MomentKind.START and "config" in one.what.facts
    ]
    others = [one for one in starts if one.facts["config"] != deployment.fingerprint]
    if others:
        latest = others[-1].at
        same = next((one.at for one in starts if one.at > latest), None)
        until = f"until {same:%Y-%m-%d %H:%M} UTC" if same else "all the time"
        yield f"The daemon ran with another configuration {until}: live messages of that time are of that one."
