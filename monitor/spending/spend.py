"""How many samples the next run may ask for, so that a target stays within what its canaries may cost a day.

The rule: what was spent in the last 24 hours and the run's estimate stay within the cap together, and one run takes
no more than its even share of the cap, so that a morning does not eat the day's money. Where the share is too small,
each canary is asked half as often, and half of that, down to once. Money that was not used is saved up only for that
last step: a target whose single samples cost more than a share is replayed in some of its slots. It is never saved up
for more samples, as runs with different numbers of samples cannot be ranked against each other, and a number that
changed from run to run would cost more than the samples bring.

The estimate is a mean, so the cap is kept up to what single runs cost more than usual; the next run knows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from alerts.finding import Finding, Label, Severity, Source, Verdict
from canaries.thinning import levels

DAY_S = 86_400.0

GRACE_S_MAX = 3600.0
"""By how much at most a run may be earlier in its slot than the one of the day before, and yet not count beside it."""


class SpendReason(StrEnum):
    """Why a run is planned as it is."""

    NO_CAP = "no cap"
    UNPRICED = "the price is not known"
    FULL = "within the cap"
    FEWER_SAMPLES = "fewer samples"
    FEWER_RUNS = "fewer runs"
    SAVING = "saving up for a run"
    SPENT = "the cap is reached"
    TOO_DEAR = "one run costs more than the cap"


_SKIPPED = (SpendReason.SAVING, SpendReason.SPENT, SpendReason.TOO_DEAR)
_QUIET = (SpendReason.NO_CAP, SpendReason.FULL)


@dataclass(frozen=True, slots=True)
class SpendFacts:
    """What planning a run within the cap needs to know; all money in dollars.

    ``samples`` are those of a full run by canary, ``sample_usd`` the cost of one sample of each (``None``: not known),
    ``spent_usd`` the cost of the runs in the last ``window``, ``since_last_s`` the time since the run before
    (``None``: there is none).
    """

    samples: Mapping[str, int]
    sample_usd: Mapping[str, float] | None
    cap_usd: float | None
    spent_usd: float
    runs_per_day: float
    slot_s: float
    since_last_s: float | None

    def cost_usd(self, samples: Mapping[str, int]) -> float | None:
        """What a run with so many samples of each canary costs, where that is known."""
        if self.sample_usd is None:
            return None
        return sum(self.sample_usd[canary] * count for canary, count in samples.items())


@dataclass(frozen=True, slots=True)
class Planned:
    """A run as it may be made: its ``samples`` by canary, none when it is skipped, and those of a ``full`` run."""

    samples: Mapping[str, int]
    full: Mapping[str, int]
    reason: SpendReason
    estimate_usd: float | None = None

    @property
    def is_skipped(self) -> bool:
        """Whether there is no money for the run."""
        return self.reason in _SKIPPED

    @property
    def is_bitten(self) -> bool:
        """Whether the cap takes something away from the watch, or cannot be kept."""
        return self.reason not in _QUIET

    @property
    def requests(self) -> int:
        """How many answers are asked for."""
        return sum(self.samples.values())


def plan_run(facts: SpendFacts) -> Planned:
    """The run with the most samples that the cap allows, and why it has no more."""
    full, cap_usd = facts.samples, facts.cap_usd
    if cap_usd is None or facts.sample_usd is None:
        reason = SpendReason.NO_CAP if cap_usd is None else SpendReason.UNPRICED
        return Planned(full, full, reason, facts.cost_usd(full))
    share_usd, left_usd = cap_usd / facts.runs_per_day, cap_usd - facts.spent_usd
    sizes = [full, *({name: min(count, most) for name, count in full.items()} for most in levels(full))]
    costs = [facts.cost_usd(samples) or 0.0 for samples in sizes]
    for samples, cost in zip(sizes, costs, strict=True):
        if cost <= min(share_usd, left_usd):
            reason = SpendReason.FULL if samples is full else SpendReason.FEWER_SAMPLES
            return Planned(samples, full, reason, cost)
    if costs[-1] > left_usd:
        reason = SpendReason.TOO_DEAR if costs[-1] > cap_usd else SpendReason.SPENT
        return Planned({}, full, reason, costs[-1])
    if _slots_since_last(facts) < _slots_apart(cap_usd, costs[-1], facts.runs_per_day):
        return Planned({}, full, SpendReason.SAVING, costs[-1])
    return Planned(sizes[-1], full, SpendReason.FEWER_RUNS, costs[-1])


def has_money_for_more(facts: SpendFacts) -> bool:
    """Whether one run more than scheduled leaves the scheduled runs of a day their money."""
    if facts.cap_usd is None:
        return True
    usual = plan_run(replace(facts, spent_usd=0.0, since_last_s=facts.slot_s))
    if usual.estimate_usd is None or usual.is_skipped:
        return False
    scheduled_usd = usual.estimate_usd * facts.runs_per_day
    return max(facts.spent_usd, scheduled_usd) + usual.estimate_usd <= facts.cap_usd


def window(slot_s: float) -> timedelta:
    """How far back spending counts against the cap: a day, and not the run of yesterday that this one follows on.

    Runs start a little earlier or later in their slots. A day to the second would now and then count two runs for
    one slot, and take samples away from a target that is within its cap.
    """
    return timedelta(seconds=DAY_S - min(slot_s / 2, GRACE_S_MAX))


def spend_key(target: str) -> str:
    """The key of the incident that tells that the cap bites, or cannot be kept."""
    return f"spend/{target}"


def spend_verdict(target: str, planned: Planned, facts: SpendFacts) -> Verdict:
    """Whether the target is watched as it should be, for the money that it may cost."""
    key = spend_key(target)
    if not planned.is_bitten or facts.cap_usd is None:
        return Verdict(key, Label.STEADY)
    full_usd = facts.cost_usd(planned.full)
    evidence = [("cap", f"{dollars(facts.cap_usd)} in 24 hours"), ("spent", dollars(facts.spent_usd))]
    if full_usd is not None:
        evidence.append(("a full run", f"{dollars(full_usd)}, {facts.runs_per_day:g} times a day"))
    finding = Finding(
        severity=Severity.TICKET,
        source=Source.SELF_CHECK,
        summary=f"{target}: {_sentence(planned)}",
        labels={"target": target},
        evidence=tuple(evidence),
    )
    return Verdict(key, Label.BREACHED, finding)


def expectation(facts: SpendFacts) -> str:
    """What full runs of the target cost a day, and what the cap leaves of them; ``facts`` are those of a first run."""
    full_usd = facts.cost_usd(facts.samples)
    cap = "" if facts.cap_usd is None else f"; cap {dollars(facts.cap_usd)}"
    if full_usd is None:
        return f"cost not known, as the price of the model is not{cap}" + (
            ", which cannot be kept: say the `price`" if cap else ""
        )
    said = f"about {dollars(full_usd * facts.runs_per_day)} a day at {facts.runs_per_day:g} runs{cap}"
    planned = plan_run(facts)
    if planned.reason is SpendReason.FEWER_SAMPLES:
        return f"{said}, which leaves {planned.requests} of {sum(facts.samples.values())} samples a run"
    if planned.reason is SpendReason.TOO_DEAR:
        return f"{said}, which is less than one sample each costs once"
    if planned.is_bitten:
        runs = (facts.cap_usd or 0.0) // (planned.estimate_usd or 1.0)
        return f"{said}, which leaves one sample each in {runs:g} run{'' if runs == 1 else 's'} a day"
    return said


def dollars(amount: float) -> str:
    """An amount for people, as exact as it takes."""
    return f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.2g}"


def _slots_apart(cap_usd: float, run_usd: float, runs_per_day: float) -> float:
    """How many slots lie between two runs that cost more than a share: so many that a day's runs are spread evenly."""
    return runs_per_day / max(1, cap_usd // run_usd)


def _slots_since_last(facts: SpendFacts) -> float:
    if facts.since_last_s is None:
        return facts.runs_per_day
    # At least the one of this run; rounded, as runs start a little earlier or later in their slots.
    return max(1, round(facts.since_last_s / facts.slot_s))


def _sentence(planned: Planned) -> str:
    if planned.reason is SpendReason.UNPRICED:
        return (
            "its spend cap cannot be kept, as the price of its model is not known; "
            "tell it under `price` of the target"
        )
    if planned.reason is SpendReason.FEWER_SAMPLES:
        asked, full = planned.requests, sum(planned.full.values())
        return (
            f"the spend cap bites: {asked} of {full} samples are asked in a run, "
            "so the smallest change it can see has grown"
        )
    if planned.reason is SpendReason.SPENT:
        return "the spend cap is reached: runs are skipped until earlier ones are a day old"
    if planned.reason is SpendReason.TOO_DEAR:
        return (
            "it is not watched: one sample of each canary is expected to cost more than its whole spend cap; "
            "raise the cap, or limit the answers with max_tokens"
        )
    return (
        "the spend cap bites: one sample of each canary costs more than a run's share of it, "
        "so only some runs are made and changes are seen later"
    )
