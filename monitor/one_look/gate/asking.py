"""The candidate is asked: so many runs of the suite, and no more than the money allows."""

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from canaries.clock import Clock
from canaries.completion import Completion, Run
from canaries.config import TargetConfig
from canaries.replay import replay
from canaries.suite import Suite

from ... import MonitorError
from ...spending.canary_cost import cost_usd, sample_costs

Progress = Callable[[int, int], None]
"""Told how many requests are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask: ``runs`` of a suite, ``samples`` of each canary in each, for ``max_spend_usd`` at most."""

    runs: int
    samples: int | None = None
    max_spend_usd: float | None = None

    def samples_of(self, suite: Suite, target: TargetConfig) -> dict[str, int]:
        """How often each canary is asked in a run."""
        expected = suite.expected_samples(target.samples)
        return expected if self.samples is None else dict.fromkeys(expected, self.samples)


@dataclass(frozen=True, slots=True)
class Asked:
    """The runs that were made, how many were wanted, and what they cost where that is known."""

    runs: tuple[Run, ...]
    wanted: int
    spent_usd: float | None
    took_s: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of it: that the money was not enough."""
        if len(self.runs) == self.wanted:
            return ()
        return (
            f"Only {len(self.runs)} of {self.wanted} runs were made: another might have cost more than "
            "--max-spend-usd leaves.",
        )


def ask(
    suite: Suite,
    target: TargetConfig,
    name: str,
    order: Order,
    clock: Clock,
    rng: random.Random,
    progress: Progress | None = None,
) -> Asked:
    """The candidate's runs, one after the other. Raises MonitorError when the money is not enough for one."""
    return asyncio.run(_ask(suite, target, name, order, clock, rng, progress))


async def _ask(
    suite: Suite,
    target: TargetConfig,
    name: str,
    order: Order,
    clock: Clock,
    rng: random.Random,
    progress: Progress | None,
) -> Asked:
    samples = order.samples_of(suite, target)
    # Somebody waits: the start is not put off, nor the requests spread.
    at_once = target.model_copy(update={"jitter": 0.0, "spread": 0.0})
    dearest_usd = _dearest_run_usd(suite, target, samples, order, clock)
    began, runs, spent = clock.monotonic(), list[Run](), 0.0
    async with httpx.AsyncClient() as client:
        while len(runs) < order.runs and spent + dearest_usd <= (order.max_spend_usd or float("inf")):
            before = len(runs) * sum(samples.values())

            def tell(completion: Completion, done: int, of: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, order.runs * of)

            run = await replay(
                suite, at_once, name, uuid.uuid4().hex, clock, rng, client, on_progress=tell, samples=samples
            )
            runs.append(run)
            spent += cost_usd(run, target, suite) or 0.0
    costs = [cost_usd(run, target, suite) for run in runs]
    return Asked(tuple(runs), order.runs, None if None in costs else spent, took_s=clock.monotonic() - began)


def _dearest_run_usd(
    suite: Suite, target: TargetConfig, samples: dict[str, int], order: Order, clock: Clock
) -> float:
    """What a run may cost at most, 0 where no cap is set. Raises MonitorError when it is unknown or above the cap."""
    if order.max_spend_usd is None:
        return 0.0
    costs = sample_costs(suite, target, {}, clock.now())
    if costs is None:
        raise MonitorError(
            f"--max-spend-usd cannot be kept: no price is known for {target.model}. Give the target a `price`."
        )
    most = sum(costs[canary] * count for canary, count in samples.items())
    if most > order.max_spend_usd:
        raise MonitorError(
            f"a run of {suite.name} may cost ${most:.4g}, and --max-spend-usd is ${order.max_spend_usd:.4g}: "
            "allow more, lower `max_tokens`, or ask fewer samples"
        )
    return most
