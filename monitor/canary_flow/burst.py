"""Whether the next run of a target comes sooner than its schedule says, as the evidence of drift is rising.

A burst asks for runs, not for samples: the run is the unit of randomness, and more samples of one moment say little
more about the next. It does not touch the budget of false pages. Every bet has expectation one given the past, so
when to bet next may depend on all that was seen (optional continuation), and the ledger's drip is for the time that
went by, at most a slot between two runs: more runs in the same time buy no evidence. What it takes for granted is
that runs are exchangeable at the shorter distance too; that is why they keep some minutes, differing by chance, and
why a target whose runs stick together, and are therefore ranked in blocks, has no bursts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from canaries.config import BurstConfig

DISTANCE = 0.2
"""How much before the next scheduled run a burst must be to be worth it, in its own waiting times."""


class BurstReason(StrEnum):
    """Why the next run comes sooner, or does not."""

    RISING = "the evidence is rising"
    OFF = "bursts are off"
    QUIET = "the evidence is low"
    PAGED = "people know already"
    IN_BLOCKS = "runs are ranked in blocks"
    SOON_ENOUGH = "the next scheduled run is as soon"
    LONG_ENOUGH = "there were enough in a row"
    NO_MONEY = "the spend cap has no room for it"


@dataclass(frozen=True, slots=True)
class BurstFacts:
    """What is known after a run.

    ``evidence`` is the largest page evidence of a score, ``scheduled_at`` when the next run is planned, ``in_a_row``
    how many bursts came in a row before, ``is_paging`` whether a page about drift is open, ``chance`` a number in
    [0, 1) that was drawn for this decision.
    """

    evidence: float
    slot_s: float
    scheduled_at: datetime | None
    in_a_row: int
    is_paging: bool
    is_in_blocks: bool
    has_money: bool
    chance: float


@dataclass(frozen=True, slots=True)
class Burst:
    """When one more run starts (``None``: none), why, and how many bursts in a row that makes."""

    at: datetime | None
    reason: BurstReason
    in_a_row: int = 0


def next_burst(facts: BurstFacts, rule: BurstConfig | None, now: datetime) -> Burst:
    """Whether one more run comes before the scheduled one. ``rule`` is ``None`` where bursts are off."""
    if rule is None:
        return Burst(None, BurstReason.OFF)
    if facts.evidence <= rule.above:
        return Burst(None, BurstReason.QUIET)
    if facts.is_paging:
        # From here on the counts absorb the change, and the incident is told once: haste would change nothing.
        return Burst(None, BurstReason.PAGED)
    at = now + timedelta(seconds=rule.after * (1 + facts.chance / 2))
    if (reason := _hindrance(facts, rule, at)) is not None:
        return Burst(None, reason, facts.in_a_row)
    return Burst(at, BurstReason.RISING, facts.in_a_row + 1)


def _hindrance(facts: BurstFacts, rule: BurstConfig, at: datetime) -> BurstReason | None:
    if facts.is_in_blocks:
        return BurstReason.IN_BLOCKS
    distance = timedelta(seconds=DISTANCE * rule.after)
    is_late = facts.scheduled_at is not None and at + distance > facts.scheduled_at
    if facts.slot_s <= rule.after or is_late:
        return BurstReason.SOON_ENOUGH
    if facts.in_a_row >= rule.runs_max:
        return BurstReason.LONG_ENOUGH
    return None if facts.has_money else BurstReason.NO_MONEY
