"""Which canaries cannot see what they are there for, tried on the baselines of their targets."""

from datetime import datetime

from sqlmodel import Session

from canaries.baseline import BaselineStatus
from canaries.baseline_store import current_baseline, load_baseline
from canaries.sensitivity import BlindCanary

from ..config import Deployment, cadence_of
from ..foresight.sensitivity import look
from ..schedule import slot_s


def blind_canaries(
    session: Session, deployment: Deployment, target: str, now: datetime
) -> tuple[BlindCanary, ...]:
    """The blind canaries of a target; none where it has no frozen baseline. Takes a second, as changes are tried."""
    current = current_baseline(session, target, deployment.suites[target].name)
    if current is None or current.status is not BaselineStatus.FROZEN:
        return ()
    baseline = load_baseline(session, current.id)
    if baseline.scores is None:
        return ()
    pages = deployment.config.budget.pages_per_quarter * deployment.share(target)
    slot = slot_s(cadence_of(deployment.config.targets[target]), now)
    seen = look(session, baseline, slot, pages)
    return seen.blind if seen is not None else ()
