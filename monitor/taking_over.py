"""What a daemon takes over from the one before it: how long nobody watched, what was cut off, and when to go on."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

import alerts.store as alert_store
import canaries.store as canary_store
from alerts import group_store, outbox_store, receiver_store
from alerts.finding import Label, Verdict
from alerts.incident import AlertRule
from alerts.intake import receive
from canaries.completion import RunStatus
from canaries.store import RunSummary
from canaries.suite_history import note_uses

from . import store
from .canary_flow.canary_verdicts import incident_keys
from .config import Config, Deployment
from .deployment import house_of
from .moments import FIRST, Moment, MomentKind, note
from .pulse import absence
from .traffic_flow.watch_silence import KEY as SILENCE_KEY
from .traffic_flow.watch_traffic import incident_key
from .watched import House
from .watchman.events import Trouble
from .watchman.judging import KEY as WATCHMAN_KEY
from .watchman.receivers import fingerprints

REPEAT_AFTER_S = 60.0
"""How soon after a start that was interrupted a run is started again, unless its interval is even shorter."""

log = structlog.get_logger()


def take_over(
    session: Session,
    deployment: Deployment,
    problem: Callable[[str], None],
    happened: Callable[[Trouble, str], None],
    now: datetime,
) -> House:
    """Put in order what the last daemon left, and give what the targets share.

    ``problem`` is told what is amiss, ``happened`` that nobody watched for a while.
    """
    alive_at = store.alive_at(session)
    if gap := absence(alive_at, now):
        happened(Trouble.ABSENCE, gap)
    store.save_alive(session, now)
    facts = {"config": deployment.fingerprint, FIRST: alive_at is None}
    note(session, Moment(MomentKind.START, now, facts=facts))
    if interrupted := canary_store.mark_interrupted(session, now):
        problem("Runs were interrupted when the last daemon ended; the log names them.")
        log.info("interrupted when the last daemon ended", runs=interrupted)
    note_uses(session, deployment.suites, now)
    outbox_store.release_claims(session)
    house = house_of(deployment, store.deployment_secret(session))
    group_store.set_policies(session, house.routing.policies())
    group_store.look_again(session, now)
    _note_receivers(session, deployment.config, house.secret, now)
    _close_orphans(session, deployment.config, now)
    if again := outbox_store.requeue_pages(session):
        log.info("alarms that had been given up are sent again", messages=again)
    return house


def _note_receivers(session: Session, config: Config, secret: bytes, now: datetime) -> None:
    set_up = fingerprints(config, secret)
    receiver_store.set_up(session, set_up, now)
    receiver_store.forget_others(session, set_up)


def first_start(last: RunSummary | None, every_s: float, now: datetime) -> datetime:
    """When the first run of a target starts whose ``last`` run was under an earlier daemon.

    One interval after that one: a restart neither asks twice nor leaves a gap.
    """
    if last is None:
        return now
    # A run that was interrupted is made good soon; not at once, as a daemon that crashes over it comes back too.
    is_whole = last.status is RunStatus.COMPLETED
    due = last.started_at + timedelta(seconds=every_s if is_whole else min(every_s, REPEAT_AFTER_S))
    # A last run that lies ahead of now means that the clock went back.
    return min(max(due, now), now + timedelta(seconds=every_s))


def _close_orphans(session: Session, config: Config, now: datetime) -> None:
    """End the incidents of what is not under watch any more: nothing would ever say that they are over."""
    keys = {key for target in config.targets for key in incident_keys(target)}
    keys |= {incident_key(watch) for watch in config.watches}
    # Of silence and of the watch itself, the looks at them know what is still there to be looked at.
    open_keys = [
        one.key
        for one in alert_store.open_incidents(session)
        if not one.key.startswith((SILENCE_KEY, WATCHMAN_KEY))
    ]
    orphans = [key for key in open_keys if key not in keys]
    note = "It is not in the configuration any more"
    receive(session, [(Verdict(key, Label.STEADY, note=note), AlertRule()) for key in orphans], now)
