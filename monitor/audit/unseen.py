"""What an audit could not see, and what can be done about it."""

from collections.abc import Iterator, Mapping, Sequence

from canaries.baseline import BaselineStatus
from canaries.sensitivity import BlindCanary
from dashboards.audit.report import Unseen

from .canary_sums import RUNS_MAX, TargetSums
from .facts import ByBlock, ServiceFacts
from .traffic_sums import SERVICES_MAX, TrafficSums

NAMED_MAX = 10
"""How many services or models one sentence names."""

DAYS_USUAL = 3
"""A service that had calls on so many of the days before is missed when it has none."""


def unseen_canaries(
    targets: Mapping[str, TargetSums], blind: Mapping[str, Sequence[BlindCanary]]
) -> Iterator[Unseen]:
    """What canaries could not see."""
    for name, sums in targets.items():
        if not sums.runs:
            yield Unseen("no run", name, "no run ended in this period: see the status page for the reason")
        elif sums.runs > RUNS_MAX:
            yield Unseen("runs left out", name, f"{RUNS_MAX} of {sums.runs:,} runs were read, evenly spread")
        if sums.summary is None or sums.summary.status is not BaselineStatus.FROZEN:
            collected = sums.summary.collected_runs if sums.summary else 0
            yield Unseen(
                "no baseline", name, f"{collected:,} runs are collected, and nothing is compared yet"
            )
        for canary in sums.unanswered:
            yield Unseen("blind canary", name, f"{canary}: no request for it was answered in this period")
        for one in blind.get(name, ()):
            yield Unseen("blind canary", name, f"{one.canary}: {one.why}; {one.advice}")


def unseen_traffic(traffic: TrafficSums, services: Sequence[ServiceFacts]) -> Iterator[Unseen]:
    """What could not be seen of production."""
    for one in services:
        if not _calls(one.now) and (_calls(one.previous) or len(one.days) >= DAYS_USUAL):
            yield Unseen(
                "silent service",
                _name(one),
                f"no call in this period, {_calls(one.previous):,} in the one before",
            )
    yield from _money(traffic)
    unchecked = [one for one in services if _calls(one.now) and not _checked(one.now)]
    if unchecked:
        named = _named([_name(one) for one in unchecked])
        yield Unseen(
            "unchecked answers", named, "no answer was checked: `validators` say what is expected of them"
        )
    if traffic.overflow:
        yield Unseen(
            "calls without a series",
            "(other series)",
            f"{traffic.overflow:,} calls belong to no service here: too many versions or models at a time",
        )
    if traffic.left_out:
        yield Unseen(
            "services left out",
            f"{traffic.left_out:,} services",
            f"only the {SERVICES_MAX} with the most traffic are audited by themselves",
        )


def _money(traffic: TrafficSums) -> Iterator[Unseen]:
    """The calls of which nobody knows what they cost, by model."""
    for (provider, model), sums in sorted(traffic.models.items(), key=lambda item: -item[1].now.unpriced):
        name = f"{model or '(no name)'}{f' ({provider})' if provider else ''}"
        if unpriced := sums.now.unpriced:
            yield Unseen(
                "unpriced calls",
                name,
                f"{unpriced:,} of {sums.now.calls:,} calls have no known price: `prices` can name one",
            )
        if sums.now.unsure_nano:
            dollars = sums.now.unsure_nano / 1e9
            yield Unseen("ambiguous prices", name, f"${dollars:,.2f} could be another sum: providers differ")


def _calls(tallies: ByBlock) -> int:
    return sum(one.calls for one in tallies.values())


def _checked(tallies: ByBlock) -> int:
    return sum(one.checked for one in tallies.values())


def _name(one: ServiceFacts) -> str:
    return f"{one.service or '(no name)'}{f' ({one.environment})' if one.environment else ''}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX:,} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
