"""Latency and cost of the candidate beside its limits, with what chance leaves open."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..completion import Completion, Run
from .config import Limit
from .results import Check, Kind, Status

Floats = NDArray[np.float64]
Price = Callable[[Completion], float | None]

RESAMPLES = 400
"""How often the answers are drawn again for an interval."""

INTERVAL = (2.5, 97.5)
"""The percentiles that an interval reaches from and to."""

UNITS_MIN = 8
"""With fewer runs of a side, single answers are drawn again: a few runs do not show how runs differ."""

ANSWERS_MAX = 20_000
"""The most answers of a side that are measured, evenly spread."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of answers, sorted, each with its weight and the number of the unit that is drawn again with it."""

    values: Floats
    weights: Floats
    units: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of one side: as it is, and in every drawing."""

    value: float
    drawn: Floats


Figure = Callable[[Sample, Floats], Floats]
"""The figure under each of several weightings (rows) of a sample's values."""


def percentile(share: float) -> Figure:
    """The value that so large a share of the answers stay at or below."""

    def figure(sample: Sample, weights: Floats) -> Floats:
        reached = np.cumsum(weights, axis=1)
        at = (reached < share * reached[:, -1:] * (1 - 1e-9)).sum(axis=1)
        return np.asarray(sample.values[np.minimum(at, len(sample.values) - 1)])

    return figure


def per_thousand(sample: Sample, weights: Floats) -> Floats:
    """A thousand times the mean."""
    return np.asarray(1000 * (weights @ sample.values) / weights.sum(axis=1))


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that has a limit: what is read off an answer, and how it is told."""

    name: str
    figure: Figure
    written: Callable[[float], str]
    of_latency: bool = True


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _dollars(value: float) -> str:
    return f"${value:.4g}"


QUANTITIES = (
    Quantity("latency_p50", percentile(0.5), _seconds),
    Quantity("latency_p95", percentile(0.95), _seconds),
    Quantity("cost_per_1000_usd", per_thousand, _dollars, of_latency=False),
)


def limit_checks(
    limits: Mapping[str, Limit],
    runs: Sequence[Run],
    base: Sequence[Run],
    price: Price,
    base_price: Price,
    rng: np.random.Generator,
) -> list[Check]:
    """A check for each limit. Both sides are weighed as if each canary had been asked as often as of the candidate."""
    checks = []
    asked = Counter(one.canary for run in runs for one in run.completions if one.is_answered)
    for quantity in QUANTITIES:
        if (limit := limits.get(quantity.name)) is None:
            continue
        own = measure(quantity, runs, asked, price, rng)
        other = measure(quantity, base, asked, base_price, rng) if limit.is_relative else None
        checks.append(_check(quantity, limit, own, other))
    return checks


def measure(
    quantity: Quantity, runs: Sequence[Run], asked: Mapping[str, int], price: Price, rng: np.random.Generator
) -> Measured | None:
    """A quantity of one side; ``None`` where no answer tells it."""
    sample = _sample(runs, asked, _latency if quantity.of_latency else price)
    if sample is None:
        return None
    units = int(sample.units.max()) + 1
    times = np.vstack([np.ones(units), rng.multinomial(units, np.full(units, 1 / units), size=RESAMPLES)])
    weights = times[:, sample.units] * sample.weights
    weights[weights.sum(axis=1) == 0] = sample.weights  # a drawing without an answer says nothing else
    found = quantity.figure(sample, weights)
    return Measured(float(found[0]), found[1:])


def _latency(completion: Completion) -> float | None:
    return completion.latency_s


def _sample(
    runs: Sequence[Run], asked: Mapping[str, int], value_of: Callable[[Completion], float | None]
) -> Sample | None:
    together = sum(len(run.completions) > 1 for run in runs) >= UNITS_MIN
    found: list[tuple[float, str, int]] = []
    for number, run in enumerate(runs):
        for one in run.completions:
            if one.is_answered and one.canary in asked and (value := value_of(one)) is not None:
                found.append((value, one.canary, number if together else len(found)))
    if len(found) > ANSWERS_MAX:
        found = [found[i * len(found) // ANSWERS_MAX] for i in range(ANSWERS_MAX)]
    if not found:
        return None
    found.sort()
    told = Counter(canary for _, canary, _ in found)
    _, units = np.unique([unit for *_, unit in found], return_inverse=True)
    weights = np.array([asked[canary] / told[canary] for _, canary, _ in found])
    return Sample(np.array([value for value, *_ in found]), weights, units)


def _check(quantity: Quantity, limit: Limit, own: Measured | None, other: Measured | None) -> Check:
    def check(status: Status, summary: str, details: tuple[str, ...] = ()) -> Check:
        return Check(Kind.LIMIT, quantity.name, status, summary, details)

    if own is None or (limit.is_relative and other is None):
        side = "the candidate" if own is None else "the baseline"
        return check(Status.INCONCLUSIVE, f"no answer of {side} tells its {_known_by(quantity)}")
    written = quantity.written
    base = np.ones(1) if other is None else other.drawn
    most = limit.most(1.0 if other is None else other.value)
    low, high = np.percentile(own.drawn, INTERVAL)
    of_base = "" if other is None else f" (the baseline's {written(other.value)} {limit.value:+.0%})"
    details = (
        f"95% interval {written(float(low))} to {written(float(high))}; the limit is {written(most)}{of_base}",
    )
    if own.value <= most:
        return check(Status.PASS, f"{written(own.value)} is within {written(most)}", details)
    over = float(np.mean(own.drawn > limit.most(1.0) * base))
    if over >= 1 - INTERVAL[0] / 100:
        return check(Status.FAIL, f"{written(own.value)} is above {written(most)}", details)
    return check(
        Status.INCONCLUSIVE,
        f"{written(own.value)} is above {written(most)}, but by no more than chance: more --runs would tell",
        details,
    )


def _known_by(quantity: Quantity) -> str:
    return "latency" if quantity.of_latency else "price"
