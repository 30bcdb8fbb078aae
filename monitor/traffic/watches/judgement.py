"""What a watch says now, whatever it looks at, in a form that a finding and a page are made of."""

from dataclasses import dataclass
from datetime import datetime

from alerts.finding import Label, Severity

from ..windows.series import MINUTE_S, minute_of
from .measures import Unit


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a watch says now.

    ``value`` is that of the ``n`` calls that were seen. What the application does now is at least ``low`` and
    at most ``high``, each with the certainty of ``confidence``; ``high`` is ``None`` when the calls are too few to
    say. ``is_doubtful`` tells that it is steady only because ``value``, which is beyond the threshold, is not surely
    so. ``severity`` is set where it is not as loud as the watch; ``evidence`` are lines beside those that follow from
    the other fields.
    """

    label: Label
    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str
    is_doubtful: bool = False
    threshold: float | None = None
    unit: Unit = Unit.SHARE
    severity: Severity | None = None
    evidence: tuple[tuple[str, str], ...] = ()


def nothing_to_judge(
    n: int, reason: str, unit: Unit = Unit.SHARE, threshold: float | None = None
) -> Judgement:
    """The judgement that there is too little to judge, and why."""
    return Judgement(Label.NO_DATA, None, None, None, n, reason, threshold=threshold, unit=unit)


def after_incident(first: int, ended_at: datetime | None) -> int:
    """The first minute to look at, when the watch's last incident ended at ``ended_at``.

    Calls that come late revise minutes that people were told about, and are no second page: what fires again is seen
    in minutes that began after the end.
    """
    return first if ended_at is None else max(first, minute_of(ended_at.timestamp()) + MINUTE_S)
